# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""leader(), on_leader, on_leader_lost: one of the node leads, over reloads,
crashes and stalls, by terms that grow."""

from conf import Lua
from proc import wait
from rows import life
from test_views import ANSWERS
from told import JUDGED, QUICK, check_leads, lead, leads, opts
from traced import line_server


def sample(n):
    """All that leader() has said to workers that poll it: who, term."""
    return [(x["by"], x["term"]) for x in n.notes("leads")]


POLL = """
    ngx.timer.every(0.005, function(premature)
        local mine, term = require("resty.worker.manager").leader()
        if mine then wmt.note("leads", { term = term }) end
    end)"""


def test_one_leads_from_the_start_and_all_agree(make, both):
    n = make(workers=3, opts=opts(interval=0.1), after_join=ANSWERS,
             **both).start()
    (leader,) = n.wait_note("leader")
    for pid in n.current():
        seen = n.ask(pid, "leader")
        assert (seen["mine"], seen["term"], seen["id"]) == (
            pid == leader, 1, f"1-{leader}")
    n.stop()
    check_leads(n)
    assert leads(n)[0] == (leader, "leader", 1)


def test_asking_is_standing(make):
    """With an hour between heartbeats: the one that asks first, leads."""
    n = make(opts={"interval": 3600, "failed": 3600},
             after_join=ANSWERS).start()
    seen = [n.ask(p, "leader") for p in n.current()]
    assert [x["mine"] for x in seen].count(True) == 1
    assert {x["term"] for x in seen} == {1}


def test_the_newest_generation_leads_at_once(make, both):
    n = make(opts=opts(interval=3600, failed=3600), **both).start()
    n.wait_note("leader")
    n.reload(old_gone=False)
    n.wait_note("leader", 2)
    assert n.notes("leader")[1]["by"] in (n.started(2)[0], n.started(2)[1])
    n.wait_note("lost")
    n.stop()
    check_leads(n)


def test_a_killed_leader_is_followed(make, both):
    n = make(opts=opts(interval=0.1), **both).start()
    leader = n.wait_note("leader")[0]
    n.kill(leader)
    n.wait_note("leader", 2)
    n.wait_up()
    n.stop()
    check_leads(n, [leader])
    assert len(n.notes("lost")) == len(n.notes("leader")) - 1


def test_a_killed_leaders_replacement_leads_at_once(make):
    """It is the only one that is awake."""
    n = make(workers=1, opts=opts(interval=3600, failed=3600)).start()
    n.wait_note("leader")
    n.kill(n.started(1)[0])
    n.wait_note("leader", 2)
    assert n.notes("leader")[1]["by"] == n.started(1)[1]
    n.wait_up()


def test_a_stalled_leader_loses_the_lead(make):
    n = make(opts=opts(**QUICK)).start()
    n.expect(JUDGED)
    leader = n.wait_note("leader")[0]
    n.pause([leader])
    n.wait_note("leader", 2)
    n.resume([leader])
    n.wait_note("lost")
    n.wait_note("recovered")
    n.stop()
    assert n.notes("lost")[0]["by"] == leader
    assert n.notes("lost")[0]["term"] == 1
    terms = [x["term"] for x in n.notes("leader")]
    assert terms == sorted(set(terms))


def test_a_draining_worker_does_not_lead(make):
    n = make(opts=opts(interval=0.1), after_join=ANSWERS, server=line_server(
        """tostring(require("resty.worker.manager").leader())""")).start()
    n.wait_note("leader")
    held = n.lines()
    assert sorted(n.say(s) for s in held.values()) == ["false", "true"]
    n.reload(old_gone=False)
    n.wait_events("master_exit", 1)
    assert [n.say(s) for s in held.values()] == ["false"] * 2
    wait(lambda: n.ask(n.current()[0], "leader").get("id", "")
         .startswith("2-"), "a leader of generation 2")
    n.let_go(held)
    n.stop()
    check_leads(n)


def test_a_term_is_had_by_one_worker_over_kills_and_reloads(make):
    n = make(workers=3, opts=opts(interval=0.05), after_join=POLL).start()
    for turn in range(4):
        wait(lambda: n.notes("leads"), "a leader")
        n.kill(n.current()[turn % 3])
        n.wait_up(3)
        n.reload()
    n.modelled = False
    n.stop()
    holders = {}
    for pid, term in sample(n) + [(p, t) for p, w, t in leads(n)
                                  if w == "leader"]:
        holders.setdefault(term, set()).add(pid)
    assert all(len(pids) == 1 for pids in holders.values()), holders
    assert len(holders) >= 5
    for pid in {p for p, _ in sample(n)}:   # others may note theirs late
        terms = [t for p, t in sample(n) if p == pid]
        assert terms == sorted(terms)


def test_only_one_of_the_two_callbacks(make):
    n = make(opts={"interval": 0.1, "on_leader_lost": lead("lost")}).start()
    n.reload()
    n.wait_note("lost")
    n.stop()
    m = make(opts={"interval": 0.1, "on_leader": lead("leader")}).start()
    m.wait_note("leader")
    m.stop(life(2))


def test_one_that_ends_meanwhile_takes_nothing_from_the_last(make):
    """The last worker has drained and is about to close its generation, when
    another, which gave its exit long ago, ends without exit_worker_by_lua*."""
    n = make(exit_worker=False, opts=opts(interval=0.1, on_leader_lost=Lua(
        'function() require("wmt").gate("lost") end'))).start()
    leader = n.wait_note("leader")[0]
    held = n.hold_all()
    held.pop(leader).close()
    ((other, connection),) = held.items()
    n.signal("QUIT", other)
    n.wait_events("worker_exit", 1)
    n.signal("QUIT")
    n.wait_note("gate")
    connection.close()
    n.wait_gone([other])
    n.open_gate("lost")
    n.wait_end()
    assert n.rows() == life(2)


def test_a_lost_lead_is_logged_where_it_cannot_be_told(make):
    """The leader gives up waiting for the lock as it exits."""
    n = make(workers=3, opts=opts(interval=0.1, lock_timeout=0.3),
             callbacks={"worker_exit": """
        if not wmt.opened("exit") and wmt.opened("armed") then
            wmt.gate("exit") end"""}).start()
    n.modelled = n.succeeds = n.complete = False
    leader = n.wait_note("leader")[0]
    others = [p for p in n.current() if p != leader]
    n.open_gate("armed")
    n.signal("QUIT", others[0])
    n.wait_note("gate")
    n.signal("QUIT", leader)
    n.wait_gone([leader])
    n.expect("not given|is to be told waits|stay owed")
    assert n.log_lines("not given: leader_lost of 1: ")
    n.open_gate("exit")
    n.stop()
    assert leader not in [x["by"] for x in n.notes("lost")]
