/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's own acts once it has joined: start, tick, drain, leave. sweep.c
 * has the acts of others on its record. */

#include "worker.h"

#include "census.h"
#include "fatal.h"
#include "generation.h"
#include "leader.h"
#include "log.h"
#include "record.h"
#include "sweep.h"

/* ------------------------------------------------------------------ tick */

int wm_tick(struct wm_worker *worker, uint32_t interval_ms)
{
    WM_REQUIRE(worker);
    struct wm_node *node = worker->node;
    struct wm_segment_header *h = node->segment.header;
    uint64_t now = wm_now();
    uint64_t due = header_sweep_due(h);
    int error = wm_node_usable(node);

    if (error != 0) {
        return error;
    }
    worker->interval_ms = interval_ms;
    /* The sweep comes before the beat, so that it sees whether this worker is
     * late. A due time that is too far off is garbage, and is not waited
     * for. */
    if ((now >= due || due - now > 2 * (uint64_t)interval_ms) &&
        header_take_sweep(h, due, now + (uint64_t)interval_ms * 9 / 10)) {
        wm_sweep_stale(node, worker, interval_ms);
    }
    return wm_beat_at(worker, now);
}

/* ------------------------------------------------------ start, exit, leave */

/* The name of a start; nothing else depends on it. A respawn replaces a worker
 * that died, or one that left by itself: then there are more than were
 * expected. If another master has begun a newer generation, then a further
 * spell of this one, or more workers in its first one, mean that the server has
 * rolled back to it. */
static uint32_t start_reason(const struct wm_worker *w)
{
    const struct wm_node *node = w->node;
    struct wm_generation_record *g = wm_generation_find(node, w->generation);
    bool is_extra = w->expected != 0 && w->ordinal > w->expected;

    if (g == NULL) {
        return WM_REASON_NONE;
    }
    if (w->role != WM_ROLE_WORKER) {
        return generation_reason_acquire(g);
    }
    /* Those that are expected replace nobody, also if one of them has died. */
    if ((w->expected == 0 || is_extra || w->spell > 1) &&
        wm_generation_replace(g)) {
        return WM_REASON_RESPAWN;
    }
    /* Safeguard: replacement_of_a_retired_one_is_a_respawn */
    if (generation_take_retired(g)) {
        return WM_REASON_RESPAWN;
    }
    if ((w->spell > 1) != is_extra &&
        wm_generation_rolled_back(node, w->generation)) {
        return WM_REASON_ROLLBACK;
    }
    return is_extra ? WM_REASON_RESPAWN : generation_reason_acquire(g);
}

/* Whether a start may go by a recent look. Those that are expected replace
 * nobody. Another one replaces a worker that has just ended, and has to know of
 * that: if nobody does so far, it looks for itself. */
static bool knows_whom_it_replaces(const struct wm_worker *w)
{
    const struct wm_generation_record *g =
        wm_generation_find(w->node, w->generation);

    return (w->spell == 1 && w->ordinal <= w->expected) ||
           /* Safeguard: replacement_looks_for_a_death */
           (g != NULL &&
            (wm_generation_lacks(g) || generation_retired_acquire(g) != 0));
}

int wm_worker_start_as(struct wm_worker *worker, bool is_given,
                       struct wm_counts *counts)
{
    int error = wm_worker_usable(worker);

    if (error != 0) {
        return error;
    }
    if (!wm_sweep_is_recent(worker->node) || !knows_whom_it_replaces(worker)) {
        wm_sweep(worker->node, worker);
    }
    if (is_given) { /* the starts of others count it from here on */
        record_take_untold(wm_worker_record(worker), worker->join);
    }
    error = wm_record_change_state(worker, WM_LIVE);
    if (error == 0) {
        wm_log_worker(worker, WM_LOG_WORKER_LIVE);
        worker->reason = start_reason(worker);
    }
    if (error >= 0) {
        wm_counts_of(worker->node, worker->generation, WM_COUNT_START, counts);
        counts->spell = worker->spell;
        counts->reason = worker->reason;
    }
    return error < 0 ? error : 0;
}

int wm_worker_start(struct wm_worker *worker, struct wm_counts *counts)
{
    WM_REQUIRE(worker);
    return wm_worker_start_as(worker, true, counts);
}

/* Whether another worker of the generation that has not drained is proven to
 * live. It looks on from its own place, so that a crowd that exits in the order
 * of its slots asks about one each. */
static bool has_company(const struct wm_worker *w)
{
    const struct wm_node *node = w->node;
    uint32_t high = wm_node_high(node);

    for (uint32_t n = 1; n < high; n++) {
        uint32_t slot = (w->slot + n) % high;
        const struct wm_record *r = wm_record_at(&node->segment, slot);
        uint64_t word = record_word_acquire(r);
        struct wm_occupant o = wm_occupant_of(r, word);
        unsigned state = wm_word_state(word);

        if (state >= WM_JOINING && state <= WM_STALLED &&
            o.generation == w->generation && o.role == WM_ROLE_WORKER &&
            wm_occupant_is_whole(r, &o) &&
            !wm_occupant_is_dead(node, slot, word, WM_PROOF_FULL)) {
            return true;
        }
    }
    return false;
}

/* Within a second of a look at all, an exit goes by that look: it may count
 * some that have died since, but only beside one that lives. The last one looks
 * itself. If it still counts one that is dead, whose pid is another process's
 * by now, that one is left out. */
int wm_worker_exit_counts(struct wm_worker *worker, struct wm_counts *counts)
{
    WM_REQUIRE(worker);
    const struct wm_record *r = wm_worker_record(worker);
    int error = wm_worker_usable(worker);
    bool recent;

    if (error != 0) {
        return error;
    }
    recent = wm_sweep_is_recent(worker->node);
    if (!recent) {
        wm_sweep(worker->node, worker);
    }
    /* A worker that has drained is not counted, and would take another for
     * itself. */
    /* Safeguard: drained_worker_does_not_count_itself */
    if (wm_beat(worker) == -ESTALE ||
        wm_word_state(record_own_word(r)) == WM_DRAINING) {
        return -ESTALE;
    }
    wm_counts_of(worker->node, worker->generation, WM_COUNT_EXIT, counts);
    /* Safeguard: company_is_proven */
    if (!has_company(worker)) {
        if (recent) {
            wm_sweep(worker->node, worker);
            wm_counts_of(worker->node, worker->generation, WM_COUNT_EXIT,
                         counts);
        }
        if (worker->role == WM_ROLE_WORKER && !has_company(worker)) {
            counts->mine = 1;
        }
    }
    counts->spell = worker->spell;
    if (worker->retires && counts->reason == WM_REASON_STOP) {
        counts->reason = WM_REASON_RETIRE;
    }
    return 0;
}

int wm_worker_retire(struct wm_worker *worker)
{
    WM_REQUIRE(worker);
    struct wm_generation_record *g;
    int error = wm_worker_usable(worker);

    if (error != 0) {
        return error;
    }
    g = wm_generation_find(worker->node, worker->generation);
    if (!worker->retires && worker->role == WM_ROLE_WORKER && g != NULL) {
        generation_add_retired(g);
    }
    worker->retires = true;
    return 0;
}

int wm_worker_drain(struct wm_worker *worker)
{
    WM_REQUIRE(worker);
    int error = wm_record_change_state(worker, WM_DRAINING);

    if (error == 0) {
        wm_leader_resign(worker);
        wm_log_worker(worker, WM_LOG_WORKER_DRAINING);
    }
    return error < 0 ? error : 0;
}

int wm_worker_leave(struct wm_worker *worker)
{
    WM_REQUIRE(worker);
    int error;

    wm_fatal_forget(worker);
    error = wm_record_change_state(worker, WM_FREE);

    if (error == 0) {
        wm_leader_resign(worker);
        wm_log_worker(worker, WM_LOG_WORKER_LEFT);
        wm_generation_note_gone(worker->node, worker->generation);
    }
    wm_worker_set_record(worker, NULL);
    return error;
}

uint32_t wm_worker_recoveries(const struct wm_worker *worker)
{
    WM_REQUIRE(worker);

    const struct wm_record *r = wm_worker_record(worker);
    uint64_t counted, given;
    uint32_t stalls;

    if (r == NULL) {
        return 0;
    }
    counted = record_own_stalls(r);
    given = record_cold_given_acquire(worker->cold);
    /* Safeguard: recoveries_are_of_one_joining */
    if (!wm_is_of_join(counted, worker->join) ||
        !wm_is_of_join(given, worker->join)) {
        return 0; /* another worker's record by now */
    }
    stalls = wm_stalls_count(counted);
    if (wm_stalls_reach(stalls, wm_given_stalls(given))) {
        stalls = wm_given_stalls(given); /* only those that were given */
    }
    return wm_stalls_between(wm_worker_recovered(worker), stalls);
}

int wm_worker_recovery_take(struct wm_worker *worker)
{
    WM_REQUIRE(worker);
    if (wm_worker_recoveries(worker) == 0) {
        return 0;
    }
    wm_worker_set_recovered(worker, wm_worker_recovered(worker) + 1);
    return 1;
}

uint32_t wm_worker_slot(const struct wm_worker *worker)
{
    WM_REQUIRE(worker);
    return worker->slot;
}

uint64_t wm_worker_generation(const struct wm_worker *worker)
{
    WM_REQUIRE(worker);
    return worker->generation;
}

uint32_t wm_worker_spell(const struct wm_worker *worker)
{
    WM_REQUIRE(worker);
    return worker->spell;
}
