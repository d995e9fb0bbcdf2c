# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""workers(), generations(), counts(), events(), beat(): asked in a worker."""

import time

import pytest

from proc import wait
from rows import life
from told import JUDGED, QUICK

ANSWERS = """
    local M = require("resty.worker.manager")
    local function indexed(list)
        local t = {}
        for i, x in ipairs(list) do t[i] = x end
        t.n = #list
        return t
    end
    wmt.answer {
        workers = function() return { list = indexed(M.workers()) } end,
        generations = function()
            return { list = indexed(M.generations()) }
        end,
        counts = function()
            local p, m, x = M.counts()
            return { n_prev = p, n_mine = m, n_next = x }
        end,
        events = function()
            local list, last, missed = M.events()
            local rest, again, more = M.events(last)
            return { list = indexed(list), last = last, missed = missed,
                     rest = #rest, again = again, more = more }
        end,
        leader = function()
            local mine, term, id = M.leader()
            return { mine = mine, term = term, id = id }
        end,
    }"""


@pytest.fixture
def asked(make):
    """An nginx whose workers answer."""
    def maker(**params):
        return make(**{"after_join": ANSWERS, **params})
    return maker


def listed(answer):
    """The list of an answer, which came as a JSON object."""
    return [answer["list"][str(i + 1)] for i in range(int(answer["list"]["n"]))]


def workers(n, pid=None):
    return listed(n.ask(pid or n.current()[0], "workers"))


def states(n, pid=None):
    return {w["pid"]: w["state"] for w in workers(n, pid)}


def events_of(n, pid):
    return [e["event"] for e in listed(n.ask(pid, "events"))]


# --- workers ------------------------------------------------------------------

def test_workers_are_told_as_they_are(asked, both):
    """Draining ones stay in sight, and slots are unique."""
    n = asked(**both).start()
    held = n.drain()
    seen = {w["pid"]: w for w in workers(n)}
    assert set(seen) == set(n.workers()) and len(seen) == 4
    for pid, w in seen.items():
        gen, state = (1, "draining") if pid in held else (2, "live")
        assert w["id"] == f"{gen}-{pid}"
        assert (w["generation"], w["role"], w["state"]) == (
            gen, "worker", state)
        assert 0 <= w["age"] < 3600 and w["joined_at"] > 1.6e9
    slots = [w["slot"] for w in seen.values()]
    assert len(set(slots)) == 4 and max(slots) < 8
    n.let_go(held)
    assert {w["pid"] for w in workers(n)} == set(n.current())


def test_a_killed_worker_is_crashed_for_a_while(asked):
    n = asked().start()
    killed, other = n.started(1)
    n.replace(killed)
    seen = states(n, other)
    assert seen.pop(killed) == "crashed"
    wait(lambda: list(states(n, other).values()).count("live") == 2, "live")


def test_a_worker_waiting_for_its_turn_is_joining(asked):
    n = asked(callbacks={"worker_start": """
        if n_mine == 2 then wmt.gate("start") end"""}, workers=3)
    n.start(ready=False)
    n.wait_note("gate")
    n.note_segments()
    first = n.started(1)[0]
    wait(lambda: sorted(states(n, first).values()) ==
         ["joining", "live", "live"], "a joining one")
    n.open_gate("start")
    n.wait_up()


def test_a_stopped_worker_is_stalled_and_comes_back(asked):
    n = asked(opts=QUICK).start()
    stopped, other = n.started(1)
    n.expect(rf"worker manager: worker 1-{stopped} (stalled|recovered)")
    n.pause([stopped])
    wait(lambda: states(n, other)[stopped] == "stalled", "the stall")
    n.resume([stopped])
    n.wait_log(rf"worker 1-{stopped} recovered")
    assert set(states(n, other).values()) == {"live"}


# --- generations, counts ------------------------------------------------------

def test_generations_are_told_as_they_are(asked):
    n = asked().start()
    held = n.drain()
    n.bind_fails()
    pid = n.current()[0]
    seen = wait(lambda: [g for g in [listed(n.ask(pid, "generations"))]
                         if len(g) == 3 and g[2]["state"] == "aborted"],
                "the aborted one")[0]
    assert [(g["id"], g["state"], g["reason"], g["spell"], g["exits_given"])
            for g in seen] == [(1, "exited", "start", 1, 1),
                               (2, "active", "reload", 1, 0),
                               (3, "aborted", "reload", 0, 0)]
    assert {g["master"] for g in seen} == {n.master}
    assert all(g["begun_at"] > 1.6e9 and g["crashes"] == 0 for g in seen)
    n.let_go(held)


def test_counts_are_what_a_callback_would_see(asked, both):
    n = asked(workers=3, **both).start()

    def counts(pids):
        seen = [n.ask(pid, "counts") for pid in pids]
        return {tuple(x.get(k) for k in ("n_prev", "n_mine", "n_next"))
                for x in seen}

    assert counts(n.current()) == {(None, 3, None)}
    old = n.reload_unheard(until=2, workers=2)
    assert counts(n.started(2)) == {(3, 2, None)}
    n.resume(old)
    n.wait_gone(old)
    assert counts(n.started(2)) == {(0, 2, None)}


# --- events -------------------------------------------------------------------

def test_events_tell_a_life_in_order(asked, both):
    n = asked(workers=1, **both).start()
    n.reload()
    n.kill(n.current()[0])
    n.wait_up()
    wait(lambda: "worker_crashed" in events_of(n, n.current()[0]), "crash")
    answer = n.ask(n.current()[0], "events")
    seen = listed(answer)
    assert [e["number"] for e in seen] == list(range(1, len(seen) + 1))
    assert answer["last"] == answer["again"] == len(seen)
    assert answer["missed"] == answer["rest"] == answer["more"] == 0
    assert all(e["time"] > 1.6e9 for e in seen)

    def of(gen, kinds):
        return [e["event"].partition("_")[2] for e in seen
                if e["generation"] == gen and e["event"].startswith(kinds)]

    assert of(1, "generation") == ["begun", "active", "exited"]
    assert of(1, "worker") == ["joined", "live", "draining", "left"]
    assert of(2, "generation") == ["begun", "active"]
    assert of(2, "worker") == ["joined", "live", "joined", "crashed", "live"]
    terms = [e["term"] for e in seen if e["event"] == "leader"]
    assert terms == sorted(set(terms))
    joins = [e["join"] for e in seen if e["event"] == "worker_joined"]
    assert joins == [1, 2, 3]


def test_a_short_log_tells_how_many_it_has_lost(asked):
    n = asked(opts={"log_entries": 4}).start()
    n.reload()
    answer = n.ask(n.current()[0], "events")
    assert len(listed(answer)) == 4
    assert answer["missed"] == answer["last"] - 4 > 0


def test_events_of_a_wrong_number_raise(make):
    wrong = ('"1"', "-1", "{}", "true")
    n = make(after_join="".join(f"""
        wmt.try("events {i}", function()
            local list = require("resty.worker.manager").events({since})
            return list end)
        """ for i, since in enumerate(wrong))).start()
    assert len(n.tries()) == len(wrong)
    for line in n.tries().values():
        assert line["ok"] is False and "number" in line["first"]
        assert "init_worker_by_lua(nginx.conf:" in line["first"]


# --- where they may be asked --------------------------------------------------

VIEWS = ("workers", "generations", "counts", "events", "leader")


def test_before_on_init_there_is_no_node(make):
    n = make(before_init="".join(f"""
        wmt.try("{v}", require("resty.worker.manager").{v})
        """ for v in (*VIEWS, "beat"))).start()
    tries = n.tries()
    assert set(tries) == {*VIEWS, "beat"}
    for line in tries.values():
        assert line["ok"] is True and "first" not in line, line
        assert line["second"], line


def test_in_the_master_all_but_a_beat_are_answered(make):
    n = make(after_init="".join(f"""
        wmt.try("{v}", function()
            local r = require("resty.worker.manager").{v}()
            return r ~= nil or "{v}" == "counts"
        end)""" for v in VIEWS) + """
        wmt.try("beat", require("resty.worker.manager").beat)""").start()
    tries = n.tries()
    for v in VIEWS:
        assert tries[v]["first"] is True, tries[v]
    assert "first" not in tries["beat"] and tries["beat"]["second"]


def test_requests_without_code_cache_may_look(make, root):
    n = make(user="root", code_cache=False, server="""
        location /look { content_by_lua_block {
            local M = require("resty.worker.manager")
            require("wmt").note("look", {
                workers = #M.workers(), generations = #M.generations(),
                beat = M.beat(), mine = M.leader() })
            ngx.say("ok")
        } }""")
    n.expect("lua_code_cache is off; this will hurt performance")
    n.start()
    for _ in range(10):
        assert n.get("/look") == 200
    for x in n.notes("look"):
        assert (x["workers"], x["generations"], x["beat"]) == (2, 1, True)
    n.stop(life(2))


# --- beat ---------------------------------------------------------------------

def test_a_beat_is_compiled_and_allocates_nothing(make):
    """The loop around it becomes one trace; nothing aborts it."""
    n = make(workers=1, after_join="""
        ngx.timer.at(0, function()
            local beat = require("resty.worker.manager").beat
            local traces, aborts = 0, 0
            local function count(what)
                if what == "stop" then traces = traces + 1 end
                if what == "abort" then aborts = aborts + 1 end
            end
            local function beats(n)
                local good = 0
                for _ = 1, n do
                    if beat() then good = good + 1 end
                end
                return good
            end
            jit.attach(count, "trace")
            beats(1000)
            jit.attach(count)
            collectgarbage()
            collectgarbage("stop")
            local before = collectgarbage("count")
            local good = beats(100000)
            local grown = collectgarbage("count") - before
            collectgarbage("restart")
            wmt.note("beats", { traces = traces, aborts = aborts,
                                good = good, grown = grown })
        end)""").start()
    n.wait_note("beats")
    (seen,) = n.notes("beats")
    assert seen["traces"] >= 1 and seen["aborts"] == 0
    assert seen["good"] == 100000
    assert seen["grown"] < 1, "kilobytes"


def test_beats_of_requests_keep_a_busy_worker_live(make):
    """No timer runs in a loop that never yields; the beats do."""
    n = make(opts=QUICK, server="""
        location /busy { content_by_lua_block {
            local wmt = require "wmt"
            wmt.note("busy")
            while not wmt.opened("enough") do
                require("resty.worker.manager").beat()
                wmt.usleep(1000)
            end
            ngx.say("done")
        } }""").start()
    first = n.connect()
    first.sendall(b"GET /busy HTTP/1.0\r\n\r\n")
    (busy,) = n.wait_note("busy")
    until = time.monotonic() + sum(QUICK.values()) + 0.5
    wait(lambda: time.monotonic() > until, "its timers to be overdue")
    (other,) = set(n.current()) - {busy}
    n.replace(other)        # what takes its place looks at all as it starts
    n.open_gate("enough")
    assert b"done" in first.recv(4096)
    first.close()
    assert not n.log_lines(JUDGED)
