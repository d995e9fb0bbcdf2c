# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Each script tells its usage, and what is wrong with its arguments, before it
builds anything; and no test is run where none of that name is."""

import os
import subprocess

import pytest

import conf

SCRIPTS = ("bench/run", "lua/example/run", "test/arm64/run", "test/chaos/run",
           "test/fuzz/run", "test/lint", "test/mutants/run", "test/orders",
           "test/run", "test/suite")


@pytest.fixture(name="call")
def fixture_call(tmp_path):
    """Calls a script as from a fresh clone: its status, output and errors."""
    build = tmp_path / "build"

    def call(script, *arguments):
        env = {x: y for x, y in os.environ.items() if x != "PYTHONPATH"}
        done = subprocess.run(
            [os.path.join(conf.ROOT, script), *arguments], check=False,
            env={**env, "WM_BUILD": str(build)}, capture_output=True,
            text=True, timeout=60)
        assert not build.exists()
        return done.returncode, done.stdout, done.stderr
    return call


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_some_lines_of_its_own(call, script):
    status, said, errors = call(script, "--help")
    assert (status, errors) == (0, "")
    assert said.startswith(f"usage: {script}")
    assert 2 < len(said.splitlines()) < 30


@pytest.mark.parametrize("script, arguments, says", [
    *((script, ["--frob"], "--frob") for script in SCRIPTS),
    ("test/chaos/run", ["--seed"], "--seed wants a value"),
    ("test/lint", ["nonesuch.c"], "nothing is set up in"),
    ("test/suite", [], "what is to be run?"),
])
def test_a_wrong_argument_is_told_in_one_line(call, script, arguments, says):
    status, said, errors = call(script, *arguments)
    assert status != 0 and said == ""
    (line,) = errors.splitlines()
    assert says in line


def test_the_linter_names_a_file_that_is_not_compiled():
    done = subprocess.run(
        [os.path.join(conf.ROOT, "test/lint"), "nonesuch.c"], check=False,
        env={**os.environ, "WM_BUILD": conf.BUILD}, capture_output=True,
        text=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert "nonesuch.c" in line and "does not compile" in line


@pytest.mark.parametrize("program, arguments, tests, status, says", [
    ("unit/test-lock", [], "nope", 1, "no test matches nope"),
    ("crash/test-stepping", ["paused", "nope*"], None, 1,
     "no test matches nope*"),
    ("crash/test-stepping", ["bogus"], None, 2, "killed|paused|paired"),
])
def test_a_name_without_a_test_is_a_failure(program, arguments, tests, status,
                                            says):
    env = {x: y for x, y in os.environ.items() if x != "WM_TESTS"}
    done = subprocess.run(
        [os.path.join(conf.BUILD, "test", program), *arguments],
        env={**env, **({"WM_TESTS": tests} if tests else {})}, check=False,
        capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (status, "")
    assert says in done.stderr


@pytest.mark.parametrize("folder", ["nginx", "tools"])
def test_without_a_build_pytest_says_so_once(tmp_path, folder):
    done = subprocess.run(
        ["pytest-3", "-q", os.path.join(conf.ROOT, "test", folder)],
        env={**os.environ, "WM_BUILD": str(tmp_path)}, check=False,
        capture_output=True, text=True, timeout=60)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"nothing is built in {tmp_path}: meson compile -C" in (
        done.stdout + done.stderr)
    assert " failed" not in done.stdout
