# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""A start and a stop, graceful and fast."""

import pytest

from rows import exits, starts


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_worker_counts_up_then_down(make, both, workers):
    n = make(workers=workers, **both).start()
    assert n.rows() == starts(1, workers)
    n.quit()
    assert n.rows() == starts(1, workers) + exits(1, workers)


def test_nginx_s_quit_is_a_graceful_stop(make):
    n = make().start()
    assert n.run("-s", "quit").returncode == 0
    n.wait_end()
    assert n.rows() == starts(1, 2) + exits(1, 2)


def test_the_segment_lives_as_long_as_the_node(make, both):
    n = make(**both).start()
    (name,) = n.mapped()
    assert n.segments() == ["/dev/shm/" + name]
    n.reload()
    assert list(n.mapped()) == [name]
    n.quit()
    assert n.segments() == []


@pytest.mark.parametrize("how", ["TERM", "INT", "-s stop"])
def test_a_fast_stop_gives_the_same_exits(make, dict_, how):
    n = make(dict=dict_).start()
    if how == "-s stop":
        assert n.run("-s", "stop").returncode == 0
        n.wait_end()
    else:
        n.end(how)
    assert n.rows() == starts(1, 2) + exits(1, 2)


def test_a_fast_stop_after_a_reload_gives_the_same_exits(make, dict_):
    n = make(dict=dict_).start()
    n.reload()
    n.term()
    assert n.rows()[9:] == exits(2, 2, n_prev=0)


def test_a_fast_stop_during_a_graceful_one_repeats_nothing(make, both):
    n = make(**both).start()
    held = n.hold_all()
    n.signal("QUIT")
    n.wait_events("master_exit")
    assert set(n.workers()) == set(held)
    n.term()
    n.expect("open socket .* left in connection|: aborting$")
    assert n.rows() == starts(1, 2) + exits(1, 2)


def test_exits_are_given_when_the_shutdown_begins(make, both):
    n = make(**both).start()
    held = n.hold_all()
    n.signal("QUIT")
    n.wait_events("master_exit")
    assert set(n.workers()) == set(held), "they still serve"
    for s in held.values():
        s.close()
    n.wait_end()
    assert n.rows() == starts(1, 2) + exits(1, 2)


def test_a_dropped_exit_timer_is_made_up_for(make, dict_):
    """lua_max_running_timers drops it; exit_worker_by_lua* gives it."""
    n = make(dict=dict_, http="lua_max_running_timers 1;", after_join="""
        ngx.timer.at(0, function()
            wmt.note("occupied")
            while not ngx.worker.exiting() do ngx.sleep(0.005) end
            ngx.sleep(0.1)
        end)""").start()
    n.wait_note("occupied", 2)
    n.quit()
    n.expect("lua_max_running_timers are not enough")
    assert n.log_lines("lua_max_running_timers are not enough")
    assert n.rows() == starts(1, 2) + exits(1, 2)


def test_starting_again_is_a_new_life(make, both):
    n = make(**both).start()
    n.quit()
    first = n.rows()
    n.new_life()
    n.start()
    n.quit()
    assert n.rows()[len(first):] == first
