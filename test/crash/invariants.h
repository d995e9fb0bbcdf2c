/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What protocol.md says of a segment, as far as its bytes tell. A check that
 * fails ends the test, and names the invariant. */

#ifndef INVARIANTS_H
#define INVARIANTS_H

#include "node.h"

/* Where the test is: a failure says so. */
extern char invariants_where[160];

/* Ends the test unless it holds. */
void must(bool holds, const char *claim);

/* Whether that process has ended: the kernel's word, not the library's. */
bool has_ended(uint32_t pid);

/* Of one step of a process: that it changed nothing but what is its to change,
 * and in the order that the others rely on. The memory is two states of the
 * node's segment. Returns how many entries of the log this step wants. */
uint32_t check_step(const void *before, const void *after, uint32_t pid);

/* Of any moment, whatever is going on. */
void check_moment(void);

/* Of one after a sweep that looked at all: no record is a dead process's. */
void check_swept(void);

#endif
