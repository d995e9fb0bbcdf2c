/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A child that runs one operation an instruction at a time, and memory that it
 * shares with the test, compared with its former copy after each of them. */

#ifndef STEP_H
#define STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A place in the operation: so many system calls have returned, since the last
 * of them the memory has changed so often, and since then so many instructions
 * of this program have run. Those of libc and of the kernel's clock are not
 * counted: how many there are differs from run to run. */
struct moment {
    uint32_t call;
    uint32_t change;
    uint32_t own;
};

struct stepped {
    pid_t pid; /* 0: none, or ended */
    struct moment at;
    uint32_t areas;
    struct step_area {
        const void *memory;
        void *copy; /* as it was before the last step, or after it */
        size_t size;
    } area[2];
};

/* The effect of an instruction. */
enum step_kind {
    STEP_FOREIGN, /* nothing: it is not this program's own */
    STEP_QUIET,   /* nothing that anybody else can see */
    STEP_CALL,    /* a system call has returned */
    STEP_CHANGE,  /* the memory is another */
    STEP_DONE     /* the operation is over */
};

static inline bool is_visible(enum step_kind kind)
{
    return kind == STEP_CALL || kind == STEP_CHANGE;
}

/* Runs all tests, if this process may trace its children: what main() is to
 * return. */
int step_run(void);

/* Forks a child that calls prepare(argument), and stops before it calls
 * act(argument), and before depart(argument), after which it exits. */
typedef void step_fn(void *argument);
void step_fork(struct stepped *s, step_fn *prepare, step_fn *act,
               step_fn *depart, void *argument);

/* Compares this memory, too, from now on. */
void step_watch(struct stepped *s, const void *memory, size_t size);

/* One instruction. The copies are left as they were before it, so that the
 * caller can tell what it did; step_note brings them up to date. */
enum step_kind step_once(struct stepped *s);
void step_note(struct stepped *s);

/* On to that moment. False: the operation was over before. */
bool step_to(struct stepped *s, struct moment moment);

/* Lets it go on, until it has done the operation or sleeps in it. */
void step_resume(struct stepped *s);

/* Waits for the end of the operation; lets the process go on to its end. */
void step_finish(struct stepped *s);
void step_depart(struct stepped *s);

/* Kills it, and may leave a zombie, as a master does that is busy. */
void step_kill(struct stepped *s, bool zombie);

/* In any case neither the process nor the copies are left. */
void step_clear(struct stepped *s);

#endif
