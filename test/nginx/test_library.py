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


# libwm.so in the prefix, as C or not; what the log has, beside its path.
REFUSED = {
    "none": (None, "worker manager: libwm"),
    "no library": ("not a library", ""),
    "no version": ("int other;", "worker manager: .*version"),
    **{version: (f"unsigned wm_version(void) {{ return {version}; }}",
                 "major version")
       for version in ("2u << 16", "0u", "99u << 16 | 7")},
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_library_that_will_not_do_is_named(
        make, dict_, no_installed_library, what):
    """And, where there is none, every path that was tried."""
    source, said = REFUSED[what]
    n = make(dict=dict_, opts={"name": conf.own("test-library")})
    n.params["lua_cpath"] = f"/nowhere/lib?.so.1;{n.prefix}/?.so"
    with open(n.path("stub.c"), "w", encoding="ascii") as f:
        f.write(source or "")
    if what == "no library":
        shutil.copy(n.path("stub.c"), n.path("libwm.so"))
    elif source:
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", n.path("libwm.so"),
                        n.path("stub.c")], check=True)
    assert n.start_fails() == 1
    n.expect("worker manager|init_by_lua error")
    (line,) = n.log_lines("init_by_lua error")
    assert n.path("libwm.so") in n.log() and n.log_lines(said)
    if said == "major version":
        assert said in line and n.path("libwm.so") in line
    if not source:
        assert "/nowhere/liblibwm.so.1" in n.log()
    assert n.rows() == [] and n.segments() == []


def test_a_missing_library_on_reload_is_the_one_that_is_loaded(make, both):
    """It is never unloaded, so the loader finds it."""
    n = make(**both).start()
    n.reload(lua_cpath="/nowhere/?.so")
    n.stop(life(2, 2))


def test_the_first_on_the_path_that_exists_is_loaded(make):
    n = make()
    os.makedirs(n.path("lib"))
    shutil.copy(conf.LIBRARY, n.path("lib/libwm.so"))
    n.params["lua_cpath"] = (f"/nowhere/?.so;{n.prefix}/lib/?.so;"
                             + conf.LIBRARY)
    n.start()
    with open(f"/proc/{n.master}/maps", encoding="utf-8") as f:
        assert n.path("lib/libwm.so") in f.read()


def test_another_copy_on_reload_is_the_one_that_is_loaded(make, both):
    """Wherever the path leads by now: the node is known to that one alone."""
    n = make(**both).start()
    os.makedirs(n.path("lib"))
    shutil.copy(conf.LIBRARY, n.path("lib/libwm.so"))
    n.reload(lua_cpath=n.prefix + "/lib/?.so")
    with open(f"/proc/{n.master}/maps", encoding="utf-8") as f:
        assert n.path("lib/libwm.so") not in f.read()
    n.stop(life(2, 2))


def test_a_module_of_another_major_version_on_reload_leaves_the_node_alone(
        make, both):
    n = make(**both).start()
    files = os.path.join(conf.ROOT, "lua/resty")
    shutil.copytree(files, n.path("lua/resty"))
    path = n.path("lua/resty/worker/manager/libwm.lua")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert "local MAJOR = 1\n" in text
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("local MAJOR = 1\n", "local MAJOR = 2\n"))
    good = n.param("lua_path")
    n.reload_fails("major version 1, .*restart nginx",
                   lua_path=n.prefix + "/lua/?.lua;" + good)
    n.wait_log("init_by_lua error")
    n.expect("worker manager: .*major version|stack traceback")
    n.reload(lua_path=good)
    n.stop(life(2, 2))
