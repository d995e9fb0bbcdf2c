# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The table of workers: full, and of a changed size."""

from rows import exits, master_exit, master_start, reloads, starts


def test_a_full_table_is_loud_and_the_callback_still_runs(make, both):
    """Capacity 1, two workers: the second runs untracked."""
    n = make(workers=2, opts={"capacity": 1}, join="""
        local ok, err = require("resty.worker.manager")
            .on_init_worker_by_lua(wmt.callback("worker_start"),
                                   wmt.callback("worker_exit"))
        wmt.note("joined", { ok = tostring(ok), err = err })
        """, **both).start()
    n.modelled = n.complete = False
    full = r"\[error\].*worker manager: worker 1-\d+ is not tracked.*capacity"
    n.expect(full, 1)
    assert len(n.log_lines(full)) == 1
    assert len(n.events("worker_start")) == 2
    joined = n.notes("joined")
    assert sorted(x["ok"] for x in joined) == ["nil", "true"]
    assert [x for x in joined if x["ok"] == "nil"][0]["err"]
    n.quit()
    rows = n.rows()
    assert rows[0] == master_start(1)[0]
    assert rows.count(master_exit(1)[0]) == 1
    exits_ = {"slot" in x["info"]: x["n_mine"]
              for x in n.events("worker_exit")}
    assert exits_ == {True: 1, False: 2}, "who is untracked is not the last"


def test_a_full_table_of_the_killed_makes_room(make, both):
    """Capacity 2, two workers: each respawn finds a place."""
    n = make(workers=2, opts={"capacity": 2}, **both).start()
    for k in (3, 4, 5):
        n.kill(n.current()[0])
        n.wait_events("worker_start", 1, k)
    n.quit()
    starts_ = [r for r in n.rows() if r[0] == "worker_start"]
    assert len(starts_) == 5
    assert n.rows()[-3:] == exits(1, 2)
    assert not n.log_lines("not tracked")


def test_a_full_table_of_the_draining_makes_room(make, both):
    """Old workers that still serve give up their places first."""
    n = make(workers=2, opts={"capacity": 4}, **both).start()
    held = {}
    for gen in (1, 2, 3, 4):
        held.update(n.hold_all())
        n.reload(old_gone=False)
        n.wait_events("master_exit", gen)
    assert len(set(held) & set(n.workers())) == 8
    for s in held.values():
        s.close()
    n.quit()
    expected = starts(1, 2)
    for gen in (1, 2, 3, 4):
        expected += reloads(gen + 1, 2, n_prev=2) + exits(
            gen, 2, n_prev=None if gen == 1 else 0, n_next=2)
    assert n.rows() == expected + exits(5, 2, n_prev=0)


def test_a_changed_capacity_is_one_warning(make, both):
    """It takes effect at the next start, and the warning says so."""
    n = make(opts={"capacity": 16}, **both).start()
    n.expect(r"\[warn\].*worker manager: capacity stays 16, not 32.*start", 1)
    n.reload(opts={"capacity": 32})
    assert n.log_lines("capacity stays")
    n.quit()
    life = (starts(1, 2) + reloads(2, 2, n_prev=2) + exits(1, 2, n_next=2)
            + exits(2, 2, n_prev=0))
    assert n.rows() == life
    n.new_life()
    n.start()       # with 32 from the beginning: no further warning
    n.quit()
    assert n.rows() == life + starts(1, 2) + exits(1, 2)


def test_a_given_default_capacity_is_no_change(make):
    n = make(opts={"capacity": 1024}).start()
    n.reload(opts={"capacity": None})
    n.quit()


def test_the_smallest_and_the_largest_capacity(make):
    one = make(workers=1, opts={"capacity": 1}).start()
    many = make(workers=1, opts={"capacity": 65535}).start()
    one.quit()
    many.quit()
    assert one.rows() == many.rows() == starts(1, 1) + exits(1, 1)
