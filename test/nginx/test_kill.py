# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Killed workers: their respawn, their timing out, stops after it."""

import os
import signal
import time

from conf import NO_CALLBACK
from proc import wait
from rows import (exits, master_exit, of, starts, worker_exit, worker_exits,
                  worker_start)


def respawn(n_mine, gen=1):
    return worker_start(gen, n_mine, reason="respawn")


def test_a_respawn_sees_one_more(make, both):
    n = make(**both).start()
    n.kill(n.worker(1))
    n.wait_events("worker_start", 1, 3)
    n.quit()
    assert n.rows() == starts(1, 2) + respawn(3) + exits(1, 2)


def test_a_single_worker_killed(make, both):
    n = make(workers=1, **both).start()
    n.kill(n.worker(1))
    n.wait_events("worker_start", 1, 2)
    n.quit()
    assert n.rows() == starts(1, 1) + respawn(2) + exits(1, 1)


def test_two_killed_in_turn_count_two_more(make, dict_):
    n = make(dict=dict_).start()
    n.kill(n.worker(1))
    n.wait_events("worker_start", 1, 3)
    n.kill(n.worker(1, 1))
    n.wait_events("worker_start", 1, 4)
    n.quit()
    assert n.rows() == starts(1, 2) + respawn(3) + respawn(4) + exits(1, 2)


def test_all_killed_at_once_is_no_exit(make, both):
    n = make(**both).start()
    n.pause(n.current())
    n.kill(*n.current())
    n.wait_events("worker_start", 1, 4)
    n.quit()
    assert n.rows() == starts(1, 2) + respawn(3) + respawn(4) + exits(1, 2)


def test_timing_out_brings_the_count_back(make, both):
    """interval + failed after its last beat, the crashed is forgotten."""
    n = make(opts={"interval": 0.2, "failed": 0.6}, **both).start()
    n.kill(n.worker(1))
    forgotten = time.monotonic() + 0.9
    n.wait_events("worker_start", 1, 3)
    wait(lambda: time.monotonic() > forgotten, "the timing out")
    n.kill(n.worker(1, 1))
    n.wait_events("worker_start", 1, 4)
    n.quit()
    assert n.rows() == starts(1, 2) + respawn(3) + respawn(3) + exits(1, 2)


def test_a_crash_is_logged_once(make, both):
    n = make(opts={"interval": 0.1}, **both).start()
    pid = n.worker(1)
    n.kill(pid)
    n.wait_events("worker_start", 1, 3)
    n.quit()
    assert len(n.log_lines(rf"worker manager: .*1-{pid}\b.*crashed")) == 1


def test_an_idle_survivor_notices_a_crash_at_its_next_beat(make):
    """Without a respawn: the replacement is held up before it joins."""
    n = make(opts={"interval": 0.1}, before_join="""
        if wmt.opened("late") then wmt.gate("join") end""").start()
    n.open_gate("late")
    pid = n.worker(1)
    n.kill(pid)
    n.wait_log(rf"worker manager: .*1-{pid}\b.*crashed")
    n.open_gate("join")
    n.wait_events("worker_start", 1, 3)
    n.quit()
    assert n.rows() == starts(1, 2) + respawn(3) + exits(1, 2)


def test_a_reload_after_a_kill(make, both):
    n = make(**both).start()
    n.kill(n.worker(1))
    n.wait_events("worker_start", 1, 3)
    n.reload()
    n.quit()
    rows = n.rows()
    assert rows[3:] == respawn(3) + rows[4:]
    assert of(rows[4:], 1) == of(exits(1, 2, n_next=2), 1)
    assert of(rows[4:], 2) == [("master_start", 0, "reload")] + of(
        starts(2, 2, reason="reload")[1:] + exits(2, 2), 2)


def test_a_reload_right_after_a_kill_counts_no_dead(make, both):
    """Nobody else has looked since; the respawn is held up."""
    n = make(opts={"interval": 3600, "failed": 3600}, before_join="""
        if wmt.opened("late") then wmt.gate("join") end""", **both).start()
    n.open_gate("late")
    n.kill(n.worker(1))
    n.wait_note("gate")
    n.hup(before_join="")
    n.wait_events("worker_start", 2, 2)
    n.open_gate("join")
    n.wait_up()
    n.modelled = False
    n.quit()
    assert n.rows()[3:4] == [("master_start", 2, 1, 0, None, "reload")]


def test_a_stop_right_after_a_kill(make, both):
    """The killed is no sibling: whoever is left can be the last."""
    n = make(**both).start()
    pid, other = n.worker(1), n.worker(1, 1)
    n.kill(pid)
    n.quit()
    left = [x["by"] for x in n.events("worker_exit", 1)]
    assert other in left and pid not in left
    assert n.rows()[-1] == master_exit(1)[0]


def test_a_kill_and_a_stop_at_once(make, both):
    """Death may come too late for the last; then the next start is told."""
    n = make(**both).start()
    pid = n.worker(1)
    n.expect_killed(pid)
    os.kill(pid, signal.SIGKILL)
    n.quit()
    n.complete = n.modelled = False     # when it died, nobody knows
    given = master_exit(1)[0] in n.rows()
    assert bool(n.segments()) != given
    n.new_life()
    n.start()
    told = n.events("master_start")[-1]["info"].get("unclean")
    assert (told is None) == given
    if told:
        n.expect("worker manager: not given: the former life")
        assert told["exits_owed"] == 1


def test_a_stop_with_no_worker_left(make):
    """Nobody is left to give the exit; the next start is told."""
    n = make(workers=1, callbacks={"worker_exit": 'wmt.gate("exit")'}).start()
    n.signal("QUIT")
    n.wait_note("gate")
    n.kill(n.worker(1))
    n.wait_end()
    assert n.rows() == starts(1, 1) + worker_exit(1, 1)
    assert len(n.segments()) == 1
    n.new_life()
    n.open_gate("exit")
    n.start()
    n.expect("worker manager: not given: the former life", 1)
    unclean = n.events("master_start")[-1]["info"]["unclean"]
    assert unclean["exits_owed"] == 1
    assert unclean["workers"] == 1
    n.complete = False
    n.quit()
    assert n.rows()[3:] == starts(1, 1) + exits(1, 1)


def test_all_killed_and_the_master_too(make, dict_):
    """The next start is told of it, and clears it away."""
    n = make(dict=dict_).start()
    pids = n.current()
    for pid in pids:
        n.killed.add(pid)
    os.kill(n.master, signal.SIGKILL)
    n.popen.wait()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    n.wait_gone(pids)
    (old,) = n.segments()
    os.unlink(n.path("s"))
    os.unlink(n.path("nginx.pid"))
    n.new_life()
    n.start()
    n.expect("worker manager: not given: the former life", 1)
    n.complete = False
    (new,) = n.segments()
    assert new != old
    unclean = n.events("master_start")[-1]["info"]["unclean"]
    assert unclean["exits_owed"] == 1
    assert unclean["workers"] == 2
    n.quit()
    assert n.rows()[3:] == starts(1, 2) + exits(1, 2)


def test_killed_in_its_start_callback(make, both):
    """The lock passes on; the node does not hang."""
    n = make(callbacks={"worker_start": """
        if not wmt.opened("free") then wmt.gate("start") end"""}, **both)
    n.start(ready=False)
    n.wait_note("gate")
    n.open_gate("free")
    n.kill(n.notes("gate")[0]["by"])
    n.wait_events("worker_start", 1, 2)
    n.note_segments()
    n.quit()
    rows = n.rows()
    assert rows[:2] == starts(1, 1)
    assert [r[0] for r in rows[2:4]] == ["worker_start"] * 2
    assert rows[4:] == exits(1, 2)


def test_killed_in_its_exit_callback(make, both):
    """The other one is the last then."""
    n = make(callbacks={"worker_exit": """
        if wmt.opened("first") then return end
        wmt.gate("exit")"""}, **both).start()
    n.signal("QUIT")
    n.wait_note("gate")
    n.open_gate("first")
    n.kill(n.notes("gate")[0]["by"])
    n.wait_end()
    assert n.rows() == starts(1, 2) + worker_exits(1, 2) + master_exit(1)


def test_killed_in_the_master_exit_callback(make, both):
    """It was given; nobody gives it again."""
    n = make(callbacks={"master_exit": 'wmt.gate("exit")'}, **both).start()
    n.signal("QUIT")
    n.wait_note("gate")
    n.kill(n.notes("gate")[0]["by"])
    n.wait_end()
    assert n.rows() == starts(1, 2) + exits(1, 2)


def test_killed_without_callbacks(make):
    n = make(callbacks=dict.fromkeys(
        ("master_start", "master_exit", "worker_start", "worker_exit"),
        NO_CALLBACK)).start()
    n.kill(n.current()[0])
    wait(lambda: len(n.notes("up")) == 3, "the respawn")
    n.quit()
    assert n.rows() == []
