# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""What each operation makes of a piece of C, and what is refused.

run looks at these first: an operation that did something else than it says
would make a mutant that proves nothing.
"""

import tables
from operations import change
from source import Source, Unfit

MARKER = "/* Safeguard: it */ "

# what it shows; the operation; the body of a function with @ for the marker;
# the body that it becomes, or what the refusal says
EXAMPLES = [
    ("drops a statement", "drop", 1,
     "a(); @if (x) { b(); } else if (y) { c(); } else d(); e();",
     "a(); ; e();"),
    ("drops several statements", "drop", 2,
     "{ @a(); do { b(); } while (x); c(); }", "{ ; c(); }"),
    ("drops a call under a label", "drop", 1,
     "switch (x) { case A: @return b(); default: c(); }",
     "switch (x) { case A: ; default: c(); }"),
    ("drops an operand of &&", "drop", 1,
     "return a(x, y) && @(b || c[i && j]) && d;",
     "return a(x, y) && true && d;"),
    ("drops an operand of ||", "drop", 1,
     "if (@!a || b) { c(); }", "if (false || b) { c(); }"),
    ("is not misled by strings and comments", "drop", 1,
     "@a(\"(\\\";\", '\"', /* ; ) */ 1); // }\nb();", "; // }\nb();"),
    ("drops no more than there is", "drop", 2, "@a();", "only 1 statement"),
    ("drops no argument", "drop", 1, "a(@b, c);", "neither in front of"),
    ("leaves an operand out", "without", 2,
     "@return a && (b || c) && d;", "return a && true && d;"),
    ("leaves operands of a loop's condition out", "without", [1, 3],
     "@do { x(a || b); } while (a || (b && c) || d);",
     "do { x(a || b); } while (false || (b && c) || false);"),
    ("takes || before &&", "without", 1,
     "@x = a && b || c;", "x = false || c;"),
    ("finds no fourth operand", "without", 4, "@if (a || b) { }",
     "has 2 operands"),
    ("finds no operands of a choice", "without", 1, "@return a ? b : c;",
     "no operands"),
    ("makes another condition", "becomes", "z",
     "@while (a && b) { c(); }", "while (z) { c(); }"),
    ("initializes otherwise", "becomes", "z",
     "@struct s *x = a(b, c);", "struct s *x = z;"),
    ("assigns otherwise", "becomes", "z", "@*x->y[1] = a == b;",
     "*x->y[1] = z;"),
    ("calls otherwise", "becomes", "z()", "@a(b = c, d);", "z();"),
    ("makes another operand", "becomes", "z",
     "return a &&\n @b(c) == d;", "return a &&\n z;"),
    ("declares one variable at a time", "becomes", "z",
     "@int a = 1, b = 2;", "more than one"),
    ("does something first", "first", "z();",
     "a(); @if (b) { c(); }", "a(); z(); if (b) { c(); }"),
    ("does nothing within an expression", "first", "z();",
     "return a && @b;", "not stand in front of a statement"),
    ("does a statement later", "move", 1,
     "{ @a(); if (b) { c(); } d(); }", "{ ; if (b) { c(); } a();  d(); }"),
    ("does a statement earlier", "move", -2,
     "{ a(); b(); @c(); }", "{  c(); a(); b(); ; }"),
    ("returns what it was earlier", "move", -1,
     "{ a(); @return b(x); }",
     "{  __auto_type early = b(x); a(); return early; }"),
    ("does not leave the block", "move", 1, "{ a(); @b(); }",
     "statement 2 of 2"),
    ("stores without a look", "blind", True,
     "@if (a && !atomic_compare_exchange_weak_explicit(&x->y, f, g(1, 2), A,\n"
     "R)) { b(); }",
     "if (a && !(atomic_store(&x->y, g(1, 2)), true)) { b(); }"),
    ("finds no swap", "blind", True, "@a(); b();",
     "no atomic_compare_exchange"),
]


ENTRY = {"harm": "h", "red": ["unit/test-x a", "crash/test-y killed b"],
         "says": "s", "drop": 1}

# what it shows; the markers in a file; the entries of two tables; what is said
NAMES = [
    ("marker and entry make a mutant", ["a"], [{"a": ENTRY}], ""),
    ("a marker wants an entry", ["a"], [{}], "f.c:1 has this marker"),
    ("a misspelt marker wants one, too", ["a b"], [{}],
     "f.c:1 has this marker"),
    ("an entry wants a marker", [], [{"a": ENTRY}], "libwm no marker"),
    ("a marker is there once", ["a", "a"], [{"a": ENTRY}], "give each its own"),
    ("an entry is there once", ["a"], [{"a": ENTRY}, {"a": ENTRY}],
     "leave one"),
    ("an entry has one operation", ["a"], [{"a": {**ENTRY, "move": 1}}],
     "one of drop"),
    ("an entry has no other key", ["a"], [{"a": {**ENTRY, "old": "x"}}],
     "one of drop"),
    ("each test may say another thing", ["a"],
     [{"a": {**ENTRY, "says": ["s", "t", "u"]}}], "one for each test"),
]


def outcome(operation, argument, body):
    source = Source("void f(void)\n{\n" + body.replace("@", MARKER) + "\n}\n")
    _, at, _ = next(source.markers())
    try:
        text = change(source, at, operation, argument)
    except Unfit as e:
        return str(e)
    return text.replace(MARKER, "").split("\n", 2)[2].rsplit("\n", 2)[0]


def said_of(names, entries):
    text = "".join(f"/* Safeguard: {name} */ int x;" for name in names)
    found = {}
    for number, table in enumerate(entries):
        for name, fields in table.items():
            found.setdefault(name, []).append((fields, f"{number}.toml"))
    mutants, wrong = tables.read_mutants(
        tables.read_markers({"f.c": Source(text)}), found)
    if not wrong and [t.name for t in mutants[0].tests] != ["a", "b"]:
        return "the tests are not those of the entry"
    return "".join(said for _, said in wrong)


def check():
    """Each example's name, and what is wrong with it."""
    for shows, operation, argument, body, expected in EXAMPLES:
        found = outcome(operation, argument, body)
        fits = found == expected or (
            not expected.endswith((";", "}")) and expected in found)
        yield f"{operation} {shows}", "" if fits else (
            f"{expected!r} was expected, and not {found!r}")
    for shows, names, entries, expected in NAMES:
        found = said_of(names, entries)
        fits = expected in found and bool(expected) == bool(found)
        yield shows, "" if fits else (
            f"{expected!r} was expected, and not {found!r}")
