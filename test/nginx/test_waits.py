# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""How the module waits for the lock: outside nginx, in the same LuaJIT."""

import os
import subprocess

import pytest

import conf


@pytest.fixture
def waits(tmp_path):
    """Runs a test of lua/waits.lua and returns what it prints."""
    channel = str(tmp_path / "nginx.so")        # nginx's own
    subprocess.run(["gcc", "-shared", "-fPIC", "-xc", "-o", channel, "-"],
                   input="int ngx_channel = -1;", text=True, check=True)

    def run(name, *options):
        done = subprocess.run(
            ["luajit", *options, f"{conf.ROOT}/test/nginx/lua/waits.lua", name],
            env={**os.environ, "LUA_PATH": conf.LUA_PATH,
                 "LUA_CPATH": conf.LUA_CPATH, "LD_PRELOAD": channel},
            cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.mark.parametrize("how, numbers", [("asleep", 5), ("polling", 2)])
def test_a_slice_of_a_wait_allocates_nothing(waits, how, numbers):
    """In 10,000 slices; the least that there is has 16 bytes. The interpreter
    boxes numbers of 64 bits that C returns or a struct has, 24 bytes each, and
    allocates nothing else."""
    assert float(waits(how)) < 10000 * 16 / 4
    assert float(waits(how, "-joff")) == 10000 * 24 * numbers


def test_two_waits_that_take_turns_have_a_patience_each(waits):
    """Each ends when it has seen one holder for longer than lock_timeout."""
    assert waits("interleaved") == (
        "first after 1100ULL, second after 1600ULL")
