# SPDX-License-Identifier: Apache-2.0
"""The binary upgrade and its roll-back: one node throughout, or a node of its
own where the former binary's cannot be taken over.

nginx ignores USR2 as long as the parent that started it lives, so that this is
done with daemon on.
"""

import os

import pytest

import conf
import later
import segment
from proc import wait
from rows import born, exits, life, respawn, starts, worker_starts
from told import opts, told
from traced import ANSWERING, LATE_INIT

UPGRADE = born(2, 2, reason="upgrade")
RELOADED = starts(3, 2, 2, "reload") + exits(2, 2, 0, 2) + exits(3, 2, 0)
# The first generation goes on, and is followed by a third.
GONE_ON = starts(3, 2, 2, "reload") + exits(1, 2, None, 2) + exits(3, 2, 0)


def node(make, **params):
    """A daemon whose generations are those of two binaries."""
    n = make(daemon=True, **params)
    n.modelled = False
    return n


def upgrade(n):
    """To the end: the old master has quit."""
    old, _ = n.new_binary()
    n.end_master(old)


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


def test_while_both_serve_only_the_old_has_a_successor(make):
    """So a probe for readiness sends clients to the new workers."""
    n = node(make, after_join=ANSWERING).start()
    old, new = n.new_binary()
    after = {master: {n.ask(pid, "return tostring((select(3, M.counts())))")
                      for pid in n.workers(master)} for master in (old, new)}
    assert after == {old: {"2"}, new: {"nil"}}
    n.end_master(old)
    n.stop(UPGRADE + exits(2, 2, 0))


# What it needs of the machine.
KINDS = {"renamed": None, "other user": "root", "anonymous": "no_dev_shm"}


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_binary_takes_over(make, request, both, kind, early):
    """Once it has begun, or after the old one has quit, whatever name its
    configuration has for the node; then it reloads."""
    needed = KINDS[kind] and request.getfixturevalue(KINDS[kind])
    user = {"user": "www-data"} if kind == "other user" else {}
    n = node(make, before_init=LATE_INIT, **user, **both)
    n.wrap = needed or []
    n.start()
    segments = n.segments()
    if kind == "anonymous":
        n.expect("using anonymous memory", 1)
    assert len(segments) == (kind != "anonymous")
    if kind == "renamed":
        n.configure(opts={"shm": "other"})
        n.expect("the node's name stays my_shm-")
    if early:           # it goes on in a new one
        quit_early(n)
    else:
        upgrade(n)
    assert len(n.segments()) == len(segments)
    assert early or n.segments() == segments
    n.reload()
    n.stop((life(2) + starts(2, 2, 0, "upgrade") if early else UPGRADE)
           + RELOADED)


@pytest.mark.parametrize("asked, then", [
    (True, None), (True, "reload"), (True, "upgrade"), (False, "reload")])
def test_a_roll_back(make, both, asked, then):
    """The old generation has a second spell, the segment stays, and life goes
    on. The documented way asks the old master for its workers, and then stops
    the new one. If that is stopped at once, nginx starts them by itself."""
    n = node(make, **both).start()
    segments = n.segments()
    old, new = n.new_binary()
    n.winch(old)
    if asked:
        n.signal("HUP", old)
        n.wait_events("worker_start", count=6)
        wait(lambda: len(n.workers(old)) == 2, "the old one's workers")
        rows = worker_starts(1, 2, None, 2, "rollback") + exits(2, 2, 2, 2)
    else:
        rows = exits(2, 2, 0, 0) + worker_starts(1, 2, reason="rollback")
    n.end_master(new)
    n.back_to(old, new)
    n.wait_events("worker_start", count=6)
    wait(lambda: len(n.current()) == 2, "workers")
    assert n.segments() == segments
    if then == "reload":
        n.reload()
        rows += GONE_ON
    elif then == "upgrade":
        upgrade(n)
        rows += starts(3, 2, 2, "upgrade") + GONE_ON[3:]
    else:
        rows += exits(1, 2)
    n.stop(UPGRADE + rows)
    assert [x["info"]["spell"] for x in n.events("master_exit", 1)] == [1, 2]


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
    segment.change_abi(first)
    n.expect(r"\[warn\].*worker manager: .*ABI.*a node of its own")
    old, _ = n.new_binary()
    segment.change_abi(first)
    assert len(n.log_lines(r"^\d.*worker manager: .*ABI")) == 1
    n.end_master(old)
    assert not os.path.exists(first)
    n.reload()
    n.stop(starts(1, 2) + life(2) + life(2, 2)[3:])


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """{version: path of its libwm.so}"""
    return {"this": conf.LIBRARY,
            "later": later.build(str(tmp_path_factory.mktemp("later")))}


def search(library):
    """A path for libraries, on which the first that exists is loaded."""
    return {"lua_cpath": f"/nowhere/?.so;{library};{conf.LIBRARY}"}


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
    first, second = (libraries[x] for x in versions)
    n = node(make, opts=opts(interval=0.1), after_join=ANSWERING,
             **search(first)).start()
    segments, made = n.segments(), n.look(segment.strides)
    grown = later.LINE if versions[0] == "later" else 0
    assert made == [x + grown for x in (768, 64, 128, 64, 64)]
    n.configure(**search(second))
    old, new = n.new_binary()
    assert os.path.realpath(second) in n.maps()
    failures = [told_by_another(n, old, new), told_by_another(n, new, old)]
    for master in old, new:     # both libraries write to the log, and read it
        seen = n.ask(n.workers(master)[0], "return (M.events())")
        assert {x["pid"] for x in seen if x["event"] == "worker_live"} >= {
            *n.workers(old), *n.workers(new)}
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
