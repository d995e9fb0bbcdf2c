# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""watch: drawn again after each change and for the ages, until the end."""

import os
import re

import pytest

from proc import stat, wait
from wmctl import DAMAGED, NO_NODE, OK, Command

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


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT"])
def test_an_interrupt_ends_it_and_gives_the_cursor_back(place, master, name):
    watch = place.begin("watch", terminal=(24, 80))
    last(watch, lambda f: "#PID" in f, "a frame")
    assert NO_CURSOR in watch.output and CURSOR not in watch.output
    watch.signal(name)
    assert watch.end() == (OK, "")
    assert watch.output.endswith(CURSOR)


@pytest.mark.parametrize("name", ["TSTP", "STOP"])
def test_it_draws_anew_after_it_was_stopped(place, master, name):
    watch = place.begin("watch", terminal=(24, 80))
    last(watch, lambda f: "#PID" in f, "a frame")
    watch.signal(name)
    wait(lambda: stat(watch.popen.pid)[0] == "T", "a stop")
    if name == "TSTP":
        watch.until(lambda out: out.endswith(CURSOR), "the cursor")
    watch.signal("CONT")
    watch.until(lambda out: "#PID" in out.split(NO_CURSOR, 2)[-1]
                and out.count(NO_CURSOR) == 2, "a new screen")
    watch.signal("INT")
    assert watch.end() == (OK, "")
    assert watch.output.endswith(CURSOR)


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "TERM"])
def test_a_signal_that_is_ignored_stays_so(place, master, name):
    """As nohup and a script's & have it."""
    deaf = Command("-c", f'trap "" {name}; exec "$@"', "-", place.program,
                   *place.options, program="sh")
    watch = deaf.begin("watch")
    watch.until(lambda out: "#PID" in out, "a frame")
    watch.signal(name)
    for _ in range(2):
        g = master.begin()
        watch.until(lambda out: f"# generation {g}" in out, "a change")
    watch.signal("KILL")
    watch.end()


def test_a_signal_interrupts_no_line(place, master):
    g = master.begin()
    for _ in range(24):
        master.worker(g)
    watch = place.begin("--json", "watch")
    watch.full()                # in the middle of the first line

    def taken():
        with open(f"/proc/{watch.popen.pid}/status", encoding="ascii") as f:
            return re.search(r"S \(sleeping\).*ShdPnd:\t0+\n", f.read(), re.S)
    for _ in range(3):          # one ends a write that had begun, two do not
        watch.signal("WINCH")
        wait(taken, "the signal")
    watch.documents(3)
    watch.signal("INT")
    assert watch.end() == (OK, "")
    assert [len(d["generations"][0]["workers"])
            for d in watch.documents(3)] == [24] * len(watch.documents(3))


def ages(watch, count):
    """Of the node's first generation, in so many frames."""
    return [d["generations"][-1]["age_ms"] for d in watch.documents(count)]


def gaps(watch, count):
    """Milliseconds between them."""
    times = ages(watch, count)
    return [b - a for a, b in zip(times, times[1:])]


def test_a_new_size_is_drawn_before_the_second_is_over(place, master):
    """In time at least once, however busy the machine is."""
    master.begin()
    watch = place.begin("--json", "watch")
    for count in range(1, 30):
        watch.documents(count)
        watch.signal("WINCH")
        if min(gaps(watch, count + 1)) < 1000:
            break
    else:
        raise AssertionError("only the seconds are drawn")
    watch.signal("INT")
    assert watch.end() == (OK, "")


def test_many_changes_are_one_frame(place, master):
    """Frames are 40 ms apart; the clock is a few coarse."""
    g = master.begin()
    watch = place.begin("--json", "watch")
    watch.documents(1)
    while watch.output.count("\n") < 8:
        worker = master.worker(g)
        worker.drain()
        worker.leave()
        worker.quit()
        watch.read(0)
    assert min(gaps(watch, 8)) >= 30
    watch.signal("INT")
    assert watch.end() == (OK, "")


def test_json_is_not_drawn_in_place(place, master):
    watch = place.begin("--json", "watch", terminal=(8, 30))
    assert watch.documents(2)[1]["instance"] == "demo"
    watch.signal("INT")
    assert watch.end() == (OK, "")
    assert "\033" not in watch.output


def test_a_dumb_terminal_gets_one_frame_after_the_other(place, master):
    watch = place.begin("watch", terminal=(8, 30), TERM="dumb")
    watch.until(lambda out: out.count("#PID") == 2, "two frames")
    watch.signal("INT")
    assert watch.end() == (OK, "")
    assert "\033" not in watch.output


def test_a_segment_that_is_cut_short_gives_the_cursor_back(place, master):
    (file,) = place.files()
    watch = place.begin("watch", terminal=(24, 80))
    last(watch, lambda f: "#PID" in f, "a frame")
    os.truncate(place.path(file), 0)
    assert watch.end() == (
        DAMAGED, "wmctl: the segment was cut short while it was read\n")
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
