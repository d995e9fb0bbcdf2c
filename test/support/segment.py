# SPDX-License-Identifier: Apache-2.0
"""A segment as its bytes lie (protocol.md): no other Python knows where."""

import os
import struct

ABI, HEADER_SIZE, CAPACITY, NAMESPACE = 8, 12, 24, 32
INCOMPATIBLE, STRIDES, GENERATION = 136, 144, 200
LOCK, NEXT, NEWEST, RECORDS = 448, 456, 640, 768    # RECORDS: of version 1.0
LIVE, STALLED = 3, 4        # states, in a record's three top bits


def word(fd, offset):
    return int.from_bytes(os.pread(fd, 8, offset), "little")


def lock_holder(fd):
    """The pid of the lifecycle lock's holder, 0 if it is free."""
    return word(fd, LOCK) >> 42


def holdings(fd):
    """How often the lifecycle lock was taken, in the lower 24 bits."""
    return word(fd, LOCK) & 0xffffff


def next_in_turn(fd):
    """The pid of a process that polls the lock from a timer, or 0."""
    return word(fd, NEXT) >> 39


def generation(fd):
    """The number of the newest generation that has begun."""
    return word(fd, GENERATION)


def strides(fd):
    """How long its maker has made the header, and each of a table: records,
    their cold lines, generations, entries of the log."""
    return [struct.unpack("<I", os.pread(fd, 4, at))[0] for at in (
        HEADER_SIZE, *range(STRIDES, STRIDES + 16, 4))]


def draft(instance):
    """The bytes of a segment as drafts before 1.0 made it, without features and
    strides: its last generation, 3, lies where today's incompatible features
    do. Capacity 4; no worker, and no entry of the log."""
    size = 512 + 192 * 4 + 64 * 68 + 64 * 1024
    head = struct.pack("<QIIQIIQQIIQ64sQQ", 0x1a0a0d6d7762696c, 1, 512, size, 4,
                       68, 0, 0, 1024, 0o600, 0, instance.encode(), 1, 3)
    return head.ljust(size, b"\0")


def put(fd, offset, value):
    os.pwrite(fd, (value & (1 << 64) - 1).to_bytes(8, "little"), offset)


def change_abi(path):
    """To another, and back."""
    with open(path, "r+b", buffering=0) as f:
        put(f.fileno(), ABI, word(f.fileno(), ABI) ^ 0x100)


def mark_stalled(path, slot):
    """As a sweeper does that finds a live worker overdue."""
    with open(path, "r+b", buffering=0) as f:
        fd, at = f.fileno(), RECORDS + 64 * slot
        assert word(fd, at) >> 61 == LIVE, "it is not live"
        put(fd, at, word(fd, at) & ~(7 << 61) | STALLED << 61)


def place(fd, table, number):
    """Of a record, its cold lines, a generation or an entry: table 0 to 3."""
    capacity, generations = struct.unpack("<II", os.pread(fd, 8, CAPACITY))
    (entries,) = struct.unpack("<I", os.pread(fd, 4, 48))
    counts = capacity, capacity, generations, entries
    header, *lengths = strides(fd)
    return (header + sum(map(int.__mul__, lengths[:table], counts))
            + lengths[table] * (number % counts[table]))


def owe(path, slot=None, generation=None):
    """As a broken worker may: 65536 stalls of a live one, which it came back
    from; as many ends of an active generation."""
    with open(path, "r+b", buffering=0) as f:
        fd = f.fileno()
        if slot is not None:
            record = place(fd, 0, slot)
            join = word(fd, record + 16) << 32
            put(fd, record + 40, join | 1 << 17)
            put(fd, place(fd, 1, slot) + 16, join | 1 << 17)
        if generation is not None:
            at = place(fd, 2, generation)
            put(fd, at, word(fd, at) | 1 << 57)
