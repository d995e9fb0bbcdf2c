# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The module's files require no file above them, in the order that its README
tells."""

import os
import re

import conf

FOLDER = os.path.join(conf.ROOT, "lua/resty/worker")


def text(*names):
    with open(os.path.join(*names), encoding="utf-8") as f:
        return f.read()


def layers():
    """The lists of file names, from the top."""
    section = text(conf.ROOT, "lua/README.md").split("## Order of the files")
    lines = re.findall(r"^    (\w+\.lua(?:, \w+\.lua)*)", section[1], re.M)
    return [line.split(", ") for line in lines]


def required(name):
    """The files of the module that one requires."""
    place = FOLDER if name == "manager.lua" else os.path.join(FOLDER,
                                                              "manager")
    code = re.sub(r"--.*", "", text(place, name))
    return {f"{x or 'manager'}.lua" for x in re.findall(
        r"""["']resty\.worker\.manager(?:\.(\w+))?["']""", code)}


def test_the_order_names_each_file_once():
    named = [x for layer in layers() for x in layer]
    there = os.listdir(os.path.join(FOLDER, "manager"))
    assert sorted(named) == sorted([*there, "manager.lua"])


def test_no_file_requires_one_beside_or_above_it():
    above = set()
    upward = []
    for layer in layers():
        above |= set(layer)
        upward += [f"{x} requires {y}" for x in layer
                   for y in required(x) & above]
    assert upward == []


def test_every_require_is_seen():
    """At least one for each file but the topmost."""
    names = {x for layer in layers() for x in layer}
    seen = set().union(*map(required, names))
    assert names - seen == {"manager.lua"}
