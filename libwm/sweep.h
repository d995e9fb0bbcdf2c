/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What is owed and given, and counting: shared by worker, sweep and census. */

#ifndef WM_SWEEP_H
#define WM_SWEEP_H

#include "node.h"

/* The mark of what was told of a record: join:32 | stalls:31 | crash:1. */
static inline uint64_t wm_given(uint64_t join, uint32_t stalls, bool crash)
{
    return join << 32 | (uint64_t)(stalls & 0x7fffffffu) << 1 | crash;
}

static inline uint32_t wm_given_stalls(uint64_t given)
{
    return (uint32_t)(given >> 1 & 0x7fffffffu);
}

/* Whether the crash of this record's occupant was told. */
static inline bool wm_crash_given(const struct wm_record *r,
                                  const struct wm_record_cold *c)
{
    uint64_t given = atomic_load_explicit(&c->given, memory_order_acquire);
    uint64_t join = atomic_load_explicit(&r->join, memory_order_acquire);

    return given >> 32 == (join & 0xffffffffu) && (given & 1) != 0;
}

enum wm_count_kind {
    WM_COUNT_START, /* what a starting worker sees */
    WM_COUNT_EXIT,  /* what an exiting worker sees */
    WM_COUNT_MASTER
};

void wm_counts_of(const struct wm_node *node, uint64_t id,
                  enum wm_count_kind kind, struct wm_counts *counts);

#endif
