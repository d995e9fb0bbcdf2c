# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Runs the stages of test/run, adds up what they say, and looks for leftovers.

Two lanes of stages run side by side; within a lane, a stage that cannot build
ends the lane. A skipped test is a failure in CI, unless the text that it gives
for its skip says "allowed in CI".
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree
from collections import namedtuple

import leftovers
import proc

# What a stage came to; the texts name the tests.
Result = namedtuple("Result", "passed failed skipped")

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
BUILD = os.path.join(ROOT, "build")
LOGS = os.path.join(BUILD, "logs")
ALLOWED = "allowed in CI"
SANITIZERS = {
    "asan": ("address,undefined", {
        "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}),
    "tsan": ("thread", {
        "TSAN_OPTIONS": "halt_on_error=1:die_after_fork=0"}),
}
# Temporary files that go by their maker's name, not by $TMPDIR.
TEMPORARY = re.compile(r"(lib)?wm|nginx|ngx|pytest|meson|cmocka|cc\w{6}\.")
LITTER = ("__pycache__", ".pytest_cache")
NOTHING_SELECTED = 5    # pytest's exit status
PATIENCE = 10           # seconds to end politely when interrupted
TAIL = 100              # lines of a failed stage's log that are shown


class Interrupted(Exception):
    """A signal asked for the end."""


# --- what the tests said ------------------------------------------------------

def check_status(status):
    """A check that passes or fails as a whole."""
    failed = [f"exit status {status}"] if status else []
    return Result(int(not failed), failed, [])


def build_status(status):
    """A build is no test, but it can fail."""
    return check_status(status)._replace(passed=0)


def read_tap(name, run, result):
    """Adds the tests of one executable, which reports them as TAP."""
    passed, failed, skipped = result
    output = run.get("stdout", "")
    planned, seen, bad = 0, 0, 0
    for line in output.splitlines():
        plan = re.match(r"1\.\.(\d+)$", line)
        if plan:
            planned += int(plan[1])
        point = re.match(r"(not )?ok \d+ (- |# SKIP )(.*)", line)
        if not point:
            continue
        seen += 1
        label = f"{name}: {point[3]}"
        if point[2] == "# SKIP ":
            why = [x for x in output.splitlines()
                   if ALLOWED in x and point[3] in x]
            skipped.append(": ".join([label, *why[:1]]))
        elif point[1]:
            failed.append(label)
            bad += 1
        else:
            passed += 1
    outcome = run["result"]
    if not seen and outcome == "SKIP":
        skipped.append(name + output)
    elif not planned and outcome == "OK":
        passed += 1
    elif seen < planned or not bad and outcome not in ("OK", "SKIP"):
        failed.append(f"{name}: ended with {outcome} after {seen} of "
                      f"{planned} tests")
    return Result(passed, failed, skipped)


def meson_tests(directory, way=None):
    """Reads what `meson test` has logged, in a file that goes by the wrapper
    or by the setup."""
    log = os.path.join(directory, "meson-logs/testlog"
                       + (f"-{way}" if way else "") + ".json")

    def read(status):
        result = Result(0, [], [])
        try:
            with open(log, encoding="utf-8") as f:
                for line in f:
                    run = json.loads(line)
                    result = read_tap(run["name"], run, result)
        except FileNotFoundError:
            pass
        return complete(result, status)
    return log, read


def pytest_tests(log):
    """Reads what pytest has logged as JUnit XML."""
    def read(status):
        passed, failed, skipped = 0, [], []
        try:
            cases = xml.etree.ElementTree.parse(log).iter("testcase")
        except (FileNotFoundError, xml.etree.ElementTree.ParseError):
            cases = ()
        for case in cases:
            name = f"{case.get('classname')}: {case.get('name')}"
            skip = case.find("skipped")
            if case.find("failure") is not None or (
                    case.find("error") is not None):
                failed.append(name)
            elif skip is not None:
                skipped.append(f"{name}: {skip.get('message')}")
            else:
                passed += 1
        return complete(Result(passed, failed, skipped), status)
    return log, read


def line_tests(log):
    """Reads a log with a line for each test: pass or FAIL, and its name."""
    def read(status):
        result = Result(0, [], [])
        try:
            with open(log, encoding="utf-8") as f:
                for word, name in re.findall(r"^(pass|FAIL)  (.*)$", f.read(),
                                             re.M):
                    if word == "pass":
                        result = result._replace(passed=result.passed + 1)
                    else:
                        result.failed.append(name)
        except FileNotFoundError:
            pass
        return complete(result, status)
    return log, read


def complete(result, status):
    """A bad status without a failed test, or no test, is a failure."""
    if status == NOTHING_SELECTED and not any(result):
        result.failed.append("no test matches the expression")
    elif status and not result.failed:
        result.failed.append(f"exit status {status}")
    elif not (result.passed or result.failed or result.skipped):
        result.failed.append("no test ran")
    return result


# --- stages -------------------------------------------------------------------

class Stage:
    """A command, its log, and how to read what it came to."""

    def __init__(self, name, command, read=check_status, env=None):
        self.name = name
        self.command = command
        self.log, self.read = read if isinstance(read, tuple) else (None, read)
        self.env = env or {}
        self.process = None
        self.began = 0

    def start(self, output):
        if self.log and os.path.exists(self.log):
            os.unlink(self.log)
        with open(output, "wb") as f:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                start_new_session=True)
        self.began = time.monotonic()


def compile_stage(name, directory, *options):
    script = ('. "$1/test/setup.sh"; shift; prepare; lock "$1"; '
              'configure "$@"; compile "$1"')
    return Stage(name, ["bash", "-c", script, "compile", ROOT, directory,
                        "-Dtests=enabled", "-Dwerror=true", *options],
                 build_status)


def test_stage(name, directory, env=None, wrapper=(), setup=None, options=()):
    if wrapper:
        options = [*options, "--wrapper", " ".join(wrapper)]
    if setup:
        options = [*options, "--setup", setup]
    return Stage(name, ["meson", "test", "-C", directory, "--no-rebuild",
                        "--print-errorlogs", *options],
                 meson_tests(directory, wrapper[0] if wrapper else setup), env)


def sources():
    """The C and C++ files of the project."""
    found = []
    for top in ("libwm", "cpp", "bench", "test"):
        for where, _, names in os.walk(os.path.join(ROOT, top)):
            found += [os.path.relpath(os.path.join(where, name), ROOT)
                      for name in names
                      if name.endswith((".c", ".h", ".cpp", ".hpp"))]
    return sorted(found)


def pytest_stage(name, folder, *options):
    report = os.path.join(LOGS, os.path.basename(folder) + ".xml")
    return Stage(name, ["/usr/bin/pytest-3", "-q", "-p", "no:cacheprovider",
                        "--junitxml", report, folder, *options],
                 pytest_tests(report), {"WM_BUILD": BUILD})


def script_stage(name, script, *options):
    """A script that prints a line for each of its tests."""
    return Stage(name, [script, *options],
                 line_tests(os.path.join(LOGS, name + ".log")))


def plain_lane(expression, quick):
    nginx = ["-k", expression] if expression else []
    thorough = [] if quick else [
        script_stage("mutants", "test/mutants/run"),
        test_stage("memcheck C tests", BUILD, setup="memcheck"),
    ]
    return [
        Stage("luacheck", ["luacheck", "--no-color", "-q", "bench", "lua",
                           "test"]),
        Stage("clang-format", ["clang-format-16", "--dry-run", "--Werror",
                               *sources()]),
        compile_stage("build", BUILD),
        script_stage("lint", "test/lint", "--quick"),
        test_stage("C tests", BUILD),
        Stage("example", ["lua/example/run"]),
        pytest_stage("install tests", "test/consumer"),
        pytest_stage("server tests", "test/example"),
        pytest_stage("tools tests", "test/tools", "-n", "4"),
        # They wait more than they work.
        pytest_stage("nginx tests", "test/nginx", "-n", "3", *nginx),
        Stage("benchmarks", ["bench/run", "--ci"]),
        *thorough,
    ]


def sanitizer_lane():
    stages = []
    for name, (sanitizer, env) in SANITIZERS.items():
        directory = os.path.join(BUILD, name)
        wrapper = []
        # ThreadSanitizer wants its addresses where it expects them.
        still = ["setarch", "-R"]
        if name == "tsan" and subprocess.run(
                [*still, "true"], capture_output=True,
                check=False).returncode == 0:
            wrapper = still
        stages += [
            compile_stage(f"{name} build", directory,
                          f"-Db_sanitize={sanitizer}", "-Dlua=disabled",
                          "-Dtools=disabled"),
            test_stage(f"{name} C tests", directory, env, wrapper,
                       options=["--timeout-multiplier", "4"])]
    return stages + [
        Stage("fuzzing", ["test/fuzz/run"]),
        pytest_stage("chaos books", "test/chaos"),
        script_stage("chaos", "test/chaos/run"),
        script_stage("models", "test/model/run"),
        Stage("arm64 tests", ["test/arm64/run"],
              meson_tests(os.path.join(BUILD, "arm64")))]


# --- the run ------------------------------------------------------------------

class Run:
    """Starts the stages of all lanes in turn, and prints how they fare."""

    def __init__(self):
        self.began = time.monotonic()
        self.running = {}               # lane: its stage
        self.total = Result(0, [], [])
        self.ci = os.environ.get("CI", "") not in ("", "0", "false")
        self.segments = leftovers.segments()
        self.temporary = set(os.listdir("/tmp"))
        self.litter = self.find_litter()
        os.makedirs(LOGS, exist_ok=True)

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def output(self, stage):
        return os.path.join(LOGS, stage.name.replace(" ", "-") + ".log")

    def run(self, lanes):
        """Runs all stages to their end."""
        waiting = {i: list(stages) for i, stages in enumerate(lanes)}
        while waiting or self.running:
            for lane in list(waiting):
                if lane in self.running:
                    continue
                if not waiting[lane]:
                    del waiting[lane]
                    continue
                stage = waiting[lane].pop(0)
                self.say(f"start  {stage.name}")
                self.running[lane] = stage
                stage.start(self.output(stage))
            for lane, stage in list(self.running.items()):
                status = stage.process.poll()
                if status is None:
                    continue
                del self.running[lane]
                if not self.finish(stage, status) and (
                        stage.read is build_status):
                    waiting[lane] = []
            self.reap()
            time.sleep(0.02)

    def reap(self):
        """Collects orphans that ended: a test may wait for just that."""
        known = {s.process.pid for s in self.running.values()}
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            while (ended := os.waitid(os.P_ALL, 0, look)) and (
                    ended.si_pid not in known):
                proc.reap(ended.si_pid)
        except ChildProcessError:
            pass

    def finish(self, stage, status):
        """Takes in a stage that ended; returns whether it passed."""
        passed, failed, skipped = stage.read(status)
        if self.ci:
            failed += [f"{x} (a skip is a failure in CI)" for x in skipped
                       if ALLOWED not in x]
            skipped = [x for x in skipped if ALLOWED in x]
        took = time.monotonic() - stage.began
        counts = summary(passed, failed, skipped) if (
            passed or failed or skipped) else ""
        self.say(f"{'FAIL' if failed else 'pass'}   {stage.name:14} "
                 f"{took:6.1f} s  {counts}")
        self.tell(failed, skipped)
        if failed:
            self.show_log(stage)
        self.total = Result(self.total.passed + passed,
                            self.total.failed + failed,
                            self.total.skipped + skipped)
        return not failed

    def tell(self, failed, skipped):
        for text in failed:
            print(f"          failed: {text}")
        for text in skipped:
            print(f"          skipped: {text}")
        sys.stdout.flush()

    def show_log(self, stage):
        path = self.output(stage)
        with open(path, encoding="utf-8", errors="replace") as f:
            lines = f.read().splitlines()
        for line in lines[-TAIL:]:
            print("    | " + line)
        print(f"    (the whole log is {path})", flush=True)

    # --- leftovers --------------------------------------------------------

    def find_litter(self):
        found = set()
        for where, names, _ in os.walk(ROOT):
            if where == ROOT:
                names[:] = [n for n in names if n not in (".git", "build")]
            found.update(os.path.join(where, n) for n in names
                         if n in LITTER)
        return found

    def dead_segments(self):
        return sorted(s for s in leftovers.segments() - self.segments
                      if leftovers.dead(s))

    def look_for_leftovers(self):
        """Whatever the run has left outside build/ is a failure."""
        left = []
        try:            # a process may be about to end
            proc.wait(lambda: not proc.descendants(os.getpid()) and
                      not self.dead_segments(), "leftovers to go", 3)
        except AssertionError:
            left += [f"process {p}" for p in leftovers.kill_all()]
            dead = self.dead_segments()
            leftovers.remove(dead)
            left += dead
        left += [f"/tmp/{n}" for n in
                 sorted(set(os.listdir("/tmp")) - self.temporary)
                 if TEMPORARY.match(n)]
        left += sorted(self.find_litter() - self.litter)
        self.say(f"{'FAIL' if left else 'pass'}   nothing is left behind")
        failed = [f"left behind: {x}" for x in left]
        self.tell(failed, [])
        self.total = Result(self.total.passed + (not left),
                            self.total.failed + failed, self.total.skipped)

    def abandon(self):
        """Ends everything that runs: politely, then surely."""
        for stage in self.running.values():
            stage.process.terminate()
        try:
            proc.wait(lambda: all(s.process.poll() is not None
                                  for s in self.running.values()),
                      "stages to end", PATIENCE)
        except AssertionError:
            pass
        leftovers.kill_all()
        leftovers.remove(self.dead_segments())


def summary(passed, failed, skipped):
    text = f"{passed} passed, {len(failed)} failed"
    return text + (f", {len(skipped)} skipped" if skipped else "")


def interrupt(number, _):
    raise Interrupted(number)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("-k", default="")
    options = parser.parse_args()

    signals = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    for number in signals:
        signal.signal(number, interrupt)
    proc.adopt_orphans()
    run = Run()
    try:
        lanes = [plain_lane(options.k, options.quick)]
        if not options.quick:
            lanes.append(sanitizer_lane())
        run.run(lanes)
        run.look_for_leftovers()
    except Interrupted as error:
        print("interrupted", flush=True)
        return 128 + error.args[0]
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        run.abandon()
    passed, failed, skipped = run.total
    for text in failed:
        print(f"failed: {text}")
    print(summary(passed, failed, skipped))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
