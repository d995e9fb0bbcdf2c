# SPDX-License-Identifier: Apache-2.0
"""Checks the models with Spin, exhaustively, and then weaker ones.

A model's opening comment names its checks and their options; a check that is
named after an ltl formula is one of liveness, under weak fairness. A comment
such as `Weaker by 1: NAME (CHECK: CLAIM): TEXT` stands for another model, where
TEXT replaces the line before it, or so many: that check must find that this
claim does not hold. One that survives, or that another claim finds, is a
failure. Each claim has such a comment; a safeguard that test/mutants takes out
of the code is not taken out here again without that need.
"""

import pathlib
import re
import shutil
import subprocess
from collections import namedtuple

import pytest

import conf

HERE = pathlib.Path(__file__).parent
WEAKER = re.compile(r"^ */\* Weaker by (?P<lines>\d+): (?P<name>\w+)"
                    r"(?: \((?P<claim>.*?)\))?(?P<text>.*?) ?\*/\n",
                    re.MULTILINE | re.DOTALL)
UNFINISHED = ("max search depth too small", "out of memory",
              "Search not completed", "warning: for p.o.")

# A run of a model; claim: that must turn red, "" if all must hold.
Job = namedtuple("Job", "name text check options claim is_liveness")


def weaken(text, name):
    """The model without its comments on weaker ones, and weaker by this."""
    lines, at = [], 0
    for m in WEAKER.finditer(text):
        lines += text[at:m.start()].splitlines()
        at = m.end()
        if m["name"] == name:
            del lines[len(lines) - int(m["lines"]):]
            lines.append(m["text"].removeprefix(":"))
    return "\n".join([*lines, text[at:]])


def read_model(path):
    """The checks of a model, and what weakens it."""
    text = path.read_text(encoding="utf-8")
    formulas = re.findall(r"^ltl (\w+)", text, re.M)
    checks = dict(re.findall(r"^ \* check (\w+):(.*?)(?: \*/)?$", text, re.M))
    wanted = [(check, "", "") for check in checks]
    for m in WEAKER.finditer(text):
        if m["claim"]:
            check, _, claim = " ".join(m["claim"].split()).rpartition(": ")
            wanted.append((check or claim, m["name"], claim))
    return [Job(f"{path.stem}-{weaker or check}", weaken(text, weaker), check,
                checks[check].split(), claim, check in formulas)
            for check, weaker, claim in wanted]


JOBS = [job for path in sorted(HERE.glob("*.pml")) for job in read_model(path)]
JOBS.sort(key=lambda job: bool(job.claim))      # the longest first


def call(directory, *command):
    done = subprocess.run(command, cwd=directory, text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def what_is_red(report, check):
    """The name of what does not hold, or ""."""
    error = re.search(r"^pan:\d+: (?:assertion violated \(?(\w+)|(.*?)"
                      r"(?: \(at depth \d+\))?$)", report, re.M)
    if not error:
        return ""
    return error[1] or (
        check if "acceptance cycle" in error[2] else error[2].strip())


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_it_comes_out_as_it_must(job):
    directory = pathlib.Path(conf.BUILD, "model", job.name)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    shutil.copy(HERE / "common.inc", directory)
    (directory / "model").write_text(job.text, encoding="utf-8")
    how, search = ["-DSAFETY", "-DNOCLAIM"], []
    if job.is_liveness:
        how, search = ["-DNFAIR=3"], ["-a", "-f", "-N", job.check]
    for command in (["spin", "-a", *job.options, "model"],
                    ["gcc", "-O0" if job.claim else "-O1", "-w", "-o", "pan",
                     "-DMEMLIM=4000", *how, "pan.c"]):
        status, said = call(directory, *command)
        assert not status, said
    # A weaker one stops at its claim, after few states as a rule.
    status, report = call(directory, "./pan", "-m200000",
                          "-w20" if job.claim else "-w24", *search)
    (directory / "report").write_text(report, encoding="utf-8")
    red = what_is_red(report, job.check)
    assert red or not status and "states, stored" in report and not any(
        x in report for x in UNFINISHED), report
    assert red == job.claim
