# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The table of workers: full, and of a changed size."""

from rows import exits, life, master_exit, master_start


def test_a_full_table_is_loud_and_the_callback_still_runs(make, both):
    """Capacity 1, two workers: the second runs untracked."""
    n = make(workers=2, opts={"capacity": 1}, join="""
        local ok, err = require("resty.worker.manager")
            .on_init_worker_by_lua(wmt.callback("worker_start"),
                                   wmt.callback("worker_exit"))
        wmt.note("joined", { ok = tostring(ok), err = err })
        """, **both).start()
    n.modelled = n.complete = False
    n.expect(r"\[error\].*manager: worker 1-\d+ is not tracked.*capacity", 1)
    assert len(n.log_lines(n.expected[0][0])) == 1
    assert len(n.events("worker_start")) == 2
    joined = n.notes("joined")
    assert sorted(x["ok"] for x in joined) == ["nil", "true"]
    assert [x for x in joined if x["ok"] == "nil"][0]["err"]
    n.stop()
    assert n.rows()[:1] == master_start(1)
    assert n.rows().count(master_exit(1)[0]) == 1
    given = {"slot" in x["info"]: x["n_mine"]
             for x in n.events("worker_exit")}
    assert given == {True: 1, False: 2}, "one untracked is not the last"


def test_a_full_table_of_the_killed_makes_room(make, both):
    """Capacity 2, two workers: each respawn finds a place."""
    n = make(workers=2, opts={"capacity": 2}, **both).start()
    for _ in range(3):
        n.replace(n.current()[0])
    n.stop()
    assert [r.event for r in n.rows()].count("worker_start") == 5
    assert n.rows()[-3:] == exits(1, 2)
    assert not n.log_lines("not tracked")


def test_a_full_table_of_the_draining_makes_room(make, both):
    """Old workers that still serve give up their places first."""
    n = make(workers=2, opts={"capacity": 4}, **both).start()
    held = {}
    for _ in range(4):
        held.update(n.drain())
    assert len(set(held) & set(n.workers())) == 8
    n.let_go(held)
    n.stop(life(2, 2, 2, 2, 2))


def test_a_changed_capacity_is_one_warning(make, both):
    """It takes effect at the next start, and the warning says so."""
    n = make(opts={"capacity": 16}, **both).start()
    n.expect(r"\[warn\].*worker manager: capacity stays 16, not 32.*start", 1)
    n.reload(opts={"capacity": 32})
    assert n.log_lines("capacity stays")
    n.stop(life(2, 2))
    n.start_again()     # with 32 from the beginning: no further warning
    n.stop(life(2, 2) + life(2))


def test_a_given_default_capacity_is_no_change(make):
    n = make(opts={"capacity": 1024}).start()
    n.reload(opts={"capacity": None})


def test_the_smallest_and_the_largest_capacity(make):
    for capacity in (1, 65535):
        make(workers=1, opts={"capacity": capacity}).start().stop(life(1))
