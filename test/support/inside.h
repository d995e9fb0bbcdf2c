/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What tests read and write of a segment behind the library's back: a pid that
 * is used again, a beat of long ago, and the like. */

#ifndef INSIDE_H
#define INSIDE_H

#include "processes.h"

struct wm_segment_header *header(void);
struct wm_record *record(uint32_t slot);
struct wm_record_cold *cold(uint32_t slot);
struct wm_generation_record *generation_record(uint64_t id);

/* The record of the worker with this pid, or NULL; and its slot. */
struct wm_record *record_of(pid_t pid);
uint32_t slot_of(const struct wm_record *r);

uint64_t word_at(uint32_t slot);
unsigned state_at(uint32_t slot);
uint64_t beat_at(uint32_t slot);
/* Stalls that its worker came back from. */
uint32_t stalls_at(uint32_t slot);

/* Writes state, pid and beat into a record, which is then in use. */
void set_word(uint32_t slot, unsigned state, pid_t pid, uint64_t beat);
void set_state(uint32_t slot, unsigned state);
void set_free(uint32_t slot);
/* A live worker that is no process. */
void set_live(uint32_t slot, uint64_t join, uint64_t id);
void set_overdue(uint32_t slot, uint32_t ms);
/* Its last beat was so much longer ago. */
void set_back(uint32_t slot, uint64_t ms);
/* It is overdue: its last beat is as long ago as can be. */
void make_late(uint32_t slot);
/* Has a sweep mark a worker as stalled. */
void stall(const struct process *p);

/* As if `count` writers of the log had died before they wrote an entry. */
void lose_log_entries(uint32_t count);

/* Not a worker any more: may begin and join again. */
void forget_joining(void);

#endif
