# SPDX-License-Identifier: Apache-2.0
"""RESULTS.md and its plots, from the raw results.

    bench/report.py

writes them again from results.json.
"""

import json
import os
import re
import statistics
import subprocess
import sys

import targets

SIZES = (2, 16, 64, 256, 1024, 4096, 65535)
STYLE = """\
set terminal svg size 720,420 font "sans-serif,13" background "white"
set output "{output}"
set key outside center bottom horizontal
set grid back linecolor "#dddddd"
set border 3
set tics nomirror
"""


def plot(folder, name, script, blocks):
    """Lets gnuplot draw $name blocks of numbers."""
    data = "".join(
        f"${key} << END\n" + "\n".join(" ".join(map(str, row)) for row in rows)
        + "\nEND\n" for key, rows in blocks.items())
    output = os.path.join(folder, name + ".svg")
    subprocess.run(["gnuplot"], input=STYLE.format(output=output) + data
                   + script, text=True, check=True)


def plot_heartbeat(folder, v):
    """One heartbeat over the number of workers, against each peer."""
    ways = v.nginx["heartbeats"]
    flat = {"futimens": v["peer_futimens"], "datagram": v["peer_datagram"],
            "mutex": v["peer_mutex/processes:2"],
            "robust": v["peer_robust_mutex/processes:2"]}
    blocks = {
        "beat": [(n, v[f"beat_of/{n}"]) for n in SIZES],
        "lua": ways["beat"].items(),
        "old": ways["old"].items(),
        **{key: [(n, ns) for n in (2, 65535)] for key, ns in flat.items()},
    }
    plot(folder, "heartbeat", """\
set logscale xy
set xlabel "workers"
set ylabel "one heartbeat, ns"
set xrange [2:65535]
set yrange [1:*]
plot $old with linespoints linewidth 2 title "JSON in a shared dict", \\
     $datagram with lines title "datagram", \\
     $futimens with lines title "futimens", \\
     $robust with lines title "robust mutex, 2 processes", \\
     $mutex with lines title "mutex, 2 processes", \\
     $lua with linespoints linewidth 2 title "libwm from Lua", \\
     $beat with linespoints linewidth 2 title "libwm from C"
""", blocks)


def plot_deaths(folder, v):
    """The number of kills that a survivor was told of, over the time."""
    took = sorted(v.nginx["deaths_ms"])
    plot(folder, "detection", """\
set xlabel "from SIGKILL to the survivor's callback, ms"
set ylabel "kills told of"
set xrange [0:*]
set yrange [0:*]
plot $took with steps linewidth 2 notitle
""", {"took": [(0, 0)] + [(ms, i + 1) for i, ms in enumerate(took)]})


def plot_requests(folder, v):
    """Requests a second, run by run."""
    rates = v.nginx["requests"]
    plot(folder, "requests", """\
set xlabel "pair of runs"
set ylabel "requests/s"
set yrange [0:*]
plot $beat with linespoints linewidth 2 title "beat() for each", \\
     $hook with linespoints linewidth 2 title "an empty hook", \\
     $plain with linespoints linewidth 2 title "no hook"
""", {k: list(enumerate(rates[k], 1)) for k in ("beat", "hook", "plain")})


def ns(value):
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |",
             "| " + " | ".join(["---"] + ["---:"] * (len(head) - 1)) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def targets_table(rows):
    return table(("target", "bound", "value", "verdict"), [
        (r.text, ("≤ " if r.most else "≥ ") + f"{r.bound:,g}",
         f"{r.value:,.2f}", "met" if r.met else "**not met**") for r in rows])


def by_name_and_number(name):
    return [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", name)]


def micro_table(v):
    return table(("benchmark", "ns"),
                 [(f"`{name}`", ns(v.ns[name]))
                  for name in sorted(v.ns, key=by_name_and_number)])


def spread(values, unit=""):
    low, high = min(values), max(values)
    return (f"{statistics.median(values):,.1f}{unit} "
            f"({low:,.1f} to {high:,.1f})")


def nginx_table(v):
    n = v.nginx
    ways = n["heartbeats"]
    hour = n["rest_ns"] * 64 * 360 / 1e9
    rows = [(f"one heartbeat, {size} workers: `beat()`; old way; "
             "`dict:incr`", "; ".join(ns(ways[w][size]) for w in
                                      ("beat", "old", "incr")) + " ns")
            for size in ways["beat"]]
    for key, name in (("beat", "`beat()` for each"), ("hook", "an empty hook"),
                      ("plain", "no hook")):
        rows.append((f"requests/s, {name}", spread(n["requests"][key])))
    rows += [
        ("requests/s with / without, pair by pair",
         f"{statistics.median(n['requests']['ratios']):.3f} "
         f"({min(n['requests']['ratios']):.3f} to "
         f"{max(n['requests']['ratios']):.3f})"),
        (f"kill to failure callback, {len(n['deaths_ms'])} kills",
         spread(n["deaths_ms"], " ms")),
        ("a node of 64 workers at rest: CPU in an hour of heartbeats at the "
         "default interval (measured at a hundredth of it, and scaled)",
         f"{hour:.2f} s"),
        ("a reload, 4 workers, with the module",
         spread(n["reloads_ms"]["with"], " ms")),
        ("a reload, 4 workers, without",
         spread(n["reloads_ms"]["without"], " ms")),
        ("a segment of 1024 workers and 1024 events",
         f"{v.segment / 1024:,.0f} KiB"),
    ]
    return table(("inside nginx", "median (least to most)"), rows)


TEXT = """\
# Results

`bench/run` writes this file from `results.json` beside it. Compare rows of one
run: their ratios count; the absolute figures are those of the machine.

{machine}

## Targets

{targets}

{remarks}

## One heartbeat

![cost of one heartbeat over the number of workers](heartbeat.svg)

## A death

![how long until a survivor is told](detection.svg)

## Requests

![requests a second, run by run](requests.svg)

## Inside nginx

{nginx}

## All benchmarks

These are medians, in ns of real time for one operation. In a row with
`/processes:2` another process does the same meanwhile. A row with `/threads:2`
is as Google Benchmark counts it: one operation takes twice that time.

{micro}
"""


def remarks(folder):
    """The remarks on targets that are not met."""
    path = os.path.join(folder, "remarks.md")
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as f:
        return f.read().strip()


def write(raw, rows, folder):
    v = targets.Values(raw)
    plot_heartbeat(folder, v)
    plot_deaths(folder, v)
    plot_requests(folder, v)
    machine = table(("machine", ""), [
        (k, str(x)) for k, x in raw["machine"].items()])
    with open(os.path.join(folder, "RESULTS.md"), "w", encoding="utf-8") as f:
        f.write(TEXT.format(machine=machine, targets=targets_table(rows),
                            remarks=remarks(folder), nginx=nginx_table(v),
                            micro=micro_table(v)))


def main():
    folder = os.path.dirname(os.path.realpath(__file__))
    with open(os.path.join(folder, "results.json"), encoding="utf-8") as f:
        raw = json.load(f)
    write(raw, targets.check(raw), folder)


if __name__ == "__main__":
    sys.exit(main())
