# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The references, built from the sources, name all that is public."""

import glob
import os
import re
import xml.etree.ElementTree

import pytest

from conftest import (HEADERS, ROOT, declarations, names, run, source,
                      without_comments)


def text_of(element):
    return "".join(element.itertext()).strip() if element is not None else ""


@pytest.fixture(scope="module")
def reference():
    """Every name of the reference, and whether its words suffice: each public
    function and type has some; a member's name may say it all."""
    os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
    run("doxygen", "libwm/Doxyfile")        # a warning is an error there
    told = {}
    for path in glob.glob(os.path.join(ROOT, "build/doc/xml/*.xml")):
        for element in xml.etree.ElementTree.parse(path).iter():
            name = element.findtext("name") or element.findtext("compoundname")
            if name:
                name = name.split("::")[-1]
                told[name] = told.get(name) or (
                    element.get("kind") not in ("function", "struct", "class",
                                                "enum")
                    or element.get("prot") == "private"
                    or text_of(element.find("briefdescription"))
                    or text_of(element.find("detaileddescription")))
    return told


def functions():
    """Of all headers: name to prototype."""
    return {name: whole for header in HEADERS
            for name, whole in declarations(header).items()}


def test_the_reference_names_all_that_is_public(reference):
    """In C++ Doxygen itself finds that."""
    text = "".join(map(without_comments, HEADERS))
    found = set(re.findall(r"\b(?:WM_[A-Z_]+|wm_\w+)\b", text))
    found -= {"WM_H", "WM_MONITOR_H",
              *re.findall(r"^struct (\w+);", text, re.M)}
    assert len(found) > 100 and len(reference) > 300
    assert sorted(found - set(reference)) == []


def test_the_reference_says_something_of_each_function_and_type(reference):
    """Operators and destructors aside; two functions have one comment."""
    assert [x for x, said in reference.items()
            if not said and re.fullmatch(r"\w+", x)] == ["wm_view_generation"]


def test_the_facade_leaves_no_function_out():
    text = re.sub(r"//.*", "", "".join(
        map(source, names("cpp/*.hpp") + names("cpp/wm/*.hpp"))))
    assert [x for x in functions()
            if not re.search(rf"\b{x}[(,]", text)] == []


def test_the_manual_has_each_function_as_it_is(stage):
    text = source("libwm/libwm.3.scd").replace("\\", "")
    told = {" ".join(x.split()) for x in
            re.findall(r"^\*((?:\w+ )+\*?wm_\w+\([^;]*\);)\*(?:\+\+)?$",
                       text, re.M)}
    declared = functions()
    assert sorted(told - set(declared.values())) == []
    assert [x for x, whole in declared.items() if whole not in told] == []
    page = stage.find("libwm.3")
    with open(page, encoding="utf-8") as f:
        assert '.TH "libwm" "3"' in f.read()
