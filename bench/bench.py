# SPDX-License-Identifier: Apache-2.0
"""Runs all benchmarks, checks the targets, and writes the results."""

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys

import conf
import in_nginx
import leftovers
import lives
import proc
import report
import targets

HERE = os.path.dirname(os.path.realpath(__file__))
WM_BENCH = os.path.join(conf.BUILD, "bench/wm_bench")
RAW = os.path.join(HERE, "results.json")
# The fields that are kept of Google Benchmark's rows; the last ones are of
# scenarios alone.
KEPT = ("run_name", "aggregate_name", "real_time", "cpu_time", "time_unit",
        "start_ns", "stop_ns", "cpu_ns", "worst_ns", "cores")
# What Google Benchmark adds to the names of rows whose time is taken by hand.
BY_HAND = re.compile(r"/(iterations:\d+|manual_time)")
# The scenarios: of all sizes; of those that a quick run has time for; and one
# of each kind that needs no seconds.
SCENARIOS = {
    "all": "/iterations:1/",
    "quick": "((death|event)[^/]*|/(16|64|256)(/cores:.)?)/iterations:1/",
    "ci": "((death|event)[^/]*|(herd|handover)/16(/cores:2)?)/iterations:1/",
}
NS = {"ns": 1, "us": 1e3, "ms": 1e6}
# The slack of targets in CI, which shares its machine.
SLACK = 3.0
LOOKS = 50      # at benchmarks that were cut short


def measure(repetitions, only, *options):
    """Google Benchmark's rows. The repetitions of all benchmarks are
    interleaved, so a machine that changes its pace changes it for all."""
    try:
        text = subprocess.run(
            [WM_BENCH, f"--benchmark_repetitions={repetitions}",
             "--benchmark_format=json",
             "--benchmark_enable_random_interleaving=true",
             f"--benchmark_filter={only}", *options],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True).stdout
    finally:        # what it has left, if it was killed: it and its scenario
        leftovers.kill_all()
        leftovers.remove(x for x in leftovers.segments()
                         if "/wm.bench-" in x and leftovers.dead(x))
    rows = json.loads(text)["benchmarks"]
    for x in rows:
        if x.get("error_occurred"):
            sys.exit(f"bench: {x['run_name']}: {x['error_message']}")
    return rows


def measure_for(repetitions, seconds, only):
    """Rows that run for so long. Each is warm when the number of its iterations
    is looked for: the first look at a table maps its pages, which may take
    longer than all that is measured."""
    return measure(repetitions, only, f"--benchmark_min_time={seconds}",
                   f"--benchmark_min_warmup_time={seconds / 10}")


def cut_short(rows, seconds):
    """The benchmarks that hardly ran. Google Benchmark looks for a number of
    iterations that takes these seconds, and also ends the search once five
    times as many have passed by the clock: if the machine did not run it
    meanwhile, that may be a single iteration."""
    return {x["run_name"] for x in rows if x["run_type"] == "iteration"
            and not BY_HAND.search(x["run_name"])
            and x["iterations"] * x["cpu_time"] * NS[x["time_unit"]]
            < seconds * 1e9 / 10}


def micro(quick):
    """The rows of all benchmarks of one process. One that was cut short has no
    figure yet, and is measured anew by itself."""
    how = (9, 0.01) if quick else (15, 0.1)
    rows, looks = measure_for(*how, f"-{SCENARIOS['all']}"), 0
    while short := cut_short(rows, how[1]):
        if looks == LOOKS:
            sys.exit(f"the machine does not run {', '.join(sorted(short))}")
        looks += 1
        rows = [x for x in rows if x["run_name"] not in short] + measure_for(
            *how, f"^({'|'.join(short)})$")
    return rows


def aggregates(rows):
    """What is kept of them. The CPU of a row whose time is taken by hand is
    that of a process that waits, so its time stands in for that."""
    found = []
    for x in rows:
        if x["run_type"] != "aggregate":
            continue
        x = {key: x[key] for key in KEPT if key in x}
        if BY_HAND.search(x["run_name"]):
            x["run_name"] = BY_HAND.sub("", x["run_name"])
            x["cpu_time"] = x["real_time"]
        found.append(x)
    return found


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


def by_hand(workers):
    """The targets of nginx with so many workers, which no run has."""
    found = lives.lives({workers: lives.BY_HAND})
    for way, phases in found[workers].items():
        print(f"{lives.NAMES[way]:15}",
              *(f"{phase}: {statistics.median(ms):,.0f} ms"
                for phase, ms in phases.items()))
    return json.loads(json.dumps({
        "micro": [], "segment_bytes": 0, "nginx": {"lives": found}}))


def run(quick, ci):
    """All that a run measures. Keys are strings, as in a file."""
    kind, repetitions = ("ci", 3) if ci else ("quick", 3) if quick else (
        "all", 3)
    raw = {"machine": machine(), "segment_bytes": segment_bytes(),
           "micro": aggregates(micro(quick)
                               + measure(repetitions, SCENARIOS[kind])),
           "nginx": in_nginx.measure(quick, stable_only=ci)}
    if not ci:
        raw["nginx"]["lives"] = lives.lives(
            lives.QUICK if quick else lives.ROUNDS)
    return json.loads(json.dumps(raw))


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("--quick", action="store_true",
                        help="less of everything, in some minutes; writes no "
                        "results")
    parser.add_argument("--ci", action="store_true",
                        help="quicker, and checks the stable targets alone, "
                        f"each with a slack of {SLACK:g}")
    parser.add_argument("--workers", type=int, metavar="N",
                        help="measures nothing but start, reload and stop of "
                        "nginx with so many workers; writes no results")
    return parser.parse_args()


def main():
    options = arguments()
    quick = options.quick or options.ci
    proc.end_politely()
    proc.adopt_orphans()
    # A process that is waited for takes a descriptor.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    if options.workers:
        raw = by_hand(options.workers)
        rows = targets.check(raw, targets.of_lives(options.workers))
    else:
        raw = run(quick, options.ci)
        rows = targets.check(raw, targets.chosen(quick, options.ci),
                             SLACK if options.ci else 1.0, options.ci)
    if not quick and not options.workers:
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
