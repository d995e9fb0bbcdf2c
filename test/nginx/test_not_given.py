# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""What cannot be given is logged, and the next one is not hindered."""

import pytest

from rows import (exits, master_start, reloads, starts, worker_exits,
                  worker_start)


def not_given(n, what):
    return n.log_lines(f"worker manager: not given.*{what}")


def test_a_fast_stop_without_exit_worker(make, dict_):
    """Workers leave; nobody could give their exits."""
    n = make(dict=dict_, exit_worker=False).start()
    n.complete = False
    pids = n.current()
    n.term()
    assert n.rows() == starts(1, 2)
    for pid in pids:
        assert len(not_given(n, f"worker_exit of 1-{pid}")) == 1
    assert len(not_given(n, "master_exit of 1")) == 1


def test_a_fast_stop_without_exit_worker_after_a_reload(make, dict_):
    n = make(dict=dict_, exit_worker=False).start()
    n.complete = False
    n.reload()
    n.term()
    assert n.rows() == (
        starts(1, 2) + reloads(2, 2, n_prev=2) + exits(1, 2, n_next=2))
    assert len(not_given(n, "worker_exit of 2-")) == 2
    assert len(not_given(n, "master_exit of 2")) == 1


def test_a_fast_stop_without_exit_worker_is_no_unclean_end(make, dict_):
    """All of it was logged: the next start has nothing to be told."""
    n = make(dict=dict_, exit_worker=False).start()
    n.complete = False
    n.term()
    n.new_life()
    n.start()
    assert "unclean" not in n.events("master_start")[1]["info"]
    n.quit()
    assert n.rows() == starts(1, 2) + starts(1, 2) + exits(1, 2)


def test_a_start_that_waited_longer_than_lock_timeout(make, both):
    """One holder too long: the queue goes on without its callbacks."""
    n = make(workers=3, opts={"lock_timeout": 0.2},
             callbacks={"worker_start": 'wmt.gate("start")'},
             join="""
        local ok, err = require("resty.worker.manager")
            .on_init_worker_by_lua(wmt.callback("worker_start",
                function() wmt.gate("start") end),
                wmt.callback("worker_exit"))
        wmt.note("joined", { ok = tostring(ok), err = err })""", **both)
    n.modelled = False
    n.start(ready=False)
    n.wait_log("not given.*worker_start", 2)
    n.expect("not given.*worker_start of 1-", 2)
    n.note_segments()
    n.open_gate("start")
    n.wait_up()
    assert sorted(x["ok"] for x in n.notes("joined")) == ["nil", "nil", "true"]
    assert all(x["err"] for x in n.notes("joined") if x["ok"] == "nil")
    n.quit()
    assert n.rows() == master_start(1) + worker_start(1, 1) + exits(1, 3)


def test_a_queue_longer_than_lock_timeout_is_served(make, both):
    """It limits one holder, not how long the queue may be."""
    n = make(workers=5, opts={"lock_timeout": 0.4}, callbacks={
        "worker_start": "wmt.usleep(120000)"}, **both).start()
    n.quit()
    assert n.rows() == starts(1, 5) + exits(1, 5)


def test_a_master_start_that_waited_too_long(make, both):
    """A worker's exit holds the lock as the next generation begins."""
    n = make(workers=1, opts={"lock_timeout": 0.3}, callbacks={
        "worker_exit": 'if info.generation == 1 then wmt.gate("exit") end'},
        init=None, **both).start()
    n.modelled = n.succeeds = False
    n.reload(old_gone=False)
    n.wait_note("gate")
    n.hup(init="""
        local ok, err = require("resty.worker.manager").on_init_by_lua(
            { shm = "my_shm", interval = 0.5, lock_timeout = 0.3 },
            wmt.callback("master_start"), wmt.callback("master_exit"))
        wmt.note("begun", { ok = tostring(ok), err = err })""")
    n.wait_note("begun")
    n.expect("not given.*master_start of 3", 1)
    assert not_given(n, "master_start of 3")
    assert n.notes("begun")[0]["ok"] == "nil"
    n.expect("not given.*(worker_start|worker_exit|master_exit) of ")
    n.open_gate("exit")
    n.wait_note("up", 3)
    n.quit()
    assert [r[:2] for r in n.rows()].count(("master_exit", 1)) == 1


def test_the_rest_of_a_slow_fast_stop(make, dict_):
    """nginx kills who is still waiting after a second or so."""
    n = make(workers=4, dict=dict_, callbacks={
        "worker_exit": "wmt.usleep(700000)"}).start()
    n.modelled = n.complete = n.succeeds = False
    pids = n.current()
    n.killed.update(pids)
    n.expect("exited on signal 9")
    n.expect("worker manager: .*(not given|crashed)")
    n.term()
    given = {x["by"] for x in n.events("worker_exit")}
    assert 1 <= len(given) < 4
    untold = [p for p in pids if p not in given]
    logged = [p for p in untold if not_given(n, f"worker_exit of 1-{p}")]
    if n.segments():
        n.new_life()
        n.start()
        n.expect("worker manager: not given: the former life", 1)
        assert n.events("master_start")[-1]["info"]["unclean"]
    else:
        assert logged == untold


def test_exits_that_take_their_time_do_not_overlap(make, dict_):
    """A graceful stop waits for all of them, one at a time."""
    n = make(workers=4, dict=dict_, opts={"lock_timeout": 0.5}, callbacks={
        "worker_exit": "wmt.usleep(200000)"}).start()
    n.quit()
    assert n.rows() == starts(1, 4) + exits(1, 4)


def test_exits_that_yield_do_not_overlap(make, both):
    n = make(workers=4, callbacks={
        "worker_exit": "ngx.sleep(0.1)"}, **both).start()
    n.quit()
    assert n.rows() == starts(1, 4) + exits(1, 4)


def test_a_fast_stop_while_an_exit_callback_sleeps(make, dict_):
    """Its coroutine never resumes; what comes after is still given."""
    n = make(dict=dict_, callbacks={"worker_exit": """
        if n_mine == 2 then wmt.note("sleeps") ngx.sleep(60) end"""}).start()
    n.modelled = False
    n.signal("QUIT")
    n.wait_note("sleeps")
    sleeper = n.notes("sleeps")[0]["by"]
    n.killed.add(sleeper)       # never ends
    n.term()
    assert n.rows() == starts(1, 2) + worker_exits(1, 2) + exits(1, 2)[-1:]
