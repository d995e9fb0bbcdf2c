# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""How a worker of nginx ends, where the project depends on it. No libwm."""

import os

import pytest

import proc
from test_facts import WORKER, order, plain     # pylint: disable=unused-import


def test_quit_fires_premature_timers_when_the_shutdown_begins(plain):
    """The process may live on for hours; at its end come exit and VM."""
    n = plain(workers=1).start()
    (pid,) = n.current()
    _, held = n.hold()
    n.signal("QUIT")
    n.wait_note("premature")
    (timer,) = n.notes("premature")
    assert timer["premature"] is True and timer["exiting"] is True
    assert n.workers() == [pid] and not n.notes("leaving")
    held.close()
    n.wait_end()
    assert order(n, pid)[1:] == ["premature", "leaving", "vm closed"]
    assert n.notes("leaving")[0]["exiting"] is True


@pytest.mark.parametrize("how", ["TERM", "INT"])
def test_a_fast_stop_fires_no_timer(plain, how):
    n = plain(workers=1).start()
    (pid,) = n.current()
    n.stop(how=how)
    assert order(n, pid)[1:] == ["leaving", "vm closed"]
    assert n.notes("leaving")[0]["exiting"] is False


def test_in_exit_worker_nothing_can_sleep_or_connect(plain):
    n = plain(workers=1, leave="""
        local wmt = require "wmt"
        wmt.try("sleep", function() ngx.sleep(0.01) end)
        wmt.try("connect", function()
            ngx.socket.tcp():connect("unix:s") end)""").start()
    n.stop_fast()
    assert [x["ok"] for x in n.tries().values()] == [False, False]


def test_a_coroutine_asleep_in_exit_worker_never_resumes(plain):
    n = plain(workers=1, after_join="""
        ngx.timer.at(0, function()
            wmt.note("asleep")
            ngx.sleep(0.05)
            while not ngx.worker.exiting() do ngx.sleep(0.05) end
            wmt.note("awake")
        end)""", leave="""
        local wmt = require "wmt"
        wmt.note("leaving")
        wmt.usleep(200000)""").start()
    n.wait_note("asleep")
    n.stop_fast()
    assert not n.notes("awake")


def test_a_killed_worker_runs_nothing_and_is_replaced(plain):
    n = plain(workers=1).start()
    (pid,) = n.current()
    n.kill(pid)
    n.wait_up()
    assert order(n, pid) == ["up"]
    (new,) = n.current()
    assert new != pid


def test_old_workers_hear_of_a_reload_after_100_ms(plain):
    """The new ones are forked, and given a moment, before that."""
    n = plain().start()
    old = n.current()
    n.signal("HUP")
    n.wait_gone(old)
    forked = n.notes("init")[-1]["t"]
    for x in n.notes("premature"):
        assert x["by"] in old and x["t"] - forked > 95000


def test_a_worker_that_dies_during_init_stays_a_zombie(plain):
    """The master blocks SIGCHLD there: kill(pid, 0) says alive."""
    n = plain(workers=1).start()
    (pid,) = n.current()
    n.hup(after_init='wmt.gate("init")')
    n.wait_note("gate")
    n.kill(pid)
    os.kill(pid, 0)
    assert proc.stat(pid)[0] == "Z"
    n.open_gate("init")
    n.wait_up()
    proc.wait(lambda: proc.stat(pid) is None, "the zombie to be reaped")


def test_a_slow_fast_stop_ends_with_sigkill(plain):
    n = plain(leave='require("wmt").gate("never")').start()
    n.expect("exited on signal 9", 2)
    n.stop(how="TERM")
    assert not [x for x in n.notes("vm closed") if x["process"] == WORKER]


def test_premature_timers_may_be_dropped(plain):
    """lua_max_running_timers: exit_worker_by_lua* still runs."""
    n = plain(workers=1, http="lua_max_running_timers 1;", after_join="""
        for i = 1, 8 do
            ngx.timer.at(3600, function()
                wmt.note("premature")
                ngx.sleep(0.01)
            end)
        end""").start()
    n.stop()
    n.expect("lua_max_running_timers are not enough")
    assert 1 <= len(n.notes("premature")) < 9
    assert len(n.notes("leaving")) == 1


def test_an_every_timer_outlives_a_dropped_one(plain):
    """A chain of ngx.timer.at ends for good; ngx.timer.every does not."""
    n = plain(workers=1, http="lua_max_running_timers 1;", join="""
        local function chain(premature)
            if premature then return end
            wmt.note("chain")
            ngx.timer.at(0.02, chain)
        end
        ngx.timer.at(0.02, chain)
        ngx.timer.every(0.02, function(premature)
            if not premature then wmt.note("every") end
        end)
        ngx.timer.at(0, function()
            ngx.sleep(0.2)
            wmt.note("room again")
        end)""").start()
    n.wait_note("room again")
    before = len(n.notes("every"))
    n.wait_note("every", before + 5)
    assert not n.notes("chain")
    n.expect("lua_max_running_timers are not enough")
