# SPDX-License-Identifier: Apache-2.0
"""Each rule is seen to break: in an orderly record, one thing is changed."""

import pytest

import rules
from record import Failure, Felled, Life, Reading, Run, Window

A, B, C = 11, 12, 13        # A leads, B is killed, C makes up for it


def event(name, pid, value):
    return {"event": name, "generation": 1, "pid": pid, "value": value}


def call(name, by, id_, mine, pid=None, reason="start", n_next=None):
    """A callback, from begin to end."""
    info = {"event": name, "generation": 1, "spell": 1, "pid": pid or by,
            "reason": reason}
    return [{"what": "begin", "event": name, "by": by, "id": id_, "call": by,
             "n_mine": mine, "n_next": n_next, "nargs": 5, "info": info},
            {"what": "end", "event": name, "by": by, "call": by}]


def lead(by, term):
    return [{"what": "begin", "event": "leader", "by": by, "id": term,
             "call": by, "nargs": 1}, {"what": "end", "by": by, "call": by}]


def good_life():
    life = Life(
        trace=[*call("master_start", 10, 1, 0),
               *call("worker_start", A, "1-11", 1), *lead(A, 1),
               *call("worker_start", B, "1-12", 2),
               *call("worker_start", C, "1-13", 3, reason="respawn"),
               *call("worker_failed", C, "1-12", 2, B, "crashed"),
               *call("worker_exit", A, "1-11", 2), *lead(C, 2),
               *call("worker_exit", C, "1-13", 1),
               *call("master_exit", C, 1, 0)],
        events=[event("generation-begun", 10, 0),
                event("worker-joined", A, 1), event("generation-active", 10, 1),
                event("worker-live", A, 1), event("leader", A, 1),
                event("worker-joined", B, 2), event("worker-live", B, 2),
                event("worker-crashed", B, 2),
                event("worker-joined", C, 3), event("worker-live", C, 3),
                event("leader-lost", A, 1), event("worker-left", A, 1),
                event("leader", C, 2),
                event("worker-left", C, 3), event("generation-exited", 10, 1)],
        log=["[alert] 10#10: worker process 12 exited on signal 9",
             "[error] 13#13: worker manager: worker 1-12 crashed"],
        killed={B}, felled=[Felled(2, 3, [B])], ending={"live": False},
        gentle=True)
    for number, e in enumerate(life.events, 1):
        e["number"] = number
    life.newest = len(life.events)
    return life


def good_run():
    return Run(
        lives=[good_life()], down=[Window(9, 10)], served=[5],
        failures=[Failure(1, 2, B, False, True, "reset"),
                  Failure(1, 2.5, None, False, None, "reset"),
                  Failure(4, 5.5, A, True, True, "the connection ended"),
                  Failure(9, 9.1, None, False, None, "Refused")],
        readings=[Reading(1, 2, "wait", 1), Reading(9, 9.5, "show", 3)])


def cut(what, **wanted):
    """Without the lines that say so."""
    def change(_, life):
        lines = getattr(life, what)
        lines[:] = [x for x in lines
                    if any(x.get(k) != v for k, v in wanted.items())]
    return change


def more(what, *records):
    def change(run, life):
        getattr(life if hasattr(life, what) else run, what).extend(records)
    return change


def traced(at, **changes):
    return lambda _, life: life.trace[at].update(changes)


def told_of(unclean):
    """A next life, and what it was told of this one."""
    def change(run, life):
        life.gentle = False
        run.lives.append(good_life())
        run.lives[1].trace[0]["info"]["unclean"] = unclean
    return change


CHANGED = {
    "each_worker_has_one_end": [
        ("no end", cut("events", event="worker-left", pid=A)),
        ("two ends", more("events", event("worker-crashed", A, 1))),
        ("nobody killed", lambda r, v: (v.killed.clear(), v.log.pop(0))),
        ("an end of nobody", more("events", event("worker-left", 14, 4))),
    ],
    "each_start_has_one_exit": [
        ("no exit", cut("trace", event="worker_exit", by=A)),
        ("2 exits", more("trace", *call("worker_exit", A, "1-11", 2))),
        ("1 exits, 1 not given",
         more("log", "not given: worker_exit of 1-11: why")),
        ("no start was given", cut("trace", event="worker_start", by=C)),
        ("never live", cut("events", event="worker-live", pid=A)),
    ],
    "each_committed_generation_has_one_exit": [
        ("exits never given", cut("trace", event="master_exit", by=C)),
        ("given 2 times", more("trace", *call("master_exit", C, 1, 0))),
        ("which no worker joined", cut("events", event="generation-active")),
        ("exits more than spells",
         more("log", "not given: master_exit of 1: why")),
    ],
    "callbacks_do_not_overlap": [
        ("overlap", lambda r, v: v.trace.insert(
            3, call("worker_start", C, "1-13", 2)[0])),
        ("never ended", lambda r, v: v.trace.pop()),
    ],
    "terms_are_unique_and_grow": [
        ("term 1 of", more("events", event("leader", C, 1))),
        ("told after", more("trace", *lead(A, 1))),
        ("lost by another", more("events", event("leader-lost", A, 2))),
    ],
    "counts_are_possible": [
        ("out of range", traced(2, n_next=-1)),
        ("out of range", traced(2, n_mine=2 ** 32 - 1)),
        ("does not count itself", traced(2, n_mine=0)),
        ("workers of nobody", traced(0, n_mine=1)),
    ],
    "the_last_is_the_last": [
        ("two last ones", lambda r, v: [
            x.update(n_mine=1) for x in v.begins("worker_exit")]),
    ],
    "generations_are_new": [
        ("do not grow", more("trace", *call("master_start", 10, 1, 0))),
        ("never begun", cut("events", event="generation-begun")),
    ],
    "failures_are_told_once": [
        ("told 2 times",
         more("trace", *call("worker_failed", C, "1-12", 2, B, "crashed"))),
        ("stalled 0 times",
         more("trace", *call("worker_failed", C, "1-11", 2, A, "stalled"))),
        ("never told", cut("trace", event="worker_failed", by=C)),
    ],
    "nothing_is_left": [("left in /dev/shm", more("left", "wm.a.1"))],
    "the_log_is_clean": [
        ("signal 11",
         more("log", "[alert] 10#10: worker process 11 exited on signal 11")),
        ("attempt to index",
         more("log", "[error] lua entry thread aborted: attempt to index")),
        ("its record", more("log", "[error] 1#1: worker manager: worker 1-11 "
                            "lost its record")),
        ("aborting", more("log", "[alert] 11#11: aborting")),
    ],
    "only_chaos_kills": [
        ("not by chaos",
         more("log", "[alert] 10#10: worker process 11 exited on signal 9")),
        ("not given, but", more("log", "not given: worker_exit of 1-11: why")),
    ],
    "arguments_agree": [
        ("arguments", traced(2, id="1-99")),
        ("a call failed", more("trace", {"what": "call", "n": 2, "by": A})),
    ],
    "a_follower_tells_the_log": [
        ("14 of 15", lambda r, v: v.events.pop(3)),
        ("not in order", lambda r, v: v.events.append(v.events[0])),
        ("15 of 15", lambda r, v: v.ending.update(live=True)),
    ],
    "the_next_life_is_told": [
        ("told was", told_of({"exits_owed": 1})),
        ("told was", lambda r, v: (
            cut("trace", event="master_exit", by=C)(r, v),
            told_of({})(r, v))),
    ],
    "only_ended_workers_fail_requests": [
        (text, more("failures", Failure(*facts, text))) for text, *facts in (
            ("early", 1, 1.5, B, False, False),
            ("idle, of one that ends gracefully", 1, 1.5, A, True, False),
            ("not idle", 6, 6.5, A, False, True),
            ("of nobody", 3.5, 4, None, False, None),
            ("Refused", 1, 2, None, False, None))
    ],
    "readers_always_get_an_answer": [
        ("show", more("readings", Reading(1, 2, "show", 3))),
    ],
    "the_run_is_worth_it": [
        ("served", more("served", 0)),
        ("no record", more("lives", Life())),
    ],
}


def test_a_record_in_order_passes():
    assert not any(rules.audit(good_run()).values())


@pytest.mark.parametrize("rule,why,change", [
    (rule, *x) for rule, some in CHANGED.items() for x in some])
def test_a_changed_record_is_found_out(rule, why, change):
    run = good_run()
    change(run, run.lives[0])
    found = rules.audit(run)[rule]
    assert any(why in text for text in found), found


def test_a_worker_of_a_felled_master_ends_at_once():
    life = good_life()
    life.log += ["[notice] 10#10: start worker process 15",
                 "[notice] 15#15: exiting"]
    assert 15 not in life.ended_at_once()
    life.felled.append(Felled(3, 4, [10]))
    assert 15 in life.ended_at_once()
    life.log.append("[notice] 15#15: gracefully shutting down")
    assert 15 not in life.ended_at_once()


def test_each_rule_is_seen_to_break():
    assert {f.__name__
            for f in rules.LIFE_RULES + rules.RUN_RULES} == set(CHANGED)
