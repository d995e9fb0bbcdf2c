# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Colours: on a terminal only, and only where nobody objects."""

import pytest

WIDE = (24, 200)


@pytest.fixture
def painted(place):
    """What a command writes to a terminal."""
    master = place.node()
    master.worker(master.begin())

    def run(*args, **env):
        running = place.begin(*args, terminal=WIDE, **env)
        assert running.end() == (0, "")
        return running.output
    return run


@pytest.mark.parametrize("command", ["list", "show", "events"])
def test_a_terminal_gets_colours_and_a_pipe_gets_none(
        place, painted, command):
    assert "\033[" in painted(command)
    assert "\033[" not in place.text(command)


def test_nobody_gets_colours_who_does_not_want_them(painted):
    assert "\033[" not in painted("show", "--no-color")
    assert "\033[" not in painted("--no-color", "show")
    assert "\033[" not in painted("show", NO_COLOR="1")
    assert "\033[" in painted("show", NO_COLOR="")


def test_a_dumb_terminal_gets_none(painted):
    assert "\033" not in painted("show", TERM="dumb")


def test_colours_change_no_column(place, painted):
    """Ages aside, which grow."""
    def words(text):
        plain = text.replace("\033[32m", "").replace("\033[0m", "").replace(
            "\033[1m", "")
        return [[w for i, w in enumerate(x.split()) if i not in (4, 5)]
                for x in plain.splitlines() if not x.startswith("#")]
    assert words(painted("show")) == words(place.text("show"))
