# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Calls in the wrong phase, twice, or without what must come first."""

from rows import life

MODULE = 'local M = require("resty.worker.manager")'
ALL = """
    wmt.try("init in %s", function()
        local ok = M.on_init_by_lua({ shm = "my_shm" }) return ok end)
    wmt.try("worker in %s", function()
        local ok = M.on_init_worker_by_lua() return ok end)
    wmt.try("exit in %s", function()
        local ok = M.on_exit_worker_by_lua() return ok end)
"""


def all_in(phase):
    return MODULE + ALL.replace("%s", phase)


def check_raised(n, phase, but=()):
    """All three raise here, naming function and phase, except `but`."""
    for name, function in (("init", "on_init_by_lua"),
                           ("worker", "on_init_worker_by_lua"),
                           ("exit", "on_exit_worker_by_lua")):
        line = n.tries()[f"{name} in {phase}"]
        if name in but:
            continue
        assert line["ok"] is False, line
        assert "nginx.conf:" in line["first"], line
        assert f"worker manager: {function} " in line["first"], line


def test_the_wrong_phase_raises_and_harms_nothing(make, dict_):
    n = make(dict=dict_, user="root",
             after_init=all_in("init"), after_join=MODULE + """
        ngx.timer.at(0, function()
            """ + all_in("timer") + """
            wmt.note("timer")
        end)
        """ + all_in("init_worker"),
             leave=all_in("exit_worker"),
             server="location /lua { content_by_lua_block { "
                    'local wmt = require "wmt" ' + all_in("content") + "} }")
    n.params["leave"] = ('local wmt = require "wmt" '
                         + all_in("exit_worker") + """
        wmt.call("on_exit_worker", M.on_exit_worker_by_lua)""")
    n.start()
    assert n.get("/lua") == 200
    n.wait_note("timer", 2)
    n.stop()
    check_raised(n, "content")
    check_raised(n, "timer")
    check_raised(n, "init")         # the first is a call too many here
    check_raised(n, "init_worker")
    check_raised(n, "exit_worker", but=("exit",))
    assert n.tries()["exit in exit_worker"]["first"] is True
    assert n.rows() == life(2)


def test_twice_raises_and_the_first_call_stands(make, both):
    n = make(after_init=MODULE + """
        wmt.try("init", function()
            local ok = M.on_init_by_lua({ shm = "my_shm" }) return ok end)
        wmt.try("init of another shm", function()
            local ok = M.on_init_by_lua({ shm = "other" }) return ok end)""",
             after_join=MODULE + """
        wmt.try("worker", function()
            local ok = M.on_init_worker_by_lua() return ok end)""",
             **both).start()
    n.stop()
    tries = n.tries()
    for name in ("init", "init of another shm", "worker"):
        assert tries[name]["ok"] is False
        assert "twice" in tries[name]["first"]
        assert "by_lua(nginx.conf:" in tries[name]["first"], "level 2"
    assert n.rows() == life(2)


def test_a_worker_without_on_init_raises(make, dict_):
    n = make(dict=dict_, init="", join=MODULE + """
        wmt.try("worker", function()
            return M.on_init_worker_by_lua(print, print) end)""").start()
    n.stop()
    line = n.tries()["worker"]
    assert line["ok"] is False
    assert "on_init_by_lua" in line["first"]
    assert n.rows() == []


def test_exit_worker_alone_is_nothing(make, dict_):
    """The directive may stand where the module was never set up."""
    n = make(dict=dict_, init="", join="").start()
    n.stop()
    calls = [x for x in n.trace() if x["what"] == "call"]
    assert [x["name"] for x in calls] == ["on_exit_worker"] * 2


def test_exit_worker_twice_repeats_nothing(make, dict_):
    n = make(dict=dict_, leave=MODULE + """
        local wmt = require "wmt"
        wmt.call("on_exit_worker", M.on_exit_worker_by_lua)
        wmt.call("on_exit_worker", M.on_exit_worker_by_lua)""").start()
    n.stop_fast(life(2))


def test_on_init_without_any_worker_call(make, both):
    """Only the master's part is used: no exits, and a clean end."""
    n = make(join="", **both).start()
    n.note_segments()
    n.reload()
    n.complete = False
    n.stop()
    assert [r[:2] for r in n.rows()] == [
        ("master_start", 1), ("master_start", 2)]


def test_a_module_that_is_unloaded_does_not_end_the_node(make, both):
    n = make(after_init="""
        package.loaded["resty.worker.manager"] = nil
        collectgarbage() collectgarbage()""", join="""
        -- only the node's life is looked at: a new copy has no on_init
    """, leave="", **both).start()
    n.note_segments()
    assert len(n.segments()) == 1
    n.complete = False
