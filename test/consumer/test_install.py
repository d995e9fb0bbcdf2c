# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""What is installed, what it exports, and that strangers can build on it."""

import os
import re
import subprocess

import pytest

from conftest import BUILD, ROOT

HERE = os.path.dirname(__file__)
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
LIBRARY = os.path.join(BUILD, "libwm/libwm.so")


def source(*names):
    with open(os.path.join(ROOT, *names), encoding="utf-8") as f:
        return f.read()


def declared():
    """The functions that wm.h declares."""
    text = re.sub(r"/\*.*?\*/", "", source("libwm/wm.h"), flags=re.S)
    return set(re.findall(r"^(?!typedef)[a-z][\w *]*?\b(wm_\w+)\(", text,
                          re.M))


def dynamic(tag):
    text = subprocess.run(["readelf", "-d", LIBRARY], check=True, text=True,
                          capture_output=True).stdout
    return re.findall(rf"\({tag}\) +(.*)", text)


def test_the_files_are_where_the_platform_keeps_them(stage):
    prefix = os.path.join(stage.path, "usr/local")
    for name in ("bin/wmctl", "include/wm.h", "include/wm.hpp",
                 "share/lua/5.1/resty/worker/manager.lua",
                 "share/man/man1/wmctl.1"):
        assert os.path.isfile(os.path.join(prefix, name))
    folder = os.path.join(ROOT, "lua/resty/worker/manager")
    assert sorted(os.listdir(folder)) == sorted(os.listdir(os.path.join(
        prefix, "share/lua/5.1/resty/worker/manager")))
    assert stage.find("libwm.so.1") and stage.find("wm.pc")


def test_the_rockspec_names_every_lua_file():
    (name,) = [x for x in os.listdir(os.path.join(ROOT, "lua"))
               if x.endswith(".rockspec")]
    named = set(re.findall(r"lua/resty/worker/manager/(\w+\.lua)",
                           source("lua", name)))
    assert named == set(os.listdir(os.path.join(
        ROOT, "lua/resty/worker/manager")))


@pytest.mark.parametrize("program, compiler", [
    ("consumer.c", ["gcc", "-std=c11"]),
    ("consumer.cpp", ["g++", "-std=c++20"])])
def test_a_program_is_built_with_pkg_config_and_runs(stage, program,
                                                     compiler):
    binary = os.path.join(stage.path, program + ".bin")
    stage.run(*compiler, *STRICT, os.path.join(HERE, program), "-o", binary,
              *stage.flags())
    instance = f"test-consumer-{os.getpid()}"
    stage.run(binary, instance)
    assert not [x for x in os.listdir("/dev/shm") if instance in x]


@pytest.mark.parametrize("language", [
    ["gcc", "-xc", "-std=c11"], ["gcc", "-xc", "-std=c17"],
    ["g++", "-xc++", "-std=c++20"]])
def test_the_header_compiles_alone(stage, language):
    stage.run(*language, *STRICT, "-fsyntax-only", stage.find("wm.h"))


def test_the_library_exports_what_the_header_declares():
    text = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], check=True,
                          text=True, capture_output=True).stdout
    exported = {x.split("@")[0] for x in
                re.findall(r" [A-Z] (\w+(?:@@\w+)?)", text)} - {"WM_1"}
    listed = set(re.findall(r"^ +(wm_\w+);", source("libwm/libwm.map"), re.M))
    assert len(exported) > 30
    assert exported == declared() == listed


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
