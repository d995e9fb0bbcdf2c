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

import lives
import targets

SIZES = (2, 16, 64, 256, 1024, 4096, 65535)
STYLE = """\
set terminal svg size 720,420 font "sans-serif,13" background "white"
set output "{output}"
set key outside center bottom horizontal height 1
set xlabel offset 0,0.4
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


def present(v, pattern):
    """The numbers in the names of rows of one kind, such as herd/(N)."""
    return sorted(int(m[1]) for m in map(re.compile(pattern + "$").match, v.ns)
                  if m)


def plot_herd(folder, v):
    """The cost of a process's life over their number."""
    blocks = {f"{key}{cores}": [
        (n, v[f"{name}/{n}/cores:{cores}"] / 1e3)
        for n in present(v, rf"{name}/(\d+)/cores:{cores}")]
        for key, name in (("with", "herd"), ("bare", "floor_herd"))
        for cores in (1, 2)}
    plot(folder, "herd", """\
set logscale x
set xlabel "processes"
set ylabel "start and stop, for each process, µs"
set xrange [16:4096]
set yrange [0:*]
plot $with1 with linespoints linewidth 2 title "with libwm, one core", \\
     $bare1 with linespoints title "bare, one core", \\
     $with2 with linespoints linewidth 2 title "with libwm, two cores", \\
     $bare2 with linespoints title "bare, two cores"
""", blocks)


def plot_lives(folder, v):
    """Start, reload and stop of nginx over the number of workers, each way as
    a multiple of plain nginx."""
    found = v.nginx["lives"]
    blocks = {f"{way}_{phase}": [
        (n, lives.median(found, n, way, phase)
         / lives.median(found, n, "without", phase))
        for n in found if way in found[n]]
        for way in lives.WAYS for phase in lives.PHASES}
    panels = "".join(f"""\
set title "{name}"
plot $old_{phase} with linespoints title "JSON in a dict", \\
     $with_{phase} with linespoints linewidth 2 title "libwm", \\
     $loaded_{phase} with linespoints title "files alone"
""" for phase, name in targets.LIVES.items())
    plot(folder, "lives", f"""\
set logscale x 4
set xlabel "workers"
set ylabel "time / that of plain nginx"
set yrange [0.8:1.6]
set multiplot layout 1,3
{panels}unset multiplot
""", blocks)


def ns(value):
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |",
             "| " + " | ".join(["---"] + ["---:"] * (len(head) - 1)) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def targets_table(rows):
    return table(("target", "bound", "value", "verdict"), [
        (r.text, ("≤ " if r.most else "≥ ") + f"{r.bound:,g}",
         f"{r.value:,.2f}"
        + (" ({:.2f} to {:.2f})".format(*r.spread) if r.spread else ""),
        "met" if r.met else "**not met**") for r in rows])


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


def herd_table(v):
    """The lives of bare processes, and of those that join and leave."""
    rows = []
    for cores in (1, 2):
        for n in present(v, rf"herd/(\d+)/cores:{cores}"):
            bare, joins = (v.rows[f"{name}/{n}/cores:{cores}"]
                           for name in ("floor_herd", "herd"))
            rows.append((f"{n:,} on {cores}", *(
                f"{bare[key] / 1e3:,.0f}; {joins[key] / 1e3:,.0f}"
                for key in ("start_ns", "stop_ns", "real_time", "cpu_ns")),
                f"{joins['real_time'] / bare['real_time']:.2f}"))
    return table(("processes, cores", "start", "stop", "both", "CPU", "ratio"),
                 rows)


def crowd_table(v):
    """The lock under waiters, and a robust mutex under as many."""
    rows = []
    for n in present(v, r"lock_handover/(\d+)"):
        for name, title in (("lock", "the lock"),
                            ("peer_robust_mutex", "a robust mutex")):
            dead = v.rows[f"{name}_dead_holder/{n}"]
            rows.append((
                f"{n:,}, {title}",
                f"{v[f'{name}_handover/{n}'] / 1e3:,.0f} µs",
                f"{dead['real_time'] / 1e6:,.1f} ms",
                f"{dead['worst_ns'] / 1e6:,.1f} ms",
                f"{dead['cores'] * 100:,.2f} %"))
    return table(("waiters", "handover", "after a death", "worst",
                  "CPU of all, of a core"), rows)


def lives_table(v):
    """Start, reload and stop of nginx, in each way."""
    found = v.nginx["lives"]
    return table(
        ("workers: phase", *lives.NAMES.values()),
        [(f"{n}: {name}", *(spread(found[n][way][phase], " ms")
                            if way in found[n] else "" for way in lives.WAYS))
         for n in found for phase, name in targets.LIVES.items()])


def nginx_table(v):
    n = v.nginx
    ways = n["heartbeats"]
    beats = table(("one heartbeat, ns", "`beat()`", "JSON in a dict",
                   "`dict:incr`"),
                  [(f"{size} workers", *(ns(ways[w][size]) for w in
                                         ("beat", "old", "incr")))
                   for size in ways["beat"]])
    rows = []
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
         f"{v.rest_s():.2f} s"),
        ("as many timers that do nothing, in the same way",
         f"{v.rest_s('timer'):.2f} s"),
        ("a segment of 1024 workers and 1024 events",
         f"{v.segment / 1024:,.0f} KiB"),
    ]
    return beats + "\n\n" + table(("inside nginx", "median (least to most)"),
                                 rows)


def remark(rows):
    """The verdict on all, from the run."""
    missed = sum(not r.met for r in rows)
    return (f"{missed} of {len(rows)} targets are missed." if missed else
            f"All {len(rows)} targets are met.")


def beats(v):
    """Which beat is which, in this run's figures."""
    kinds = (("in the same millisecond: the clock and a load", "beat",
              "floor_clock"),
             ("in a new one: the clock and a swap", "beat_swap",
              "floor_cas_clock"),
             ("at a time that the caller has: a swap", "beat_at", "floor_cas"))
    return table(
        ("beat", "benchmark", "ns", "floor", "ns", "ratio"),
        [(text, f"`{name}`", ns(v[name]), f"`{floor}`", ns(v[floor]),
          f"{v[name] / v[floor]:.2f}") for text, name, floor in kinds])


TEXT = """\
# Results

`bench/run` writes this file from `results.json` beside it. Compare rows of one
run: their ratios count; the absolute figures are those of the machine.

{machine}

## Targets

Each value is of medians of one run, whose benchmarks took turns. In brackets
stand the quartiles of a value that is the median of pairs. {remark}

{targets}

## One heartbeat

There are two kinds of beat. The first one in a millisecond swaps the worker's
word; the others find that it has its beat, and write nothing. A server that
beats at each request mostly gives the others; a worker that beats once in a
second swaps each time.

{beats}

![cost of one heartbeat over the number of workers](heartbeat.svg)

## Processes

So many processes are forked, join and start; when all have, they exit and leave
at once. Beside them as many bare ones, which wait for each other as well. The
figures are µs for one process: bare; with libwm. The ratio is that of both,
with libwm to bare.

{herd}

![cost of a process over their number](herd.svg)

A crowd waits for the lock: until the next one has it when it is given back, and
when its holder is killed (the median of ten, and the worst); and what all of
them use while a holder lives.

{crowd}

## Start, reload and stop of nginx

From the execution of nginx to the last worker that has started; from HUP to the
end of the last old worker; from QUIT to the end of the master. Beside nginx
with the module and without it stands one that loads the module's files and
calls none of them: each worker inherits them, and nginx frees them as it ends.
JSON in a dict is how it was done before libwm: all workers as JSON in a shared
dictionary, under a lock, on which many spin for too long to be measured. Each
cell has the median, and the least and the most.

{lives}

![start, reload and stop over the number of workers, as multiples of plain
nginx](lives.svg)

## A death

A worker of four is killed by SIGKILL, again and again; its replacement or
another survivor is told.

![how long until a survivor is told](detection.svg)

## Requests

One worker that has no rest, with a beat for each request, with an empty hook in
its place, and with none. Runs of a second each take turns.

![requests a second, run by run](requests.svg)

## Inside nginx

{nginx}

## All benchmarks

These are medians, in ns of real time for one operation. In a row with
`/processes:2` another process does the same meanwhile. A row with `/threads:2`
is as Google Benchmark counts it: one operation takes twice that time. `floor_`
stands before the bare instructions that a row is compared with, `peer_` before
another way to the same end.

{micro}
"""


def write(raw, rows, folder):
    v = targets.Values(raw)
    for draw in (plot_heartbeat, plot_herd, plot_lives, plot_deaths,
                 plot_requests):
        draw(folder, v)
    machine = table(("machine", ""), [
        (k, str(x)) for k, x in raw["machine"].items()])
    with open(os.path.join(folder, "RESULTS.md"), "w", encoding="utf-8") as f:
        f.write(TEXT.format(
            machine=machine, targets=targets_table(rows), remark=remark(rows),
            beats=beats(v), herd=herd_table(v), crowd=crowd_table(v),
            lives=lives_table(v), nginx=nginx_table(v), micro=micro_table(v)))


def main():
    folder = os.path.dirname(os.path.realpath(__file__))
    with open(os.path.join(folder, "results.json"), encoding="utf-8") as f:
        raw = json.load(f)
    write(raw, targets.check(raw, targets.chosen(False, False)), folder)


if __name__ == "__main__":
    sys.exit(main())
