# SPDX-License-Identifier: Apache-2.0
"""The man page says what the program does, all of it and nothing else; its
example is run beside a real nginx."""

import os
import re
import signal
import subprocess

import pytest

import conf
import proc
import wmctl
from conf import source

DEFAULT = wmctl.Command()     # of /dev/shm, where other nodes may be, too
PAGE = source("cpp/tools/wmctl.1.scd")


def section(name):
    return re.search(rf"^# {name}\n(.*?)(?=^# |\Z)", PAGE, re.M | re.S)[1]


COMMANDS = set(re.findall(r"^\*(\w+)\*", section("COMMANDS"), re.M))


def described(command):
    """The page's text about a command."""
    return re.search(rf"^\*{command}\*.*?(?=^\*|\Z)", section("COMMANDS"),
                     re.M | re.S)[0]


def options_of(text):
    """Pairs (short, long) that a part of the page describes."""
    return set(re.findall(r"^\t*(?:\*(-\w)\*, )?\*(--[\w-]+)\*", text, re.M))


COMMON = {("", "--json"), ("", "--directory"), ("", "--no-color")}


def options_in_help(*command):
    found = re.findall(r"^  (?:(-\w), ?)?(--[\w-]+)",
                       DEFAULT.text(*command, "--help"), re.M)
    return {x for x in found if x[1] != "--help"}


def test_every_option_and_command_of_the_help_stands_in_the_page():
    (commands,) = re.findall(r"^Commands:\n((?:  .*\n)+)",
                             DEFAULT.text("--help"), re.M)
    assert set(re.findall(r"^  (\w+)", commands, re.M)) == COMMANDS
    options = options_in_help()
    assert options | {("-h", "--help")} == options_of(section("OPTIONS"))
    assert COMMON < options and len(COMMANDS) >= 6


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_of_a_command_stands_where_it_is_described(command):
    options = options_in_help(command) - COMMON
    assert COMMON <= options_in_help(command)
    assert options == options_of(described(command))
    (line,) = [x for x in section("SYNOPSIS").replace("|\n", "| ").split("++")
               if f" *{command}*" in x]
    for short, long in options:
        assert f"*{short or long}*" in line


def test_every_exit_status_and_default_of_the_help_stands_in_the_page():
    """A status in the words with which its line begins."""
    def beginnings(pattern, text):
        return [(code, re.split("[.:;,]", what.replace("*", "").lower())[0])
                for code, what in re.findall(pattern, text, re.M)]
    helped = beginnings(r"^  (\d)  (.*)", DEFAULT.text("--help"))
    assert helped == beginnings(r"^\*(\d)\*\n\t(.*)", section("EXIT STATUS"))
    assert [int(code) for code, _ in helped] == list(range(wmctl.FAILED + 1))
    assert " DIR=/dev/shm " in DEFAULT.text("--help")
    for word in ("_/dev/shm_", "*NO_COLOR*", "*TERM*", "_dumb_"):
        assert word in section("OPTIONS")
    assert " S=30 " in DEFAULT.text("wait", "--help")
    assert " 30 if not given" in described("wait")


def test_every_word_stands_where_it_is_shown():
    of = {}
    for prefix, word in re.findall(
            r'\[WM_(LOG|PURPOSE|ROLE|(?=[A-Z]+\]))\w+[^\]]*\] = "([\w-]+)"',
            source("libwm/result.c")):
        of.setdefault(prefix, set()).add(word)
    shown = {
        described("list"): {"live", "post-mortem", "denied", "damaged",
                            "foreign", "unreadable"},
        described("show"): (of[""] - {"free", "claimed"}) | of["ROLE"] |
        of["PURPOSE"] | {"gone", "leader", "lock"},
        described("events"): of["LOG"],
        section("JSON"): {
            "claimed", "begun", "active", "exited", "aborted", "forgotten",
            "start", "reload", "upgrade", "none",
            "unlinked", "would be unlinked", "kept", "in use"},
    }
    for text, words in shown.items():
        assert [x for x in words if f"_{x}_" not in text] == []


@pytest.mark.parametrize("command, columns", [
    ("list", "#INSTANCE STATE CURRENT JOIN LIVE STALL DRAIN CRASH GONE"),
    ("show", "#PID SLOT STATE ROLE AGE BEAT STALLS MARKS NOTE"),
    ("events", "#TIME EVENT GEN PID SLOT VALUE END")])
def test_every_row_has_the_headings_columns_and_80_and_the_page_has_them(
        place, master, command, columns):
    for _ in range(2):
        master.worker(master.begin())
    lines = place.text(command).splitlines()
    assert max(map(len, lines)) <= 80
    heading = [x for x in lines if re.match("#[A-Z]", x)]
    assert [x.split() for x in heading] == [columns.split()]
    assert {len(x.split()) for x in lines if not x.startswith("#")} == {
        len(columns.split())}
    for column in columns[1:].split():
        assert re.search(rf"\b{column}\b", described(command)), column


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
        fields = set(re.findall(r'"(\w+)":',
                                place.text("--json", command, *more)))
        assert fields and fields <= said[command], command


def test_the_example_as_rendered_reloads_a_server_and_waits_for_it(make):
    n = make(workers=4, opts={"name": conf.own("test-wmctl")}).start()
    (instance,) = n.instances
    page = proc.run("groff", "-man", "-Tascii", "-P-cbou",
                    f"{conf.BUILD}/cpp/wmctl.1")
    (script,) = re.findall(r"(?:^ {11}.*\n)+", re.split(
        "\n(?:EXAMPLES|SEE ALSO)\n", page)[1], re.M)
    assert PAGE.count("```") == 2, "there are others, which nobody runs"
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
