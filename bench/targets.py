# SPDX-License-Identifier: Apache-2.0
"""The targets of libwm's speed, as ratios of medians of one run.

A target that is `stable` holds on a busy machine, too, with the slack that CI
gives it; the others need a machine of their own.
"""

import statistics
from collections import namedtuple

Target = namedtuple("Target", "text bound most value stable")
Row = namedtuple("Row", "text value bound most met stable")


class Values:
    """The medians of a run, by the names of the benchmarks. On a busy machine
    the CPU's time tells more than the clock's."""

    def __init__(self, raw, time="real_time"):
        self.ns = {x["run_name"]: x[time]
                   for x in raw["micro"]
                   if x["aggregate_name"] == "median"}
        self.nginx = raw["nginx"]
        self.segment = raw["segment_bytes"]

    def __getitem__(self, name):
        """ns of an operation."""
        return self.ns[name]

    def both(self, name):
        """ns of an operation of one of two threads at once."""
        return self.ns[f"{name}/threads:2"] * 2

    def heartbeat(self, way, workers):
        return self.nginx["heartbeats"][way][str(workers)]


def ratio(a, b):
    return lambda v: v[a] / v[b]


def growth(v, name):
    return v[name + "/processes:2"] / v[name]


def old_way(workers):
    return lambda v: (v.heartbeat("old", workers)
                      / v.heartbeat("beat", workers))


def at_most(text, bound, value, stable=True):
    return Target(text, bound, True, value, stable)


def at_least(text, bound, value, stable=True):
    return Target(text, bound, False, value, stable)


TARGETS = [
    at_most("beat_at / floor_cas", 1.5, ratio("beat_at", "floor_cas")),
    # A beat swaps if the coarse clock has moved on, and only reads the clock if
    # it has not: each is compared with the floor that does the same.
    at_most("beat that swaps / CAS and clock", 1.25,
            ratio("beat_swap", "floor_cas_clock")),
    at_most("beat within a tick of the clock / clock", 1.25,
            ratio("beat", "floor_clock")),
    at_most("growth of beat to 2 processes / that of floor_cas", 1.2,
            lambda v: growth(v, "beat") / growth(v, "floor_cas"), False),
    at_least("peer_mutex / beat", 2, ratio("peer_mutex", "beat")),
    at_least("peer_robust_mutex / beat, 2 processes on one table", 7,
             ratio("peer_robust_mutex/processes:2", "beat/processes:2"),
             False),
    at_least("peer_futimens / beat", 50, ratio("peer_futimens", "beat")),
    at_least("peer_datagram / beat", 200, ratio("peer_datagram", "beat")),
    at_most("counts/1024 / floor_scan/1024", 3,
            ratio("counts/1024", "floor_scan/1024")),
    at_most("snapshot/1024 with identities / floor_scan/1024", 4,
            ratio("snapshot/1024", "floor_scan/1024")),
    at_most("sweep/1024 without process checks / floor_scan/1024", 1.5,
            ratio("sweep/1024", "floor_scan/1024")),
    at_most("beat at 65,535 workers / at 2", 1.1,
            ratio("beat_of/65535", "beat_of/2")),
    at_most("view beyond a plain load, ns", 10,
            lambda v: v["view"] - v["floor_load"]),
    at_least("peer_shared_mutex_view / view, 2 threads", 5,
             lambda v: v.both("peer_shared_mutex_view") / v.both("view"),
             False),
    at_most("beat() from compiled Lua / beat from C", 2,
            lambda v: v.heartbeat("beat", 2) / v["beat"]),
    at_least("old way / beat() inside nginx, 2 workers", 300, old_way(2)),
    at_least("old way / beat() inside nginx, 64 workers", 4000, old_way(64)),
    at_least("old way / beat() inside nginx, 1024 workers", 50000,
             old_way(1024), False),
    at_least("requests/s with / without beat() for each", 0.98,
             lambda v: statistics.median(v.nginx["requests"]["ratios"]),
             False),
    at_most("kill to failure callback, worst, ms", 100,
            lambda v: max(v.nginx["deaths_ms"]), False),
    at_most("segment for 1024 workers and the event log, KiB", 384,
            lambda v: v.segment / 1024),
]


def check(raw, slack=1.0, busy=False):
    """A row with the verdict for each target, or for each that holds on a busy
    machine."""
    values = Values(raw, "cpu_time" if busy else "real_time")
    rows = []
    for t in TARGETS:
        if busy and not t.stable:
            continue
        value = t.value(values)
        met = value <= t.bound * slack if t.most else value >= t.bound / slack
        rows.append(Row(t.text, value, t.bound, t.most, met, t.stable))
    return rows


def text(rows):
    lines = [f"{'target':58} {'value':>12} {'bound':>12}  verdict"]
    for r in rows:
        bound = ("<= " if r.most else ">= ") + f"{r.bound:,g}"
        lines.append(f"{r.text:58} {r.value:12,.2f} {bound:>12}  "
                     + ("met" if r.met else "NOT MET"))
    return "\n".join(lines)
