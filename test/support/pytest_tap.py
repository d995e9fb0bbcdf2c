# SPDX-License-Identifier: Apache-2.0
"""A plugin for pytest: a line of TAP for each test as it ends, and the last
error of one that failed, written to the descriptor $WM_TAP. All that pytest
says goes elsewhere (test/suite)."""

import os
import re

import proc


def error(report):
    """The lines of a failure that pytest marks, or all."""
    marked = re.findall(r"^E +(.*)", report.longreprtext, re.M)
    return "\n".join(marked) or report.longreprtext or "failed"


class Reporter:
    """Lives in the process that hears of all tests."""

    def __init__(self, out):
        self.out = out
        self.number = 0
        self.ends = {}          # test: its last error, or why it was skipped

    def point(self, name, why="", skip=""):
        self.number += 1
        print(f"{'not ok' if why else 'ok'} {self.number} -",
              name.replace("#", "\\#") + skip, file=self.out)
        self.out.writelines(f"# {x}\n" for x in why.splitlines())
        self.out.flush()

    def pytest_collectreport(self, report):
        if report.failed:
            self.point(report.nodeid or "collection", error(report))

    def pytest_runtest_logreport(self, report):
        name = report.nodeid
        if report.failed:
            self.ends[name] = error(report), ""
        elif report.skipped:
            why = " ".join(report.longrepr[2].split())
            self.ends.setdefault(name, ("", f" # SKIP {why}"))
        if report.when in ("teardown", "???"):  # ???: its process crashed
            self.point(name, *self.ends.get(name, ()))

    def pytest_sessionfinish(self, exitstatus):
        # Without a plan, those that were interrupted count as failed.
        if exitstatus != 2:
            print(f"1..{self.number}", file=self.out, flush=True)


def pytest_configure(config):
    proc.end_politely()     # it goes through the teardowns
    if not hasattr(config, "workerinput"):
        out = os.fdopen(int(os.environ["WM_TAP"]), "w", encoding="utf-8")
        config.pluginmanager.register(Reporter(out), "tap-reporter")
