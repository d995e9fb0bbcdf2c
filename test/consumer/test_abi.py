# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The ABI is the one that was written down, and a break is found."""

import os
import platform
import re
import subprocess

import pytest

from conftest import BUILD, ROOT, run, source

ABI = os.path.join(ROOT, "libwm/abi")
LIBRARIES = [f"{x}.{platform.machine()}.xml" for x in ("wm", "wm_monitor")]
HINT = "if the ABI has grown, libwm/abi/renew writes it down"

pytestmark = pytest.mark.skipif(
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


def test_the_abi_is_the_one_that_was_written_down(place):
    run(os.path.join(ABI, "renew"), BUILD, place)
    changes = compare(ABI, place)
    assert not changes, f"{changes}\n{HINT}"
    with open(os.path.join(place, "constants"), encoding="utf-8") as f:
        now = f.read().splitlines()
    assert source("libwm/abi/constants").splitlines() == now, HINT


@pytest.mark.parametrize("library, old, new, found", [
    (0, r"(?s)('wm_leader'.*?)'192'(.*?)'224'", r"\1'224'\2'192'", "wm_leader"),
    (0, r"\bwm_beat_at\b", "wm_beat_gone", "wm_beat_gone"),
    (1, r"('wm_view' size-in-bits)='\d+'", r"\1='64'", "wm_view"),
    (1, r"\bwm_monitor_view_end\b", "wm_monitor_gone", "wm_monitor_gone")])
def test_a_break_is_found(place, library, old, new, found):
    """The written ABI had this otherwise: members changed places, a function
    that is gone, another size."""
    for name in LIBRARIES:
        text = source(ABI, name)
        if name == LIBRARIES[library]:
            text, changes = re.subn(old, new, text)
            assert changes
        with open(os.path.join(place, name), "w", encoding="utf-8") as f:
            f.write(text)
    assert found in compare(place, ABI)
