/* SPDX-License-Identifier: Apache-2.0 */

/* The stepped: one operation of one process, and those around it.
 *
 * The test is the master of generation 1; `sibling` is a live worker of it,
 * and slot 1 still shows a worker that has left. */

#pragma once

#include "inside.h"
#include "step.h"

#define LATE_MS 5000 /* since the stepped worker's last beat */
/* May others be silent: longer than it is, so that it marks them. */
#define MINUTE_MS 60000
#define LEDGER_SIZE 16

struct run {
    const struct operation *operation;
    uint64_t id;         /* of the generation that the stepped joins */
    struct process self; /* the stepped, as it sees itself */
    struct stepped stepped;
    struct process *sibling;     /* NULL: it is gone */
    struct process *other;       /* that set() has made */
    uint64_t ended[LEDGER_SIZE]; /* join numbers whose crash is to be told */
    uint32_t ends;
    uint32_t stalls; /* that are to be told */
    uint32_t untold; /* and those that are not, for the worker has left */
};

/* A claim that fails says where the test is, and ends it. */
void must(bool holds, const char *claim);

/* The state of a process's record, also of one just claimed; WM_FREE: none. */
unsigned run_state(pid_t pid);
bool is_worker_state(unsigned state);

/* Whether that process has ended: by /proc, and not by the library. */
bool has_ended(uint32_t pid);

/* The process is about to die: if it is a worker, its crash is to be told. */
void run_expect_crash(struct run *r, pid_t pid);

/* Turns a worker's clock: its last beat was long ago. */
void run_set_back(pid_t pid, uint32_t overdue_ms, uint32_t ms);

struct operation {
    const char *name;
    void (*set)(struct run *);   /* the others, before the stepped is there */
    call_fn *prepare[4];         /* the stepped; none: it is no worker yet */
    void (*ready)(struct run *); /* the others, when it is prepared */
    call_fn *act;                /* the stepped, with the id it joins */
    void (*after)(struct run *); /* the others, when they have swept */
    bool is_short; /* it can be paused after each of its instructions */
};

/* Notes of full length: before the operation, and by it. */
extern const char *const noted[2];

extern const struct operation operations[];
extern const size_t operation_count;

/* They sweep, and tell what is owed, until it is all told. */
void others_tell(void);

/* How many of them are workers that have not drained. */
uint32_t others_workers(void);

/* They sweep, tell, leave, join, reload, lead. stay: the sibling does not
 * leave. Returns a worker that has joined, and is to start later, or NULL. */
struct process *others_go_on(struct run *r, bool stay);

/* A worker that has joined starts; false: there is none. */
bool others_start(struct process *p);

/* A worker's end in order; what it takes is told. Returns n_mine. */
int others_shut_down(struct process *p, uint64_t id);

/* The end of every run: each slot is taken, each worker leaves, and what was
 * told is what was owed. lost: events that the dead had marked as given, and
 * did not live to give; unfinished: entries that their death may have left. */
void others_end(struct run *r, uint32_t lost, uint32_t unfinished);

/* Of one step of a process, between the copies of before it and the memory:
 * that it changed nothing but what is its to change, and in the order that the
 * others rely on. Returns how many entries of the log this step wants. */
uint32_t check_step(const struct stepped *s);

/* Of a moment after a sweep that looked at all: what holds at any, and that no
 * record is a dead process's. */
void check_swept(void);

/* In memory that outlives its writer, and that the processes share. */
extern struct ledger {
    uint32_t count;
    struct wm_event event[LEDGER_SIZE];
    long result[2]; /* of the operations of a pair */
} *ledger;

/* Notes one event, as a wm_event_fn; or the end of a spell. */
void ledger_note(const struct wm_event *event, void *unused);
void ledger_note_end(uint64_t id, uint32_t spell);

/* Marks in the segment that something was given. */
uint32_t ledger_marks(void);

/* Stalls that were marked, of one joining or, with 0, of all; as long as
 * nobody has died that marked one. */
uint32_t ledger_stalls(uint64_t join);

/* Those of a worker that nobody was told of; they go with it. */
uint32_t ledger_untold(pid_t pid);

/* A stall that was marked is one that its worker counts, or is in. */
void ledger_check_stalls(void);
