# SPDX-License-Identifier: Apache-2.0
"""The Lua module's numbers and declarations are those of the C headers; the
references, built from the sources, name all that is public."""

import errno
import glob
import os
import re
import subprocess
import xml.etree.ElementTree

import pytest

import proc
from conftest import (HEADERS, ROOT, names, prototypes, run, source,
                      without_comments)

MODULE = "lua/resty/worker/manager"
INCLUDES = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <wm.h>
"""
DUMP = f"""
package.path = '{ROOT}/lua/?.lua'
for group, members in pairs(require 'resty.worker.manager.constants') do
    if type(members) == "number" then
        print("wm", group, ("%.0f"):format(members))
    else
        for name, value in pairs(members) do
            print(group, name, value)
        end
    end
end
"""


@pytest.fixture(name="lua")
def constants_of_lua(stage):
    """Group: member: value. A group is a table of the file; those of wm.h that
    stand in none are in "wm"."""
    found = {}
    for line in stage.run("luajit", "-e", DUMP).splitlines():
        group, name, value = line.split("\t")
        found.setdefault(group, {})[name] = value
    return found


def printed_by_c(stage, expressions, as_="lld", cast="(long long)", before=""):
    """What a C program says that each of these is."""
    return stage.run_c(INCLUDES + before + "int main(void) {\n" + "".join(
        f'printf("%{as_}\\n", {cast}({x}));\n' for x in expressions
    ) + "}\n").split()


def enums():
    """The members of each enum of wm.h, in order."""
    return [re.findall(r"\bWM_\w+", body) for body in re.findall(
        r"^enum wm_\w+ {(.*?)}", without_comments(source("libwm/wm.h")),
        re.M | re.S)]


@pytest.mark.parametrize("group, prefix", [
    ("wm", "WM_"), ("errno", ""), ("system", "")])
def test_each_constant_is_the_headers(stage, lua, group, prefix):
    """And every member of every enum of wm.h is among them."""
    words = sorted(lua[group])
    values = printed_by_c(stage, [prefix + x for x in words])
    assert dict(zip(words, values)) == lua[group]
    members = [x[3:] for body in enums() for x in body]
    assert len(members) > 40
    assert set(members) <= set(lua["wm"])


@pytest.mark.parametrize("group, prefix, function", [
    ("STATES", "WM_", "wm_state_name"),
    ("GENERATION_STATES", "WM_GENERATION_", "wm_generation_state_name"),
    ("ROLES", "WM_ROLE_", "wm_role_name"),
    ("REASONS", "WM_REASON_", "wm_reason_name"),
    ("EVENTS", "WM_EVENT_", "wm_event_name"),
    ("LOG_KINDS", "WM_LOG_", "wm_log_name"),
    ("PURPOSES", "WM_PURPOSE_", "wm_purpose_name")])
def test_each_name_is_the_headers_in_small_letters(stage, lua, group, prefix,
                                                   function):
    """Lua's has underscores, C's has hyphens. No other number has a name."""
    numbers = sorted(lua[group], key=int)
    members = [prefix + lua[group][x].upper() for x in numbers]
    assert members in enums()
    assert printed_by_c(stage, members) == numbers
    others = int(numbers[0]) - 1, int(numbers[-1]) + 1, 2**32 - 1, 2**31
    named = [lua[group][x].replace("_", "-") for x in numbers]
    assert printed_by_c(stage, (f"{function}({x})" for x in (
        *members, *(x % 2**32 for x in others))), "s", "") == (
            named + ["?"] * len(others))


LIMITS = """
static int attach(uint32_t capacity, uint32_t entries, int length)
{
    char name[256] = "";
    struct wm_node_options options = {
        .size = sizeof(options), .instance = memset(name, 'x', length),
        .directory = ".", .capacity = capacity, .log_entries = entries};
    struct wm_node *node;
    return wm_node_attach(&options, &node);
}
"""


def test_each_limit_is_the_largest_that_the_library_takes(stage, lua):
    limits = lua["limits"]
    c, e, n = (int(limits[x]) for x in ("CAPACITY", "LOG_ENTRIES",
                                        "NAME_LENGTH"))
    assert printed_by_c(stage, [f"attach{x}" for x in (
        (c, 1, 1), (1, e, 1), (1, 1, n), (c + 1, 1, 1), (1, e + 1, 1),
        (1, 1, n + 1))], before=LIMITS) == ["0"] * 3 + [f"-{errno.EINVAL}"] * 3
    assert f"and {limits['MORE_GENERATIONS']} more are" in source("libwm/wm.h")


def cdefs():
    return re.search(r"ffi\.cdef \[\[(.*?)\]\]",
                     source(MODULE, "libwm.lua"), re.S)[1]


def test_the_lua_declarations_have_the_headers_sizes_and_offsets(stage):
    asked = []
    for name, body in re.findall(r"struct (\w+) {(.*?)};", cdefs(), re.S):
        body = re.sub(r"struct \w+ |const |char |\*|\s", "", body)
        fields = re.findall(r"(?:u?int\d+_t)?(\w+)[,;]", body)
        asked.append(("sizeof", [f"struct {name}"]))
        asked += [("offsetof", [f"struct {name}", x]) for x in fields]
    assert len(asked) > 70
    c = [f"{what}({', '.join(args)})" for what, args in asked]
    lua = [f"print(tonumber(ffi.{what}({', '.join(map(repr, args))})))\n"
           for what, args in asked]
    assert printed_by_c(stage, c) == stage.run(
        "luajit", "-e", f"local ffi = require 'ffi' ffi.cdef [[{cdefs()}]]\n"
        + "".join(lua)).split()


def test_the_lua_declarations_have_the_headers_functions():
    """It calls two structs by names of their own."""
    said, declared = (
        {(name, re.sub(r"struct (?=wm_(node|worker)\b)|\s", "", whole))
         for name, whole in prototypes(text).items()}
        for text in (cdefs(), source("libwm/wm.h")))
    assert said and said <= declared


DESCRIPTIONS = "briefdescription", "detaileddescription"
MUST_BE_DESCRIBED = "function", "struct", "class", "enum"


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
            if name and element.tag != "member":    # of a list of links
                name = name.split("::")[-1]
                words = "".join(text for x in element if x.tag in DESCRIPTIONS
                                for text in x.itertext())
                told[name] = (told.get(name) or words.strip()
                              or element.get("kind") not in MUST_BE_DESCRIBED
                              or element.get("prot") == "private")
    return told


def functions():
    """Of all headers: name to prototype."""
    return prototypes("".join(map(source, HEADERS)))


def test_the_reference_names_all_that_is_public(reference):
    """In C++ Doxygen itself finds that."""
    text = without_comments("".join(map(source, HEADERS)))
    found = set(re.findall(r"\b(?:WM_[A-Z_]+|wm_\w+)\b", text))
    found -= {"WM_H", "WM_MONITOR_H",
              *re.findall(r"^struct (\w+);", text, re.M)}
    assert len(found) > 100 and len(reference) > 300
    assert sorted(found - set(reference)) == []
    assert "wm_start_run" in source("build/doc/xml/indexpage.xml")
    assert '<table rows="7" cols="7">' in source("build/doc/xml/wm_8h.xml")


def test_the_reference_says_something_of_each_function_and_type(reference):
    """Operators and destructors aside; two functions have one comment."""
    assert [x for x, said in reference.items()
            if not said and re.fullmatch(r"\w+", x)] == ["wm_view_generation"]


def test_each_function_names_itself_if_its_handle_is_missing(stage):
    """But for wm_monitor_destroy(), which does nothing then."""
    with pytest.raises(AssertionError, match="wm_beat: the handle is NULL"):
        stage.run_c(INCLUDES + "int main(void) { return wm_beat(NULL); }")
    text = "".join(map(source, names("libwm/**/*.c")))
    named = set(re.findall(r"(\w+)\([^;()]*\)\n{\n(?:    [^\n]*;\n|\n)*?"
                           r"    (?:WM_REQUIRE|assert)\(", text))
    assert {x for x, whole in functions().items() if re.search(
        r"\bwm_(node|worker|monitor) \*\w", whole)} - named == {
            "wm_monitor_destroy"}


def test_the_facade_leaves_no_function_out():
    text = re.sub(r"//.*", "", "".join(
        map(source, names("cpp/*.hpp") + names("cpp/wm/*.hpp"))))
    assert [x for x in functions()
            if not re.search(rf"\b{x}[(,]", text)] == []


def test_the_manual_has_each_function_as_it_is():
    text = source("libwm/libwm.3.scd").replace("\\", "")
    told = {" ".join(x.split()) for x in
            re.findall(r"^\*((?:\w+ )+\*?wm_\w+\([^;]*\);)\*(?:\+\+)?$",
                       text, re.M)}
    declared = functions()
    assert sorted(told - set(declared.values())) == []
    assert [x for x, whole in declared.items() if whole not in told] == []


def test_the_manuals_example_as_rendered_is_a_server(stage, place):
    """It compiles without a warning, tells of a crash, and leaves nothing."""
    page = run("groff", "-man", "-Tascii", "-P-cbou", stage.find("libwm.3"))
    assert page.startswith("libwm(3)")
    text = re.search(r"^EXAMPLE\n.*?(?=^ *#include)(.*?)^SEE ALSO", page,
                     re.M | re.S)[1]
    instance = f"demo-{os.getpid()}"
    program = stage.write("demo.c", text.replace('"demo"', f'"{instance}"'))
    stage.run("gcc", program, "-o", f"{place}/demo", "-Wall", "-Wextra",
              "-Werror", f"-Wl,-rpath,{stage.library}", *stage.flags())
    with open(f"{place}/said", "w", encoding="utf-8") as out:
        server = subprocess.Popen([f"{place}/demo"], stderr=out,
                                  start_new_session=True)

    def said():
        return re.findall(r": (\S+) of (\d+)\n", proc.read(out.name))
    try:
        proc.wait(lambda: len(said()) == 2, "the workers")
        killed = said()[0][1]
        proc.kill(int(killed))
        proc.wait(lambda: ("crashed", killed) in said(), "the crash")
    finally:
        server.terminate()
    assert server.wait() == 0
    assert [what for what, _ in said()] == [
        *["worker-start"] * 2, "crashed", "worker-exit", "drained",
        "master-exit"]
    assert not glob.glob(f"/dev/shm/wm.{instance}.*")


def test_http_and_stream_of_one_name_are_two_nodes():
    print_names = f"""package.path = "{ROOT}/lua/?.lua"
        for _, subsystem in ipairs {{ "http", "stream" }} do
            ngx = {{ config = {{ subsystem = subsystem }} }}
            print(require("{MODULE[4:]}.name").of {{ name = "blue" }})
        end"""
    assert run("luajit", "-e", print_names).split() == ["blue", "blue-stream"]
