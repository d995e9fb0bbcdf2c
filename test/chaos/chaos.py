# SPDX-License-Identifier: Apache-2.0
"""Chaos on a real nginx, drawn from a seed; then its record is judged.

Step number k of a seed is always the same one: it is drawn from a generator of
its own, by positions instead of pids, so nothing that the machine does changes
what comes next. When a step ends, and which process is at that position, may
differ. This and life.py, which leads one life, judge nothing: rules.py does, by
what record.py holds. A run that fails keeps its files in build/chaos.
"""

import argparse
import contextlib
import glob
import itertools
import os
import random
import shutil
import signal
import socket
import sys
import time
import traceback

import conf
import leftovers
import life
import proc
import record
import rules
from proc import wait

NO_SUCH_DIRECTORY = "listen unix:none/s;"       # bind() fails at once
BROKEN = ({"server": NO_SUCH_DIRECTORY}, {"tail": "nonsense;"},
          {"after_init": "error('chaos')"})
PATIENCE = 3            # seconds for what may not come at all

# The steps that may be drawn, and how often.
STEPS = {"reload": 6, "failed_reload": 3, "end_workers": 7,
         "stop_a_process": 6, "trap": 9, "upgrade": 4, "failed_upgrade": 1,
         "end_of_life": 2}


def pick(rng, among):
    """A list of one, or of none; it draws in any case, for the next draw."""
    at = int(rng.random() * len(among))
    return among[at:at + 1]


def workers():
    return [p for p in life.everybody()
            if proc.title(p).startswith("nginx: worker")]


class Chaos:
    """Leads lives of the node, step by step."""

    def __init__(self, seed, top, port):
        self.seed, self.top, self.port = seed, top, port
        self.instance = conf.own("chaos")
        self.began = time.monotonic()
        self.lives, self.life = [], None
        self.strangers = []             # files that stay open
        self.steps = 0
        self.record = record.Run()

    def say(self, *text):
        print(f"# {time.monotonic() - self.began:7.3f} s ", *text, flush=True)

    @property
    def n(self):
        return self.life.n

    # --- the course ---------------------------------------------------------

    def run(self, seconds):
        self.strangers += life.strangers(self.instance, 20)
        self.begin_life()
        crowd = life.Crowd(self.port, self.instance)
        try:
            while time.monotonic() < self.began + seconds:
                self.step()
            self.quiet()
        finally:
            crowd.end()
        self.life.record.gentle = True
        self.end_life("QUIT")
        self.record.readings = crowd.readings
        self.record.failures = [f for x in crowd.clients for f in x.failures]
        self.record.served = [x.served for x in crowd.clients]

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
        proc.run(conf.WMCTL, "wait", "--ready", str(life.WORKERS), "--timeout",
                 str(int(proc.DEADLINE)), self.instance)

    def quiet(self):
        """Waits until there are no workers but these."""
        self.settle()
        wait(lambda: len(workers()) == life.WORKERS, "old workers to end")

    def begin_life(self):
        number = len(self.lives) + 1
        # Without a dict, init_by_lua* runs before a broken tail is read.
        rng = random.Random(f"{self.seed}/{number}")
        has_dict, beside = rng.random() < 0.5, life.surroundings(rng)
        self.life = life.Life(
            os.path.join(self.top, f"life-{number}"), dict=has_dict,
            **beside, **life.parameters(self.instance, self.port))
        self.lives.append(self.life)
        if self.record.down:
            self.record.down[-1].until = time.monotonic()
        self.say(f"life {number}, master {self.n.master}, dict {has_dict},",
                 *(f"{x}: {y.partition('.')[2]}" for x, y in beside.items()))

    def end_life(self, name, orphans=()):
        """Signals the master, and its orphans where that kills it."""
        self.record.down.append(record.Window(time.monotonic()))
        self.life.end_master(name, self.n.master, life.everybody())
        if name == "KILL":
            for pid, how in zip(life.everybody(), itertools.cycle(orphans)):
                self.end(how, pid)
        self.record.lives.append(self.life.close())

    def end(self, name, *pids):
        self.say(f"    {name} to {pids}")
        self.life.end(name, *pids)

    # --- the steps ----------------------------------------------------------

    def reload(self, rng):
        known = len(self.n.notes("init"))
        self.life.signal("HUP", self.n.master)
        if rng.random() < 0.5:
            wait(lambda: len(self.n.notes("init")) > known, "the reload")

    def failed_reload(self, rng):
        broken = rng.choice(BROKEN)
        self.n.reload_fails(r"\[emerg\]|init_by_lua error", **broken)
        self.n.configure()

    def end_workers(self, rng):
        """One, and now and then all."""
        name = rng.choice(["KILL", "KILL", "KILL", "TERM", "INT", "QUIT"])
        one = pick(rng, workers())
        self.end(name, *(workers() if rng.random() < 0.15 else one))

    def stop_a_process(self, rng):
        """While it is stopped, something else happens, to it or others."""
        pid, = pick(rng, [self.n.master, *workers()])
        what = rng.choice(["nothing", "KILL", "TERM", "QUIT", "other", "HUP"])
        seconds, other = rng.random() * 1.2, pick(rng, workers())
        self.say(f"    STOP to {pid} for {seconds:.3f} s, then {what}")
        self.life.signal("STOP", pid)
        time.sleep(seconds)
        if what == "HUP":
            self.life.signal("HUP", self.n.master)
        elif what == "other":
            self.end("KILL", *other)
        elif what != "nothing" and pid != self.n.master:
            self.end(what, pid)
        self.life.signal("CONT", pid)

    # --- traps --------------------------------------------------------------

    def trap(self, rng):
        """Something is done to a process in its callback."""
        event = rng.choice(life.TRAPS)
        what = rng.choice(["KILL", "KILL", "TERM", "QUIT", "STOP", "nothing"])
        seconds, yielding = rng.random(), rng.random() < 0.5
        gates = ["trap." + event, *(["yield"] if yielding else [])]
        self.say(f"    {event}, {what}{', yielding' if yielding else ''}")
        known = len(self.n.notes("trapped"))
        nginx, pid = self.n, None
        for gate in gates:
            nginx.open_gate(gate)
        try:
            self.provoke(event, rng)
            with contextlib.suppress(AssertionError):   # it need not come
                wait(lambda: len(nginx.notes("trapped")) > known, event,
                     PATIENCE)
            for trapped in nginx.notes("trapped")[known:known + 1]:
                pid = trapped["by"]
                self.done_to(pid, what, seconds)
        finally:
            for gate in gates:
                nginx.close_gate(gate)
        if nginx.master is None:
            self.begin_life()
        elif pid:
            self.life.signal("CONT", pid)

    def done_to(self, pid, what, seconds):
        self.say(f"    it is {pid}")
        if pid == self.n.master and what != "nothing":
            what = "KILL" if seconds < 0.3 else "STOP"
        if what == "STOP":
            self.life.signal("STOP", pid)
        if what in ("STOP", "nothing"):
            time.sleep(seconds)
        elif pid == self.n.master:
            self.end_life("KILL", ["QUIT", "TERM", "KILL"])
        else:
            self.end(what, pid)

    def provoke(self, event, rng):
        """Lets an event come that has a callback of this name."""
        one = pick(rng, workers())
        if event in ("master_start", "master_exit", "leader_lost"):
            self.life.signal("HUP", self.n.master)
        elif event == "worker_exit":
            self.end("QUIT", *one)
        elif event == "worker_recovered":
            self.life.signal("STOP", *one)
            time.sleep(0.8)
            self.life.signal("CONT", *one)
        else:
            self.end("KILL", *one)

    # --- two masters --------------------------------------------------------

    def upgrade(self, rng):
        """Each way in which a binary upgrade may go on."""
        then = rng.choice(["QUIT the old", "TERM the old", "KILL the old",
                           "QUIT the new", "KILL the new", "roll back",
                           "KILL a worker, QUIT the old"])
        self.quiet()
        old, new = self.n.new_binary()
        self.say(f"    {old} -> {new}, {then}")
        if "a worker" in then:
            self.end("KILL", *pick(rng, workers()))
        if then == "roll back":
            self.n.winch(old)
            self.n.signal("HUP", old)
            wait(lambda: len(self.n.workers(old)) >= life.WORKERS,
                 "the old one's workers")
            then = "QUIT the new"
        name, which = then.split()[-3], then.split()[-1]
        pid = old if which == "old" else new
        own = self.n.workers(pid)
        self.life.end_master(name, pid, own)
        if name == "KILL":
            self.life.signal("QUIT", *own)
        self.n.wait_gone([pid, *own])
        self.life.note_gone()
        if which == "new":
            self.n.back_to(old, new)

    def failed_upgrade(self, _):
        kept = dict(self.n.params)
        self.n.configure(server=NO_SUCH_DIRECTORY)
        self.n.signal("USR2")

        def has_failed():
            # A reload that fails now makes nginx forget USR2 until a signal.
            os.kill(self.n.master, signal.SIGCHLD)
            return "exited with code 1" in self.n.log()[self.n.mark:]
        wait(has_failed, "the new binary's end")
        self.n.params = kept
        self.n.configure()
        self.n.back_to(self.n.master, 0)

    def end_of_life(self, rng):
        name = rng.choice(["QUIT", "TERM", "KILL", "KILL all"])
        self.say(f"    {name} to the master")
        self.end_life(name.split()[0], ["KILL"] if name == "KILL all" else
                      rng.sample(["QUIT", "TERM", "KILL"], 3))
        self.begin_life()


def free_port():
    """None that the kernel gives to clients: one of these that finds nobody
    there might be connected to itself."""
    while True:
        port = random.SystemRandom().randrange(20000, 30000)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


def judge(chaos, error):
    """Prints what each rule found, as TAP; returns how many are broken."""
    found = {"the_course": [error] if error else [],
             **rules.audit(chaos.record)}
    for number, (rule, texts) in enumerate(found.items(), 1):
        print(f"{'not ok' if texts else 'ok'} {number} - {rule}")
        for text in texts:
            print("# " + text.strip().replace("\n", "\n# "))
    print(f"1..{len(found)}\n# seed {chaos.seed}: {chaos.steps} steps,",
          f"{len(chaos.lives)} lives, {sum(chaos.record.served)} requests")
    return any(found.values())


def main():
    parser = argparse.ArgumentParser(prog="test/chaos/run")
    parser.add_argument("--seed", type=int, default=os.environ.get(
        "WM_SEED") or random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--seconds", type=float, default=45)
    options = parser.parse_args()
    proc.end_politely()
    for number in (signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_DFL)
    proc.adopt_orphans()
    top = os.path.join(conf.BUILD, "chaos", str(os.getpid()))
    os.makedirs(top)
    chaos = Chaos(options.seed, top, free_port())
    print(f"# chaos: seed {options.seed}, in {top}", flush=True)
    error = None
    try:
        chaos.run(options.seconds)
    except Exception:           # pylint: disable=broad-except
        error = traceback.format_exc()
    finally:
        leftovers.kill_all()
    broken = judge(chaos, error)
    leftovers.remove(glob.glob(f"/dev/shm/wm.{chaos.instance}.*"))
    if not broken:
        shutil.rmtree(top)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
