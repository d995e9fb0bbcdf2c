# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""What each operation makes of a piece of C, and what is refused: one that did
something else than it says would make a mutant that proves nothing."""

import pytest

import mutants
from mutants import Unfit, affected, change

# the operation; the body of a function, with @ for the marker; the body that it
# becomes, or what the refusal says
CHANGES = {
    "a statement goes": (
        "drop", 1, "a(); @if (x) { b(); } else if (y) { c(); } e();",
        "a(); ; e();"),
    "several statements go": (
        "drop", 2, "{ @a(); if (x) { b(); } c(); }", "{ ; c(); }"),
    "what stands under a label goes": (
        "drop", 1, "switch (x) { case A: @return b(); default: c(); }",
        "switch (x) { case A: ; default: c(); }"),
    "strings and comments mislead nobody": (
        "drop", 1, "@a(\"(\\\";\", '\"', /* ; ) */ 1); // }\nb();",
        "; // }\nb();"),
    "no more goes than there is": ("drop", 2, "@a();", "only 1 statement"),
    "no argument goes": ("drop", 1, "a(@b, c);", "in front of a statement"),
    "an operand is left out": (
        "without", 2, "@return a && (b || c) && d;",
        "return a && true && d;"),
    "several operands are left out": (
        "without", [1, 3], "@while (a || (b && c) || d) { x(a || b); }",
        "while (false || (b && c) || false) { x(a || b); }"),
    "|| comes before &&": (
        "without", 1, "@x = a && b || c;", "x = false || c;"),
    "there is no fourth operand": (
        "without", 4, "@if (a || b) { }", "has 2 operands"),
    "a choice has no operands": (
        "without", 1, "@return a ? b : c;", "no operands"),
    "a condition is another": (
        "becomes", "z", "@while (a && b) { c(); }", "while (z) { c(); }"),
    "a variable begins otherwise": (
        "becomes", "z", "@struct s *x = a(b, c);", "struct s *x = z;"),
    "a member is assigned otherwise": (
        "becomes", "z", "@*x->y[1] = a == b;", "*x->y[1] = z;"),
    "a call is another": ("becomes", "z()", "@a(b = c, d);", "z();"),
    "an operand is another": (
        "becomes", "z", "return a && @b(c && d) == e || f;",
        "return a && z || f;"),
    "the last operand is another": (
        "becomes", "z", "if (a &&\n @b(c) == d) { e(); }",
        "if (a &&\n z) { e(); }"),
    "something comes first": (
        "first", "z();", "a(); @if (b) { c(); }", "a(); z(); if (b) { c(); }"),
    "nothing comes first within an expression": (
        "first", "z();", "return a && @b;", "in front of a statement"),
    "a statement comes later": (
        "move", 1, "{ @a(); if (b) { c(); } d(); }",
        "{ ; if (b) { c(); } a();  d(); }"),
    "a statement comes earlier": (
        "move", -2, "{ a(); b(); @c(); }", "{  c(); a(); b(); ; }"),
    "what is returned was so earlier": (
        "move", -1, "{ a(); @return b(x); }",
        "{  __auto_type early = b(x); a(); return early; }"),
    "no statement leaves its block": (
        "move", 1, "{ a(); @b(); }", "statement 2 of 2"),
}

ENTRY = {"harm": "h", "red": ["unit/test-x a", "crash/test-y killed b"],
         "says": "s", "drop": 1}

# the markers; the entries of each table; what is said against the first
NAMES = {
    "a marker wants an entry": (["a"], [{}], "f.c has this marker"),
    "an entry wants a marker": ([], [{"a": ENTRY}], "libwm no marker"),
    "a marker is there once": (["a", "a"], [{"a": ENTRY}], "give each its own"),
    "an entry is there once": (
        ["a"], [{"a": ENTRY}, {"a": ENTRY}], "leave one"),
    "an entry has one operation": (
        ["a"], [{"a": {**ENTRY, "move": 1}}], "one of drop"),
    "an entry has no other key": (
        ["a"], [{"a": {**ENTRY, "old": "x"}}], "one of drop"),
    "each test may say another thing": (
        ["a"], [{"a": {**ENTRY, "says": ["s", "t", "u"]}}],
        "one for each test"),
}


@pytest.mark.parametrize("operation,argument,body,expected", CHANGES.values(),
                         ids=CHANGES)
def test_an_operation(operation, argument, body, expected):
    text = "void f(void)\n{\n" + body.replace("@", "/* Safeguard: it */ ") + "}"
    ((_, at),) = mutants.read_markers({"f.c": text})["it"]
    if expected[-1] not in ";}":
        with pytest.raises(Unfit, match=expected):
            change(text, at, operation, argument)
        return
    changed = change(text, at, operation, argument)
    assert changed.replace("/* Safeguard: it */ ", "") == (
        "void f(void)\n{\n" + expected + "}")


@pytest.mark.parametrize("names,entries,said", NAMES.values(), ids=NAMES)
def test_a_wrong_entry(names, entries, said):
    text = "".join(f"/* Safeguard: {name} */ int x;" for name in names)
    markers = mutants.read_markers({"f.c": text})["a"]
    entries = [("t.toml", table["a"]) for table in entries if table]
    with pytest.raises(AssertionError, match=said):
        mutants.read_mutant("a", markers, entries)


def test_a_header_is_compiled_where_it_is_included():
    texts = {"a.h": "", "b.h": '#include "a.h"', "a.c": '#include "b.h"',
             "b.c": "#include <a.h>"}
    assert affected(texts, "a.h") == ["a.c"]
    assert affected(texts, "b.c") == ["b.c"]
