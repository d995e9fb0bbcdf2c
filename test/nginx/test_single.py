# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""master_process off: one process is master and worker at once."""

import pytest

from rows import exits, starts

ONE = {"master_process": False, "workers": 1}
LIFE = starts(1, 1) + exits(1, 1)


@pytest.mark.parametrize("how", ["QUIT", "TERM"])
def test_a_start_and_a_stop(make, dict_, how):
    n = make(dict=dict_, **ONE).start()
    assert n.get() == 204
    n.end(how)
    assert n.rows() == LIFE


@pytest.mark.parametrize("how", ["QUIT", "TERM"])
def test_without_exit_worker_the_exits_are_not_given(make, dict_, how):
    """Debian's nginx fires no premature timers here."""
    n = make(dict=dict_, exit_worker=False, **ONE).start()
    n.end(how)
    n.complete = False
    assert n.rows() == starts(1, 1)
    assert n.log_lines("worker manager: not given: worker_exit of 1-")
    assert n.log_lines("worker manager: not given: master_exit of 1")


def test_a_reload_begins_no_generation(make, dict_):
    """init_by_lua* runs again, init_worker_by_lua* does not.

    After it, this nginx answers no request, runs no timer and no
    exit_worker_by_lua*, with or without the module; the next start is told.
    """
    n = make(dict=dict_, **ONE).start()
    n.hup()
    n.wait_note("init", 2)
    n.hup()
    n.wait_note("init", 3)
    n.expect("worker_connections are not enough|could not create fake conn")
    n.quit()
    assert len(n.notes("up")) == 1
    assert n.rows() == starts(1, 1)
    n.new_life()
    n.start()
    assert n.events("master_start")[1]["info"]["unclean"]["exits_owed"] == 1
    n.expect("worker manager: not given: the former life", 1)
    n.complete = False
    n.quit()
    assert n.rows() == starts(1, 1) + LIFE


def test_a_failed_reload_changes_nothing(make, dict_):
    n = make(dict=dict_, **ONE).start()
    n.reload_fails("bind.. to unix:none/s failed",
                   server="listen unix:none/s;")
    n.quit()
    assert n.rows() == LIFE


def test_code_cache_off(make, dict_):
    n = make(code_cache=False, dict=dict_, server="""
        location /lua { content_by_lua_block { ngx.say("hello") } }""", **ONE)
    n.expect("lua_code_cache is off; this will hurt performance")
    n.start()
    for _ in range(3):
        assert n.get("/lua") == 200
    assert [x["process"] for x in n.notes("init")] == [0] * 4
    n.quit()
    assert n.rows() == LIFE


def test_daemon_on(make, dict_):
    n = make(daemon=True, dict=dict_, **ONE).start()
    n.quit()
    assert n.rows() == LIFE
