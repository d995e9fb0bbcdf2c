# SPDX-License-Identifier: Apache-2.0
"""A benchmark that fails leaves nothing, however many workers are up."""

import os
import subprocess
import sys

import pytest

import conf
import proc

WORKERS = os.environ.get("WM_WORKERS", "64")
# A benchmark with one thing changed: it fails as its first figure is wanted.
FAILING = """
import in_nginx, os, proc, signal
in_nginx.PATIENCE = {}
proc.adopt_orphans()
proc.end_politely()
def fail(server, *_):
    print(server.prefix, len(server.pids), flush=True)
    {}
in_nginx.Server.{} = fail
in_nginx.heartbeats([int(os.environ["WM_WORKERS"])])
"""


@pytest.mark.parametrize("patience, body, where, expected", [
    (600, "raise SystemExit(9)", "cost", 9),
    (600, "os.kill(os.getpid(), signal.SIGTERM)", "cost", 1),
    (1, "return []", "up", 1),
], ids=["failed", "interrupted", "impatient as they come up"])
def test_a_benchmark_that_fails_leaves_nothing(
        patience, body, where, expected):
    path = f"{conf.ROOT}/test/support:{conf.ROOT}/bench"
    bench = subprocess.run(
        [sys.executable, "-c", FAILING.format(patience, body, where)],
        text=True, capture_output=True, check=False, timeout=5 * proc.DEADLINE,
        env={**os.environ, "PYTHONPATH": path, "WM_WORKERS": WORKERS})
    prefix, workers = bench.stdout.split()[:2]
    assert bench.returncode == expected
    assert where == "up" or workers == WORKERS
    assert not os.path.exists(prefix)
    assert not proc.family(os.getpid())
    instance = os.path.basename(prefix)
    assert not [x for x in os.listdir("/dev/shm") if instance in x]
