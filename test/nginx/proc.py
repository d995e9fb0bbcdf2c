# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Processes: who is whose child, who is gone, and nobody left behind."""

import ctypes
import os
import re
import signal
import time

# Seconds; generous, since only a failure ever waits it out.
DEADLINE = float(os.environ.get("WM_DEADLINE", "20"))
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Makes daemonized masters and orphaned workers our children."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def wait(condition, what, deadline=DEADLINE):
    """Returns condition()'s first true value, or fails after the deadline."""
    end = time.monotonic() + deadline
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"timed out waiting for {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.01)


def stat(pid):
    """(state, ppid) of a process, or None."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            fields = f.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0].decode(), int(fields[1])


def cpu(pid):
    """Seconds of CPU that a process has used."""
    with open(f"/proc/{pid}/stat", "rb") as f:
        fields = f.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pending(pid):
    """The signals that a process has not taken yet."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        (mask,) = re.findall(r"^ShdPnd:\s*(\w+)$", f.read(), re.M)
    return {n for n in range(1, 65) if int(mask, 16) >> (n - 1) & 1}


def title(pid):
    """The command line; empty for a zombie or nobody."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def name(pid):
    """Of the program; also of a process that is ending, whose title is gone
    while its sockets may still be there."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
            return f.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children(pid):
    """The living children (zombies are dead) of a process."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            seen = stat(name)
            if seen and seen[1] == pid and seen[0] not in "ZX":
                found.append(int(name))
    return sorted(found)


def descendants(pid):
    """The living descendants of a process."""
    found = []
    for child in children(pid):
        found.append(child)
        found.extend(descendants(child))
    return found


def reap(pid):
    """Collects a child that has ended: its status, or None."""
    try:
        got, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if got else None


def gone(pid):
    """Whether a process has ended; reaps it if it is ours."""
    reap(pid)
    seen = stat(pid)
    return seen is None or seen[0] in "ZX"


def end_all():
    """Kills every descendant that is left; returns their titles."""
    left = []

    def kill_round():
        now = descendants(os.getpid())
        for pid in now:
            left.append(f"{pid} {title(pid)}")
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pid in now:
            gone(pid)
        return not now

    wait(kill_round, "killed processes to end")
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    return left
