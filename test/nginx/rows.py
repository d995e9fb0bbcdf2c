# SPDX-License-Identifier: Apache-2.0
"""Expected sequences: (event, gen, n_prev, n_mine, n_next, reason)."""


def master_start(gen, n_prev=None, reason="start"):
    return [("master_start", gen, n_prev, 0, None, reason)]


def respawn(n_mine, gen=1, n_prev=None, n_next=None):
    return [("worker_start", gen, n_prev, n_mine, n_next, "respawn")]


def master_exit(gen, n_prev=None, n_next=None, reason="stop"):
    return [("master_exit", gen, n_prev, 0, n_next, reason)]


def worker_starts(gen, workers, n_prev=None, n_next=None, reason="start"):
    """The first, the second, ... of so many workers starts."""
    return [("worker_start", gen, n_prev, k, n_next, reason)
            for k in range(1, workers + 1)]


def starts(gen, workers, n_prev=None, reason="start"):
    """A generation begins and all its workers come up."""
    return (master_start(gen, n_prev, reason)
            + worker_starts(gen, workers, n_prev, reason=reason))


def exits(gen, workers, n_prev=None, n_next=None):
    """The workers of a generation leave, until one is the last; its master."""
    reason = "stop" if n_next is None else "reload"
    return [*(("worker_exit", gen, n_prev, k, n_next, reason)
              for k in range(workers, 0, -1)),
            *master_exit(gen, n_prev, n_next, reason)]


def life(*sizes):
    """A start with so many workers, a reload to each further number (None: one
    that fails after init_by_lua*), and a stop: all in order."""
    return born(*sizes) + stopped(*sizes)


def born(*sizes, reason="reload"):
    """The same without the stop."""
    rows, now = [], None
    for gen, workers in enumerate(sizes, 1):
        n_prev = now and sizes[now - 1]
        if workers is None:
            rows += master_start(gen, n_prev, reason)
            continue
        rows += starts(gen, workers, n_prev, reason if now else "start")
        if now:
            rows += exits(now, n_prev, None if now == 1 else 0, workers)
        now = gen
    return rows


def stopped(*sizes):
    """Only the stop."""
    now = max(i for i, x in enumerate(sizes, 1) if x)
    return exits(now, sizes[now - 1], None if now == 1 else 0)


def of(rows, gen):
    """One generation's own part, without the counts of others."""
    return [(r[0], r[3], r[5]) for r in rows if r[1] == gen]
