/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Who was told what, against what the segment owes: nothing is told twice,
 * nothing that is owed is lost, and the log has an entry for each change. A
 * check that fails ends the test. */

#ifndef LEDGER_H
#define LEDGER_H

#include "inside.h"

#define LEDGER_SIZE 16

/* In memory that outlives its writer, and that the processes share. */
extern struct ledger {
    uint32_t count;
    struct wm_event event[LEDGER_SIZE];
    long result[2]; /* of the operations of a pair */
    struct seen seen[2];
} *ledger;

void ledger_open(void);
void ledger_close(void);

/* Notes one event: a wm_event_fn without an argument. */
void ledger_note(const struct wm_event *event, void *unused);
/* Notes the end of a spell. */
void ledger_note_end(uint64_t id, uint32_t spell);

/* Marks in a state of the segment that something was given. */
uint32_t ledger_marks(const void *memory);

/* When all workers have left. owed: crashes and stalls that are to be told;
 * ended: join numbers of those that crashed; lost: what the dead had marked as
 * given, and did not live to give. */
void ledger_check(uint32_t owed, const uint64_t *ended, uint32_t ends,
                  uint32_t lost);

/* unfinished: entries that their writers' death may have left. */
void ledger_check_log(uint32_t unfinished);

/* Stalls that were marked, of one joining or, with 0, of all; as long as
 * nobody has died that marked one. */
uint32_t ledger_stalls(uint64_t join);

/* Those of a worker that nobody was told of; they go with it. */
uint32_t ledger_untold(pid_t pid);

/* A stall that was marked is one that its worker counts, or is in. */
void ledger_check_stalls(void);

#endif
