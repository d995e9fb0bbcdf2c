# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Other projects that need libwm: with make, and with Meson."""

import glob
import json
import os
import shutil

import pytest

from conftest import ROOT, STRICT, run

HERE = os.path.dirname(__file__)


def copy_programs(to):
    for name in ("consumer.c", "consumer.cpp"):
        shutil.copy(os.path.join(HERE, name), to)


def live(runner, *programs):
    """Runs programs that each live a node's life, and leave nothing."""
    instance = f"test-dependency-{os.getpid()}"
    for program in programs:
        runner(program, instance)
        assert not [x for x in os.listdir("/dev/shm") if instance in x]


@pytest.fixture
def shop(place):
    """A project with a copy of libwm among its subprojects."""
    path = os.path.join(place, "shop")
    shutil.copytree(os.path.join(HERE, "subproject"), path)
    copy_programs(path)
    shutil.copytree(
        ROOT, os.path.join(path, "subprojects/libwm"),
        ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))
    return path


@pytest.mark.parametrize("c, cpp", [("gcc", "g++"), ("clang-16", "clang++-16")])
def test_make_builds_with_pkg_config(stage, c, cpp):
    copy_programs(stage.path)
    shutil.copy(os.path.join(HERE, "Makefile"), stage.path)
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
