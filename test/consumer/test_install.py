# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""What is installed, what it exports, and that strangers can build on it."""

import glob
import os
import re
import subprocess

import pytest

from conftest import (BUILD, LIBRARY, ROOT, Stage, declarations, run,
                      source)

HERE = os.path.dirname(__file__)
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
MONITOR = os.path.join(BUILD, "libwm/monitor/libwm-monitor.so")


def exported(library):
    text = subprocess.run(["nm", "-D", "--defined-only", library], check=True,
                          text=True, capture_output=True).stdout
    return {x.split("@")[0] for x in
            re.findall(r" [A-Z] (\w+(?:@@\w+)?)", text)}


def dynamic(tag, library=LIBRARY):
    text = subprocess.run(["readelf", "-d", library], check=True, text=True,
                          capture_output=True).stdout
    return re.findall(rf"\({tag}\) +(.*)", text)


def test_the_files_are_where_the_platform_keeps_them(stage):
    prefix = os.path.join(stage.path, "usr/local")
    for name in ("bin/wmctl", "include/wm.h", "include/wm.hpp",
                 "include/wm_monitor.h", "include/wm_monitor.hpp",
                 *(f"include/wm/{x}" for x in os.listdir(
                     os.path.join(ROOT, "cpp/wm"))),
                 "share/lua/5.1/resty/worker/manager.lua",
                 "share/man/man1/wmctl.1"):
        assert os.path.isfile(os.path.join(prefix, name))
    folder = os.path.join(ROOT, "lua/resty/worker/manager")
    assert sorted(os.listdir(folder)) == sorted(os.listdir(os.path.join(
        prefix, "share/lua/5.1/resty/worker/manager")))
    for name in ("libwm.so.1", "wm.pc", "wm-cpp.pc", "libwm.3",
                 "libwm-monitor.so.1", "wm-monitor.pc"):
        assert stage.find(name)


def test_the_rockspec_names_every_lua_file():
    (name,) = [x for x in os.listdir(os.path.join(ROOT, "lua"))
               if x.endswith(".rockspec")]
    named = set(re.findall(r"lua/resty/worker/manager/(\w+\.lua)",
                           source("lua", name)))
    assert named == set(os.listdir(os.path.join(
        ROOT, "lua/resty/worker/manager")))


@pytest.mark.parametrize("program, compiler", [
    ("consumer.c", ["gcc", "-std=c11"]),
    ("consumer.cpp", ["g++", "-std=c++20"]),
    ("consumer.cpp", ["clang++-16", "-std=c++20"])])
def test_a_program_is_built_with_pkg_config_and_runs(stage, program,
                                                     compiler):
    binary = os.path.join(stage.path, program + ".bin")
    stage.run(*compiler, *STRICT, os.path.join(HERE, program), "-o", binary,
              *stage.flags())
    instance = f"test-consumer-{os.getpid()}"
    stage.run(binary, instance)
    assert not [x for x in os.listdir("/dev/shm") if instance in x]


@pytest.mark.parametrize("compiler", ["gcc", "clang-16"])
@pytest.mark.parametrize("header, language", [
    ("wm.h", ["-xc", "-std=c11"]), ("wm.h", ["-xc", "-std=c17"]),
    ("wm.h", ["-xc++", "-std=c++20"])])
def test_a_header_compiles_alone(stage, compiler, header, language):
    path = stage.find(header)
    stage.run(compiler, *language, *STRICT, "-fsyntax-only", path,
              "-I", os.path.dirname(path))


@pytest.mark.parametrize("compiler", ["g++", "clang++-16"])
@pytest.mark.parametrize("program", [
    *sorted(glob.glob("test/unit/*facade*.cpp", root_dir=ROOT)),
    "cpp/example/prefork.cpp"])
def test_what_uses_the_facade_compiles_clean(stage, compiler, program):
    stage.run(compiler, "-std=c++20", *STRICT, "-Wshadow", "-fsyntax-only",
              os.path.join(ROOT, program),
              "-I", os.path.dirname(stage.find("wm.hpp")))


def test_the_facades_example_compiles_clean(stage):
    lines = source("cpp/README.md").split("\n## ")[0].splitlines()
    code = "\n".join(x for x in lines if x.startswith("    "))
    assert "wm::node::attach" in code
    path = os.path.join(stage.path, "readme.cpp")
    with open(path, "w", encoding="utf-8") as f:
        f.write("#include <wm.hpp>\n#include <iostream>\n#include <mutex>\n"
                f"int main() {{\n{code}\n}}\n")
    stage.run("g++", "-std=c++20", *STRICT, "-fsyntax-only", path,
              *stage.flags())


@pytest.mark.parametrize("language", [
    ["gcc", "-xc", "-std=c11"], ["gcc", "-xc", "-std=c17"],
    ["g++", "-xc++", "-std=c++20"]])
def test_the_monitors_header_wants_nothing_but_libwms(stage, language):
    stage.run(*language, *STRICT, "-fsyntax-only",
              stage.find("wm_monitor.h"), *stage.flags())


def test_a_program_with_a_monitor_is_built_with_pkg_config(stage):
    binary = os.path.join(stage.path, "monitor.bin")
    stage.run("gcc", "-std=c11", *STRICT, os.path.join(HERE, "monitor.c"),
              "-o", binary, *stage.flags("wm-monitor"))
    stage.run(binary, f"test-consumer-{os.getpid()}")


@pytest.mark.parametrize("link", [[], ["-static"]])
def test_a_program_with_a_monitor_is_linked_with_archives(place, link):
    build, root = (os.path.join(place, x) for x in ("build", "root"))
    run("meson", "setup", build, ROOT, "-Ddefault_library=static",
        "--auto-features=disabled", "-Dmonitor=enabled")
    run("meson", "install", "-C", build, "--destdir", root)
    stage = Stage(root)
    stage.run("gcc", *link, os.path.join(HERE, "monitor.c"), "-o", "monitor",
              *stage.flags("wm-monitor", "--static"))
    stage.run("./monitor", f"test-consumer-{os.getpid()}")


def test_the_library_exports_what_the_header_declares():
    names = exported(LIBRARY) - {"WM_1"}
    listed = set(re.findall(r"^ +(wm_\w+);", source("libwm/libwm.map"), re.M))
    assert len(names) > 30
    assert names == set(declarations("libwm/wm.h")) == listed


def test_the_monitor_exports_what_its_header_declares():
    names = exported(MONITOR) - {"WM_MONITOR_1"}
    assert len(names) == 6
    assert names == set(declarations("libwm/monitor/wm_monitor.h"))


def test_the_monitor_is_a_library_of_its_own():
    assert sorted(dynamic("NEEDED", MONITOR)) == [
        f"Shared library: [{x}]"
        for x in ("libc.so.6", "liburcu-bp.so.8", "libwm.so.1")]
    assert dynamic("SONAME", MONITOR) == [
        "Library soname: [libwm-monitor.so.1]"]
    assert "NODELETE" in dynamic("FLAGS_1", MONITOR)[0]


def test_the_library_needs_libc_alone_and_stays_loaded():
    assert dynamic("NEEDED") == ["Shared library: [libc.so.6]"]
    assert dynamic("SONAME") == ["Library soname: [libwm.so.1]"]
    assert "NODELETE" in dynamic("FLAGS_1")[0]


def test_versions_agree():
    header = source("libwm/wm.h")
    version = re.search(r"version: '(\d+)\.(\d+)\.\d+'",
                        source("meson.build")).groups()
    for i, name in enumerate(("MAJOR", "MINOR")):
        assert f"#define WM_VERSION_{name} {version[i]}\n" in header
    lua = source("lua/resty/worker/manager/libwm.lua")
    assert f"local MAJOR = {version[0]}\n" in lua


def cdefs():
    text = source("lua/resty/worker/manager/libwm.lua")
    return re.search(r"ffi\.cdef \[\[(.*?)\]\]", text, re.S)[1]


def fields():
    """Each struct of the Lua declarations with its fields."""
    found = {}
    for name, body in re.findall(r"struct (\w+) {(.*?)};", cdefs(), re.S):
        body = re.sub(r"struct \w+ |const |char |\*|\s", "", body)
        names = re.findall(r"(?:u?int\d+_t)?(\w+)[,;]", body)
        found[name] = names
    return found


def test_the_lua_declarations_are_the_headers(stage):
    """Sizes and offsets of all structs; all functions with their types."""
    expressions = []
    for name, names in fields().items():
        expressions.append(("sizeof", name, ""))
        expressions += [("offsetof", name, x) for x in names]
    assert len(expressions) > 70
    c = "#include <wm.h>\n#include <stdio.h>\nint main(void) {\n" + "".join(
        f'printf("%zu\\n", {what}(struct {name}'
        f'{", " + field if field else ""}));\n'
        for what, name, field in expressions) + "return 0; }\n"
    lua = f"local ffi = require 'ffi' ffi.cdef [[{cdefs()}]]\n" + "".join(
        f"print(tonumber(ffi.{what}('struct {name}'"
        f'{", " + repr(field) if field else ""})))\n'
        for what, name, field in expressions)
    path = os.path.join(stage.path, "offsets")
    for suffix, text in ((".c", c), (".lua", lua)):
        with open(path + suffix, "w", encoding="utf-8") as f:
            f.write(text)
    stage.run("gcc", path + ".c", "-o", path, *stage.flags())
    assert stage.run(path) == stage.run("luajit", path + ".lua")

    def functions(text):
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        text = re.sub(r"struct wm_(node|worker)\b", r"wm_\1", text)
        found = re.findall(r"^([a-z][\w *]*?\b)(wm_\w+)(\([^;]*\));", text,
                           re.M)
        return {name: re.sub(r"\s", "", kind + rest)
                for kind, name, rest in found}

    header = functions(source("libwm/wm.h"))
    for name, signature in functions(cdefs()).items():
        assert header[name] == signature, name
