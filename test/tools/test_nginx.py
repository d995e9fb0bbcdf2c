# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""wmctl beside a real nginx, in all that it goes through."""

import os

import pytest

import conf
import proc
from wmctl import Command

DEFAULT = Command()     # of /dev/shm, where other nodes may be, too


@pytest.fixture
def node(make):
    """A running nginx, and the names of its node and of the file."""
    n = make(opts={"name": conf.own("test-wmctl")}).start()
    (instance,) = n.instances
    (path,) = n.segments()
    return n, instance, os.path.basename(path)


def show(name):
    return DEFAULT.json("show", name)


def states(shown, generation):
    """{pid: state} of one generation."""
    return {w["pid"]: w["state"] for g in shown["generations"]
            if g["id"] == generation for w in g["workers"]}


def test_a_running_server_is_shown_as_it_is_and_drains_below_a_new_one(node):
    n, name, file = node
    shown = show(name)
    assert shown["live"] and shown["file"] == file and shown["current"] == 1
    assert states(shown, 1) == dict.fromkeys(n.current(), "live")
    (g,) = shown["generations"]
    assert (g["master"], g["state"], g["reason"]) == (
        n.master, "active", "start")
    (listed,) = [x for x in DEFAULT.json("list")["nodes"]
                 if x["file"] == file]
    assert listed["live"] and listed["count"]["live"] == 2
    assert file in DEFAULT.text("list")
    held = n.drain()
    shown = show(name)
    assert [g["id"] for g in shown["generations"]] == [2, 1]
    assert states(shown, 1) == dict.fromkeys(held, "draining")
    assert states(shown, 2) == dict.fromkeys(n.current(), "live")
    text = DEFAULT.text("show", name)
    new, old = text.index("# generation 2: active, reload"), text.index(
        "# old generation 1: exited, start")
    assert new < old < text.index("draining")
    n.let_go(held)
    assert [g["id"] for g in show(name)["generations"] if g["workers"]] == [2]


def test_a_crash_of_a_worker_or_of_all_is_left_to_be_looked_at(node):
    """A worker's, beside its replacement."""
    n, name, file = node
    pid = n.started(1)[0]
    n.replace(pid)
    n.wait_up()
    assert states(show(name), 1) == {
        pid: "crashed", **dict.fromkeys(n.current(), "live")}
    everybody = [n.master, *n.workers()]
    n.pause(everybody)      # or a worker might notice its master's end
    proc.kill(*everybody)
    n.master = None
    shown = show(name)
    assert not shown["live"] and shown["count"]["gone"] == 2
    assert [x["event"] for x in DEFAULT.lines("events", name)].count(
        "worker-live") == 3
    assert DEFAULT.text("gc", name) == f"{file}: unlinked\n"
    assert not n.segments()
    n.complete = False


def test_events_are_followed_over_a_reload_and_a_restart(node):
    """Looking leaves no trace: a server that ends unlinks its segment."""
    n, name, file = node
    follow = DEFAULT.begin("--json", "events", "-f", name)
    follow.documents(1)
    n.reload()

    def seen(output):
        return ('"event":"generation-active","generation":2' in output
                and output.count('"event":"worker-left"') == 2)
    follow.until(seen, "the reload")
    n.stop()
    assert not n.segments()
    follow.until(lambda out: '"live":false' in out, "the end")
    n.start_again()

    def served(output):
        _, begins, rest = output.partition('"live":true')
        return begins and '"event":"generation-active"' in rest
    follow.until(served, "the next life")
    n.stop()
    follow.signal("TERM")
    follow.end()
    lines = follow.documents(1)
    told = [x for x in lines if "live" in x]
    assert [(x["file"] == file, x["live"]) for x in told][:2] == [
        (True, False), (False, True)]
    events = [(x["event"], x["generation"])
              for x in lines[:lines.index(told[0])]]
    for event in ("generation-begun", "generation-active",
                  "generation-exited"):
        assert events.count((event, 1)) == events.count((event, 2)) == 1
    assert events.count(("worker-left", 2)) == 2
