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

# Writes the file `noise` over the mapping of every segment of the process.
SCRIBBLE = """
    location /scribble { content_by_lua_block {
        local ffi = require "ffi"
        local noise = io.open(ngx.config.prefix() .. "noise", "rb"):read("*a")
        for line in io.lines("/proc/self/maps") do
            local from = line:match("^(%x+)%-%x+ rw.* /dev/shm/wm%.")
            if from then
                ffi.copy(ffi.cast("char *", tonumber(from, 16)), noise, #noise)
            end
        end
    } }"""
SEED = int(os.environ.get("WM_SEED") or random.randrange(1, 1 << 30))
NOISES = {
    "noise": lambda size: random.Random(SEED).randbytes(size),
    "zeros": bytes,
    "ones": lambda size: b"\xff" * size,
}
LOST = r"\[error\].*worker manager: worker \d+-\d+ is not tracked any more"
UNTRACKED = r"\[error\].*worker manager: worker \d+-\d+ is not tracked: "
OURS = r"worker manager: "


@pytest.mark.parametrize("noise", NOISES)
def test_every_worker_says_once_that_the_segment_is_lost_and_serves_on(
        make, both, noise):
    """A reload goes on without the service, until nginx restarts."""
    print(f"WM_SEED={SEED}")
    n = make(workers=3, opts={"name": conf.own("test-garbage"),
                              "interval": 0.1},
             after_join="""
        ngx.timer.every(0.1, function() wmt.note("tick") end)""",
             server=SCRIBBLE, **both).start()
    n.modelled = n.complete = n.succeeds = False
    for said in (
            r"\[error\].*manager: not given: ", LOST, UNTRACKED,
            r"\[error\].*manager: cannot begin a generation: damaged",
            r"\[warn\].*manager: 1 damaged file",
            # One that was in the lock at that moment says so, too.
            r"manager: (events of other workers stay owed|what this"
            r" worker is to be told waits): damaged"):
        n.expect(said)
    (segment,) = n.segments()
    with open(n.path("noise"), "wb") as f:
        f.write(NOISES[noise](os.path.getsize(segment)))
    n.mark = len(n.log())
    assert n.get("/scribble") == 200
    n.wait_log(LOST, 3)
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
