/* SPDX-License-Identifier: Apache-2.0 */

/* A child that runs one operation an instruction at a time, and memory that it
 * shares with the test, compared with its former copy after each of them. */

#pragma once

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

/* Forks a child that calls prepare(argument), unless that is NULL, and stops
 * before it calls act(argument), and before depart(argument), after which it
 * exits. Skips the test if it may not trace its children. */
typedef void step_fn(void *argument);
void step_fork(struct stepped *s, step_fn *prepare, step_fn *act,
               step_fn *depart, void *argument);

/* Compares this memory, too, from now on. */
void step_watch(struct stepped *s, const void *memory, size_t size);

/* Steps through the whole of it; look(), unless it is NULL, is called after
 * each step that others can see: a system call has returned, or the memory is
 * not what the copies show, which are of before the step. The trail is of these
 * moments; with quiet, of all that are the program's own. */
extern struct moment step_trail[8192];
extern uint32_t step_trail_length;
typedef void step_look(struct stepped *s);
void step_through(struct stepped *s, bool quiet, step_look *look);

/* So many of these steps; look() follows each. Returns whether it is over. */
bool step_some(struct stepped *s, uint32_t visible, step_look *look);

/* Whether moment i of the trail is worth a pause where not all are: all that
 * others can see, and the last before it, are. */
bool step_is_chosen(uint32_t i);

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
