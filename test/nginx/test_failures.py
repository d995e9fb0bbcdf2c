# SPDX-License-Identifier: Apache-2.0
"""on_worker_failed, on_worker_recovered, on_leader, on_leader_lost: which
worker is told, when, and how often. That one worker leads by terms that grow is
tested in test/unit, and by the rules of the chaos."""

import json
import os
import signal

import pytest

import conf
import proc
import segment
from proc import wait
from rows import exits, life, respawn, starts
from told import JUDGED, QUICK, failure, lead, opts, told
from traced import ANSWERING, TICKING

HOUR = {"interval": 3600, "failed": 3600}   # no timer comes in between


def test_a_crash_is_told_to_one_survivor_as_the_replacement_comes_up(
        make, both):
    """At any interval: no survivor's timer is waited for. The callback
    may sleep and use sockets."""
    n = make(opts=opts(**HOUR, on_worker_failed=failure("failed", """
        ngx.sleep(0.01)
        local ok, err = ngx.socket.udp():setpeername("127.0.0.1", 9)
        require("wmt").note("connected", { ok = ok, err = err })""")),
             **both).start()
    pid = n.started(1)[0]
    n.replace(pid)
    n.wait_note("connected")
    assert n.notes("connected")[0]["ok"] == 1
    n.stop(starts(1, 2) + respawn(3) + exits(1, 2))
    (x,) = n.notes("failed")
    first, _, replacement = n.events("worker_start", 1)
    assert x["by"] == replacement["by"], "after its own start callback"
    assert x["t"] > replacement["t"]
    assert x["id"] == f"1-{pid}"
    assert (x.get("n_prev"), x["n_mine"], x.get("n_next")) == (None, 2, None)
    assert x["info"] == {
        "event": "worker_failed", "reason": "crashed", "generation": 1,
        "pid": pid, "spell": 1, "slot": first["info"]["slot"],
        "cause": "unknown", "witness": "none"}


def test_a_stopped_leader_is_stalled_and_comes_back(make, both):
    """Each time it is told; it learns that it has recovered, and leads no
    more. One that is killed as it is stalled has crashed besides, and its
    replacement does not count it."""
    n = make(opts=opts(**QUICK), **both).start()
    n.expect(JUDGED)
    pid = n.wait_note("leader")[0]
    (other,) = set(n.current()) - {pid}
    for turn in (1, 2):
        n.pause([pid])
        n.wait_note("failed", turn)
        n.resume([pid])
        n.wait_note("recovered", turn)
    n.pause([pid])
    n.wait_note("failed", 3)
    n.replace(pid)
    n.wait_note("failed", 4)
    n.stop(starts(1, 2) + respawn(2) + exits(1, 2))
    name = f"1-{pid}"
    assert told(n, "failed")[:3] == [(other, name, "stalled")] * 3
    assert [x[1:] for x in told(n, "failed")[3:]] == [(name, "crashed")]
    assert told(n, "recovered") == [(pid, name, "recovered")] * 2
    led = [(x["by"], x["term"]) for x in n.notes("leader")]
    lost = [(x["by"], x["term"]) for x in n.notes("lost")]
    assert led[:2] == [(pid, 1), (other, 2)] and lost[0] == (pid, 1)
    assert pid not in dict(led[1:] + lost[1:])


# What a request does, what becomes of its worker: nginx's words, ours, and
# what the callback is told.
SENT = "require('ffi').C.kill(ngx.worker.pid(), {})"
DEATHS = {
    "segv": ("require('ffi').cast('int *', 8)[0] = 1", "on signal 11",
             " of signal 11", ("signal", "self", 11, None)),
    "abrt": ("require('ffi').C.wmt_abort()", "on signal 6", " of signal 6",
             ("signal", "self", 6, None)),
    "bus": (SENT.format(7), "on signal 7", " of signal 7",
            ("signal", "self", 7, None)),
    "fpe": (SENT.format(8), "on signal 8", " of signal 8",
            ("signal", "self", 8, None)),
    "exit": ("os.exit(3)", "with code 3", " with exit code 3",
             ("exit", "self", None, 3)),
    "kill": (SENT.format(9), "on signal 9", "",
             ("unknown", "none", None, None)),
}


@pytest.mark.parametrize("how", DEATHS)
def test_what_a_worker_died_of_is_told(make, how):
    """With its last note; and nginx says what it says without that."""
    act, nginxs, ours, ended = DEATHS[how]
    n = make(opts=opts(**QUICK), after_join=ANSWERING, before_init='''
        require("ffi").cdef [[void wmt_abort(void) __asm__("abort");]]''',
             server=f"""
        location /die {{
            content_by_lua_block {{
                require("resty.worker.manager").note("GET /die")
                require("wmt").note("dies")
                {act}
            }}
        }}""").start()
    with n.connect() as s:
        s.sendall(b"GET /die HTTP/1.0\r\n\r\n")
        (pid,) = n.wait_note("dies")
        n.dies(pid)
        n.wait_note("failed")
    (x,) = n.notes("failed")
    info = x["info"]
    assert (x["id"], info["note"]) == (f"1-{pid}", "GET /die")
    assert (info["cause"], info["witness"], info.get("signal"),
            info.get("exit_code")) == ended
    n.expect(f'worker 1-{pid} crashed{ours}, noted: "GET /die"', 1)
    assert n.log_lines(f"{pid} exited {nginxs}")
    n.expect(f"{pid} exited {nginxs}")
    (entry,) = [e for e in n.ask(x["by"], "return (M.events())")
                if e["event"] == "worker_crashed"]
    assert (entry["pid"], entry["cause"], entry.get("signal"),
            entry.get("exit_code")) == (pid, ended[0], *ended[2:])
    n.stop()


def test_the_word_of_a_worker_can_be_left_away(make):
    n = make(opts=opts(record_end=False, **QUICK)).start()
    pid = n.current()[0]
    n.dies(pid)
    os.kill(pid, signal.SIGSEGV)
    n.wait_note("failed")
    assert n.notes("failed")[0]["info"]["cause"] == "unknown"
    n.expect(f"worker 1-{pid} crashed|{pid} exited on signal 11")
    n.stop()


def test_a_worker_that_is_killed_as_it_drains_is_told_as_such(make):
    """Its exit was given, and it is in no count."""
    n = make(opts=opts(**QUICK)).start()
    n.expect(JUDGED)
    pid, _ = n.hold()
    n.reload(old_gone=False)
    n.wait_events("master_exit", 1)
    n.kill(pid)
    n.wait_note("failed")
    (x,) = n.notes("failed")
    assert x["by"] in n.current()
    assert (x["id"], x.get("n_prev"), x["n_mine"], x["n_next"]) == (
        f"1-{pid}", None, 0, 2)
    assert (x["info"]["reason"], x["info"]["was_draining"]) == ("crashed", True)
    n.stop(life(2, 2))


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


def agent(index):
    """Has one worker take itself for the privileged agent."""
    return f"""
        package.loaded["ngx.process"] = {{ type = function()
            return ngx.worker.id() == {index} and "privileged agent"
                   or "worker" end }}"""


def by_id(n, number):
    return [x["by"] for x in n.notes("up") if x["id"] == number][0]


def test_a_helper_is_visible_and_runs_no_callback_unasked(make):
    """Not those of failures, either: it never sweeps for them. Its own are
    told with its role."""
    n = make(workers=3, opts=opts(**QUICK), before_join=agent(2),
             after_join=ANSWERING).start()
    helper, a, b = by_id(n, 2), by_id(n, 0), by_id(n, 1)
    n.expect(JUDGED)
    seen = n.ask(a, "return M.workers()")
    assert {w["pid"]: w["role"] for w in seen} == {
        helper: "helper", a: "worker", b: "worker"}
    for turn, pid in enumerate((a, b, helper), 1):
        n.pause([pid])
        n.wait_note("failed", turn)
        n.resume([pid])
        n.wait_log(rf"worker 1-{pid} (stalled|recovered)")
    n.wait_note("recovered", 2)
    n.kill(helper)
    n.wait_note("failed", 4)
    n.wait_up()
    n.modelled = n.complete = False
    n.stop(life(2))
    assert sorted((x["id"], x["info"]["reason"], x["info"].get("role"))
                  for x in n.notes("failed")) == sorted([
        (f"1-{a}", "stalled", None), (f"1-{b}", "stalled", None),
        (f"1-{helper}", "stalled", "helper"),
        (f"1-{helper}", "crashed", "helper")], key=str)
    for name in ("failed", "recovered", "leader", "lost"):
        assert {x["by"] for x in n.notes(name)} <= {a, b}, name


def test_a_helper_that_was_asked_for_runs_callbacks(make, both):
    n = make(opts=opts(interval=0.1, privileged_agent=True),
             before_join=agent(1), **both).start()
    n.modelled = False
    helper = by_id(n, 1)
    n.stop()
    mine = {(x["event"], x["info"].get("role")): x["n_mine"]
            for x in n.trace() if x["what"] == "begin"}
    assert mine["worker_start", None] == mine["worker_exit", None] == 1
    assert mine["worker_start", "helper"] == mine["worker_exit", "helper"] == 2
    assert len(n.events("master_exit")) == 1
    assert helper not in [x["by"] for x in n.notes("leader")]


def test_one_leads_from_the_start_and_all_agree(make, both):
    """A draining worker does not lead; a worker of the next generation does,
    at the latest with its next heartbeat."""
    n = make(workers=3, opts=opts(interval=0.1), after_join=ANSWERING,
             **both).start()
    (leader,) = n.wait_note("leader")
    for pid in n.current():
        assert n.ask(pid, "return { M.leader() }") == [
            pid == leader, 1, f"1-{leader}"]
    held, ask = n.hold_all(), f"return ({conf.MODULE}.leader())"
    n.reload(old_gone=False)
    n.wait_events("master_exit", 1)
    assert {n.say(s, ask) for s in held.values()} == {"false"}
    assert n.wait_note("leader", 2)[1] in n.current()
    n.let_go(held)
    n.stop()
    assert n.notes("leader")[-1]["term"] > 1
    assert {x["nargs"] for x in n.notes("leader") + n.notes("lost")} == {1}


def test_a_replacement_and_a_new_generation_lead_at_once(make, both):
    """No heartbeat is waited for. Each of the two callbacks may be alone."""
    n = make(workers=1, opts={**HOUR, "on_leader": lead("leader")},
             **both).start()
    n.wait_note("leader")
    (killed,) = n.started(1)
    n.replace(killed)
    assert n.wait_note("leader", 2) == n.started(1)
    n.reload(opts={**HOUR, "on_leader_lost": lead("lost")})
    assert not n.notes("lost")
    n.reload(opts=opts(**HOUR))
    assert n.wait_note("leader", 3)[2:] == n.started(3)
    assert n.wait_note("lost") == n.started(2)


def test_a_holder_past_lock_timeout_is_named_by_each_waiter(make):
    """As it exits; of the leader, it is logged besides that its lead is not
    told."""
    n = make(workers=3, opts=opts(interval=0.1, lock_timeout=0.3),
             callbacks={"worker_exit": """
        if not wmt.opened("exit") and wmt.opened("armed") then
            wmt.gate("exit") end"""}).start()
    n.modelled = n.succeeds = n.complete = False
    leader = n.wait_note("leader")[0]
    holder, waiter = [p for p in n.current() if p != leader]
    n.open_gate("armed")
    n.signal("QUIT", holder)
    n.wait_note("gate")
    n.expect("not given|is to be told waits|stay owed|its start callback")
    for pid in (waiter, leader):
        n.signal("QUIT", pid)
        n.wait_gone([pid])
        assert len(n.log_lines(
            rf"not given: worker_exit of 1-{pid}: pid {holder} has held the"
            r" lock for \d+\.\d s \(worker exit\)")) == 1
    assert n.log_lines("not given: leader_lost of 1: ")
    n.open_gate("exit")
    n.stop()
    assert leader not in [x["by"] for x in n.notes("lost")]


def shown(pid):
    """A worker as wmctl shows it."""
    seen = json.loads(proc.run(conf.WMCTL, "show", "--json", str(pid)))
    return next(w for g in seen["generations"] for w in g["workers"]
                if w["pid"] == pid)


def test_one_without_a_timer_is_never_called_stalled(make):
    """It says so once, and is known by its life alone."""
    n = make(opts=opts(interval=0.1, failed=0.2), http="""
        lua_max_pending_timers 3;""", before_join="""
        if wmt.opened("armed") then
            for _ = 1, 3 do ngx.timer.at(3600, function() end) end
        end""", after_join=TICKING).start()
    n.modelled = n.succeeds = False
    n.open_gate("armed")
    n.expect("no heartbeat timer", 1)
    n.expect("stalled|recovered")       # the other, on a busy machine
    (first, _) = n.current()
    n.replace(first)
    silent = n.started(1)[-1]
    n.wait_log(f"{silent}#.*no heartbeat timer, so that this worker is never")
    assert shown(silent)["overdue_ms"] == 0xffffffff
    n.wait_note("tick", len(n.notes("tick")) + 9)   # the other's, which sweeps
    assert silent not in [x["info"]["pid"] for x in n.notes("failed")]


def test_one_without_a_free_connection_has_no_timer_and_no_exit(make):
    """It serves on, and is called stalled unless it calls the module."""
    n = make(workers=1, connections=8, opts={"interval": 0.1, "failed": 0.2})
    n.start().complete = False
    n.expect("worker_connections are not enough|could not create|" + JUDGED)
    held = []
    with pytest.raises(OSError):
        while True:
            held.append(n.hold())
    pid, s = held[0]
    wait(lambda: shown(pid)["state"] == "stalled", "its beat to be overdue")
    wait(lambda: n.say(s, f"return #{conf.MODULE}.workers()") == "1"
         and shown(pid)["state"] == "live", "the beat to be seen")
    n.stop(starts(1, 1), "TERM")
    assert n.log_lines(f"manager: not given: worker_exit of 1-{pid}")
    n.start_again()
