# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""lua_code_cache off: init_by_lua* runs for every request, in a worker."""

from rows import exits, reloads, starts

OFF = {"code_cache": False, "server": """
    location /lua { content_by_lua_block {
        ngx.say(ngx.worker.pid())
    } }"""}


def begin(make, **params):
    n = make(user="root", **OFF, **params)
    n.expect("lua_code_cache is off; this will hurt performance")
    return n.start()


def visit(n, requests):
    before = len(n.notes("init"))
    for _ in range(requests):
        assert n.get("/lua") == 200
    inits = n.notes("init")[before:]
    assert len(inits) == requests
    assert {x["process"] for x in inits} == {3}


def test_requests_begin_no_generation(make, root, both):
    n = begin(make, **both)
    visit(n, 5)
    n.reload()
    visit(n, 5)
    n.quit()
    assert n.rows() == (
        starts(1, 2)
        + reloads(2, 2, n_prev=2) + exits(1, 2, n_next=2)
        + exits(2, 2, n_prev=0))


def test_a_fast_stop_after_requests(make, root, dict_):
    n = begin(make, dict=dict_)
    visit(n, 3)
    n.term()
    assert n.rows() == starts(1, 2) + exits(1, 2)


def test_a_killed_worker_and_requests(make, root, both):
    n = begin(make, **both)
    visit(n, 3)
    n.kill(n.worker(1))
    n.wait_events("worker_start", 1, 3)
    visit(n, 3)
    n.quit()
    assert n.rows() == (
        starts(1, 2) + [("worker_start", 1, None, 3, None, "respawn")]
        + exits(1, 2))
