# SPDX-License-Identifier: Apache-2.0
"""The targets of libwm's speed, as ratios of medians of one run.

A target that is `stable` holds on a busy machine, too, with the slack that CI
gives it; the others need a machine of their own. One that is `large` needs
thousands of processes, which only a whole run starts.
"""

import statistics
from collections import namedtuple

import lives

Target = namedtuple("Target", "text bound most value stable large")
# spread: (lower, upper quartile) of a value that is the median of pairs
Row = namedtuple("Row", "text value bound most met stable spread")

REST = 64 * 3600 / 10 / 1e9     # an hour of 64 workers, at an interval of 10 s
LIVES = {"start": "start to ready", "reload": "reload to the last old exit",
         "stop": "graceful stop"}


class Values:
    """The medians of a run, by the names of the benchmarks. On a busy machine
    the CPU's time tells more than the clock's."""

    def __init__(self, raw, time="real_time"):
        self.rows = {x["run_name"]: x for x in raw["micro"]
                     if x["aggregate_name"] == "median"}
        self.ns = {name: x[time] for name, x in self.rows.items()}
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

    def rest_s(self, of="with"):
        """CPU of a node of 64 workers at rest, in an hour; or of timers."""
        return self.nginx["rest_ns"][of] * REST


def ratio(a, b):
    return lambda v: v[a] / v[b]


def growth(v, name):
    return v[name + "/processes:2"] / v[name]


def old_way(workers):
    return lambda v: (v.heartbeat("old", workers)
                      / v.heartbeat("beat", workers))


def at_most(text, bound, value, stable=True, large=False):
    return Target(text, bound, True, value, stable, large)


def at_least(text, bound, value, stable=True, large=False):
    return Target(text, bound, False, value, stable, large)


def of_lives(workers):
    """The targets of an nginx with so many workers."""
    def value(phase):
        return lambda v: (
            lives.median(v.nginx["lives"], workers, "with", phase)
            / lives.median(v.nginx["lives"], workers, "without", phase))
    return [at_most(f"nginx, {workers} workers: {name}, with / without", 1.15,
                    value(phase), False) for phase, name in LIVES.items()]


TARGETS = [
    # A beat swaps in a new millisecond, and only reads the clock and its own
    # word in the same one: each is compared with the floor that does the same.
    at_most("beat with a swap / CAS and clock", 1.15,
            ratio("beat_swap", "floor_cas_clock")),
    at_most("beat in the same millisecond / clock", 1.4,
            ratio("beat", "floor_clock")),
    at_most("beat_at with a swap / CAS", 1.2, ratio("beat_at", "floor_cas")),
    at_most("growth of beat to 2 processes / that of floor_cas", 1.2,
            lambda v: growth(v, "beat") / growth(v, "floor_cas"), False),
    at_least("peer_mutex / beat", 2, ratio("peer_mutex", "beat")),
    at_least("peer_robust_mutex / beat, 2 processes on one table", 7,
             ratio("peer_robust_mutex/processes:2", "beat/processes:2"),
             False),
    at_least("peer_futimens / beat", 50, ratio("peer_futimens", "beat")),
    at_least("peer_datagram / beat", 200, ratio("peer_datagram", "beat")),
    at_most("beat at 65,535 workers / at 2", 1.1,
            ratio("beat_of/65535", "beat_of/2")),
    at_most("counts/1024 / two passes over the same words", 1.6,
            ratio("counts/1024", "floor_two_scans/1024")),
    at_most("snapshot/1024 / a scan and a copy of its bytes", 1.6,
            ratio("snapshot/1024", "floor_scan_copy/1024")),
    at_most("sweep/1024 without process checks / floor_scan/1024", 1.5,
            ratio("sweep/1024", "floor_scan/1024")),
    at_most("counts after 8,000 reloads and an upgrade / fresh", 1.5,
            ratio("counts/after_reloads", "counts/fresh")),
    # An exit asks the kernel about the other master, too, of whom a fresh node
    # has none.
    at_most("exit counts after 8,000 reloads and an upgrade / an upgrade", 1.5,
            ratio("exit_counts/after_reloads", "exit_counts/after_upgrade")),
    at_most("taking the last of 4,000 events / the first", 2,
            ratio("event_take_last", "event_take_first")),
    at_most("death to a monitor's subscriber / to a pidfd loop", 2,
            ratio("death_monitor", "floor_death_pidfd"), False),
    at_most("start, join, exit, leave: 1,024 processes / 64, each", 1.3,
            ratio("herd/1024/cores:2", "herd/64/cores:2"), False, True),
    at_most("the same on one core: 4,096 / 64, each", 2,
            ratio("herd/4096/cores:1", "herd/64/cores:1"), False, True),
    at_most("dead holder, 1,000 waiters: until the next, worst, ms", 100,
            lambda v: v.rows["lock_dead_holder/1000"]["worst_ns"] / 1e6,
            False, True),
    at_most("1,000 waiters while a holder lives, % of a core", 10,
            lambda v: v.rows["lock_dead_holder/1000"]["cores"] * 100,
            False, True),
    at_most("view beyond a plain load, ns", 10,
            lambda v: v["view"] - v["floor_load"]),
    at_least("peer_shared_mutex_view / view, 2 threads", 5,
             lambda v: v.both("peer_shared_mutex_view") / v.both("view"),
             False),
    at_most("note of 40 bytes / a copy to a line of one's own", 3,
            ratio("note", "floor_copy"), False),
    at_most("note / the clock, a swap, a copy and a store", 1.5,
            ratio("note", "floor_note")),
    at_most("beat() from compiled Lua / beat from C", 2,
            lambda v: v.heartbeat("beat", 2) / v["beat"]),
    at_least("JSON in a dict / beat() inside nginx, 2 workers", 300,
             old_way(2)),
    at_least("JSON in a dict / beat() inside nginx, 64 workers", 4000,
             old_way(64)),
    at_least("JSON in a dict / beat() inside nginx, 1024 workers", 50000,
             old_way(1024), False),
    at_least("requests/s with / without beat() for each", 0.99,
             lambda v: v.nginx["requests"]["ratios"], False),
    *(t for workers in lives.ROUNDS for t in of_lives(workers)),
    at_most("kill to failure callback, worst, ms", 100,
            lambda v: max(v.nginx["deaths_ms"]), False),
    at_most("64 workers at rest: CPU in an hour of heartbeats, s", 0.8,
            Values.rest_s, False),
    at_most("segment for 1024 workers and the event log, KiB", 384,
            lambda v: v.segment / 1024),
]


def chosen(quick, busy):
    """The targets of a run: a quick one has nothing large, and a busy machine
    tells only of what is stable."""
    return [t for t in TARGETS if not (busy and not t.stable)
            and not (quick and t.large)]


def check(raw, of, slack=1.0, busy=False):
    """A row with the verdict for each of these targets. A value that is a list
    of pairs' ratios counts by its median."""
    values = Values(raw, "cpu_time" if busy else "real_time")
    rows = []
    for t in of:
        value, spread = t.value(values), None
        if isinstance(value, list):
            lower, value, upper = statistics.quantiles(value, n=4)
            spread = lower, upper
        met = value <= t.bound * slack if t.most else value >= t.bound / slack
        rows.append(Row(t.text, value, t.bound, t.most, met, t.stable, spread))
    return rows


def text(rows):
    lines = [f"{'target':60} {'value':>12} {'bound':>12}  verdict"]
    for r in rows:
        bound = ("<= " if r.most else ">= ") + f"{r.bound:,g}"
        lines.append(f"{r.text:60} {r.value:12,.2f} {bound:>12}  "
                     + ("met" if r.met else "NOT MET")
                     + (" (quartiles {:.2f}, {:.2f})".format(*r.spread)
                        if r.spread else ""))
    return "\n".join(lines)
