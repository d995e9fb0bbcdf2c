# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""An old generation whose workers are killed: its exit comes once."""

from conf import NO_CALLBACK
from rows import exits, master_exit, reloads, starts, worker_exit

QUICK = {"interval": 0.1}       # a survivor sweeps ten times a second


def reload_with_old_paused(n, **changes):
    """A reload whose old workers have not heard of it: their pids."""
    old = n.current()
    n.pause(old)
    n.hup(**changes)
    n.wait_events("worker_start", 2, 2)
    return old


def test_all_killed_before_they_hear_of_the_reload(make, both):
    """A survivor of the new one gives it: old id, reason crash."""
    n = make(opts=QUICK, **both).start()
    n.kill(*reload_with_old_paused(n))
    n.wait_events("master_exit", 1)
    n.quit()
    assert n.rows() == (
        starts(1, 2) + reloads(2, 2, n_prev=2)
        + master_exit(1, n_next=2, reason="crash")
        + exits(2, 2, n_prev=0))


def test_it_runs_the_survivors_own_function(make):
    tag = 'wmt.note("exit of " .. id, { tag = "%s" })'
    n = make(opts=QUICK, callbacks={"master_exit": tag % "old"}).start()
    n.kill(*reload_with_old_paused(
        n, callbacks={"master_exit": tag % "new"}))
    n.wait_events("master_exit", 1)
    n.quit()
    assert [x["tag"] for x in n.notes("exit of 1")] == ["new"]


def test_it_may_yield_as_it_runs_in_a_timer(make):
    n = make(opts=QUICK, callbacks={"master_exit": """
        if info.reason == "crash" then ngx.sleep(0.01) end"""}).start()
    n.kill(*reload_with_old_paused(n))
    n.wait_events("master_exit", 1)
    n.quit()
    assert n.rows()[6:7] == reloads(2, 2, n_prev=2)[3:] + master_exit(
        1, n_next=2, reason="crash")


def test_a_survivor_without_a_callback_leaves_it_owed(make):
    """The next generation that has one gives it."""
    n = make(opts=QUICK).start()
    n.kill(*reload_with_old_paused(
        n, callbacks={"master_exit": NO_CALLBACK}))
    n.reload(callbacks={})
    n.wait_events("master_exit", 1)
    n.modelled = False      # generation 2 exits without a callback
    n.quit()
    given = [r[:2] + r[5:] for r in n.rows() if r[0] == "master_exit"]
    assert given == [("master_exit", 1, "crash"), ("master_exit", 3, "stop")]


def test_one_killed_the_other_is_the_last(make, both):
    n = make(opts=QUICK, **both).start()
    killed, other = reload_with_old_paused(n)
    n.kill(killed)
    n.resume([other])
    n.wait_gone([other])
    n.wait_events("master_exit", 1)
    n.quit()
    assert n.rows() == (
        starts(1, 2) + reloads(2, 2, n_prev=2)
        + worker_exit(1, 1, n_next=2, reason="reload")
        + master_exit(1, n_next=2, reason="reload")
        + exits(2, 2, n_prev=0))


def test_killed_while_draining_nothing_is_owed(make, both):
    n = make(opts=QUICK, **both).start()
    held = n.hold_all()
    n.reload(old_gone=False)
    n.wait_events("master_exit", 1)
    n.kill(*held)
    n.reload()
    n.quit()
    assert n.rows() == (
        starts(1, 2)
        + reloads(2, 2, n_prev=2) + exits(1, 2, n_next=2)
        + reloads(3, 2, n_prev=2) + exits(2, 2, n_prev=0, n_next=2)
        + exits(3, 2, n_prev=0))
    assert not n.log_lines("crashed")


def test_the_last_killed_after_the_other_has_left(make, both):
    """One has given its exit and drains; the other dies before its own."""
    n = make(opts=QUICK, **both).start()
    first, second = reload_with_old_paused(n)
    n.resume([first])
    n.wait_events("worker_exit", 1)
    n.kill(second)
    n.wait_events("master_exit", 1)
    n.quit()
    assert n.rows() == (
        starts(1, 2) + reloads(2, 2, n_prev=2)
        + worker_exit(1, 2, n_next=2, reason="reload")
        + master_exit(1, n_next=2, reason="crash")
        + exits(2, 2, n_prev=0))


def test_killed_in_its_exit_callback_as_the_last(make, both):
    """Its own exit was given; its master's is given by a survivor."""
    n = make(workers=1, opts=QUICK, callbacks={"worker_exit": """
        if info.generation == 1 then wmt.gate("exit") end"""}, **both).start()
    old = n.current()
    n.pause(old)
    n.hup()
    n.wait_events("worker_start", 2)
    n.resume(old)
    n.wait_note("gate")
    n.kill(*old)
    n.wait_events("master_exit", 1)
    n.quit()
    assert n.rows() == (
        starts(1, 1) + reloads(2, 1, n_prev=1)
        + worker_exit(1, 1, n_next=1, reason="reload")
        + master_exit(1, n_next=1, reason="crash")
        + exits(2, 1, n_prev=0))
