# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Reads what wmt.lua traced, and checks what holds for every trace."""

import json
from collections import Counter, namedtuple

Row = namedtuple("Row", "event gen n_prev n_mine n_next reason")


def read(path):
    """All complete lines so far, as written; what is nil is not there."""
    try:
        with open(path, "rb") as f:
            text = f.read()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.split(b"\n")[:-1]]


def lives(lines):
    """The trace, cut where the test began another life of the node."""
    parts = [[]]
    for line in lines:
        if line["what"] == "life":
            parts.append([])
        parts[-1].append(line)
    return parts


def begins(lines):
    """The callbacks, in the order in which they began."""
    return [x for x in lines if x["what"] == "begin"]


def row(line):
    info = line["info"]
    return Row(line["event"], info["generation"], line.get("n_prev"),
               line["n_mine"], line.get("n_next"), info["reason"])


def rows(lines):
    return [row(x) for x in begins(lines)]


def overlaps(lines, killed=()):
    """What is wrong if callbacks run one at a time; the dead do not finish."""
    running = None
    for x in lines:
        if x["what"] == "begin":
            if running and running["by"] not in killed:
                yield f"overlap: {running} and {x}"
            running = x
        elif x["what"] in ("end", "raise"):
            if not running or (running["by"], running["call"]) != (
                    x["by"], x["call"]):
                yield f"overlap: {running} and {x}"
            running = None
    if running and running["by"] not in killed:
        yield f"never ended: {running}"


def check_arguments(x):
    """Five arguments of a callback, which say the same thing."""
    info, master = x["info"], x["event"].startswith("master")
    assert x["nargs"] == 5 and info["event"] == x["event"], x
    assert info["spell"] >= 1 and info.get("slot", 0) >= 0, x
    worker = f'{info["generation"]}-{x["by"]}'
    assert x["id"] == (info["generation"] if master else worker), x
    if x["event"] == "master_exit":
        assert info["reason"] in ("reload", "stop", "crash"), x
    else:
        assert info["pid"] == x["by"], x


def check(lines, killed, succeeds):
    """What holds for every life. succeeds: each call returns one `true`."""
    given = Counter()
    for x in begins(lines):
        check_arguments(x)
        spell = x["info"]["spell"] if x["event"] == "master_exit" else None
        given[x["event"], x["id"], spell] += 1
    twice = [k for k, n in given.items() if n > 1]
    assert not twice, f"given more than once: {twice}"
    wrong = list(overlaps(lines, killed))
    assert not wrong, wrong
    for x in lines:
        if succeeds and x["what"] == "call":
            assert x["n"] == 1 and x.get("first") is True, x
