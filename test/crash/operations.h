/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What is stepped: one operation of one process, and those around it.
 *
 * The test is the master of generation 1; `sibling` is a live worker of it,
 * and slot 1 still shows a worker that has left. Whatever anybody is told goes
 * into one book, which the process that is stepped shares with the test. */

#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "scene.h"
#include "step.h"

#define PLAY_LATE_MS 5000 /* since the victim's last beat */
#define BOOK_SIZE 16

/* What an operation returned. */
struct answer {
    long result;
    struct wm_counts counts;
    uint64_t id;
};

/* Who was told what, in memory that outlives its writer. */
struct book {
    uint32_t count;
    struct wm_event event[BOOK_SIZE];
    struct answer answer[2];
};

struct play {
    struct scene *scene;
    const struct operation *operation;
    uint32_t capacity;
    uint64_t generation; /* that the victim joins */
    struct book *book;
    struct answer *answer; /* the victim's, in the book */
    struct stepped victim;
    struct actor *sibling;     /* NULL: it is gone */
    struct actor *other;       /* that set() has made */
    uint64_t ended[BOOK_SIZE]; /* join numbers whose crash is to be told */
    uint32_t ends;
    uint32_t stalls; /* that are to be told */
    uint32_t untold; /* and those that are not, for the worker has left */
};

struct operation {
    const char *name;
    void (*set)(struct play *);     /* the others, before the victim is there */
    void (*prepare)(struct play *); /* the victim; NULL: it is no worker yet */
    void (*ready)(struct play *);   /* the others, when it is prepared */
    long (*act)(struct play *);     /* the victim, stepped */
    void (*after)(struct play *);   /* the others, when they have swept */
    uint32_t entries; /* of the log that no change of state wants */
    bool is_short;    /* it can be paused after each of its instructions */
};

extern const struct operation operations[];
extern const size_t operation_count;

/* The record of the process, or NULL; its state, WM_FREE if it has none. */
struct wm_record *play_record(const struct play *p, pid_t pid);
unsigned play_state(const struct play *p, pid_t pid);

/* Notes one event; a wm_event_fn with the book as its argument. */
void book_note(const struct wm_event *event, void *book);

/* Notes that the process is about to die: its crash is to be told, if it is a
 * worker by now. */
void play_expect_crash(struct play *p, pid_t pid);
/* And kills it. */
void play_bury(struct play *p, struct actor *actor);

/* Turns a worker's clock: its last beat was long ago. */
void play_set_back(struct play *p, pid_t pid, uint32_t overdue_ms);

#endif
