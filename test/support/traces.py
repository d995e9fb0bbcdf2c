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


def wrong_arguments(lines):
    """Callbacks whose five arguments do not say the same thing."""
    for x in begins(lines):
        info = x.get("info")
        if not info:
            continue            # of a leader's callback, which is told a term
        expected = info["generation"] if "master" in x["event"] else (
            f'{info["generation"]}-{info["pid"]}')
        own = x["event"] in ("master_start", "worker_start", "worker_exit")
        said = x["nargs"], info["event"], x["id"]
        if said != (5, x["event"], expected) or info["spell"] < 1 or (
                own and info["pid"] != x["by"]):
            yield x


def failed_calls(lines):
    """Calls of the module that did not return one `true`."""
    return [x for x in lines if x["what"] == "call"
            and (x["n"] != 1 or x.get("first") is not True)]


def check(lines, killed, succeeds):
    """What holds for every life. succeeds: so does each call."""
    given = Counter()
    for x in begins(lines):
        spell = x["info"]["spell"] if x["event"] == "master_exit" else None
        given[x["event"], x["id"], spell] += 1
    wrong = [*wrong_arguments(lines), *overlaps(lines, killed),
             *(f"given more than once: {k}" for k, n in given.items() if n > 1),
             *(failed_calls(lines) if succeeds else ())]
    assert not wrong, wrong
