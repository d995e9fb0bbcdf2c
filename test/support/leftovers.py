# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""What a run must leave behind nowhere: processes, and their segments."""

import fcntl
import glob
import os
import re
import signal
import time

import proc

LIMIT = 60          # seconds; only what cannot be ended waits it out
SEGMENTS = "/dev/shm/wm.*"
SEGMENT = re.compile(r"/dev/shm/wm\.\S+")


def segments():
    """Every segment that is ours to remove."""
    found = set()
    for path in glob.glob(SEGMENTS):
        try:
            if os.stat(path).st_uid == os.geteuid():
                found.add(path)
        except FileNotFoundError:
            pass
    return found


def dead(path):
    """Whether nobody takes part in a segment: its lock is to be had."""
    try:
        with open(path, "rb") as f:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return os.path.exists(path)
    return True


def segments_of(pid):
    """The segments that a process has mapped or open."""
    found = set()
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
            found.update(SEGMENT.findall(f.read()))
        for fd in os.listdir(f"/proc/{pid}/fd"):
            found.update(SEGMENT.findall(os.readlink(f"/proc/{pid}/fd/{fd}")))
    except OSError:
        pass            # it ended, or the descriptor was closed
    return found


def remove(paths):
    """Unlinks segments; those that are gone already do not matter."""
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


def family(root):
    """Every living descendant of a process: {pid: state}. One look at /proc
    serves for all, there may be a thousand. The state is the first thread's,
    which may have ended while others run."""
    seen, children = {}, {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{pid}/stat", "rb") as f:
                fields = f.read().rpartition(b")")[2].split()
        except OSError:
            continue
        state, parent, threads = fields[0].decode(), *map(
            int, (fields[1], fields[17]))
        if state not in "ZX" or threads > 1:
            seen[pid] = state
        children.setdefault(parent, []).append(pid)
    found = list(children.get(root, ()))
    for pid in found:           # it grows meanwhile
        found += children.get(pid, ())
    return {pid: seen[pid] for pid in found if pid in seen}


def signal_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except (PermissionError, ProcessLookupError):
            pass


def rounds(seconds):
    """Until the time is over, with pauses."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.005)


def reap():
    """Collects whatever has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def kill_all(root=None, seconds=LIMIT):
    """Ends every descendant, and unlinks the segments that they had.

    All of them are stopped first: a stopped process makes no more children
    and no segment that was not seen. Returns what was killed, and says what
    did not end in time.
    """
    root = root or os.getpid()
    for _ in rounds(seconds):
        running = [p for p, state in family(root).items() if state not in "Tt"]
        if not running:
            break
        signal_all(running, signal.SIGSTOP)
    killed, theirs = {}, set()
    for _ in rounds(seconds):
        alive = family(root)
        if not alive:
            break
        for pid in alive.keys() - killed.keys():
            killed[pid] = f"{pid} {proc.title(pid)}"
            theirs |= segments_of(pid)
        signal_all(alive, signal.SIGKILL)
        if root == os.getpid():
            reap()
    for pid in family(root):
        killed[pid] = f"{killed.get(pid, pid)} (it does not end)"
    remove(theirs)
    return list(killed.values())
