# SPDX-License-Identifier: Apache-2.0
"""Service first: no callback keeps a site from being served. Exits wait for the
starts of others, and a start that waits for too long is given late."""

import signal

import pytest

import leftovers
import proc
import segment
from proc import wait
from rows import exits, life, of
from told import failure, opts
from traced import LATE_JOIN

STUCK = {"worker_exit": 'if info.generation == 1 then wmt.gate("exit") end'}
IMPATIENT = {"start_timeout": 0.2}
SERVES = "serves before its start callback: pid {} has held the lock"


def late(n, event, gen):
    """Of each such callback of a generation, whether it was late."""
    return [x["info"].get("late", False) for x in n.events(event, gen)]


def order(n):
    """The events of workers, in their order."""
    return [r[:2] for r in n.rows() if r.event.startswith("worker")]


def leaving(n, pids):
    """Waits until the workers have heard that they are to leave."""
    wait(lambda: not set(pids) & set(n.current()), "old workers to leave")


@pytest.mark.parametrize("reloads", [1, 2])
def test_exits_wait_for_the_starts_of_the_newest_generation(
        make, both, reloads):
    """Also while its workers have not even joined. In a reload upon a reload
    the second generation leaves as well: the third has to serve."""
    n = make(before_join=LATE_JOIN, **both).start()
    old = n.current()
    n.open_gate("late")
    for k in range(1, reloads + 1):
        n.hup()
        n.wait_note("gate", 2 * k)
    leaving(n, old)
    n.open_gate("join")
    n.wait_up()
    wait(lambda: len(n.workers()) == 2, "the end of the old ones")
    n.stop()
    first_exit = [e for e, _ in order(n)].index("worker_exit")
    assert order(n)[:first_exit].count(("worker_start", 1 + reloads)) == 2


def test_exits_that_wait_for_their_turn_let_a_reload_pass(make):
    """One is in its callback as the reload begins: the master waits for that
    one, as start_timeout 0 has it, and the next has its turn after the new
    workers."""
    n = make(workers=3, before_join=LATE_JOIN, callbacks=STUCK).start()
    n.reload(old_gone=False)
    n.wait_note("gate")
    n.open_gate("late")
    n.hup()
    wait(lambda: n.look(segment.generation) == 3, "the third to begin")
    assert not n.events("master_start", 3)
    n.open_gate("exit")
    n.wait_note("gate", 4)      # the new workers, before they join
    n.open_gate("join")
    n.wait_up()
    wait(lambda: len(n.workers()) == 3, "the end of the old ones")
    n.stop()
    assert order(n)[6:10] == [("worker_exit", 1)] + [("worker_start", 3)] * 3
    assert late(n, "master_start", 3) == [False]


def test_exits_wait_in_the_roll_back_of_an_upgrade(make):
    n = make(daemon=True, before_join=LATE_JOIN)
    n.modelled = False
    n.start()
    old, new = n.new_binary()
    n.winch(old)
    n.open_gate("late")
    n.signal("HUP", old)
    n.wait_note("gate", 2)
    leavers = n.workers(new)
    n.signal("QUIT", new)
    leaving(n, leavers)
    n.open_gate("join")
    n.wait_gone([new, *leavers])
    n.back_to(old, new)
    n.wait_events("worker_start", count=6)
    n.stop()
    assert order(n)[6:8] == [("worker_start", 1)] * 2
    assert order(n)[8:10] == [("worker_exit", 2)] * 2


def stuck(make):
    """An nginx whose third generation serves, before its starts are told, while
    a worker of the first is in its exit, and does not come back: it and the
    third's workers."""
    n = make(callbacks=STUCK).start()
    n.modelled = False
    n.reload(old_gone=False, opts=IMPATIENT)
    (holder,) = n.wait_note("gate")
    n.expect(SERVES.format(holder), 2)
    n.expect("the first worker of generation 3 runs the master's start", 1)
    old = n.reload(old_gone=False)
    return n, set(n.current()) - set(old)


def test_no_start_is_lost_and_none_waits_long(make):
    """The starts of the third are told one at a time: the master's, by a
    worker, and theirs."""
    n, _ = stuck(make)
    assert n.get() == 204
    assert not n.events("master_start", 3) + n.events("worker_start", 3)
    n.open_gate("exit")
    n.wait_events("worker_start", 3, 2)
    wait(lambda: len(n.workers()) == 2, "the old ones to leave")
    n.stop()
    assert late(n, "master_start", 3) == [True]
    assert late(n, "worker_start", 3) == [True, True]
    assert late(n, "worker_start", 2) == [False, False]
    assert of(n.rows(), 3) == of(life(2, 2, 2), 3)


def test_a_late_start_comes_before_its_own_exit(make):
    n, third = stuck(make)
    n.signal("QUIT")
    leaving(n, third)
    n.open_gate("exit")
    n.wait_end()
    assert [r[0] for r in of(n.rows(), 3)] == [
        r[0] for r in of(life(2, 2, 2), 3)]


def test_a_fast_stop_says_which_late_starts_were_not_given(make):
    n, third = stuck(make)
    n.expect("not given")
    n.complete = n.succeeds = False
    n.pause([n.master])         # it would kill them after a second
    for pid in third:
        proc.send(pid, signal.SIGTERM)
        n.wait_gone([pid])
        assert n.log_lines(f"not given: worker_start of 3-{pid}")
    n.open_gate("exit")
    n.stop_fast()
    leftovers.remove(n.segments())      # the next start would be told


def test_a_replacement_serves_beside_a_failure_callback_that_hangs(make):
    """And the failure that is told to nobody else does not keep its start."""
    n = make(before_join=LATE_JOIN, opts=opts(
        interval=0.1, **IMPATIENT, on_worker_failed=failure(
            "failed", 'require("wmt").gate("failed", true)'))).start()
    n.modelled = False
    (first, second) = n.current()
    n.open_gate("late")
    n.kill(first)
    n.wait_note("failed")       # the replacement waits to join
    n.open_gate("join")
    n.expect(SERVES.format(second))
    wait(lambda: len(n.notes("up")) == 3, "the replacement")
    n.open_gate("failed")
    n.wait_events("worker_start", 1, 3)
    n.stop()
    assert late(n, "worker_start", 1) == [False, False, True]
    assert n.rows()[3].reason == "respawn"


@pytest.mark.parametrize("workers, ends, why", [
    (1, 1, "retire"), (2, 1, "retire"), (2, 2, "retire"), (2, 1, "stop")])
def test_a_worker_that_asks_for_its_end_retires(make, workers, ends, why):
    """Its replacement is a respawn; the node goes on, and stops later. QUIT by
    hand looks as if the master had sent it, and yet is no end of the node."""
    n = make(workers=workers).start()
    n.modelled = False
    held = n.hold_all()
    for pid, s in list(held.items())[:ends]:
        if why == "stop":
            n.signal("QUIT", pid)
        else:
            n.say(s, 'require("ngx.process").signal_graceful_exit() return 1')
    n.wait_events("worker_exit", 1, ends)
    for s in held.values():
        s.close()
    n.wait_events("worker_start", 1, workers + ends)
    n.stop()
    assert of(n.rows(), 1)[1 + workers:] == [
        *(("worker_exit", workers - i, why) for i in range(ends)),
        *([("master_exit", 0, why)] if workers == ends else []),
        *(("worker_start", workers - i, "respawn")
          for i in reversed(range(ends))), *of(exits(1, workers), 1)]
