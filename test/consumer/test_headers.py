# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The headers of the facades, and what wmctl is made of: each stands on what
is above it in cpp/README.md, and on nothing else."""

import glob
import os
import re

import pytest

from conftest import ROOT, declarations, source

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow",
          "-Werror"]


def order(section):
    """The names that a section of the README lists, in order."""
    (text,) = [x for x in source("cpp/README.md").split("\n## ")
               if x.startswith(section + "\n")]
    names = []
    for line in re.findall(r"^    (\S.*)$", text, re.M):
        words, *_ = re.split(r" {2,}", line)
        # a line with nothing to say of its names may have several
        names += line.split() if words == line else [words]
    return names


def included(name):
    """What a file of cpp/ includes, less the standard library and others'."""
    return set(re.findall(r'^#include [<"]([\w/]+\.hpp)[>"]',
                          source("cpp", name), re.M)) - {"nlohmann/json.hpp",
                                                         "CLI/CLI.hpp"}


HEADERS = order("The order of the headers")
UNITS = order("wmctl")


def test_the_list_has_each_header_once():
    assert sorted(HEADERS) == sorted(
        glob.glob("*.hpp", root_dir=os.path.join(ROOT, "cpp"))
        + glob.glob("wm/*.hpp", root_dir=os.path.join(ROOT, "cpp")))


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_includes_none_below_it(name):
    assert included(name) <= set(HEADERS[:HEADERS.index(name)])


@pytest.mark.parametrize("compiler", ["g++", "clang++-16"])
@pytest.mark.parametrize("name", HEADERS)
def test_a_header_of_the_facades_compiles_alone(stage, compiler, name):
    include = os.path.dirname(stage.find("wm.hpp"))
    stage.run(compiler, "-xc++", "-std=c++20", *STRICT, "-fsyntax-only",
              "-I", include, os.path.join(include, name))


def test_the_list_has_each_unit_of_wmctl_once():
    assert sorted(UNITS) == sorted({
        os.path.splitext(x)[0] for x in glob.glob(
            "*.[ch]pp", root_dir=os.path.join(ROOT, "cpp/tools"))})


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_of_wmctl_includes_none_below_it(name):
    above = {f"{x}.hpp" for x in UNITS[:UNITS.index(name) + 1]}
    for file in glob.glob(f"cpp/tools/{name}.[ch]pp", root_dir=ROOT):
        assert included(file[len("cpp/"):]) - set(HEADERS) <= above, file


def test_wmctl_names_no_function_of_c():
    functions = set(declarations("libwm/wm.h"))
    for file in glob.glob("cpp/tools/*.[ch]pp", root_dir=ROOT):
        code = re.sub("//.*", "", source(file))
        assert "<wm.h>" not in code, file
        assert functions.isdisjoint(re.findall(r"\bwm_\w+", code)), file
