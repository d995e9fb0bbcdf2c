/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The handles: what a process knows of a node and of its own worker. */

#ifndef WM_NODE_H
#define WM_NODE_H

#include "segment.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* The process's own worker. `record` is NULL while none is held; the fork
 * handler clears it in the child. */
struct wm_worker {
    struct wm_record *_Atomic record;
    uint64_t live; /* its word while it is LIVE, but for the beat */
    uint32_t pid;
    uint32_t slot;
    struct wm_record_cold *cold;
    struct wm_node *node;
    uint64_t generation;
    uint64_t join;
    uint32_t spell;
    uint32_t ordinal; /* among those that entered in this spell */
    uint32_t expected;
    uint32_t role;
    uint32_t recoveries; /* told, of its stalls */
    _Atomic bool late;   /* a beat was overdue since its last sweep */
};

struct wm_node {
    struct wm_worker worker;
    struct wm_segment segment;
    struct wm_node *next; /* in the process's registry */
    char instance[WM_INSTANCE_SIZE];
    char *directory;
    uint32_t references;
    int anonymous;   /* the errno that forbade a file, or 0 */
    int not_adopted; /* the errno that forbade to take over, or 0 */
    bool adopted;
    bool joined;     /* this process is or was a worker */
    bool of_worker;  /* a process before this one was */
    uint64_t forker; /* ident of the process that forked this one, 0 */
    uint64_t begun;  /* the generation begun last by begun_by */
    uint64_t begun_by;
    _Atomic bool forked;   /* begun_by has forked since */
    _Atomic uint64_t held; /* the lock's word while this process has it */
    struct wm_postmortem postmortem;
};

static inline bool wm_node_writable(const struct wm_node *node)
{
    return node->segment.writable;
}

/* 0, or why nothing may be changed: -EROFS; -EUCLEAN where somebody has written
 * over what never changes, so that nothing that lies there is to be believed.
 */
static inline int wm_node_usable(const struct wm_node *node)
{
    const struct wm_segment *s = &node->segment;

    if (!s->writable) {
        return -EROFS;
    }
    return memcmp(s->header, s->constants, WM_CONSTANTS) == 0 ? 0 : -EUCLEAN;
}

/* The record of the process's worker, or NULL. */
static inline struct wm_record *wm_worker_record(const struct wm_worker *w)
{
    return atomic_load_explicit(&w->record, memory_order_relaxed);
}

/* How many slots need a look. Pairs with the raise in a join: who sees a
 * record through what was published after it also sees the raised mark. */
static inline uint32_t wm_node_high(const struct wm_node *node)
{
    uint32_t high =
        atomic_load_explicit(&node->segment.header->high, memory_order_acquire);
    uint32_t capacity = node->segment.geometry.capacity;

    return high < capacity ? high : capacity;
}

#endif
