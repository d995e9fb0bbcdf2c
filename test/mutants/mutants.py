# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The mutants: the markers in libwm, what the tables say of each, and what may
be done to the C that follows a marker. README.md lists that.

A position is one in the text, a span a pair of them. C is read no further than
to its brackets, its operators and the ends of its statements, as clang-format
writes them: a change that goes wrong does not compile, or is not found by the
claim that its table names.
"""

import glob
import os
import re
import tomllib
from collections import defaultdict, namedtuple

MARKER = re.compile(r"/\*\s*Safeguard:\s*(.*?)\s*\*/", re.DOTALL)
# Comments and directives become spaces, strings a name of the same length.
HIDDEN = re.compile(
    r"(?P<space>/\*.*?\*/|//[^\n]*|^[ \t]*#(?:\\\n|[^\n])*)"
    r"|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", re.DOTALL | re.MULTILINE)
TOKEN = re.compile(r"[][(){};?:,]|&&|\|\||[=!<>]=|=")
BEFORE_STATEMENT = re.compile(
    r"(?:[{};]|\belse|\b(?:case\b[^;{}]*|default\s*):)\s*$")
BLOCK_GOES_ON = re.compile(r"\s*(?:else\b|[;,.)])")
NEUTRAL = {"&&": "true", "||": "false"}

# at: the position of what follows the marker; harm: what comes of it; tests:
# those that must fail, each with what it says then.
Mutant = namedtuple("Mutant", "file at harm operation argument tests")
# program: under build/test, with its arguments; says: "" for anything.
Test = namedtuple("Test", "program name says")


class Unfit(Exception):
    """The operation does not fit the code that follows its marker."""


def hide(text):
    return HIDDEN.sub(
        lambda m: (" " if m["space"] else "_") * len(m[0]), text)


def walk(code, begin, end=None):
    """Each token that matters, and how deep in brackets it leaves us."""
    depth = 0
    for token in TOKEN.finditer(code, begin, end or len(code)):
        depth += token[0] in "([{"
        depth -= token[0] in ")]}"
        yield token, depth


def skip_space(code, at):
    return re.compile(r"\s*").match(code, at).end()


def trim(code, begin, end):
    return skip_space(code, begin), len(code[:end].rstrip())


def is_statement(code, at):
    return BEFORE_STATEMENT.search(code, 0, at)


def end_of_statement(code, at):
    label = re.compile(r"(?:case\b[^;{}]*?|default\s*):").match(code, at)
    if label:
        return label.end()
    for token, depth in walk(code, at):
        if depth == 0 and token[0] == ";":
            return token.end()
        if depth == 0 and token[0] == "}" and not BLOCK_GOES_ON.match(
                code, token.end()):
            return token.end()
        if depth < 0:
            break
    raise Unfit("this is no statement")


def block(code, at):
    """The statements around this one, and which of them it is."""
    if not is_statement(code, at):
        raise Unfit("it does not stand in front of a statement")
    depth, begin = 0, at
    while depth >= 0:
        begin -= 1
        depth += (code[begin] == "}") - (code[begin] == "{")
    found = []
    begin = skip_space(code, begin + 1)
    while code[begin] != "}":
        found.append((begin, end_of_statement(code, begin)))
        begin = skip_space(code, found[-1][1])
    return found, [span[0] for span in found].index(at)


def expression(code, at):
    """A condition; what is returned, assigned or called; an operand."""
    if not is_statement(code, at):
        return trim(code, at, next(
            token.start() for token, depth in walk(code, at) if depth < 0 or
            depth == 0 and token[0] in ("&&", "||", "?", ":", ";", ",")))
    end = end_of_statement(code, at)
    word = re.compile(r"\w*").match(code, at)
    if word[0] in ("for", "do", "case", "default") or code[at] == "{":
        raise Unfit("there is no expression")
    if word[0] in ("if", "while", "switch"):
        begin = code.index("(", at)
        return trim(code, begin + 1, next(
            token.start() for token, depth in walk(code, begin) if depth == 0))
    begin = word.end() if word[0] == "return" else next(
        (token.end() for token, depth in walk(code, at, end)
         if depth == 0 and token[0] == "="), at)
    return trim(code, begin, end - 1)


# --- operations: from where to where, and what stands there then --------------

def drop(text, at, count):
    spans, index = block(hide(text), at)
    if index + count > len(spans):
        raise Unfit(f"only {len(spans) - index} statements follow")
    return [(at, spans[index + count - 1][1], ";")]


def without(text, at, numbers):
    code = hide(text)
    begin, end = expression(code, at)
    tokens = [t for t, depth in walk(code, begin, end) if depth == 0]
    if any(t[0] == "?" for t in tokens):
        raise Unfit("it has a ?, and no operands")
    binds_less = "||" if any(t[0] == "||" for t in tokens) else "&&"
    cuts = [t for t in tokens if t[0] == binds_less]
    operands = list(zip([begin, *(t.end() for t in cuts)],
                        [*(t.start() for t in cuts), end]))
    numbers = [numbers] if isinstance(numbers, int) else numbers
    if not cuts or not all(1 <= n <= len(operands) for n in numbers):
        raise Unfit(f"its expression has {len(operands)} operands")
    return [(*trim(code, *operands[n - 1]), NEUTRAL[binds_less])
            for n in numbers]


def becomes(text, at, new):
    return [(*expression(hide(text), at), new)]


def first(text, at, new):
    block(hide(text), at)
    return [(at, at, new + " ")]


def move(text, at, by):
    spans, index = block(hide(text), at)
    if by == 0 or not 0 <= index + by < len(spans):
        raise Unfit(f"it is statement {index + 1} of {len(spans)}")
    end = spans[index][1]
    moved, left = text[at:end], ";"
    if moved.startswith("return"):
        moved = f"__auto_type early ={moved.removeprefix('return')}"
        left = "return early;"
    where = spans[index + by][0 if by < 0 else 1]
    return [(where, where, f" {moved} "), (at, end, left)]


OPERATIONS = {f.__name__: f for f in (drop, without, becomes, first, move)}


def change(text, at, operation, argument):
    """The text with the operation done at this position."""
    for begin, end, new in sorted(OPERATIONS[operation](text, at, argument),
                                  reverse=True):
        text = text[:begin] + new + text[end:]
    return text


def affected(texts, file):
    """The sources that include it, or are it."""
    found, more = set(), {file}
    while more:
        found |= more
        more = {name for name, text in texts.items() if name not in found
                and more & set(re.findall(r'#include "(.*?)"', text))}
    return sorted(name for name in found if name.endswith(".c"))


# --- markers and tables -------------------------------------------------------

def read_library(folder):
    """File name -> text."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.[ch]"))):
        with open(path, encoding="utf-8") as f:
            found[os.path.basename(path)] = f.read()
    return found


def read_markers(library):
    """Name -> the markers of that name: the file, and the position."""
    found = defaultdict(list)
    for file, text in library.items():
        for m in MARKER.finditer(text):
            found[m[1]].append((file, skip_space(hide(text), m.end())))
    return found


def read_tables(folder):
    """Name -> the entries of that name: the table, and the fields."""
    found = defaultdict(list)
    for path in sorted(glob.glob(os.path.join(folder, "*.toml"))):
        with open(path, "rb") as f:
            for name, fields in tomllib.load(f).items():
                found[name].append((os.path.basename(path), fields))
    return found


def as_list(value):
    return value if isinstance(value, list) else [value]


def read_mutant(name, markers, entries):
    """Of the one marker and the one entry that have this name."""
    assert len(markers) == len(entries) == 1, (
        f"{name} must have one marker in libwm and one entry in a table, and "
        f"has {[x for x, _ in markers]} and {[x for x, _ in entries]}")
    (file, at), (table, fields) = markers[0], entries[0]
    chosen = [key for key in fields if key in OPERATIONS]
    assert len(chosen) == 1 and {"harm", "red"} <= set(fields) <= {
        "harm", "red", "says", *chosen}, (
        f"{table}: an entry has harm, red, says where it is needed, and one "
        f"of {', '.join(OPERATIONS)}")
    red, says = as_list(fields["red"]), as_list(fields.get("says", ""))
    says = says * len(red) if len(says) == 1 else says
    tests = [Test(*test.rsplit(" ", 1), text)
             for test, text in zip(red, says, strict=True)]
    return Mutant(file, at, fields["harm"], chosen[0], fields[chosen[0]], tests)
