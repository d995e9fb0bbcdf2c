# SPDX-License-Identifier: Apache-2.0
"""Death at the wrong moment, of workers and of masters: nothing hangs, what
began has one end, and a generation's exit comes once. That each death is found
and counted is tested in test/unit and test/crash."""

import os
import signal
import time

import pytest

import conf
import proc
from conf import NO_CALLBACK
from proc import wait
from rows import (exits, life, master_exit, master_start, respawn, starts,
                  stopped)
from told import failure, opts, told
from traced import LATE_JOIN

OFTEN = {"interval": 0.1}       # a survivor sweeps ten times a second


def test_respawns_see_one_more_each(make, both):
    """Killed one by one, or all at once, which is no exit; a reload counts
    none of the dead, and each crash is logged once."""
    n = make(opts=OFTEN, **both).start()
    for pid in n.started(1):
        n.replace(pid)
    together = n.started(1)[2:]
    n.pause(together)
    n.kill(*together)
    n.wait_events("worker_start", 1, 6)
    n.reload()
    n.stop(starts(1, 2) + sum(map(respawn, range(3, 7)), []) + life(2, 2)[3:])
    for pid in n.killed:
        assert len(n.log_lines(rf"manager: .*1-{pid}\b.*crashed")) == 1


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
    n.check_rows(life(2))
    assert [x[1:] for x in told(n, "failed")] == [
        (f"1-{first[0]}", "crashed")]


@pytest.mark.parametrize("does", ["ngx.sleep(0.01)",
                                  'error("raised on purpose")'])
def test_all_killed_before_they_hear_of_the_reload(make, both, does):
    """A survivor of the new one gives it: old id, reason crash, by its own
    function. As it runs in a timer, that may yield. If it raises, or that of a
    failure, the lock is free again, and the survivor gives its own exit."""
    tag = 'wmt.note("exit of " .. id, { tag = "%s" })'
    n = make(opts=opts(interval=0.1, on_worker_failed=failure("failed", does)),
             callbacks={"master_exit": tag % "old"}, **both).start()
    n.kill(*n.reload_unheard(until=2, callbacks={
        "master_exit": tag % "new" + f"""
            if info.reason == "crash" then {does} end"""}))
    n.wait_note("exit of 1")
    n.wait_note("failed", 2)
    if "error" in does:
        n.expect("the master_exit callback of 1 raised: .*on purpose", 1)
        n.expect("the worker_failed callback of .* raised: .*on purpose", 2)
        n.expect("stack traceback")
    n.stop(starts(1, 2) + starts(2, 2, 2, "reload")
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


def test_thirty_reloads_with_connections_that_stay(make, both):
    """As fast as they come up, a connection held on each worker, or on the one
    before if that still answers: nobody spins, and each end is given."""
    n = make(opts=OFTEN, **both).start()
    held = []
    for gen in range(2, 32):
        held.append(n.hold())
        n.hup()
        n.wait_events("worker_start", gen, 2)
    wait(lambda: len(n.events("master_exit")) == 30, "the ends of the old")
    n.wait_up()
    old = {pid for pid, _ in held} - set(n.current())
    assert len(old) >= 20
    pids = [*old, *n.current()]     # those that stay
    began, used = time.monotonic(), sum(map(proc.cpu, pids))
    wait(lambda: time.monotonic() > began + 1, "a second")
    used = sum(map(proc.cpu, pids)) - used
    assert used < 0.5 * (time.monotonic() - began), "somebody spins"
    for _, s in held:
        s.close()
    n.stop()


def test_all_of_a_generation_die_in_init_worker(make, both):
    """Again and again, with room for eight; then a reload is a good one."""
    n = make(opts={"interval": 0.1, "capacity": 8},
             after_join="wmt.note('dies') os.exit(1)", **both)
    n.start(ready=False)
    n.modelled = n.succeeds = False
    n.expect("exited with|crashed|respawn")
    n.wait_note("dies", 25)
    n.hup(after_join="")
    n.wait_up()
    n.wait_events("master_exit", 1)
    # One that was forked before the reload may join after it, and die last.
    wait(lambda: len(proc.children(n.master)) == 2, "the last to die")
    n.killed |= {x["by"] for x in n.notes("dies")}
    wait(lambda: len(n.log_lines(r"worker 1-\d+ crashed")) == len(n.killed),
         "all crashes to be told")
    n.stop()
    # Its last spell may have its end told by one that is left at the stop.
    assert [r for r in n.rows() if r.gen == 2][-3:] == exits(2, 2, 0)
    assert not n.log_lines("not tracked|not given")
    assert len(n.log_lines(r"worker 1-\d+ crashed")) == len(n.killed)


def test_orphans_end_by_themselves(make, both):
    """A server that starts beside them says so."""
    n = make(opts={"name": conf.own("test-orphans")}, **both).start()
    n.reload()
    orphans = n.workers()
    proc.kill(n.master)
    n.master = None
    heir = make(beside=n, opts=n.params["opts"], listen="unix:t", **both)
    heir.start().stop(life(2))
    assert n.log_lines(r"manager: 1 other node\(s\) of this name live")
    for pid in orphans:
        os.kill(pid, signal.SIGQUIT)
    n.wait_gone(orphans)
    n.check_rows(life(2, 2))
    assert n.segments() == []
