# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""How the module waits for the lock: outside nginx, in the same LuaJIT."""

import os
import shutil
import subprocess
import tempfile

import pytest

import conf

CHANNEL = "int ngx_channel = -1;\n"     # nginx's own, see lua/waits.lua


@pytest.fixture(name="place")
def empty_directory():
    path = tempfile.mkdtemp(prefix="waits.", dir=conf.BUILD)
    yield path
    shutil.rmtree(path)


@pytest.fixture(name="waits")
def run_waits(place):
    """Runs a test of lua/waits.lua and returns what it prints."""
    source, library = (os.path.join(place, x) for x in ("nginx.c", "nginx.so"))
    with open(source, "w", encoding="ascii") as f:
        f.write(CHANNEL)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source],
                   check=True)

    def run(name, *options):
        done = subprocess.run(
            ["luajit", *options,
             os.path.join(conf.ROOT, "test/nginx/lua/waits.lua"), name],
            env={**os.environ, "LUA_PATH": conf.LUA_PATH,
                 "LUA_CPATH": conf.LUA_CPATH, "LD_PRELOAD": library},
            cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.mark.parametrize("how", ["asleep", "polling"])
def test_a_slice_of_a_wait_allocates_nothing(waits, how):
    """In 10,000 slices; the least that there is has 16 bytes."""
    assert float(waits(how)) < 10000 * 16 / 4


@pytest.mark.parametrize("how, numbers", [("asleep", 5), ("polling", 2)])
def test_the_interpreter_boxes_numbers_and_allocates_nothing_else(
        waits, how, numbers):
    """Those of 64 bits that C returns or a struct has: 24 bytes each."""
    assert float(waits(how, "-joff")) == 10000 * 24 * numbers


def test_two_waits_that_take_turns_have_a_patience_each(waits):
    """Each ends when it has seen one holder for longer than lock_timeout."""
    first, second = waits("interleaved").split(", ")
    assert first == "first after 1100ULL"
    assert second == "second after 1600ULL"
