# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The ABI is the one that was written down, and a break is found."""

import glob
import os
import platform
import shutil
import subprocess

import pytest

from conftest import BUILD, ROOT, run, source

ABI = os.path.join(ROOT, "libwm/abi")
LIBRARIES = ("wm", "wm_monitor")
HINT = "if the ABI has grown, libwm/abi/renew writes it down"

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64",
    reason="the ABI was written down for x86_64; allowed in CI")


def compare(build, place):
    """What has changed since the baselines; additions do not count."""
    changes = ""
    run(os.path.join(ABI, "renew"), build, place)
    for name in LIBRARIES:
        file = f"{name}.{platform.machine()}.xml"
        done = subprocess.run(
            ["abidiff", "--no-added-syms", os.path.join(ABI, file),
             os.path.join(place, file)],
            text=True, capture_output=True, check=False)
        assert done.returncode & 3 == 0, done.stderr    # not even tried
        changes += done.stdout if done.returncode else ""
    return changes


def link(folder, name, *options):
    """A library of all C files of a folder."""
    run("gcc", "-g", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", f"{name}.so",
        f"-Wl,-soname,{name}.so.1", f"-Wl,--version-script,{name}.map",
        *glob.glob(f"{folder}/*.c"), *options, cwd=folder)


def build(place, name, old, new):
    """A build directory after a change to one of the files."""
    folder = os.path.join(place, "libwm")
    shutil.copytree(os.path.join(ROOT, "libwm"), folder)
    text = source("libwm", name)
    assert old in text
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        f.write(text.replace(old, new))
    link(folder, "libwm")
    link(os.path.join(folder, "monitor"), "libwm-monitor", "-I..", "-lurcu-bp",
         "../libwm.so")
    return place


def test_the_abi_is_the_one_that_was_written_down(place):
    changes = compare(BUILD, place)
    assert not changes, f"{changes}\n{HINT}"
    with open(os.path.join(place, "constants"), encoding="utf-8") as f:
        now = f.read().splitlines()
    assert source("libwm/abi/constants").splitlines() == now, HINT


@pytest.mark.parametrize("name, old, new, found", [
    ("wm.h", "    int32_t pid;\n    uint32_t slot; /* WM_NO_SLOT: nobody leads",
     "    uint32_t slot;\n    int32_t pid; /* WM_NO_SLOT: nobody leads",
     "wm_leader"),
    ("libwm.map", "    wm_beat_at;\n", "", "wm_beat_at"),
    ("monitor/wm_monitor.h", "    uint32_t live; ", "    uint64_t live; ",
     "wm_view"),
    ("monitor/libwm-monitor.map", "    wm_monitor_view_end;\n", "",
     "wm_monitor_view_end")])
def test_a_break_is_found(place, name, old, new, found):
    assert found in compare(build(place, name, old, new), place)
