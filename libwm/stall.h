/* SPDX-License-Identifier: Apache-2.0 */

/* Whether a worker is stalled, for those who mark records and those who only
 * read them. */

#ifndef WM_STALL_H
#define WM_STALL_H

#include "record.h"

/* All that a process knows before it looks at records and judges them by
 * time. */
struct wm_judge {
    const struct wm_node *node;
    uint64_t now;
    uint64_t awake;  /* no worker is judged from before */
    uint32_t holder; /* of the lock: pid, 0 if it is free */
    uint64_t asked;  /* the generation that was asked about last, */
    bool leaves;     /* and whether its workers leave */
};

struct wm_judge wm_judge_begin(const struct wm_node *node);

/* Whether the worker of a record, which this word is LIVE by, and which may be
 * silent for overdue_ms, is stalled. */
bool wm_judge_finds_stall(struct wm_judge *judge, uint64_t word,
                          uint32_t overdue_ms, uint64_t generation);

/* The caller was itself stopped, and has found workers overdue. If all others
 * are, the whole machine was stopped: then none is judged from before now. */
void wm_judge_note_awake(const struct wm_judge *judge,
                         const struct wm_record *own);

#endif
