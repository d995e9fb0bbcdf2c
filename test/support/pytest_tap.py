# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""A plugin for pytest: a line of TAP for each test as it ends, written to the
descriptor $WM_TAP. What pytest itself says goes elsewhere (test/suite)."""

import os
import signal

ENDS = ("teardown", "???")      # the latter: its worker process crashed


class Reporter:
    """Lives in the process that hears of all tests."""

    def __init__(self, out):
        self.out = out
        self.number = 0
        self.bad = set()
        self.skipped = {}

    def point(self, name, good, skip=""):
        self.number += 1
        print(f"{'ok' if good else 'not ok'} {self.number} -",
              name.replace("#", "\\#") + skip, file=self.out, flush=True)

    def pytest_collectreport(self, report):
        if report.failed:
            self.point(report.nodeid or "collection", False)

    def pytest_runtest_logreport(self, report):
        name = report.nodeid
        if report.failed:
            self.bad.add(name)
        elif report.skipped:
            why = report.longrepr
            why = why[2] if isinstance(why, tuple) else str(why)
            self.skipped[name] = " # SKIP " + " ".join(why.split())
        if report.when in ENDS:
            good = name not in self.bad
            self.point(name, good, self.skipped.get(name, "") if good else "")

    def pytest_sessionfinish(self, exitstatus):
        # Without a plan, those that were interrupted count as failed.
        if exitstatus != 2:
            print(f"1..{self.number}", file=self.out, flush=True)


def pytest_configure(config):
    # A polite end goes through the teardowns.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        out = os.fdopen(int(os.environ["WM_TAP"]), "w", encoding="utf-8")
        config.pluginmanager.register(Reporter(out), "tap-reporter")
