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
HELP = Command()


def source(path):
    with open(os.path.join(conf.ROOT, path), encoding="utf-8") as f:
        return f.read()


PAGE = source("cpp/tools/wmctl.1.scd")


def section(name):
    """A section of the page."""
    return re.search(rf"^# {name}\n(.*?)(?=^# |\Z)", PAGE, re.M | re.S)[1]


def described(command):
    """The page's text about a command."""
    return re.search(rf"^\*{command}\*.*?(?=^\*|\Z)", section("COMMANDS"),
                     re.M | re.S)[0]


def option(name):
    """The page's text about an option."""
    return re.search(rf"^\t*\*{name}\*.*\n((?:\t+.*\n|\n(?=\t))+)", PAGE,
                     re.M)[1]


def options_of(text):
    """The long and the short options that a part of the page describes."""
    found = re.findall(r"^\t*(?:\*(-\w)\*, )?\*(--[\w-]+)\*", text, re.M)
    return {long for _, long in found}, {short for short, _ in found} - {""}


def options_in_help(text):
    found = re.findall(r"^  (?:(-\w), ?)?(--[\w-]+)", text, re.M)
    found = [x for x in found if x[1] != "--help"]
    return {long for _, long in found}, {short for short, _ in found} - {""}


def test_every_option_and_command_of_the_help_stands_in_the_page():
    text = HELP.text("--help")
    (commands,) = re.findall(r"^Commands:\n((?:  .*\n)+)", text, re.M)
    assert set(re.findall(r"^  (\w+)", commands, re.M)) == COMMANDS
    assert set(re.findall(r"^\*(\w+)\*", section("COMMANDS"), re.M)) == COMMANDS
    options, short = options_in_help(text)
    assert options == options_of(section("OPTIONS"))[0] - {"--help"}
    assert len(options) >= 4 and not short


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_of_a_command_stands_where_it_is_described(command):
    options = options_in_help(HELP.text(command, "--help"))
    assert options == options_of(described(command))
    (line,) = [x for x in section("SYNOPSIS").replace("|\n", "| ").split("++")
               if f" *{command}*" in x]
    long, short = options
    assert (short or long) <= set(re.findall(r"\*(-[\w-]+)\*", line))


def test_every_exit_status_of_the_help_stands_in_the_page():
    """In the words with which its line begins."""
    def beginnings(pattern, text):
        return [(code, re.split("[.:;,]", what.replace("*", "").lower())[0])
                for code, what in re.findall(pattern, text, re.M)]
    helped = beginnings(r"^  (\d)  (.*)", HELP.text("--help"))
    assert helped == beginnings(r"^\*(\d)\*\n\t(.*)", section("EXIT STATUS"))
    assert [int(code) for code, _ in helped] == list(range(wmctl.FAILED + 1))
    assert f"ends with status {wmctl.USAGE}" in section("DESCRIPTION")


def test_every_default_stands_in_the_page():
    defaults = dict(re.findall(
        r"(--\w+) \w+=(\S+)", HELP.text("--help") + HELP.text("wait", "--help")
    ))
    assert defaults == {"--directory": "/dev/shm", "--timeout": "30"}
    assert "_/dev/shm_" in option("--directory")
    assert " 30 if not given" in option("--timeout")
    for name in ("*NO_COLOR*", "*TERM*", "_dumb_"):
        assert name in option("--no-color")


def test_every_word_stands_where_it_is_shown():
    of = {name: set(re.findall(r'"([\w-]+)"', words))
          for name, words in re.findall(
              r"constexpr std::array (\w+) = \{(.*?)\};",
              source("cpp/tools/words.cpp"), re.S)}
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
        assert [x for x in words if f"_{x}_" not in text] == []


def test_every_column_stands_where_it_is_shown(place, master):
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
    parts = re.split(r"^\*(\w+)\* prints", section("JSON"), flags=re.M)[1:]
    said = {name: set(re.findall(r"_([a-z_]+)_", what.replace("\\_", "_")))
            for name, what in zip(parts[::2], parts[1::2])}
    said["show"] |= said["list"]        # "as above"
    assert set(said) == COMMANDS - {"watch"}
    for command in said:
        more = ["--ready", "1"] if command == "wait" else []
        fields = keys(place.lines(command, *more))
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


def test_the_readmes_commands_are_understood(place, master):
    commands = re.findall(r"^    wmctl (\w.*?) +#", source("README.md"), re.M)
    assert {x.split()[0] for x in commands} == COMMANDS
    g = master.begin()
    for _ in range(4):
        master.worker(g)
    for x in [place.begin(*x.split()) for x in commands]:
        if "watch" in x.popen.args or "-f" in x.popen.args:
            x.until(lambda out: out, "output")
            x.signal("TERM")
        assert x.end()[0] in (wmctl.OK, -signal.SIGTERM)


def test_the_page_is_built_and_warns_of_nothing():
    if not shutil.which("scdoc"):
        pytest.skip("there is no scdoc")
    done = subprocess.run(["scdoc"], input=PAGE, capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    built = source(os.path.join(conf.BUILD, "cpp/wmctl.1"))
    assert built.split("\n.TH")[1] == done.stdout.split("\n.TH")[1]
