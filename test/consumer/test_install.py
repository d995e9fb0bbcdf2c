# SPDX-License-Identifier: Apache-2.0
"""The installed files: their exports, and that strangers can compile them.
Other projects that need libwm: with make, and with Meson."""

import glob
import itertools
import json
import os
import re
import shutil

import pytest

from conf import own
from conftest import (BUILD, HEADERS, ROOT, STRICT, Stage, names, prototypes,
                      run, source)

HERE = os.path.dirname(__file__)
LUA = "lua/resty/worker/manager"
LIBRARIES = dict(zip(("libwm", "libwm-monitor"), HEADERS))


def built(library):
    return os.path.join(BUILD, os.path.dirname(LIBRARIES[library]),
                        library + ".so")


def test_the_files_are_where_the_platform_keeps_them(stage):
    prefix = os.path.join(stage.path, "usr/local")
    for name in ("bin/wmctl", "include/wm.h", "include/wm.hpp",
                 "include/wm_monitor.h", "include/wm_monitor.hpp",
                 *(f"include/{x[len('cpp/'):]}" for x in names("cpp/wm/*")),
                 "share/lua/5.1/resty/worker/manager.lua",
                 "share/man/man1/wmctl.1"):
        assert os.path.isfile(os.path.join(prefix, name))
    assert sorted(os.listdir(os.path.join(ROOT, LUA))) == sorted(
        os.listdir(os.path.join(prefix, LUA.replace("lua", "share/lua/5.1"))))
    for name in ("libwm.so.1", "wm.pc", "wm-cpp.pc", "libwm.3",
                 "libwm-monitor.so.1", "wm-monitor.pc"):
        assert stage.find(name)
    for name in ("bin/wmctl", "libwm-monitor.so.1"):    # find their library
        assert "not found" not in stage.run("ldd", stage.find(name),
                                            LD_LIBRARY_PATH="")


def test_the_rockspec_names_every_lua_file():
    (name,) = names("lua/*.rockspec")
    assert set(re.findall(rf"{LUA}/\w+\.lua", source(name))) == set(
        names(f"{LUA}/*"))


LANGUAGES = (("-xc", "-std=c11"), ("-xc", "-std=c17"), ("-xc++", "-std=c++20"))


@pytest.mark.parametrize("compiler, header, language", [
    *itertools.product(("gcc", "clang-16"), ("wm.h", "wm_monitor.h"),
                       LANGUAGES),
    *(("gcc", x[len("cpp/"):], LANGUAGES[2]) for x in names("cpp/**/*.hpp")
      if "/tools/" not in x)])
def test_a_header_compiles_alone(stage, compiler, header, language):
    stage.run(compiler, *language, *STRICT, "-fsyntax-only",
              "-I", stage.include, "-include", header, "/dev/null")


@pytest.mark.parametrize("program", [
    *names("test/unit/*facade*.cpp"), "cpp/example/prefork.cpp"])
def test_what_uses_the_facade_compiles_clean_with_clang(stage, program):
    """With gcc it is a part of the build."""
    stage.run("clang++-16", "-std=c++20", *STRICT, "-fsyntax-only",
              os.path.join(ROOT, program), "-I", stage.include,
              "-I", os.path.join(ROOT, "test/support"))


def test_the_facades_example_compiles_clean(stage):
    lines = source("cpp/README.md").split("\n## ")[0].splitlines()
    code = "\n".join(x for x in lines if x.startswith("    "))
    assert "wm::node::attach" in code
    path = stage.write(
        "readme.cpp", "#include <wm.hpp>\n#include <iostream>\n"
        f"#include <mutex>\nint main() {{\n{code}\n}}\n")
    stage.run("g++", "-std=c++20", *STRICT, "-fsyntax-only", path,
              "-I", stage.include)


def run_monitor(stage, *options):
    stage.run("gcc", "-std=c11", *STRICT, os.path.join(HERE, "monitor.c"),
              "-o", "monitor", *options)
    stage.run("./monitor", own("test-consumer"))


def test_a_program_with_a_monitor_is_built_with_pkg_config(stage):
    run_monitor(stage, *stage.flags("wm-monitor"))


def test_a_program_with_a_monitor_is_linked_with_archives(place):
    build, root = (os.path.join(place, x) for x in ("build", "root"))
    run("meson", "setup", build, ROOT, "-Ddefault_library=static",
        "--auto-features=disabled", "-Dmonitor=enabled")
    run("meson", "install", "-C", build, "--destdir", root)
    stage = Stage(root)
    for link in [], ["-static"]:
        run_monitor(stage, *link, *stage.flags("wm-monitor", "--static"))


@pytest.mark.parametrize("library, node, count", [
    ("libwm", "WM_1", 30), ("libwm-monitor", "WM_MONITOR_1", 6)])
def test_a_library_exports_what_its_header_declares(library, node, count):
    """And what its map lists, under the version's name."""
    found = {x.split("@")[0] for x in re.findall(
        r" [A-Z] (\w+(?:@@\w+)?)",
        run("nm", "-D", "--defined-only", built(library)))} - {node}
    listed = re.findall(r"^ +(wm_\w+);", source(
        os.path.dirname(LIBRARIES[library]), library + ".map"), re.M)
    assert len(found) >= count
    assert found == set(prototypes(source(LIBRARIES[library]))) == set(listed)


@pytest.mark.parametrize("library, needed", [
    ("libwm", ["libc.so.6"]),
    ("libwm-monitor", ["libc.so.6", "liburcu-bp.so.8", "libwm.so.1"])])
def test_a_library_needs_these_alone_and_stays_loaded(library, needed):
    text = run("readelf", "-d", built(library))
    assert sorted(re.findall(r"\(NEEDED\) .*\[(.*)\]", text)) == needed
    assert re.findall(r"\(SONAME\) .*\[(.*)\]", text) == [f"{library}.so.1"]
    assert re.search(r"\(FLAGS_1\) .*\bNODELETE\b", text)
    assert "qsort" not in run("nm", "-Du", built(library))


def test_versions_agree():
    header = source("libwm/wm.h")
    version = re.search(r"version: '(\d+)\.(\d+)\.\d+'",
                        source("meson.build")).groups()
    for number, name in zip(version, ("MAJOR", "MINOR")):
        assert f"#define WM_VERSION_{name} {number}\n" in header
    assert f"local MAJOR = {version[0]}\n" in source(LUA, "libwm.lua")


def live(runner, *programs):
    """Runs programs that each live a node's life, and leave nothing."""
    instance = own("test-dependency")
    for program in programs:
        runner(program, instance)
        assert not [x for x in os.listdir("/dev/shm") if instance in x]


@pytest.fixture
def shop(place):
    """A project with a copy of libwm among its subprojects."""
    path = os.path.join(place, "shop")
    shutil.copytree(os.path.join(HERE, "shop"), path)
    shutil.copytree(
        ROOT, os.path.join(path, "subprojects/libwm"),
        ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))
    return path


@pytest.mark.parametrize("c, cpp", [("gcc", "g++"), ("clang-16", "clang++-16")])
def test_make_builds_with_pkg_config(stage, c, cpp):
    shutil.copytree(os.path.join(HERE, "shop"), stage.path,
                    dirs_exist_ok=True)
    strict = " ".join(STRICT)
    stage.run("make", "-B", f"CC={c} {strict}", f"CXX={cpp} {strict}")
    live(stage.run, "./consumer", "./consumer-cpp")


def test_meson_takes_what_is_installed(stage, shop):
    os.mkdir(os.path.join(stage.path, "shop"))
    log = stage.run("meson", "setup", ".", shop, cwd="shop")
    assert "Executing subproject" not in log
    stage.run("ninja", cwd="shop")
    live(lambda *command: stage.run(*command, cwd="shop"),
         "./shop", "./shop-cpp")


def test_as_a_subproject_nothing_else_is_built_or_installed(shop, place):
    build, root = (os.path.join(place, x) for x in ("build", "root"))
    log = run("meson", "setup", build, shop, PKG_CONFIG_LIBDIR="/nonexistent")
    assert "Executing subproject libwm" in log
    targets = {x["name"]: x for x in json.loads(
        run("meson", "introspect", "--targets", build))}
    assert set(targets) == {"shop", "shop-cpp", "wm"}
    # A parent that links with nothing of it builds nothing of it.
    assert not targets["wm"]["build_by_default"]
    run("ninja", "-C", build)
    live(run, f"{build}/shop", f"{build}/shop-cpp")
    run("meson", "install", "-C", build, "--no-rebuild", "--destdir", root)
    assert sorted(os.path.basename(x) for x in
                  glob.glob(f"{root}/**", recursive=True)
                  if os.path.isfile(x)) == ["shop", "shop-cpp"]
