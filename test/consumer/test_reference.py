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
    """Every name of the reference, and whether words are said of it."""
    os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
    run("doxygen", "libwm/Doxyfile")        # a warning is an error there
    told = {}
    for path in glob.glob(os.path.join(ROOT, "build/doc/xml/*.xml")):
        for element in xml.etree.ElementTree.parse(path).iter():
            name = element.findtext("name") or element.findtext("compoundname")
            if name and element.tag in ("memberdef", "compounddef",
                                        "enumvalue"):
                said = text_of(element.find("briefdescription")) or text_of(
                    element.find("detaileddescription"))
                name = name.split("::")[-1]
                told[name] = told.get(name) or said
    return told


def functions():
    """Of all headers: name to prototype."""
    return {name: whole for header in HEADERS
            for name, whole in declarations(header).items()}


def public_names_of_c():
    text = "".join(map(without_comments, HEADERS))
    macros = set(re.findall(r"\bWM_[A-Z_]+\b", text))
    return macros - {"WM_H", "WM_MONITOR_H"} | set(re.findall(
        r"^(?:(?:struct|enum)|typedef .*) (wm_\w+)(?: {|\()", text, re.M))


def facade():
    """All headers of the facades."""
    return "".join(map(source, names("cpp/*.hpp") + names("cpp/wm/*.hpp")))


def public_names_of_cpp():
    text = re.sub(r"/// @cond.*?/// @endcond", "", facade(), flags=re.S)
    text = re.sub(r"^private:.*?^};", "", text, flags=re.S | re.M)
    found = re.findall(
        r"^(?:class|struct|enum class) (?:\[\[\w+\]\] )?(\w+)", text, re.M)
    found += re.findall(
        r"^(?:    )?(?!return|const |throw)(?:[\w:<>\[\]]+[ &*]+)+(\w+)\(",
        text, re.M)
    return {x for x in found if x != "bool" and not x.startswith("wm_")}


def test_the_reference_names_all_that_is_public(reference):
    c, cpp = public_names_of_c(), public_names_of_cpp()
    assert len(c) > 60 and len(cpp) > 80
    assert sorted((c | cpp) - set(reference)) == []


def test_the_reference_says_something_of_each_function_and_type(reference):
    """A member's name may say it all."""
    types = {x for x in public_names_of_c() if x.startswith("wm_")}
    assert len(functions()) > 40 and len(types) > 20
    named = types | set(functions()) | public_names_of_cpp()
    assert sorted(x for x in named if not reference.get(x)) == []


def test_the_facade_leaves_no_function_out():
    text = re.sub(r"//.*", "", facade())
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
