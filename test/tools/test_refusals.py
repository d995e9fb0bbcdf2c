# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""What may not be read or cannot be: why, and an exit status of its own."""

import os
import shlex
import socket
import subprocess

import pytest

from wmctl import DAMAGED, DENIED, FAILED, FOREIGN, NO_NODE, Command

# Where they lie is protocol.md's word.
ABI, CAPACITY, NAMESPACE = 8, 24, 32


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"not a segment" * 100])
def test_a_file_that_is_no_segment_is_damaged(place, data):
    name = place.stray(data)
    for command in ("show", "watch", "events"):
        line = place.refuses(DAMAGED, command, name)
        assert name in line and "remove the file" in line


def test_a_segment_cut_short_is_damaged(place):
    name = place.dead()
    os.truncate(place.path(name), 1000)
    assert "cut short" in place.refuses(DAMAGED, "show", name)


def test_a_segment_that_contradicts_itself_is_damaged(place, spoilt):
    name = spoilt(CAPACITY, 0)
    assert "contradicts itself" in place.refuses(DAMAGED, "show", name)


def test_a_segment_of_another_abi_is_foreign(place, spoilt):
    assert "restart the server" in place.refuses(FOREIGN, "show",
                                                 spoilt(ABI, 99))


def test_a_segment_of_another_pid_namespace_is_foreign(place, spoilt):
    assert "pid namespace" in place.refuses(FOREIGN, "show",
                                            spoilt(NAMESPACE, 1))


def test_a_segment_that_others_may_write_to_is_not_believed(place):
    place.node()
    (name,) = place.files()
    os.chmod(place.path(name), 0o666)
    assert "set its mode back" in place.refuses(DENIED, "show", "demo")


def test_another_users_segment_is_denied_and_the_line_says_whose_it_is(public):
    master = public.node()
    master.worker(master.begin())
    (name,) = public.files()
    for command in (["show"], ["show", "demo"], ["show", name], ["watch"],
                    ["events"], ["wait", "--ready", "1", "--timeout", "999"]):
        line = public.nobody.refuses(DENIED, *command)
        assert name in line and "root's, mode 0600" in line
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
    public.node(mode=0o644).begin()
    (name,) = public.files()
    follow = public.nobody.begin("--json", "events", "-f")
    follow.documents(1)
    os.chmod(public.path(name), 0o600)
    status, said = follow.end()
    assert status == DENIED and name in said
    assert len(follow.documents(1)) == 1


def test_without_descriptors_nobody_is_called_dead(place):
    """The directory takes all that are left."""
    place.node("blue")
    (name,) = place.files()
    few = Command("-c", 'ulimit -n 5; exec "$@"', "-", place.program,
                  *place.options, program="sh")
    for command in (["show", "blue"], ["show"], ["wait", "--ready", "1"],
                    ["events", "-f", name], ["watch"]):
        line = few.refuses(FAILED, *command)
        assert name in line and "too many open files" in line
    assert few.text("list").splitlines()[1].split()[:2] == [
        "blue", "unreadable"]
    (node,) = few.json("list")["nodes"]
    assert (node["status"], node["live"]) == (FAILED, False)
    assert node["error"] == line[len("wmctl: "):]
    kept(few, name, "too many open files")
    assert place.files() == [name]


def kept(command, name, reason, *args):
    """gc, and as if, refuses to unlink it."""
    for option in ("--dry-run", None):
        gc = (*(args or ("gc",)), *filter(None, [option]))
        done = command.run(*gc)
        (line,) = done.stdout.splitlines()
        assert line.startswith(f"{name}: kept, ") and reason in line
        assert (done.returncode, done.stderr) == (
            DENIED, "wmctl: had to keep 1 of 1 segments\n")
        (told,) = command.json(*gc, status=DENIED)["segments"]
        assert (told["action"], told["reason"]) == (
            "kept", line.partition("kept, ")[2])


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_another_users_dead_segment_is_not_unlinked(public, mode):
    os.chmod(public.directory, 0o777)
    name = public.dead()
    os.chmod(public.path(name), mode)
    kept(public.nobody, name, f"root's, mode 0{mode:o}; run wmctl as that user")
    assert public.files() == [name]


def test_in_a_directory_that_cannot_be_written_nothing_is_unlinked(public):
    """One's own segment in another's directory."""
    name = public.dead()
    os.chown(public.path(name), 65534, 65534)
    kept(public.nobody, name, "directory cannot be written; run wmctl as its")
    assert public.files() == [name]


def test_what_is_no_file_of_a_segment_is_not_unlinked(place):
    names = [f"wm.{x}.0123456789abcdef" for x in "abc"]
    os.mkdir(place.path(names[0]))
    os.symlink("/etc/passwd", place.path(names[1]))
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(place.path(names[2]))
    for name in names:
        kept(place, name, "no regular file", "gc", name)
    long = place.stray(b"", "long".ljust(127, "n"))
    kept(place, long, "name is too long", "gc", long)
    assert place.files() == [*names, long]


def test_each_that_had_to_stay_is_told_and_the_rest_goes(public):
    os.chmod(public.directory, 0o777)
    mine = [public.stray(b"", x) for x in ("a", "d")]
    for name in mine:
        os.chown(public.path(name), 65534, 65534)
    others = [public.stray(b"", x) for x in ("b", "c")]
    public.node("live", mode=0o644)
    done = public.nobody.run("gc")
    assert [x.split(",")[0] for x in done.stdout.splitlines()] == [
        f"{mine[0]}: unlinked", f"{others[0]}: kept", f"{others[1]}: kept",
        f"{mine[1]}: unlinked"]
    assert (done.returncode, done.stderr) == (
        DENIED, "wmctl: had to keep 2 of 5 segments\n")


def test_ones_own_unreadable_segment_is_not_called_anothers(public):
    os.chmod(public.directory, 0o777)
    name = public.stray(b"")
    os.chown(public.path(name), 65534, 65534)
    os.chmod(public.path(name), 0)
    kept(public.nobody, name, "it is nobody's, mode 0000)")


@pytest.mark.parametrize("args", [
    ("list",), ("--help",), ("wait", "--help"), ("--version",)])
def test_an_output_that_is_full_is_a_failure(place, args):
    with open("/dev/full", "wb") as full:
        running = place.begin(*args, output=full)
    status, said = running.end()
    assert status == FAILED and "No space left" in said


@pytest.mark.parametrize("args", [("list",), ("--help",)])
def test_an_output_that_is_closed_is_a_failure(place, args):
    command = shlex.join([place.program, *place.options, *args])
    done = subprocess.run(["sh", "-c", command + " >&-"], text=True,
                          stderr=subprocess.PIPE, check=False)
    assert done.returncode == FAILED and "cannot write" in done.stderr


def test_a_node_that_is_unlinked_meanwhile_is_none(place):
    master = place.node()
    master.release()
    place.refuses(NO_NODE, "show", "demo")
