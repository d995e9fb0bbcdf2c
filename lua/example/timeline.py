# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Leads a real nginx through its lives and prints what its callbacks saw.

Exit status 0 means that each callback was given once, with the numbers that
are documented, and that nothing is left.
"""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, namedtuple

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path.insert(0, os.path.join(ROOT, "test"))

import leftovers  # noqa: E402
import proc  # noqa: E402

NGINX = os.path.join(ROOT, "build/deb/usr/sbin/nginx")
CONF = os.path.join(ROOT, "lua/example/nginx.conf")
PREFIX = os.path.join(ROOT, "build/example")
WORKERS = 2
DEADLINE = 20           # seconds that anything may take

LINE = re.compile(r"\S+ \S+ \[(\w+)\] (\d+)#\d+: (.*)")
RECORD = re.compile(r"recorder: ((?: ?\w+=[^ ,]+)+)")

# What the synopsis itself logs in each callback.
BANNERS = {
    "master_start": "= Master start =",
    "master_exit": "= Master exit =",
    "worker_start": "- Worker start -",
    "worker_exit": "- Worker exit -",
}
LOUD = ("warn", "error", "crit", "alert", "emerg")

Row = namedtuple("Row", "event generation n_prev n_mine n_next reason")


class Failed(Exception):
    """The example cannot go on; the text says why."""


class Interrupted(Exception):
    """A signal asked for the end."""


def starts(generation, reason):
    """The configuration is read, then its workers come up."""
    return [("master_start", generation, reason)] + [
        ("worker_start", generation, reason)] * WORKERS


def exits(generation, reason):
    """The workers leave, and the last one ends the generation."""
    return [("worker_exit", generation, reason)] * WORKERS + [
        ("master_exit", generation, reason)]


class Node:
    """What each callback must see, by the callbacks before it.

    They run one at a time, so their order fixes the numbers, and on a busy
    machine old workers may well leave before all new ones are there.
    """

    def __init__(self):
        self.live = Counter()       # generation: its workers
        self.crashed = Counter()    # until their heartbeats would have expired

    def numbers(self, event, generation):
        """(n_prev, n_mine, n_next) of the callback that comes next."""
        live = self.live
        if event == "master_start":
            live[generation] = 0
        elif event == "worker_start":
            live[generation] += 1
        older = [n for g, n in live.items() if g < generation]
        newer = [n for g, n in live.items() if g > generation]
        n_mine = 0
        if event.startswith("worker"):
            n_mine = live[generation]
        if event == "worker_start":
            n_mine += self.crashed[generation]
        elif event == "worker_exit":
            live[generation] -= 1
        return (sum(older) if older else None, n_mine,
                newer[-1] if newer else None)

    def killed(self, generation):
        self.live[generation] -= 1
        self.crashed[generation] += 1

    def aborted(self, generation):
        del self.live[generation]


def now():
    """The time of day in whole milliseconds, as nginx has it."""
    return time.time_ns() // 1000000 / 1000


class TimeLine:
    """Reads error.log as it grows, prints it, and compares."""

    def __init__(self):
        self.offset = 0
        self.began = now()
        self.node = Node()
        self.records = []           # not yet compared
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
            with open("error.log", encoding="utf-8", errors="replace") as f:
                f.seek(self.offset)
                text = f.read()
        except FileNotFoundError:
            return
        text = text[:text.rfind("\n") + 1]
        self.offset += len(text.encode("utf-8", "surrogateescape"))
        for line in text.splitlines():
            match = LINE.match(line)
            if match:
                self.take(*match.groups())

    def take(self, level, pid, message):
        self.lines.append(message)
        record = RECORD.search(message)
        if record:
            self.show(pid, dict(pair.split("=", 1)
                                for pair in record[1].split()))
            return
        for event, banner in BANNERS.items():
            self.banners[event] += banner in message
        if level in LOUD and not any(re.search(e, message)
                                     for e in self.expected):
            self.fault(f"unexpected in error.log: {message}")

    def show(self, pid, seen):
        """Prints one record as a row, and keeps it to be compared."""
        def number(key):
            return None if seen[key] == "nil" else int(seen[key])

        generation, _, worker = seen["id"].partition("-")
        if worker != (pid if seen["event"].startswith("worker") else ""):
            self.fault(f"the id {seen['id']} is not that of process {pid}")
        self.counts[seen["event"]] += 1
        self.records.append(Row(
            seen["event"], int(generation), number("n_prev"),
            number("n_mine"), number("n_next"), seen["reason"]))
        print(f"{float(seen['time']) - self.began:7.3f} {pid:>7} "
              f"{seen['event'].replace('_', ' '):12} {seen['id']:9} "
              f"{seen['n_prev']:>6} {seen['n_mine']:>6} "
              f"{seen['n_next']:>6} {seen['reason']:7} {seen['phase']}",
              flush=True)

    def wait(self, condition, what):
        """Waits until condition() is true; returns what it returned."""
        def check():
            self.read()
            return condition()
        try:
            return proc.wait(check, what, DEADLINE)
        except AssertionError as error:
            raise Failed(str(error)) from None

    def expect(self, events):
        """Waits for so many callbacks; they should be these."""
        failure = None
        try:
            self.wait(lambda: len(self.records) >= len(events),
                      f"{len(events)} callbacks")
        except Failed as error:
            failure = error
        given, self.records = self.records, []
        self.compare(given, Counter(events))
        if failure:
            raise failure

    def compare(self, given, events):
        last = None             # a generation whose last worker has left
        for row in given:
            right = row._replace(**dict(zip(
                ("n_prev", "n_mine", "n_next"),
                self.node.numbers(row.event, row.generation))))
            if row != right:
                self.fault(f"expected: {describe(right)}")
            if (row.event == "master_exit") != (last == row.generation):
                self.fault(f"the master exit of {row.generation} belongs "
                           "right after its last worker's exit")
            last = row.generation if (
                row.event, row.n_mine) == ("worker_exit", 1) else None
        seen = Counter((r.event, r.generation, r.reason) for r in given)
        for text, some in (("missing", events - seen),
                           ("too many", seen - events)):
            for (event, generation, reason), n in some.items():
                self.fault(f"{text}: {n} {event} of generation {generation}, "
                           f"{reason}")

    def wait_line(self, pattern):
        self.wait(lambda: any(re.search(pattern, x) for x in self.lines),
                  f"error.log to say {pattern}")

    def settle(self):
        """At the end of a life: no callback too many, none unseen."""
        self.expect([])
        self.node = Node()
        if self.counts != self.banners:
            self.fault(f"the synopsis logged {self.banners}, "
                       f"the recorder {self.counts}")


def describe(row):
    return " ".join(f"{k}={'nil' if v is None else v}"
                    for k, v in row._asdict().items())


class Server:
    """The nginx, which daemonizes: it becomes our child by adoption."""

    def __init__(self, line):
        self.line = line
        self.master = None

    def configure(self, listen=""):
        """Writes nginx.conf; listen: one address more."""
        with open(CONF, encoding="utf-8") as f:
            text = f.read()
        if listen:
            text = re.sub(r"( *)listen .*\n",
                          rf"\g<0>\1listen {listen};\n", text)
        with open("nginx.conf", "w", encoding="utf-8") as f:
            f.write(text)

    def run(self, *options):
        return subprocess.run(
            [NGINX, "-p", PREFIX + "/", "-e", "error.log", *options],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False)

    def version(self):
        return self.run("-v").stderr.split(":")[-1].strip()

    def start(self):
        started = self.run("-c", "nginx.conf")
        if started.returncode:
            raise Failed("nginx did not start: " + started.stderr.strip())
        self.master = self.line.wait(self.read_pid, "nginx.pid")

    def read_pid(self):
        try:
            with open("nginx.pid", encoding="ascii") as f:
                return int(f.read() or 0)
        except FileNotFoundError:
            return 0

    def signal(self, name, pid=None):
        self.line.read()
        del self.line.lines[:]
        self.line.note(f"{name} to {'worker' if pid else 'master'} "
                       f"{pid or self.master}")
        os.kill(pid or self.master, getattr(signal, "SIG" + name))

    def workers(self):
        return [p for p in proc.children(self.master)
                if "worker process" in proc.title(p)]

    def answers(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(DEADLINE)
            s.connect("nginx.sock")
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b" 204 " in s.recv(4096)

    def reload(self, old, new):
        """A good reload, from one generation to another."""
        workers = self.workers()
        self.signal("HUP")
        self.line.expect(starts(new, "reload") + exits(old, "reload"))
        self.line.wait(lambda: all(map(proc.gone, workers)),
                       "the old workers to end")

    def stop(self, name, generation):
        segments = leftovers.segments_of(self.master)
        everybody = [self.master, *proc.descendants(self.master)]
        self.signal(name)
        self.line.expect(exits(generation, "stop"))
        self.line.wait(lambda: all(map(proc.gone, everybody)),
                       "nginx to end")
        self.line.settle()
        left = [s for s in segments if os.path.exists(s)]
        left += [f"process {p}" for p in proc.descendants(os.getpid())]
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
    line.node.killed(2)
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
    line.node.aborted(3)
    if not server.answers() or server.workers() != workers:
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


def interrupt(number, _):
    raise Interrupted(number)


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
    signals = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    for number in signals:
        signal.signal(number, interrupt)
    try:
        proc.adopt_orphans()
        return run()
    except Failed as error:
        print(f"example: failed: {error}")
        return 1
    except Interrupted as error:
        print("\nexample: interrupted", flush=True)
        return 128 + error.args[0]
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        leftovers.kill_all()


if __name__ == "__main__":
    sys.exit(main())
