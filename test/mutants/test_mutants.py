# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Takes one safeguard after another out of the library: tests must notice.

Each marker in libwm, a comment such as Safeguard: NAME, has an entry NAME in
one of the tables beside this file, and each entry a marker. A mutant that
survives, or that another claim finds, is a failure; so is a test that is red
without a mutant.
"""

import contextlib
import fcntl
import glob
import json
import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest

import conf
import mutants
from mutants import Unfit, affected, change

LIBRARY = os.path.join(conf.ROOT, "libwm")
OUTPUT = os.path.join(conf.BUILD, "mutants")
# The archives of the programs, and where their objects are made: the tests see
# the library's own ones, or those that tell of their moments.
ARCHIVES = {"test/libwm-inside.a": "libwm/libwm.so",
            "test/libwm-moments.a": "test/libwm-moments.a"}
PATIENCE = 120                      # seconds for one test

TEXTS = mutants.read_library(LIBRARY)
MARKERS = mutants.read_markers(TEXTS)
ENTRIES = mutants.read_tables(os.path.dirname(__file__))


def mutate(mutant, directory):
    """Copies the library, with the change; returns what is to be compiled."""
    shutil.rmtree(directory, ignore_errors=True)
    copy = os.path.join(directory, "libwm")
    shutil.copytree(LIBRARY, copy, ignore=shutil.ignore_patterns("*.md"))
    try:
        text = change(TEXTS[mutant.file], mutant.at, mutant.operation,
                      mutant.argument)
    except Unfit as e:
        pytest.fail(f"{mutant.file}: {mutant.operation} does not fit what "
                    f"follows the marker: {e}. Move the marker, or choose "
                    "another operation (README.md lists them)")
    with open(os.path.join(copy, mutant.file), "w", encoding="utf-8") as f:
        f.write(text)
    return [os.path.join(copy, name)
            for name in affected(TEXTS, mutant.file)]


# --- building -----------------------------------------------------------------

def call(command):
    done = subprocess.run(command, cwd=conf.BUILD, text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert not done.returncode, done.stdout
    return done.stdout


@pytest.fixture(name="commands", scope="session")
def fixture_commands():
    """(archive, file of the library) -> the command that compiles it."""
    path = os.path.join(conf.BUILD, "compile_commands.json")
    with open(path, encoding="utf-8") as f:
        commands = json.load(f)
    return {(archive, os.path.basename(c["file"])): shlex.split(c["command"])
            for c in commands for archive, origin in ARCHIVES.items()
            if c["output"].startswith(origin)}


def compile_source(path, archive, commands):
    """As the build does it, but for warnings: a mutant may leave something
    unused. The headers are those beside the file."""
    made = f"{path.removesuffix('.c')}.{os.path.basename(archive)}.o"
    command = commands[archive, os.path.basename(path)]
    if not os.path.exists(made):
        call([*command[:command.index("-MD")], "-w", "-o", made, "-c", path])
    return made


def link(program, paths, directory, commands):
    """The objects come before the archive that has the library's, and take
    their place."""
    command = shlex.split(call(["ninja", "-t", "commands", "-s", program]))
    archive = next(word for word in command if word in ARCHIVES)
    made = os.path.join(directory, os.path.basename(program))
    command[command.index("-o") + 1] = made
    at = command.index(archive)
    command[at:at] = [compile_source(path, archive, commands)
                      for path in paths]
    if not os.path.exists(made):
        call(command)
    return made


# --- running ------------------------------------------------------------------

def clean_up(process):
    """One that does not end would leave processes, and a segment."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for path in glob.glob(f"/dev/shm/wm.test-{process.pid}-*"):
        with contextlib.suppress(OSError), open(path, "rb") as f:
            # Those who take part in it have been killed, and end by and by.
            fcntl.flock(f, fcntl.LOCK_EX)
            os.unlink(path)


def run_test(program, test, log):
    """Runs the one test alone: its exit status and what it said."""
    env = {**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP",
           "WM_TESTS": test.name, "WM_SOURCE_ROOT": conf.ROOT}
    with open(log, "wb") as f:
        process = subprocess.Popen(
            [program, *test.program.split()[1:]], env=env, stdout=f, stderr=f,
            stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        status = process.wait(PATIENCE)
    finally:
        clean_up(process)
    with open(log, encoding="utf-8", errors="replace") as f:
        return status, f.read()


@pytest.mark.parametrize("name", sorted({*MARKERS, *ENTRIES}))
def test_it_is_found(name, commands):
    mutant = mutants.read_mutant(name, MARKERS[name], ENTRIES[name])
    directory = os.path.join(OUTPUT, name)
    paths = mutate(mutant, directory)
    for test in mutant.tests:
        target = "test/" + test.program.split()[0]
        log = os.path.join(directory, test.name + ".log")
        status, said = run_test(os.path.join(conf.BUILD, target), test, log)
        assert not status and re.search(
            rf"^ok \d+ - {test.name}$", said, re.MULTILINE), (
                f"not green without a mutant:\n{said}")
        program = link(target, paths, directory, commands)
        status, said = run_test(program, test, log)
        assert status, f"{test.name} does not notice: {mutant.harm}"
        assert test.says in said and re.search(
            rf"^not ok \d+ - {test.name}$", said, re.MULTILINE), (
                f"it is not {test.name} that is red, saying "
                f'"{test.says}":\n{said}')
