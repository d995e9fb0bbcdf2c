# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""on_worker_failed and on_worker_recovered: which worker is told, and how
often."""

import segment
from rows import exits, life, master_exit, reloads, respawn, starts
from told import JUDGED, QUICK, failure, opts, told
from traced import LATE_JOIN

HOUR = {"interval": 3600, "failed": 3600}   # no timer comes in between


# --- crashes ------------------------------------------------------------------

def test_a_crash_is_told_to_one_survivor_as_the_replacement_comes_up(
        make, both):
    """Whatever the interval is: no survivor's timer is waited for."""
    n = make(opts=opts(**HOUR), **both).start()
    pid = n.started(1)[0]
    n.replace(pid)
    n.wait_note("failed")
    n.stop(starts(1, 2) + respawn(3) + exits(1, 2))
    (x,) = n.notes("failed")
    assert x["by"] == n.started(1)[2], "after its own start callback"
    assert x["t"] > n.events("worker_start", 1)[2]["t"]
    assert x["id"] == f"1-{pid}"
    assert (x.get("n_prev"), x["n_mine"], x.get("n_next")) == (None, 2, None)
    info = x["info"]
    assert (info["event"], info["reason"], info["generation"], info["pid"],
            info["spell"]) == ("worker_failed", "crashed", 1, pid, 1)
    assert info["slot"] == n.events("worker_start", 1)[0]["info"]["slot"]


def test_many_crashes_are_told_once_each(make):
    """None is killed while it tells of others: what it took would be lost."""
    n = make(workers=4, opts=opts(interval=0.05)).start()
    n.modelled = False
    killed = []
    for turn in range(12):
        together = n.current()[:1 + turn % 4]
        n.pause(together)
        n.kill(*together)
        killed += together
        n.wait_note("failed", len(killed))
        n.wait_up(4)
    n.stop()
    assert sorted(x["id"] for x in n.notes("failed")) == sorted(
        f"1-{p}" for p in killed)


def test_a_callback_may_use_sockets_and_sleep(make):
    n = make(opts=opts(interval=0.1, on_worker_failed=failure("failed", """
        ngx.sleep(0.01)
        local ok, err = ngx.socket.udp():setpeername("127.0.0.1", 9)
        require("wmt").note("connected", { ok = ok, err = err })"""))).start()
    n.kill(n.started(1)[0])
    n.wait_note("connected")
    assert n.notes("connected")[0]["ok"] == 1
    n.wait_up()


def test_a_crash_right_before_a_stop_is_told_by_one_that_is_left(make, both):
    """No timer comes in between; the respawn is held up."""
    n = make(opts=opts(**HOUR), before_join=LATE_JOIN, **both).start()
    n.open_gate("late")
    pid, other = n.started(1)
    n.kill(pid)
    n.wait_note("gate")
    n.signal("QUIT")
    n.wait_events("master_exit", 1)
    assert told(n, "failed") == [(other, f"1-{pid}", "crashed")]
    n.open_gate("join")
    n.wait_end()
    assert len(n.notes("failed")) == 1


def test_ends_of_others_are_given_as_the_node_stops(make, both):
    """All of generation 1 are killed; no timer of 2 comes before QUIT."""
    n = make(opts=opts(**HOUR), **both).start()
    old = n.reload_unheard(until=2)
    n.wait_up()
    n.kill(*old)
    first, *rest = exits(2, 2, 0)
    n.stop(starts(1, 2) + reloads(2, 2, 2) + [first]
           + master_exit(1, n_next=1, reason="crash") + rest)
    assert sorted(x[1] for x in told(n, "failed")) == sorted(
        f"1-{p}" for p in old)


# --- stalls -------------------------------------------------------------------

def test_a_stopped_worker_is_stalled_and_comes_back(make, both):
    n = make(opts=opts(**QUICK), **both).start()
    pid, other = n.started(1)
    n.expect(JUDGED)
    for turn in (1, 2):
        n.pause([pid])
        n.wait_note("failed", turn)
        n.resume([pid])
        n.wait_note("recovered", turn)
    n.stop(life(2))
    assert told(n, "failed") == [(other, f"1-{pid}", "stalled")] * 2
    assert told(n, "recovered") == [(pid, f"1-{pid}", "recovered")] * 2


def test_a_lua_loop_is_a_stall(make):
    n = make(opts=opts(**QUICK), server="""
        location /loop { content_by_lua_block {
            require("wmt").gate("loop")
            ngx.say("ok")
        } }""").start()
    n.expect(JUDGED)
    s = n.connect()
    s.sendall(b"GET /loop HTTP/1.0\r\n\r\n")
    n.wait_note("failed")
    (pid,) = n.wait_note("gate")
    n.open_gate("loop")
    n.wait_note("recovered")
    assert b"ok" in s.recv(4096)
    s.close()
    assert [x[1:] for x in told(n, "failed")] == [(f"1-{pid}", "stalled")]
    assert [x[::2] for x in told(n, "recovered")] == [(pid, "recovered")]


def test_stalled_then_killed(make):
    n = make(opts=opts(**QUICK)).start()
    pid = n.started(1)[0]
    n.expect(JUDGED)
    n.pause([pid])
    n.wait_note("failed")
    n.replace(pid)
    n.wait_note("failed", 2)
    assert [x[1:] for x in told(n, "failed")] == [
        (f"1-{pid}", "stalled"), (f"1-{pid}", "crashed")]
    assert told(n, "recovered") == []


def test_a_stalled_worker_that_is_told_to_leave_recovers_first(make, both):
    """No timer of its own comes before its exit."""
    n = make(opts=opts(**HOUR), **both).start()
    pid, other = n.started(1)
    n.expect(JUDGED)
    n.pause([pid])
    (path,) = n.segments()
    segment.mark_stalled(path, n.events("worker_start", 1)[0]["info"]["slot"])
    n.signal("QUIT")
    n.wait_note("failed")
    n.resume([pid])
    n.wait_end()
    assert told(n, "failed") == [(other, f"1-{pid}", "stalled")]
    assert told(n, "recovered") == [(pid, f"1-{pid}", "recovered")]
    (recovered,) = n.notes("recovered")
    assert recovered["t"] < n.events("worker_exit", 1)[1]["t"]
    n.check_rows(life(2))


def test_without_callbacks_it_is_logged(make):
    n = make(opts=QUICK).start()
    pid = n.started(1)[0]
    n.expect(JUDGED)
    n.pause([pid])
    n.wait_log(rf"worker 1-{pid} stalled")
    n.resume([pid])
    n.wait_log(rf"worker 1-{pid} recovered")
    n.stop()
    assert len(n.log_lines(JUDGED)) == 2


# --- helpers ------------------------------------------------------------------

def agent(index):
    """Has one worker take itself for the privileged agent."""
    return f"""
        package.loaded["ngx.process"] = {{ type = function()
            return ngx.worker.id() == {index} and "privileged agent"
                   or "worker" end }}"""


def by_id(n, number):
    return [x["by"] for x in n.notes("up") if x["id"] == number][0]


def test_a_helper_is_visible_and_runs_no_callback_unasked(make):
    """Not those of failures, either: it never sweeps for them."""
    n = make(workers=3, opts=opts(**QUICK), before_join=agent(2),
             after_join="""
        local M = require("resty.worker.manager")
        wmt.answer { workers = function()
            local roles = {}
            for _, w in ipairs(M.workers()) do
                roles[w.role] = (roles[w.role] or 0) + 1
            end
            return { roles = roles }
        end }""").start()
    helper, a, b = by_id(n, 2), by_id(n, 0), by_id(n, 1)
    n.expect(JUDGED)
    assert n.ask(a, "workers")["roles"] == {"worker": 2, "helper": 1}
    for turn, pid in enumerate((a, b, helper), 1):
        n.pause([pid])
        n.wait_note("failed", turn)
        n.resume([pid])
        n.wait_log(rf"worker 1-{pid} (stalled|recovered)")
    n.wait_note("recovered", 2)
    n.modelled = n.complete = False
    n.stop(life(2))
    assert {x[1] for x in told(n, "failed")} == {
        f"1-{p}" for p in (helper, a, b)}
    roles = {x["info"]["pid"]: x["info"].get("role")
             for x in n.notes("failed")}
    assert roles == {helper: "helper", a: None, b: None}
    for name in ("failed", "recovered", "leader", "lost"):
        assert helper not in [x["by"] for x in n.notes(name)]


def test_a_helper_that_was_asked_for_runs_callbacks(make, both):
    n = make(opts=opts(interval=0.1, privileged_agent=True),
             before_join=agent(1), **both).start()
    n.modelled = False
    helper = by_id(n, 1)
    n.stop()
    mine = {(x["event"], x["info"].get("role")): x["n_mine"]
            for x in n.trace() if x["what"] == "begin"}
    assert mine["worker_start", None] == mine["worker_exit", None] == 1
    assert mine["worker_start", "helper"] in (1, 2)
    assert mine["worker_exit", "helper"] == 2, "it is never the last"
    assert len(n.events("master_exit")) == 1
    assert helper not in [x["by"] for x in n.notes("leader")]


def test_a_killed_helper_is_told_with_its_role(make):
    n = make(opts=opts(interval=0.1), before_join=agent(1)).start()
    helper = by_id(n, 1)
    n.kill(helper)
    n.wait_note("failed")
    (x,) = n.notes("failed")
    assert (x["id"], x["info"]["role"], x["info"]["reason"]) == (
        f"1-{helper}", "helper", "crashed")
    n.wait_up()
    n.modelled = n.complete = False
    n.stop(life(1))
