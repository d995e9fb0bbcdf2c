/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Those around the one that is stepped: survivors of its death, and those who
 * go on while it is stopped. What they cannot do ends the test. */

#ifndef OTHERS_H
#define OTHERS_H

#include "operations.h"

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

/* What every run comes to: each slot is taken, each worker leaves, and what was
 * told is what was owed. */
void others_end(struct run *r, uint32_t lost, uint32_t unfinished);

#endif
