# SPDX-License-Identifier: Apache-2.0
"""All that a run has left in writing."""

import math
import re
from collections import Counter, namedtuple
from dataclasses import dataclass, field

# A request that failed. pid: of the worker that the connection is known to be
# with, or None; idle: it was, but for a request that has got no answer; ending:
# whether the worker is, which loses its title before its connections.
Failure = namedtuple("Failure", "since until pid idle ending error")
Reading = namedtuple("Reading", "since until command status")


@dataclass
class Window:
    """From one moment to another of the monotonic clock: noted before the first
    and after the last of what happens in it."""
    since: float
    until: float = math.inf

    def meets(self, other):
        """The other may be anything that has two such moments."""
        return self.since <= other.until and other.since <= self.until


@dataclass
class Felled(Window):
    """By a signal upon which processes end at once, until they are gone."""
    pids: list = field(default_factory=list)


@dataclass
class Life:
    """All that one life of the node left."""
    trace: list = field(default_factory=list)   # of the callbacks
    events: list = field(default_factory=list)  # the log, as wmctl follows it
    ending: dict = field(default_factory=dict)  # wmctl's last word on it
    newest: int = 0             # the last number that a writer of it took
    log: list = field(default_factory=list)     # nginx's error.log
    killed: set = field(default_factory=set)    # by chaos
    holders: set = field(default_factory=set)   # died with the lock
    felled: list = field(default_factory=list)
    left: list = field(default_factory=list)    # segments when all had ended
    gentle: bool = False        # all was up, and nothing hindered the end

    def named(self, *names):
        return [e for e in self.events if e.get("event") in names]

    def begins(self, *names):
        return [x for x in self.trace if x["what"] == "begin"
                and x["event"] in names]

    def search(self, pattern):
        """In nginx's log."""
        return filter(None, map(re.compile(pattern).search, self.log))

    def not_given(self, what):
        """The ids of events that were logged as not given."""
        return Counter(m[1] for m in self.search(
            rf"not given: {what} of ([\d-]+): "))

    def missed(self):
        """Entries whose writers died, or were stopped longer than one waits."""
        return sum(e.get("missed", 0) for e in self.events)

    def pids(self, pattern):
        return {int(m[1]) for m in self.search(pattern)}

    def dead(self):
        """Killed, by chaos or by nginx on a fast stop."""
        return self.killed | self.pids(r" (\d+) exited on signal 9\b")

    def felled_pids(self):
        return {pid for x in self.felled for pid in x.pids}

    def hurried(self):
        """Workers whose master was felled, started too late to be known."""
        masters = {int(m[2]): int(m[1]) for m in self.search(
            r"\[notice\] (\d+)#\d+: start worker process (\d+)")}
        fast = self.pids(r"\[notice\] (\d+)#\d+: exiting$") - self.pids(
            r"\[notice\] (\d+)#\d+: gracefully shutting down")
        return {p for p in fast if masters.get(p) in self.felled_pids()}

    def ended_at_once(self):
        return (self.dead() | self.felled_pids() | self.hurried()
                | self.pids(r" (\d+) exited on signal 15\b"))

    def unfinished(self):
        """Processes whose callback never ended: they told what they took."""
        begun = {(x["by"], x["call"]) for x in self.trace
                 if x["what"] == "begin"}
        ended = {(x["by"], x["call"]) for x in self.trace
                 if x["what"] in ("end", "raise")}
        return {pid for pid, _ in begun - ended}

    def lost(self):
        """How many events may have been taken by the dead, and never told."""
        recovered = {e["value"] for e in self.named("lock-recovered")}
        holders = (self.holders | recovered) - self.unfinished()
        return len(holders) + self.missed()

    def ids(self, *names):
        """Of the workers that such entries of the log are about."""
        return [f'{e["generation"]}-{e["pid"]}' for e in self.named(*names)]

    def spells(self):
        """{generation: how many spells it opened}."""
        return Counter(e["generation"] for e in self.named("generation-active"))

    def owed(self):
        """Master exits that nobody was told of."""
        given = Counter(x["id"] for x in self.begins("master_exit"))
        silent = self.not_given("master_exit")
        return {g: n - given[g] - silent[str(g)]
                for g, n in self.spells().items()}


@dataclass
class Run:
    """All lives of a run, and what its clients saw."""
    lives: list = field(default_factory=list)
    down: list = field(default_factory=list)    # windows without an nginx
    failures: list = field(default_factory=list)
    served: list = field(default_factory=list)
    readings: list = field(default_factory=list)
