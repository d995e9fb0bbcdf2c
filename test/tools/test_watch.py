# SPDX-License-Identifier: Apache-2.0
"""watch: drawn again after each change and for the ages, until the end. And how
all commands write to a terminal."""

import os
import re

import pytest

import conf
from proc import pending, stat, wait
from wmctl import DAMAGED, OK, Command

HOME, NO_CURSOR, CURSOR = "\033[H", "\033[?25l", "\033[?25h"
S, M, H = 1000, 60_000, 3_600_000


def last(running, condition, what):
    """The first whole frame that is like that."""
    return running.until(
        lambda out: next((x for x in out.split(HOME)[2:]    # after the clearing
                          if x.endswith("\033[J") and condition(x)), None),
        what)


@pytest.fixture
def drawn(place, master):
    """A watch that has drawn a frame on a terminal."""
    watch = place.begin("watch", terminal=(24, 120))
    last(watch, lambda f: "#PID" in f, "a frame")
    return watch


@pytest.fixture
def written(place, master):
    """A watch that has written a document of a generation."""
    master.generation = master.begin()
    watch = place.begin("--json", "watch")
    watch.documents(1)
    return watch


def test_a_change_is_drawn_in_place(drawn, master):
    g = master.begin()
    last(drawn, lambda f: f"generation {g}" in f, "the generation")
    worker = master.worker(g)
    frame = last(drawn, lambda f: f"{worker.pid} " in f and "live" in f,
                 "the worker")
    assert frame.count("#PID") == 1 and frame.count(f"{worker.pid} ") == 1
    worker.drain()
    last(drawn, lambda f: "draining" in f, "the drain")
    worker.leave()
    frame = last(drawn, lambda f: f"{worker.pid} " not in f
                 and f"generation {g}" in f, "nobody")
    # Every line clears what the last frame left there.
    lines = frame.split("\n")[:-1]
    assert len(lines) == 5 and all(x.startswith("\033[K") for x in lines)


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT"])
def test_an_interrupt_ends_it_and_gives_the_cursor_back(drawn, name):
    assert NO_CURSOR in drawn.output and CURSOR not in drawn.output
    drawn.stop(name)
    assert drawn.output.endswith(CURSOR)


@pytest.mark.parametrize("name", ["TSTP", "STOP"])
def test_it_draws_anew_after_it_was_stopped(drawn, name):
    drawn.signal(name)
    wait(lambda: stat(drawn.popen.pid)[0] == "T", "a stop")
    if name == "TSTP":
        drawn.until(lambda out: out.endswith(CURSOR), "the cursor")
    drawn.signal("CONT")
    drawn.until(lambda out: "#PID" in out.split(NO_CURSOR, 2)[-1]
                and out.count(NO_CURSOR) == 2, "a new screen")
    drawn.stop()
    assert drawn.output.endswith(CURSOR)


def test_a_segment_that_is_cut_short_gives_the_cursor_back(place, drawn,
                                                           master):
    os.truncate(place.path(master.file), 0)
    assert drawn.end() == (
        DAMAGED, "wmctl: the segment was cut short while it was read\n")
    assert drawn.output.endswith(CURSOR)


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


def test_a_signal_interrupts_no_line(place, master):
    g = master.begin()
    for _ in range(24):
        master.worker(g)
    watch = place.begin("--json", "watch")
    watch.full()                # in the middle of the first line
    pid = watch.popen.pid
    for _ in range(3):          # one ends a write that had begun, two do not
        watch.signal("WINCH")
        wait(lambda: stat(pid)[0] == "S" and not pending(pid), "its answer")
    watch.documents(3)
    watch.stop()
    assert {len(d["generations"][0]["workers"])
            for d in watch.documents(3)} == {24}


def gaps(watch, count):
    """Milliseconds between so many frames, by the age of the generation."""
    times = [d["generations"][-1]["age_ms"] for d in watch.documents(count)]
    return [b - a for a, b in zip(times, times[1:])]


def test_a_new_size_is_drawn_before_the_second_is_over(written):
    """In time at least once, however busy the machine is."""
    def soon(count):
        written.signal("WINCH")
        return min(gaps(written, count + 1)) < 1000
    assert any(map(soon, range(1, 30)))


def test_many_changes_are_one_frame(written, master):
    """Frames are 40 ms apart; the clock is a few coarse."""
    while written.output.count("\n") < 8:
        worker = master.worker(master.generation)
        worker.drain()
        worker.leave()
        worker.kill()
        written.read(0)
    assert min(gaps(written, 8)) >= 30


def test_ages_are_refreshed_without_any_change(place, master):
    master.worker(master.begin())
    watch = place.begin("--json", "watch")
    shown = [d["generations"][0] for d in watch.documents(3)]
    for ages in ([g["age_ms"] for g in shown],
                 [g["workers"][0]["age_ms"] for g in shown]):
        assert ages == sorted(set(ages)), "each later than the one before"
    assert [g["spell"] for g in shown[:3]] == [1, 1, 1]


@pytest.mark.parametrize("args, env", [
    (["--json", "watch"], {}), (["watch"], {"TERM": "dumb"})])
def test_only_a_terminal_that_can_is_drawn_on_in_place(place, master, args,
                                                       env):
    """JSON goes on line by line, as do frames on a dumb one."""
    watch = place.begin(*args, terminal=(8, 30), **env)
    watch.until(lambda out: len(re.findall('#PID|"demo"', out)) == 2,
                "two frames")
    watch.stop()
    assert "\033" not in watch.output


def test_a_frame_fits_the_terminal(place, master):
    """A line is cut between escape sequences, and a colour that was begun ends
    with it. No column is elsewhere than without colours."""
    g = master.begin()
    for _ in range(8):
        master.worker(g)
    watch = place.begin("watch", terminal=(8, 30))
    frame = last(watch, lambda f: True, "a frame")
    *lines, rest = frame.split("\r\n")
    assert rest == "\033[J"
    assert all(re.fullmatch(r"\033\[K.*\033\[0m", x) for x in lines)
    assert "\033[1m" in lines[4] and "\033[32m" in lines[5]
    shown = [re.sub(r"\033\[(K|\d+m)", "", x) for x in lines]
    assert "\033" not in "".join(shown)
    assert [len(x) for x in shown] == [30, 12, 16, 30, 30, 30, 30]
    for line, plain in zip(shown[3:], place.text("show").splitlines()[3:]):
        assert line[:24] == plain[:24]


def test_the_end_of_the_life_that_is_named_is_its_end(place, master):
    """The node does not notice that it is watched: it unlinks its segment."""
    watch = place.begin("--json", "watch", master.file)
    watch.documents(1)
    master.release()
    assert watch.end() == (OK, "wmctl: the node has ended\n")
    assert not watch.documents(1)[-1]["live"]
    assert place.files() == []


@pytest.mark.parametrize("named", [["demo"], []])
def test_a_nodes_next_life_is_shown(place, master, named):
    watch = place.begin("watch", *named)
    watch.until(lambda out: f"live, {master.file}" in out, "the first life")
    master.release()
    watch.until(lambda out: f"post-mortem, {master.file}" in out, "its end")
    place.node("demo-2")
    heir = place.node()
    watch.until(lambda out: f"live, {heir.file}" in out, "the next life")
    assert "demo-2" not in watch.output


@pytest.mark.parametrize("args, env, coloured", [
    *(([command], {}, True) for command in ("list", "show", "events")),
    (["show", "--no-color"], {}, False), (["show"], {"NO_COLOR": "1"}, False),
    (["show"], {"NO_COLOR": ""}, True), (["show"], {"TERM": "dumb"}, False)])
def test_a_terminal_gets_colours_unless_asked_not_to_and_a_pipe_gets_none(
        place, master, args, env, coloured):
    master.worker(master.begin())
    painted = place.begin(*args, terminal=(24, 200), **env)
    assert painted.end() == (OK, "")
    assert ("\033[" in painted.output) == coloured
    assert "\033[" not in place.text(*args)


def test_an_age_has_two_units_at_most():
    words = {0: "0.0s", 499: "0.4s", 10 * S - 1: "9.9s", 10 * S: "10s",
             M - 1: "59s", M: "1m00s", H - 1: "59m59s", H: "1h00m",
             24 * H - 1: "23h59m", 24 * H: "1d00h", 76 * H: "3d04h"}
    inside = Command(program=os.path.join(conf.BUILD, "cpp/test-wmctl"))
    assert inside.text(*map(str, words)).split() == list(words.values())
