# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The man page says what the program does, all of it and nothing else."""

import os
import re
import shutil
import signal
import subprocess

import pytest

import conf
import wmctl
from wmctl import Command

COMMANDS = {"list", "show", "watch", "events", "wait", "gc"}
SOURCE = os.path.join(conf.ROOT, "cpp/tools/wmctl.1.scd")


def page():
    with open(SOURCE, encoding="utf-8") as f:
        return f.read()


def section(name):
    """A section of the page."""
    return re.search(rf"^# {name}\n(.*?)(?=^# |\Z)", page(), re.M | re.S)[1]


def described(command):
    """What the page says of a command."""
    return re.search(rf"^\*{command}\*.*?(?=^\*|\Z)", section("COMMANDS"),
                     re.M | re.S)[0]


def option(name):
    """What the page says of an option."""
    return re.search(rf"^\t*\*{name}\*.*\n((?:\t+.*\n|\n(?=\t))+)", page(),
                     re.M)[1]


def options_of(text):
    return set(re.findall(r"^\t*(?:\*-\w\*, )?\*(--[\w-]+)\*", text, re.M))


def helped(*command):
    """The options and commands that a --help names."""
    text = Command().text(*command, "--help")
    options = set(re.findall(r"^  (?:-\w,)?(--[\w-]+)", text, re.M))
    short = set(re.findall(r"^  (-\w),", text, re.M)) - {"-h"}
    commands = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.M)
    names = set(re.findall(r"^  (\w+)", commands[1], re.M)) if commands else (
        set())
    return options - {"--help"}, short, names


def test_every_option_and_command_of_the_help_stands_in_the_page():
    options, short, names = helped()
    assert names == COMMANDS and not short
    assert names == set(re.findall(r"^\*(\w+)\*", section("COMMANDS"), re.M))
    assert options == options_of(section("OPTIONS")) - {"--help"}
    assert len(options) >= 4


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_of_a_command_stands_where_it_is_described(command):
    options, short, _ = helped(command)
    text = described(command)
    assert options == options_of(text)
    assert short == set(re.findall(r"^\t\*(-\w)\*,", text, re.M))
    (line,) = [x for x in section("SYNOPSIS").replace("|\n", "| ").split("++")
               if f" *{command}*" in x]
    assert set(short or options) <= set(re.findall(r"\*(-[\w-]+)\*", line))


def test_every_exit_status_of_the_help_stands_in_the_page():
    text = Command().text("--help")
    codes = re.findall(r"^  (\d)  ", text, re.M)
    assert codes == re.findall(r"^\*(\d)\*$", section("EXIT STATUS"), re.M)
    assert list(map(int, codes)) == list(range(wmctl.FAILED + 1))
    said = re.findall(r"^\*\d\*\n\t(.*)", section("EXIT STATUS"), re.M)
    for line, what in zip(said, re.findall(r"^  \d  (.*)", text, re.M)):
        first = [re.split("[.:;,]", x.replace("*", "").lower())[0]
                 for x in (line, what)]
        assert first[0] == first[1]
    assert f"ends with status {wmctl.USAGE}" in section("DESCRIPTION")


def test_every_default_stands_in_the_page():
    defaults = dict(re.findall(r"(--\w+) \w+=(\S+)",
                               Command().text("--help")
                               + Command().text("wait", "--help")))
    assert defaults == {"--directory": "/dev/shm", "--timeout": "30"}
    assert "_/dev/shm_" in option("--directory")
    assert " 30 if not given" in option("--timeout")


def test_what_turns_colours_off_stands_in_the_page():
    for name in ("*NO_COLOR*", "*TERM*", "_dumb_"):
        assert name in option("--no-color")


def tables():
    """The words of words.cpp, by table."""
    with open(os.path.join(os.path.dirname(SOURCE), "words.cpp"),
              encoding="utf-8") as f:
        found = re.findall(r"constexpr std::array (\w+) = \{(.*?)\};",
                           f.read(), re.S)
    return {name: set(re.findall(r'"([\w-]+)"', words))
            for name, words in found}


def test_every_word_stands_where_it_is_shown():
    of = tables()
    assert set(of) == {"states", "generation_states", "roles", "reasons",
                       "kinds"}
    shown = {
        described("list"): {"live", "post-mortem", "denied", "damaged",
                            "foreign", "unreadable"},
        described("show"): of["states"] | of["roles"] | {
            "gone", "leader", "lock"},
        described("events"): of["kinds"],
        section("JSON"): of["generation_states"] | of["reasons"] | {
            "unlinked", "would be unlinked", "kept", "in use"},
    }
    for text, words in shown.items():
        for word in words:
            assert f"_{word}_" in text, word


def test_every_column_stands_where_it_is_shown(place):
    place.node()
    for command in ("list", "show", "events"):
        heading = [x for x in place.text(command).splitlines()
                   if x.startswith("#")][-1]
        for column in heading[1:].split():
            assert re.search(rf"\b{column}\b", described(command)), column


def keys(value):
    """All names of fields in a JSON document."""
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    if isinstance(value, list):
        return set().union(*map(keys, value))
    return set()


def test_every_field_of_the_json_stands_in_the_page(place):
    master = place.node(log_entries=4)
    worker = master.worker(master.begin())
    assert worker.lead() == 1
    assert worker.lock(purpose=1) == 0
    seen = {}
    for command in COMMANDS - {"watch", "wait"}:
        seen[command] = keys(place.lines(command))
    seen["wait"] = keys(place.lines("wait", "--ready", "1"))
    text = section("JSON")
    parts = re.split(r"^\*(\w+)\* prints", text, flags=re.M)[1:]
    said = {name: set(re.findall(r"_((?:[a-z]|\\_)+)_", what))
            for name, what in zip(parts[::2], parts[1::2])}
    said = {name: {x.replace("\\_", "_") for x in words}
            for name, words in said.items()}
    said["show"] |= said["list"]        # "as above"
    assert set(seen) == set(said)
    for command, fields in seen.items():
        assert fields and fields <= said[command], command


def test_the_example_reloads_a_server_and_waits_for_it(make):
    n = make(workers=4, opts={"name": conf.own("test-wmctl")}).start()
    (instance,) = n.instances
    (script,) = re.findall(r"^```\n(.*?)^```$", section("EXAMPLES"),
                           re.M | re.S)
    n.expect("signal process started")
    script = (f'nginx() {{ command {" ".join(map(repr, n.command()))} "$@"; }}'
              f"\nset -e\n{script}").replace(" blue", " " + instance)
    path = os.path.dirname(conf.WMCTL) + ":" + os.environ["PATH"]
    done = subprocess.run(["sh", "-c", script], cwd=n.prefix, text=True,
                          capture_output=True, check=False, timeout=90,
                          env={**os.environ, "PATH": path})
    assert (done.returncode, done.stdout) == (
        0, "4 of 4 workers are live in generation 2\n"), done
    n.wait_up()


def test_the_readmes_commands_are_understood(place):
    with open(os.path.join(conf.ROOT, "README.md"), encoding="utf-8") as f:
        commands = re.findall(r"^    wmctl (\w.*?) +#", f.read(), re.M)
    assert {x.split()[0] for x in commands} == COMMANDS
    master = place.node()
    g = master.begin()
    for _ in range(4):
        master.worker(g)
    running = [place.begin(*x.split()) for x in commands]
    for x in running:
        if "watch" in x.popen.args or "-f" in x.popen.args:
            x.until(lambda out: out, "output")
            x.signal("TERM")
        assert x.end()[0] in (wmctl.OK, -signal.SIGTERM)


def test_the_page_is_built_and_warns_of_nothing():
    if not shutil.which("scdoc"):
        pytest.skip("there is no scdoc")
    built = os.path.join(conf.BUILD, "cpp/wmctl.1")
    done = subprocess.run(["scdoc"], input=page(), capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    with open(built, encoding="utf-8") as f:
        assert f.read().split("\n.TH")[1] == done.stdout.split("\n.TH")[1]
