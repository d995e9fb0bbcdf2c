# SPDX-License-Identifier: Apache-2.0
"""Fixtures that drive nginx: one for each test, judged and cleared away."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

import conf
import leftovers
import proc
from traced import Traced


def pytest_configure(config):
    sys.dont_write_bytecode = True
    proc.adopt_orphans()
    proc.end_politely()     # it goes through the teardowns, too


@pytest.fixture
def root():
    if os.geteuid():
        pytest.skip("needs root")


@pytest.fixture
def no_dev_shm(root):
    """What to start a command under whose /dev/shm cannot be written to."""
    wrap = ["unshare", "-m", "sh", "-c",
            'mount -t tmpfs -o ro none /dev/shm && exec "$@"', "sh"]
    tried = subprocess.run([*wrap, "true"], capture_output=True, text=True,
                           check=False)
    if tried.returncode:
        pytest.skip(f"mounts are forbidden: {tried.stderr.strip()}")
    return wrap


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows what each nginx left in writing."""
    report = (yield).get_result()
    if report.when == "call":
        item.passed = report.passed
    if report.failed:
        for n in getattr(item, "nginxes", ()):
            for path in (n.file(".jsonl"), n.path("error.log"),
                         n.path("output")):
                report.sections.append((path, proc.read(path)[-8000:]))


def prefix(item):
    """A folder that is called as the test, which stays if that fails."""
    return tempfile.mkdtemp(
        prefix=re.sub(r"[^\w]+", "-", item.name)[:60] + ".",
        dir=os.path.join(conf.BUILD, "tmp"))


@pytest.fixture
def make(request):
    """Makes a Traced from parameters; the test starts it. One that runs as
    the test ends is stopped gracefully."""
    item = request.node
    item.nginxes = []
    item.passed = False

    def maker(beside=None, **params):
        n = (Traced(beside.prefix, "second", **params) if beside
             else Traced(prefix(item), **params))
        item.nginxes.append(n)
        return n

    try:
        yield maker
        if item.passed:
            for n in item.nginxes:
                if n.master:
                    n.stop()
            left = leftovers.kill_all()
            assert not left, f"processes left: {left}"
            for n in item.nginxes:
                n.check()
            for n in item.nginxes:
                shutil.rmtree(n.prefix, ignore_errors=True)
    finally:
        leftovers.kill_all()
        leftovers.remove(itertools.chain(
            *(n.segments() for n in item.nginxes)))


@pytest.fixture(params=["dict", "no dict"])
def dict_(request):
    return request.param == "dict"


@pytest.fixture(params=["exit_worker", "no exit_worker"])
def exit_worker(request):
    return request.param == "exit_worker"


@pytest.fixture
def both(dict_, exit_worker):
    """The four configurations in which every basic life is led."""
    return {"dict": dict_, "exit_worker": exit_worker}
