# SPDX-License-Identifier: Apache-2.0
"""Runs all benchmarks, checks the targets, and writes the results."""

import argparse
import json
import os
import platform
import subprocess
import sys

import conf
import in_nginx
import leftovers
import proc
import report
import targets

HERE = os.path.dirname(os.path.realpath(__file__))
WM_BENCH = os.path.join(conf.BUILD, "bench/wm_bench")
RAW = os.path.join(HERE, "results.json")
# The fields that are kept of Google Benchmark's rows.
KEPT = ("run_name", "aggregate_name", "real_time", "cpu_time", "time_unit")
NS = {"ns": 1, "us": 1e3, "ms": 1e6}
# The slack of targets in CI, which shares its machine.
SLACK = 3.0
LOOKS = 50      # at benchmarks that were cut short


def measure(repetitions, seconds, only="."):
    """Google Benchmark's rows. The repetitions of all benchmarks are
    interleaved, so a machine that changes its pace changes it for all. Each is
    warm when the number of its iterations is looked for: the first look at a
    table maps its pages, which may take longer than all that is measured."""
    try:
        text = subprocess.run(
            [WM_BENCH, f"--benchmark_repetitions={repetitions}",
             f"--benchmark_min_time={seconds}",
             f"--benchmark_min_warmup_time={seconds / 10}",
             "--benchmark_format=json",
             "--benchmark_enable_random_interleaving=true",
             f"--benchmark_filter={only}"],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True).stdout
    finally:        # what it has left, if it was killed
        leftovers.remove(x for x in leftovers.segments()
                         if "/wm.bench-" in x and leftovers.dead(x))
    return json.loads(text)["benchmarks"]


def cut_short(rows, seconds):
    """The benchmarks that hardly ran. Google Benchmark looks for a number of
    iterations that takes these seconds, and also ends the search once five
    times as many have passed by the clock: if the machine did not run it
    meanwhile, that may be a single iteration."""
    return {x["run_name"] for x in rows if x["run_type"] == "iteration"
            and x["iterations"] * x["cpu_time"] * NS[x["time_unit"]]
            < seconds * 1e9 / 10}


def micro(quick):
    """The aggregates of all benchmarks. One that was cut short has no figure
    yet, and is measured anew by itself."""
    how = (9, 0.01) if quick else (15, 0.1)
    rows, looks = measure(*how), 0
    while short := cut_short(rows, how[1]):
        if looks == LOOKS:
            sys.exit(f"the machine does not run {', '.join(sorted(short))}")
        looks += 1
        rows = [x for x in rows if x["run_name"] not in short] + measure(
            *how, f"^({'|'.join(short)})$")
    return [{key: x[key] for key in KEPT} for x in rows
            if x["run_type"] == "aggregate"]


def machine():
    """The machine and its software."""
    with open("/proc/cpuinfo", encoding="ascii") as f:
        model = next((x.split(":")[1].strip() for x in f
                      if x.startswith("model name")), platform.machine())
    compiler = subprocess.run(["cc", "--version"], check=True, text=True,
                              capture_output=True).stdout.splitlines()[0]
    version = subprocess.run([conf.NGINX, "-v"], check=True, text=True,
                             capture_output=True).stderr.strip()
    return {"cpu": model, "cores": os.cpu_count(),
            "kernel": platform.release(), "compiler": compiler,
            "nginx": version.rpartition(" ")[2]}


def segment_bytes():
    """A segment of the default size, as its file has it."""
    with in_nginx.server(1, options="") as s:
        (path,) = s.segments()
        return os.stat(path).st_size


def main():
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("--quick", action="store_true",
                        help="less of everything, in under a minute; writes "
                        "no results")
    parser.add_argument("--ci", action="store_true",
                        help="quick, and checks the stable targets alone, "
                        f"each with a slack of {SLACK:g}")
    options = parser.parse_args()
    quick = options.quick or options.ci
    proc.end_politely()
    proc.adopt_orphans()

    raw = {"machine": machine(), "segment_bytes": segment_bytes(),
           "micro": micro(quick),
           "nginx": in_nginx.measure(quick, stable_only=options.ci)}
    raw = json.loads(json.dumps(raw))       # keys are strings from here on
    rows = targets.check(raw, SLACK if options.ci else 1.0, options.ci)
    if not quick:
        with open(RAW, "w", encoding="utf-8") as f:
            json.dump(raw, f, indent=1)
            f.write("\n")
        report.write(raw, rows, HERE)
    print(targets.text(rows))
    missed = sum(not r.met for r in rows)
    print(f"{len(rows) - missed} passed, {missed} failed")
    return 1 if missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except proc.Interrupted as error:
        sys.exit(128 + error.args[0])
