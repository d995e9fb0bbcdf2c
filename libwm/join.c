/* SPDX-License-Identifier: Apache-2.0 */

/* How a process becomes a worker: it claims a record, publishes itself in it,
 * and enters its generation. */

#include "generation.h"
#include "inherit.h"
#include "log.h"
#include "note.h"
#include "record.h"
#include "sweep.h"

/* CLAIMED holds pid and time in the same word, so that a claimant that dies
 * before it has written its identity can still be proven dead. The time is the
 * fine clock's: by the coarse one, which may be behind, the claim might seem
 * older than its process. */
static bool claim_slot(struct wm_node *node, uint32_t slot, uint64_t seen,
                       uint64_t *claimed)
{
    uint32_t pid = wm_ident_pid(wm_self_ident());

    *claimed = wm_word(WM_CLAIMED, pid, wm_clock_ms(CLOCK_MONOTONIC));
    header_raise_high(node->segment.header, slot + 1);
    return record_swap_own(wm_record_at(&node->segment, slot), &seen, *claimed);
}

/* How readily a record makes room, the lower the sooner; see rank_of(). */
#define GIVEN 2u
#define EXPIRED 3u
#define NO_ROOM 4u

/* It is free, or drains, or is crashed and its crash was given; or its crash
 * was not, and has expired, so that nobody seems to take any; or its worker
 * drained, and would make room as well if it lived. */
static unsigned rank_of(const struct wm_node *node, uint32_t slot,
                        uint64_t word)
{
    const struct wm_record *r = wm_record_at(&node->segment, slot);
    unsigned state = wm_word_state(word);

    if (!wm_state_is_crash(state)) {
        return state == WM_FREE ? 0 : state == WM_DRAINING ? 1 : NO_ROOM;
    }
    if (record_crash_given(r, wm_cold_at(&node->segment, slot))) {
        return GIVEN;
    }
    /* Safeguard: untold_crash_makes_room_when_it_expires */
    return state == WM_CRASHED_DRAINING ||
                   wm_record_is_overdue(r, word, wm_now())
               ? EXPIRED
               : NO_ROOM;
}

/* Finds the best record to claim in one pass, of this rank at the worst; among
 * equals, the one that joined first. The pass goes all around, and begins where
 * a free one is likely. False: there is none. */
static bool choose_slot(const struct wm_node *node, unsigned worst,
                        uint32_t from, uint32_t *slot, uint64_t *seen)
{
    uint32_t capacity = node->segment.geometry.capacity;
    unsigned best = worst + 1;
    uint64_t oldest = 0;

    from = from < capacity ? from : 0;
    for (uint32_t k = 0; k < capacity && best > 0; k++) {
        uint32_t i = k < capacity - from ? from + k : from + k - capacity;
        const struct wm_record *r = wm_record_at(&node->segment, i);
        uint64_t word = record_word_acquire(r);
        uint64_t join = record_join_acquire(r);
        unsigned rank = rank_of(node, i, word);

        if (rank < best || (rank == best && join < oldest)) {
            best = rank;
            oldest = join;
            *seen = word;
            *slot = i;
        }
    }
    return best <= worst;
}

/* Logs the end of an occupant that made room. */
static void note_evicted(struct wm_node *node, uint32_t slot,
                         const struct wm_occupant *o)
{
    unsigned state = wm_word_state(o->word);

    if (state == WM_FREE) {
        return;
    }
    header_add(&node->segment.header->dropped, 1);
    wm_log_append(node,
                  state == WM_DRAINING ? WM_LOG_WORKER_LEFT
                                       : WM_LOG_WORKER_FORGOTTEN,
                  o->generation, o->join, wm_word_pid(o->word), slot);
}

/* A swap that fails has met another joiner's, or a worker's end: some process
 * makes progress each time. */
static bool claim_any(struct wm_node *node, unsigned worst, uint32_t *slot,
                      uint64_t *claimed, bool *was_crash)
{
    struct wm_segment_header *header = node->segment.header;
    uint32_t from = header_free_from(header);
    uint64_t word = 0;

    while (choose_slot(node, worst, from, slot, &word)) {
        struct wm_occupant o =
            wm_occupant_of(wm_record_at(&node->segment, *slot), word);

        if (claim_slot(node, *slot, word, claimed)) {
            header_raise_free_from(header, from, *slot + 1);
            note_evicted(node, *slot, &o);
            *was_crash = wm_state_is_crash(wm_word_state(o.word));
            return true;
        }
    }
    return false;
}

/* Stores the identity of the worker, and then publishes it with the word. */
static bool publish(struct wm_worker *w, struct wm_record *r,
                    uint32_t overdue_ms, uint64_t claimed, bool was_crash)
{
    uint64_t now = wm_now();

    /* Stored first: a process that sees any other field of this worker sees its
     * number [A]; a count's two passes rest on this (digest.h). */
    /* Safeguard: join_number_is_stored_first */
    record_set_join(r, w->join);
    record_set_generation(r, w->generation);
    record_set_role(r, w->role);
    record_set_overdue_ms(r, overdue_ms);
    record_cold_set_ident(w->cold, wm_self_ident());
    record_set_joined_at(r, now);
    record_cold_set_spell(w->cold, 0);
    record_cold_set_drained_at(w->cold, 0);
    record_cold_set_end(w->cold, wm_end_word(w->join, 0));
    record_cold_set_report(w->cold, 0);
    wm_note_hand_on(w->cold, w->join, was_crash);
    record_set_stalls(r, wm_stalls(w->join, 0));
    /* Safeguard: joiner_has_not_started */
    record_set_untold(r, w->join);
    /* Safeguard: record_is_published_last */
    record_cold_set_given(w->cold, wm_given(w->join, 0, false)); /* last [G] */
    return record_swap_own(r, &claimed, wm_word(WM_JOINING, w->pid, now));
}

static int join_as(struct wm_worker *w, struct wm_generation_record *g,
                   uint32_t overdue_ms)
{
    struct wm_node *node = w->node;
    struct wm_record *r;
    uint64_t claimed;
    bool was_crash;

    if (!claim_any(node, GIVEN, &w->slot, &claimed, &was_crash)) {
        wm_sweep(node, NULL); /* or another process has made room */
        if (!claim_any(node, EXPIRED, &w->slot, &claimed, &was_crash)) {
            return -ENOBUFS;
        }
    }
    r = wm_record_at(&node->segment, w->slot);
    w->cold = wm_cold_at(&node->segment, w->slot);
    w->join = header_next(&node->segment.header->next_join);
    /* Safeguard: generation_is_entered_when_published */
    if (!publish(w, r, overdue_ms, claimed, was_crash)) {
        return -ESTALE;
    }
    wm_log_worker(w, WM_LOG_WORKER_JOINED);
    if (w->role == WM_ROLE_WORKER && !wm_generation_enter(node, g, w)) {
        uint64_t word = record_own_word(r);

        if (record_swap_own(r, &word, 0)) {
            header_lower_free_from(node->segment.header, w->slot);
        }
        wm_log_worker(w, WM_LOG_WORKER_LEFT);
        return -ESTALE;
    }
    record_cold_set_spell(w->cold, w->spell);
    wm_worker_set_record(w, r);
    return 0;
}

static bool has_another_master(const struct wm_generation_record *g,
                               uint32_t pid)
{
    return wm_gen_spell(generation_word_acquire(g)) != 0 &&
           wm_ident_pid(generation_master_acquire(g)) != pid;
}

int wm_worker_join(struct wm_node *node, uint64_t id,
                   const struct wm_join_options *options,
                   struct wm_worker **worker)
{
    WM_REQUIRE(node);
    struct wm_generation_record *g;
    struct wm_join_options own = {0};
    struct wm_worker *w = &node->worker;
    int error =
        options == NULL || worker == NULL
            ? -EINVAL
            : wm_sized_read(&own, sizeof(own),
                            WM_LEAST(wm_join_options, expected), options);

    if (error == 0) {
        error = own.role > WM_ROLE_HELPER || own.master < 0 || own.reserved != 0
                    ? -EINVAL
                    : wm_node_usable(node);
    }
    if (error != 0) {
        return error;
    }
    if (wm_worker_record(w) != NULL) {
        return -EALREADY;
    }
    g = wm_generation_find(node, id);
    if (g == NULL) {
        return id == 0 ||
                       id > header_count(&node->segment.header->next_generation)
                   ? -ENOENT
                   : -ESTALE;
    }
    /* Safeguard: master_is_named_once */
    if (own.master != 0 && has_another_master(g, (uint32_t)own.master)) {
        return -EPERM;
    }
    if (own.overdue_ms == 0) {
        own.overdue_ms = WM_DEFAULT_OVERDUE_MS;
    }
    w->pid = wm_ident_pid(wm_self_ident());
    w->master = node->forker != 0 ? node->forker : wm_self_ident();
    if (own.master != 0 && (uint32_t)own.master != wm_ident_pid(w->master)) {
        w->master = wm_process_ident((uint32_t)own.master);
    }
    w->live = wm_word(WM_LIVE, w->pid, 0);
    wm_worker_set_last(w, w->live); /* no record has this word */
    w->limit = wm_high_ms(wm_limit_ms(own.overdue_ms));
    w->generation = id;
    w->role = own.role;
    w->expected = own.expected;
    w->interval_ms = 1000; /* until its first tick */
    w->spell = 0;
    wm_worker_set_recovered(w, 0);
    w->step = WM_STEP_NONE;
    w->retires = false;
    w->exit_begun = false;
    w->start_given = false;
    w->exit_given = false;
    w->has_closed = false;
    w->drained_given = false;
    wm_worker_take_silence(w);
    wm_registry_lock();
    wm_segment_keep_private(&node->segment, node->directory);
    wm_registry_unlock();
    error = join_as(w, g, own.overdue_ms);
    if (error == 0) {
        *worker = w;
    }
    /* From here on this process is a worker, tracked or not. */
    node->joined = node->joined || error == 0 || error == -ENOBUFS;
    return error;
}
