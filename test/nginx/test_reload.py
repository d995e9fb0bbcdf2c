# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Reloads: one after another, and faster than old workers end."""

import pytest

from proc import wait
from rows import exits, of, reloads, starts


def test_reloads_one_after_another(make, both):
    n = make(**both).start()
    n.reload()
    n.reload()
    n.quit()
    assert n.rows() == (
        starts(1, 2)
        + reloads(2, 2, n_prev=2) + exits(1, 2, n_next=2)
        + reloads(3, 2, n_prev=2) + exits(2, 2, n_prev=0, n_next=2)
        + exits(3, 2, n_prev=0))


def test_more_and_fewer_workers(make, both):
    n = make(workers=2, **both).start()
    n.reload(workers=4)
    n.reload(workers=1)
    n.quit()
    assert n.rows() == (
        starts(1, 2)
        + reloads(2, 4, n_prev=2) + exits(1, 2, n_next=4)
        + reloads(3, 1, n_prev=4) + exits(2, 4, n_prev=0, n_next=1)
        + exits(3, 1, n_prev=0))


def test_old_workers_that_still_serve_are_not_counted(make, both):
    n = make(**both).start()
    held = n.hold_all()
    n.reload(old_gone=False)
    n.wait_events("master_exit", 1)
    held.update(n.hold_all())
    n.reload(old_gone=False)
    n.wait_events("master_exit", 2)
    assert len(held) == 4 and set(held) < set(n.workers())
    n.signal("QUIT")
    n.wait_events("master_exit", 3)
    wait(lambda: set(n.workers()) == set(held), "the idle ones to end")
    for s in held.values():
        s.close()
    n.wait_end()
    assert n.rows() == (
        starts(1, 2)
        + reloads(2, 2, n_prev=2) + exits(1, 2, n_next=2)
        + reloads(3, 2, n_prev=2) + exits(2, 2, n_prev=0, n_next=2)
        + exits(3, 2, n_prev=0))


def test_several_old_generations_are_counted_apart(make, both):
    """Generations 1 and 2 hear of their end only after 3 is up."""
    n = make(workers=2, **both).start()
    old = n.current()
    n.pause(old)
    n.hup(workers=3)
    n.wait_events("worker_start", 2, 3)
    new = n.current()
    middle = [p for p in new if p not in old]
    n.pause(middle)
    n.hup(workers=1)
    n.wait_events("worker_start", 3, 1)
    n.resume(middle)
    n.wait_gone(middle)
    n.resume(old)
    n.wait_gone(old)
    n.quit()
    assert n.rows() == (
        starts(1, 2)
        + reloads(2, 3, n_prev=2)
        + reloads(3, 1, n_prev=3)
        + exits(2, 3, n_prev=2, n_next=1)
        + exits(1, 2, n_next=1)
        + exits(3, 1, n_prev=0))


@pytest.mark.parametrize("how", ["HUP", "-s reload"])
def test_a_reload_in_the_usual_course_of_time(make, both, how):
    """Nothing is held up here; the model knows every legal order."""
    n = make(**both).start()
    for gen in (2, 3, 4):
        if how == "HUP":
            n.signal("HUP")
        else:
            assert n.run("-s", "reload").returncode == 0
        n.wait_events("worker_start", gen, 2)
        n.wait_events("master_exit", gen - 1)
    n.quit()
    rows = n.rows()
    assert of(rows, 1) == of(starts(1, 2) + exits(1, 2, n_next=2), 1)
    for gen in (2, 3):
        assert of(rows, gen) == of(
            reloads(gen, 2, 2) + exits(gen, 2, 0, 2), gen)
    assert of(rows, 4) == of(reloads(4, 2, 2) + exits(4, 2, 0), 4)


def test_reloads_in_a_burst(make, both):
    """Signals merge while the master is busy; nothing is lost or twice."""
    n = make(workers=3, **both).start()
    for _ in range(20):
        n.signal("HUP")
    n.signal("QUIT")
    n.wait_end()
    last = max(r[1] for r in n.rows())
    for gen in range(1, last + 1):
        mine = [r[0] for r in n.rows() if r[1] == gen]
        assert mine.count("worker_start") == mine.count("worker_exit")


def test_a_stop_right_after_a_reload(make, both):
    n = make(**both).start()
    n.signal("HUP")
    wait(lambda: len(n.notes("init")) == 2, "the reload")
    n.quit()
    rows = n.rows()
    assert [r[:2] for r in rows].count(("master_exit", 1)) == 1
    assert [r[0] for r in rows].count("worker_exit") == 4


def test_reload_by_reload_callbacks_are_the_new_ones(make):
    """Each generation runs the callbacks of its own configuration."""
    tag = 'wmt.note("exit of " .. id, { tag = "%s" })'
    n = make(callbacks={"master_exit": tag % "old"}).start()
    n.reload(callbacks={"master_exit": tag % "new"})
    n.quit()
    assert [x["tag"] for x in n.notes("exit of 1")] == ["old"]
    assert [x["tag"] for x in n.notes("exit of 2")] == ["new"]
