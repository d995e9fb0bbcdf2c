# SPDX-License-Identifier: Apache-2.0
"""Callbacks that raise (a master's: test_lives.py, test_killed.py), that are
nil, that would end their thread, and that call the module."""

import pytest

from conf import EVENTS, NO_CALLBACK
from proc import wait
from rows import life, respawn, stopped
from told import failure

RAISE = 'error("raised on purpose")'


def check_logged(n, event, times=1):
    """One line of ours, with the message and where it came from."""
    n.expect("raised on purpose|stack traceback")
    n.expect(f"worker manager: the {event} callback of .* raised: .*on purpose",
             times)
    assert "stack traceback" in n.log()


def test_in_a_workers_start_the_worker_lives_and_counts(make, both):
    """The error goes on to nginx; heartbeat, exits and siblings are in
    order."""
    n = make(workers=3, opts={"interval": 0.1}, callbacks={
        "worker_start": f"if n_mine ~= 2 then {RAISE} end"}, **both)
    n.start(ready=False)
    n.wait_log("init_worker_by_lua error: .*raised on purpose", 2)
    n.wait_events("worker_start", 1, 1)
    check_logged(n, "worker_start", 2)
    n.reload(callbacks={})
    n.stop(life(3, 3))


@pytest.mark.parametrize("end", ["graceful", "fast", "no exit_worker"])
def test_in_an_exit_it_ends_there(make, dict_, end):
    """Later events are given: other exits, and the master's. A value that is
    no string is logged as it can be; so is one that cannot be made a text."""
    n = make(workers=7, callbacks={"master_exit": RAISE, "worker_exit": """
        local function speaking(f)
            return setmetatable({}, { __tostring = f })
        end
        local values = {
            {}, "raised on purpose", nil, { code = 7 }, 42,
            speaking(function() error("x") end),
            speaking(function() return {} end),
        }
        error(values[n_mine])"""},
             dict=dict_, exit_worker=end != "no exit_worker").start()
    stop = n.stop_fast if end == "fast" else n.stop
    stop(life(7))
    n.expect("worker manager: the worker_exit callback of .* raised", 7)
    check_logged(n, "worker_exit")
    check_logged(n, "master_exit")


@pytest.mark.parametrize("missing", EVENTS)
def test_a_callback_that_is_nil_is_passed_over(make, missing):
    n = make(callbacks={missing: NO_CALLBACK}).start()
    n.modelled = False
    n.reload()
    n.stop_fast([r for r in life(2, 2) if r[0] != missing])


ENDS = ["ngx.exit(ngx.OK)", "ngx.exit(ngx.ERROR)", "ngx.exit(444)",
        "ngx.thread.spawn(function() ngx.exit(0) end) ngx.sleep(0.01)",
        "coroutine.wrap(function() error('inside') end)()",
        "coroutine.wrap(function() ngx.exit(0) end)()"]
REFUSAL = ("callback of [12]-.* raised|traceback|ngx.exit\\(\\) in a callback"
           "|user thread aborted")


@pytest.mark.parametrize("how", ENDS)
def test_a_callback_cannot_end_its_thread(make, how):
    """All that follows on it is done: on a draining worker, hours before its
    process ends; and after a failure's."""
    n = make(opts={"interval": 0.1, "on_worker_failed": failure(
        "failed", how)}, callbacks={"worker_exit": f"""
        if info.generation == 1 and n_mine == 2 then {how} end"""}).start()
    n.expect(REFUSAL)
    held = n.drain()
    n.killed |= set(held)       # it may not come to the end of its callback
    n.let_go(held)
    n.replace(n.started(2)[0])
    n.wait_note("failed")
    n.stop(life(2, 2)[:9] + respawn(3, 2, 0) + stopped(2, 2))


# Timers that end at once, by a function that is there by then.
CALLS = """
    ngx.timer.every(0.005, function(premature)
        local exit = %s
        if premature or not exit then return end
        wmt.note("calls")
        wmt.try("refused", function() exit(ngx.OK) end)
    end)"""


def test_elsewhere_ngx_exit_works_meanwhile_and_later(make):
    """A request is served while a callback sleeps in the same worker. What has
    kept the function from within, as a module that was loaded meanwhile, may
    call it: other timers get the memory of the request that it slept in."""
    n = make(workers=1, opts={"interval": 0.1, "on_worker_failed": failure(
        "failed", """package.loaded.kept = ngx.exit
            require("wmt").gate("failed", true)""")}, server="""
        location /exit { content_by_lua_block { ngx.exit(403) } }""",
             after_join=CALLS % "package.loaded.kept").start()
    n.kill(*n.started(1))
    n.wait_note("gate")
    assert n.get("/exit") == 403
    n.wait_note("calls", 25)
    n.open_gate("failed")
    n.wait_up()
    assert n.get("/exit") == 403
    n.wait_note("calls", 50)
    n.stop()
    assert n.tries() == {}      # each that calls it, ends


def test_an_exit_that_was_kept_from_before_harms_nobody_else(make):
    """In a failure's callback: the lock is free again, the next one is told all
    the same, the next reload does not wait for it; and other timers, which get
    the memory of the request that has ended, are not refused. On a draining
    worker: its sibling goes on; what follows on it is done as its process
    ends."""
    n = make(before_init="kept = ngx.exit", opts={
        "interval": 0.1, "on_worker_failed": failure("failed", "kept(0)")},
        callbacks={"worker_exit": """
        if info.generation == 1 and n_mine == 2 then kept(0) end"""},
        after_join=CALLS % "ngx.exit").start()
    n.modelled = False
    for turn in (0, 1):
        n.replace(n.started(1)[turn])
        n.wait_note("failed", turn + 1)
        wait(lambda: n.lock_holder() == 0, "the lock to be free")
        n.wait_note("calls", len(n.notes("calls")) + 100)
    held = n.hold_all()
    n.killed |= set(held)       # it does not come to the end of its callback
    n.reload(old_gone=False)
    wait(lambda: len(n.events("worker_exit", 1)) == 2, "both exits")
    n.let_go(held)
    n.wait_events("master_exit", 1)
    assert n.tries() == {}      # each that calls it, ends


def test_a_callback_that_calls_the_module(make, dict_):
    """Views answer, the rest raises; but an exit within an exit is none."""
    ask = """
        local M = require("resty.worker.manager")
        wmt.try("views " .. info.event .. id, function()
            M.counts() M.beat()
            return M.workers() and M.generations() and M.events()
                   and M.leader() ~= nil
        end)
        for _, name in ipairs { "on_init_by_lua", "on_init_worker_by_lua",
                                "on_exit_worker_by_lua" } do
            wmt.try(name .. info.event .. id, function()
                local ok = M[name]({ shm = "x" })
                return ok
            end)
        end"""
    n = make(callbacks=dict.fromkeys(EVENTS, ask), dict=dict_).start()
    n.reload()
    n.stop_fast(life(2, 2))
    # The first generation's exits are given by timers.
    within = {f"on_exit_worker_by_lua{x}" for x in (
        "master_exit2", *(f"worker_exit2-{p}" for p in n.started(2)))}
    for name, line in n.tries().items():
        assert line["ok"] is (name.startswith("views") or name in within), line
        assert name not in within or line["first"] is True
