# SPDX-License-Identifier: Apache-2.0
"""Leads a real nginx through its lives and prints what its callbacks saw.

Exit status 0 means that each callback was given once, with the numbers that
are documented, and that nothing is left.
"""

import fcntl
import os
import re
import shutil
import signal
import sys
import time
from collections import Counter

import conf
import leftovers
import model
import proc
from nginx import Nginx

CONF = os.path.join(conf.ROOT, "lua/example/nginx.conf")
PREFIX = os.path.join(conf.ROOT, "build/example")
WORKERS = 2

LINE = re.compile(r"\S+ \S+ \[(\w+)\] (\d+)#\d+: (.*)")
RECORD = re.compile(r"recorder: ((?: ?\w+=[^ ,]+)+)")

# The lines that the synopsis itself logs in each callback.
BANNERS = {
    "master_start": "= Master start =",
    "master_exit": "= Master exit =",
    "worker_start": "- Worker start -",
    "worker_exit": "- Worker exit -",
}
LOUD = ("warn", "error", "crit", "alert", "emerg")


class Failed(Exception):
    """The example cannot go on; the text says why."""


def starts(generation, reason):
    """The configuration is read, then its workers come up."""
    return [("master_start", generation, reason)] + [
        ("worker_start", generation, reason)] * WORKERS


def exits(generation, reason):
    """The workers leave, and the last one ends the generation."""
    return [("worker_exit", generation, reason)] * WORKERS + [
        ("master_exit", generation, reason)]


def now():
    """The time of day in whole milliseconds, as nginx has it."""
    return time.time_ns() // 1000000 / 1000


class TimeLine:
    """Reads error.log as it grows, prints it, and compares."""

    def __init__(self):
        self.offset = 0
        self.began = now()
        self.life = []              # what happened in it, for the model
        self.given = Counter()      # callbacks that expect() awaits
        self.counts = dict.fromkeys(BANNERS, 0)
        self.banners = dict.fromkeys(BANNERS, 0)
        self.expected = [re.escape(b) for b in BANNERS.values()]
        self.lines = []             # messages since the last act
        self.wrong = []

    def heading(self, title):
        print(f"\n-- {title} {'-' * (76 - len(title))}")

    def note(self, text):
        print(f"{now() - self.began:7.3f}         {text}", flush=True)

    def fault(self, text):
        self.wrong.append(text)
        print(f"    !!! {text}", flush=True)

    def read(self):
        """Takes in the lines that were logged since the last call."""
        try:
            with open("error.log", "rb") as f:
                f.seek(self.offset)
                text = f.read()
        except FileNotFoundError:
            return
        text = text[:text.rfind(b"\n") + 1]
        self.offset += len(text)
        for line in text.decode(errors="replace").splitlines():
            match = LINE.match(line)
            if match:
                self.take(*match.groups())

    def take(self, level, pid, message):
        self.lines.append(message)
        record = RECORD.search(message)
        if record:
            self.show(int(pid), dict(pair.split("=", 1)
                                     for pair in record[1].split()))
            return
        for event, banner in BANNERS.items():
            self.banners[event] += banner in message
        if level in LOUD and not any(re.search(e, message)
                                     for e in self.expected):
            self.fault(f"unexpected in error.log: {message}")

    def show(self, pid, seen):
        """Prints one record as a row, and keeps it to be compared."""
        event, reason = seen["event"], seen["reason"]
        generation, _, worker = seen["id"].partition("-")
        if worker != (str(pid) if event.startswith("worker") else ""):
            self.fault(f"the id {seen['id']} is not that of process {pid}")
        self.counts[event] += 1
        self.given[event, int(generation), reason] += 1
        counts = {key: int(seen[key]) for key in ("n_prev", "n_mine", "n_next")
                  if seen[key] != "nil"}
        self.life.append({
            "what": "begin", "event": event, **counts, "info": {
                "generation": int(generation), "spell": 1, "pid": pid,
                "reason": reason}})
        print(f"{float(seen['time']) - self.began:7.3f} {pid:>7} "
              f"{event.replace('_', ' '):12} {seen['id']:9} "
              f"{seen['n_prev']:>6} {seen['n_mine']:>6} "
              f"{seen['n_next']:>6} {reason:7} {seen['phase']}", flush=True)

    def wait(self, condition, what):
        """Waits until condition() is true; returns what it returned."""
        def check():
            self.read()
            return condition()
        try:
            return proc.wait(check, what)
        except AssertionError as error:
            raise Failed(str(error)) from None

    def expect(self, events):
        """Waits for so many callbacks; they should be these."""
        try:
            self.wait(lambda: self.given.total() >= len(events),
                      f"{len(events)} callbacks")
        finally:
            wanted, given = Counter(events), self.given
            self.given = Counter()
            for text, some in (("missing", wanted - given),
                               ("too many", given - wanted)):
                for (event, generation, reason), n in some.items():
                    self.fault(f"{text}: {n} {event} of generation "
                               f"{generation}, {reason}")

    def wait_line(self, pattern):
        self.wait(lambda: any(re.search(pattern, x) for x in self.lines),
                  f"error.log to say {pattern}")

    def settle(self):
        """At the end of a life: there is no callback too many, none is missing,
        and the numbers fit the order."""
        self.expect([])
        try:
            model.Model(self.life).check().check_complete()
        except AssertionError as error:
            self.fault(str(error))
        self.life = []
        if self.counts != self.banners:
            self.fault(f"the synopsis logged {self.banners}, "
                       f"the recorder {self.counts}")


class Server(Nginx):
    """The nginx, which daemonizes: it becomes our child by adoption."""

    def __init__(self, line):
        super().__init__(PREFIX, daemon=True)
        self.line = line

    def configure(self, listen=""):
        """Writes nginx.conf; listen: one address more."""
        with open(CONF, encoding="utf-8") as f:
            text = f.read()
        if listen:
            text = re.sub(r"( *)listen .*\n",
                          rf"\g<0>\1listen {listen};\n", text)
        self.write(text)

    def version(self):
        return self.run("-v").stderr.split(":")[-1].strip()

    def start(self):
        try:
            super().start()
        except AssertionError as error:
            raise Failed(str(error)) from None

    def signal(self, name, pid=None):
        self.line.read()
        del self.line.lines[:]
        self.line.note(f"{name} to {'worker' if pid else 'master'} "
                       f"{pid or self.master}")
        super().signal(name, pid)

    def workers(self, master=None):
        self.wait_titles()      # else a new worker may be overlooked
        return super().workers(master)

    def reload(self, old, new):
        """A good reload, from one generation to another."""
        workers = self.workers()
        self.signal("HUP")
        self.line.expect(starts(new, "reload") + exits(old, "reload"))
        self.line.wait(lambda: all(map(proc.gone, workers)),
                       "the old workers to end")

    def stop(self, name, generation):
        segments = leftovers.segments_of(self.master)
        everybody = [self.master, *proc.family(self.master)]
        self.signal(name)
        self.line.expect(exits(generation, "stop"))
        self.line.wait(lambda: all(map(proc.gone, everybody)),
                       "nginx to end")
        self.line.settle()
        left = [s for s in segments if os.path.exists(s)]
        left += [f"process {p}" for p in proc.family(os.getpid())]
        if left:
            self.line.fault(f"left behind: {', '.join(left)}")
        else:
            self.line.note("nginx has ended; no process and no segment "
                           "is left")


def start(line, server):
    line.heading("1. A start")
    server.start()
    line.expect(starts(1, "start"))


def reload(line, server):
    line.heading("2. A reload")
    server.reload(1, 2)


def killed_worker(line, server):
    line.heading("3. A killed worker, and the one that takes its place")
    pid = server.workers()[0]
    line.expected += [r"exited on signal 9", r"worker \S+ crashed"]
    server.signal("KILL", pid)
    line.life.append({"what": "killed", "pid": pid})
    line.expect([("worker_start", 2, "respawn")])
    line.wait_line(f"process {pid} exited on signal 9")
    line.wait_line(f"worker 2-{pid} crashed")
    line.note(f"error.log has: worker 2-{pid} crashed")


def failed_reload(line, server):
    line.heading("4. A reload that fails, and then a good one")
    workers = server.workers()
    line.expected.append(r"bind\(\) to unix:\S*missing")
    server.configure(listen="unix:missing/nginx.sock")
    server.signal("HUP")
    line.expect([("master_start", 3, "reload")])
    line.wait_line(r"bind\(\) to unix:\S*missing")
    line.note("bind() failed: generation 3 has no workers")
    if server.get(name="nginx.sock") != 204 or server.workers() != workers:
        line.fault("the failed reload has harmed the workers")
    server.configure()
    server.reload(2, 4)


def graceful_stop(line, server):
    line.heading("5. A graceful stop")
    server.stop("QUIT", 4)


def fast_stop(line, server):
    line.heading("6. A new start, and a fast stop")
    server.start()
    line.expect(starts(1, "start"))
    server.stop("TERM", 1)


LIVES = (start, reload, killed_worker, failed_reload, graceful_stop,
         fast_stop)


def prepare():
    """An empty prefix, which is the working directory from here on."""
    os.makedirs(PREFIX, exist_ok=True)
    lock = os.open(PREFIX, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failed(f"another example is running in {PREFIX}") from None
    for entry in os.scandir(PREFIX):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry)
        else:
            os.unlink(entry)
    os.chdir(PREFIX)
    os.mkdir("tmp")


def run():
    """Leads all the lives; returns the exit status."""
    prepare()
    line = TimeLine()
    server = Server(line)
    server.configure()
    print(f"{server.version()}, {WORKERS} workers, in {PREFIX}\n\n"
          "   time     pid event        id        n_prev n_mine n_next "
          "reason  phase")
    try:
        for life in LIVES:
            life(line, server)
    except Failed as error:
        line.fault(str(error))
    if line.wrong:
        first = line.wrong[0].splitlines()[0]
        print(f"\nexample: failed: {first} (the first of {len(line.wrong)} "
              f"complaints; see {PREFIX}/error.log)")
        return 1
    print(f"\nexample: {len(LIVES)} lives, every callback as documented")
    return 0


def main():
    proc.end_politely()
    try:
        proc.adopt_orphans()
        return run()
    except Failed as error:
        print(f"example: failed: {error}")
        return 1
    except proc.Interrupted as error:
        print("\nexample: interrupted", flush=True)
        return 128 + error.args[0]
    finally:
        proc.end_politely(signal.SIG_IGN)
        leftovers.kill_all()


if __name__ == "__main__":
    sys.exit(main())
