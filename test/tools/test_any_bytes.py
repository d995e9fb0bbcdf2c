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
NAME = "wm.demo.0123456789abcdef"
ANSWERS = (0, 4, 5, 6)      # done, denied, damaged, foreign
COMMANDS = (["--json", "show"], ["show", "--all"], ["events"],
            ["--json", "events"])
ROUNDS = 60


@pytest.fixture
def whole(place):
    """A segment of the seeds' geometry, as it was made: its constants."""
    node = place.node(capacity=4, log_entries=4)
    (name,) = place.files()
    with open(place.path(name), "rb") as f:
        data = f.read()
    node.release()
    return data


@pytest.fixture
def chance():
    seed = int(os.environ.get("WM_SEED", random.randrange(1, 1 << 30)))
    print(f"WM_SEED={seed}")
    return random.Random(seed)


def mutated(chance, constants):
    """A seed with some words of it changed, seldom in its constants."""
    with open(chance.choice(SEEDS), "rb") as f:
        data = bytearray(f.read()[HEAD:])
    data[:CONSTANTS] = constants[:CONSTANTS]
    for _ in range(chance.choice((0, 1, 10, 400))):
        first = 0 if chance.random() < 0.002 else CONSTANTS
        at = chance.randrange(first, len(data) - 7) & ~7
        value = chance.choice((0, (1 << 64) - 1, chance.getrandbits(64),
                               chance.getrandbits(3) << 61
                               | chance.getrandbits(61)))
        struct.pack_into("<Q", data, at, value)
    return bytes(data)


def ask(place, command):
    """One of the documented answers, soon; JSON where it is asked for."""
    done = subprocess.run(
        [conf.WMCTL, "--directory", place.directory, *command, NAME],
        capture_output=True, timeout=20, check=False)
    assert done.returncode in ANSWERS, (command, done)
    assert len(done.stdout) < 1 << 20
    if "--json" in command:
        for line in done.stdout.splitlines():
            json.loads(line)
    return done.returncode


def test_wmctl_answers_whatever_bytes_there_are(place, whole, chance):
    answers = set()
    for i in range(ROUNDS):
        with open(place.path(NAME), "wb") as f:
            f.write(mutated(chance, whole))
        for command in COMMANDS:
            answers.add(ask(place, command))
    assert 0 in answers, "nothing but refusals"


def test_wmctl_answers_while_the_bytes_change(place, whole, chance):
    with open(place.path(NAME), "wb") as f:
        f.write(mutated(chance, whole))
    fd = os.open(place.path(NAME), os.O_WRONLY)
    ended = threading.Event()

    def scribble():
        while not ended.is_set():
            data = mutated(chance, whole)
            at = chance.choice((CONSTANTS, chance.randrange(len(data))))
            os.pwrite(fd, data[at:], at)

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        answers = {ask(place, chance.choice(COMMANDS))
                   for _ in range(ROUNDS)}
    finally:
        ended.set()
        writer.join()
        os.close(fd)
    assert 0 in answers, "nothing but refusals"
