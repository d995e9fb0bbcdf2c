# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""wmctl beside a real nginx, in all that it goes through."""

import os

import conf
import proc
from wmctl import Command


def states(shown, generation):
    """{pid: state} of one generation."""
    return {w["pid"]: w["state"] for g in shown["generations"]
            if g["id"] == generation for w in g["workers"]}


def test_a_running_server_is_shown_in_a_reload_a_crash_and_its_end(make):
    n = make(opts={"name": conf.own("test-wmctl")}).start()
    (name,) = n.instances
    (file,) = map(os.path.basename, n.segments())
    default = Command()     # of /dev/shm, where other nodes may be, too

    def show():
        return default.json("show", name)

    shown = show()
    assert shown["live"] and shown["file"] == file and shown["current"] == 1
    assert states(shown, 1) == dict.fromkeys(n.current(), "live")
    (g,) = shown["generations"]
    assert (g["master"], g["state"], g["reason"]) == (
        n.master, "active", "start")
    (count,) = [x["count"] for x in default.json("list")["nodes"]
                if x["file"] == file]
    assert count["live"] == 2
    held = n.drain()
    shown = show()
    assert [g["id"] for g in shown["generations"]] == [2, 1]
    assert states(shown, 1) == dict.fromkeys(held, "draining")
    assert states(shown, 2) == dict.fromkeys(n.current(), "live")
    n.let_go(held)
    pid = n.started(2)[0]
    n.replace(pid)
    n.wait_up()
    assert states(show(), 2) == {
        pid: "crashed", **dict.fromkeys(n.current(), "live")}
    everybody = [n.master, *n.workers()]
    n.pause(everybody)      # or a worker might notice its master's end
    proc.kill(*everybody)
    n.master = None
    shown = show()
    assert not shown["live"] and shown["count"]["gone"] == 2
    assert default.text("gc", name) == f"{file}: unlinked\n"
    assert not n.segments()
    n.complete = False
