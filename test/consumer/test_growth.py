# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""A later minor version, whose structs and records are longer, beside this one:
the facades' tests, compiled with the headers of either, run with the libraries
of the other. test/nginx has that each takes over a running node of the other.

AddressSanitizer is in the program and in the libraries: no struct of the caller
is read or written beyond its end."""

import glob
import itertools
import os
import subprocess

import pytest

import later
import leftovers
from conftest import BUILD, ROOT, run, source

SANITIZED = "-fsanitize=address"
PROGRAMS = glob.glob(f"{ROOT}/test/unit/*facade*.cpp")


@pytest.fixture(scope="module", name="versions")
def make_versions(tmp_path_factory):
    """{name: folder} of both, each with its libraries and a program of it."""
    folders = {}
    for name in later.VERSIONS:
        folder = folders[name] = str(tmp_path_factory.mktemp(name))
        later.build(folder, name, SANITIZED)
        later.build_monitor(folder, SANITIZED)
        run("g++", SANITIZED, "-std=c++20", "-D_GNU_SOURCE",
            *(f"-I{x}" for x in (folder, f"{folder}/monitor", f"{ROOT}/cpp",
                                 f"{ROOT}/test/support")),
            *PROGRAMS, f"{BUILD}/test/libwm-test-support.a", "-o",
            f"{folder}/program", "-Wl,--wrap=wm_monitor_create",
            f"-L{folder}/monitor", f"-L{folder}", "-lwm-monitor", "-lwm",
            "-lcmocka", "-pthread")
    return folders


@pytest.mark.parametrize("program, monitor, library",
                         itertools.product(later.VERSIONS, repeat=3))
def test_a_program_runs_with_a_monitor_and_a_library_of_any_version(
        versions, program, monitor, library):
    command = f"{versions[program]}/program"
    paths = [f"{versions[monitor]}/monitor", versions[library]]
    env = {"LD_LIBRARY_PATH": ":".join(paths)}
    loaded = run("ldd", command, **env)
    assert f"{paths[0]}/libwm-monitor.so.1" in loaded
    assert f"{paths[1]}/libwm.so.1" in loaded
    process = subprocess.Popen([command], env={**os.environ, **env})
    try:
        assert process.wait() == 0
    finally:        # AddressSanitizer ends it where it stands
        leftovers.remove(glob.glob(f"/dev/shm/wm.*-{process.pid}.*"))


def test_every_public_struct_that_grows_begins_with_its_size():
    header = source("libwm/wm.h")
    listed = {"wm_generation_info", "wm_worker_info", "wm_log_entry"}
    for name in set(later.public_structs(header)) - listed:
        assert f"\nstruct {name} {{\n    uint32_t size;" in header, name
