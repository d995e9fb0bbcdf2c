/* SPDX-License-Identifier: Apache-2.0 */

/* The handles: all that a process knows of a node and of its own worker. */

#ifndef WM_NODE_H
#define WM_NODE_H

#include "header_fields.h"
#include "process.h"
#include "segment.h"
#include "sized.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* How far a start or an exit has come: the step that wm_start_next() or
 * wm_exit_next() does next. */
enum wm_step {
    WM_STEP_NONE,
    WM_STEP_START,
    WM_STEP_OWED,       /* events of others */
    WM_STEP_RECOVERIES, /* its own */
    WM_STEP_EXIT,
    WM_STEP_DRAIN,      /* and the close */
    WM_STEP_OWED_AFTER, /* events of others that the exit has found */
    WM_STEP_ENDS        /* of its generation */
};

/* The process's own worker. `record` is NULL while it has none; the fork
 * handler clears it in the child. */
struct wm_worker {
    _Atomic(struct wm_record *) record;
    uint64_t live;          /* its word while it is LIVE, but for the beat */
    _Atomic(uint64_t) last; /* its word as it has last found it, LIVE */
    uint64_t limit;         /* the most that a beat may move, as wm_high_ms() */
    uint32_t pid;
    uint32_t slot;
    struct wm_record_cold *cold;
    struct wm_node *node;
    uint64_t generation;
    uint64_t master; /* a process, as ident */
    uint64_t join;
    uint32_t spell;
    uint32_t ordinal; /* among those that entered in this spell */
    uint32_t expected;
    uint32_t role;
    uint32_t interval_ms;        /* of its ticks */
    _Atomic(uint32_t) recovered; /* of its stalls, how many were taken */
    uint32_t reason;             /* of its start */
    enum wm_step step;
    uint32_t kinds; /* of events that its start or exit gives */
    uint32_t most;  /* events that this step may still give */
    bool retires;   /* by itself */
    bool exit_begun;
    bool start_given;
    bool exit_given;
    bool drained_given;
    bool has_closed; /* its generation, and has not said so yet */
    /* The longest before a late beat since its last sweep, ms. */
    _Atomic(uint32_t) silence;
};

struct wm_node {
    struct wm_worker worker;
    struct wm_segment segment;
    struct wm_node *next; /* in the process's registry */
    char instance[WM_INSTANCE_SIZE];
    char *directory; /* in which the file lies */
    char *asked;     /* another one that an attach named, or NULL */
    uint32_t references;
    int anonymous;   /* the errno that forbade a file, or 0 */
    int not_adopted; /* the errno that forbade to take over, or 0 */
    bool adopted;
    bool joined;       /* this process is or was a worker */
    bool of_worker;    /* an ancestor of this process was */
    bool foreign_pids; /* the segment's pids are another namespace's */
    uint64_t forker;   /* ident of the process that forked this one, 0 */
    uint64_t begun;    /* the generation begun last by begun_by */
    uint64_t begun_by;
    uint64_t first;       /* the generation begun first, also by an ancestor */
    _Atomic(bool) forked; /* begun_by has forked since */
    _Atomic(uint64_t) swept_at; /* by this process without a record, ms; or 0 */
    _Atomic(uint64_t) held;     /* the lock's word while this process has it */
    _Atomic(uint32_t) taken; /* slot of the last event that it took; a hint */
    struct wm_postmortem postmortem;
};

/* Allocates a handle without a segment; NULL without memory. */
struct wm_node *wm_node_allocate(const char *instance, const char *directory);

/* The registry of the process's nodes. No fork happens between lock and unlock.
 */
void wm_registry_lock(void);
void wm_registry_unlock(void);
void wm_registry_add(struct wm_node *node);

/* Lets none of the nodes be inherited over exec; with the registry locked. */
void wm_registry_keep_private(void);

/* The node of this instance and directory that is there, or of this tag if both
 * have one, with one more reference; or NULL. */
struct wm_node *wm_registry_share(const char *instance, const char *directory,
                                  uint32_t tag);

/* How many attaches or opens were not given back; -EINVAL: none. */
int wm_node_references(const struct wm_node *node);

/* Gives one back. True if it was the last: the handle is in no registry any
 * more, and its segment is unmapped, with no fork in between. */
bool wm_node_give_reference(struct wm_node *node);

/* Names a handle by its segment's own instance, which another process may have
 * chosen. */
void wm_node_name_by_segment(struct wm_node *node);

/* Frees a handle that is in no registry, and what it has mapped. */
void wm_node_discard(struct wm_node *node);

static inline bool wm_node_writable(const struct wm_node *node)
{
    return node->segment.writable;
}

/* 0, or why this process may change nothing: -EROFS; -EUCLEAN if a process has
 * written over the bytes that never change: then nothing in the segment can be
 * believed; -EXDEV if it would take other processes' pids for its own. */
static inline int wm_node_usable(const struct wm_node *node)
{
    const struct wm_segment *s = &node->segment;

    if (!s->writable) {
        return -EROFS;
    }
    /* Safeguard: constants_are_compared */
    if (memcmp(s->header, s->constants, WM_CONSTANTS) != 0) {
        return -EUCLEAN;
    }
    /* Safeguard: pids_are_of_one_namespace */
    return node->foreign_pids ? -EXDEV : 0;
}

/* The handle's atomics are private to a process. They are atomic because
 * another thread may look at them while its owner changes them (wm.h,
 * "Threads"). */

/* The record of the process's worker, or NULL. Relaxed: it points to shared
 * memory, whose fields have orders of their own. */
static inline struct wm_record *wm_worker_record(const struct wm_worker *w)
{
    return atomic_load_explicit(&w->record, memory_order_relaxed);
}

/* The same for another thread of the process. Acquire: pairs with
 * wm_worker_set_record(), so that the thread sees the handle as its owner
 * filled it in. */
static inline struct wm_record *
wm_worker_record_acquire(const struct wm_worker *w)
{
    return atomic_load_explicit(&w->record, memory_order_acquire);
}

/* Release: of the handle, which is filled in by now. Pairs with
 * wm_worker_record_acquire(). */
static inline void wm_worker_set_record(struct wm_worker *w,
                                        struct wm_record *record)
{
    atomic_store_explicit(&w->record, record, memory_order_release);
}

/* The last word that the worker has stored as LIVE, or found there. Relaxed, as
 * is the store: a beat swaps from it, and the swap decides. */
static inline uint64_t wm_worker_last(const struct wm_worker *w)
{
    return atomic_load_explicit(&w->last, memory_order_relaxed);
}

/* Relaxed, as wm_worker_last(). */
static inline void wm_worker_set_last(struct wm_worker *w, uint64_t word)
{
    atomic_store_explicit(&w->last, word, memory_order_relaxed);
}

/* 0, or why this worker may change nothing: -ECHILD while the process has no
 * worker; what wm_node_usable() says. */
static inline int wm_worker_usable(const struct wm_worker *w)
{
    return wm_worker_record(w) == NULL ? -ECHILD : wm_node_usable(w->node);
}

/* How many recoveries were taken. Relaxed: a number by itself. */
static inline uint32_t wm_worker_recovered(const struct wm_worker *w)
{
    return atomic_load_explicit(&w->recovered, memory_order_relaxed);
}

/* Relaxed, as wm_worker_recovered(); the owner alone counts. */
static inline void wm_worker_set_recovered(struct wm_worker *w, uint32_t count)
{
    atomic_store_explicit(&w->recovered, count, memory_order_relaxed);
}

/* A beat came so late. Relaxed: a hint for the next sweep, by itself; of two
 * that beat at once, the shorter silence may stay. */
static inline void wm_worker_note_silence(struct wm_worker *w, uint32_t ms)
{
    if (ms > atomic_load_explicit(&w->silence, memory_order_relaxed)) {
        atomic_store_explicit(&w->silence, ms, memory_order_relaxed);
    }
}

/* The longest since this was last asked. Relaxed, as
 * wm_worker_note_silence(). */
static inline uint32_t wm_worker_take_silence(struct wm_worker *w)
{
    return atomic_exchange_explicit(&w->silence, 0, memory_order_relaxed);
}

/* The lock's word while this process has it, else 0. Relaxed: the lock itself
 * has the orders. */
static inline uint64_t wm_node_held(const struct wm_node *node)
{
    return atomic_load_explicit(&node->held, memory_order_relaxed);
}

/* Relaxed, as wm_node_held(). */
static inline void wm_node_set_held(struct wm_node *node, uint64_t word)
{
    atomic_store_explicit(&node->held, word, memory_order_relaxed);
}

/* Whether the process that has begun its generation has forked since. Relaxed:
 * the caller orders a thread that forks and one that abandons a generation. */
static inline bool wm_node_has_forked(const struct wm_node *node)
{
    return atomic_load_explicit(&node->forked, memory_order_relaxed);
}

/* Relaxed, as wm_node_has_forked(). */
static inline void wm_node_set_forked(struct wm_node *node, bool forked)
{
    atomic_store_explicit(&node->forked, forked, memory_order_relaxed);
}

/* Where this process has found the last event. Relaxed: a hint. */
static inline uint32_t wm_node_taken(const struct wm_node *node)
{
    return atomic_load_explicit(&node->taken, memory_order_relaxed);
}

/* Relaxed, as wm_node_taken(). */
static inline void wm_node_set_taken(struct wm_node *node, uint32_t slot)
{
    atomic_store_explicit(&node->taken, slot, memory_order_relaxed);
}

/* When this process last swept without a record of its own. Relaxed, as is the
 * store: a time by itself. */
static inline uint64_t wm_node_swept_at(const struct wm_node *node)
{
    return atomic_load_explicit(&node->swept_at, memory_order_relaxed);
}

/* Relaxed, as wm_node_swept_at(). */
static inline void wm_node_set_swept_at(struct wm_node *node, uint64_t ms)
{
    atomic_store_explicit(&node->swept_at, ms, memory_order_relaxed);
}

/* How many slots need a look: no slot from there on was ever used [I]. */
static inline uint32_t wm_node_high(const struct wm_node *node)
{
    uint32_t high = header_high_acquire(node->segment.header);
    uint32_t capacity = node->segment.geometry.capacity;

    /* Safeguard: high_mark_is_bounded */
    return high < capacity ? high : capacity;
}

#endif
