/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What is stepped: one operation of one process, and those around it.
 *
 * The test is the master of generation 1; `sibling` is a live worker of it,
 * and slot 1 still shows a worker that has left. */

#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "ledger.h"
#include "step.h"

#define LATE_MS 5000 /* since the stepped worker's last beat */

struct run {
    const struct operation *operation;
    uint32_t capacity;
    uint64_t id;         /* of the generation that the stepped joins */
    long *result;        /* of the stepped, in the ledger */
    struct process self; /* the stepped, as it sees itself */
    struct stepped stepped;
    struct process *sibling;     /* NULL: it is gone */
    struct process *other;       /* that set() has made */
    uint64_t ended[LEDGER_SIZE]; /* join numbers whose crash is to be told */
    uint32_t ends;
    uint32_t stalls; /* that are to be told */
    uint32_t untold; /* and those that are not, for the worker has left */
};

struct operation {
    const char *name;
    void (*set)(struct run *);     /* the others, before the stepped is there */
    void (*prepare)(struct run *); /* the stepped; NULL: it is no worker yet */
    void (*ready)(struct run *);   /* the others, when it is prepared */
    call_fn *act;                  /* the stepped, with the id it joins */
    void (*after)(struct run *);   /* the others, when they have swept */
    uint32_t entries; /* of the log that no change of state wants */
    bool is_short;    /* it can be paused after each of its instructions */
};

extern const struct operation operations[];
extern const size_t operation_count;

/* The state of a process's record, WM_FREE if it has none; of one that is just
 * claimed as well. */
unsigned run_state(pid_t pid);

/* Notes that the process is about to die: its crash is to be told, if it is a
 * worker by now. */
void run_expect_crash(struct run *r, pid_t pid);
/* And kills it. */
void run_kill(struct run *r, struct process *p);

/* Turns a worker's clock: its last beat was long ago. */
void run_set_back(pid_t pid, uint32_t overdue_ms);

#endif
