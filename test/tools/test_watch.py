# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""watch: drawn again after each change and for the ages, until the end."""

import re

import pytest

from wmctl import NO_NODE, OK

HOME, NO_CURSOR, CURSOR = "\033[H", "\033[?25l", "\033[?25h"


@pytest.fixture
def master(place):
    return place.node()


def frames(output):
    return output.split(HOME)[2:]       # the first one cleared the screen


def last(running, condition, what):
    """The first whole frame that is like that."""
    return running.until(
        lambda out: next((x for x in frames(out)
                          if x.endswith("\033[J") and condition(x)), None),
        what)


def test_a_change_is_drawn_in_place(place, master):
    g = master.begin()
    watch = place.begin("watch", terminal=(24, 120))
    last(watch, lambda f: "generation 1" in f, "a frame")
    worker = master.worker(g)
    last(watch, lambda f: f"{worker.pid} " in f and "live" in f, "the worker")
    worker.drain()
    last(watch, lambda f: "draining" in f, "the drain")
    worker.leave()
    frame = last(watch, lambda f: f"{worker.pid} " not in f and "#PID" in f,
                 "nobody")
    # Every line clears what the last frame left there.
    lines = frame.split("\n")[:-1]
    assert len(lines) == 5 and all(x.startswith("\033[K") for x in lines)
    watch.signal("INT")
    assert watch.end() == (OK, "")


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_an_interrupt_ends_it_and_gives_the_cursor_back(place, master, name):
    watch = place.begin("watch", terminal=(24, 80))
    last(watch, lambda f: "#PID" in f, "a frame")
    assert NO_CURSOR in watch.output and CURSOR not in watch.output
    watch.signal(name)
    assert watch.end() == (OK, "")
    assert watch.output.endswith(CURSOR)


def test_ages_are_refreshed_without_any_change(place, master):
    master.worker(master.begin())
    watch = place.begin("--json", "watch")
    shown = [d["generations"][0] for d in watch.documents(3)]
    for ages in ([g["age_ms"] for g in shown],
                 [g["workers"][0]["age_ms"] for g in shown]):
        assert ages == sorted(set(ages)), "each later than the one before"
    assert [g["spell"] for g in shown[:3]] == [1, 1, 1]
    watch.signal("INT")
    assert watch.end() == (OK, "")


def test_a_frame_fits_the_terminal(place, master):
    g = master.begin()
    for _ in range(8):
        master.worker(g)
    watch = place.begin("watch", "--no-color", terminal=(8, 30))
    frame = last(watch, lambda f: True, "a frame")
    lines = [re.sub(r"\033\[(K|J|0m)", "", x) for x in frame.split("\r\n")]
    assert [len(x) for x in lines] == [30, 12, 16, 30, 30, 30, 30, 0]
    watch.signal("INT")
    assert watch.end() == (OK, "")


def test_the_end_of_the_life_that_is_named_is_its_end(place, master):
    (file,) = place.files()
    watch = place.begin("--json", "watch", file)
    watch.documents(1)
    master.release()
    status, said = watch.end()
    assert (status, said) == (OK, "wmctl: the node has ended\n")
    assert not watch.documents(1)[-1]["live"]


@pytest.mark.parametrize("named", [["demo"], []])
def test_a_nodes_next_life_is_shown(place, master, named):
    (file,) = place.files()
    watch = place.begin("watch", *named)
    watch.until(lambda out: f"live, {file}" in out, "the first life")
    master.release()
    watch.until(lambda out: f"post-mortem, {file}" in out, "its end")
    place.node("another")
    place.node()
    (other,) = [x for x in place.files() if "demo" in x]
    watch.until(lambda out: f"live, {other}" in out, "the next life")
    assert "another" not in watch.output
    watch.signal("INT")
    assert watch.end() == (OK, "")


def test_without_a_node_there_is_nothing_to_watch(place):
    place.refuses(NO_NODE, "watch")
