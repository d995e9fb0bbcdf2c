# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""Any bytes in a segment, also changing ones: an answer or a refusal."""

import glob
import json
import os
import random
import struct
import subprocess
import threading

import pytest

import conf

SEEDS = sorted(glob.glob(os.path.join(conf.ROOT, "test/fuzz/seeds/*")))
HEAD = 8                    # what a seed of the fuzz target begins with
CONSTANTS = 192
ANSWERS = (0, 4, 5, 6)      # done, denied, damaged, foreign
COMMANDS = (["--json", "show"], ["show", "--all"], ["events"],
            ["--json", "events"])
ROUNDS = 60


@pytest.fixture
def chance():
    seed = int(os.environ.get("WM_SEED", random.randrange(1, 1 << 30)))
    print(f"WM_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def mutated(place, chance):
    """Makes a segment of a seed with some words changed, seldom in its
    constants, which are those of a node of the seeds' geometry."""
    node = place.node(capacity=4, log_entries=4)
    with open(place.path(node.file), "rb") as f:
        constants = f.read(CONSTANTS)
    node.release()

    def maker():
        with open(chance.choice(SEEDS), "rb") as f:
            data = bytearray(f.read()[HEAD:])
        data[:CONSTANTS] = constants
        for _ in range(chance.choice((0, 1, 10, 400))):
            first = 0 if chance.random() < 0.002 else CONSTANTS
            at = chance.randrange(first, len(data) - 7) & ~7
            value = chance.choice((0, (1 << 64) - 1, chance.getrandbits(64)))
            struct.pack_into("<Q", data, at, value)
        return bytes(data)
    return maker


def ask(place, *command):
    """One of the documented answers, soon; JSON where it is asked for."""
    done = subprocess.run(
        [place.program, *place.options, *command],
        capture_output=True, timeout=20, check=False)
    assert done.returncode in ANSWERS, (command, done)
    assert len(done.stdout) < 1 << 20
    if "--json" in command:
        for line in done.stdout.splitlines():
            json.loads(line)
    return done.returncode


def test_wmctl_answers_whatever_bytes_there_are(place, mutated):
    answers = set()
    for _ in range(ROUNDS):
        name = place.stray(mutated(), "demo")
        answers.update(ask(place, *x, name) for x in COMMANDS)
    assert 0 in answers, "nothing but refusals"


def test_wmctl_answers_while_the_bytes_change(place, mutated, chance):
    name = place.stray(mutated(), "demo")
    ended = threading.Event()

    def scribble():
        with open(place.path(name), "r+b", buffering=0) as f:
            while not ended.is_set():
                data = mutated()
                at = chance.choice((CONSTANTS, chance.randrange(len(data))))
                f.seek(at)
                f.write(data[at:])

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        answers = {ask(place, *chance.choice(COMMANDS), name)
                   for _ in range(ROUNDS)}
    finally:
        ended.set()
        writer.join()
    assert 0 in answers, "nothing but refusals"
