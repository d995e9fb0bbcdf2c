# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The stages of test/run, in two lanes: meson's suites in some builds."""

import os
import subprocess
import sys

import runner
from runner import ROOT, Stage

BUILD = os.environ["WM_BUILD"]
COMPILED = ("unit", "crash", "hostile", "stress")
QUICK = ("nginx", "consumer", "bench", "lint", "tools", "runner", "rules",
         "server", "example")
LONG = ("model", "chaos", "fuzz")
SANITIZERS = {
    "asan": ("address,undefined", {
        "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}),
    "tsan": ("thread", {
        "TSAN_OPTIONS": "halt_on_error=1:die_after_fork=0"}),
}


def build(name, directory, *options):
    script = ('. "$1/test/setup.sh"; shift; prepare; lock "$1"; '
              'configure "$@"; compile "$1"')
    return Stage(f"{name} build", ["bash", "-c", script, "compile", ROOT,
                                   directory, "-Dtests=enabled",
                                   "-Dwerror=true", *options])


def tests(name, directory, suites, *options, env=None):
    """Meson's suites; its own logs go by the stage."""
    chosen = [x for suite in suites for x in ("--suite", suite)]
    return Stage(f"{name} tests",
                 ["meson", "test", "-C", directory, "--no-rebuild",
                  "--print-errorlogs", "--logbase", name, *chosen, *options],
                 os.path.join(directory, "meson-logs", name), env)


def plain_lane(quick):
    suites = (*COMPILED, *QUICK, *(() if quick else ("mutants",)))
    stages = [build("plain", BUILD), tests("plain", BUILD, suites)]
    if not quick:
        stages.append(tests("memcheck", BUILD, ("unit", "stress"),
                            "--setup", "memcheck"))
    return stages


def long_lane():
    stages = []
    for name, (sanitizer, env) in SANITIZERS.items():
        directory = os.path.join(BUILD, name)
        options = ["--timeout-multiplier", "40"]
        # ThreadSanitizer wants its addresses where it expects them.
        still = ["setarch", "-R"]
        if name == "tsan" and not subprocess.run(
                [*still, "true"], capture_output=True, check=False).returncode:
            options += ["--wrapper", " ".join(still)]
        stages += [build(name, directory, f"-Db_sanitize={sanitizer}",
                         "-Dbench=disabled", "-Dlua=disabled",
                         "-Dtools=disabled"),
                   tests(name, directory, COMPILED, *options, env=env)]
    return [*stages, tests("long", BUILD, LONG),
            Stage("arm64 tests", ["test/arm64/run"],
                  os.path.join(BUILD, "arm64/meson-logs/testlog"))]


def main():
    quick = sys.argv[1:] == ["--quick"]
    return runner.conduct([plain_lane(quick),
                           *([] if quick else [long_lane()])], BUILD)


if __name__ == "__main__":
    sys.exit(main())
