# SPDX-License-Identifier: Apache-2.0
"""Processes: whose children they are, if they have ended, how to end them."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import threading
import time

import conf

# Seconds; generous, since only a failure ever waits it out.
DEADLINE = 300.0


def run(*command, cwd=conf.ROOT, **more_env):
    """The output of a command that must succeed."""
    done = subprocess.run(command, env={**os.environ, **more_env}, cwd=cwd,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def adopt_orphans():
    """Makes daemonized masters and orphaned workers our children."""
    assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0, "no subreaper"


class Interrupted(KeyboardInterrupt):
    """A signal asked for the end: its number."""


def interrupt(number, _):
    raise Interrupted(number)


def end_politely(handler=interrupt):
    """Signals that ask for an end raise Interrupted, so that each `finally` is
    gone through. A worker of xdist may have begun in a thread that cannot say
    so; it ends as the signal has it."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def wait(condition, what, deadline=DEADLINE, longest=0.01):
    """Returns condition()'s first true value, or fails after the deadline;
    longest: seconds between two looks."""
    end = time.monotonic() + deadline
    pause = min(longest, 0.001)
    while not (value := condition()):
        assert time.monotonic() < end, f"timed out waiting for {what}"
        time.sleep(pause)
        pause = min(pause * 1.5, longest)
    return value


def read(path):
    """The text of a file; empty if it, or the process of it, is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    return ""


def stat(pid):
    """(state, parent, seconds of CPU, threads) of a process, or None."""
    # The name before may hold anything.
    seen = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (seen[0], int(seen[1]), (int(seen[11]) + int(seen[12]))
            / os.sysconf("SC_CLK_TCK"), int(seen[17])) if seen else None


def cpu(pid):
    """Seconds of CPU that a process has used; 0 if it is gone."""
    seen = stat(pid)
    return seen[2] if seen else 0


def pending(pid):
    """The signals that a process has not taken yet."""
    (mask,) = re.findall(r"^ShdPnd:\s*(\w+)$",
                         read(f"/proc/{pid}/status"), re.M)
    return {n for n in range(1, 65) if int(mask, 16) >> (n - 1) & 1}


def title(pid, file="cmdline"):
    """The command line; empty for a zombie or nobody. The file "comm" has the
    program's name, also while a process ends: it may still have sockets."""
    return read(f"/proc/{pid}/{file}").replace("\0", " ").strip()


def gone(pid):
    """Whether a process has ended; reaps it if it is ours."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    seen = stat(pid)
    return seen is None or seen[0] in "ZX"


def send(pid, number):
    """Signals a process; one that has ended by itself does not matter."""
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.kill(pid, number)


def kill(*pids):
    """Kills processes; returns when the kernel has let go of them."""
    for pid in pids:
        send(pid, signal.SIGKILL)
    wait(lambda: all(map(gone, pids)), f"{pids} to end")


def living():
    """All processes, as one look at /proc has them: {pid: (state, ppid)}. The
    state is the first thread's, which may have ended while others run."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        seen = stat(pid)
        if seen and (seen[0] not in "ZX" or seen[3] > 1):
            found[int(pid)] = seen[:2]
    return found


def children(pid):
    """The living children (zombies are dead) of a process."""
    return sorted(p for p, (_, parent) in living().items() if parent == pid)


def family(root):
    """Every living descendant of a process: {pid: state}. One look at /proc
    serves for all: there may be a thousand."""
    seen, of = living(), {}
    for pid, (_, parent) in seen.items():
        of.setdefault(parent, []).append(pid)
    found = list(of.get(root, ()))
    for pid in found:           # it grows meanwhile
        found += of.get(pid, ())
    return {pid: seen[pid][0] for pid in found}
