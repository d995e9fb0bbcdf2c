# SPDX-License-Identifier: Apache-2.0
"""The ABI is the one that was written down, and a break is found.

A later minor version, whose structs and records are longer, beside this one:
the facades' tests, compiled with the headers of either, run with the libraries
of the other. test/nginx has that each takes over a running node of the other.
AddressSanitizer is in the program and in the libraries: no struct of the caller
is read or written beyond its end."""

import glob
import itertools
import os
import platform
import re
import subprocess

import pytest

import later
import leftovers
from conftest import BUILD, ROOT, run, source, write

ABI = os.path.join(ROOT, "libwm/abi")
LIBRARIES = [f"{x}.{platform.machine()}.xml" for x in ("wm", "wm_monitor")]
HINT = "if the ABI has grown, libwm/abi/renew writes it down"

written_here = pytest.mark.skipif(
    platform.machine() != "x86_64",
    reason="the ABI was written down for x86_64; allowed in CI")


def compare(baselines, place):
    """All changes since then; additions do not count."""
    changes = ""
    for name in LIBRARIES:
        done = subprocess.run(
            ["abidiff", "--no-added-syms", os.path.join(baselines, name),
             os.path.join(place, name)],
            text=True, capture_output=True, check=False)
        assert done.returncode & 3 == 0, done.stderr    # not even tried
        changes += done.stdout if done.returncode else ""
    return changes


@written_here
def test_the_abi_is_the_one_that_was_written_down(place):
    run(os.path.join(ABI, "renew"), BUILD, place)
    changes = compare(ABI, place)
    assert not changes, f"{changes}\n{HINT}"
    assert source("libwm/abi/constants") == source(place, "constants"), HINT


@written_here
@pytest.mark.parametrize("library, old, new, found", [
    (0, r"(?s)('wm_leader'.*?)'192'(.*?)'224'", r"\1'224'\2'192'", "wm_leader"),
    (0, r"\bwm_beat_at\b", "wm_beat_gone", "wm_beat_gone"),
    (1, r"('wm_view' size-in-bits)='\d+'", r"\1='64'", "wm_view"),
    (1, r"\bwm_monitor_view_end\b", "wm_monitor_gone", "wm_monitor_gone")])
def test_a_break_is_found(place, library, old, new, found):
    """The written ABI had members elsewhere, a function more, another size."""
    for name in LIBRARIES:
        text = source(ABI, name)
        if name == LIBRARIES[library]:
            text, changes = re.subn(old, new, text)
            assert changes
        write(os.path.join(place, name), text)
    assert found in compare(place, ABI)


SANITIZED = "-fsanitize=address"


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
            *glob.glob(f"{ROOT}/test/unit/*facade*.cpp"),
            f"{BUILD}/test/libwm-test-support.a", "-o", f"{folder}/program",
            "-Wl,--wrap=wm_monitor_create",
            f"-L{folder}/monitor", f"-L{folder}", "-lwm-monitor", "-lwm",
            "-lcmocka", "-pthread")
    return folders


@pytest.mark.parametrize("program, monitor, library",
                         itertools.product(later.VERSIONS, repeat=3))
def test_a_program_runs_with_a_monitor_and_a_library_of_any_version(
        versions, program, monitor, library):
    path = f"{versions[monitor]}/monitor:{versions[library]}"
    process = subprocess.Popen([f"{versions[program]}/program"],
                               env={**os.environ, "LD_LIBRARY_PATH": path})
    try:
        assert process.wait() == 0
    finally:        # AddressSanitizer ends it where it stands
        leftovers.remove(glob.glob(f"/dev/shm/wm.*-{process.pid}.*"))


def test_every_public_struct_that_grows_begins_with_its_size():
    header = source("libwm/wm.h")
    listed = {"wm_generation_info", "wm_worker_info", "wm_log_entry",
              "wm_node_entry"}
    for name in set(later.public_structs(header)) - listed:
        assert f"\nstruct {name} {{\n    uint32_t size;" in header, name
