# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Workers that come up late: last and first are still told right."""

from rows import (exits, master_exit, master_start, reloads, starts,
                  worker_exit, worker_start, worker_starts)

HELD = 'if ngx.worker.id() == 1 then wmt.gate("join") end'


def test_quit_before_a_sibling_has_joined(make, both):
    """Whoever joins after the last has left begins a spell of its own."""
    n = make(before_join=HELD, **both).start(ready=False)
    n.wait_events("worker_start", 1)
    n.wait_note("gate")
    n.note_segments()
    n.signal("QUIT")
    n.wait_events("master_exit", 1)
    n.open_gate("join")
    n.wait_end()
    assert n.rows() == starts(1, 1) + exits(1, 1) + (
        worker_start(1, 1) + exits(1, 1))
    assert [x["info"]["spell"] for x in n.events("master_exit")] == [1, 2]


def test_quit_while_a_sibling_waits_for_its_turn(make, both):
    """JOINING siblings keep a leaving worker from being the last."""
    n = make(callbacks={"worker_start": 'wmt.gate("start")'}, **both)
    n.start(ready=False)
    n.wait_note("gate")
    n.note_segments()
    n.signal("QUIT")
    n.open_gate("start")
    n.wait_end()
    assert [r[0] for r in n.rows()].count("master_exit") in (1, 2)


def test_quit_as_the_start_goes_on(make, both):
    """QUIT 0.3 s after a start whose workers take from 0 to 0.5 s."""
    n = make(workers=4, before_join="wmt.usleep(ngx.worker.id() * 160000)",
             **both)
    n.start(ready=False)
    n.wait_events("worker_start", 1)
    n.note_segments()
    n.wait_events("worker_start", 1, 2)
    n.quit()
    rows = [r[0] for r in n.rows()]
    assert rows.count("worker_start") == rows.count("worker_exit") == 4
    assert rows[-1] == "master_exit"


def test_a_late_generation_is_overtaken(make, both):
    """Generation 3 is up before generation 2 has joined."""
    late = 'if wmt.opened("late") then wmt.gate("join") end'
    n = make(before_join=late, **both).start()
    n.open_gate("late")
    n.hup()
    n.wait_note("gate", 2)
    n.wait_events("master_exit", 1)
    n.hup(before_join="")
    n.wait_events("worker_start", 3, 2)
    slow = [x["by"] for x in n.notes("gate")]
    n.open_gate("join")
    n.wait_gone(slow)
    n.quit()
    assert n.rows() == (
        starts(1, 2)
        + master_start(2, 2, "reload")
        + exits(1, 2, n_next=0)
        + reloads(3, 2, n_prev=0)
        + rows_of_2(n)
        + exits(3, 2, n_prev=0))


def rows_of_2(n):
    """Both joined with QUIT pending: together, or one after the other."""
    kw = {"n_prev": 0, "n_next": 2}
    start = [worker_start(2, k, reason="reload", **kw)[0] for k in (1, 2)]
    leave = [worker_exit(2, k, reason="reload", **kw)[0] for k in (1, 2)]
    master = master_exit(2, reason="reload", **kw)[0]
    together = [start[0], start[1], leave[1], leave[0], master]
    waited = [start[0], leave[1], start[0], leave[0], master]
    apart = [start[0], leave[0], master] * 2
    seen = [r for r in n.rows()[7:] if r[1] == 2 and r[0] != "master_start"]
    assert seen in (together, waited, apart)
    return seen


def test_a_late_generation_is_never_used(make, both):
    """It is killed before it joins: passed over by everybody."""
    late = 'if wmt.opened("late") then wmt.gate("join") end'
    n = make(before_join=late, **both).start()
    n.open_gate("late")
    n.hup()
    n.wait_note("gate", 2)
    n.wait_events("master_exit", 1)
    n.hup(before_join="")
    n.wait_events("worker_start", 3, 2)
    n.kill(*(x["by"] for x in n.notes("gate")))
    n.quit()
    assert n.rows() == (
        starts(1, 2)
        + master_start(2, 2, "reload")
        + exits(1, 2, n_next=0)
        + reloads(3, 2, n_prev=0)
        + exits(3, 2, n_prev=0))


def test_a_sibling_joins_late_into_an_old_generation(make, both):
    """One worker of generation 2 served; the other joins after 3 is up."""
    n = make(**both).start()
    n.hup(before_join=HELD)
    n.wait_events("worker_start", 2, 1)
    n.wait_note("gate")
    n.wait_events("master_exit", 1)
    early, late = n.worker(2), n.notes("gate")[0]["by"]
    n.hup(before_join="")
    n.wait_events("worker_start", 3, 2)
    n.wait_gone([early])
    n.open_gate("join")
    n.wait_gone([late])
    n.quit()
    once = exits(2, 1, n_prev=0, n_next=2)
    rows = n.rows()
    assert rows[:2] == starts(1, 2)[:2]
    assert [r for r in rows if r[1] == 2][2:] == (
        once + worker_start(2, 1, 0, 2, "reload") + once)
    assert [x["info"]["spell"] for x in n.events("master_exit", 2)] == [1, 2]


def test_a_slow_start_callback_holds_up_only_its_queue(make, both):
    """The waiting sibling starts when its turn comes, and sees it."""
    n = make(callbacks={"worker_start": 'wmt.gate("start")'}, **both)
    n.start(ready=False)
    n.wait_note("gate", 1)
    n.note_segments()
    n.open_gate("start")
    n.wait_up()
    n.quit()
    assert n.rows() == master_start(1) + worker_starts(1, 2) + exits(1, 2)
