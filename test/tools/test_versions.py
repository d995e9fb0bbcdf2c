# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Segments of other versions: one whose header and records are longer is told
as one of today's is; of one with an unknown feature nothing is read."""

import json
import re

import conf
import later
import segment
from actor import WM_CLOSED
from wmctl import FOREIGN

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
