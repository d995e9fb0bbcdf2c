# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""What may be done to that which follows a marker. README.md lists it."""

import re

from source import Unfit

SWAP = re.compile(r"atomic_compare_exchange_(strong|weak)(_explicit)?")
NEUTRAL = {"&&": "true", "||": "false"}


def replace(source, span, new):
    """A change: from where to where, and what stands there then."""
    return source.begins[span[0]], source.ends[span[1] - 1], new


def of_statement(source, at):
    if not source.is_statement(at):
        raise Unfit("it does not stand in front of a statement")
    return source.statement(at)


def drop(source, at, count):
    if source.is_statement(at):
        block = source.block(at)
        first = [span[0] for span in block].index(at)
        gone = block[first:first + count]
        if len(gone) < count:
            raise Unfit(f"only {len(gone)} statements follow")
        return [replace(source, (at, gone[-1][1]), ";")]
    operator = source.tokens[at - 1]
    span = source.operand(at)
    if operator not in NEUTRAL:
        operator = source.tokens[span[1]]
    if operator not in NEUTRAL:
        raise Unfit("it stands neither in front of a statement nor of an "
                    "operand of && or ||")
    return [replace(source, span, NEUTRAL[operator])]


def without(source, at, numbers):
    of_statement(source, at)
    operands, operator = source.operands(source.expression(at))
    numbers = [numbers] if isinstance(numbers, int) else numbers
    if len(operands) < 2 or not all(1 <= n <= len(operands) for n in numbers):
        raise Unfit(f"its expression has {len(operands)} operands")
    return [replace(source, operands[n - 1], NEUTRAL[operator])
            for n in numbers]


def becomes(source, at, new):
    return [replace(source, source.expression(at), new)]


def first(source, at, new):
    begin = source.begins[of_statement(source, at)[0]]
    return [(begin, begin, new + " ")]


def move(source, at, by):
    span = of_statement(source, at)
    block = source.block(at)
    index = block.index(span)
    if by == 0 or not 0 <= index + by < len(block):
        raise Unfit(f"it is statement {index + 1} of {len(block)}")
    moved, left = source.slice(span), ";"
    if source.tokens[at] == "return":
        moved = f"__auto_type early ={moved.removeprefix('return')}"
        left = "return early;"
    target = block[index + by]
    where = source.begins[target[0]] if by < 0 else source.ends[target[1] - 1]
    return [(where, where, f" {moved} "), replace(source, span, left)]


def blind(source, at, _):
    begin, end = source.expression(at)
    if source.is_statement(at):
        begin, end = source.statement(at)
    for i in range(begin, end):
        if SWAP.fullmatch(source.tokens[i]):
            closing = source.closing(i + 1)
            place, _, new, *_ = [
                source.slice(span)
                for span in source.split((i + 2, closing), ",")]
            return [replace(source, (i, closing + 1),
                            f"(atomic_store({place}, {new}), true)")]
    raise Unfit("it has no atomic_compare_exchange")


OPERATIONS = {f.__name__: f
              for f in (drop, without, becomes, first, move, blind)}


def change(source, at, operation, argument):
    """The text of the source with the operation done at this position."""
    text = source.text
    changes = OPERATIONS[operation](source, at, argument)
    for begin, end, new in sorted(changes, reverse=True):
        text = text[:begin] + new + text[end:]
    return text
