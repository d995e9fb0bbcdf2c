# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Fixtures of the folders that drive nginx: one for each test, judged and
cleared away after it."""

import contextlib
import itertools
import os
import re
import subprocess
import sys

import pytest

import conf
import leftovers
import proc
from traced import Traced

number = itertools.count(1)
PREFIXES = os.path.join(conf.BUILD, "test-nginx")


def pytest_configure(config):
    sys.dont_write_bytecode = True
    proc.adopt_orphans()
    proc.end_politely()     # it goes through the teardowns, too


def forbidden(why):
    """Skips what this machine forbids; CI is a machine that does not."""
    if os.environ.get("CI", "") not in ("", "0", "false"):
        pytest.fail(f"this must run in CI: {why}")
    pytest.skip(why)


@pytest.fixture
def root():
    if os.geteuid():
        forbidden("needs root")


@pytest.fixture
def private_mounts(root):
    """Commands run under `unshare -m` may mount."""
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/dev/shm"],
        capture_output=True, text=True, check=False)
    if tried.returncode:
        forbidden(f"mounts are forbidden: {tried.stderr.strip()}")


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
                with (contextlib.suppress(FileNotFoundError),
                      open(path, encoding="utf-8", errors="replace") as f):
                    report.sections.append((path, f.read()[-8000:]))


def prefix(item):
    """Made here: the end of a test in another process may remove PREFIXES, if
    it is empty, between two steps of makedirs."""
    name = re.sub(r"[^\w]+", "-", item.name)[:60]
    path = os.path.join(PREFIXES, f"{os.getpid()}-{next(number)}-{name}")
    while not os.path.isdir(path):
        with contextlib.suppress(FileNotFoundError):
            os.makedirs(path)
    return path


@pytest.fixture
def make(request):
    """Makes a Traced from parameters; the test starts it. One that runs as
    the test ends is stopped gracefully."""
    item = request.node
    item.nginxes = []
    item.passed = False

    def maker(beside=None, **params):
        if beside:
            n = Traced(beside.prefix, "second", **{
                **{k: v for k, v in beside.params.items() if k != "name"},
                **params})
        else:
            n = Traced(prefix(item), **params)
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
                n.remove()
    finally:
        leftovers.kill_all()
        leftovers.remove(itertools.chain(
            *(n.segments() for n in item.nginxes)))
        with contextlib.suppress(OSError):
            os.rmdir(PREFIXES)


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
