# SPDX-License-Identifier: Apache-2.0
"""Nothing calls upwards: the order of the parts stands in a README, and no
include, symbol reference or comment leads to a later part. A part is a source
with its header, or a header alone."""

import glob
import os
import re

import pytest

from conftest import BUILD, HEADERS, names, prototypes, run, source

# A list: its README's folder and section, and its files.
LISTS = {"libwm": ("libwm", "#", "*.[ch]"),
         "libwm/monitor": ("libwm/monitor", "#", "*.[ch]"),
         "cpp": ("cpp", "The order of the headers", "**/*.hpp"),
         "cpp/tools": ("cpp", "wmctl\n", "*.[ch]pp")}


def order(folder):
    """The parts, lowest first. A line may have several that are alike."""
    readme, section, _ = LISTS[folder]
    (text,) = [x for x in source(readme, "README.md").split("\n## ")
               if x.startswith(section)]
    found = []
    for line in re.findall(r"^    (\S.*)$", text, re.M):
        found += re.sub(r"\.h(pp)?\b", "", line.split("  ")[0]).split()
    return found


def files(folder):
    """The files by their part."""
    found = {}
    for path in names(f"{folder}/{LISTS[folder][2]}"):
        part = os.path.splitext(os.path.relpath(path, folder))[0]
        if path not in HEADERS and not part.startswith(("tools/", "example/")):
            found.setdefault(part, []).append(path)
    return found


@pytest.mark.parametrize("folder", LISTS)
def test_each_file_has_its_place_and_names_no_later_one(folder):
    parts = order(folder)
    assert sorted(files(folder)) == sorted(parts)
    suffix = "[ch]pp" if folder.startswith("cpp") else "[ch]"
    seen = 0
    for part, paths in files(folder).items():
        later = set(parts[parts.index(part) + 1:])
        for path in paths:
            named = set(re.findall(rf"([\w/]+)\.{suffix}\b", source(path)))
            seen += len(named.intersection(parts))
            assert named.isdisjoint(later), path
    assert seen > 5


def symbols(path, option):
    out = run("nm", "--extern-only", option, path)
    return {line.split()[-1] for line in out.splitlines() if line}


@pytest.mark.parametrize("folder", ["libwm", "libwm/monitor"])
def test_no_object_refers_to_a_later_one(folder):
    """Also through the public header: the objects know no difference."""
    parts = order(folder)
    found = {os.path.basename(o).split(".")[0]: o for o in glob.glob(
        f"{BUILD}/{folder}/libwm*.so.*.p/*.o")}
    assert set(found) <= set(parts) and len(found) > 4
    home = {s: part for part, o in found.items()
            for s in symbols(o, "--defined-only")}
    up = [f"{part} uses {s} of {home[s]}" for part, o in found.items()
          for s in sorted(symbols(o, "--undefined-only"))
          if s in home and parts.index(home[s]) > parts.index(part)]
    assert up == []


def test_wmctl_names_no_function_of_c():
    functions = set(prototypes(source("libwm/wm.h")))
    for file in names("cpp/tools/*.[ch]pp"):
        code = re.sub("//.*", "", source(file))
        assert "<wm.h>" not in code, file
        assert functions.isdisjoint(re.findall(r"\bwm_\w+", code)), file
