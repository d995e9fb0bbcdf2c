# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""libwm.so: where it is looked for, and whether it fits."""

import ctypes.util
import os
import shutil
import subprocess

import pytest

import conf
from rows import life


@pytest.fixture
def no_installed_library():
    if ctypes.util.find_library("wm"):
        pytest.fail("libwm is installed here, which hides what is tested")


def version(number):
    return f"unsigned wm_version(void) {{ return {number}; }}"


# libwm.so in the prefix, as C or not; what the log has, beside its path.
REFUSED = {
    "none": (None, "worker manager: libwm"),
    "no library": ("not a library", ""),
    "no version": ("int other;", "worker manager: .*version"),
    "version 2": (version("2u << 16"), "major version"),
    "version 0": (version("0u"), "major version"),
    "version 99.7": (version("99u << 16 | 7"), "major version"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_library_that_will_not_do_is_named(
        make, dict_, no_installed_library, what):
    """And, where there is none, every path that was tried."""
    source, said = REFUSED[what]
    n = make(dict=dict_, opts={"name": conf.own("test-library")})
    library = n.path("libwm.so")
    n.params["lua_cpath"] = f"/nowhere/lib?.so.1;{n.prefix}/?.so"
    if what == "no library":
        with open(library, "w", encoding="ascii") as f:
            f.write(source)
    elif source:
        subprocess.run(["gcc", "-shared", "-fPIC", "-xc", "-o", library, "-"],
                       input=source, text=True, check=True)
    assert n.start_fails() == 1
    n.expect("worker manager|init_by_lua error")
    (line,) = n.log_lines("init_by_lua error")
    assert library in n.log() and n.log_lines(said)
    if said == "major version":
        assert said in line and library in line
    if not source:
        assert "/nowhere/liblibwm.so.1" in n.log()
    assert n.rows() == [] and n.segments() == []


def test_a_reload_finds_the_one_that_is_loaded(make, both):
    """It is never unloaded, and the node is known to it alone: wherever the
    path leads by now, to another copy or nowhere."""
    n = make(**both).start()
    copy = shutil.copy(conf.LIBRARY, n.path("libwm.so"))
    n.reload(lua_cpath=n.prefix + "/?.so")
    with open(f"/proc/{n.master}/maps", encoding="utf-8") as f:
        assert copy not in f.read()
    n.reload(lua_cpath="/nowhere/?.so")
    n.stop(life(2, 2, 2))


def test_a_module_of_another_major_version_on_reload_leaves_the_node_alone(
        make, both):
    n = make(**both).start()
    shutil.copytree(os.path.join(conf.ROOT, "lua/resty"), n.path("lua/resty"))
    path = n.path("lua/resty/worker/manager/libwm.lua")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert "local MAJOR = 1\n" in text
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("local MAJOR = 1\n", "local MAJOR = 2\n"))
    n.reload_fails("major version 1, .*restart nginx",
                   lua_path=n.prefix + "/lua/?.lua;" + conf.LUA_PATH)
    n.wait_log("init_by_lua error")
    n.expect("worker manager: .*major version|stack traceback")
    n.reload()
    n.stop(life(2, 2))
