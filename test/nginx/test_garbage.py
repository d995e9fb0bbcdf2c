# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""A worker that writes over the whole segment costs the others the service,
and nothing else."""

import os
import random
import re

import pytest

import conf
import proc
from proc import wait
from rows import life

# Writes this over the mapping of every segment of the process.
SCRIBBLE = """
    location /%s {
        content_by_lua_block {
            local ffi = require "ffi"
            for line in io.lines("/proc/self/maps") do
                local from, to = line:match(
                    "^(%%x+)%%-(%%x+) rw.* /dev/shm/wm%%.")
                if from then
                    from, to = tonumber(from, 16), tonumber(to, 16)
                    local base = ffi.cast("char *", ffi.cast("uintptr_t",
                                                             from))
                    %s
                end
            end
        }
    }"""
NOISES = {
    "noise": "local noise = io.open(ngx.config.prefix() .. 'noise', 'rb')"
             ":read('*a') ffi.copy(base, noise, #noise)",
    "zeros": "ffi.fill(base, to - from)",
    "ones": "ffi.fill(base, to - from, 255)",
}
LOST = r"\[error\].*worker manager: worker \d+-\d+ is not tracked any more"
UNTRACKED = r"\[error\].*worker manager: worker \d+-\d+ is not tracked: "
OURS = r"worker manager: "


def make_noise(n):
    """As much as there is of the segment."""
    seed = int(os.environ.get("WM_SEED") or random.randrange(1, 1 << 30))
    print(f"WM_SEED={seed}")
    (segment,) = n.segments()
    with open(n.path("noise"), "wb") as f:
        f.write(random.Random(seed).randbytes(os.path.getsize(segment)))


def spoilt(make, noise, **params):
    """Three workers that have all found the segment written over."""
    n = make(workers=3, opts={"name": conf.own("test-garbage"),
                              "interval": 0.1},
             after_join="""
        ngx.timer.every(0.1, function() wmt.note("tick") end)""",
             server="".join(SCRIBBLE % x for x in NOISES.items()),
             **params).start()
    n.modelled = n.complete = n.succeeds = False
    n.expect(LOST)
    n.expect(UNTRACKED)
    n.expect(r"\[error\].*worker manager: not given: ")
    n.expect(r"\[error\].*worker manager: cannot begin a generation: damaged")
    n.expect(r"\[warn\].*worker manager: 1 damaged file")
    # A worker that was in the lock at that moment says so, too.
    n.expect(r"worker manager: (events of other workers stay owed|what this"
             r" worker is to be told waits): damaged")
    if noise == "noise":
        make_noise(n)
    n.mark = len(n.log())
    assert n.get("/" + noise) == 200
    n.wait_log(LOST, 3)
    return n


@pytest.mark.parametrize("noise", NOISES)
def test_every_worker_says_once_that_the_segment_is_lost_and_serves_on(
        make, both, noise):
    n = spoilt(make, noise, **both)
    workers = n.current()
    said = n.log_lines(LOST)
    assert sorted(int(re.search(r"\d+-(\d+) is", x)[1]) for x in said) == (
        sorted(workers))
    loud = len(n.log_lines(OURS))
    before, ticks = sum(map(proc.cpu, workers)), len(n.notes("tick"))
    n.wait_note("tick", ticks + 30)     # ten heartbeats of each
    assert sum(map(proc.cpu, workers)) - before < 0.5, "somebody spins"
    assert len(n.log_lines(OURS)) == loud, "it is said again"
    assert n.current() == workers
    assert n.get() == 204
    n.stop()
    (path,) = n.segments()  # the next start is told
    os.unlink(path)


@pytest.mark.parametrize("noise", NOISES)
def test_a_reload_goes_on_without_the_service_until_nginx_restarts(
        make, both, noise):
    n = spoilt(make, noise, **both)
    n.reload()
    assert len(n.log_lines("cannot begin a generation: damaged")) == 1
    assert len(n.log_lines(UNTRACKED)) == 3
    assert n.get() == 204
    n.kill(n.current()[0])
    wait(lambda: len(n.current()) == 3, "the replacement")
    n.wait_log(UNTRACKED, 1)
    assert n.get() == 204
    n.stop()
    before = n.rows()
    n.start_again()
    n.stop(before + life(3))
