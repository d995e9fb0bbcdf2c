/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The books of a play: nothing is told twice, nothing that is owed is lost, and
 * the log has an entry for each change. A check that fails ends the test. */

#ifndef BOOKS_H
#define BOOKS_H

#include "operations.h"

#include "node.h"

/* Marks in a state of the segment that something was given. */
uint32_t books_marks(const struct wm_segment *s, const void *memory);

/* When all workers have left. lost: what the dead had marked as given, and did
 * not live to give. */
void books_check(const struct play *p, uint32_t lost);

/* unfinished: entries that their writers' death may have left. */
void books_check_log(const struct play *p, uint32_t unfinished);

/* Stalls that were marked, of one joining or, with 0, of all; as long as
 * nobody has died who marked one. */
uint32_t books_stalls(const struct play *p, uint64_t join);

/* Those of a worker that nobody was told of; they go with it. */
uint32_t books_untold(const struct play *p, pid_t pid);

/* A stall that was marked is one that its worker counts, or is in. */
void books_check_stalls(const struct play *p);

#endif
