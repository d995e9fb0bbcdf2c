# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The binary upgrade, its roll-back, and its failures: one node throughout.

nginx ignores USR2 as long as the parent that started it lives, so that most
of this is done with daemon on.
"""

import json
import os
import shutil
import subprocess

import pytest

import conf
import later
import proc
import segment
from proc import wait
from rows import (born, exits, life, master_start, respawn, starts,
                  worker_starts)
from told import opts, told
from traced import LATE_INIT


UPGRADE = born(2, 2, reason="upgrade")
RELOADED = starts(3, 2, 2, "reload") + exits(2, 2, 0, 2) + exits(3, 2, 0)
# The first generation goes on, and is followed by a third.
GONE_ON = starts(3, 2, 2, "reload") + exits(1, 2, None, 2) + exits(3, 2, 0)


def node(make, **params):
    """A daemon whose generations are those of two binaries."""
    n = make(**{"daemon": True, **params})
    n.modelled = False
    return n


def upgrade(n):
    """To the end: the old master has quit."""
    old, _ = n.new_binary()
    n.end_master(old)


# --- it succeeds --------------------------------------------------------------

def quit_early(n):
    """The old master quits before the new one runs init_by_lua*."""
    n.open_gate("late")
    old = n.master
    n.signal("USR2")
    new = n.wait_note("gate")[-1]
    n.end_master(old)
    n.open_gate("init")
    n.master = new
    n.wait_up()


# Parameters, what starts it, and what it needs of the machine.
ANONYMOUS = "anonymous memory"
KINDS = {
    "daemon": ({}, [], None),
    "other user": ({"user": "www-data"}, [], "root"),
    "in the background of a shell that has ended": ({"daemon": False}, [
        "sh", "-c", '"$@" & while [ ! -s nginx.pid ]; do sleep 0.01; done',
        "-"], None),
    ANONYMOUS: ({}, [], "no_dev_shm"),
}


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_binary_takes_over(make, request, both, kind, early):
    """Once it has begun, or after the old one has quit; then it reloads."""
    params, wrap, need = KINDS[kind]
    needed = need and request.getfixturevalue(need)
    n = node(make, before_init=LATE_INIT, **params, **both)
    n.wrap = wrap or needed or []
    if not n.daemon:
        n.find_master = n.pid_file
    n.start()
    n.popen.wait()
    segments = n.segments()
    if kind == ANONYMOUS:
        n.expect("using anonymous memory", 1)
    assert len(segments) == (0 if kind == ANONYMOUS else 1)
    if early:           # it goes on in a new one
        quit_early(n)
    else:
        upgrade(n)
    assert len(n.segments()) == len(segments)
    assert early or n.segments() == segments
    n.reload()
    n.stop((life(2) + starts(2, 2, 0, "upgrade") if early else UPGRADE)
           + RELOADED)


# --- it is rolled back --------------------------------------------------------

@pytest.mark.parametrize("workers, then", [
    (8, None), (2, "reload"), (2, "upgrade")])
def test_a_roll_back(make, both, workers, then):
    """The documented way: the old generation has a second spell, the segment
    stays, and life goes on."""
    n = node(make, workers=workers, **both).start()
    segments = n.segments()
    old, new = n.new_binary()
    n.winch(old)
    n.signal("HUP", old)
    n.wait_events("worker_start", count=3 * workers)
    wait(lambda: len(n.workers(old)) == workers, "the old one's workers")
    n.end_master(new)
    n.back_to(old, new)
    assert n.segments() == segments
    rows = (born(workers, workers, reason="upgrade")
            + worker_starts(1, workers, None, workers, "rollback")
            + exits(2, workers, workers, workers))
    if then == "reload":
        n.reload()
        rows += GONE_ON
    elif then == "upgrade":
        upgrade(n)
        rows += starts(3, 2, 2, "upgrade") + GONE_ON[3:]
    else:
        rows += exits(1, workers)
    n.stop(rows)
    assert [x["info"]["spell"] for x in n.events("master_exit", 1)] == [1, 2]


@pytest.mark.parametrize("name", ["QUIT", "TERM"])
def test_the_new_one_is_stopped_at_once(make, dict_, name):
    """The old one has sent its workers away; nginx then starts them again by
    itself."""
    n = node(make, dict=dict_).start()
    old, new = n.new_binary()
    n.winch(old)
    n.end_master(new, name)
    n.master = old
    n.wait_events("worker_start", 1, 4)
    wait(lambda: len(n.current()) == 2, "workers")
    n.reload()
    n.stop(UPGRADE + exits(2, 2, 0, 0)
           + worker_starts(1, 2, reason="rollback") + GONE_ON)


# --- the new one fails --------------------------------------------------------

BEGUN = starts(1, 2) + master_start(2, 2, "upgrade")


@pytest.mark.parametrize("where, rows", [
    ({"before_init": LATE_INIT}, life(2, 2)),
    ({"callbacks": {"master_start": LATE_INIT}}, BEGUN + GONE_ON)],
    ids=["before it begins", "in its start callback"])
def test_the_new_one_is_killed(make, where, rows):
    n = node(make, **where).start()
    n.open_gate("late")
    n.signal("USR2")
    pid = n.wait_note("gate")[-1]
    n.killed.add(pid)
    proc.kill(pid)
    n.expect("exited on signal 9")
    n.open_gate("init")
    n.reload()
    n.stop(rows)


# --- onto another node --------------------------------------------------------

def test_sockets_that_no_binary_left_bring_no_node(make):
    """As where a service manager has opened them."""
    n = make()
    n.wrap = ["env", "NGINX="]
    n.expect(r"\[notice\].*worker manager: .*no node came", 1)
    n.start()
    n.stop(life(2))


def test_onto_another_abi(make):
    """A node of its own, with one warning; the old one ends for itself, and its
    segment goes with its last process."""
    # The old one is not to look while its segment is another's.
    n = node(make, opts={"interval": 600}, after_join="""
        ngx.timer.at(0, function() wmt.note("beaten") end)""").start()
    n.wait_note("beaten", 2)
    n.check_life = lambda lines: None       # two nodes in one trace
    (first,) = n.segments()
    abi = segment.change_abi(first, 9999)
    n.expect(r"\[warn\].*worker manager: .*ABI.*a node of its own")
    old, _ = n.new_binary()
    segment.change_abi(first, abi)
    assert len(n.log_lines(r"^\d.*worker manager: .*ABI")) == 1
    n.end_master(old)
    assert not os.path.exists(first)
    n.reload()
    n.stop(starts(1, 2) + life(2) + life(2, 2)[3:])


# --- onto another minor version, whose records are longer or shorter ----------

@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """{version: path of its libwm.so}"""
    return {"this": conf.LIBRARY,
            "later": later.build(str(tmp_path_factory.mktemp("later")))}


def install(n, library):
    shutil.copy(library, n.path("libwm.so.new"))
    os.rename(n.path("libwm.so.new"), n.path("libwm.so"))


def has_loaded_it(n):
    """Whether the master has loaded what is installed now."""
    path = n.path("libwm.so")
    with open(f"/proc/{n.master}/maps", encoding="utf-8") as f:
        (inode,) = {x.split()[4] for x in f if path in x}
    return int(inode) == os.stat(path).st_ino


def check_log(n):
    """The workers of both libraries have written to it."""
    (instance,) = n.instances
    said = subprocess.run([conf.WMCTL, "--json", "events", instance],
                          check=True, stdout=subprocess.PIPE).stdout
    entries = [json.loads(x) for x in said.splitlines()]
    assert [x["generation"] for x in entries
            if x.get("event") == "generation-begun"][:2] == [1, 2]
    assert set(n.workers()) <= {x["pid"] for x in entries
                                if x.get("event") == "worker-live"}


def told_by_another(n, master, other):
    """Kills a worker of a master, which is stopped with the rest of its own,
    so that the other master's alone can tell of it: (the teller, the dead)."""
    pid, *rest = n.workers(master)
    failures, starts_ = len(n.notes("failed")), len(n.events("worker_start"))
    n.pause([master, *rest])
    n.kill(pid)
    teller = n.wait_note("failed", failures + 1)[-1]
    assert teller in n.workers(other)
    n.resume([master, *rest])
    n.wait_events("worker_start", count=starts_ + 1)
    wait(lambda: len(n.workers(master)) == 2, "the respawn")
    return teller, pid


@pytest.mark.parametrize("leaves", ["the old", "the new"])
@pytest.mark.parametrize("versions", [("this", "later"), ("later", "this")],
                         ids="-then-".join)
def test_a_library_with_other_records_takes_over(
        make, libraries, versions, leaves):
    """It is the node that the first one made, as it made it. A death of a
    worker with either is told by one with the other, and by no second; either
    master may be the one that goes on, and reload."""
    # The first on the path that exists is loaded.
    n = node(make, opts=opts(interval=0.1))
    n.params["lua_cpath"] = f"/nowhere/?.so;{n.prefix}/?.so;{conf.LIBRARY}"
    install(n, libraries[versions[0]])
    n.start()
    segments, made = n.segments(), n.look(segment.strides)
    grown = later.LINE if versions[0] == "later" else 0
    assert made == [x + grown for x in (768, 64, 128, 64, 64)]
    install(n, libraries[versions[1]])
    old, new = n.new_binary()
    assert has_loaded_it(n)
    failures = [told_by_another(n, old, new), told_by_another(n, new, old)]
    check_log(n)
    rows = UPGRADE[:6] + respawn(3, 1, None, 2) + respawn(3, 2, 2)
    if leaves == "the old":
        n.end_master(old)
        rows += exits(1, 2, None, 2) + RELOADED
    else:
        n.end_master(new)
        n.master = old
        rows += exits(2, 2, 2, 2) + GONE_ON
    assert n.segments() == segments and n.look(segment.strides) == made
    n.reload()
    n.stop(rows)
    assert told(n, "failed") == [
        (teller, f"{g}-{pid}", "crashed")
        for g, (teller, pid) in enumerate(failures, 1)]
