# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""gc: what nobody takes part in goes, and nothing else."""

from wmctl import NO_NODE


def actions(answer):
    return {x["file"]: (x["action"], x["reason"])
            for x in answer["segments"]}


def test_the_dead_go_and_the_living_stay(place):
    dead = [place.dead("a"), place.dead("b")]
    place.node("live")
    (live,) = set(place.files()) - set(dead)
    assert place.text("gc") == "".join(f"{x}: unlinked\n" for x in dead)
    assert place.files() == [live]
    assert place.text("gc") == ""


def test_a_dry_run_says_what_would_go_and_leaves_it(place):
    dead = place.dead("a")
    place.node("live")
    before = place.files()
    assert place.text("gc", "--dry-run") == f"{dead}: would be unlinked\n"
    answer = place.json("gc", "--dry-run")
    assert answer["dry_run"]
    assert actions(answer)[dead] == ("would be unlinked", None)
    assert place.files() == before


def test_what_became_of_each_is_told(place):
    dead = place.dead("a")
    place.node("live")
    (live,) = set(place.files()) - {dead}
    answer = place.json("gc")
    assert not answer["dry_run"]
    assert actions(answer) == {dead: ("unlinked", None),
                               live: ("kept", "in use")}


def test_a_node_without_a_living_worker_is_alive_with_its_master(place):
    master = place.node()
    master.worker(master.begin()).kill()
    assert place.text("gc") == "" and len(place.files()) == 1


def test_damaged_files_go_too(place):
    place.stray(b"")
    place.stray(b"no segment" * 1000, "long")
    place.text("gc")
    assert place.files() == []


def test_only_the_node_that_is_named_goes(place):
    a, b = place.dead("a"), place.dead("b")
    place.text("gc", "a")
    assert place.files() == [b]
    place.text("gc", b)
    assert place.files() == []
    assert "a" in place.refuses(NO_NODE, "gc", a)
