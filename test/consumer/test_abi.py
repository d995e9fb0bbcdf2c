# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The ABI is the one that was written down, and a break is found."""

import glob
import os
import platform
import shutil
import subprocess

import pytest

from conftest import LIBRARY, ROOT, run, source

ABI = os.path.join(ROOT, "libwm/abi")
BASELINE = os.path.join(ABI, platform.machine() + ".xml")
HINT = "if the ABI has grown, libwm/abi/renew writes it down"

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64",
    reason="the ABI was written down for x86_64; allowed in CI")


def compare(library, place):
    """What has changed since the baseline; additions do not count."""
    run(os.path.join(ABI, "renew"), library, place)
    done = subprocess.run(
        ["abidiff", "--no-added-syms", BASELINE,
         os.path.join(place, os.path.basename(BASELINE))],
        text=True, capture_output=True, check=False)
    assert done.returncode & 3 == 0, done.stderr    # not even tried
    return done.stdout if done.returncode else ""


def build(place, name, old, new):
    """The library after a change to one of its files."""
    folder = os.path.join(place, "libwm")
    shutil.copytree(os.path.join(ROOT, "libwm"), folder)
    text = source("libwm", name)
    assert old in text
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        f.write(text.replace(old, new))
    run("gcc", "-g", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", "libwm.so",
        "-Wl,-soname,libwm.so.1", "-Wl,--version-script,libwm.map",
        *glob.glob(f"{folder}/*.c"), cwd=folder)
    return os.path.join(folder, "libwm.so")


def test_the_abi_is_the_one_that_was_written_down(place):
    changes = compare(LIBRARY, place)
    assert not changes, f"{changes}\n{HINT}"
    with open(os.path.join(place, "constants"), encoding="utf-8") as f:
        now = f.read().splitlines()
    assert source("libwm/abi/constants").splitlines() == now, HINT


@pytest.mark.parametrize("name, old, new, found", [
    ("wm.h", "    int32_t pid;\n    uint32_t slot;\n    uint32_t term;",
     "    uint32_t slot;\n    int32_t pid;\n    uint32_t term;", "wm_leader"),
    ("libwm.map", "    wm_beat_at;\n", "", "wm_beat_at")])
def test_a_break_is_found(place, name, old, new, found):
    assert found in compare(build(place, name, old, new), place)
