#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs meson's suites in two lanes side by side, adds up what their tests
report, looks for leftovers, and ends with a verdict whatever happens.

A stage is a command. Within a lane one follows the other, and a build that
fails ends its lane. Meson ends a test that hangs, and logs the TAP of each,
which has their names, and why one failed. A skipped test is a failure in CI,
unless the text of its skip allows it.
"""

import contextlib
import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, namedtuple

import leftovers
import proc
from conf import BUILD, ROOT

# log: what the names of meson's logs begin with, to which it adds the wrapper
# or the setup; "" for a build.
Stage = namedtuple("Stage", "name command log")

# The lines behind a test that failed say why.
POINT = re.compile(r"^(not )?ok \d+(?: - (.*?))?(?: ?# SKIP (.*))?$"
                   r"((?:\n#.*){0,12})", re.M)
# Tests make some temporary files there, and not in $TMPDIR as all tools do.
TMP = "/tmp"
# Seconds: for the stages, to end politely, for leftovers to go by themselves.
# Only a failure ever waits them out.
LIMIT = 4 * 3600
POLITE = 20
GRACE = 10
# The exit status of tests that need what this machine cannot have.
IMPOSSIBLE = 77

COMPILED = ("unit", "crash", "hostile", "stress")
QUICK = (*COMPILED, "nginx", "consumer", "bench", "lint", "tools", "runner",
         "rules", "server", "example")


def build(name, directory, *options):
    # Of the debugging information of C++, the lines are enough.
    script = ('. "$1/test/setup.sh"; shift; prepare; lock "$1"; '
              'configure "$@"; compile "$1"')
    return Stage(f"{name} build",
                 ["bash", "-c", script, "compile", ROOT, directory,
                  "-Dtests=enabled", "-Dwerror=true", "-Dcpp_args=-g1",
                  *options], "")


def tests(name, directory, suites, *options, before=()):
    """Meson's suites; its own logs go by the stage."""
    return Stage(f"{name} tests",
                 [*before, "meson", "test", "-C", directory, "--no-rebuild",
                  "--print-errorlogs", "--logbase", name, *options,
                  *(x for suite in suites for x in ("--suite", suite))],
                 os.path.join(directory, "meson-logs", name))


def plain_lane(*more):
    return [build("plain", BUILD), tests("plain", BUILD, QUICK + more)]


def long_lane():
    before = ["env", "ASAN_OPTIONS=abort_on_error=1",
              "UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1",
              "TSAN_OPTIONS=halt_on_error=1:die_after_fork=0"]
    # ThreadSanitizer wants its addresses where it expects them.
    if os.system("setarch -R true 2>/dev/null") == 0:
        before += ["setarch", "-R"]
    # The hostile tests have no threads.
    for name, sanitizer, suites in (
            ("asan", "address,undefined", COMPILED),
            ("tsan", "thread", ("unit", "crash", "stress"))):
        directory = os.path.join(BUILD, name)
        yield build(name, directory, f"-Db_sanitize={sanitizer}",
                    "-Doptimization=1", "-Dbench=disabled", "-Dlua=disabled",
                    "-Dtools=disabled")
        yield tests(name, directory, suites, "--timeout-multiplier", "40",
                    before=before)
    yield tests("long", BUILD, ("model", "relacy", "chaos", "fuzz"))
    yield Stage("arm64 tests", ["test/arm64/run"],
                os.path.join(BUILD, "arm64/meson-logs/testlog"))
    for name in "i386", "musl", "musl-static":
        yield Stage(f"{name} tests", ["test/systems/run", name],
                    os.path.join(BUILD, "systems", name,
                                 "meson-logs/testlog"))


def read_test(run):
    """Of each test that one log of Meson's reports: how, its name and why."""
    name, output, outcome = run["name"], run.get("stdout", ""), run["result"]
    ci = os.environ.get("CI", "") not in ("", "0", "false")
    unexplained = outcome not in ("OK", "SKIP")
    points = POINT.findall(output)
    if not points and outcome == "SKIP":
        points = [("", "no test", output.strip(), "")]
    planned = sum(map(int, re.findall(r"^1\.\.(\d+)", output, re.M)))
    unexplained |= len(points) < max(1, planned)
    for bad, text, skip, why in points:
        if skip:                    # CMocka has the name where a reason goes
            told = re.search(rf"^# ({re.escape(skip)}: .*)", output, re.M)
            text = f"{name}: {told[1] if told else f'{text}: {skip}'}"
            if ci and "allowed in CI" not in text:
                yield "failed", f"{text} (a skip is a failure in CI)"
            else:
                yield "skipped", text
        elif bad:
            unexplained = False
            yield "failed", f"{name}: {text}{why}"
        else:
            yield "passed", text
    if unexplained:
        yield "failed", f"{name}: ended with {outcome}"


def read(stage, status):
    """The same of all tests of a stage that has ended with this status."""
    said = []
    for path in stage.log and glob.glob(stage.log + "*.json"):
        said += [x for line in proc.read(path).splitlines()
                 for x in read_test(json.loads(line))]
    if status == IMPOSSIBLE and not said:
        said.append(("skipped", f"{stage.name}: what they need cannot be had"))
    elif status and all(kind != "failed" for kind, _ in said):
        said.append(("failed", f"{stage.name}: exit status {status}"))
    elif stage.log and not said:
        said.append(("failed", f"{stage.name}: no test ran"))
    return said


def files():
    """All that tests or tools may have left outside build/."""
    return {*glob.glob(f"{ROOT}/**/__pycache__", recursive=True),
            *(path for name in ("libwm", "wm", "nginx", "ngx")
              for path in glob.glob(f"{TMP}/{name}*"))}


class Run:
    """The stages of all lanes, what they said, and what they leave behind."""

    def __init__(self):
        self.signals = []               # grows when one comes
        proc.end_politely(lambda number, _: self.signals.append(number))
        self.running = {}               # pid: process
        self.said = []
        self.segments = leftovers.segments()
        self.files = files()

    def run(self, lanes):
        """Runs all stages to their end, or to an interrupt."""
        lanes = [self.lane(list(stages)) for stages in lanes]
        while lanes and not self.signals:
            lanes = [lane for lane in lanes if next(lane, True) is None]
            self.reap()
            time.sleep(0.02)

    def lane(self, stages):
        """Runs one stage after the other; yields while one runs."""
        for stage in stages:
            for old in stage.log and glob.glob(stage.log + "*.json"):
                os.unlink(old)
            process = subprocess.Popen(stage.command, cwd=ROOT,
                                       stdin=subprocess.DEVNULL,
                                       stderr=subprocess.STDOUT,
                                       start_new_session=True)
            self.running[process.pid] = process
            while process.returncode is None:
                yield
            self.said += read(stage, process.returncode)
            if process.returncode and not stage.log:
                break

    def reap(self):
        """Collects what has ended, orphans as well: a test may wait for it."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if process := self.running.pop(ended[0], None):
                    process.returncode = os.waitstatus_to_exitcode(ended[1])

    def dead_segments(self):
        return sorted(s for s in leftovers.segments() - self.segments
                      if leftovers.dead(s))

    def look_for_leftovers(self):
        """All that the run has left outside build/ is a failure."""
        left = []
        for _ in leftovers.rounds(GRACE):   # a process may be about to end
            self.reap()
            dead = self.dead_segments()
            if not dead and not proc.family(os.getpid()):
                break
        else:
            left = [f"process {p}" for p in leftovers.kill_all()] + dead
            leftovers.remove(dead)
        left += sorted(files() - self.files)
        self.said += [("failed", f"left behind: {x}") for x in left]

    def abandon(self):
        """Ends everything that runs, and what goes by its name. The tests are
        asked to clean up, not meson, which would soon kill them."""
        pids, asked = proc.family(os.getpid()).keys(), []
        for pid in self.running:
            proc.send(pid, signal.SIGSTOP)
            asked += proc.children(pid)
        for pid in asked:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)
        for _ in leftovers.rounds(POLITE):
            if proc.family(os.getpid()).keys().isdisjoint(asked):
                break
        leftovers.kill_all()
        leftovers.remove(
            s for s in self.dead_segments()
            if pids & set(map(int, re.findall(r"\d+", s.rpartition(".")[0]))))


def conduct(lanes):
    """All of it, up to the verdict; returns the exit status."""
    run = Run()
    signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGTERM))
    signal.alarm(LIMIT)
    proc.adopt_orphans()
    with tempfile.TemporaryDirectory(
            prefix="run.", dir=os.path.join(BUILD, "tmp"),
            ignore_cleanup_errors=True) as temporary:
        os.environ["TMPDIR"] = os.environ["WM_TMPDIR"] = temporary
        for act in (lambda: run.run(lanes), run.look_for_leftovers,
                    run.abandon):
            try:
                if not run.signals or act == run.abandon:
                    act()
            except Exception as error:      # pylint: disable=broad-except
                traceback.print_exc(file=sys.stdout)
                run.said.append(("failed", f"the runner itself: {error!r}"))
    if run.signals:
        run.said.append(("failed", "interrupted by "
                         + signal.Signals(run.signals[0]).name))
    count = Counter(kind for kind, _ in run.said)
    for wanted in "skipped", "failed":
        for text in (text for kind, text in run.said if kind == wanted):
            print(f"{wanted}: " + text.replace("\n", "\n    "))
    print(f"{count['passed']} passed, {count['failed']} failed"
          + (f", {count['skipped']} skipped" if count["skipped"] else ""))
    if run.signals:
        return 128 + run.signals[0]
    return int(count["failed"] > 0 or not count["passed"])


if __name__ == "__main__":
    sys.exit(conduct([plain_lane()] if "--quick" in sys.argv
                     else [[*plain_lane("mutants"), tests(
                         "memcheck", BUILD, ("unit",), "--setup", "memcheck")],
                     long_lane()]))
