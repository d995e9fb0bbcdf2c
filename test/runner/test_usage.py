# SPDX-License-Identifier: Apache-2.0
"""Each script tells its usage, and what is wrong with its arguments, before it
builds anything; and no test is run where none of that name is."""

import os
import subprocess

import pytest

import conf

SCRIPTS = ("bench/run", "lua/example/run", "test/arm64/run", "test/chaos/run",
           "test/fuzz/run", "test/lint", "test/mutants/run", "test/orders",
           "test/run", "test/suite", "test/systems/run")
TESTS = os.path.join(conf.BUILD, "test")


def call(program, *arguments, **env):
    """Its status, output and errors; a script is found from the root."""
    inherited = {x: y for x, y in os.environ.items()
                 if x not in ("PYTHONPATH", "WM_TESTS")}
    done = subprocess.run(
        [os.path.join(conf.ROOT, program), *arguments], check=False,
        env={**inherited, **env}, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(name="fresh")
def fixture_fresh(tmp_path):
    """As from a fresh clone."""
    yield {"WM_BUILD": str(tmp_path / "build")}
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_some_lines_of_its_own(fresh, script):
    status, said, errors = call(script, "--help", **fresh)
    assert (status, errors) == (0, "")
    assert said.startswith(f"usage: {script}")
    assert 2 < len(said.splitlines()) < 30


@pytest.mark.parametrize("script, arguments, says", [
    *((script, ["--frob"], "--frob") for script in SCRIPTS),
    (".ci/run", ["--frob"], "--frob"),
    ("test/chaos/run", ["--seed"], "--seed wants a value"),
    ("test/lint", ["nonesuch.c"], "nothing is set up in"),
    ("test/mutants/run", ["--mutant", "nonesuch"], "no mutant nonesuch"),
    ("test/suite", [], "what is to be run?"),
])
def test_a_wrong_argument_is_told_in_one_line(fresh, script, arguments, says):
    status, said, errors = call(script, *arguments, **fresh)
    assert status != 0 and said == ""
    (line,) = errors.splitlines()
    assert says in line


@pytest.mark.parametrize("command, env, status, says", [
    (["test/lint", "nonesuch.c"], {}, 2,
     f"nonesuch.c: {conf.BUILD} does not compile that"),
    ([f"{TESTS}/unit/test-lock"], {"WM_TESTS": "nope"}, 1,
     "no test matches nope"),
    ([f"{TESTS}/crash/test-stepping", "paused", "nope*"], {}, 1,
     "no test matches nope*"),
    ([f"{TESTS}/crash/test-stepping", "bogus"], {}, 2, "killed|paused|paired"),
])
def test_a_name_of_nothing_is_a_failure(command, env, status, says):
    got, said, errors = call(*command, WM_BUILD=conf.BUILD, **env)
    assert (got, said) == (status, "")
    assert says in errors


@pytest.mark.parametrize("folder", ["nginx", "tools"])
def test_without_a_build_pytest_says_so_once(tmp_path, folder):
    status, said, errors = call(
        "/usr/bin/pytest-3", "-q", os.path.join(conf.ROOT, "test", folder),
        WM_BUILD=str(tmp_path))
    assert status == pytest.ExitCode.USAGE_ERROR
    assert f"nothing is built in {tmp_path}: meson compile -C" in said + errors
    assert " failed" not in said
