# SPDX-License-Identifier: Apache-2.0
"""test/run ends with a verdict and leaves nothing, whatever its stages do."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

import leftovers
import proc
import runner

PATH = {"PYTHONPATH": ":".join(p for p in sys.path if p)}
DEADLINE = 300          # seconds; only a failure waits it out
DRIVER = """
import sys
import json, leftovers, runner
from runner import Stage
build = runner.BUILD = runner.TMP = sys.argv[1]
# Not where other tests leave and remove theirs meanwhile.
leftovers.SEGMENTS = build + "/wm.*"
runner.POLITE = runner.GRACE = 0.1
{before}
sys.exit(runner.conduct([[
    Stage(name, [sys.executable, "-c", code], log and build + log)
    for name, code, log in lane] for lane in {lanes!r}]))
"""
# Children of which none ends when asked, in sessions of their own. The clock
# ends them if nobody else does.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range({count}):
    if os.fork() == 0:
        os.setsid()
        signal.alarm(300)
        while True:
            {work}
"""
SLEEPERS = STUBBORN.format(count=20, work="signal.pause()")


@pytest.fixture
def build(tmp_path):
    os.makedirs(tmp_path / "tmp")
    proc.adopt_orphans()
    yield str(tmp_path)
    assert not proc.family(os.getpid()), leftovers.kill_all()


@pytest.fixture
def run(build):
    """Runs lanes of stages, told as (name, code, log): the exit status and the
    lines, the last of which is a verdict. A signal is sent once a stage has
    made the file `ready`."""
    def driven(*lanes, before="", number=None, ci=""):
        process = subprocess.Popen(
            ["/usr/bin/python3", "-c",
             DRIVER.format(before=before, lanes=lanes), build],
            env={**os.environ, **PATH, "CI": ci},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if number:
            ready = os.path.join(build, "ready")
            proc.wait(lambda: os.path.exists(ready), "the stage", DEADLINE)
            process.send_signal(number)
        output, _ = process.communicate(timeout=DEADLINE)
        lines = output.splitlines()
        assert lines and re.match(r"\d+ passed, \d+ failed", lines[-1]), output
        return process.returncode, lines
    return driven


def logged(build, *runs):
    """A stage that logs as `meson test` does whose tests come out so."""
    text = "".join(json.dumps(run) + "\n" for run in runs)
    return ("tests", f"open({build + '/log.json'!r}, 'w').write({text!r})",
            "/log")


def result(stdout, outcome="OK"):
    return {"name": "suite / name", "stdout": stdout, "result": outcome}


GOOD = result("1..2\nok 1 - a\nok 2 - b\n")


@pytest.mark.parametrize("logged_test, passed, others", [
    (result("", "FAIL"), 0, [("failed", "ended with FAIL")]),
    (result("1..2\nok 1 - a\n", "ERROR"), 1, [("failed", "ended with ERROR")]),
    (result("1..2\nok 1 - a\n"), 1, [("failed", "ended with OK")]),
    (result("1..1\nok 1 - a # SKIP no root\n", "SKIP"), 0,
     [("skipped", "suite / name: a: no root")]),
    (result("# a: no seccomp, allowed in CI\n1..1\nok 1 # SKIP a\n"), 0,
     [("skipped", "suite / name: a: no seccomp, allowed in CI")]),
    (result("1..1\nnot ok 1 # SKIP a\n"), 0, [("skipped", "a")]),
    (result("1..0 # SKIP not installed: x\n", "SKIP"), 0,
     [("skipped", "not installed: x")]),
])
def test_what_a_test_reports_is_counted(logged_test, passed, others,
                                        monkeypatch):
    monkeypatch.setenv("CI", "")
    said = list(runner.read_test(logged_test))
    assert [kind for kind, _ in said] == ["passed"] * passed + [
        kind for kind, _ in others]
    assert all(x in y for (_, x), (_, y) in zip(others, said[passed:]))


@pytest.mark.parametrize("tests, verdict", [
    ([GOOD, GOOD], (0, ["4 passed, 0 failed"])),
    ([], (1, ["failed: tests: no test ran", "0 passed, 1 failed"]))])
def test_a_stage_succeeds_if_a_test_ran_and_all_pass(run, build, tests,
                                                     verdict):
    assert run([logged(build, *tests)]) == verdict


def test_a_skip_is_a_failure_in_ci_unless_allowed(run, build):
    stage = logged(build, result("1..3\nok 1 - a # SKIP x\n"
                                 "ok 2 - b # SKIP y, allowed in CI\n"
                                 "ok 3 - c\n"))
    assert run([stage])[1][-1] == "1 passed, 0 failed, 2 skipped"
    status, lines = run([stage], ci="true")
    assert (status, lines[-1]) == (1, "1 passed, 1 failed, 1 skipped")


def test_a_stage_that_cannot_be_had_is_skipped(run, build):
    """It says so by its status, before any test has run."""
    cannot = ("musl", "raise SystemExit(77)", "/musl")
    assert run([logged(build, GOOD), cannot]) == (0, [
        "skipped: musl: what they need cannot be had",
        "2 passed, 0 failed, 1 skipped"])
    name, code, log = logged(build, GOOD)
    status, lines = run([(name, code + "; raise SystemExit(77)", log)])
    assert (status, lines[-1]) == (1, "2 passed, 1 failed")


def test_why_a_test_failed_is_told_at_the_end(run, build):
    assert run([logged(build, result(
        "not ok 1 - a\n# 1 != 2\n# in the bar\nnot ok 2 - b\n# why\n"
        "ok 3 - c\n# all\n1..3", "FAIL"))]) == (1, [
            "failed: suite / name: a", "    # 1 != 2", "    # in the bar",
            "failed: suite / name: b", "    # why", "1 passed, 2 failed"])


def test_a_build_that_fails_ends_its_lane_alone(run, build):
    assert run([("build", "exit(1)", ""), ("never", "exit(1)", "")],
               [logged(build, GOOD)]) == (1, ["failed: build: exit status 1",
                                              "2 passed, 1 failed"])


@pytest.mark.parametrize("count, work", [
    (300, "signal.pause()"), (30, "pass"),
    (30, "os.fork() or os._exit(time.sleep(.01))")],
    ids=["asleep", "busy", "forking"])
def test_children_that_do_not_end_are_ended_and_told(run, count, work):
    status, lines = run([("leaves children",
                          STUBBORN.format(count=count, work=work), "")])
    left = [x for x in lines if x.startswith("failed: left behind: process")]
    assert len(left) >= count
    assert (status, lines[-1]) == (1, f"0 passed, {len(left)} failed")


@pytest.mark.parametrize("what", ["leftovers.proc.family", "leftovers.dead",
                                  "leftovers.kill_all", "json.loads"])
def test_a_runner_that_fails_itself_says_so(run, build, what):
    status, lines = run(
        [logged(build, GOOD)],
        before=f"def broken(*_): raise OSError('on purpose')\n{what} = broken\n"
        "leftovers.segments = lambda seen=[]: seen.append(1) or "
        "set('x' if len(seen) > 1 else '')")
    assert status == 1
    assert "failed: the runner itself: OSError('on purpose')" in lines


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT,
                                    signal.SIGTERM, signal.SIGALRM])
def test_an_interrupt_ends_all_stages(run, build, number):
    """With all that they have started. The clock interrupts those that hang."""
    hangs = number == signal.SIGALRM
    status, lines = run(
        [("waits", f"{SLEEPERS}open({build!r} + '/ready', 'w')\n"
          "signal.pause()", ""), ("never", "", "")],
        before="runner.LIMIT = 1" if hangs else "",
        number=None if hangs else number)
    assert (status, lines[-2:]) == (128 + number, [
        f"failed: interrupted by {number.name}", "0 passed, 1 failed"])
    assert os.listdir(os.path.join(build, "tmp")) == []


def test_an_interrupt_lets_each_test_clean_up(run, build):
    path = os.path.join(build, "ready")
    run([("waits", f"""
import os, signal
def clean(*_):
    os.unlink({path!r})
    os._exit(0)
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, clean)
    open({path!r}, "w")
    while True:
        signal.pause()
os.wait()
""", "")], before=f"runner.POLITE = {DEADLINE}", number=signal.SIGTERM)
    assert not os.path.exists(path)


@pytest.mark.parametrize("how, name, stays", [
    ("open({!r}, 'w')", "wm.demo.0123456789abcdef", False),
    ("import os; os.mkdir({!r})", "wm.test-4194304.x", False),  # no such pid
    ("open({!r}, 'w')", "wmctl.x", True)])
def test_a_segment_and_a_temporary_file_are_told(run, build, how, name, stays):
    """A segment that nobody uses is removed as well, and a directory of them
    that nobody works in."""
    path = os.path.join(build, name)
    assert run([("leaves it", how.format(path), "")]) == (
        1, [f"failed: left behind: {path}", "0 passed, 1 failed"])
    assert os.path.exists(path) == stays


def test_pytest_reports_each_test_once_and_why_it_failed(tmp_path):
    (tmp_path / "test_a.py").write_text("""
import os, pytest
@pytest.fixture
def bad():
    yield
    assert False
@pytest.mark.parametrize("x", ["#"])
def test_good(x): pass
def test_bad(): assert 1 == 2, 'why'
def test_bad_behind(bad): pass
def test_bad_twice(bad): assert False
def test_skipped(): pytest.skip("no x,\\nno y")
""")
    (tmp_path / "test_b.py").write_text("import nothing_of_the_kind\n")
    command = ["bash", "-c", "exec pytest-3 -q -p no:cacheprovider "
               '-p pytest_tap --continue-on-collection-errors "$0" '
               "3>&1 1>&2", str(tmp_path)]
    said = subprocess.run(command, env={**os.environ, **PATH, "WM_TAP": "3"},
                          capture_output=True, text=True, check=False,
                          cwd=tmp_path).stdout
    assert said.splitlines() == [
        "not ok 1 - test_b.py",
        "# ModuleNotFoundError: No module named 'nothing_of_the_kind'",
        "ok 2 - test_a.py::test_good[\\#]",
        "not ok 3 - test_a.py::test_bad",
        "# AssertionError: why", "# assert 1 == 2",
        "not ok 4 - test_a.py::test_bad_behind", "# assert False",
        "not ok 5 - test_a.py::test_bad_twice", "# assert False",
        "ok 6 - test_a.py::test_skipped # SKIP Skipped: no x, no y", "1..6"]
