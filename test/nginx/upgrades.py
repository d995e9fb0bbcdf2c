# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The binary upgrade of nginx, step by step."""

import os
import signal

import proc
from proc import wait


def new_binary(n):
    """USR2: (the old master, the new one); n.master is the new one then."""
    old = n.master
    n.signal("USR2")
    n.master = new = wait(lambda: newer(n, old), "the new master")
    n.wait_up()
    return old, new


def newer(n, old):
    """The pid in the pid file, once it is another than the old master's."""
    try:
        with open(n.path(n.file(".pid")), encoding="ascii") as f:
            pid = int(f.read() or 0)
    except FileNotFoundError:
        return None
    return pid if pid not in (0, old) else None


def workers_of(master):
    return [p for p in proc.children(master)
            if proc.title(p).startswith("nginx: worker")]


def end_master(n, pid, name="QUIT"):
    """Ends one of two masters; returns when it and its workers are gone."""
    own = workers_of(pid)
    n.signal(name, pid)
    n.wait_gone([pid, *own])


def winch(n, pid):
    """Has a master send its workers away; returns when they are gone."""
    own = workers_of(pid)
    n.signal("WINCH", pid)
    n.wait_gone(own)


def roll_back(n, old, new, workers=2):
    """The documented way back; n.master is the old one then."""
    winch(n, old)
    begun = len(n.events("worker_start"))
    n.signal("HUP", old)
    n.wait_events("worker_start", count=begun + workers)
    wait(lambda: len(workers_of(old)) == workers, "the old one's workers")
    end_master(n, new)
    # The old one takes USR2 again when it has reaped the new one, and has its
    # pid file back.
    wait(lambda: newer(n, new) == old, "the old one's pid file")
    n.master = old


def kill_hard(pid):
    os.kill(pid, signal.SIGKILL)
    wait(lambda: proc.gone(pid), f"{pid} to end")
