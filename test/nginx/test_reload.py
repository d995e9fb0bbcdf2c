# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Reloads: faster than workers come up or end, and such that fail. What is
counted over several generations is tested in test/unit."""

import pytest

import conf
from rows import exits, life, master_start, of, worker_start


@pytest.mark.parametrize("how", ["HUP", "-s reload"])
def test_a_reload_in_the_usual_course_of_time(make, both, how):
    """Nothing is held up here; the model knows every legal order. Each
    generation runs its own callbacks."""
    n = make(**both).start()
    for gen in (2, 3):
        n.configure(callbacks={
            "master_exit": f'wmt.note("exit of " .. id, {{ gen = {gen} }})'})
        if how == "HUP":
            n.signal("HUP")
        else:
            assert n.run("-s", "reload").returncode == 0
        n.wait_events("worker_start", gen, 2)
        n.wait_events("master_exit", gen - 1)
    n.stop()
    for gen in (1, 2, 3):
        assert of(n.rows(), gen) == of(life(2, 2, 2), gen)
        assert [x["gen"] for x in n.notes(f"exit of {gen}")] == (
            [gen] if gen > 1 else [])


def test_reloads_in_a_burst(make, both):
    """Signals merge while the master is busy; nothing is lost or twice."""
    n = make(workers=3, **both).start()
    for _ in range(20):
        n.signal("HUP")
    n.stop()
    for gen in range(1, max(r.gen for r in n.rows()) + 1):
        mine = [r.event for r in n.rows() if r.gen == gen]
        assert mine.count("worker_start") == mine.count("worker_exit")


def test_quit_before_a_sibling_has_joined(make, both):
    """One that joins after the last has left begins a spell of its own."""
    n = make(before_join="""
        if ngx.worker.id() == 1 then wmt.gate("join") end""",
             **both).start(ready=False)
    n.wait_events("worker_start", 1)
    n.wait_note("gate")
    n.note_segments()
    n.signal("QUIT")
    n.wait_events("master_exit", 1)
    n.open_gate("join")
    n.wait_end()
    n.check_rows(life(1) + worker_start(1, 1) + exits(1, 1))
    assert [x["info"]["spell"] for x in n.events("master_exit")] == [1, 2]


# --- reloads and starts that fail leave no trace in the counts ----------------

def test_failures_in_a_row(make, both):
    """While old workers still serve; then before a good reload, and before the
    stop."""
    n = make(**both).start()
    held = n.drain()
    n.bind_fails()
    n.let_go(held)
    n.bind_fails()
    n.reload_fails("the user's own", after_init='error("the user\'s own")')
    n.expect("the user's own")
    n.reload()
    n.bind_fails()
    n.stop(life(2, 2, None, None, None, 2, None))


@pytest.mark.parametrize("place", ["http", "tail"])
def test_a_syntax_error_then_a_good_reload(make, dict_, place):
    """Without a dict, init_by_lua* has run when the tail is read."""
    n = make(dict=dict_).start()
    n.reload_fails("unknown directive", **{place: "nonsense;"})
    n.reload()
    began = not dict_ and place == "tail"
    n.stop(life(2, None, 2) if began else life(2, 2))


NO_START = {
    "bind": {"server": "listen unix:none/s;"},
    "raise": {"callbacks": {"master_start": 'error("raised on purpose")'}},
}


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("why", NO_START)
def test_a_start_that_fails_leaves_nothing(make, both, daemon, why):
    """And the good one after it is told nothing."""
    n = make(daemon=daemon, opts={"name": conf.own("test-failed-start")},
             **NO_START[why], **both)
    assert n.start_fails() == 1
    n.check_rows(master_start(1))
    assert n.segments() == []
    if why == "raise":
        n.expect("the master_start callback of 1 raised: .*on purpose", 1)
        n.expect("raised on purpose|traceback")
        n.killed.add(n.events("master_start")[0]["by"])
    n.params.update(server="", callbacks={})
    n.start_again()
    n.stop(master_start(1) + life(2))
