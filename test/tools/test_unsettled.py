# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""A look that never settles: wmctl says so, and gives the last one."""

import os
import time

import pytest

import conf
from wmctl import NOT_READY, Command

PRELOADED = os.path.join(conf.BUILD, "cpp/libtest-unsettled.so")


@pytest.fixture
def busy(place, master):
    """wmctl for a node whose snapshots and log never settle."""
    master.worker(master.begin())
    command = Command(*place.options, LD_PRELOAD=PRELOADED)
    command.remark = (f"# unsettled: {master.file} kept changing while it was "
                      "looked at")
    return command


def remarks(text):
    return [x for x in text.splitlines() if x.startswith("# unsettled: ")]


def test_a_settled_look_says_so_to_programs_alone(place, master):
    for command in ("list", "show", "events"):
        assert remarks(place.text(command)) == []
    assert place.json("show")["settled"] is True
    assert place.json("list")["nodes"][0]["settled"] is True
    assert place.json("wait", "--ready", "1", "--timeout", "0",
                      status=NOT_READY)["settled"] is True
    assert all("settled" not in x for x in place.lines("events"))


@pytest.mark.parametrize("command", ["list", "show"])
def test_an_unsettled_look_says_so(busy, place, command):
    text = busy.text(command)
    assert remarks(text) == [busy.remark]
    assert len([x for x in text.splitlines() if not x.startswith("#")]) == 1
    document, settled = busy.json(command), place.json(command)
    if command == "list":
        (document,), (settled,) = document["nodes"], settled["nodes"]
    assert document["settled"] is False
    assert settled["settled"] is True
    assert document.keys() == settled.keys()
    assert document["count"] == settled["count"]


def test_watch_says_so_each_time(busy):
    running = busy.begin("--json", "watch")
    assert {x["settled"] for x in running.documents(2)} == {False}
    running.stop("TERM")


def test_an_unsettled_log_says_so_after_what_it_has(busy, place):
    text = busy.text("events")
    last = text.splitlines()[-1]
    assert remarks(text) == [last] and "still being written" in last
    *entries, end = busy.lines("events")
    assert end == {"settled": False}
    assert entries == place.lines("events") != []


def test_a_wait_believes_an_unsettled_look_when_its_time_is_over(busy):
    wait = ["wait", "--ready", "1", "--timeout"]
    answer = busy.json(*wait, "0")
    assert (answer["ready"], answer["settled"]) == (True, False)
    assert remarks(busy.text(*wait, "0")) == [busy.remark]
    began = time.monotonic()
    assert busy.json(*wait, "0.5")["settled"] is False
    assert time.monotonic() - began >= 0.5
