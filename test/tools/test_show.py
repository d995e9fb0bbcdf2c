# SPDX-License-Identifier: Apache-2.0
"""show: generations and workers as they are, and which node is meant. list:
every node of the directory, whatever state it is in."""

import fcntl
import os
import re

import pytest

import segment
from processes import WM_CLOSED
from proc import gone, title, wait
from wmctl import DAMAGED, NO_NODE, NOT_READY, OK, ONCE, USAGE


def workers(shown):
    return {w["pid"]: w for g in shown["generations"] for w in g["workers"]}


def generations(place):
    """All of them; one is the current one."""
    shown = place.json("show")
    assert [g["id"] for g in shown["generations"] if g["current"]] == [
        shown["current"]]
    return [(g["id"], g["state"]) for g in shown["generations"]]


def rows(text):
    return [x.split() for x in text.splitlines() if not x.startswith("#")]


def states(text):
    return [(int(r[0]), r[2]) for r in rows(text)]


def test_the_current_generation_is_first_and_old_ones_are_below(place, master):
    old = master.worker(master.begin())
    assert master.begin() == 2
    assert generations(place) == [(2, "begun"), (1, "active")]
    assert [(g["master"], g["reason"])
            for g in place.json("show")["generations"]] == [
        (master.pid, "reload"), (master.pid, "start")]
    assert workers(place.json("show"))[old.pid]["state"] == "live"
    new = master.worker(2)
    assert generations(place) == [(2, "active"), (1, "active")]
    text = place.text("show")
    assert re.findall(r"^# (?:old )?generation \d", text, re.M) == [
        "# generation 2", "# old generation 1"]
    assert states(text) == [(new.pid, "live"), (old.pid, "leaving")]
    old.drain()
    text = place.text("show")
    assert states(text) == [(new.pid, "live"), (old.pid, "draining")]
    assert f"master {master.pid}" in text
    master.worker(master.begin()).kill()    # so nobody replaces the second
    assert (new.pid, "live") in states(place.text("show"))


def test_workers_that_outlive_their_master_are_shown_as_orphaned(place):
    """They serve on, and nobody starts any for those that die."""
    master = place.node()
    worker = master.worker(master.begin())
    assert not place.json("show")["generations"][0]["orphaned"]
    master.kill()
    assert place.json("show")["generations"][0]["orphaned"]
    assert place.json("wait", "--ready", "1", *ONCE)["orphaned"]
    assert place.text("wait", "--ready", "1", *ONCE) == (
        "1 of 1 workers are live in generation 1, whose master has ended\n")
    text = place.text("show")
    assert f"master {master.pid}, which has ended, age" in text
    assert states(text) == [(worker.pid, "live")]


def test_each_state_has_its_word(place, master):
    """A helper is shown, and counted nowhere. One that hangs is stalled, though
    nobody has swept."""
    g = master.begin()
    helper = master.worker(g, role=1)
    live, stalled, draining, crashed, joining, drained = [
        master.fork() for _ in range(6)]
    for worker in (live, draining, crashed, drained):
        assert worker.live(g) == 0
    assert stalled.live(g, overdue_ms=1) == 0
    assert joining.join(g) == 0
    assert draining.drain() == 0
    assert drained.drain() == 0
    crashed.kill()
    drained.kill()
    wait(lambda: workers(place.json("show"))[stalled.pid]["state"] == "stalled",
         "the beat to be overdue")
    place.json("wait", "--ready", "2", *ONCE, status=NOT_READY)
    assert master.sweep() > 0
    shown = place.json("show")
    expected = {live.pid: "live", stalled.pid: "stalled",
                draining.pid: "draining", crashed.pid: "crashed",
                drained.pid: "crashed",
                joining.pid: "joining", helper.pid: "live"}
    assert {p: w["state"] for p, w in workers(shown).items()} == expected
    assert shown["count"] == {"joining": 1, "live": 1, "stalled": 1,
                              "draining": 1, "crashed": 2, "gone": 0}
    assert [p for p, w in workers(shown).items() if w["was_draining"]] == [
        drained.pid]
    assert {p for p, w in workers(shown).items() if w["role"] == "helper"} == {
        helper.pid}
    assert shown["generations"][0]["crashes"] == 1
    assert place.json("wait", "--ready", "1", *ONCE)["live"] == 1
    text = place.text("show")
    assert "crashes 1" in text
    assert re.search(rf"^{drained.pid} .* crashed .* draining +-$", text, re.M)
    assert dict(states(text)) == expected


def test_a_note_is_shown_and_moves_no_cursor(place, master):
    """Also after the death of its worker; of one that drains, since when."""
    worker, other = (master.worker(master.begin()) for _ in range(2))
    assert worker.note(b"GET /a\x1b[2J\xff b") == 0 and other.drain() == 0
    seen = workers(place.json("show"))
    assert seen[worker.pid]["note"] == "GET /a\x1b[2J\ufffd b"
    assert (seen[other.pid]["note"], seen[worker.pid]["drained_ms"]) == (
        None, None)
    assert seen[other.pid]["drained_ms"] >= 0
    worker.kill()
    for _ in range(2):
        assert re.search(rf"^{worker.pid} .* - +GET /a\?\[2J\? b$",
                         place.text("show"), re.M)
        master.sweep()


def test_a_killed_worker_is_gone_before_anybody_has_swept(place, master):
    """Also while it is a zombie, which its master has not reaped."""
    worker = master.worker(master.begin())
    assert not workers(place.json("show"))[worker.pid]["gone"]
    worker.kill()
    for act in (lambda: None, lambda: master.reap(worker.pid)):
        act()
        shown = place.json("show")
        seen = workers(shown)[worker.pid]
        assert (seen["state"], seen["gone"]) == ("gone", True)
        assert (shown["count"]["live"], shown["count"]["gone"]) == (0, 1)
        place.json("wait", "--ready", "1", *ONCE, status=NOT_READY)
        assert rows(place.text("show"))[0][2] == "gone"


def test_a_worker_of_a_forgotten_generation_or_unknown_role_is_shown(place):
    """Its generation's record was used anew since it was read."""
    name = place.write(place.dead(), segment.RECORDS + 8, 99)
    (forgotten,) = [g for g in place.json("show", name)["generations"]
                    if g["workers"]]
    assert (forgotten["id"], forgotten["state"], forgotten["reason"],
            forgotten["master"], forgotten["current"]) == (
        99, "forgotten", "none", None, False)
    assert "# other generation 99: forgotten\n" in place.text("show", name)
    # A newer library may give a number that has no word.
    for role, word in (1, "helper"), (2, "?"), (2**32 - 1, "?"):
        place.write(name, segment.RECORDS + 24, role)
        assert rows(place.text("show", name))[0][3] == word


def test_of_a_dead_node_everybody_is_gone(place, master):
    """Also if the pid is in use. It may be another's by now; one that execs is
    as good: while its node lives it is stalled, and keeps the lock."""
    g = master.begin()
    killed, worker = master.worker(g, overdue_ms=1), master.worker(g)
    assert worker.lock(purpose=0) == 0
    for each in worker, killed:
        each.become("sleep", "600")
        wait(lambda: title(each.pid) == "sleep 600", "the program")
    wait(lambda: workers(place.json("show"))[killed.pid]["state"] == "stalled",
         "its beat to be overdue")
    assert workers(place.json("show"))[worker.pid]["lock"]
    killed.kill()
    master.kill()
    wait(lambda: not place.json("show", "demo")["live"], "the node's end")
    shown = place.json("show", "demo")
    assert not gone(worker.pid)
    assert {p: (w["state"], w["gone"]) for p, w in workers(shown).items()} == {
        killed.pid: ("gone", True), worker.pid: ("gone", True)}
    assert shown["count"]["gone"] == 2 and shown["lock"]["gone"]
    assert "post-mortem" in place.text("show", "demo")


@pytest.mark.parametrize("purpose, name", [
    (7, None), (1, None), (0x10003, "worker-exit")])
def test_the_locks_holder_is_named_with_its_purpose(place, master, purpose,
                                                    name):
    worker = master.worker(master.begin())
    assert place.json("show")["lock"] is None
    assert "# lock: free\n" in place.text("show")
    assert worker.lock(purpose=purpose) == 0
    shown = place.json("show")
    assert workers(shown)[worker.pid]["lock"]
    assert (shown["lock"]["pid"], shown["lock"]["purpose"],
            shown["lock"]["purpose_name"], shown["lock"]["generation"],
            shown["lock"]["gone"]) == (worker.pid, purpose, name, 1, False)
    text = place.text("show")
    assert f"# lock: held by {worker.pid} of generation 1" in text
    assert rows(text)[0][7] == "lock"
    wait(lambda: place.json("show")["lock"]["held_ms"] > 50, "a long time")
    for killed in (worker, master):             # then it is post-mortem
        killed.kill()
        assert place.json("show", "demo")["lock"]["gone"]
        text = place.text("show", "demo")
        assert f"purpose {name or purpose}, which is gone" in text
        assert rows(text)[0][7] == "-"


def test_the_leader_is_named(place, master):
    worker = master.worker(master.begin())
    assert place.json("show")["leader"] is None
    assert "# leader: nobody\n" in place.text("show")
    assert worker.lead() == 1
    assert workers(place.json("show"))[worker.pid]["leader"]
    assert rows(place.text("show"))[0][7] == "leader"
    heirs = [master.worker(1) for _ in range(2)]
    for slot, term, leader in ((0, 1, worker), (2, 2, heirs[1])):
        assert place.json("show")["leader"] == {
            "pid": leader.pid, "generation": 1, "slot": slot, "term": term}
        assert (f"# leader: {leader.pid} of generation 1, term {term}\n"
                in place.text("show"))
        worker.drain()
        assert heirs[1].lead() == 1


def test_generations_without_workers_are_shown_when_all_are_asked_for(place,
                                                                      master):
    """Without any that has begun, the last that has exited is current."""
    for g in 1, 2:
        master.worker(master.begin()).leave()
        assert master.close(g) == WM_CLOSED
    assert master.abandon(master.begin()) == WM_CLOSED
    assert generations(place) == [(2, "gone"), (3, "aborted"), (1, "gone")]
    assert "# other generation 3: aborted" in place.text("show", "-a")
    master.worker(master.begin())
    assert [g for g, _ in generations(place)] == [4, 3, 2, 1]
    assert "old generation" not in place.text("show")
    assert re.findall(r"(old|other) generation (\d): (\w+)",
                      place.text("show", "--all")) == [
        ("other", "3", "aborted"), ("old", "2", "gone"), ("old", "1", "gone")]


def test_without_a_segment_there_is_a_heading_and_no_row(place):
    for others in ((), ("wm.", "wm.a", "wm.a.0123", "other")):
        for name in others:
            os.mknod(place.path(name))
        assert place.text("list").startswith("#INSTANCE ")
        assert rows(place.text("list")) == []
        assert place.json("list") == {"directory": place.directory,
                                      "nodes": []}


def test_live_and_dead_nodes_are_listed_with_their_counts(place, library):
    """However long their names, and also without a generation."""
    long = "long".ljust(63, "n")
    idle = place.node(long, library)
    dead = place.dead("old", workers=3, library=library)
    master = place.node("new", library)
    g = master.begin()
    _, draining = [master.worker(g) for _ in range(2)]
    joining = [master.fork() for _ in range(4)]
    assert {x.join(g) for x in joining} == {0}
    assert draining.drain() == 0
    assert rows(place.text("list", "-l")) == [
        [long, "live", "-", *"000000", idle.file],
        ["new", "live", "1", "4", "1", "0", "1", "0", "0", master.file],
        ["old", "post-mortem", "1", "0", "0", "0", "0", "0", "3", dead]]
    nodes = place.json("list")["nodes"]
    assert [(x["file"], x["instance"], x["live"], x["current"], x["status"])
            for x in nodes] == [(idle.file, long, True, None, OK),
                                (master.file, "new", True, 1, OK),
                                (dead, "old", False, 1, OK)]
    assert nodes[2]["count"]["gone"] == 3


def test_a_file_name_cannot_move_the_cursor(place):
    """Anybody may make a file in /dev/shm."""
    name = place.stray(b"", "a\033[2J\nb\udcff\x7f\x9b")
    text = place.text("list", "--long")
    assert "a?[2J?b????.0123456789abcdef\n" in text
    assert len(text.splitlines()) == 2
    (node,) = place.json("list")["nodes"]
    assert node["file"].startswith("wm.a\033[2J\nb\ufffd\x7f\x9b")
    assert node["error"].isprintable()
    assert place.text("--json", "list").strip().isprintable()
    assert "a?[2J?b" in place.refuses(DAMAGED, "show", name)
    assert "a?[2J?b" in place.text("gc")


def test_a_live_nodes_file_name_cannot_move_the_cursor(place, master):
    """A user who may write a whole segment may call it anything."""
    name = f"wm.a\033]0;owned\007\033[31m\nfake.{'0123456789abcdef'}"
    os.rename(place.path(master.file), place.path(name))
    seen = name.translate(dict.fromkeys(range(32), "?"))
    heading = f"# node {seen[3:-17]}: live, {seen}\n"
    assert place.text("show").startswith(heading)
    watch = place.begin("watch", "--no-color", terminal=(24, 200))
    watch.until(lambda out: heading.replace("\n", "\033[0m\r\n") in out,
                "the heading")
    watch.stop()
    assert "\033]" not in watch.output and "\033[31m" not in watch.output


def test_of_several_one_must_be_named(place):
    a, _, _ = [place.node(name) for name in "abb"]
    for command in (["show"], ["wait", "--ready", "1"]):
        assert place.refuses(USAGE, *command).endswith(" name one of a, b")
    assert place.json("show", "a")["file"] == a.file


def test_a_node_is_found_by_a_pid_or_to_look_by_its_beginning(place, master):
    """A script that waits might get another node than it means. A node that is
    called so comes first."""
    worker = master.worker(master.begin())
    other = place.node("demo-2")
    for name, file in (master.pid, master.file), (worker.pid, master.file), (
            "demo-", other.file), ("demo", master.file):
        assert place.json("show", str(name))["file"] == file
    pid = str(worker.pid)
    for command in ["gc"], ["wait", "--ready", "1", *ONCE]:
        assert master.file in place.text("--json", *command, pid)
        line = place.refuses(NO_NODE, *command, "demo-")
        assert "there are: demo, demo-2; see wmctl list" in line
    assert " one of demo, demo-2" in place.refuses(USAGE, "events", "de")
    assert place.refuses(NO_NODE, "show", "1").startswith("wmctl: no node 1 ")
    called = place.node(pid)
    assert place.json("show", pid)["file"] == called.file


def test_a_locked_file_that_is_no_segment_hides_no_node(place):
    """Anybody may make one."""
    master = place.node("blue")
    worker = master.worker(master.begin())
    with open(place.path(place.stray(b"", "blue")), "rb") as f:
        fcntl.flock(f, fcntl.LOCK_SH)
        for named in ([], ["blue"]):
            assert place.json("show", *named)["count"]["live"] == 1
            assert place.json("wait", "--ready", "1", *named)["ready"]
            assert place.lines("events", *named)
            watch = place.begin("watch", *named)
            watch.until(lambda out: f"{worker.pid} " in out, "the worker")


def test_a_live_node_comes_before_a_dead_one_and_that_before_other_files(place):
    dead = place.dead("blue")
    place.stray(b"", "blue")
    assert place.json("show", "blue")["file"] == dead
    live = place.node("other")
    assert place.json("show")["file"] == live.file
    # A new node tidies up what is of its name, so a dead one comes later.
    with open(place.path(dead), "rb") as f:
        place.stray(f.read(), "other")
    assert place.json("show", "other")["file"] == live.file


@pytest.mark.parametrize("args, words", [
    *((x, "; see wmctl list --directory /")
      for x in ("", "demo", "wm.demo.0123456789abcdef")),
    *((f"--directory {x}", f"{x}: {why}; see --directory")
      for x, why in (("/not/there", "No such file or directory"),
                     ("/etc/passwd", "Not a directory")))])
def test_no_node_and_no_directory_are_said_so(place, args, words):
    place.node().release()
    for command in ("show", "watch", "events"):
        assert words in place.refuses(NO_NODE, command, *args.split())


@pytest.mark.parametrize("args, words", [
    ("", "name a command; see wmctl --help"),
    ("--json help", "help is no command; wmctl --help lists them"),
    *((f"{x} a", f"{x} is no command, but {near} is; wmctl --help lists them")
      for x, near in (("shwo", "show"), ("event", "events"), ("GC", "gc"))),
    ("-f a", "-f is no option; see wmctl --help"),
    ("show --jsn", "--jsn is no option, but --json is; see wmctl show --help"),
    ("wait --redy 4", "--redy is no option, but --ready is; see wmctl wait"),
    ("show --no\033[2J", "--no?[2J is no option; see wmctl show --help"),
    ("show a b", "b is one argument too many; see wmctl show --help"),
    ("show ", "NODE: it is empty; see wmctl show --help"),
    ("list --directory ", "--directory: it is empty; see wmctl list --help"),
    ("wait", "--ready is required; see wmctl wait --help"),
    ("wait --ready 1 --generation 1 --newer-than 1", "excludes"),
    ("events --event worker-lost", "but worker-left is; see wmctl events"),
    *((f"events --since {x}", f'"{x}" is no time and no duration') for x in (
        "1x", "1h2", "-1s", "infs", "h", "25:00", "9:30x", "2031-05-17T9")),
    *((f"{x} /etc/passwd", "/etc/passwd is a path; name a node, or a file")
      for x in ("show", "watch", "events", "gc", "wait --ready 1"))])
def test_wrong_usage_says_what_is_wrong_and_names_the_help(place, args, words):
    line = place.refuses(USAGE, *args.split(" ") if args else ())
    assert words in line and " --help" in line and "subcommand" not in line


@pytest.mark.parametrize("option, numbers", [
    ("--ready", ["0", "65536"]),
    ("--timeout", ["-0.1", "1000001", "nan", "inf"]),
    ("--generation", ["0", "old", str(2**64)]),
    ("--newer-than", ["current", str(2**64)])])
def test_what_is_no_number_of_an_option_is_wrong_usage(place, master, option,
                                                       numbers):
    """An empty one comes from a script whose last command has failed."""
    for number in (*numbers, "", "-1", "+1", " 1", "1 ", "0x2", "1,5", "x"):
        line = place.refuses(
            USAGE, "wait", *(["--ready", "1"] if option != "--ready" else []),
            option, number)
        assert option in line and f'"{number}"' in line
    # It is of base 10, whatever it begins with.
    assert place.json("wait", "--ready", "010", "--timeout", "00",
                      status=NOT_READY)["wanted"] == 10
