# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The Lua module's numbers are those of the C headers."""

import os
import re

import pytest

from conftest import ROOT, source, without_comments

MODULE = "resty.worker.manager.constants"
FILE = "lua/resty/worker/manager/constants.lua"
DUMP = f"""
package.path = '{ROOT}/lua/?.lua'
for group, members in pairs(require '{MODULE}') do
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


def printed_by_c(stage, place, names):
    """What a C program says that each of these expressions is."""
    path = os.path.join(place, "constants")
    with open(path + ".c", "w", encoding="utf-8") as f:
        f.write("#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <errno.h>\n"
                "#include <stdio.h>\n#include <sys/socket.h>\n"
                "#include <wm.h>\nint main(void) {\n")
        f.writelines(f'printf("%lld\\n", (long long)({x}));\n' for x in names)
        f.write("return 0; }\n")
    stage.run("gcc", path + ".c", "-o", path, *stage.flags())
    return stage.run(path).split()


def enums():
    """The members of each enum of wm.h, in order."""
    return [re.findall(r"\bWM_\w+", body) for body in re.findall(
        r"^enum wm_\w+ {(.*?)}", without_comments("libwm/wm.h"), re.M | re.S)]


@pytest.mark.parametrize("group, prefix", [
    ("wm", "WM_"), ("errno", ""), ("system", "")])
def test_each_constant_is_the_headers(stage, place, lua, group, prefix):
    names = sorted(lua[group])
    values = printed_by_c(stage, place, [prefix + x for x in names])
    assert dict(zip(names, values)) == lua[group]


def test_every_member_of_every_enum_is_there(lua):
    members = [x for body in enums() for x in body]
    assert len(members) > 40
    assert [x for x in members if x[3:] not in lua["wm"]] == []


def test_each_constant_of_wm_h_stands_in_its_order(lua):
    header = without_comments("libwm/wm.h")
    text = source(FILE).split("_M.limits")[0]
    names = re.findall(r'^_M\.([A-Z_]+) = (?:\d|0x)|"([A-Z_]*[A-Z])"', text,
                       re.M)
    names = ["WM_" + (a or b) for a, b in names]
    assert {x[3:] for x in names} == set(lua["wm"])
    places = [re.search(rf"\b{x}\b", header).start() for x in names]
    assert places == sorted(places)


@pytest.mark.parametrize("group, prefix", [
    ("STATES", "WM_"), ("GENERATION_STATES", "WM_GENERATION_"),
    ("ROLES", "WM_ROLE_"), ("REASONS", "WM_REASON_"), ("EVENTS", "WM_EVENT_"),
    ("LOG_KINDS", "WM_LOG_")])
def test_each_name_is_the_headers_in_small_letters(stage, place, lua, group,
                                                   prefix):
    numbers = sorted(lua[group], key=int)
    names = [prefix + lua[group][x].upper() for x in numbers]
    assert names in enums()
    assert printed_by_c(stage, place, names) == numbers


LIMITS = """
#include <errno.h>
#include <string.h>
#include <wm.h>
static int attach(uint32_t capacity, uint32_t entries, int length)
{
    char name[256] = "";
    struct wm_node_options options = {
        .size = sizeof(options), .instance = memset(name, 'x', length),
        .directory = ".", .capacity = capacity, .log_entries = entries};
    struct wm_node *node;
    int result = wm_node_attach(&options, &node);
    return result == 0 ? wm_node_release(node) : result;
}
int main(void)
{
    return attach(CAPACITY, 1, 1) != 0 ||
           attach(CAPACITY + 1, 1, 1) != -EINVAL ||
           attach(1, LOG_ENTRIES, 1) != 0 ||
           attach(1, LOG_ENTRIES + 1, 1) != -EINVAL ||
           attach(1, 1, NAME_LENGTH) != 0 ||
           attach(1, 1, NAME_LENGTH + 1) != -EINVAL;
}
"""


def test_each_limit_is_the_largest_that_the_library_takes(stage, place, lua):
    path = os.path.join(place, "limits")
    with open(path + ".c", "w", encoding="utf-8") as f:
        f.write(LIMITS)
    stage.run("gcc", *(f"-D{x}={y}" for x, y in lua["limits"].items()),
              path + ".c", "-o", path, *stage.flags())
    stage.run(path, cwd=os.path.relpath(place, stage.path))
