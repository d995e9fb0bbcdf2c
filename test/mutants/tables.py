# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The markers in libwm, and what the tables say of each."""

import glob
import os
import tomllib
from collections import namedtuple

from operations import OPERATIONS
from source import Source

# place: the file of the marker, and the position of what follows it; harm: what
# comes of it; tests: those that must fail, each with what it says then.
Mutant = namedtuple("Mutant", "name place harm operation argument tests")
# program: under build/test, with its arguments; says: "" for anything.
Test = namedtuple("Test", "program name says", defaults=("",))
Marker = namedtuple("Marker", "file at line")


class Wrong(Exception):
    """It did not come out as it must."""


def read_library(folder):
    """File name -> Source."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.[ch]"))):
        with open(path, encoding="utf-8") as f:
            found[os.path.basename(path)] = Source(f.read())
    return found


def read_markers(library):
    """Name -> the markers of that name."""
    found = {}
    for file, source in library.items():
        for name, at, line in source.markers():
            found.setdefault(name, []).append(Marker(file, at, line))
    return found


def read_tables(folder):
    """Name -> the entries of that name: the fields, and the table."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.toml"))):
        with open(path, "rb") as f:
            for name, fields in tomllib.load(f).items():
                found.setdefault(name, []).append(
                    (fields, os.path.basename(path)))
    return found


def as_list(value):
    return value if isinstance(value, list) else [value]


def check_names(name, markers, entries):
    """One marker and one entry have this name."""
    places = " and ".join(f"{m.file}:{m.line}" for m in markers)
    tables = " and ".join(table for _, table in entries)
    if not entries:
        raise Wrong(f"{places} has this marker, and no table in test/mutants "
                    "an entry: add one, or take the marker away")
    if not markers:
        raise Wrong(f"{tables} has this entry, and libwm no marker: put "
                    f"/* Safeguard: {name} */ in front of the safeguard, or "
                    "take the entry away")
    if len(markers) > 1:
        raise Wrong(f"{places} have markers of this name: give each its own")
    if len(entries) > 1:
        raise Wrong(f"{tables} have entries of this name: leave one")


def read_mutant(name, markers, entries):
    check_names(name, markers, entries)
    fields, table = entries[0]
    chosen = [key for key in fields if key in OPERATIONS]
    unknown = set(fields) - set(OPERATIONS) - {"harm", "red", "says"}
    if len(chosen) != 1 or unknown or not {"harm", "red"} <= set(fields):
        raise Wrong(f"{table}: an entry has harm, red, says where it is needed "
                    f"and one of {', '.join(OPERATIONS)}")
    red, says = as_list(fields["red"]), as_list(fields.get("says", ""))
    says = says * len(red) if len(says) == 1 else says
    if len(says) != len(red):
        raise Wrong(f"{table}: says has one text, or one for each test")
    tests = [Test(*test.rsplit(" ", 1), text)
             for test, text in zip(red, says)]
    return Mutant(name, markers[0], fields["harm"], chosen[0],
                  fields[chosen[0]], tests)


def read_mutants(markers, tables):
    """The mutants, and (name, what is wrong) of what is none."""
    mutants, wrong = [], []
    for name in sorted(set(markers) | set(tables)):
        try:
            mutants.append(read_mutant(name, markers.get(name, []),
                                       tables.get(name, [])))
        except Wrong as e:
            wrong.append((name, str(e)))
    return mutants, wrong
