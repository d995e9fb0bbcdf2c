/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Those around the one that is stepped: survivors of its death, and those who
 * go on while it is stopped. What they cannot do ends the test. */

#ifndef OTHERS_H
#define OTHERS_H

#include "operations.h"

/* They sweep, and tell what is owed, until it is all told. */
void others_tell(struct play *p);

/* How many of them are workers that have not drained. */
uint32_t others_workers(const struct play *p);

/* They sweep, tell, leave, join, reload, lead. stay: the sibling does not
 * leave. Returns a worker that has joined, and is to start later, or NULL. */
struct actor *others_go_on(struct play *p, bool stay);

/* A worker that has joined starts; false: there is none. */
bool others_start(struct actor *actor);

/* What every play comes to: each slot is taken, each worker leaves, and the
 * books balance. */
void others_end(struct play *p, uint32_t lost, uint32_t unfinished);

#endif
