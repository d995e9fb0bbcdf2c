# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Callbacks that take longer than a heartbeat may be late, and longer than
lock_timeout: one at a time, nobody taken for dead, nobody kept waiting who
need not."""

import os

import pytest

import proc
from nginx import line_server
from proc import wait
from rows import exits, master_exit, master_start, reloads, starts, worker_exits
from told import failure, opts, told
from upgrades import workers_of

# Overdue after 2 s, in a callback for 10.
TWO = {"interval": 1, "failed": 1}
TEN = {"blocking": "wmt.usleep(10000000)", "yielding": "ngx.sleep(10)"}
PATIENCE = 60

QUICK = {"interval": 0.1, "failed": 0.3}
SLOW = {"blocking": "wmt.usleep(1200000)", "yielding": "ngx.sleep(1.2)"}


def check_nobody_was_judged(n):
    assert not n.log_lines("stalled|crashed|not given")
    for name in ("failed", "recovered"):
        assert told(n, name) == []


# --- ten seconds --------------------------------------------------------------


def test_ten_seconds_in_a_start_callback(make):
    """The others wait asleep."""
    n = make(workers=3, opts=opts(**TWO), callbacks={
        "worker_start": f"if n_mine == 1 then {TEN['blocking']} end"})
    n.start(ready=False)
    n.note_segments()
    wait(lambda: len(n.events("worker_start", 1, "end")) == 3, "all",
         PATIENCE)
    n.wait_up()
    for pid in n.current():
        assert proc.cpu(pid) < 2, "it spun"
    check_nobody_was_judged(n)
    n.quit()
    assert n.rows() == starts(1, 3) + exits(1, 3)


@pytest.mark.parametrize("kind", TEN)
def test_ten_seconds_in_an_exit_callback(make, kind):
    n = make(workers=3, opts=opts(**TWO), callbacks={
        "worker_exit": f"if n_mine == 3 then {TEN[kind]} end"}).start()
    pids = n.current()
    n.signal("QUIT")
    used = {}

    def over():
        for pid in workers_of(n.master):
            try:
                used[pid] = proc.cpu(pid)
            except FileNotFoundError:
                pass
        return n.events("master_exit", 1, "end")
    wait(over, "the end", PATIENCE)
    n.wait_end()
    assert set(used) == set(pids) and max(used.values()) < 2, "it spun"
    check_nobody_was_judged(n)
    assert n.rows() == starts(1, 3) + exits(1, 3)


# --- each of them slow --------------------------------------------------------


def test_each_start_is_slow(make, dict_):
    n = make(workers=3, opts=opts(**QUICK),
             callbacks={"worker_start": SLOW["blocking"]}, dict=dict_).start()
    check_nobody_was_judged(n)
    n.quit()
    assert n.rows() == starts(1, 3) + exits(1, 3)


@pytest.mark.parametrize("kind", SLOW)
def test_each_exit_is_slow(make, exit_worker, kind):
    n = make(workers=3, opts=opts(**QUICK),
             callbacks={"worker_exit": SLOW[kind]},
             exit_worker=exit_worker).start()
    n.quit()
    check_nobody_was_judged(n)
    assert n.rows() == starts(1, 3) + exits(1, 3)


@pytest.mark.parametrize("kind", SLOW)
def test_starts_and_exits_of_a_reload_are_slow(make, exit_worker, kind):
    """The new workers wait for their turn among the old."""
    n = make(opts=opts(**QUICK),
             callbacks={"worker_exit": SLOW[kind],
                        "worker_start": SLOW["blocking"]},
             exit_worker=exit_worker).start()
    old = n.current()
    n.hup()
    n.wait_gone(old)
    n.wait_events("worker_start", 2, 2)
    n.wait_up()
    n.quit()
    check_nobody_was_judged(n)
    assert [r[:2] for r in n.rows() if r[0].startswith("master")] == [
        ("master_start", 1), ("master_start", 2), ("master_exit", 1),
        ("master_exit", 2)]
    assert len(n.rows()) == 12


# --- event loops --------------------------------------------------------------


@pytest.mark.parametrize("how", ['wmt.gate("exit")', 'wmt.await("exit")'])
def test_other_event_loops_go_on(make, how):
    """While one is in its exit callback: those that wait for their own, and
    those of the next generation."""
    n = make(callbacks={"worker_exit": f"""
        if info.generation == 1 and n_mine == 2 then {how} end"""},
        server=line_server("ngx.worker.pid()")).start()
    lines = n.lines()
    n.reload(old_gone=False)
    n.wait_note("gate")
    holder = n.notes("gate")[0]["by"]
    (waiter,) = set(lines) - {holder}
    for _ in range(20):
        assert n.say(lines[waiter]) == str(waiter)
        assert n.get() == 204
        if "await" in how:
            assert n.say(lines[holder]) == str(holder)
    assert len(n.events("worker_exit", 1)) == 1, "still in its callback"
    n.open_gate("exit")
    for s in lines.values():
        s.close()
    n.wait_gone(list(lines))
    n.quit()
    assert n.rows() == (starts(1, 2) + reloads(2, 2, 2)
                        + exits(1, 2, n_next=2) + exits(2, 2, 0))


# --- past lock_timeout --------------------------------------------------------


def test_a_holder_past_lock_timeout_is_named_by_each_waiter(make, both):
    n = make(workers=4, opts={"lock_timeout": 0.3}, callbacks={
        "worker_exit": 'if n_mine == 4 then wmt.gate("exit") end'},
        **both).start()
    n.modelled = n.succeeds = False
    pids = n.current()
    n.signal("QUIT")
    n.wait_note("gate")
    holder = n.notes("gate")[0]["by"]
    n.wait_log("not given.*worker_exit", 3)
    n.expect(rf"not given: worker_exit of 1-\d+: pid {holder} has held the"
             r" lock for \d+\.\d s \(worker exit\)", 3)
    n.wait_gone([p for p in pids if p != holder])
    n.open_gate("exit")
    n.wait_end()
    assert n.rows() == starts(1, 4) + worker_exits(1, 4)[:1] + master_exit(1)


# --- overtaken by a fast stop -------------------------------------------------


@pytest.mark.parametrize("event", ["worker_exit", "master_exit"])
def test_a_yielding_callback_overtaken_by_term(make, dict_, event):
    """It neither deadlocks nor repeats itself."""
    n = make(dict=dict_, callbacks={event: """
        if n_mine ~= 1 then wmt.note("sleeps") ngx.sleep(60) end"""}).start()
    n.modelled = False
    n.signal("QUIT")
    n.wait_note("sleeps")
    n.killed.add(n.notes("sleeps")[0]["by"])    # never ends
    n.term()
    if event == "worker_exit":      # the sleeper was not the last, and is
        rows = worker_exits(1, 2) + master_exit(1)
    else:
        rows = exits(1, 2)
    assert n.rows() == starts(1, 2) + rows


def test_a_failure_callback_overtaken_by_term(make, dict_):
    n = make(dict=dict_, opts=opts(interval=0.1, on_worker_failed=failure(
        "failed", "ngx.sleep(60)"))).start()
    n.kill(n.worker(1))
    n.wait_note("failed")
    n.wait_up()
    n.term()
    assert n.rows()[:3] == starts(1, 2)
    assert n.rows()[4:] == exits(1, 2)
    assert len(n.notes("failed")) == 1


def test_who_waits_to_start_hears_of_a_fast_stop(make, dict_):
    """It cannot listen to nginx there, but looks; nginx kills the other."""
    n = make(dict=dict_, callbacks={"worker_start": 'wmt.gate("start")'})
    n.start(ready=False)
    n.modelled = n.complete = n.succeeds = False
    n.wait_note("gate")
    (holder,) = [x["by"] for x in n.notes("gate")]
    (waiter,) = wait(
        lambda: [p for p in proc.children(n.master) if p != holder],
        "the other")
    n.note_segments()
    n.killed.add(holder)
    n.expect(f"{holder} exited on signal 9|worker 1-{holder} crashed")
    n.expect(f"not given: worker_(start|exit) of 1-{waiter}: pid {holder}"
             " has held")
    n.term()
    assert n.log_lines(f"not given: worker_start of 1-{waiter}")
    for path in n.segments():       # the next start would be told
        os.unlink(path)


def test_who_has_given_its_exit_does_not_wait_for_the_last(make):
    """It only looks whether it is that: a TERM that follows on the QUIT could
    not reach it there."""
    n = make(callbacks={"worker_exit": 'wmt.gate("exit" .. n_mine)'}).start()
    pids = n.current()
    n.signal("QUIT")
    n.wait_note("gate")
    (first,) = [x["by"] for x in n.notes("gate")]
    (last,) = set(pids) - {first}
    wait(lambda: n.next_in_turn() == last, "the other to queue")
    n.open_gate("exit2")
    n.wait_note("gate", 2)
    n.wait_gone([first])        # long before lock_timeout
    n.open_gate("exit1")
    n.wait_end()
    assert n.rows() == starts(1, 2) + exits(1, 2)


# --- timers that nginx drops --------------------------------------------------


@pytest.mark.parametrize("reload", [False, True])
def test_hundreds_of_timers_at_shutdown(make, dict_, exit_worker, reload):
    """They fire at once; the exit's is dropped, and made good at the end."""
    n = make(dict=dict_, exit_worker=exit_worker,
             http="lua_max_running_timers 256;",
             main="worker_rlimit_nofile 2048;", before_join="""
        for _ = 1, 400 do
            ngx.timer.at(3600, function() ngx.sleep(0.2) end)
        end""").start()
    n.expect("lua_max_running_timers are not enough|connections? are not"
             "|failed to run timer")
    n.modelled = n.complete = exit_worker
    if reload:
        n.reload()
    n.quit()
    assert not n.log_lines("crashed")
    if exit_worker:
        life = starts(1, 2)
        if reload:
            life += reloads(2, 2, 2) + exits(1, 2, n_next=2) + exits(2, 2, 0)
        else:
            life += exits(1, 2)
        assert n.rows() == life
    else:
        left = len(n.events("worker_exit")) + len(
            n.log_lines("not given: worker_exit"))
        assert left == len(n.events("worker_start"))


# --- many ---------------------------------------------------------------------


def test_sixty_four_workers(make):
    n = make(workers=64).start()
    n.reload()
    n.quit()
    assert n.rows() == (starts(1, 64) + reloads(2, 64, 64)
                        + exits(1, 64, n_next=64) + exits(2, 64, 0))


def test_a_master_start_waits_for_its_turn(make):
    """Asleep, while a worker of the generation before is in its callback."""
    n = make(workers=1, callbacks={"worker_exit": """
        if info.generation == 1 then wmt.gate("exit") end"""}).start()
    n.reload(old_gone=False)
    n.wait_note("gate")
    n.hup()
    wait(lambda: len(n.notes("init")) == 3, "the third configuration")
    assert len(n.events("master_start")) == 2
    n.open_gate("exit")
    n.wait_events("worker_start", 3)
    n.wait_up()
    n.quit()
    assert [r for r in n.rows() if r[0] == "master_start"][2:] == (
        master_start(3, 1, "reload"))
