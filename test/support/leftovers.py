# SPDX-License-Identifier: Apache-2.0
"""A run must leave these behind nowhere: processes, and their segments."""

import contextlib
import fcntl
import glob
import os
import re
import shutil
import signal
import time

import proc

LIMIT = 60          # seconds; only what cannot be ended waits it out
SEGMENTS = "/dev/shm/wm.*"
SEGMENT = re.compile(r"/dev/shm/wm\.[^/\s]+")
OWNER = re.compile(r"-(\d+)\.\w+$")    # of a directory, by its name


def segments():
    """Every segment that is ours to remove, and every directory of them."""
    found = set()
    for path in glob.glob(SEGMENTS):
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_uid == os.geteuid():
                found.add(path)
    return found


def dead(path):
    """Whether nobody takes part in a segment: its lock is to be had. Or the
    process has ended that a directory of segments names."""
    try:
        with open(path, "rb") as f:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except IsADirectoryError:
        owner = OWNER.search(path)
        return owner is not None and proc.gone(int(owner[1]))
    except OSError:
        return os.path.exists(path)
    return True


def segments_of(pid):
    """The segments that a process has mapped or open, or their directories."""
    found = set()
    with contextlib.suppress(OSError):  # it ended, or closed the descriptor
        found.update(SEGMENT.findall(proc.read(f"/proc/{pid}/maps")))
        for fd in os.listdir(f"/proc/{pid}/fd"):
            found.update(SEGMENT.findall(os.readlink(f"/proc/{pid}/fd/{fd}")))
    return found


def remove(paths):
    """Removes segments and directories of them, unless they are gone."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)


def rounds(seconds):
    """Until the time is over, with pauses."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.005)


def kill_all():
    """Ends every descendant, and unlinks the segments that they had. All of
    them are stopped first: a stopped process makes no more children and no
    segment that was not seen. Returns what was killed, or does not end."""
    root = os.getpid()
    for _ in rounds(LIMIT):
        running = [p for p, state in proc.family(root).items()
                   if state not in "Tt"]
        if not running:
            break
        for pid in running:
            proc.send(pid, signal.SIGSTOP)
    killed, theirs = {}, set()
    for _ in rounds(LIMIT):
        alive = proc.family(root)
        if not alive:
            break
        for pid in alive.keys() - killed.keys():
            killed[pid] = f"{pid} {proc.title(pid)}"
            theirs |= segments_of(pid)
        for pid in alive:
            proc.send(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    for pid in proc.family(root):
        killed[pid] = f"{killed.get(pid, pid)} (it does not end)"
    remove(theirs)
    return list(killed.values())
