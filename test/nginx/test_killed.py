# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Killed workers: their respawn, their timing out, stops after it, and the
exit of a generation whose workers are killed, which comes once."""

import os
import signal

import pytest

from conf import EVENTS, NO_CALLBACK
from proc import kill, wait
from rows import (exits, life, master_exit, master_start, reloads, respawn,
                  starts, stopped, worker_exit, worker_exits)
from test_views import ANSWERS, events_of
from told import opts, told
from traced import LATE_JOIN

OFTEN = {"interval": 0.1}       # a survivor sweeps ten times a second


@pytest.mark.parametrize("workers", [1, 2])
def test_respawns_see_one_more_each(make, both, workers):
    """And each crash is logged once."""
    n = make(workers=workers, opts=OFTEN, **both).start()
    killed = n.started(1)
    for pid in killed:
        n.replace(pid)
    n.stop(starts(1, workers)
           + sum((respawn(workers + k) for k in range(1, workers + 1)), [])
           + exits(1, workers))
    for pid in killed:
        assert len(n.log_lines(rf"manager: .*1-{pid}\b.*crashed")) == 1


def test_all_killed_at_once_is_no_exit(make, both):
    n = make(**both).start()
    n.pause(n.current())
    n.kill(*n.current())
    n.wait_events("worker_start", 1, 4)
    n.stop(starts(1, 2) + respawn(3) + respawn(4) + exits(1, 2))


def test_timing_out_brings_the_count_back(make):
    """interval + failed after its last beat, the crashed is forgotten: one
    that is replaced then, without a crash, starts beside its sibling alone."""
    n = make(opts={"interval": 0.1, "failed": 0.3}, after_join=ANSWERS).start()
    n.expect("worker manager: worker .* (stalled|recovered)")
    n.modelled = False
    killed, other = n.started(1)
    n.replace(killed)
    (new,) = set(n.started(1)) - {killed, other}
    n.wait_up()
    wait(lambda: "worker_forgotten" in events_of(n, new), "the timing out")
    n.signal("QUIT", other)
    n.wait_events("worker_start", 1, 4)
    assert n.rows()[-1].n_mine == 2


def test_an_idle_survivor_notices_a_crash_at_its_next_beat(make):
    """Without a respawn: the replacement is held up before it joins."""
    n = make(opts=OFTEN, before_join=LATE_JOIN).start()
    n.open_gate("late")
    pid = n.started(1)[0]
    n.mark = len(n.log())
    n.kill(pid)
    n.wait_log(rf"worker manager: .*1-{pid}\b.*crashed")
    n.open_gate("join")
    n.wait_events("worker_start", 1, 3)
    n.stop(starts(1, 2) + respawn(3) + exits(1, 2))


def test_a_reload_after_a_kill(make, both):
    n = make(**both).start()
    n.replace(n.started(1)[0])
    n.reload()
    n.stop(starts(1, 2) + respawn(3) + life(2, 2)[3:])


def test_a_reload_right_after_a_kill_counts_no_dead(make, both):
    """Nobody else has looked since; the respawn is held up."""
    n = make(opts={"interval": 3600, "failed": 3600}, before_join=LATE_JOIN,
             **both).start()
    n.modelled = False
    n.open_gate("late")
    n.kill(n.started(1)[0])
    n.wait_note("gate")
    n.hup(before_join="")
    n.wait_events("worker_start", 2, 2)
    n.open_gate("join")
    n.wait_up()
    assert n.rows()[3:4] == master_start(2, 1, "reload")


def test_a_stop_right_after_a_kill(make, both):
    """The killed is no sibling: one that is left can be the last."""
    n = make(**both).start()
    pid, other = n.started(1)
    n.kill(pid)
    n.stop()
    left = [x["by"] for x in n.events("worker_exit", 1)]
    assert other in left and pid not in left
    assert n.rows()[-1:] == master_exit(1)


def test_a_kill_and_a_stop_at_once(make, both):
    """Death may come too late for the last; then the next start is told."""
    n = make(**both).start()
    pid = n.started(1)[0]
    n.expect_killed(pid)
    os.kill(pid, signal.SIGKILL)
    n.stop()
    n.complete = n.modelled = False     # when it died, nobody knows
    given = master_exit(1)[0] in n.rows()
    assert bool(n.segments()) != given
    unclean = n.start_again(unclean=not given)
    assert given or unclean["exits_owed"] == 1


def test_a_stop_with_no_worker_left(make):
    """Nobody is left to give the exit; the next start is told."""
    n = make(workers=1, callbacks={"worker_exit": 'wmt.gate("exit")'}).start()
    n.signal("QUIT")
    n.wait_note("gate")
    n.kill(*n.started(1))
    n.wait_end()
    n.check_rows(starts(1, 1) + worker_exit(1, 1))
    n.open_gate("exit")
    unclean = n.start_again(unclean=True)
    assert (unclean["exits_owed"], unclean["workers"]) == (1, 1)
    n.stop(starts(1, 1) + worker_exit(1, 1) + life(1))


def test_all_killed_and_the_master_too(make, dict_):
    """The next start is told of it, and clears it away."""
    n = make(dict=dict_).start()
    n.killed |= {n.master, *n.current()}
    n.pause([n.master, *n.current()])
    kill(n.master, *n.current())
    (old,) = n.segments()
    unclean = n.start_again(unclean=True)
    (new,) = n.segments()
    assert new != old
    assert (unclean["exits_owed"], unclean["workers"]) == (1, 2)
    n.stop(starts(1, 2) + life(2))


def test_killed_in_its_start_callback(make, both):
    """The lock passes on; the node does not hang."""
    n = make(callbacks={"worker_start": """
        if not wmt.opened("free") then wmt.gate("start") end"""}, **both)
    n.start(ready=False)
    pids = n.wait_note("gate")
    n.open_gate("free")
    n.kill(*pids)
    n.wait_events("worker_start", 1, 2)
    n.note_segments()
    n.stop()
    rows = n.rows()
    assert rows[:2] == starts(1, 1) and rows[4:] == exits(1, 2)
    assert [r.event for r in rows[2:4]] == ["worker_start"] * 2


def test_killed_in_an_exit_callback(make, both):
    """It was given, and is not again; the other one is the last then, and is
    told, though no timer comes in between."""
    n = make(opts=opts(interval=3600), callbacks={"worker_exit": """
        if wmt.opened("first") then return end
        wmt.gate("exit")""", "master_exit": 'wmt.gate("exit")'},
             **both).start()
    n.signal("QUIT")
    first = n.wait_note("gate")
    n.open_gate("first")
    n.kill(*first)
    n.kill(n.wait_note("gate", 2)[1])
    n.wait_end()
    n.check_rows(starts(1, 2) + worker_exits(1, 2) + master_exit(1))
    assert [x[1:] for x in told(n, "failed")] == [
        (f"1-{first[0]}", "crashed")]


def test_killed_without_callbacks(make):
    n = make(callbacks=dict.fromkeys(EVENTS, NO_CALLBACK)).start()
    n.kill(n.current()[0])
    n.wait_note("up", 3)
    n.stop([])


# --- an old generation: its master's exit comes once --------------------------

def test_all_killed_before_they_hear_of_the_reload(make, both):
    """A survivor of the new one gives it: old id, reason crash, by its own
    function, which may yield as it runs in a timer."""
    tag = 'wmt.note("exit of " .. id, { tag = "%s" })'
    n = make(opts=OFTEN, callbacks={"master_exit": tag % "old"},
             **both).start()
    n.kill(*n.reload_unheard(until=2, callbacks={
        "master_exit": tag % "new" + """
            if info.reason == "crash" then ngx.sleep(0.01) end"""}))
    n.wait_events("master_exit", 1)
    n.stop(starts(1, 2) + reloads(2, 2, n_prev=2)
           + master_exit(1, n_next=2, reason="crash") + stopped(2, 2))
    assert [x["tag"] for x in n.notes("exit of 1")] == ["new"]


def test_a_survivor_without_a_callback_leaves_it_owed(make):
    """The next generation that has one gives it."""
    n = make(opts=OFTEN).start()
    n.kill(*n.reload_unheard(until=2, callbacks={"master_exit": NO_CALLBACK}))
    n.reload(callbacks={})
    n.wait_events("master_exit", 1)
    n.modelled = False      # generation 2 exits without a callback
    n.stop()
    given = [r[:2] + r[5:] for r in n.rows() if r.event == "master_exit"]
    assert given == [("master_exit", 1, "crash"), ("master_exit", 3, "stop")]


def test_one_killed_the_other_is_the_last(make, both):
    n = make(opts=OFTEN, **both).start()
    killed, other = n.reload_unheard(until=2)
    n.kill(killed)
    n.resume([other])
    n.wait_gone([other])
    n.wait_events("master_exit", 1)
    n.stop(starts(1, 2) + reloads(2, 2, n_prev=2) + exits(1, 1, n_next=2)
           + stopped(2, 2))


def test_killed_while_draining_nothing_is_owed(make, both):
    n = make(opts=OFTEN, **both).start()
    n.kill(*n.drain())
    n.reload()
    n.stop(life(2, 2, 2))
    assert not n.log_lines("crashed")


def test_the_last_killed_after_the_other_has_left(make, both):
    """One has given its exit and drains; the other dies before its own."""
    n = make(opts=OFTEN, **both).start()
    first, second = n.reload_unheard(until=2)
    n.resume([first])
    n.wait_events("worker_exit", 1)
    n.kill(second)
    n.wait_events("master_exit", 1)
    n.stop(starts(1, 2) + reloads(2, 2, n_prev=2)
           + worker_exit(1, 2, n_next=2, reason="reload")
           + master_exit(1, n_next=2, reason="crash") + stopped(2, 2))


def test_killed_in_its_exit_callback_as_the_last(make, both):
    """Its own exit was given; its master's is given by a survivor."""
    n = make(workers=1, opts=OFTEN, callbacks={"worker_exit": """
        if info.generation == 1 then wmt.gate("exit") end"""}, **both).start()
    old = n.reload_unheard(until=2)
    n.resume(old)
    n.wait_note("gate")
    n.kill(*old)
    n.wait_events("master_exit", 1)
    n.stop(starts(1, 1) + reloads(2, 1, n_prev=1)
           + worker_exit(1, 1, n_next=1, reason="reload")
           + master_exit(1, n_next=1, reason="crash") + stopped(1, 1))
