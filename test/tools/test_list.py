# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""list: every node of the directory, whatever state it is in."""

import os

import wmctl


def rows(place):
    return [x.split() for x in place.text("list").splitlines()[1:]]


def test_without_a_segment_there_is_a_heading_and_no_row(place):
    for others in ((), ("wm.", "wm.a", "wm.a.0123", "other")):
        for name in others:
            with open(place.path(name), "wb"):
                pass
        assert place.text("list").startswith("#INSTANCE ")
        assert rows(place) == []
        assert place.json("list") == {"directory": place.directory,
                                      "nodes": []}


def test_live_and_dead_nodes_are_listed_with_their_counts(place, library):
    dead = place.dead("old", workers=3, library=library)
    master = place.node("new", library)
    g = master.begin()
    _, draining = [master.worker(g) for _ in range(2)]
    joining = [master.fork() for _ in range(4)]
    assert {x.join(g) for x in joining} == {0}
    assert draining.drain() == 0
    assert rows(place) == [
        ["new", "live", "1", "4", "1", "0", "1", "0", "0", master.file],
        ["old", "post-mortem", "1", "0", "0", "0", "0", "0", "3", dead]]
    new, old = place.json("list")["nodes"]
    assert (new["live"], old["live"]) == (True, False)
    assert (new["file"], new["instance"], new["current"]) == (
        master.file, "new", 1)
    assert old["count"]["gone"] == 3 and old["status"] == wmctl.OK


def test_what_cannot_be_read_is_a_row_that_says_so(place):
    name = place.stray(b"not a segment" * 100)
    assert rows(place) == [["stray", "damaged", *"-------", name]]
    (node,) = place.json("list")["nodes"]
    assert node["status"] == wmctl.DAMAGED and "no segment" in node["error"]
    assert node["count"] is node["settled"] is None


def test_a_node_without_generations_is_listed_however_long_its_name(place):
    instance = "long".ljust(63, "n")
    master = place.node(instance)
    assert rows(place) == [[instance, "live", "-", *"000000", master.file]]
    assert place.json("list")["nodes"][0]["current"] is None


def test_a_file_name_cannot_move_the_cursor(place):
    """Anybody may make a file in /dev/shm."""
    name = place.stray(b"", "a\033[2J\nb\udcff\x7f\x9b")
    text = place.text("list")
    assert "\033" not in text and len(text.splitlines()) == 2
    assert "a?[2J?b" in text
    (node,) = place.json("list")["nodes"]
    assert node["file"].startswith("wm.a\033[2J\nb\ufffd\x7f\x9b")
    assert node["error"].isprintable()
    assert place.text("--json", "list").strip().isprintable()
    assert "a?[2J?b" in place.refuses(wmctl.DAMAGED, "show", name)
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
