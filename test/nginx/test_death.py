# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Death at the wrong moment, and many generations at once: nothing hangs, and
what began has one end."""

import os
import signal
import time
from collections import Counter

import pytest

import proc
from proc import wait
from rows import exits, life, master_start, respawn, starts
from told import opts
from traced import LATE_INIT, LATE_JOIN

FUTEX = {"x86_64": "202", "aarch64": "98"}[os.uname().machine]
OFTEN = {"interval": 0.1}


def check_ends(n):
    """Each worker that started has one end, each spell one master exit."""
    seen = Counter((x["event"], x["id"]) for x in n.trace()
                   if x["what"] == "begin"
                   and x["event"].startswith("worker"))
    assert set(seen.values()) == {1}, seen
    started = {i for e, i in seen if e == "worker_start"}
    left = {i for e, i in seen if e == "worker_exit"}
    crashed = {f'{i.split("-")[0]}-{p}' for i in started
               for p in n.killed if i.endswith(f"-{p}")}
    assert started - left == crashed - left, (started - left, crashed)
    spells = Counter((x["id"], x["info"]["spell"])
                     for x in n.events("master_exit"))
    assert set(spells.values()) == {1}, spells
    assert {g for g, _ in spells} == {int(i.split("-")[0]) for i in started}


# --- workers ------------------------------------------------------------------

def test_a_waiter_for_the_lock_is_killed(make, both):
    n = make(workers=3, callbacks={"worker_start": """
        if n_mine == 1 and not wmt.opened("start") then
            wmt.gate("start") end"""}, **both)
    n.start(ready=False)
    (holder,) = n.wait_note("gate")
    n.note_segments()
    waiters = wait(lambda: [p for p in proc.children(n.master)
                            if p != holder and asleep_in_futex(p)][1:],
                   "both to wait")
    n.kill(waiters[0])
    n.open_gate("start")
    n.wait_up()
    n.modelled = False      # it died before it had a start to be told
    n.stop()
    assert [r.event for r in n.rows()] == (
        ["master_start"] + ["worker_start"] * 3 + ["worker_exit"] * 3
        + ["master_exit"])
    check_ends(n)


def asleep_in_futex(pid):
    with open(f"/proc/{pid}/syscall", encoding="ascii") as f:
        return f.read().split()[0] == FUTEX


def test_a_respawn_is_killed_before_it_joins(make):
    """It has no record, and leaves none."""
    n = make(before_join=LATE_JOIN).start()
    n.open_gate("late")
    n.kill(n.started(1)[0])
    joiners = n.wait_note("gate")
    n.expect("exited on signal 9")
    proc.kill(*joiners)
    n.open_gate("join")
    n.wait_events("worker_start", 1, 3)
    n.stop(starts(1, 2) + respawn(3) + exits(1, 2))


def test_a_zombie_is_dead_while_its_master_is_in_a_slow_init(make, both):
    """The master blocks SIGCHLD there."""
    n = make(opts=opts(**OFTEN), before_init=LATE_INIT, **both).start()
    n.open_gate("late")
    n.hup()
    n.wait_note("gate")
    pid = n.started(1)[0]
    n.expect_killed(pid)
    os.kill(pid, signal.SIGKILL)
    n.wait_note("failed")
    assert proc.stat(pid)[0] == "Z"
    n.open_gate("init")
    n.wait_up()
    n.wait_events("master_exit", 1)
    n.stop()
    assert n.rows()[:4] == starts(1, 2) + master_start(2, 1, "reload")
    assert [r[:2] for r in n.rows()].count(("worker_exit", 1)) == 1
    check_ends(n)


@pytest.mark.parametrize("gen", [1, 2])
def test_all_of_a_generation_die_in_init_worker(make, both, gen):
    """Again and again, with room for eight; then a reload is a good one."""
    fatal = {"after_join": "wmt.note('dies') os.exit(1)"}
    n = make(opts={"interval": 0.1, "capacity": 8}, **both)
    if gen == 1:
        n.params.update(fatal)
        n.start(ready=False)
    else:
        n.start()
        n.hup(**fatal)
    n.modelled = n.succeeds = False
    n.expect("exited with|crashed|respawn")
    n.wait_note("dies", 25)
    n.hup(after_join="")
    n.note_segments()
    n.wait_up()
    n.wait_events("master_exit", gen)
    n.killed |= {x["by"] for x in n.notes("dies")}
    n.stop()
    # Its last spell may have its end told by one that is left at the stop.
    assert [r for r in n.rows() if r.gen == gen + 1][-3:] == exits(
        gen + 1, 2, 0)
    assert not n.log_lines("not tracked|not given")
    told = Counter(n.log_lines(rf"worker {gen}-\d+ crashed"))
    assert max(told.values()) == 1


# --- the master ---------------------------------------------------------------

@pytest.mark.parametrize("sizes", [(2,), (2, 2)])
def test_orphans_end_by_themselves(make, both, sizes):
    n = make(**both).start()
    for _ in sizes[1:]:
        n.reload()
    n.quit_workers(n.orphan())
    n.check_rows(life(*sizes))
    assert n.segments() == []


@pytest.mark.parametrize("where", [
    {"after_init": LATE_INIT}, {"callbacks": {"master_start": LATE_INIT}}])
def test_the_master_is_killed_while_a_generation_has_only_begun(
        make, both, where):
    n = make(opts=OFTEN, **where, **both).start()
    n.open_gate("late")
    n.hup()
    n.wait_note("gate")
    n.killed.add(n.master)      # its callback never ends
    n.quit_workers(n.orphan())
    n.check_rows(life(2, None))
    assert n.segments() == []


def test_the_first_master_is_killed_in_its_start_callback(make, both):
    """Nobody is owed anything: the next start is told nothing."""
    n = make(callbacks={"master_start": """
        if not wmt.opened("late") then wmt.gate("init") end"""}, **both)
    n.launch()
    n.wait_note("gate")
    n.killed.add(n.popen.pid)
    proc.kill(n.popen.pid)
    n.open_gate("late")
    n.start_again()
    n.stop(master_start(1) + life(2))


def test_a_new_master_beside_the_orphans_of_a_killed_one(make):
    """Another node; the orphans' segment goes with the last of them."""
    n = make(daemon=True).start()
    n.check_life = lambda lines: None       # two nodes in one trace
    orphans = n.orphan()
    (first,) = n.segments()
    n.start_again()
    assert len(n.segments()) == 2
    n.quit_workers(orphans)
    assert first not in n.segments()
    n.stop(starts(1, 2) * 2 + exits(1, 2) * 2)


# --- many generations ---------------------------------------------------------

def many_reloads(n, count):
    """Reloads as fast as they come up, a connection held on each, or on the
    one before if that still answers: [(the worker's pid, socket)]."""
    held = []
    for gen in range(2, count + 2):
        held.append(n.hold())
        n.hup()
        n.wait_events("worker_start", gen, 2)
    return held


def test_thirty_reloads_with_connections_that_stay(make, both):
    n = make(opts=OFTEN, after_join="""
        local M = require("resty.worker.manager")
        wmt.answer { workers = function()
            local states = {}
            for _, w in ipairs(M.workers()) do
                states[w.state] = (states[w.state] or 0) + 1
            end
            return { states = states }
        end }""", **both).start()
    held = many_reloads(n, 30)
    wait(lambda: len(n.events("master_exit")) == 30, "the ends of the old")
    n.wait_up()
    states = n.ask(n.started(31)[0], "workers")["states"]
    old = {pid for pid, _ in held} - set(n.current())
    assert states["live"] == 2 and states["draining"] >= len(old) >= 20
    pids = [*old, *n.current()]     # those that stay
    began, used = time.monotonic(), sum(map(proc.cpu, pids))
    wait(lambda: time.monotonic() > began + 1, "a second")
    used = sum(map(proc.cpu, pids)) - used
    assert used < 0.5 * (time.monotonic() - began), "somebody spins"
    for _, s in held:
        s.close()
    n.stop()
    check_ends(n)
    for gen in range(1, 32):
        assert [r.event for r in n.rows() if r.gen == gen] == (
            ["master_start"] + ["worker_start"] * 2 + ["worker_exit"] * 2
            + ["master_exit"])


def test_the_master_is_killed_amid_many_reloads(make, both):
    """All that was started ends, and the last one clears up."""
    n = make(opts=OFTEN, **both).start()
    held = many_reloads(n, 8)
    everybody = n.orphan()
    n.modelled = False
    for _, s in held:
        s.close()
    n.quit_workers([p for p in everybody if not proc.gone(p)])
    check_ends(n)
    assert n.segments() == []


def test_a_small_table_and_many_reloads(make):
    """Records of generations are used again and again."""
    n = make(workers=1, opts={"interval": 0.1, "capacity": 2}).start()
    for _ in range(75):
        n.reload()
    n.stop(life(*[1] * 76))
