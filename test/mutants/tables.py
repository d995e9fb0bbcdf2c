# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The markers in libwm, and what the tables say of each."""

import glob
import os
import re
import tomllib
from collections import defaultdict, namedtuple

from change import OPERATIONS, skip_space, hide

MARKER = re.compile(r"/\*\s*Safeguard:\s*(.*?)\s*\*/", re.DOTALL)

# at: the position of what follows the marker; harm: what comes of it; tests:
# those that must fail, each with what it says then.
Mutant = namedtuple("Mutant", "file at harm operation argument tests")
# program: under build/test, with its arguments; says: "" for anything.
Test = namedtuple("Test", "program name says")


def read_library(folder):
    """File name -> text."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.[ch]"))):
        with open(path, encoding="utf-8") as f:
            found[os.path.basename(path)] = f.read()
    return found


def read_markers(library):
    """Name -> the markers of that name: the file, and the position."""
    found = defaultdict(list)
    for file, text in library.items():
        for m in MARKER.finditer(text):
            found[m[1]].append((file, skip_space(hide(text), m.end())))
    return found


def read_tables(folder):
    """Name -> the entries of that name: the table, and the fields."""
    found = defaultdict(list)
    for path in sorted(glob.glob(os.path.join(folder, "*.toml"))):
        with open(path, "rb") as f:
            for name, fields in tomllib.load(f).items():
                found[name].append((os.path.basename(path), fields))
    return found


def as_list(value):
    return value if isinstance(value, list) else [value]


def read_mutant(name, markers, entries):
    """Of the one marker and the one entry that have this name."""
    files = " and ".join(file for file, _ in markers)
    tables = " and ".join(table for table, _ in entries)
    assert entries, f"{files} has this marker, and no table an entry"
    assert markers, (f"{tables} has this entry, and libwm no marker: put "
                     f"/* Safeguard: {name} */ in front of the safeguard")
    assert len(markers) == 1, f"{files} have this marker: give each its own"
    assert len(entries) == 1, f"{tables} have this entry: leave one"
    (file, at), (_, fields) = markers[0], entries[0]
    chosen = [key for key in fields if key in OPERATIONS]
    unknown = set(fields) - set(OPERATIONS) - {"harm", "red", "says"}
    assert len(chosen) == 1 and not unknown and {"harm", "red"} <= set(fields), (
        f"{tables}: an entry has harm, red, says where it is needed, and one "
        f"of {', '.join(OPERATIONS)}")
    red, says = as_list(fields["red"]), as_list(fields.get("says", ""))
    says = says * len(red) if len(says) == 1 else says
    assert len(says) == len(red), (
        f"{tables}: says has one text, or one for each test")
    tests = [Test(*test.rsplit(" ", 1), text) for test, text in zip(red, says)]
    return Mutant(file, at, fields["harm"], chosen[0], fields[chosen[0]], tests)
