# SPDX-License-Identifier: Apache-2.0
"""Lives of one instance, drawn at random: masters that come and are killed,
their workers, which outlive them, freeze and are killed, strangers' files.
After each draw, all commands mean the same life, and the right one, and say
which others there are. WM_SEED draws the same again, WM_DRAWS more of them."""

import fcntl
import os
import random
import signal

import proc
from wmctl import NO_NODE, NOT_READY, OK

DRAWS = int(os.environ.get("WM_DRAWS", "40"))
ACTS = {"start": 3, "begin": 2, "join": 6, "kill": 3, "kill_master": 2,
        "freeze": 2, "stranger": 1}


class Life:
    """A master, until it is killed, and workers: {process: generation}."""

    def __init__(self, master):
        self.master, self.file = master, master.file
        self.newest, self.workers = master.begin(), {}

    def pids(self):
        return [x.pid for x in [self.master, *self.workers] if x]


class Draws:
    """What there is, youngest master last; what may be drawn."""

    def __init__(self, place, rng):
        self.place, self.rng, self.lives = place, rng, []
        self.strangers = []

    def one(self, lives):
        """A list of one of these, or of none."""
        return [self.rng.choice(lives)] if lives else []

    def start(self):
        """A process that attaches tidies the dead away."""
        self.lives = [x for x in self.lives if x.pids()]
        self.lives.append(Life(self.place.younger_node()))

    def begin(self):
        for x in self.one([x for x in self.lives if x.master]):
            x.newest = x.master.begin()

    def join(self):
        for x in self.one([x for x in self.lives if x.master]):
            x.workers[x.master.worker(x.newest)] = x.newest

    def kill(self):
        for x in self.one([x for x in self.lives if x.workers]):
            worker = self.rng.choice(list(x.workers))
            del x.workers[worker]
            worker.kill()

    def kill_master(self):
        for x in self.one([x for x in self.lives if x.master]):
            x.master.kill()
            x.master = None

    def freeze(self):
        """One that nobody judges by time: it lives."""
        for x in self.one([x for x in self.lives if x.workers]):
            proc.send(self.rng.choice(list(x.workers)).pid, signal.SIGSTOP)

    def stranger(self):
        """A file of the instance's name, locked as by somebody who lives."""
        name = f"wm.demo.{len(self.strangers):016x}"
        self.strangers.append(open(self.place.path(name), "wb"))
        fcntl.flock(self.strangers[-1], fcntl.LOCK_EX)
        os.chown(self.place.path(name), 65534, 65534)

    def check(self):
        live = [x for x in self.lives if x.pids()]
        led = [x for x in live if x.master]
        listed = {x["file"]: x["live"]
                  for x in self.place.json("list")["nodes"]}
        for x in self.lives:
            assert listed[x.file] is (x in live)
        if not self.lives:
            return
        meant = (led or live or self.lives)[-1]
        shown = self.place.json("show", "demo")
        assert (shown["file"], set(shown["others"])) == (
            meant.file,
            {x.file for x in live or self.lives if x is not meant})
        ready = [x for x, gen in meant.workers.items() if gen == meant.newest]
        waited = self.place.run("--json", "wait", "--ready", "1", "--timeout",
                                "0", "demo")
        assert waited.returncode == (
            OK if ready else NOT_READY if live else NO_NODE), waited
        for x in live:
            for pid in x.pids():
                assert self.place.json("show", str(pid))["file"] == x.file


def test_all_mean_the_same_life_and_the_right_one(place, root):
    seed = int(os.environ.get("WM_SEED", random.randrange(1 << 30)))
    rng = random.Random(seed)
    draws = Draws(place, rng)
    for _ in range(DRAWS):
        (act,) = rng.choices(list(ACTS), ACTS.values())
        print(f"WM_SEED={seed}: {act}")
        getattr(draws, act)()
        draws.check()
