# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""What a run must leave behind nowhere: processes, and their segments."""

import fcntl
import glob
import os
import re
import signal

import proc

SEGMENT = re.compile(r"/dev/shm/wm\.\S+")


def segments():
    """Every segment in /dev/shm that is ours to remove."""
    found = set()
    for path in glob.glob("/dev/shm/wm.*"):
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


def kill_all():
    """Ends every descendant, and unlinks the segments that they had.

    All of them are stopped first: a stopped process makes no more children
    and no segment that was not seen. Returns what was killed.
    """
    me = os.getpid()

    def runs(pid):
        seen = proc.stat(pid)
        return seen and seen[0] not in "TtZX"

    def stop_round():
        running = [p for p in proc.descendants(me) if runs(p)]
        for pid in running:
            try:
                os.kill(pid, signal.SIGSTOP)
            except ProcessLookupError:
                pass
        return not running

    proc.wait(stop_round, "processes to stop")
    theirs = set()
    for pid in proc.descendants(me):
        theirs |= segments_of(pid)
    killed = proc.end_all()
    remove(theirs)
    return killed
