# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Service first: no callback keeps a site from being served. Exits wait for the
starts of others, and a start that waits for too long is given late."""

import signal

import pytest

import leftovers
import proc
import segment
from proc import wait
from rows import life, of
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


# --- exits wait -------------------------------------------------------------

def test_exits_wait_for_the_starts_of_the_next_generation(make, both):
    """Also while its workers have not even joined."""
    n = make(workers=3, before_join=LATE_JOIN, **both).start()
    old = n.current()
    n.open_gate("late")
    n.hup()
    n.wait_note("gate", 3)
    leaving(n, old)
    n.open_gate("join")
    n.wait_up()
    n.wait_gone(old)
    n.stop(life(3, 3))


def test_exits_wait_in_a_reload_upon_a_reload(make):
    """The second generation leaves as well: the third has to serve."""
    n = make(before_join=LATE_JOIN).start()
    old = n.current()
    n.open_gate("late")
    for k in 2, 4:
        n.hup()
        n.wait_note("gate", k)
    leaving(n, old)
    n.open_gate("join")
    n.wait_up()
    wait(lambda: len(n.workers()) == 2, "the end of the old ones")
    n.stop()
    assert sorted(order(n)[2:6]) == [("worker_start", g) for g in (2, 2, 3, 3)]
    assert {e for e, _ in order(n)[6:]} == {"worker_exit"}


def test_exits_that_wait_for_their_turn_let_a_reload_pass(make):
    """One is in its callback as the reload begins: the master waits for that
    one, and the next has its turn after the new workers."""
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
    assert order(n)[10:12] == [("worker_exit", 1)] * 2


@pytest.mark.parametrize("back", [False, True])
def test_exits_wait_in_an_upgrade_and_in_its_roll_back(make, back):
    n = make(daemon=True, before_join=LATE_JOIN)
    n.modelled = False
    n.start()
    if back:
        old, new = n.new_binary()
        n.winch(old)
    n.open_gate("late")
    if back:
        leaver, stays = new, old
        n.signal("HUP", old)
    else:
        leaver, stays = n.master, None
        n.signal("USR2")
    n.wait_note("gate", 2)
    olds = n.workers(leaver)
    n.signal("QUIT", leaver)
    leaving(n, olds)
    n.open_gate("join")
    n.wait_gone([leaver, *olds])
    if back:
        n.back_to(stays, leaver)
    else:
        n.master = wait(lambda: n.pid_file(but=leaver), "the new master")
        n.wait_up()
    started, left = [], []
    wait(lambda: len(n.events("worker_start")) == (6 if back else 4), "starts")
    for k, x in enumerate(order(n)):
        (started if x[0] == "worker_start" else left).append(k)
    n.stop()
    assert started[-1] < left[2 if back else 0], order(n)


def test_exits_do_not_wait_where_nobody_takes_over(make):
    """A stop, and one worker that leaves by itself."""
    n = make(before_join=LATE_JOIN).start()
    n.open_gate("late")
    (first, _) = n.current()
    n.signal("QUIT", first)
    n.wait_events("worker_exit", 1)
    n.wait_note("gate")         # its replacement is not there yet
    n.open_gate("join")
    n.wait_events("worker_start", 1, 3)
    n.modelled = False
    n.stop()


# --- a late start -----------------------------------------------------------

def stuck(make, **params):
    """An nginx in which a worker of the first generation is in its exit, and
    does not come back: it and that worker."""
    n = make(callbacks=STUCK, **params).start()
    n.modelled = False
    n.reload(old_gone=False, opts=IMPATIENT)
    (holder,) = n.wait_note("gate")
    return n, holder


def test_no_start_is_lost_and_none_waits_long(make):
    """While an exit of the first generation hangs, the third serves; then its
    starts are told one at a time: the master's, by a worker, and theirs."""
    n, holder = stuck(make)
    n.expect(SERVES.format(holder), 2)
    n.expect("the first worker of generation 3 runs the master's start", 1)
    n.reload(old_gone=False)
    assert n.get() == 204
    assert not n.events("master_start", 3) + n.events("worker_start", 3)
    n.open_gate("exit")
    n.wait_events("worker_start", 3, 2)
    wait(lambda: len(n.workers()) == 2, "the old ones to leave")
    n.stop()
    assert late(n, "master_start", 3) == [True]
    assert late(n, "worker_start", 3) == [True, True]
    assert late(n, "worker_start", 2) == [False, False]
    assert of(n.rows(), 3)[:3] == [("master_start", 0, "reload")] + [
        ("worker_start", k, "reload") for k in (1, 2)]
    assert of(n.rows(), 3)[3:] == [("worker_exit", 2, "stop"),
                                   ("worker_exit", 1, "stop"),
                                   ("master_exit", 0, "stop")]


def test_a_late_start_comes_before_its_own_exit(make):
    n, holder = stuck(make)
    n.expect(SERVES.format(holder), 2)
    n.expect("the first worker of generation 3 runs the master's start", 1)
    old = n.reload(old_gone=False)
    third = set(n.current()) - set(old)
    n.signal("QUIT")
    leaving(n, third)
    n.open_gate("exit")
    n.wait_end()
    assert [r[0] for r in n.rows() if r[1] == 3] == (
        ["master_start"] + ["worker_start"] * 2 + ["worker_exit"] * 2
        + ["master_exit"])


def test_a_fast_stop_says_which_late_starts_were_not_given(make):
    n, holder = stuck(make, exit_worker=True)
    n.expect(SERVES.format(holder), 2)
    n.expect("the first worker of generation 3 runs the master's start", 1)
    n.expect("not given")
    n.complete = n.succeeds = False
    old = n.reload(old_gone=False)
    third = set(n.current()) - set(old)
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
    n = make(opts=opts(interval=0.1, **IMPATIENT, on_worker_failed=failure(
        "failed", 'require("wmt").gate("failed", true)'))).start()
    n.modelled = False
    (first, second) = n.current()
    n.kill(first)
    n.wait_note("gate")
    n.expect(SERVES.format(second))
    wait(lambda: len(n.notes("up")) == 3, "the replacement")
    n.open_gate("failed")
    n.wait_events("worker_start", 1, 3)
    n.stop()
    assert late(n, "worker_start", 1)[:2] == [False, False]
    assert [r[3:] for r in n.rows() if r.event == "worker_start"][2][1:] == (
        None, "respawn")


def test_a_start_waits_if_it_is_told_to(make):
    """start_timeout 0: an exit keeps the starts as long as lock_timeout
    lets it."""
    n = make(callbacks=STUCK).start()
    n.modelled = False
    n.reload(old_gone=False)
    n.wait_note("gate")
    n.hup()
    n.wait_note("init", 3)
    assert not n.events("master_start", 3)
    n.open_gate("exit")
    n.wait_up()
    wait(lambda: len(n.workers()) == 2, "the old ones to leave")
    n.stop()
    assert late(n, "master_start", 3) == [False]


# --- one that leaves by itself ------------------------------------------------

RETIRE = """
    location /retire { content_by_lua_block {
        require("ngx.process").signal_graceful_exit()
    } }"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_asks_for_its_end_retires(make, workers):
    """Its replacement is a respawn; the node goes on, and stops later."""
    n = make(workers=workers, server=RETIRE).start()
    n.modelled = False
    assert n.get("/retire") == 200
    n.wait_events("worker_start", 1, workers + 1)
    n.stop()
    last = [("worker_exit", k, "stop") for k in range(workers, 0, -1)]
    assert of(n.rows(), 1)[1 + workers:] == [
        ("worker_exit", workers, "retire"),
        *([("master_exit", 0, "retire")] if workers == 1 else []),
        ("worker_start", workers, "respawn"), *last,
        ("master_exit", 0, "stop")]
