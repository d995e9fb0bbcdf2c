# SPDX-License-Identifier: Apache-2.0
"""Reads what wmt.lua traced, and checks what holds for every trace: also what
the counts must be, given the order in which callbacks came.

Callbacks run one at a time, so their order alone fixes every count; what the
order leaves open is a small set, named here:
  - a worker that was killed may be seen until it is proven dead, and in
    n_mine of a start until its heartbeat would have expired;
  - n_mine of an exit includes siblings that wait to start;
  - a generation that has not joined may be passed over once it is aborted.
"""

import json
from collections import Counter, namedtuple

import proc

Row = namedtuple("Row", "event gen n_prev n_mine n_next reason")


def read(path):
    """All complete lines so far, as written; what is nil is not there."""
    return [json.loads(line) for line in proc.read(path).split("\n")[:-1]]


def lives(lines):
    """The trace, cut where the test began another life of the node."""
    parts = [[]]
    for line in lines:
        if line["what"] == "life":
            parts.append([])
        parts[-1].append(line)
    return parts


def begins(lines):
    """The callbacks, in the order in which they began."""
    return [x for x in lines if x["what"] == "begin"]


def row(line):
    info = line["info"]
    return Row(line["event"], info["generation"], line.get("n_prev"),
               line["n_mine"], line.get("n_next"), info["reason"])


def rows(lines):
    return [row(x) for x in begins(lines)]


def overlaps(lines, killed=()):
    """Faults, if callbacks run one at a time; the dead do not finish."""
    running = None
    for x in lines:
        if x["what"] == "begin":
            if running and running["by"] not in killed:
                yield f"overlap: {running} and {x}"
            running = x
        elif x["what"] in ("end", "raise"):
            if not running or (running["by"], running["call"]) != (
                    x["by"], x["call"]):
                yield f"overlap: {running} and {x}"
            running = None
    if running and running["by"] not in killed:
        yield f"never ended: {running}"


def wrong_arguments(lines):
    """Callbacks whose five arguments do not say the same thing."""
    for x in begins(lines):
        info = x.get("info")
        if not info:
            continue            # of a leader's callback, which is told a term
        expected = info["generation"] if "master" in x["event"] else (
            f'{info["generation"]}-{info["pid"]}')
        own = x["event"] in ("master_start", "worker_start", "worker_exit")
        said = x["nargs"], info["event"], x["id"]
        if said != (5, x["event"], expected) or info["spell"] < 1 or (
                own and info["pid"] != x["by"]):
            yield x


def failed_calls(lines):
    """Calls of the module that did not return one `true`."""
    return [x for x in lines if x["what"] == "call"
            and (x["n"] != 1 or x.get("first") is not True)]


def check(lines, killed, succeeds):
    """Claims that hold for every life. succeeds: so does each call."""
    given = Counter()
    for x in begins(lines):
        spell = x["info"]["spell"] if x["event"] == "master_exit" else None
        given[x["event"], x["id"], spell] += 1
    wrong = [*wrong_arguments(lines), *overlaps(lines, killed),
             *(f"given more than once: {k}" for k, n in given.items() if n > 1),
             *(failed_calls(lines) if succeeds else ())]
    assert not wrong, wrong


class Gen:
    """One generation, as far as the trace has told."""

    def __init__(self, number, starts):
        self.number = number
        self.to_come = starts       # worker starts still to come
        self.live = set()
        self.dead = set()           # killed, perhaps not yet forgotten
        self.joined = False
        self.exited = False
        self.spell = 1

    def counts(self):
        """How many of it another generation's callback may see."""
        return range(len(self.live), len(self.live) + len(self.dead) + 1)


class Model:
    """Replays a trace; check() raises at the first row that cannot be."""

    def __init__(self, lines, master_exits=True):
        self.lines = lines
        self.master_exits = master_exits
        self.gens = {}
        self.due = None             # the generation whose last has left
        self.starts = Counter(x["info"]["generation"] for x in begins(lines)
                              if x["event"] == "worker_start")

    def check(self):
        for x in self.lines:
            if x["what"] == "killed":
                self.killed(x["pid"])
            elif x["what"] == "begin":
                self.row = row(x)
                self.line = x
                self.order()
                getattr(self, x["event"])(x["info"])
        assert self.due is None or not self.master_exits, (
            f"master exit of {self.due} never given")
        return self

    def claim(self, ok, why):
        assert ok, f"{why}: {self.row} in {self.line}"

    def killed(self, pid):
        self.due = None
        for gen in self.gens.values():
            if pid in gen.live:
                gen.live.remove(pid)
                gen.dead.add(pid)

    def order(self):
        """The last exit and its master's exit are one step."""
        if self.due is not None and self.master_exits:
            self.claim(self.row.event == "master_exit"
                       and self.row.gen == self.due,
                       f"master exit of {self.due} must come next")
        self.due = None

    def older(self, number):
        gens = [g for n, g in self.gens.items() if n < number]
        if not gens:
            return {None}
        allowed = set()
        for gen in sorted(gens, key=lambda g: -g.number):
            allowed |= set(gen.counts()) - {0}
            if gen.live:
                return allowed
        return allowed | {0}

    def newer(self, number):
        last = max(self.gens)
        allowed = set()
        for n in sorted(n for n in self.gens if n > number):
            gen = self.gens[n]
            if gen.joined and not gen.exited:
                return allowed | set(gen.counts())
            if not gen.joined and (n == last or gen.to_come):
                allowed.add(0)      # begun, or its first one is joining
                if gen.to_come and n == last:
                    return allowed
        return allowed | {None}

    def counts(self, mine):
        self.claim(self.row.n_prev in self.older(self.row.gen),
                   f"n_prev not in {self.older(self.row.gen)}")
        self.claim(self.row.n_mine in mine, f"n_mine not in {mine}")
        self.claim(self.row.n_next in self.newer(self.row.gen),
                   f"n_next not in {self.newer(self.row.gen)}")

    def master_start(self, _):
        self.claim(all(n < self.row.gen for n in self.gens), "id not new")
        self.gens[self.row.gen] = Gen(self.row.gen, self.starts[self.row.gen])
        self.counts([0])
        self.claim(self.row.n_next is None, "a newer generation")
        first = len(self.gens) == 1
        self.claim(self.row.reason == ("start" if first else "reload"),
                   "reason")

    def worker_start(self, info):
        gen = self.gens[self.row.gen]
        if gen.exited:
            gen.exited = False
            gen.spell += 1
        gen.joined = True
        gen.to_come -= 1
        gen.live.add(info["pid"])
        self.counts(gen.counts())
        self.claim(info["spell"] == gen.spell, f"spell not {gen.spell}")
        usual = "start" if self.row.gen == min(self.gens) else "reload"
        self.claim(self.row.reason in (usual, "respawn"), "reason")

    def worker_exit(self, info):
        gen = self.gens[self.row.gen]
        self.claim(info["pid"] in gen.live, "exit without a start")
        live = len(gen.live)
        self.counts(range(live, live + gen.to_come + 1))
        gen.live.remove(info["pid"])
        self.claim(info["spell"] == gen.spell, f"spell not {gen.spell}")
        self.ending()
        if self.row.n_mine == 1 and not gen.to_come:
            self.due = gen.number

    def master_exit(self, info):
        gen = self.gens[self.row.gen]
        self.claim(gen.joined and not gen.live, "workers are left")
        self.claim(not gen.exited, "already given")
        gen.exited = True
        self.counts([0])
        self.claim(info["spell"] == gen.spell, f"spell not {gen.spell}")
        if self.row.reason != "crash":
            self.ending()

    def ending(self):
        reason = "stop" if self.row.n_next is None else "reload"
        self.claim(self.row.reason == reason, f"reason not {reason}")

    def check_complete(self):
        """Nothing is owed: all who started have left, and their masters."""
        for gen in self.gens.values():
            assert not gen.live, f"no exit given: {gen.number}: {gen.live}"
            assert not gen.joined or gen.exited or not self.master_exits, (
                f"master exit of {gen.number} never given")
