# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Runs lanes of stages side by side, adds up what their tests report, looks for
leftovers, and ends with a verdict whatever happens.

A stage is a command. Within a lane one follows the other, and a build that
fails ends its lane. What the tests of a stage report is TAP, which meson logs.
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

# What a stage came to; the texts name the tests, and may go on in further
# lines, which say why.
Result = namedtuple("Result", "passed failed skipped")

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
ALLOWED = "allowed in CI"
POINT = re.compile(r"(not )?ok \d+ (?:- (.*?))??(?: ?# SKIP (.*))?$")
ENDED = re.compile(r" *\d+/\d+ .*")     # meson's line for a test
# Temporary files that tests make there, and not in $TMPDIR as all tools do.
TMP = "/tmp"
TEMPORARY = re.compile(r"(lib)?wm|nginx|ngx")
LITTER = ("__pycache__", ".pytest_cache")
# Seconds: for a stage, to end politely, for leftovers to go by themselves.
# Only a failure ever waits them out.
LIMIT = float(os.environ.get("WM_STAGE_LIMIT", "7200"))
POLITE = 20
GRACE = 10
TAIL = 200              # lines of a failed stage's log that are shown
REASON = 12             # lines that are kept of what TAP says of a failure


def tell(kind, texts, indent=""):
    for text in texts:
        print(f"{indent}{kind}: " + text.replace("\n", f"\n{indent}    "))


def summary(result):
    text = f"{result.passed} passed, {len(result.failed)} failed"
    return text + (f", {len(result.skipped)} skipped" if result.skipped else "")


# --- what the tests said ------------------------------------------------------

def read_test(run):
    """What meson has logged of one test, which may report many."""
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
    results = list(results)
    return Result(sum(r.passed for r in results),
                  [x for r in results for x in r.failed],
                  [x for r in results for x in r.skipped])


class Stage:
    """A command; the log that its `meson test` writes, if it is no build."""

    def __init__(self, name, command, log=None, env=None):
        self.name = name
        self.command = command
        self.log = log
        self.env = env or {}
        self.process = self.output = None
        self.told = set()
        self.began = 0

    def logged(self):
        """Meson adds the wrapper or the setup to the name."""
        return glob.glob(self.log + "*.json") if self.log else []

    def start(self, path):
        for old in self.logged():
            os.unlink(old)
        with open(path, "wb") as f:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                start_new_session=True)
        self.output = open(path, encoding="utf-8", errors="replace")
        self.began = time.monotonic()

    def news(self):
        """The tests that ended since the last call, in meson's words."""
        for line in map(str.strip, self.output):
            if ENDED.match(line) and line not in self.told:
                self.told.add(line)     # meson repeats those that failed
                yield line

    def read(self, status):
        runs = []
        for path in self.logged():
            with open(path, encoding="utf-8", errors="replace") as f:
                runs += [read_test(json.loads(line)) for line in f]
        result = add(runs)
        if status and not result.failed:
            result.failed.append(f"{self.name}: exit status {status}")
        elif self.log and not any(result):
            result.failed.append(f"{self.name}: no test ran")
        return result


# --- the run ------------------------------------------------------------------

class Run:
    """Starts the stages of all lanes in turn, and prints how they fare."""

    def __init__(self, logs, signals):
        self.began = time.monotonic()
        self.logs = logs
        self.signals = signals          # grows when one comes
        self.running = {}               # lane: its stage
        self.total = Result(0, [], [])
        self.ci = os.environ.get("CI", "") not in ("", "0", "false")
        self.segments = leftovers.segments()
        self.temporary = set(os.listdir(TMP))
        self.litter = self.find_litter()
        os.makedirs(logs, exist_ok=True)

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def path(self, stage):
        return os.path.join(self.logs, stage.name.replace(" ", "-") + ".log")

    def run(self, lanes):
        """Runs all stages to their end, or to an interrupt."""
        waiting = {i: list(stages) for i, stages in enumerate(lanes)}
        while (waiting or self.running) and not self.signals:
            for lane in [x for x in waiting if x not in self.running]:
                if not waiting[lane]:
                    del waiting[lane]
                    continue
                stage = waiting[lane].pop(0)
                self.say(f"start  {stage.name}")
                stage.start(self.path(stage))
                self.running[lane] = stage
            for lane, stage in list(self.running.items()):
                status = stage.process.poll()
                for line in stage.news():
                    self.say(f"       {line}")
                late = time.monotonic() > stage.began + LIMIT
                if status is None and not late:
                    continue
                if status is None:
                    leftovers.kill_all(stage.process.pid)
                    stage.process.kill()
                    status = stage.process.wait()
                del self.running[lane]
                if not self.finish(stage, status, late) and not stage.log:
                    waiting[lane] = []
            self.reap()
            time.sleep(0.02)

    def reap(self):
        """Collects orphans that ended: a test may wait for just that."""
        known = {s.process.pid for s in self.running.values()}
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, look)) and (
                    ended.si_pid not in known):
                proc.reap(ended.si_pid)

    def take(self, result):
        """Counts it, and says what is not as it should be."""
        bad = [x for x in result.skipped if self.ci and ALLOWED not in x]
        result = Result(
            result.passed,
            result.failed + [f"{x} (a skip is a failure in CI)" for x in bad],
            [x for x in result.skipped if x not in bad])
        self.total = add([self.total, result])
        tell("failed", result.failed, " " * 10)
        tell("skipped", result.skipped, " " * 10)
        return result

    def finish(self, stage, status, late=False):
        """Takes in a stage that ended; returns whether it passed."""
        try:
            result = stage.read(status)
        except (ValueError, KeyError, TypeError) as error:
            result = Result(0, [f"{stage.name}: its log: {error!r}"], [])
        if late:
            result.failed.append(f"{stage.name}: not done after {LIMIT:g} s")
        took = time.monotonic() - stage.began
        stage.output.close()
        result = self.take(result)
        self.say(f"{'FAIL' if result.failed else 'pass'}   {stage.name:14} "
                 f"{took:6.1f} s  {summary(result) if any(result) else ''}")
        if result.failed:
            path = self.path(stage)
            with open(path, encoding="utf-8", errors="replace") as f:
                for line in f.read().splitlines()[-TAIL:]:
                    print("    | " + line)
            print(f"    (the whole log is {path})", flush=True)
        return not result.failed

    # --- leftovers --------------------------------------------------------

    def find_litter(self):
        found = set()
        for where, names, _ in os.walk(ROOT):
            if where == ROOT:
                names[:] = [n for n in names if n not in (".git", "build")]
            found.update(os.path.join(where, n) for n in names if n in LITTER)
        return found

    def dead_segments(self):
        return sorted(s for s in leftovers.segments() - self.segments
                      if leftovers.dead(s))

    def look_for_leftovers(self):
        """Whatever the run has left outside build/ is a failure."""
        left, dead = [], []
        for _ in leftovers.rounds(GRACE):   # a process may be about to end
            self.reap()
            dead = self.dead_segments()
            if not dead and not proc.family(os.getpid()):
                break
        else:
            left += [f"process {p}" for p in leftovers.kill_all()]
            leftovers.remove(dead)
            left += dead
        left += [os.path.join(TMP, n) for n in
                 sorted(set(os.listdir(TMP)) - self.temporary)
                 if TEMPORARY.match(n)]
        left += sorted(self.find_litter() - self.litter)
        self.say(f"{'FAIL' if left else 'pass'}   nothing is left behind")
        self.take(Result(int(not left), [f"left behind: {x}" for x in left],
                         []))

    def ask_to_end(self):
        """Has the tests clean up behind themselves. They are asked, not meson,
        which would kill them half a second later."""
        asked = set()
        for stage in self.running.values():
            pid = stage.process.pid
            if re.search(r"\bmeson test ", proc.title(pid)):
                proc.send(pid, signal.SIGSTOP)
                asked.update(proc.children(pid))
            else:
                asked.add(pid)
        for pid in asked:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)
        for _ in leftovers.rounds(POLITE):
            if not asked & proc.family(os.getpid()).keys():
                return

    def abandon(self):
        """Ends everything that runs, and what goes by its name."""
        pids = proc.family(os.getpid()).keys()
        self.ask_to_end()
        leftovers.kill_all()
        leftovers.remove(
            s for s in self.dead_segments()
            if pids & set(map(int, re.findall(r"\d+", s.rpartition(".")[0]))))


def conduct(lanes, build):
    """All of it, up to the verdict; returns the exit status."""
    signals = []
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: signals.append(number))
    proc.adopt_orphans()
    run = Run(os.path.join(build, "logs"), signals)
    with tempfile.TemporaryDirectory(
            prefix="run.", dir=os.path.join(build, "tmp"),
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
    print(summary(run.total), flush=True)
    if signals:
        return 128 + signals[0]
    return 1 if run.total.failed or not run.total.passed else 0
