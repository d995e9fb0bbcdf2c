# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""A benchmark that fails leaves nothing, with a thousand workers up."""

import os
import signal
import subprocess
import sys

import pytest

import conf
import proc

# A benchmark with one thing changed: it fails as its first figure is wanted.
FAILING = """
import in_nginx, proc
in_nginx.PATIENCE = {}
proc.adopt_orphans()
proc.end_politely()
def fail(server, *_):
    print(server.prefix, len(server.workers()), flush=True)
    {}
in_nginx.Server.{} = fail
in_nginx.heartbeats([1024])
"""


@pytest.mark.parametrize("patience, body, where, expected", [
    (600, "raise SystemExit(9)", "cost", 9),
    (600, "import time\n    while True: time.sleep(.1)", "cost", 1),
    (1, "return []", "up", 1),
], ids=["failed", "interrupted", "impatient as they come up"])
def test_a_benchmark_that_fails_leaves_nothing(
        patience, body, where, expected):
    before = set(os.listdir("/dev/shm"))
    code = FAILING.format(patience, body, where)
    path = f"{conf.ROOT}/test/support:{conf.ROOT}/bench"
    with subprocess.Popen([sys.executable, "-c", code], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, "PYTHONPATH": path}) as bench:
        prefix, workers = bench.stdout.readline().split()
        if where == "cost":
            assert int(workers) == 1024
        if "sleep" in body:     # a signal just before a pause would be lost
            bench.send_signal(signal.SIGTERM)
        try:
            bench.communicate(timeout=5 * proc.DEADLINE)
        finally:
            bench.kill()
        assert bench.returncode == expected
    assert not os.path.exists(prefix)
    assert not proc.descendants(os.getpid())
    instance = os.path.basename(prefix)
    assert not [x for x in set(os.listdir("/dev/shm")) - before
                if instance in x]
