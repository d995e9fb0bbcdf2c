# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Nothing calls upwards: the order of a library's parts stands in its README,
and neither an include nor a symbol reference leads to a later part."""

import glob
import os
import re
import subprocess

import pytest

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.environ.get("WM_BUILD", os.path.join(ROOT, "build"))

# Folder, and where its objects lie in the build directory.
LIBRARIES = [("libwm", "libwm/libwm.so.*.p"),
             ("libwm/monitor", "libwm/monitor/libwm-monitor.so.*.p")]


def order(folder):
    """The parts, lowest first: {name: rank}. A part is a .c with its .h, or a
    header alone."""
    with open(os.path.join(ROOT, folder, "README.md"), encoding="utf-8") as f:
        lines = re.findall(r"^    (\S.*)$", f.read(), re.M)
    names = []
    for line in lines:
        first = line.split("  ")[0]
        names += [n.removesuffix(".h") for n in first.split()]
    return {name: rank for rank, name in enumerate(names)}


def part(path):
    return os.path.basename(path).split(".")[0]


def sources(folder):
    return sorted(glob.glob(os.path.join(ROOT, folder, "*.[ch]")))


def public(path):
    return os.path.basename(path) in ("wm.h", "wm_monitor.h")


@pytest.mark.parametrize("folder", [f for f, _ in LIBRARIES])
def test_each_source_has_its_place_in_the_order(folder):
    ranks = order(folder)
    assert {part(s) for s in sources(folder) if not public(s)} == set(ranks)


@pytest.mark.parametrize("folder", [f for f, _ in LIBRARIES])
def test_no_file_includes_a_later_one(folder):
    ranks = order(folder)
    seen = 0
    for source in sources(folder):
        if public(source):
            continue
        with open(source, encoding="utf-8") as f:
            for name in re.findall(r'^#include "(\w+)\.h"', f.read(), re.M):
                if name in ranks:
                    seen += 1
                    assert ranks[name] <= ranks[part(source)], (
                        f"{source} includes {name}.h")
    assert seen > 5


def symbols(path, option):
    out = subprocess.run(["nm", "--extern-only", option, path], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    return {line.split()[-1] for line in out.splitlines() if line}


@pytest.mark.parametrize("folder, objects", LIBRARIES)
def test_no_object_refers_to_a_later_one(folder, objects):
    """Also through the public header: the objects know no difference."""
    ranks = order(folder)
    found = glob.glob(os.path.join(BUILD, objects, "*.o"))
    assert {part(o) for o in found} <= set(ranks) and len(found) > 4
    home = {s: part(o) for o in found for s in symbols(o, "--defined-only")}
    up = [f"{part(o)} uses {s} of {home[s]}" for o in found
          for s in sorted(symbols(o, "--undefined-only"))
          if s in home and ranks[home[s]] > ranks[part(o)]]
    assert up == []
