# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Segments of other versions: one whose header and records are longer is told
as one of today's is; an unknown feature stands in the way if it says so."""

import json
import re

import conf
import later
import segment
from actor import WM_CLOSED
from wmctl import FOREIGN, OK

UNKNOWN = 1 << 31
CHANGES = re.compile(r"_ms$|^file$|^instance$")


def live(place, instance, library):
    """A node in which all is to be seen: its processes, the master first."""
    master = place.node(instance, library=library, capacity=9)
    old = master.begin()
    draining, killed = [master.worker(old) for _ in range(2)]
    new = master.begin()
    leader, helper, holder = [master.worker(new, role=x) for x in (0, 1, 0)]
    joining = master.fork()
    assert joining.join(new) == 0
    assert leader.lead() == 1
    killed.kill()
    assert leader.sweep() > 0
    assert draining.drain() == 0
    assert master.retire(old) == WM_CLOSED
    assert holder.lock(purpose=1) == 0
    return [master, draining, killed, leader, helper, holder, joining]


def comparable(thing, names):
    """The same without times, pids as names, and without names of files."""
    if isinstance(thing, dict):
        return {k: comparable(v, names) for k, v in thing.items()
                if not CHANGES.search(k)}
    if isinstance(thing, list):
        return [comparable(x, names) for x in thing]
    return names.get(thing, thing)


def told(place, instance, everybody):
    """All that wmctl says of a node, but for what two lives differ in."""
    names = {x.pid: f"process {i}" for i, x in enumerate(everybody)}
    (listed,) = [x for x in place.json("list")["nodes"]
                 if x["instance"] == instance]
    return comparable([listed, place.json("show", "--all", instance),
                       place.lines("events", instance)], names)


def test_a_node_of_a_later_version_is_told_as_todays(place, tmp_path_factory):
    """Alive, which gc leaves alone, and when all have been killed."""
    libraries = {"this": conf.LIBRARY,
                 "later": later.build(str(tmp_path_factory.mktemp("later")))}
    said, dead = {}, {}
    for version, library in libraries.items():
        everybody = live(place, version, library)
        file = everybody[0].file
        said[version] = told(place, version, everybody)
        assert place.json("gc", version)["segments"] == [
            {"file": file, "instance": version, "action": "kept",
             "reason": "in use"}]
        assert place.json("wait", "--ready", "2", version)["ready"]
        for actor in reversed(everybody):
            actor.kill()
        dead[version] = told(place, version, everybody)
        assert place.text("gc", version) == f"{file}: unlinked\n"
    assert said["later"] == said["this"]
    _, shown, events = said["later"]
    text = json.dumps(said["later"])
    assert all(f'"process {i}"' in text for i in range(7))
    assert {w["state"] for g in shown["generations"]
            for w in g["workers"]} == {"joining", "live", "draining", "crashed"}
    assert [x["number"] for x in events] == list(range(1, len(events) + 1))
    assert dead["later"] == dead["this"] != said["this"]


# --- features -----------------------------------------------------------------

def featured(place, at):
    """A dead node and a live one that have an unknown feature."""
    dead = place.dead("dead")
    master = place.node("live")
    master.worker(master.begin())
    return [place.write(x, at, UNKNOWN, 8) for x in (dead, master.file)]


def test_a_feature_that_need_not_be_known_changes_nothing(place):
    dead, living = featured(place, segment.COMPATIBLE)
    for name, seen in (dead, ("gone", 1)), (living, ("live", 1)):
        assert seen in place.json("show", name)["count"].items()
        assert "worker-live" in {x["event"]
                                 for x in place.lines("events", name)}
    assert {x["status"] for x in place.json("list")["nodes"]} == {OK}
    assert place.json("wait", "--ready", "1", "live")["ready"]
    assert place.text("gc") == f"{dead}: unlinked\n"
    assert place.files() == [living]


def test_a_feature_that_must_be_known_is_foreign(place):
    """Nothing is read; who uses it is known from its lock alone."""
    dead, living = featured(place, segment.INCOMPATIBLE)
    asked = [[command, name] for command in ("show", "events", "watch")
             for name in (dead, living)]
    for command in (*asked, ["wait", "--ready", "1", living]):
        line = place.refuses(FOREIGN, *command)
        assert command[-1] in line
        assert "of another ABI of libwm: restart the server" in line
    nodes = place.json("list")["nodes"]
    assert [(x["file"], x["live"], x["status"], x["count"])
            for x in nodes] == [(dead, False, FOREIGN, None),
                                (living, True, FOREIGN, None)]
    assert all("another ABI" in x["error"] for x in nodes)
    assert [x.split()[:2] for x in place.text("list").splitlines()[1:]] == [
        ["dead", "foreign"], ["live", "foreign"]]
    assert place.text("gc") == f"{dead}: unlinked\n"
    assert place.files() == [living]
