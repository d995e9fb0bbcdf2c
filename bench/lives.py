# SPDX-License-Identifier: Apache-2.0
"""Lives of a real nginx: how long its start takes, a reload, and a graceful
stop, with the module, without it, with its files alone, and with JSON in a
shared dictionary instead.

Nothing here looks again and again while nginx works, since that would take a
core from it: workers note the time at which they have started, and the kernel
tells of ends.
"""

import contextlib
import os
import select
import signal
import statistics
import time

import in_nginx

# "loaded": the module's files, of which nothing is called.
WAYS = {"with": {"options": ""}, "without": {}, "loaded": {"loaded": True},
        "old": {"old": True}}
# With more workers, starts and exits spin for too long on JSON's lock.
OLD_MOST = 64
NAMES = {"with": "with", "without": "without", "loaded": "files alone",
         "old": "JSON in a dict"}
PHASES = ("start", "reload", "stop")
PAUSE = 0.005       # seconds between two looks at what has its time in it
# Rounds by number of workers: short lives need more of them.
ROUNDS = {4: 21, 64: 9, 256: 5}
QUICK = {4: 3, 64: 2, 256: 1}
BY_HAND = 3


@contextlib.contextmanager
def ends(pids):
    """A function that waits until all of these processes have ended."""
    poll = select.epoll()
    fds = {os.pidfd_open(pid) for pid in pids}

    def wait():
        while fds:
            found = poll.poll(in_nginx.PATIENCE)
            if not found:
                raise SystemExit(f"bench: {len(fds)} of {pids} do not end")
            for fd, _ in found:
                fds.remove(fd)
                os.close(fd)
        return time.monotonic_ns()
    try:
        for fd in fds:
            poll.register(fd, select.EPOLLIN)
        yield wait
    finally:
        poll.close()
        for fd in fds:
            os.close(fd)


def life(workers, way):
    """One life: ms from the execution of nginx until the last worker has
    started, from HUP to the end of the last old worker, and from QUIT to the
    end of the master."""
    with in_nginx.server(workers, pause=PAUSE, **WAYS[way]) as s:
        took = {"start": s.ready - s.began}
        with ends(s.pids) as old:
            began = time.monotonic_ns()
            os.kill(s.master, signal.SIGHUP)
            took["reload"] = old() - began
            s.pids = s.next_workers()
        with ends([s.master]) as master:
            began = time.monotonic_ns()
            os.kill(s.master, signal.SIGQUIT)
            took["stop"] = master() - began
    return {phase: ns / 1e6 for phase, ns in took.items()}


def lives(rounds):
    """Milliseconds of each phase, by number of workers and way. The ways take
    turns, in one order and in the other."""
    found = {}
    for workers, count in rounds.items():
        of = found[workers] = {way: {phase: [] for phase in PHASES}
                               for way in WAYS
                               if way != "old" or workers <= OLD_MOST}
        for i in range(count):
            for way in list(of) if i % 2 else list(of)[::-1]:
                for phase, ms in life(workers, way).items():
                    of[way][phase].append(ms)
    return found


def median(found, workers, way, phase):
    return statistics.median(found[str(workers)][way][phase])
