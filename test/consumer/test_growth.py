# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""A later minor version, whose structs and records are longer, beside this one:
programs of either run with the library of the other, with a monitor as well.
test/nginx has that each takes over a running node of the other."""

import itertools
import os
import re
import subprocess

import pytest

import conf
import later
from conftest import source


@pytest.fixture(scope="module", name="versions")
def make_versions(tmp_path_factory):
    """{name: folder} of both, each with its libraries and a program of it."""
    folders = {}
    for name in later.MINOR:
        folder = str(tmp_path_factory.mktemp(name))
        later.build(folder, name)
        later.build_monitor(folder)
        subprocess.run(
            ["gcc", "-Wall", "-Wextra", "-Werror", "-std=gnu11",
             *(["-DGROWN"] if name == "later" else []), f"-I{folder}",
             f"-I{folder}/monitor", f"{conf.ROOT}/test/consumer/growth.c",
             "-o", f"{folder}/growth", f"-L{folder}", f"-L{folder}/monitor",
             "-lwm-monitor", "-lwm"], check=True)
        folders[name] = folder
    return folders


def check_run(versions, what, program, library, monitor):
    """A program of one version with libraries of another, or of others."""
    folder = versions[program]
    done = subprocess.run(
        [f"{folder}/growth", what], text=True, check=False, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "DIRECTORY": folder, "KNOWN": library,
             "VIEWED": monitor, "LD_LIBRARY_PATH":
             f"{versions[library]}:{versions[monitor]}/monitor"})
    assert (done.returncode, done.stdout) == (
        0, f"version 1.{later.MINOR[library]}\n")


@pytest.mark.parametrize("program, library",
                         itertools.product(later.MINOR, repeat=2))
def test_a_program_of_one_version_runs_with_the_library_of_another(
        versions, program, library):
    check_run(versions, "use", program, library, library)


@pytest.mark.parametrize("program, monitor, library",
                         itertools.product(later.MINOR, repeat=3))
def test_a_monitor_of_one_version_serves_a_program_of_another(
        versions, program, monitor, library):
    """And looks with the libwm of any."""
    check_run(versions, "follow", program, library, monitor)


def test_every_public_struct_grows_or_says_that_it_does_not():
    header = source("libwm/wm.h")
    for name in ("wm_counts", "wm_lock_hold"):
        comment = re.search(rf"/\*((?:(?!\*/).)*)\*/\nstruct {name} {{", header,
                            re.S)[1]
        assert "does not" in comment
    listed = {"wm_generation_info", "wm_worker_info", "wm_log_entry"}
    for name in set(later.public_structs(header)) - listed:
        first = re.search(rf"^struct {name} {{\n\s*(.*)$", header, re.M)[1]
        assert first.startswith("uint32_t size;"), name
