/* SPDX-License-Identifier: Apache-2.0 */

/* Tests read and write a segment behind the library's back: a pid that
 * is used again, a beat of long ago, and the like. */

#pragma once

#include "processes.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>

static inline struct wm_segment_header *header(void)
{
    return node->segment.header;
}

static inline struct wm_record *record(uint32_t slot)
{
    return &node->segment.records[slot];
}

static inline struct wm_record_cold *cold(uint32_t slot)
{
    return &node->segment.colds[slot];
}

static inline struct wm_generation_record *generation_record(uint64_t id)
{
    return &node->segment.generations[id % node->segment.geometry.generations];
}

static inline uint64_t word_at(uint32_t slot)
{
    return record(slot)->word;
}

/* The record of the worker with this pid, or NULL. */
static inline struct wm_record *record_of(pid_t pid)
{
    for (uint32_t i = 0; i < node->segment.geometry.capacity; i++) {
        if (word_at(i) != 0 && wm_word_pid(word_at(i)) == (uint32_t)pid) {
            return record(i);
        }
    }
    return NULL;
}

static inline uint32_t slot_of(const struct wm_record *r)
{
    return (uint32_t)(r - record(0));
}

static inline unsigned state_at(uint32_t slot)
{
    return wm_word_state(word_at(slot));
}

static inline uint64_t beat_at(uint32_t slot)
{
    return wm_word_beat(word_at(slot));
}

/* Stalls that its worker came back from. */
static inline uint32_t stalls_at(uint32_t slot)
{
    return (uint32_t)record(slot)->stalls;
}

static inline void store_word(uint32_t slot, uint64_t word)
{
    if (header()->high <= slot) {
        header()->high = slot + 1;
    }
    record(slot)->word = word;
}

/* Writes state, pid and beat into a record, which is then in use. */
static inline void set_word(uint32_t slot, unsigned state, pid_t pid,
                            uint64_t beat)
{
    store_word(slot, wm_word(state, (uint32_t)pid, beat));
}

static inline void set_state(uint32_t slot, unsigned state)
{
    store_word(slot, wm_word_with_state(word_at(slot), state));
}

static inline void set_free(uint32_t slot)
{
    store_word(slot, 0);
}

/* A live worker that is no process. */
static inline void set_live(uint32_t slot, uint64_t join, uint64_t id)
{
    record(slot)->join = join;
    record(slot)->generation = id;
    set_word(slot, WM_LIVE, (pid_t)(1 + slot), 1);
}

static inline void set_overdue(uint32_t slot, uint32_t ms)
{
    record(slot)->overdue_ms = ms;
}

/* Its last beat was so much longer ago. */
static inline void set_back(uint32_t slot, uint64_t ms)
{
    atomic_fetch_sub(&record(slot)->word, ms);
}

/* It is overdue: its last beat is as long ago as can be. */
static inline void make_late(uint32_t slot)
{
    set_overdue(slot, 1);
    store_word(slot, word_at(slot) - wm_word_beat(word_at(slot)) + 1);
}

/* Its last beat is from where no clock is yet. */
static inline void put_ahead(uint32_t slot)
{
    set_overdue(slot, 1000);
    set_back(slot, (uint64_t)-3600000);
}

/* Has a sweep mark a worker as stalled. */
static inline void stall(const struct process *p)
{
    const uint32_t slot = slot_of(record_of(p->pid));

    make_late(slot);
    sweep();
    assert_int_equal(state_at(slot), WM_STALLED);
    set_overdue(slot, NEVER_OVERDUE);
}

/* Moves those that sleep on a futex to the same one: how many they are. */
static inline long sleepers(_Atomic(uint32_t) *futex)
{
    return syscall(SYS_futex, futex, FUTEX_CMP_REQUEUE, 0, INT_MAX, futex,
                   atomic_load(futex));
}
