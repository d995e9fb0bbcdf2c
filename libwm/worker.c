/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A worker's own acts: join, start, beat, drain, leave. What others do to its
 * record is in sweep.c.
 *
 * Only the process of a record changes it, but for two marks that a sweeper
 * sets: LIVE to STALLED, and anything to CRASHED or FREE once the process is
 * proven dead. So a swap that fails here has met the first of these, which one
 * more try settles, or the record is not ours any more. */

#include "census.h"
#include "generation.h"
#include "leader.h"
#include "log.h"
#include "process.h"

#define DEFAULT_OVERDUE_MS 15000u

static bool swap(struct wm_record *r, uint64_t *from, uint64_t to)
{
    /* Sequentially consistent for the sake of the drain: see has_workers. */
    return atomic_compare_exchange_strong_explicit(
        &r->word, from, to, memory_order_seq_cst, memory_order_acquire);
}

/* ------------------------------------------------------------------ join */

static void raise_high(struct wm_node *node, uint32_t slot)
{
    _Atomic uint32_t *high = &node->segment.header->high;
    uint32_t seen = atomic_load_explicit(high, memory_order_relaxed);

    while (seen <= slot && !atomic_compare_exchange_weak_explicit(
                               high, &seen, slot + 1, memory_order_release,
                               memory_order_relaxed)) {
    }
}

/* CLAIMED holds pid and time in the same word, so that a claimant that dies
 * before it has written who it is can still be proven dead. By the fine clock:
 * the coarse one may be behind, and the claim before its process began. */
static bool claim_slot(struct wm_node *node, uint32_t slot, uint64_t seen,
                       uint64_t *claimed)
{
    uint32_t pid = wm_ident_pid(wm_self_ident());

    *claimed = wm_word(WM_CLAIMED, pid, wm_clock_ms(CLOCK_MONOTONIC));
    raise_high(node, slot);
    return swap(&node->segment.records[slot], &seen, *claimed);
}

/* A record that may make room in a full table: 1 draining, 2 crashed and
 * told. The oldest among equals is the one that joined first. */
static int spare_rank(const struct wm_node *node, uint32_t slot, uint64_t word)
{
    if (wm_word_state(word) == WM_DRAINING) {
        return 1;
    }
    if (wm_word_state(word) == WM_CRASHED &&
        wm_crash_given(&node->segment.records[slot],
                       &node->segment.colds[slot])) {
        return 2;
    }
    return 0;
}

/* The best record to claim in one pass: a free one, else one that makes room.
 * False: all are of the living. */
static bool choose_slot(const struct wm_node *node, uint32_t *slot,
                        uint64_t *seen)
{
    uint64_t oldest = 0;
    int rank = 0;

    for (uint32_t i = 0; i < node->segment.geometry.capacity; i++) {
        const struct wm_record *r = &node->segment.records[i];
        uint64_t word = atomic_load_explicit(&r->word, memory_order_acquire);
        uint64_t join = atomic_load_explicit(&r->join, memory_order_acquire);
        bool is_free = wm_word_state(word) == WM_FREE;
        int its_rank = is_free ? 0 : spare_rank(node, i, word);

        if (is_free ||
            (its_rank != 0 && (rank == 0 || its_rank < rank ||
                               (its_rank == rank && join < oldest)))) {
            rank = its_rank;
            oldest = join;
            *seen = word;
            *slot = i;
        }
        if (is_free) {
            return true;
        }
    }
    return rank != 0;
}

/* Whoever had the record gives it up, and with it its end in the log. */
static void note_evicted(struct wm_node *node, uint32_t slot, uint64_t word,
                         uint64_t generation, uint64_t join)
{
    if (wm_word_state(word) == WM_FREE) {
        return;
    }
    atomic_fetch_add_explicit(&node->segment.header->dropped, 1,
                              memory_order_relaxed);
    wm_log_append(node,
                  wm_word_state(word) == WM_DRAINING ? WM_LOG_WORKER_LEFT
                                                     : WM_LOG_WORKER_FORGOTTEN,
                  generation, join, wm_word_pid(word), slot);
}

/* A swap that fails has met another joiner's, or a worker's end: somebody gets
 * on each time. */
static bool claim_any(struct wm_node *node, uint32_t *slot, uint64_t *claimed)
{
    uint64_t word;

    while (choose_slot(node, slot, &word)) {
        const struct wm_record *r = &node->segment.records[*slot];
        uint64_t generation =
            atomic_load_explicit(&r->generation, memory_order_acquire);
        uint64_t join = atomic_load_explicit(&r->join, memory_order_acquire);

        if (claim_slot(node, *slot, word, claimed)) {
            note_evicted(node, *slot, word, generation, join);
            return true;
        }
    }
    return false;
}

/* Who we are, and then, with the word, that we are. */
static bool publish(struct wm_worker *w, struct wm_record *r,
                    const struct wm_join_options *options, uint64_t claimed)
{
    uint32_t overdue = options->overdue_ms;
    uint64_t now = wm_now();

    if (overdue == 0) {
        overdue = DEFAULT_OVERDUE_MS;
    }
    /* First: who sees any other field of ours sees this. Pairs with
     * tally_record(). */
    atomic_store_explicit(&r->join, w->join, memory_order_release);
    atomic_store_explicit(&r->generation, w->generation, memory_order_release);
    atomic_store_explicit(&r->role, w->role, memory_order_release);
    atomic_store_explicit(&r->overdue_ms, overdue, memory_order_release);
    atomic_store_explicit(&w->cold->ident, wm_self_ident(),
                          memory_order_release);
    atomic_store_explicit(&r->joined_at, now, memory_order_release);
    atomic_store_explicit(&w->cold->spell, 0, memory_order_release);
    atomic_store_explicit(&r->stalls, wm_stalls(w->join, 0),
                          memory_order_release);
    /* Last: who sees this sees all of ours. Pairs with owed_kind(). */
    atomic_store_explicit(&w->cold->given, wm_given(w->join, 0, false),
                          memory_order_release);
    return swap(r, &claimed, wm_word(WM_JOINING, w->pid, now));
}

static int join_as(struct wm_worker *w, struct wm_generation_record *g,
                   const struct wm_join_options *options)
{
    struct wm_node *node = w->node;
    struct wm_record *r;
    uint64_t claimed;

    if (!claim_any(node, &w->slot, &claimed)) {
        return -ENOBUFS;
    }
    r = &node->segment.records[w->slot];
    w->cold = &node->segment.colds[w->slot];
    w->join = atomic_fetch_add_explicit(&node->segment.header->next_join, 1,
                                        memory_order_relaxed) +
              1;
    if (!publish(w, r, options, claimed)) {
        return -ESTALE;
    }
    wm_log_worker(w, WM_LOG_WORKER_JOINED);
    if (w->role == WM_ROLE_WORKER && !wm_generation_enter(node, g, w)) {
        uint64_t word = atomic_load_explicit(&r->word, memory_order_relaxed);

        swap(r, &word, 0);
        wm_log_worker(w, WM_LOG_WORKER_LEFT);
        return -ESTALE;
    }
    atomic_store_explicit(&w->cold->spell, w->spell, memory_order_release);
    atomic_store_explicit(&w->record, r, memory_order_relaxed);
    return 0;
}

int wm_worker_join(struct wm_node *node, uint64_t id,
                   const struct wm_join_options *options,
                   struct wm_worker **worker)
{
    struct wm_generation_record *g;
    struct wm_worker *w = &node->worker;
    int error;

    if (options == NULL || options->size < sizeof(*options) ||
        options->role > WM_ROLE_HELPER) {
        return -EINVAL;
    }
    error = wm_node_usable(node);
    if (error != 0) {
        return error;
    }
    if (wm_worker_record(w) != NULL) {
        return -EALREADY;
    }
    /* From here on this process is a worker, tracked or not. */
    node->joined = true;
    w->pid = wm_ident_pid(wm_self_ident());
    w->live = wm_word(WM_LIVE, w->pid, 0);
    w->generation = id;
    w->role = options->role;
    w->expected = options->expected;
    w->spell = 0;
    w->recoveries = 0;
    atomic_store_explicit(&w->late, false, memory_order_relaxed);
    wm_segment_keep_private(&node->segment);
    g = wm_generation_find(node, id);
    if (g == NULL) {
        return -ESTALE;
    }
    error = join_as(w, g, options);
    if (error == -ENOBUFS) {
        wm_sweep(node, NULL); /* or another has made room meanwhile */
        error = join_as(w, g, options);
    }
    if (error == 0) {
        *worker = w;
    }
    return error;
}

/* ------------------------------------------------------------------ beat */

/* Back from a stall, of which somebody was told or will be. After the swap out
 * of STALLED: a giver that loads stalls first and the word second never counts
 * one stall twice (sweep.c). Another thread may have drained since, and the
 * record be another's, or of another joining of ours: a count is of one, and
 * stays as it is then. stalls: loaded before the swap, and so of the right
 * one. */
static void count_recovery(struct wm_worker *w, struct wm_record *r,
                           uint64_t stalls)
{
    const uint64_t join = stalls >> 32;

    while (!atomic_compare_exchange_weak_explicit(
        &r->stalls, &stalls, wm_stalls(join, (uint32_t)stalls + 1),
        memory_order_release, memory_order_relaxed)) {
        if (!wm_is_of_join(stalls, join)) {
            return;
        }
    }
    wm_log_worker(w, WM_LOG_WORKER_RECOVERED);
}

/* Out of STALLED, by our own hand. The clock is read here: the caller's time
 * may be from before the stall. */
static int recover(struct wm_worker *w, struct wm_record *r, uint64_t word)
{
    uint64_t stalls = atomic_load_explicit(&r->stalls, memory_order_relaxed);
    uint64_t live = wm_word(WM_LIVE, w->pid, wm_now());

    if (!atomic_compare_exchange_strong_explicit(&r->word, &word, live,
                                                 memory_order_acq_rel,
                                                 memory_order_relaxed)) {
        /* Another thread, or a handler of a signal, was quicker. */
        return wm_word_pid(word) == w->pid && wm_word_state(word) >= WM_JOINING
                   ? 0
                   : -ESTALE;
    }
    count_recovery(w, r, stalls);
    return WM_RECOVERED;
}

/* To another state, with a beat; LIVE not out of DRAINING. A swap that fails
 * has met a mark, or a beat of another thread. Returns 0, or 1 if it was in that
 * state already. */
static int change_state(struct wm_worker *w, unsigned state)
{
    struct wm_record *r = wm_worker_record(w);

    if (r == NULL) {
        return -ECHILD;
    }
    for (;;) {
        uint64_t word = atomic_load_explicit(&r->word, memory_order_relaxed);
        unsigned from = wm_word_state(word);

        if (wm_word_pid(word) != w->pid || from < WM_JOINING ||
            from > WM_DRAINING || (from == WM_DRAINING && state == WM_LIVE)) {
            return -ESTALE;
        }
        if (from == state) {
            return 1;
        }
        if (from == WM_STALLED && state != WM_FREE) {
            /* First, while nobody else may have the record. */
            recover(w, r, word);
        } else if (swap(r, &word,
                        state == WM_FREE ? 0
                                         : wm_word(state, w->pid, wm_now()))) {
            return 0;
        }
    }
}

/* Relaxed: the beat publishes nothing but itself. identity: of the word. */
static inline bool swap_beat(struct wm_record *r, uint64_t *word,
                             uint64_t identity, uint64_t now_ms)
{
    return atomic_compare_exchange_strong_explicit(
        &r->word, word, identity | (now_ms & WM_BEAT_MASK),
        memory_order_relaxed, memory_order_relaxed);
}

/* Any beat but the usual one, below, which this is to stay out of. */
__attribute__((cold, noinline)) static int
beat_unusually(struct wm_worker *worker, struct wm_record *r, uint64_t now_ms)
{
    uint64_t word = atomic_load_explicit(&r->word, memory_order_relaxed);

    /* A worker that beats this late was stopped, and so may all have been: its
     * next sweep is patient. */
    if (wm_word_overdue(
            word, now_ms,
            atomic_load_explicit(&r->overdue_ms, memory_order_relaxed))) {
        atomic_store_explicit(&worker->late, true, memory_order_relaxed);
    }
    /* One try: a sweeper marks it stalled meanwhile, or another thread beats,
     * and the word that is seen then says which. */
    if (wm_word_pid(word) == worker->pid && wm_word_state(word) != WM_STALLED &&
        (wm_word_age(word, now_ms) <= 0 ||
         swap_beat(r, &word, wm_word_identity(word), now_ms))) {
        return 0;
    }
    if (wm_word_pid(word) != worker->pid) {
        return -ESTALE;
    }
    return wm_word_state(word) == WM_STALLED ? recover(worker, r, word) : 0;
}

/* Nearly every beat finds its worker LIVE, and in time. */
static inline int beat_at(struct wm_worker *worker, uint64_t now_ms)
{
    struct wm_record *r = wm_worker_record(worker);
    uint64_t word;
    int64_t age;

    if (r == NULL) {
        return -ESTALE;
    }
    word = atomic_load_explicit(&r->word, memory_order_relaxed);
    age = wm_word_age(word, now_ms);
    if (wm_word_identity(word) == worker->live) {
        if (age <= 0) {
            return 0;
        }
        if (age <= (int64_t)atomic_load_explicit(&r->overdue_ms,
                                                 memory_order_relaxed) &&
            swap_beat(r, &word, worker->live, now_ms)) {
            return 0;
        }
    }
    return beat_unusually(worker, r, now_ms);
}

int wm_beat_at(struct wm_worker *worker, uint64_t now_ms)
{
    return beat_at(worker, now_ms);
}

int wm_beat(struct wm_worker *worker)
{
    return beat_at(worker, wm_clock_ms(CLOCK_MONOTONIC_COARSE));
}

/* ------------------------------------------------------ start, exit, leave */

/* What a start is called: a deed of the label alone, nothing depends on it. A
 * respawn makes up for a death, or for one that had left by itself: then there
 * are more than were expected. Where another master has begun a newer one, a
 * further spell, or more in the first, mean that it is rolled back. */
static uint32_t start_reason(struct wm_worker *w)
{
    const struct wm_node *node = w->node;
    struct wm_generation_record *g = wm_generation_find(node, w->generation);
    uint32_t deaths, replaced;
    bool is_extra = w->expected != 0 && w->ordinal > w->expected;

    if (g == NULL) {
        return WM_REASON_NONE;
    }
    if (w->role != WM_ROLE_WORKER) {
        return atomic_load_explicit(&g->reason, memory_order_relaxed);
    }
    deaths =
        wm_deaths_count(atomic_load_explicit(&g->deaths, memory_order_relaxed));
    replaced = atomic_load_explicit(&g->replaced, memory_order_relaxed);
    if ((int32_t)(deaths - replaced) > 0) {
        atomic_store_explicit(&g->replaced, replaced + 1, memory_order_relaxed);
        return WM_REASON_RESPAWN;
    }
    if ((w->spell > 1) != is_extra &&
        wm_generation_rolled_back(node, w->generation)) {
        return WM_REASON_ROLLBACK;
    }
    return is_extra ? WM_REASON_RESPAWN
                    : atomic_load_explicit(&g->reason, memory_order_relaxed);
}

int wm_worker_start(struct wm_worker *worker, struct wm_counts *counts)
{
    int error;

    wm_sweep(worker->node, worker);
    error = change_state(worker, WM_LIVE);
    if (error == 0) {
        wm_log_worker(worker, WM_LOG_WORKER_LIVE);
    }
    if (error >= 0) {
        wm_counts_of(worker->node, worker->generation, WM_COUNT_START, counts);
        counts->spell = worker->spell;
        counts->reason = start_reason(worker);
    }
    return error < 0 ? error : 0;
}

int wm_worker_exit_counts(struct wm_worker *worker, struct wm_counts *counts)
{
    const struct wm_record *r = wm_worker_record(worker);

    if (r == NULL) {
        return -ECHILD;
    }
    wm_sweep(worker->node, worker);
    /* Who has drained is not counted, and would take another for itself. */
    if (wm_beat(worker) == -ESTALE ||
        wm_word_state(atomic_load_explicit(&r->word, memory_order_relaxed)) ==
            WM_DRAINING) {
        return -ESTALE;
    }
    wm_counts_of(worker->node, worker->generation, WM_COUNT_EXIT, counts);
    counts->spell = worker->spell;
    return 0;
}

int wm_worker_drain(struct wm_worker *worker)
{
    int error = change_state(worker, WM_DRAINING);

    if (error == 0) {
        wm_leader_resign(worker);
        wm_log_worker(worker, WM_LOG_WORKER_DRAINING);
    }
    return error < 0 ? error : 0;
}

int wm_worker_leave(struct wm_worker *worker)
{
    int error = change_state(worker, WM_FREE);

    if (error == 0) {
        wm_leader_resign(worker);
        wm_log_worker(worker, WM_LOG_WORKER_LEFT);
    }
    atomic_store_explicit(&worker->record, NULL, memory_order_relaxed);
    return error;
}

uint32_t wm_worker_recoveries(struct wm_worker *worker)
{
    const struct wm_record *r = wm_worker_record(worker);
    uint64_t counted, given;
    uint32_t stalls, told, fresh;

    if (r == NULL) {
        return 0;
    }
    counted = atomic_load_explicit(&r->stalls, memory_order_relaxed);
    given = atomic_load_explicit(&worker->cold->given, memory_order_acquire);
    if (!wm_is_of_join(counted, worker->join) ||
        !wm_is_of_join(given, worker->join)) {
        return 0; /* another's record by now */
    }
    stalls = (uint32_t)counted;
    told = wm_given_stalls(given);
    /* Modulo 2^31, as far as they are counted in `given`. */
    if (((stalls - told) & 0x7fffffffu) < 0x40000000u) {
        stalls = told;
    }
    fresh = (stalls - worker->recoveries) & 0x7fffffffu;
    worker->recoveries = stalls;
    return fresh;
}

int wm_worker_has_record(const struct wm_worker *worker)
{
    const struct wm_record *r = wm_worker_record(worker);

    return r != NULL &&
           wm_word_pid(atomic_load_explicit(&r->word, memory_order_relaxed)) ==
               worker->pid;
}

uint32_t wm_worker_slot(const struct wm_worker *worker)
{
    return worker->slot;
}

uint64_t wm_worker_generation(const struct wm_worker *worker)
{
    return worker->generation;
}

uint32_t wm_worker_spell(const struct wm_worker *worker)
{
    return worker->spell;
}
