# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Reloads and starts that fail leave no trace in the counts."""

import os
import socket

import pytest

import conf
from rows import exits, master_start, reloads, starts

NO_SUCH_DIRECTORY = "listen unix:none/s;"       # bind() fails at once


def test_a_bind_error_then_a_good_reload(make, both):
    n = make(**both).start()
    n.reload_fails("bind.. to unix:none/s failed", server=NO_SUCH_DIRECTORY)
    n.reload()
    n.quit()
    assert n.rows() == (
        starts(1, 2)
        + master_start(2, 2, "reload")
        + reloads(3, 2, n_prev=2) + exits(1, 2, n_next=2)
        + exits(3, 2, n_prev=0))


def test_failures_in_a_row_then_a_stop(make, both):
    n = make(**both).start()
    for _ in range(3):
        n.reload_fails("bind.. to unix:none/s failed",
                       server=NO_SUCH_DIRECTORY)
    n.quit()
    assert n.rows() == (
        starts(1, 2)
        + master_start(2, 2, "reload")
        + master_start(3, 2, "reload")
        + master_start(4, 2, "reload")
        + exits(1, 2))


def test_a_taken_address_then_a_good_reload(make):
    """nginx tries for 2.5 s with the new generation begun."""
    n = make().start()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        n.reload_fails("still could not bind",
                       server=f"listen 127.0.0.1:{port};")
    n.reload(server=f"listen 127.0.0.1:{port};")
    n.quit()
    assert n.rows() == (
        starts(1, 2)
        + master_start(2, 2, "reload")
        + reloads(3, 2, n_prev=2) + exits(1, 2, n_next=2)
        + exits(3, 2, n_prev=0))


@pytest.mark.parametrize("place", ["http", "tail"])
def test_a_syntax_error_then_a_good_reload(make, dict_, place):
    """Without a dict, init_by_lua* has run when the tail is read."""
    n = make(dict=dict_).start()
    n.reload_fails("unknown directive", **{place: "nonsense;"})
    n.reload()
    n.quit()
    began = not dict_ and place == "tail"
    good = 3 if began else 2
    assert n.rows() == (
        starts(1, 2)
        + (master_start(2, 2, "reload") if began else [])
        + reloads(good, 2, n_prev=2) + exits(1, 2, n_next=2)
        + exits(good, 2, n_prev=0))


def test_an_error_in_the_users_init_then_a_good_reload(make, both):
    n = make(**both).start()
    n.reload_fails("the user's own", after_init='error("the user\'s own")')
    n.expect("the user's own")
    n.reload()
    n.quit()
    assert n.rows() == (
        starts(1, 2)
        + master_start(2, 2, "reload")
        + reloads(3, 2, n_prev=2) + exits(1, 2, n_next=2)
        + exits(3, 2, n_prev=0))


def test_a_failure_while_old_workers_still_serve(make, both):
    n = make(**both).start()
    held = n.hold_all()
    n.reload(old_gone=False)
    n.wait_events("master_exit", 1)
    n.reload_fails("bind.. to unix:none/s failed", server=NO_SUCH_DIRECTORY)
    for s in held.values():
        s.close()
    n.reload()
    n.quit()
    assert n.rows() == (
        starts(1, 2)
        + reloads(2, 2, n_prev=2) + exits(1, 2, n_next=2)
        + master_start(3, 2, "reload")
        + reloads(4, 2, n_prev=2) + exits(2, 2, n_prev=0, n_next=2)
        + exits(4, 2, n_prev=0))


@pytest.mark.parametrize("daemon", [False, True])
def test_a_start_that_fails_to_bind_leaves_nothing(make, both, daemon):
    n = make(daemon=daemon, opts={"name": conf.own("test-failed-start")},
             server=NO_SUCH_DIRECTORY, **both)
    assert n.start_fails() == 1
    n.complete = False
    assert n.rows() == master_start(1)
    assert n.segments() == []


def test_a_good_start_after_a_failed_one(make, both):
    n = make(server=NO_SUCH_DIRECTORY, **both)
    n.start_fails()
    os.unlink(n.path("s"))      # nginx leaves the socket behind
    n.new_life()
    n.params["server"] = ""
    n.start()
    n.quit()
    assert n.rows() == master_start(1) + starts(1, 2) + exits(1, 2)
    assert "unclean" not in n.events("master_start")[1]["info"]
