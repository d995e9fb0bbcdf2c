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


def stub(n, source):
    """A libwm.so of our own in the prefix."""
    with open(n.path("stub.c"), "w", encoding="ascii") as f:
        f.write(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", n.path("libwm.so"),
                    n.path("stub.c")], check=True)
    n.params["lua_cpath"] = n.prefix + "/?.so"


def test_a_missing_library_lists_every_path_tried(
        make, dict_, no_installed_library):
    n = make(dict=dict_, lua_cpath="/nowhere/?.so;/nor/here/lib?.so.1",
             opts={"name": conf.own("test-library")})
    assert n.start_fails() == 1
    log = n.log()
    assert "worker manager: libwm" in log
    for path in ("/nowhere/libwm.so", "/nor/here/liblibwm.so.1"):
        assert path in log
    n.expect("worker manager|init_by_lua error")
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
    n.params["lua_cpath"] = f"/nowhere/?.so;{n.prefix}/lib/?.so;" + conf.LIBRARY
    n.start()
    with open(f"/proc/{n.master}/maps", encoding="utf-8") as f:
        assert n.path("lib/libwm.so") in f.read()


def test_a_file_that_is_no_library_is_named(make, no_installed_library):
    n = make(opts={"name": conf.own("test-library")})
    with open(n.path("libwm.so"), "w", encoding="ascii") as f:
        f.write("not a library")
    n.params["lua_cpath"] = n.prefix + "/?.so"
    n.start_fails()
    n.expect("worker manager|init_by_lua error")
    assert n.path("libwm.so") in n.log()


@pytest.mark.parametrize("version", ["2u << 16", "0u", "99u << 16 | 7"])
def test_another_major_version_is_refused(make, version):
    n = make(opts={"name": conf.own("test-library")})
    stub(n, f"unsigned wm_version(void) {{ return {version}; }}\n")
    assert n.start_fails() == 1
    (line,) = n.log_lines("init_by_lua error")
    assert "major version" in line and n.path("libwm.so") in line
    n.expect("worker manager|init_by_lua error")
    assert n.rows() == [] and n.segments() == []


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


def test_a_library_without_a_version_is_refused(make):
    """Some other library of that name."""
    n = make(opts={"name": conf.own("test-library")})
    stub(n, "int other;\n")
    assert n.start_fails() == 1
    assert n.log_lines("worker manager: .*version")
    n.expect("worker manager|init_by_lua error")
