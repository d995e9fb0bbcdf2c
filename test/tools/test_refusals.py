# SPDX-License-Identifier: Apache-2.0
"""Segments that may not or cannot be read: why, and each kind's exit status.
Those that hold any bytes, also changing ones. A look that never settles: wmctl
says so, and gives the last one. gc: what nobody takes part in goes, and nothing
else; what had to stay is told."""

import glob
import json
import os
import random
import re
import shlex
import stat
import struct
import threading
import time

import pytest

import conf
import segment
from wmctl import DAMAGED, DENIED, FAILED, FOREIGN, NO_NODE, OK, Command

CONSTANTS = 192             # bytes at the beginning of a segment


def spoilt(offset, value):
    return lambda place: place.write(place.dead(), offset, value)


def cut_short(place):
    name = place.dead()
    os.truncate(place.path(name), 1000)
    return name


@pytest.mark.parametrize("make, status, words", [
    (lambda place: place.stray(b""), DAMAGED, "remove the file"),
    (lambda place: place.stray(b"no" * 999), DAMAGED, "remove the file"),
    (cut_short, DAMAGED, "cut short"),
    (spoilt(segment.CAPACITY, 0), DAMAGED,
     "its header contradicts itself.*restart the server"),
    (spoilt(segment.ABI, 99), FOREIGN, "another ABI of libwm: restart the"),
    (spoilt(segment.INCOMPATIBLE, 1), FOREIGN, "ABI of libwm: restart")],
    ids=["empty", "text", "cut short", "contradiction", "ABI",
         "unknown feature"])
def test_what_cannot_be_read_says_why_and_goes(place, make, status, words):
    name = make(place)
    for command in ("show", "watch", "events"):
        line = place.refuses(status, command, name)
        assert name in line and re.search(words, line)
    (node,) = place.json("list")["nodes"]
    assert node["status"] == status and re.search(words, node["error"])
    assert node["count"] is node["settled"] is None
    state = "damaged" if status == DAMAGED else "foreign"
    assert place.text("list", "-l").splitlines()[1].split() == [
        node["instance"], state, *"-------", name]
    assert place.text("gc") == f"{name}: unlinked\n"


@pytest.mark.parametrize("where, words", [
    (segment.INCOMPATIBLE, "another ABI"), (segment.NAMESPACE, "another pid")])
def test_a_living_node_that_cannot_be_read_is_listed_and_kept(
        place, where, words):
    """That it lives is known from its lock alone."""
    master = place.node()
    master.worker(master.begin())
    place.write(master.file, where, 1 << 31, 8)
    place.refuses(FOREIGN, "wait", "--ready", "1", master.file)
    (node,) = place.json("list")["nodes"]
    assert (node["live"], node["status"], node["count"]) == (
        True, FOREIGN, None)
    assert words in node["error"]
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
    # Nor is what a third user has made believed where it can be read.
    os.chmod(public.path(master.file), 0o644)
    os.chown(public.path(master.file), 1, 1)
    assert master.file in public.nobody.refuses(NO_NODE, "show", "demo")


@pytest.mark.parametrize("name", ["demo", "99999999"])      # it is no pid
def test_ones_own_dead_life_comes_before_a_strangers_live_one(place, root,
                                                              name):
    live = place.node(name).file
    os.chown(place.path(live), 65534, 65534)
    for command in ["show"], ["gc"], ["wait", "--ready", "1", "--timeout", "0"]:
        assert live in place.refuses(NO_NODE, *command, name)
    other = place.node(name + "-blue")      # begins so, and is one's own
    assert place.json("show", name)["file"] == other.file
    other.release()
    dead = place.dead(name)
    assert place.json("show", name)["file"] == dead
    assert place.json("show")["file"] == live, "dead ones are not asked for"


def test_what_is_forbidden_while_it_is_followed_is_not_called_dead(public):
    master = public.node(mode=0o644)
    master.begin()
    follow = public.nobody.begin("--json", "events", "-f")
    follow.documents(1)
    os.chmod(public.path(master.file), 0o600)
    status, said = follow.end()
    assert status == DENIED and master.file in said
    assert len(follow.documents(1)) == 1


@pytest.mark.parametrize("output, why", [
    (">/dev/full", "No space left"), (">&-", "cannot write")])
@pytest.mark.parametrize("args", [
    ("list",), ("--help",), ("wait", "--help"), ("--version",)])
def test_an_output_that_is_full_or_closed_is_a_failure(place, args, output,
                                                       why):
    command = shlex.join([place.program, *place.options, *args])
    line = Command("-c", f"{command} {output}", program="sh").refuses(FAILED)
    assert why in line


def mutations(place, chance):
    """Segments without end, each of a seed of the fuzz target with some words
    changed, seldom in its constants, which are those of a node of the seeds'
    geometry."""
    node = place.node(capacity=4, log_entries=4)
    with open(place.path(node.file), "rb") as f:
        constants = f.read(CONSTANTS)
    node.release()
    seeds = sorted(glob.glob(os.path.join(conf.ROOT, "test/fuzz/seeds/*")))
    while True:
        with open(chance.choice(seeds), "rb") as f:
            data = bytearray(constants + f.read()[8 + CONSTANTS:])
        for _ in range(chance.choice((0, 1, 10, 400))):
            first = 0 if chance.random() < 0.002 else CONSTANTS
            at = chance.randrange(first, len(data) - 7) & ~7
            value = chance.choice((0, (1 << 64) - 1, chance.getrandbits(64)))
            struct.pack_into("<Q", data, at, value)
        yield bytes(data)


def test_wmctl_answers_while_the_bytes_change(place):
    seed = int(os.environ.get("WM_SEED", random.randrange(1, 1 << 30)))
    print(f"WM_SEED={seed}")
    chance = random.Random(seed)
    segments = mutations(place, chance)
    name = place.stray(next(segments), "demo")
    ended = threading.Event()
    answers = set()

    def scribble():
        with open(place.path(name), "r+b", buffering=0) as f:
            while not ended.is_set():
                data = next(segments)
                at = chance.choice((CONSTANTS, chance.randrange(len(data))))
                f.seek(at)
                f.write(data[at:])

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        for command in 60 * (["--json", "show"], ["show", "--all"],
                             ["events"], ["--json", "events"]):
            done = place.run(*command, name)
            answers.add(done.returncode)
            assert len(done.stdout) < 1 << 20
            if "--json" in command:
                list(map(json.loads, done.stdout.splitlines()))
    finally:
        ended.set()
        writer.join()
    assert answers <= {OK, DENIED, DAMAGED, FOREIGN}
    assert OK in answers, "nothing but refusals"


@pytest.fixture
def busy(place, master):
    """wmctl for a node whose snapshots and log never settle."""
    master.worker(master.begin())
    command = Command(*place.options, LD_PRELOAD=os.path.join(
        conf.BUILD, "cpp/libtest-unsettled.so"))
    command.remark = (f"# unsettled: {master.file} kept changing while it was "
                      "looked at")
    return command


def remarks(text):
    return [x for x in text.splitlines() if x.startswith("# unsettled: ")]


@pytest.mark.parametrize("command", ["list", "show"])
def test_an_unsettled_look_says_so(busy, place, command):
    text = busy.text(command)
    assert remarks(text) == [busy.remark]
    assert remarks(place.text(command)) == []
    assert len([x for x in text.splitlines() if not x.startswith("#")]) == 1
    document, settled = busy.json(command), place.json(command)
    if command == "list":
        (document,), (settled,) = document["nodes"], settled["nodes"]
    assert document["settled"] is False
    assert settled["settled"] is True
    assert document.keys() == settled.keys()
    assert document["count"] == settled["count"]
    watch = busy.begin("--json", "watch")       # says so each time
    assert {x["settled"] for x in watch.documents(2)} == {False}


def test_an_unsettled_log_says_so_after_what_it_has(busy, place):
    text = busy.text("events")
    last = text.splitlines()[-1]
    assert remarks(text) == [last] and "still being written" in last
    *entries, end = busy.lines("events")
    assert end == {"settled": False}
    assert entries == place.lines("events") != []


def test_a_wait_believes_an_unsettled_look_when_its_time_is_over(busy):
    wait = ["wait", "--ready", "1", "--timeout"]
    answer = busy.json(*wait, "0")
    assert (answer["ready"], answer["settled"]) == (True, False)
    assert remarks(busy.text(*wait, "0")) == [busy.remark]
    began = time.monotonic()
    assert busy.json(*wait, "0.5")["settled"] is False
    assert time.monotonic() - began >= 0.5


def test_the_dead_go_and_the_living_stay(place, library):
    """A dry run says which, and leaves them. A node lives with its master."""
    dead = [place.dead(x, library=library) for x in "ab"]
    live = place.node("live", library)
    live.worker(live.begin()).kill()
    before = place.files()
    for args, action in (["--dry-run"], "would be unlinked"), ([], "unlinked"):
        assert place.files() == before
        assert place.text("gc", "--dry-run") == "".join(
            f"{x}: would be unlinked\n" for x in dead)
        answer = place.json("gc", *args)
        assert answer["dry_run"] == bool(args)
        assert {x["file"]: (x["action"], x["reason"])
                for x in answer["segments"]} == {
            **dict.fromkeys(dead, (action, None)),
            live.file: ("kept", "in use")}
    assert place.files() == [live.file]
    assert place.text("gc") == ""


def test_only_the_node_that_is_named_goes(place):
    a, b = place.dead("a"), place.dead("b")
    place.text("gc", "a")
    assert place.files() == [b]
    place.text("gc", b)
    assert place.files() == []
    assert "a" in place.refuses(NO_NODE, "gc", a)


def kept(command, name, reason, *args):
    """gc, and as if, refuses to unlink it."""
    for gc in (["gc", *args, "--dry-run"], ["gc", *args]):
        done = command.run(*gc)
        (line,) = done.stdout.splitlines()
        assert line.startswith(f"{name}: kept, ") and reason in line
        assert (done.returncode, done.stderr) == (
            DENIED, "wmctl: had to keep 1 of 1 segments\n")
        (segment,) = command.json(*gc, status=DENIED)["segments"]
        assert (segment["action"], segment["reason"]) == (
            "kept", line.partition("kept, ")[2])


@pytest.mark.parametrize("directory, owner, mode, reason", [
    (0o777, 0, 0o600, "root's, mode 0600; run wmctl as that user"),
    (0o777, 0, 0o644, "root's, mode 0644; run wmctl as that user"),
    (0o755, 65534, 0o600, "directory cannot be written; run wmctl as its"),
    (0o777, 65534, 0, "it is nobody's, mode 0000)")])
def test_what_may_not_be_unlinked_is_kept(public, directory, owner, mode,
                                          reason):
    """Another's; one's own in another's directory, or that one may not read."""
    name = public.dead()
    os.chmod(public.directory, directory)
    os.chown(public.path(name), owner, owner)
    os.chmod(public.path(name), mode)
    kept(public.nobody, name, reason)
    assert public.files() == [name]


def test_what_is_no_file_of_a_segment_is_not_unlinked(place):
    names = [f"wm.{x}.0123456789abcdef" for x in "abc"]
    os.mkdir(place.path(names[0]))
    os.symlink("/etc/passwd", place.path(names[1]))
    os.mknod(place.path(names[2]), stat.S_IFSOCK | 0o600)
    for name in names:
        kept(place, name, "no regular file", name)
    long = place.stray(b"", "long".ljust(127, "n"))
    kept(place, long, "name is too long", long)
    assert place.files() == [*names, long]


def test_each_that_had_to_stay_is_told_and_the_rest_goes(public):
    os.chmod(public.directory, 0o777)
    mine, others = ([public.stray(b"", x) for x in names]
                    for names in ("ad", "bc"))
    for name in mine:
        os.chown(public.path(name), 65534, 65534)
    public.node("live", mode=0o644)
    done = public.nobody.run("gc")
    assert [x.split(",")[0] for x in done.stdout.splitlines()] == [
        f"{mine[0]}: unlinked", f"{others[0]}: kept", f"{others[1]}: kept",
        f"{mine[1]}: unlinked"]
    assert (done.returncode, done.stderr) == (
        DENIED, "wmctl: had to keep 2 of 5 segments\n")


def test_without_descriptors_nobody_is_called_dead(place):
    """The directory takes all that are left."""
    name = place.node("blue").file
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
