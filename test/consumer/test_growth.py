# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""A later minor version, whose structs and records are longer, beside this one:
programs of either run with the library of the other, and each takes over a
running node of the other; the same for programs with a monitor."""

import itertools
import os
import re
import subprocess

import pytest

import conf
import later


def build_program(folder, *options):
    program = f"{folder}/growth"
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", "-std=gnu11", f"-I{folder}",
         f"-I{folder}/monitor", *options,
         os.path.join(conf.ROOT, "test/consumer/growth.c"), "-o", program,
         f"-L{folder}", f"-L{folder}/monitor", "-lwm-monitor", "-lwm"],
        check=True)
    return program


@pytest.fixture(scope="module", name="versions")
def make_versions(tmp_path_factory):
    """{name: folder} of both, each with its libraries and a program of it."""
    folders = {}
    for name in later.MINOR:
        folder = str(tmp_path_factory.mktemp(name))
        later.build(folder, name)
        later.build_monitor(folder)
        build_program(folder, *(["-DGROWN"] if name == "later" else []))
        folders[name] = folder
    return folders


def run(versions, program, library, *arguments, monitor=None):
    """A program of one version with libraries of another, or of others."""
    folder, grown = versions[program], {"this": "no", "later": "yes"}
    monitor = monitor or library
    return subprocess.run(
        [f"{folder}/growth", *arguments], text=True, check=False, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "DIRECTORY": folder, "KNOWN": grown[library],
             "VIEWED": grown[monitor], "LD_LIBRARY_PATH":
             f"{versions[library]}:{versions[monitor]}/monitor"})


def says(*libraries):
    """What a program prints that goes well with these libraries."""
    return "".join(f"version 1.{later.MINOR[x]}\n" for x in libraries)


PAIRS = list(itertools.product(later.MINOR, repeat=2))


@pytest.mark.parametrize("program, library", PAIRS)
def test_a_program_of_one_version_runs_with_the_library_of_another(
        versions, program, library):
    done = run(versions, program, library, "use", "use")
    assert (done.returncode, done.stdout) == (0, says(library))


@pytest.mark.parametrize("program, monitor, library",
                         itertools.product(later.MINOR, repeat=3))
def test_a_monitor_of_one_version_serves_a_program_of_another(
        versions, program, monitor, library):
    """And looks with the libwm of any."""
    done = run(versions, program, library, "follow", "follow", monitor=monitor)
    assert (done.returncode, done.stdout) == (0, says(library))


@pytest.mark.parametrize("old, new", PAIRS)
def test_a_running_node_of_one_version_is_taken_over_by_another(versions, old,
                                                                new):
    """The program is this version's: it is the library that differs."""
    done = run(versions, "this", old, "upgrade", f"heir-{old}-{new}",
               f"{versions[new]}:{versions[new]}/monitor")
    assert (done.returncode, done.stdout) == (0, says(new, old))


def test_every_public_struct_grows_or_says_that_it_does_not():
    with open(os.path.join(later.LIBRARY, "wm.h"), encoding="utf-8") as f:
        header = f.read()
    for name in ("wm_counts", "wm_lock_hold"):
        comment = re.search(rf"/\*((?:(?!\*/).)*)\*/\nstruct {name} {{", header,
                            re.S)[1]
        assert "does not" in comment
    listed = {"wm_generation_info", "wm_worker_info", "wm_log_entry"}
    for name in set(later.public_structs(header)) - listed:
        first = re.search(rf"^struct {name} {{\n\s*(.*)$", header, re.M)[1]
        assert first.startswith("uint32_t size;"), name
