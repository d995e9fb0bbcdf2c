# SPDX-License-Identifier: Apache-2.0
"""workers(), generations(), counts(), events(), beat(), note(): asked in a
worker."""

import time

from conf import MODULE
from proc import wait
from told import JUDGED, QUICK, opts
from traced import ANSWERING, receive


def test_workers_counts_and_generations_are_told_as_they_are(make, both):
    """Draining workers stay in sight, but are not counted; slots are unique."""
    n = make(opts={"log_entries": 4}, after_join=ANSWERING,
             before_init="package.preload.cjson = "
             "function() return { array_mt = {} } end", **both).start()

    def counts(gen):
        return {n.ask(pid, """
            local p, m, x = M.counts()
            return ("%s %s %s"):format(p, m, x)""") for pid in n.started(gen)}
    assert counts(1) == {"nil 2 nil"}
    held = n.hold_all()
    old = n.reload_unheard(until=2)
    assert counts(2) == {"2 2 nil"}
    n.resume(old)
    n.wait_events("master_exit", 1)
    assert counts(2) == {"0 2 nil"}

    n.bind_fails()
    pid = n.current()[0]
    seen = {w["pid"]: w for w in n.ask(pid, "return M.workers()")}
    assert set(seen) == set(n.workers()) and len(seen) == 4
    for pid, w in seen.items():
        gen, state = (1, "draining") if pid in held else (2, "live")
        assert (w["id"], w["generation"], w["role"], w["state"]) == (
            f"{gen}-{pid}", gen, "worker", state)
        assert 0 <= w["age"] < 3600 and w["joined_at"] > 1.6e9
    slots = [w["slot"] for w in seen.values()]
    assert len(set(slots)) == 4 and max(slots) < 8

    pid = n.current()[0]
    seen = wait(lambda: [g for g in [n.ask(pid, "return M.generations()")]
                         if len(g) == 3 and g[2]["state"] == "aborted"],
                "the aborted one")[0]
    assert [(g["id"], g["state"], g["reason"], g["spell"], g["exits_given"])
            for g in seen] == [(1, "exited", "start", 1, 1),
                               (2, "active", "reload", 1, 0),
                               (3, "aborted", "reload", 0, 0)]
    assert {g["master"] for g in seen} == {n.master}
    assert all(g["begun_at"] > 1.6e9 and g["crashes"] == 0 for g in seen)
    for view, key in ("generations", "begun_at"), ("workers", "joined_at"):
        seen = n.ask(pid, f"return M.{view}()")
        again = [n.ask(x, f"return M.{view}()") for x in n.current() * 8]
        assert {x[key] for a in again for x in a} == {x[key] for x in seen}
    # To OpenResty's cjson, an empty list would be an array as well.
    for view in "workers()", "generations()", "events(1e9)":
        assert n.ask(pid, f"""return getmetatable(M.{view})
                                     == require("cjson").array_mt""")
    assert n.ask(pid, """local list, last, missed = M.events()
        return { #list, last - missed }""") == [4, 4]
    n.let_go(held)
    assert set(n.states(pid)) == set(n.current())


EVENTS = """
    local list, last, missed = M.events()
    local rest, again, more = M.events(last)
    return { list = list, last = last, missed = missed, rest = #rest,
             again = again, more = more }"""


def test_events_tell_a_life_in_order(make, both):
    n = make(workers=1, after_join=ANSWERING, **both).start()
    n.reload()
    n.kill(n.current()[0])
    n.wait_up()
    pid = n.current()[0]
    answer = wait(lambda: [x for x in [n.ask(pid, EVENTS)] if "worker_crashed"
                           in [e["event"] for e in x["list"]]], "the crash")[0]
    seen = answer["list"]
    assert [e["number"] for e in seen] == list(range(1, len(seen) + 1))
    assert answer["last"] == answer["again"] == len(seen)
    assert answer["missed"] == answer["rest"] == answer["more"] == 0
    assert all(e["time"] > 1.6e9 for e in seen)
    assert [e["event"] for e in seen if e["generation"] == 1
            and not e["event"].startswith("leader")] == [
        "generation_begun", "worker_joined", "generation_active",
        "worker_live", "worker_draining", "generation_exited", "worker_left",
        "generation_gone"]
    terms = [e["term"] for e in seen if e["event"] == "leader"]
    assert terms == sorted(set(terms))
    joins = [e["join"] for e in seen if e["event"] == "worker_joined"]
    assert joins == [1, 2, 3]


VIEWS = ("workers", "generations", "counts", "events", "leader")


def test_where_views_answer(make):
    """Before on_init there is no node; after it, the master may ask for all
    but a beat. The error says which call is missing. A wrong number raises."""
    wrong = ('"1"', "-1", "{}", "true")
    n = make(before_init="".join(f"""
        wmt.try("early {v}", {MODULE}.{v})""" for v in (*VIEWS, "beat")),
             after_init="".join(f"""
        wmt.try("{v}", function()
            local r = {MODULE}.{v}()
            return r ~= nil or "{v}" == "counts"
        end)""" for v in VIEWS) + f"""
        wmt.try("beat", {MODULE}.beat)""", after_join="".join(f"""
        wmt.try("events since {i}", function()
            local list = {MODULE}.events({since})
            return list end)""" for i, since in enumerate(wrong))).start()
    tries = n.tries()
    for name in (*(f"early {v}" for v in (*VIEWS, "beat")), "beat"):
        line = tries.pop(name)
        missing = "on_init_worker_by_lua" if name == "beat" else (
            "on_init_by_lua")
        assert line["ok"] is True and "first" not in line, line
        assert f": {missing} was not called, or failed" in line["second"], line
    for view in VIEWS:
        line = tries.pop(view)
        assert line["first"] is True, line
    assert len(tries) == len(wrong)
    for line in tries.values():
        assert line["ok"] is False and "number" in line["first"], line
        assert "init_worker_by_lua(nginx.conf:" in line["first"], line


def test_a_note_is_the_workers_own(make):
    """As it was put, until it is cleared or replaced."""
    n = make(after_join=ANSWERING).start()
    first, second = n.current()

    def notes():
        return {w["pid"]: w.get("note")
                for w in n.ask(second, "return M.workers()")}
    assert notes() == {first: None, second: None}
    assert n.ask(first, 'return M.note("GET /a?b=\\255\\n")')
    assert n.ask(second, 'return M.note(("x"):rep(60))')
    assert notes() == {first: "GET /a?b=\xff\n", second: "x" * 56}
    assert n.ask(first, "return M.note()") and n.ask(second, 'return M.note("")')
    assert notes() == {first: None, second: None}
    assert "note wants a string or nil, not number" in n.ask(
        first, "return select(2, pcall(M.note, 1))")
    n.stop()


def test_the_request_that_killed_a_worker_is_told(make):
    """To the callback and in the log, where it is escaped."""
    recipe = """
        access_by_lua_block {
            require("resty.worker.manager").note(
                ngx.req.get_method() .. " " .. ngx.var.uri)
        }
        log_by_lua_block { require("resty.worker.manager").note() }"""
    n = make(opts=opts(**QUICK), after_join=ANSWERING, server=f"""
        location /report {{
            {recipe}
            content_by_lua_block {{ require("wmt").gate("report") }}
        }}
        location /done {{
            {recipe}
            content_by_lua_block {{ ngx.exit(204) }}
        }}""").start()
    assert n.get("/done") == 204
    with n.connect() as s:
        s.sendall(b"GET /report%22%0A HTTP/1.0\r\n\r\n")
        (pid,) = n.wait_note("gate")
        (other,) = set(n.current()) - {pid}
        assert {w["pid"]: w.get("note")
                for w in n.ask(other, "return M.workers()")} == {
                    pid: 'GET /report"\n', other: None}
        n.kill(pid)
        n.wait_note("failed")
    (x,) = n.notes("failed")
    assert x["info"]["note"] == 'GET /report"\n'
    assert n.log_lines(
        rf'worker 1-{pid} crashed, noted: "GET /report\\x22\\x0A"')
    n.stop()


def test_a_beat_is_compiled_and_allocates_nothing(make):
    """The loop around it becomes one trace; nothing aborts it."""
    n = make(workers=1, after_join="""
        ngx.timer.at(0, function()
            local beat = require("resty.worker.manager").beat
            local seen = {}
            local function count(what)
                seen[what] = (seen[what] or 0) + 1
            end
            local function beats(times)
                for _ = 1, times do
                    assert(beat())
                end
            end
            jit.attach(count, "trace")
            beats(1000)
            jit.attach(count)
            collectgarbage()
            collectgarbage("stop")
            local before = collectgarbage("count")
            beats(100000)
            seen.grown = collectgarbage("count") - before
            collectgarbage("restart")
            wmt.note("beats", seen)
        end)""").start()
    n.wait_note("beats")
    (seen,) = n.notes("beats")
    assert seen["stop"] >= 1 and "abort" not in seen
    assert seen["grown"] < 1, "kilobytes"


LOOP = """
    local wmt, M = require("wmt"), require("resty.worker.manager")
    wmt.note("loop")
    while not wmt.opened("end%d") do %s wmt.usleep(1000) end
    return "done" """


def test_a_loop_is_a_stall_unless_it_beats(make):
    """No timer runs in a loop that never yields; the beats do. Without a
    callback, a stall and its end are logged and seen all the same."""
    n = make(opts=QUICK, after_join=ANSWERING).start()
    busy, s = n.hold()
    (other,) = set(n.current()) - {busy}

    def loop(turn, beat=""):
        n.send(s, LOOP % (turn, beat))
        n.wait_note("loop", turn)
    loop(1, "M.beat()")
    until = time.monotonic() + sum(QUICK.values()) + 0.5
    wait(lambda: time.monotonic() > until, "its timers to be overdue")
    n.replace(other)        # what takes its place looks at all as it starts
    n.open_gate("end1")
    assert receive(s) == "done" and not n.log_lines(JUDGED)

    n.expect(JUDGED)
    loop(2)
    n.wait_log(rf"worker 1-{busy} stalled")
    other = n.started(1)[-1]
    assert n.states(other)[busy] == "stalled"
    n.open_gate("end2")
    n.wait_log(rf"worker 1-{busy} recovered")
    assert n.states(other)[busy] == "live"
    s.close()
