# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""The event log as it lies in a segment when all have ended: what was never
finished then was its writer's death (protocol.md).

A follower reads while others write, and passes over an entry whose writer was
stopped for a second in the middle of it; so the books are not kept by what it
tells.
"""

import os
import struct

MASK = (1 << 64) - 1
NO_SLOT = (1 << 32) - 1
KINDS = (
    "generation-begun", "generation-active", "generation-aborted",
    "generation-exited", "worker-joined", "worker-live", "worker-stalled",
    "worker-recovered", "worker-draining", "worker-left", "worker-crashed",
    "leader", "leader-lost", "lock-recovered", "worker-forgotten")


def checksum(number, fields):
    total = 0x6c6f67
    for value in (number, *fields):
        total = (total ^ value) * 0x9e3779b97f4a7c15 & MASK
        total ^= total >> 29
    return total | 1


def entry(number, check, *fields):
    """In wmctl's words; None if it was never finished, or is overwritten."""
    if check != checksum(number, fields):
        return None
    time_ms, generation, value, subject, kind = fields
    slot = subject & NO_SLOT
    return {"number": number, "time_ms": time_ms, "event": KINDS[kind - 1],
            "generation": generation or None, "pid": subject >> 32 or None,
            "slot": None if slot == NO_SLOT else slot, "value": value}


def newest(fd):
    """The last number that a writer has taken."""
    return int.from_bytes(os.pread(fd, 8, 448), "little")


def read(fd):
    """All entries, and {"missed": 1} for each that is none."""
    head = os.pread(fd, 512, 0)
    capacity, generations = struct.unpack_from("<II", head, 24)
    (length,) = struct.unpack_from("<I", head, 48)
    at = 512 + 128 * capacity + 64 * generations
    found = []
    for number in range(1, newest(fd) + 1):
        record = os.pread(fd, 48, at + 64 * (number % length))
        found.append(entry(number, *struct.unpack("<6Q", record))
                     or {"missed": 1})
    return found
