# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Segments that may not or cannot be read: why, and each kind's exit status."""

import os
import re
import shlex
import subprocess

import pytest

import segment
from wmctl import DAMAGED, DENIED, FAILED, FOREIGN


def spoilt(offset, value):
    return lambda place: place.write(place.dead(), offset, value)


def cut_short(place):
    name = place.dead()
    os.truncate(place.path(name), 1000)
    return name


def stray(data):
    return lambda place: place.stray(data)


@pytest.mark.parametrize("make, status, words", [
    (stray(b""), DAMAGED, "remove the file"),
    (stray(b"\0" * 100), DAMAGED, "remove the file"),
    (stray(b"no segment" * 200), DAMAGED, "remove the file"),
    (cut_short, DAMAGED, "cut short"),
    (spoilt(segment.CAPACITY, 0), DAMAGED, "contradicts itself"),
    (spoilt(segment.ABI, 99), FOREIGN, "another ABI of libwm: restart the"),
    (spoilt(segment.INCOMPATIBLE, 1), FOREIGN, "another ABI of libwm: restart"),
    (spoilt(segment.NAMESPACE, 1), FOREIGN, "pid namespace"),
    (stray(segment.draft("stray", 0)), DAMAGED,
     "its header contradicts itself.*restart the server"),
    (stray(segment.draft("stray", 3)), FOREIGN,
     "another ABI of libwm: restart the server")],
    ids=["empty", "zeros", "text", "cut short", "contradiction", "ABI",
         "unknown feature", "pid namespace", "draft without generations",
         "draft"])
def test_what_cannot_be_read_says_why_and_goes(place, make, status, words):
    name = make(place)
    for command in ("show", "watch", "events"):
        line = place.refuses(status, command, name)
        assert name in line and re.search(words, line)
    assert place.text("gc") == f"{name}: unlinked\n"


def test_a_living_node_with_an_unknown_feature_is_listed_and_kept(place):
    """That it lives is known from its lock alone."""
    master = place.node()
    master.worker(master.begin())
    place.write(master.file, segment.INCOMPATIBLE, 1 << 31, 8)
    place.refuses(FOREIGN, "wait", "--ready", "1", master.file)
    (node,) = place.json("list")["nodes"]
    assert (node["live"], node["status"], node["count"]) == (
        True, FOREIGN, None)
    assert "another ABI" in node["error"]
    assert place.text("list").splitlines()[1].split()[:2] == [
        "demo", "foreign"]
    assert place.text("gc") == ""
    assert place.files() == [master.file]


def test_a_segment_that_others_may_write_to_is_not_believed(place, master):
    os.chmod(place.path(master.file), 0o666)
    assert "set its mode back" in place.refuses(DENIED, "show", "demo")


def test_another_users_segment_is_denied_and_the_line_says_whose_it_is(public):
    master = public.node()
    master.worker(master.begin())
    for command in (["show"], ["show", "demo"], ["show", master.file],
                    ["watch"], ["events"],
                    ["wait", "--ready", "1", "--timeout", "999"]):
        line = public.nobody.refuses(DENIED, *command)
        assert master.file in line and "root's, mode 0600" in line
        assert "as root" in line
    (node,) = public.nobody.json("list")["nodes"]
    assert node["status"] == DENIED and node["error"] == line[len("wmctl: "):]
    assert "denied" in public.nobody.text("list")


def test_roots_segment_is_read_by_whom_its_mode_allows(public):
    master = public.node(mode=0o644)
    master.worker(master.begin())
    shown = public.nobody.json("show")
    assert shown["live"] and shown["count"]["live"] == 1
    assert public.nobody.json("wait", "--ready", "1")["ready"]


def test_what_another_user_has_made_is_denied_also_where_it_can_be_read(
        public):
    name = public.dead()
    os.chmod(public.path(name), 0o644)
    os.chown(public.path(name), 1, 1)
    for command in ("show", "events"):
        assert name in public.nobody.refuses(DENIED, command, "demo")


def test_what_is_forbidden_while_it_is_followed_is_not_called_dead(public):
    master = public.node(mode=0o644)
    master.begin()
    follow = public.nobody.begin("--json", "events", "-f")
    follow.documents(1)
    os.chmod(public.path(master.file), 0o600)
    status, said = follow.end()
    assert status == DENIED and master.file in said
    assert len(follow.documents(1)) == 1


@pytest.mark.parametrize("args", [
    ("list",), ("--help",), ("wait", "--help"), ("--version",)])
def test_an_output_that_is_full_or_closed_is_a_failure(place, args):
    with open("/dev/full", "wb") as full:
        running = place.begin(*args, output=full)
    status, said = running.end()
    assert status == FAILED and "No space left" in said
    command = shlex.join([place.program, *place.options, *args])
    done = subprocess.run(["sh", "-c", command + " >&-"], text=True,
                          stderr=subprocess.PIPE, check=False)
    assert done.returncode == FAILED and "cannot write" in done.stderr
