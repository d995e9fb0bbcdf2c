# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The steps of chaos, and how they are drawn.

Step number k of a seed is always the same one: it is drawn from a generator of
its own, by positions instead of pids, so nothing that the machine does changes
what comes next. When a step ends, and which process is at that position, may
differ.
"""

import itertools
import os
import random
import signal
import time
import urllib.request

import conf
import life
import proc
import record
from clients import Crowd, read
from proc import wait

NO_SUCH_DIRECTORY = "listen unix:none/s;"       # bind() fails at once
BROKEN = ({"server": NO_SUCH_DIRECTORY}, {"tail": "nonsense;"},
          {"after_init": "error('chaos')"})
PATIENCE = 3            # seconds for somebody to step into a trap

# What may be drawn, and how often.
STEPS = {"reload": 4, "reload_upon_reload": 2, "failed_reload": 3,
         "end_a_worker": 6, "end_all_workers": 1, "stop_a_process": 5,
         "stall": 2, "trap": 8, "upgrade": 4, "failed_upgrade": 1,
         "lose_a_generation": 2, "end_of_life": 2}


def pick(rng, among):
    """Draws always, so that the next draw does not depend on what is there."""
    at = rng.random()
    return among[int(at * len(among))] if among else None


class Chaos:
    """Leads lives of the node, step by step."""

    def __init__(self, seed, top, port):
        self.seed, self.top = seed, top
        self.instance = conf.own("chaos")
        self.port = port
        self.began = time.monotonic()
        self.lives, self.life, self.crowd = [], None, None
        self.steps = 0
        self.record = record.Run()

    def say(self, *text):
        print(f"# {time.monotonic() - self.began:7.3f} s ", *text, flush=True)

    @property
    def n(self):
        return self.life.n

    # --- the course ---------------------------------------------------------

    def run(self, seconds):
        self.begin_life()
        self.crowd = Crowd(self.port, self.instance)
        try:
            while time.monotonic() < self.began + seconds:
                self.step()
            self.quiet()
        finally:
            self.crowd.end()
        self.say("the end")
        self.life.record.gentle = True
        self.end_life("QUIT")
        self.note_requests()

    def step(self):
        self.steps += 1
        rng = random.Random(f"{self.seed}.{self.steps}")
        name = rng.choices(list(STEPS), STEPS.values())[0]
        self.say(f"step {self.steps}: {name}")
        getattr(self, name)(rng)
        self.life.note_gone()
        if rng.random() < 0.5:
            self.settle()
        else:
            time.sleep(rng.random() * 0.3)

    def settle(self):
        """Waits for the workers of the current generation; none is lost."""
        ready = read([
            "wait", "--ready", str(life.WORKERS), "--timeout",
            str(int(proc.DEADLINE)), self.instance])
        assert ready.status == 0, f"the node does not come up: {ready}"

    def begin_life(self):
        number = len(self.lives) + 1
        # Without a dict, init_by_lua* runs before a broken tail is read.
        has_dict = random.Random(f"{self.seed}/{number}").random() < 0.5
        self.life = life.Life(
            os.path.join(self.top, f"life-{number}"), dict=has_dict,
            **life.parameters(self.instance, self.port))
        self.lives.append(self.life)
        if self.record.down:
            self.record.down[-1].until = time.monotonic()
        self.say(f"life {number}, master {self.n.master},",
                 "a dict" if has_dict else "no dict")

    def end_life(self, name, workers=None):
        """Signals the master, and its orphans where that kills it."""
        self.record.down.append(record.Window(time.monotonic()))
        if name == "KILL":
            self.life.kill(self.n.master)
            for pid, how in zip(life.everybody(), itertools.cycle(workers)):
                self.end_process(how, pid)
        elif name == "TERM":
            self.fell_master(self.n.master, life.everybody())
        else:
            self.life.signal(name, self.n.master)
        self.life.wait_end()
        self.record.lives.append(self.life.close())

    def note_requests(self):
        r, c = self.record, self.crowd
        r.loads, r.readings = c.loads, c.readings
        r.failures = [f for x in c.clients for f in x.failures]
        r.leads = [sorted(x.leads) for x in c.clients]
        r.served = [x.served for x in c.clients]
        r.errors = c.errors

    def fell_master(self, pid, workers):
        self.life.fell("TERM", pid)
        self.life.record.felled[-1].pids += workers

    # --- processes ----------------------------------------------------------

    def workers(self):
        return [p for p in life.everybody()
                if proc.title(p).startswith("nginx: worker")]

    def quiet(self):
        """Waits until there are no workers but these."""
        self.settle()
        wait(lambda: len(self.workers()) == life.WORKERS, "old workers to end")

    def hup(self):
        self.life.signal("HUP", self.n.master)

    # --- the steps ----------------------------------------------------------

    def reload(self, rng):
        known = len(self.n.notes("init"))
        self.hup()
        if rng.random() < 0.5:
            wait(lambda: len(self.n.notes("init")) > known, "the reload")

    def reload_upon_reload(self, rng):
        for _ in range(rng.randrange(2, 5)):
            self.hup()
            time.sleep(rng.random() * 0.15)

    def failed_reload(self, rng):
        broken = rng.choice(BROKEN)
        self.n.reload_fails(r"\[emerg\]|init_by_lua error", **broken)
        self.n.configure()

    def end_a_worker(self, rng):
        name = rng.choice(["KILL", "KILL", "KILL", "TERM", "INT", "QUIT"])
        pid = pick(rng, self.workers())
        self.end_process(name, pid)

    def end_process(self, name, pid):
        self.say(f"    {name} to {pid}")
        if pid is None:
            return
        if name == "KILL":
            self.life.kill(pid)
        elif name == "QUIT":
            self.life.signal(name, pid)
        else:
            self.life.fell(name, pid)

    def end_all_workers(self, rng):
        name = rng.choice(["KILL", "TERM", "QUIT"])
        pids = self.workers()
        self.say(f"    {name} to {pids}")
        if name == "KILL":
            self.life.kill(*pids)
        for pid in pids:
            if name != "KILL":
                self.end_process(name, pid)

    def stop_a_process(self, rng):
        """While it is stopped, something else happens, to it or others."""
        pid = pick(rng, [self.n.master, *self.workers()])
        what = rng.choice(["nothing", "KILL", "TERM", "QUIT", "other", "HUP"])
        seconds, other = rng.random() * 1.2, pick(rng, self.workers())
        self.say(f"    STOP to {pid} for {seconds:.3f} s, then {what}")
        self.life.signal("STOP", pid)
        time.sleep(seconds)
        if what == "HUP":
            self.hup()
        elif what == "other":
            self.end_process("KILL", other)
        elif what != "nothing" and pid != self.n.master:
            self.end_process(what, pid)
        self.life.signal("CONT", pid)

    def lose_a_generation(self, _):
        """A reload whose old workers all die: survivors tell of its end."""
        old = self.workers()
        for pid in old:
            self.life.signal("STOP", pid)
        self.hup()
        try:
            wait(lambda: len(self.workers()) >= len(old) + life.WORKERS,
                 "new workers", PATIENCE)
        except AssertionError:
            self.say("    one of the old has the lock")
        self.life.kill(*old)

    def stall(self, _):
        """A request that keeps its worker from its timers."""
        try:
            urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/stall", timeout=60).close()
        except OSError as error:
            self.say(f"    {error}")

    # --- traps --------------------------------------------------------------

    def trap(self, rng):
        """Something is done to a process in its callback."""
        event = rng.choice(life.TRAPS)
        what = rng.choice(["KILL", "KILL", "TERM", "QUIT", "STOP", "nothing"])
        seconds, yielding = rng.random(), rng.random() < 0.5
        self.say(f"    {event}, {what}{', yielding' if yielding else ''}")
        known = len(self.n.notes("trapped"))
        self.n.open_gate("trap." + event)
        if yielding:
            self.n.open_gate("yield")
        try:
            self.provoke(event, rng)
            pid = self.trapped(known)
            if pid:
                self.done_to(pid, what, seconds)
            else:
                self.say("    nobody came")
        finally:
            self.n.close_gate("trap." + event)
            if yielding:
                self.n.close_gate("yield")
        if self.n.master is None:
            self.begin_life()
        elif pid:
            self.life.signal("CONT", pid)

    def trapped(self, known):
        try:
            wait(lambda: len(self.n.notes("trapped")) > known, "it", PATIENCE)
        except AssertionError:
            return None
        return self.n.notes("trapped")[known]["by"]

    def done_to(self, pid, what, seconds):
        if pid == self.n.master and what != "nothing":
            what = "KILL" if seconds < 0.3 else "STOP"
        self.say(f"    {what} to {pid}")
        if pid == self.n.master and what == "KILL":
            self.end_life("KILL", ["QUIT", "TERM", "KILL"])
        elif what == "STOP":
            self.life.signal("STOP", pid)
            time.sleep(seconds)
        elif what == "nothing":
            time.sleep(seconds)
        else:
            self.end_process(what, pid)

    def provoke(self, event, rng):
        """Lets an event come that has a callback of this name."""
        one = pick(rng, self.workers())
        if event in ("master_start", "master_exit", "leader_lost"):
            self.hup()
        elif event == "worker_exit":
            self.end_process("QUIT", one)
        elif event == "worker_recovered" and one:
            self.life.signal("STOP", one)
            time.sleep(0.8)
            self.life.signal("CONT", one)
        else:
            self.end_process("KILL", one)

    # --- two masters --------------------------------------------------------

    def upgrade(self, rng):
        """Each way in which a binary upgrade may go on."""
        then = rng.choice(["QUIT the old", "TERM the old", "KILL the old",
                           "QUIT the new", "KILL the new", "roll back",
                           "KILL a worker, QUIT the old"])
        one = rng.random()
        self.quiet()
        old, new = self.n.new_binary()
        self.say(f"    {old} -> {new}, {then}")
        if "a worker" in then:
            pids = self.workers()
            self.life.kill(pids[int(one * len(pids))])
        if then == "roll back":
            self.roll_back(old, new)
            return
        name, which = then.split()[-3], then.split()[-1]
        self.end_master(name, old if which == "old" else new)
        if which == "new":
            self.n.back_to(old, new)

    def end_master(self, name, pid):
        """One of two; returns when it and its workers are gone."""
        own = self.n.workers(pid)
        if name == "KILL":
            self.life.kill(pid)
            for orphan in own:
                self.life.signal("QUIT", orphan)
        elif name == "TERM":
            self.fell_master(pid, own)
        else:
            self.life.signal(name, pid)
        self.n.wait_gone([pid, *own])
        self.life.note_gone()

    def roll_back(self, old, new):
        self.n.winch(old)
        self.n.signal("HUP", old)
        wait(lambda: len(self.n.workers(old)) >= life.WORKERS,
             "the old one's workers")
        self.end_master("QUIT", new)
        self.n.back_to(old, new)

    def failed_upgrade(self, _):
        kept = dict(self.n.params)
        self.n.configure(server=NO_SUCH_DIRECTORY)
        self.n.signal("USR2")

        def has_failed():
            # A reload that fails just now makes nginx forget the USR2 until
            # it has another signal.
            os.kill(self.n.master, signal.SIGCHLD)
            return "exited with code 1" in self.n.log()[self.n.mark:]
        wait(has_failed, "the new binary's end")
        self.n.params = kept
        self.n.configure()
        self.n.back_to(self.n.master, 0)

    # --- the end of a life --------------------------------------------------

    def end_of_life(self, rng):
        name = rng.choice(["QUIT", "TERM", "KILL", "KILL all"])
        workers = [rng.choice(["QUIT", "TERM", "KILL"]) for _ in range(8)]
        self.say(f"    {name} to the master")
        if name == "KILL all":
            name, workers = "KILL", ["KILL"]
        self.end_life(name, workers)
        self.begin_life()
