# SPDX-License-Identifier: Apache-2.0
"""Compiles the library's own sources against relacy, runs the checks, and then
weakens one order after the other by one step. The table of protocol.md says
what comes of each: the check that it names must turn red; where it says
"argued", all checks that meet the site must stay green. WM_RELACY_LONG=1
searches further; some checks then take minutes.
"""

import pathlib
import re
import runpy
import shutil
import subprocess
from collections import defaultdict, namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest

import conf

HERE = pathlib.Path(__file__).parent
LIBWM = pathlib.Path(conf.ROOT, "libwm")
BUILT = pathlib.Path(conf.BUILD, "relacy")
SHARED = ("driver", "world")
PROGRAM = {check: path.stem for path in sorted(HERE.glob("*.cpp"))
           for check in re.findall(r"CHECK\((\w+)",
                                   path.read_text(encoding="utf-8"))}
OPERATIONS = ("load", "store", "swap", "failing")
# By operation and order, where that is not relaxed.
WEAKER = {("load", "seq_cst"): ["acquire"], ("store", "seq_cst"): ["release"],
          ("swap", "seq_cst"): ["acq_rel"],
          ("swap", "acq_rel"): ["acquire", "release"]}

# A line of the table, for one of the accessors that it names.
Row = namedtuple("Row", "site step letters check")


def read_table():
    text = (LIBWM / "protocol.md").read_text(encoding="utf-8")
    table = text.split("| accessor | order |")[1].split("\n\n")[0]
    return [Row(site.replace("`", ""), step, letters, check.strip("`"))
            for line in table.splitlines()[2:]
            for sites, step, letters, check in [line.strip("| ").split(" | ")]
            for site in sites.split(", ")]


TABLE = read_table()


def call(*command):
    done = subprocess.run(command, text=True, check=False, cwd=HERE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert not done.returncode, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def build(name):
    call("g++", "-std=c++17", "-O1", "-fpermissive", "-w", f"-I{LIBWM}", "-c",
         f"{name}.cpp", "-o", str(BUILT / f"{name}.o"))


def run(name):
    build(name)
    call("g++", "-o", str(BUILT / name),
         *(str(BUILT / f"{x}.o") for x in (name, *SHARED)))
    return call(BUILT / name)


def weaken(check, place, order):
    """What relacy says of the check then."""
    return call(BUILT / PROGRAM[check], check, place, order)[0][2]


class Found:
    """What the programs met; and what becomes of it, in two lanes."""

    def __init__(self, pool):
        shutil.rmtree(BUILT, ignore_errors=True)
        BUILT.mkdir(parents=True)
        list(pool.map(build, SHARED))
        lines = sum(pool.map(run, sorted(set(PROGRAM.values()))), [])
        self.said = {line[1]: line[2] for line in lines if line[0] == "check"}
        self.checks = defaultdict(list)         # by site and step
        self.place = {}
        fields = defaultdict(set)
        met = [(line[1], *line[2].split(" "), line[3]) for line in lines
               if line[0] == "site"]
        for _, function, field, _, _ in met:
            fields[function].add(field)
        for check, function, field, number, order in met:
            what = OPERATIONS[int(number)]
            site = function + f".{field}" * (len(fields[function]) > 1) + (
                " failing" if what == "failing" else "")
            steps = WEAKER.get((what, order), ["relaxed"])
            for to in steps:
                key = site, order + f" to {to}" * (to != "relaxed")
                self.checks[key].append(check)
                self.place[key] = f"{function} {field} {number}", to
        self.results = {row: [(check, pool.submit(weaken, check,
                                                  *self.place[row[:2]]))
                              for check in self.checks[row[:2]]
                              if row.check in (check, "argued")]
                        for row in TABLE if row[:2] in self.place}


@pytest.fixture(scope="session", name="found")
def run_all():
    with ThreadPoolExecutor(2) as pool:
        yield Found(pool)


@pytest.mark.parametrize("check", PROGRAM)
def test_check_holds(found, check):
    assert found.said[check] == "green"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: " ".join(row[:2]))
def test_weaker_order_does_what_the_table_says(found, row):
    said = {check: x.result() for check, x in found.results.get(row, [])}
    if row.check == "argued":
        assert set(said.values()) <= {"green"}, said
    else:
        assert said == {row.check: "USER ASSERT FAILED"}


def strong_accessors():
    """Those that the preprocessor finds, by name."""
    text = "\n".join(" ".join(line) for line in call(
        "gcc", "-E", "-P", "-include", "generation_fields.h", "-include",
        "record_fields.h", f"-I{LIBWM}", str(LIBWM / "node.h")))
    return {re.search(r"(\w+)\s*\(", x)[1]: x for x in
            text.split("static inline ")[1:]
            if re.search("memory_order_(acq|release|seq)", x)}


def test_table_has_each_order(found):
    rows = [row[:2] for row in TABLE]
    assert len(rows) == len(set(rows))
    missing = found.place.keys() - set(rows)
    assert not missing
    unmet = {row for row in TABLE if row[:2] not in found.place}
    assert {row.check for row in unmet} <= {"argued"}
    assert {re.split(r"[. ]", row.site)[0] for row in TABLE} == (
        strong_accessors().keys())


def test_comments_have_guarantee_and_check():
    orders = runpy.run_path(f"{conf.ROOT}/test/orders")
    parts = [x for name in ("record_fields", "generation_fields",
                            "header_fields", "node")
             for x in orders["functions"](f"libwm/{name}.h")]
    for row in TABLE:
        name = re.split(r"[. ]", row.site)[0]
        comment = next((x.comment for x in parts if x.name == name), None) or (
            next(x.comment for x in parts if "##" in x.body and
                 name.startswith(x.path[len("libwm/"):].split("_")[0])))
        letters = ", ".join(sorted(set(re.findall(
            "[A-Z]", "".join(orders["CITED"].findall(comment))))))
        assert (row.site, row.letters) == (row.site, letters or "-")
        if row.check != "argued":
            assert row.check in comment, row.site
