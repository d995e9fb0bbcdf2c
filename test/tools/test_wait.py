# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""wait: for scripts, which rely on its exit status."""

import fcntl
import os

import pytest

import proc
from actor import WM_CLOSED
from wmctl import DAMAGED, NO_NODE, NOT_READY, OK, USAGE

ONCE = ("--timeout", "0")


def ready(place, count, *args, status=OK):
    return place.json("wait", "--ready", str(count), *(args or ONCE),
                      status=status)


def begin(place, count, *args):
    """A wait that has begun to sleep, or is about to."""
    return place.begin("--json", "wait", "--ready", str(count), "--timeout",
                       "60", *args)


def answer_of(running):
    """The output of one that ended well."""
    assert running.end() == (OK, "")
    return running.documents(1)[0]


def test_enough_live_workers_are_ready_at_once(place, master_of_either):
    master = master_of_either
    g = master.begin()
    for _ in range(2):
        master.worker(g)
    for count in (1, 2):
        assert ready(place, count) == {
            "ready": True, "wanted": count, "live": 2, "generation": 1,
            "file": master.file, "settled": True}
    for timeout in ("0", "0.2"):
        answer = ready(place, 3, "--timeout", timeout, status=NOT_READY)
        assert (answer["ready"], answer["live"]) == (False, 2)
    assert place.text("wait", "--ready", "2", *ONCE) == (
        "2 of 2 workers are live in generation 1\n")


def test_it_ends_as_the_last_one_gets_ready(place, master):
    g = master.begin()
    master.worker(g)
    waiting = begin(place, 2)
    late = master.fork()
    assert late.join(g) == 0
    assert late.start() == 0
    answer_of(waiting)


def test_only_live_workers_count(place, master):
    g = master.begin()
    joining, draining, killed, helper = [master.fork() for _ in range(4)]
    assert joining.join(g) == 0
    assert helper.live(g, role=1) == 0
    for worker in (draining, killed):
        assert worker.live(g) == 0
    assert draining.drain() == 0
    killed.kill()
    assert ready(place, 1, status=NOT_READY)["live"] == 0


def test_the_current_generation_is_meant_unless_one_is_named(place, master):
    master.worker(master.begin())
    new = master.begin()
    for args in (), ("--generation", "current"):
        assert ready(place, 1, *args, *ONCE, status=NOT_READY)[
            "generation"] == new
    assert ready(place, 1, "--generation", "1", *ONCE)["live"] == 1
    assert master.abort(new) == WM_CLOSED
    assert ready(place, 1)["generation"] == 1


def test_newer_than_waits_for_a_reload_that_has_not_begun(place, master):
    """A script that has only just asked for it needs this."""
    master.worker(master.begin())
    ready(place, 1, "--newer-than", "1", *ONCE, status=NOT_READY)
    waiting = begin(place, 1, "--newer-than", "1")
    master.worker(master.begin())
    assert answer_of(waiting)["generation"] == 2


@pytest.mark.parametrize("lives", [0, 1])
def test_a_node_that_is_yet_to_come_is_waited_for(place, lives):
    """The first one, or the next one."""
    former = [place.node() for _ in range(lives)]
    for master in former:
        master.begin()
    waiting = begin(place, 1, "demo")
    for master in former:
        master.release()
    master = place.node()
    master.worker(master.begin())
    answer_of(waiting)


def test_without_a_node_in_time_there_is_none(place):
    place.dead("demo")
    for args in (("other",), ("demo",), ()):
        place.refuses(NO_NODE, "wait", "--ready", "1", "--timeout", "0.1",
                      *args)


def test_a_node_that_is_just_being_made_is_waited_for(place):
    """Its maker has locked the file, and not filled it."""
    path = place.path(place.stray(b"", "demo"))
    with open(path, "rb") as f:
        fcntl.flock(f, fcntl.LOCK_SH)
        waiting = begin(place, 1, "demo")
        place.refuses(DAMAGED, "wait", "--ready", "1", "--timeout", "0.1")
        os.unlink(path)
    master = place.node("demo")
    master.worker(master.begin())
    answer_of(waiting)


@pytest.mark.parametrize("named", [["demo"], []])
def test_a_new_life_is_ready_while_the_old_one_drains(place, named):
    old, new = place.node(), place.node()
    draining = old.worker(old.begin())
    draining.drain()
    new.begin()
    assert len(place.files()) == 2
    waiting = begin(place, 1, *named)
    ready(place, 1, *ONCE, *named, status=NOT_READY)
    new.worker(1)
    answer_of(waiting)
    assert ready(place, 1, *ONCE, *named)["live"] == 1
    assert "wm.demo." in place.refuses(USAGE, "show", *named)


def test_a_node_that_is_denied_for_a_moment_is_waited_for(public):
    """Its maker sets the mode last. A maker slower than the second for which
    that is believed tries again."""
    master = public.node(mode=0o644)
    master.worker(master.begin())
    path = public.path(master.file)

    def came():
        os.chmod(path, 0o600)
        waiting = public.nobody.begin("--json", "wait", "--ready", "1")
        proc.wait(lambda: (proc.stat(waiting.popen.pid) or "Z")[0] in "SZ",
                  "its sleep or its end")
        os.chmod(path, 0o644)
        return waiting.end() == (OK, "")
    assert any(came() for _ in range(20))


@pytest.mark.parametrize("generation", ["1", "2"])
def test_a_generation_that_is_not_there_is_said_so(place, master, generation):
    """It has not begun, or is forgotten."""
    wait = ["wait", "--ready", "1", "--generation", generation, *ONCE]
    done = place.run(*wait)
    assert (done.returncode, done.stdout) == (
        NOT_READY, "0 of 1 workers are live; there is no such generation\n")
    assert place.json(*wait, status=NOT_READY)["generation"] is None
