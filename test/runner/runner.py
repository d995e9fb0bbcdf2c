#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Runs meson's suites in two lanes side by side, adds up what their tests
report, looks for leftovers, and ends with a verdict whatever happens.

A stage is a command. Within a lane one follows the other, and a build that
fails ends its lane. The tests of a stage report in TAP, which meson logs.
A skipped test is a failure in CI, unless the text of its skip allows it.
"""

import contextlib
import glob
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import namedtuple

import leftovers
import proc
from conf import BUILD, ROOT

# log: what the names of meson's logs begin with, to which it adds the wrapper
# or the setup; "" for a build.
Stage = namedtuple("Stage", "name command log")
# The texts name the tests, and may go on in further lines, which say why.
Result = namedtuple("Result", "passed failed skipped")

ALLOWED = "allowed in CI"
POINT = re.compile(r"(not )?ok \d+ (?:- (.*?))??(?: ?# SKIP (.*))?$")
# Temporary files that tests make there, and not in $TMPDIR as all tools do.
TMP = "/tmp"
TEMPORARY = re.compile(r"(lib)?wm|nginx|ngx")
# Seconds: for a stage, to end politely, for leftovers to go by themselves.
# Only a failure ever waits them out.
LIMIT = 7200
POLITE = 20
GRACE = 10
REASON = 12             # lines that are kept of what TAP says of a failure


# --- the stages ---------------------------------------------------------------

COMPILED = ("unit", "crash", "hostile", "stress")
QUICK = ("nginx", "consumer", "bench", "lint", "tools", "runner", "rules",
         "server", "example")
LONG = ("model", "chaos", "fuzz")
SANITIZERS = {
    "asan": ("address,undefined", [
        "ASAN_OPTIONS=abort_on_error=1:detect_leaks=1",
        "UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1"]),
    "tsan": ("thread", ["TSAN_OPTIONS=halt_on_error=1:die_after_fork=0"]),
}


def build(name, directory, *options):
    script = ('. "$1/test/setup.sh"; shift; prepare; lock "$1"; '
              'configure "$@"; compile "$1"')
    return Stage(f"{name} build",
                 ["bash", "-c", script, "compile", ROOT, directory,
                  "-Dtests=enabled", "-Dwerror=true", *options], "")


def tests(name, directory, suites, *options, env=()):
    """Meson's suites; its own logs go by the stage."""
    chosen = [x for suite in suites for x in ("--suite", suite)]
    return Stage(f"{name} tests",
                 ["env", *env, "meson", "test", "-C", directory, "--no-rebuild",
                  "--print-errorlogs", "--logbase", name, *chosen, *options],
                 os.path.join(directory, "meson-logs", name))


def quick_lane():
    return [build("plain", BUILD), tests("plain", BUILD, COMPILED + QUICK)]


def plain_lane():
    return [build("plain", BUILD),
            tests("plain", BUILD, (*COMPILED, *QUICK, "mutants")),
            tests("memcheck", BUILD, ("unit", "stress"), "--setup", "memcheck")]


def long_lane():
    for name, (sanitizer, env) in SANITIZERS.items():
        directory = os.path.join(BUILD, name)
        options = ["--timeout-multiplier", "40"]
        # ThreadSanitizer wants its addresses where it expects them.
        if name == "tsan" and not subprocess.run(
                ["setarch", "-R", "true"], capture_output=True,
                check=False).returncode:
            options += ["--wrapper", "setarch -R"]
        yield build(name, directory, f"-Db_sanitize={sanitizer}",
                    "-Dbench=disabled", "-Dlua=disabled", "-Dtools=disabled")
        yield tests(name, directory, COMPILED, *options, env=env)
    yield tests("long", BUILD, LONG)
    yield Stage("arm64 tests", ["test/arm64/run"],
                os.path.join(BUILD, "arm64/meson-logs/testlog"))


# --- what the tests said ------------------------------------------------------

def read_test(run):
    """Reads meson's log of one test, which may report many."""
    name, output, outcome = run["name"], run.get("stdout", ""), run["result"]
    lines = output.splitlines()
    planned = sum(int(n) for n in re.findall(r"^1\.\.(\d+)", output, re.M))
    points = [(i, *p.groups()) for i, p in enumerate(map(POINT.match, lines))
              if p]
    passed, failed, skipped = 0, [], []
    for i, bad, text, skip in points:
        if skip is not None:        # CMocka has the name where a reason goes
            why = [x for x in lines if ALLOWED in x and skip in x]
            skipped.append(": ".join([name, text or skip,
                                      *([skip] if text else why[:1])]))
        elif bad:
            why = itertools.takewhile(lambda x: x.startswith("#"),
                                      lines[i + 1:i + 1 + REASON])
            failed.append("\n".join([f"{name}: {text}", *why]))
        else:
            passed += 1
    if not points and outcome == "SKIP":
        skipped.append(f"{name}: {output.strip()}")
    elif not points and not planned and outcome == "OK":
        passed += 1                 # by its exit status
    elif len(points) < planned or (
            not failed and outcome not in ("OK", "SKIP")):
        failed.append(f"{name}: ended with {outcome} after {len(points)} of "
                      f"{planned or 'unknown'} tests")
    return Result(passed, failed, skipped)


def add(results):
    passed, failed, skipped = zip(Result(0, [], []), *results)
    return Result(sum(passed), sum(failed, []), sum(skipped, []))


def logs(stage):
    return glob.glob(stage.log + "*.json") if stage.log else []


def read(stage, status):
    """The result of a stage that has ended with this status."""
    try:
        lines = []
        for path in logs(stage):
            with open(path, encoding="utf-8", errors="replace") as f:
                lines += f
        result = add(read_test(json.loads(line)) for line in lines)
    except (ValueError, KeyError, TypeError) as error:
        return Result(0, [f"{stage.name}: its log: {error!r}"], [])
    if status and not result.failed:
        result.failed.append(f"{stage.name}: exit status {status}")
    elif stage.log and not any(result):
        result.failed.append(f"{stage.name}: no test ran")
    return result


# --- the run ------------------------------------------------------------------

def say(text):
    print(text, flush=True)


def tell(kind, texts):
    for text in texts:
        say(f"{kind}: " + text.replace("\n", "\n    "))


def summary(result):
    text = f"{result.passed} passed, {len(result.failed)} failed"
    return text + (f", {len(result.skipped)} skipped" if result.skipped else "")


def files():
    """All that tests or tools may have left outside build/."""
    caches = [path for top in ("bench", "cpp", "libwm", "lua", "test")
              for name in ("__pycache__", ".pytest_cache")
              for path in glob.glob(f"{ROOT}/{top}/**/{name}", recursive=True)]
    return {*caches, *(os.path.join(TMP, name) for name in os.listdir(TMP)
                       if TEMPORARY.match(name))}


class Run:
    """Starts the stages of all lanes in turn, and tells how they fare."""

    def __init__(self, signals):
        self.signals = signals          # grows when one comes
        self.running = {}               # lane: its stage, process and beginning
        self.total = Result(0, [], [])
        self.ci = os.environ.get("CI", "") not in ("", "0", "false")
        self.segments = leftovers.segments()
        self.files = files()

    def run(self, lanes):
        """Runs all stages to their end, or to an interrupt."""
        waiting = [list(stages) for stages in lanes]
        while (any(waiting) or self.running) and not self.signals:
            for i, lane in enumerate(waiting):
                if i in self.running:
                    if not self.look(i):
                        lane.clear()
                elif lane:
                    self.start(i, lane.pop(0))
            self.reap()
            time.sleep(0.02)

    def start(self, lane, stage):
        say(f"start  {stage.name}")
        for old in logs(stage):
            os.unlink(old)
        process = subprocess.Popen(stage.command, cwd=ROOT,
                                   stdin=subprocess.DEVNULL,
                                   stderr=subprocess.STDOUT,
                                   start_new_session=True)
        self.running[lane] = stage, process, time.monotonic()

    def look(self, lane):
        """Takes in a stage if it has ended; whether the lane may go on."""
        stage, process, began = self.running[lane]
        took = time.monotonic() - began
        late = process.poll() is None and took > LIMIT
        if late:
            leftovers.kill_all(process.pid)
            process.kill()
            process.wait()
        elif process.returncode is None:
            return True
        del self.running[lane]
        result = read(stage, process.returncode)
        if late:
            result.failed.append(f"{stage.name}: not done after {LIMIT:g} s")
        result = self.take(result)
        say(f"{'FAIL' if result.failed else 'pass'}   {stage.name:14} "
            f"{took:6.1f} s  {summary(result) if any(result) else ''}")
        return stage.log or not result.failed

    def take(self, result):
        """Counts it, and says what is not as it should be."""
        bad = [x for x in result.skipped if self.ci and ALLOWED not in x]
        result = Result(
            result.passed,
            result.failed + [f"{x} (a skip is a failure in CI)" for x in bad],
            [x for x in result.skipped if x not in bad])
        self.total = add([self.total, result])
        tell("failed", result.failed)
        tell("skipped", result.skipped)
        return result

    def reap(self):
        """Collects orphans that ended: a test may wait for just that."""
        known = {process.pid for _, process, _ in self.running.values()}
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, look)) and (
                    ended.si_pid not in known):
                proc.reap(ended.si_pid)

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
        say(f"{'FAIL' if left else 'pass'}   nothing is left behind")
        self.take(Result(int(not left), [f"left behind: {x}" for x in left],
                         []))

    def ask_to_end(self):
        """Has the tests clean up behind themselves. They are asked, not meson,
        which would kill them half a second later."""
        asked = []
        for _, process, _ in self.running.values():
            proc.send(process.pid, signal.SIGSTOP)
            asked += proc.children(process.pid)
        for pid in asked:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)
        for _ in leftovers.rounds(POLITE):
            if proc.family(os.getpid()).keys().isdisjoint(asked):
                return

    def abandon(self):
        """Ends everything that runs, and what goes by its name."""
        pids = proc.family(os.getpid()).keys()
        self.ask_to_end()
        leftovers.kill_all()
        leftovers.remove(
            s for s in self.dead_segments()
            if pids & set(map(int, re.findall(r"\d+", s.rpartition(".")[0]))))


def conduct(lanes):
    """All of it, up to the verdict; returns the exit status."""
    signals = []
    proc.end_politely(lambda number, _: signals.append(number))
    proc.adopt_orphans()
    run = Run(signals)
    with tempfile.TemporaryDirectory(
            prefix="run.", dir=os.path.join(BUILD, "tmp"),
            ignore_cleanup_errors=True) as temporary:
        os.environ["TMPDIR"] = os.environ["WM_TMPDIR"] = temporary
        for act in (lambda: run.run(lanes), run.look_for_leftovers,
                    run.abandon):
            try:
                if not signals or act == run.abandon:
                    act()
            except Exception as error:      # pylint: disable=broad-except
                traceback.print_exc(file=sys.stdout)
                run.take(Result(0, [f"the runner itself: {error!r}"], []))
    if signals:
        run.take(Result(0, ["interrupted by "
                            + signal.Signals(signals[0]).name], []))
    tell("failed", run.total.failed)
    say(summary(run.total))
    if signals:
        return 128 + signals[0]
    return 1 if run.total.failed or not run.total.passed else 0


if __name__ == "__main__":
    sys.exit(conduct([quick_lane()] if sys.argv[1:] == ["--quick"]
                     else [plain_lane(), long_lane()]))
