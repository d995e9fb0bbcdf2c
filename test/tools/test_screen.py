# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""How things are written: colours, and parts of wmctl that are called as they
are (inside.cpp), for no node can show them."""

import os
import re

import pytest

import conf
from wmctl import OK, Command

INSIDE = Command(program=os.path.join(conf.BUILD, "cpp/test-wmctl"))
S, M, H = 1000, 60_000, 3_600_000


@pytest.fixture
def painted(place, master):
    """The output of a command to a terminal."""
    master.worker(master.begin())

    def run(*args, **env):
        running = place.begin(*args, terminal=(24, 200), **env)
        assert running.end() == (OK, "")
        return running.output
    return run


@pytest.mark.parametrize("command", ["list", "show", "events"])
def test_a_terminal_gets_colours_and_a_pipe_gets_none(
        place, painted, command):
    assert "\033[" in painted(command)
    assert "\033[" not in place.text(command)


@pytest.mark.parametrize("args, env, coloured", [
    (["show", "--no-color"], {}, False), (["--no-color", "show"], {}, False),
    (["show"], {"NO_COLOR": "1"}, False), (["show"], {"NO_COLOR": ""}, True),
    (["show"], {"TERM": "dumb"}, False)])
def test_nobody_gets_colours_who_does_not_want_them(painted, args, env,
                                                    coloured):
    assert ("\033" in painted(*args, **env)) == coloured


def test_colours_change_no_column(place, painted):
    """Ages aside, which grow."""
    def words(text):
        plain = re.sub(r"\033\[(32|0|1)m", "", text)
        return [[w for i, w in enumerate(x.split()) if i not in (4, 5)]
                for x in plain.splitlines() if not x.startswith("#")]
    assert words(painted("show")) == words(place.text("show"))


# --- inside -------------------------------------------------------------------

def of(what, argument):
    return INSIDE.text(what, str(argument))[:-1]


@pytest.mark.parametrize("ms, text", [
    (0, "0.0s"), (499, "0.4s"), (10 * S - 1, "9.9s"), (10 * S, "10s"),
    (M - 1, "59s"), (M, "1m00s"), (H - 1, "59m59s"), (H, "1h00m"),
    (24 * H - 1, "23h59m"), (24 * H, "1d00h"), (76 * H, "3d04h")])
def test_an_age_has_two_units_at_most(ms, text):
    assert of("age", ms) == text


def test_a_moment_is_of_utc():
    assert of("moment", 1936776600_023) == "2031-05-17T09:30:00.023Z"


def test_what_a_terminal_may_obey_is_not_shown():
    assert of("clean", " az~\x1f\x7f\n\x9b") == " az~?????"


@pytest.mark.parametrize("what, known", [
    ("state", range(2, 7)), ("generation", range(6)), ("role", range(2)),
    ("reason", range(4)), ("kind", range(1, 16))])
def test_a_number_without_a_word_is_a_question_mark(what, known):
    assert {of(what, n) for n in (known.stop, 2**32 - 1)} == {"?"}
    words = [of(what, n) for n in known]
    assert "?" not in words and len(set(words)) == len(words)


@pytest.mark.parametrize("line, cut", [
    ("12345", "1234"), ("\033[1m12345\033[0m", "\033[1m1234\033[0m"),
    ("123\033[4", "123")])
def test_a_line_is_cut_between_escape_sequences(line, cut):
    """All that was begun ends with it: a colour, too."""
    running = INSIDE.begin("frame", line + "\nnext\n", terminal=(9, 4))
    assert running.end() == (OK, "")
    frame = running.output.split("\033[H")[2]
    assert frame == (f"\033[K{cut}\033[0m\r\n\033[Knext\033[0m\r\n"
                     "\033[J\033[?25h")
