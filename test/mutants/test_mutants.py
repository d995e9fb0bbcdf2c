# SPDX-License-Identifier: Apache-2.0
"""Takes one safeguard after another out of the library: tests must notice.

README.md says what the tables hold. A mutant that survives, or that another
claim finds, is a failure. That a test is green without it is seen where the
tests themselves are run.

C is read no further than to its brackets, its operators and the ends of its
statements, as clang-format writes them: a change that goes wrong does not
compile, or is not found by the claim that its table names.
"""

import contextlib
import glob
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import tomllib
from collections import defaultdict

import pytest

import conf
import leftovers
import proc

LIBRARY = os.path.join(conf.ROOT, "libwm")
# The archives of the programs, and where their objects are made: the tests see
# the library's own ones, or those that tell of their moments.
ARCHIVES = {"test/libwm-inside.a": "libwm/libwm.so",
            "test/libwm-moments.a": "test/libwm-moments.a"}

MARKER = re.compile(r"/\* Safeguard: (\w+) \*/\s*")
# Comments and directives become spaces, strings a name of the same length.
HIDDEN = re.compile(
    r"(?P<space>/\*.*?\*/|//[^\n]*|^[ \t]*#(?:\\\n|[^\n])*)"
    r"|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", re.DOTALL | re.MULTILINE)
TOKEN = re.compile(r"[][(){};?:,]|&&|\|\||[=!<>]=|=")
BLOCK_GOES_ON = re.compile(r"\s*(?:else\b|[;,.)])")


def hide(text):
    return HIDDEN.sub(
        lambda m: (" " if m["space"] else "_") * len(m[0]), text)


def find(code, at, *wanted):
    """The first of these tokens that is in no brackets, or the bracket that
    closes those around it."""
    depth = 0
    for token in TOKEN.finditer(code, at):
        depth += token[0] in "([{"
        depth -= token[0] in ")]}"
        if depth < 0 or depth == 0 and token[0] in wanted:
            return token
    raise ValueError(f"none of {wanted} follows")


def after(code, at, count):
    """Where so many statements end."""
    for _ in range(count):
        at = find(code, at, ";", "}").end()
        while BLOCK_GOES_ON.match(code, at):
            at = find(code, at, ";", "}").end()
    return at


def expression(code, at):
    """A condition; what is returned, assigned or called; an operand."""
    if not re.search(r"[{};:]\s*$", code[:at]):
        end = find(code, at, "&&", "||", "?", ":", ";", ",").start()
        return at, len(code[:end].rstrip())
    word = re.compile(r"\w*").match(code, at)
    if word[0] == "if":
        at = code.index("(", at) + 1
        return at, find(code, at).start()
    equals = find(code, at, "=", ";")
    begin = word.end() if word[0] == "return" else (
        equals.end() if equals[0] == "=" else at)
    return begin, find(code, begin, ";").start()


def change(text, at, operation, argument):
    """The text with the operation done at this position."""
    code = hide(text)
    if operation == "first":
        return f"{text[:at]}{argument} {text[at:]}"
    if operation == "becomes":
        begin, end = expression(code, at)
        return f"{text[:begin]} {argument}{text[end:]}"
    if operation == "drop":
        return f"{text[:at]};{text[after(code, at, argument):]}"
    assert operation == "move", "README.md lists the operations"
    begin, end = after(code, at, 1), after(code, at, 1 + argument)
    moved, passed = text[at:begin], text[begin:end]
    if passed.lstrip().startswith("return"):
        passed = passed.replace("return", "__auto_type early =", 1)
        moved += " return early;"
    return f"{text[:at]};{passed} {moved}{text[end:]}"


def affected(file):
    """The sources that include it, or are it."""
    found, more = set(), {file}
    while more:
        found |= more
        more = {name for name, text in TEXTS.items() if name not in found
                and more & set(re.findall(r'#include "(.*?)"', text))}
    return sorted(name for name in found if name.endswith(".c"))


def mutate(directory, file, at, fields):
    """Copies the library, with the change; returns what is to be compiled."""
    shutil.rmtree(directory, ignore_errors=True)
    copy = os.path.join(directory, "libwm")
    shutil.copytree(LIBRARY, copy, ignore=shutil.ignore_patterns("*.md"))
    (operation,) = fields.keys() - {"harm", "red", "says"} or {"drop"}
    text = change(TEXTS[file], at, operation, fields.get(operation, 1))
    pathlib.Path(copy, file).write_text(text, encoding="utf-8")
    return [os.path.join(copy, name) for name in affected(file)]


@pytest.fixture(name="commands", scope="session")
def fixture_commands():
    """(archive, file of the library) -> the command that compiles it."""
    commands = json.loads(conf.source(conf.BUILD, "compile_commands.json"))
    return {(archive, os.path.basename(c["file"])): shlex.split(c["command"])
            for c in commands for archive, origin in ARCHIVES.items()
            if c["output"].startswith(origin)}


def link(program, paths, directory, commands):
    """The objects come before the archive that has the library's, and take
    their place. They are compiled as in the build, but without debugging
    information and warnings: a mutant may leave something unused. The headers
    are those beside the file."""
    command = shlex.split(proc.run("ninja", "-t", "commands", "-s", program,
                                   cwd=conf.BUILD))
    archive = next(word for word in command if word in ARCHIVES)
    made = os.path.join(directory, os.path.basename(program))
    command[command.index("-o") + 1] = made
    for path in paths:
        compiler = commands[archive, os.path.basename(path)]
        proc.run(*compiler[:compiler.index("-MD")], "-w", "-g0", "-o",
                 path + ".o", "-c", path, cwd=conf.BUILD)
        command.insert(command.index(archive), path + ".o")
    proc.run(*command, cwd=conf.BUILD)
    return made


def run_test(command, name, log):
    """Runs the one test alone: its exit status and what it said."""
    env = {**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP", "WM_TESTS": name,
           "WM_SOURCE_ROOT": conf.ROOT}
    with open(log, "wb") as f:
        process = subprocess.Popen(
            command, env=env, stdout=f, stderr=f,
            stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        status = process.wait(proc.DEADLINE)
    finally:
        # One that does not end would leave processes, and a segment.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        leftovers.remove(glob.glob(f"/dev/shm/wm.test-{process.pid}-*"))
    return status, pathlib.Path(log).read_text("utf-8", "replace")


TEXTS = {path.name: path.read_text(encoding="utf-8")
         for path in pathlib.Path(LIBRARY).glob("*.[ch]")}
# Name -> its markers, each a file and the position after it; its entries.
MARKERS, ENTRIES = defaultdict(list), defaultdict(list)
for _file, _text in TEXTS.items():
    for _m in MARKER.finditer(_text):
        MARKERS[_m[1]].append((_file, _m.end()))
for _path in pathlib.Path(__file__).parent.glob("*.toml"):
    for _name, _fields in tomllib.loads(_path.read_text("utf-8")).items():
        ENTRIES[_name].append(_fields)


@pytest.mark.parametrize("name", sorted({*MARKERS, *ENTRIES}))
def test_it_is_found(name, commands):
    assert len(MARKERS[name]) == len(ENTRIES[name]) == 1, (
        "it must have one marker in libwm and one entry in a table")
    (file, at), fields = MARKERS[name][0], ENTRIES[name][0]
    directory = os.path.join(conf.BUILD, "mutants", name)
    paths = mutate(directory, file, at, fields)
    red, says = fields["red"], fields.get("says", "")
    for what in red if isinstance(red, list) else [red]:
        program, *arguments, test = what.split()
        log = os.path.join(directory, test + ".log")
        mutant = link("test/" + program, paths, directory, commands)
        status, said = run_test([mutant, *arguments], test, log)
        assert status, f"{test} does not notice: {fields['harm']}"
        assert says in said and re.search(
            rf"^not ok \d+ - {test}$", said, re.MULTILINE), (
                f'it is not {test} that is red, saying "{says}":\n{said}')
