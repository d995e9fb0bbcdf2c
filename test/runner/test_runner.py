# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
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
import leftovers, runner
from runner import Stage
build = sys.argv[1]
# Not where other tests leave and remove theirs meanwhile.
leftovers.SEGMENTS = build + "/wm.*"
runner.TMP = build
{before}
def lane(*stages):
    return [Stage(name, ["/usr/bin/python3", "-c", code], log and build + log)
            for name, code, log in stages]
sys.exit(runner.conduct({lanes}, build))
"""
# A stage that logs what `meson test` would have.
LOGS = """
import json
with open({path!r}, "w") as f:
    f.write({text!r})
"""
# Children of which none ends when asked, in sessions of their own.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range({count}):
    if os.fork() == 0:
        os.setsid()
        while True:
            {work}
"""


class Driven:
    """A run of lanes of stages that are told as (name, code, log)."""

    def __init__(self, build, lanes, before="", **env):
        lanes = ", ".join(f"lane(*{lane!r})" for lane in lanes)
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-c",
             DRIVER.format(before=before, lanes=f"[{lanes}]"), build],
            env={**os.environ, "CI": "", **PATH, **env},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self):
        """Its exit status and lines, the last of which is a verdict."""
        output, _ = self.process.communicate(timeout=DEADLINE)
        lines = output.splitlines()
        assert lines and re.match(r"\d+ passed, \d+ failed", lines[-1]), output
        return self.process.returncode, lines


@pytest.fixture
def build(tmp_path):
    os.makedirs(tmp_path / "tmp")
    proc.adopt_orphans()
    yield str(tmp_path)
    leftovers.kill_all()


@pytest.fixture
def run(build):
    return lambda *lanes, **more: Driven(build, lanes, **more).end()


def logged(build, *runs):
    """A stage whose tests came out so."""
    text = runs[0] if isinstance(runs[0], str) else "".join(
        json.dumps(run) + "\n" for run in runs)
    path = os.path.join(build, "log.json")
    return ("tests", LOGS.format(path=path, text=text), "/log")


def test(stdout="", result="OK"):
    return {"name": "suite / name", "stdout": stdout, "result": result}


test.__test__ = False


# --- what the tests said ------------------------------------------------------

@pytest.mark.parametrize("run, passed, failed, skipped", [
    (test(), 1, [], []),
    (test(result="FAIL"), 0, ["ended with FAIL after 0 of unknown"], []),
    (test("why\n", "SKIP"), 0, [], ["suite / name: why"]),
    (test("1..2\nok 1 - a\nok 2 - b\n"), 2, [], []),
    (test("ok 1 - a\nok 2 - b\n1..2\n"), 2, [], []),
    (test("1..2\nok 1 - a\nnot ok 2 - b\n", "FAIL"), 1,
     ["suite / name: b"], []),
    (test("1..2\nok 1 - a\n"), 1, ["after 1 of 2 tests"], []),
    (test("1..1\nok 1 - a\n", "TIMEOUT"), 1, ["ended with TIMEOUT"], []),
    (test("ok 1 - a\n", "ERROR"), 1, ["ended with ERROR"], []),
    (test("1..1\nok 1 - a # SKIP no root\n", "SKIP"), 0, [],
     ["a: no root"]),
    (test("a: no seccomp, allowed in CI\n1..1\nok 1 # SKIP a\n"), 0, [],
     ["a: a: no seccomp, allowed in CI"]),
    (test("1..1\nnot ok 1 # SKIP a\n"), 0, [], ["suite / name: a"]),
    (test("1..0 # SKIP not installed: x\n", "SKIP"), 0, [],
     ["not installed: x"]),
])
def test_what_a_test_reports_is_counted(run, passed, failed, skipped):
    result = runner.read_test(run)
    assert result.passed == passed
    for texts, found in ((failed, result.failed), (skipped, result.skipped)):
        assert len(texts) == len(found)
        assert all(x in y for x, y in zip(texts, found))


def test_all_that_passes_is_a_success(run, build):
    status, lines = run([logged(build, test(), test("1..1\nok 1 - a\n"))])
    assert (status, lines[-1]) == (0, "3 passed, 0 failed")


def test_a_skip_is_a_failure_in_ci_unless_allowed(run, build):
    stage = logged(build, test("1..3\nok 1 - a # SKIP x\n"
                               "ok 2 - b # SKIP y, allowed in CI\nok 3 - c\n"))
    assert run([stage])[1][-1] == "2 passed, 0 failed, 2 skipped"
    status, lines = run([stage], CI="true")
    assert (status, lines[-1]) == (1, "2 passed, 1 failed, 1 skipped")


def test_why_a_test_failed_is_told_with_the_stage_and_at_the_end(run, build):
    why = [f"# {i} in the bar" for i in range(runner.REASON + 1)]
    status, lines = run([logged(build, test("\n".join(
        ["not ok 1 - a", *why, "not ok 2 - b", "# why", "ok 3 - c", "# all",
         "1..3"])))])
    assert status == 1
    told = ["failed: suite / name: a",
            *(f"    {x}" for x in why[:runner.REASON]),
            "failed: suite / name: b", "    # why"]
    at = lines.index(" " * 10 + told[0])
    assert lines[at:at + len(told)] == [" " * 10 + x for x in told]
    assert lines[-1 - len(told):] == [*told, "2 passed, 2 failed"]


@pytest.mark.parametrize("text", ["", "no json\n", "[]\n", '{"name": 1}\n',
                                  "\0\xff\n"])
def test_a_log_of_garbage_is_a_failure(run, build, text):
    status, lines = run([logged(build, text)])
    assert (status, lines[-1]) == (1, "1 passed, 1 failed")


def test_a_build_that_fails_ends_its_lane_alone(run, build):
    status, lines = run([("build", "exit(1)", None), ("never", "", None)],
                        [logged(build, test())])
    assert (status, lines[-1]) == (1, "2 passed, 1 failed")
    assert not any("never" in x for x in lines)


# --- what goes wrong ----------------------------------------------------------

@pytest.mark.parametrize("work", ["signal.pause()", "pass",
                                  "os.fork() or os._exit(time.sleep(.01))"],
                         ids=["asleep", "busy", "forking"])
def test_children_that_do_not_end_are_ended_and_told(run, work):
    count = 300 if work == "signal.pause()" else 30
    status, lines = run([("leaves children",
                          STUBBORN.format(count=count, work=work), None)],
                        before="runner.GRACE = 0.1")
    left = [x for x in lines if x.startswith("failed: left behind: process")]
    assert len(left) >= count
    assert status == 1
    assert lines[-1] == f"0 passed, {len(left)} failed"
    assert not proc.family(os.getpid())


def test_a_stage_that_hangs_is_ended_with_all_it_started(run, build):
    status, lines = run(
        [("hangs", STUBBORN.format(count=20, work="signal.pause()")
          + "signal.pause()", None), ("never", "", None)],
        [logged(build, test())], WM_STAGE_LIMIT="1")
    assert (status, lines[-1]) == (1, "2 passed, 2 failed")
    assert any("not done after 1 s" in x for x in lines)
    assert not proc.family(os.getpid())


@pytest.mark.parametrize("what", ["leftovers.proc.family", "leftovers.dead",
                                  "leftovers.kill_all", "runner.Stage.read"])
def test_a_runner_that_fails_itself_says_so(run, build, what):
    status, lines = run(
        [logged(build, test())],
        before=f"def broken(*_): raise OSError('on purpose')\n{what} = broken\n"
        "leftovers.segments = lambda seen=[]: seen.append(1) or "
        "set('x' if len(seen) > 1 else '')")
    assert status == 1
    assert any("the runner itself: OSError('on purpose')" in x for x in lines)
    assert not proc.family(os.getpid())


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT,
                                    signal.SIGTERM])
def test_an_interrupt_ends_all_stages(build, number):
    ready = os.path.join(build, "ready")
    driven = Driven(build, [[("waits", STUBBORN.format(
        count=20, work="signal.pause()") + "signal.signal(signal.SIGTERM, "
        f"signal.SIG_DFL)\nopen({ready!r}, 'w')\nsignal.pause()", None)]])
    proc.wait(lambda: os.path.exists(ready), "the stage", DEADLINE)
    driven.process.send_signal(number)
    status, lines = driven.end()
    assert (status, lines[-1]) == (128 + number, "0 passed, 1 failed")
    assert not proc.family(os.getpid())
    assert os.listdir(os.path.join(build, "tmp")) == []


@pytest.mark.parametrize("name, stays", [
    ("wm.demo.0123456789abcdef", False), ("wmctl.x", True)])
def test_a_segment_and_a_temporary_file_are_told(run, build, name, stays):
    """The segment, which nobody uses, is removed as well."""
    path = os.path.join(build, name)
    status, lines = run([("leaves it", f"open({path!r}, 'w')", None)],
                        before="runner.GRACE = 0.1")
    assert (status, lines[-1]) == (1, "0 passed, 1 failed")
    assert f"failed: left behind: {path}" in lines
    assert os.path.exists(path) == stays


# --- pytest -------------------------------------------------------------------

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
