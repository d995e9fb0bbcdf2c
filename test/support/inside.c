/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

#include "inside.h"

struct wm_segment_header *header(void)
{
    return node->segment.header;
}

struct wm_record *record(uint32_t slot)
{
    return &node->segment.records[slot];
}

struct wm_record_cold *cold(uint32_t slot)
{
    return &node->segment.colds[slot];
}

struct wm_generation_record *generation_record(uint64_t id)
{
    return &node->segment.generations[id % node->segment.geometry.generations];
}

struct wm_record *record_of(pid_t pid)
{
    for (uint32_t i = 0; i < node->segment.geometry.capacity; i++) {
        if (word_at(i) != 0 && wm_word_pid(word_at(i)) == (uint32_t)pid) {
            return record(i);
        }
    }
    return NULL;
}

uint32_t slot_of(const struct wm_record *r)
{
    return (uint32_t)(r - record(0));
}

uint64_t word_at(uint32_t slot)
{
    return record(slot)->word;
}

unsigned state_at(uint32_t slot)
{
    return wm_word_state(word_at(slot));
}

uint64_t beat_at(uint32_t slot)
{
    return wm_word_beat(word_at(slot));
}

uint32_t stalls_at(uint32_t slot)
{
    return (uint32_t)record(slot)->stalls;
}

static void store_word(uint32_t slot, uint64_t word)
{
    if (header()->high <= slot) {
        header()->high = slot + 1;
    }
    record(slot)->word = word;
}

void set_word(uint32_t slot, unsigned state, pid_t pid, uint64_t beat)
{
    store_word(slot, wm_word(state, (uint32_t)pid, beat));
}

void set_state(uint32_t slot, unsigned state)
{
    store_word(slot, wm_word_with_state(word_at(slot), state));
}

void set_free(uint32_t slot)
{
    store_word(slot, 0);
}

void set_live(uint32_t slot, uint64_t join, uint64_t id)
{
    record(slot)->join = join;
    record(slot)->generation = id;
    set_word(slot, WM_LIVE, (pid_t)(1 + slot), 1);
}

void set_overdue(uint32_t slot, uint32_t ms)
{
    record(slot)->overdue_ms = ms;
}

void set_back(uint32_t slot, uint64_t ms)
{
    atomic_fetch_sub(&record(slot)->word, ms);
}

void make_late(uint32_t slot)
{
    set_overdue(slot, 1);
    store_word(slot, word_at(slot) - wm_word_beat(word_at(slot)) + 1);
}

void stall(const struct process *p)
{
    const uint32_t slot = slot_of(record_of(p->pid));

    make_late(slot);
    sweep();
    assert_int_equal(state_of(p->pid), WM_STALLED);
    set_overdue(slot, NEVER_OVERDUE);
}

void lose_log_entries(uint32_t count)
{
    atomic_fetch_add(&header()->log_next, count);
}

void forget_joining(void)
{
    node->joined = false;
}
