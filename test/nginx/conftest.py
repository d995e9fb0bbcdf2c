# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Fixtures: an nginx for each test, judged and cleared away after it."""

import itertools
import os
import re
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))

import conf
import leftovers
import proc
from nginx import Nginx

number = itertools.count(1)


def pytest_configure(config):
    sys.dont_write_bytecode = True
    proc.adopt_orphans()
    # A polite end of the run goes through the teardowns, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)


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
            for name in (n.file(".jsonl"), "error.log", "output"):
                try:
                    with open(n.path(name), encoding="utf-8",
                              errors="replace") as f:
                        text = f.read()[-8000:]
                except FileNotFoundError:
                    continue
                report.sections.append((n.path(name), text))


@pytest.fixture
def make(request):
    """Makes an Nginx from parameters; the test starts it."""
    item = request.node
    item.nginxes = []
    item.passed = False

    def maker(beside=None, **params):
        name = re.sub(r"[^\w]+", "-", item.name)[:60]
        prefix = os.path.join(conf.BUILD, "test-nginx",
                              f"{os.getpid()}-{next(number)}-{name}")
        if beside:
            prefix = beside.prefix
            params = {**beside.params, "name": "second", **params}
        n = Nginx(prefix, **params)
        item.nginxes.append(n)
        return n

    try:
        yield maker
        if item.passed:
            for n in item.nginxes:
                if n.master:
                    n.quit()
    finally:
        left = leftovers.kill_all()
        try:
            if item.passed:
                assert not left, f"processes left: {left}"
                for n in item.nginxes:
                    n.check()
                for n in item.nginxes:
                    n.remove()
        finally:
            for path in itertools.chain(*(n.segments()
                                          for n in item.nginxes)):
                os.unlink(path)
        try:
            os.rmdir(os.path.join(conf.BUILD, "test-nginx"))
        except OSError:
            pass


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
