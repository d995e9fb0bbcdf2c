/* SPDX-License-Identifier: Apache-2.0 */

/* The master's acts on a generation: it begins one, and abandons one that will
 * have no worker. generation.c has the acts of its workers, generation_record.c
 * the argument for reading its record.
 *
 *   NONE, EXITED, GONE, ABORTED -> CLAIMED -> BEGUN   by the master that
 *                                                     begins it
 *   BEGUN -> ABORTED                                  by the same master
 *
 * A generation's number is taken from a counter, and says in which record it
 * lies. If the master dies after the swap to CLAIMED, its pid stands in the
 * word and the record is claimed anew; if it dies after the swap to BEGUN, a
 * sweep aborts the generation. */

#include "generation.h"

#include "process.h"

/* Whether the record may serve another generation: its own one owes nothing and
 * will not be restarted, or the claimant died before it had begun one. need:
 * all records are taken; then a record may also be reused if it owes ends, if
 * workers of its generation drain, or if that never had a worker and is not its
 * master's current one. */
static bool is_reusable(const struct wm_node *node, uint32_t index,
                        uint64_t word, bool need)
{
    struct wm_generation_info info;
    uint64_t master;
    unsigned state = wm_gen_state(word);

    if (state == WM_GENERATION_NONE) {
        return true;
    }
    if (state == WM_GENERATION_CLAIMED) {
        return wm_process_dead(wm_ident(wm_gen_claimant(word), 0), 0,
                               WM_PROOF_QUICK);
    }
    if (state == WM_GENERATION_ACTIVE ||
        /* Safeguard: owed_end_keeps_the_record */
        (!need && (state == WM_GENERATION_BEGUN ||
                   state == WM_GENERATION_EXITED || wm_gen_owed(word) != 0)) ||
        !wm_generation_read(node, index, &info, NULL, &master)) {
        return false;
    }
    /* Safeguard: current_generation_keeps_its_record */
    return wm_kin_of(node, master, &(struct wm_kin){0})->newest != info.id;
}

/* Stores the fields first, the word last: a process that sees the word sees the
 * fields, and one that sees any of them finds the former life's word gone
 * [F]. */
static void fill(struct wm_generation_record *g, uint64_t id, uint32_t reason,
                 uint64_t claimed)
{
    generation_set_id(g, id);
    generation_set_master(g, wm_self_ident());
    generation_set_begun_at(g, wm_now());
    generation_set_reason(g, reason);
    generation_set_deaths(g, wm_deaths(id, 0));
    generation_set_replaced(g, 0);
    generation_set_joined(g, 0);
    generation_set_expected(g, 0);
    generation_set_retired(g, 0);
    generation_set_start_owed(g, 0);
    /* Safeguard: version_outlives_the_record */
    generation_set_word(
        g, wm_gen_word(WM_GENERATION_BEGUN, 0, 0, wm_gen_version(claimed) + 1));
}

/* Claims the record that number `id` falls on, if it may be reused. The word is
 * loaded first: if another life begins meanwhile, or a worker enters, the swap
 * fails. A claimant that dies here leaves its pid in the word, and the next
 * master whose number falls on this record claims it anew. */
static bool claim(struct wm_node *node, uint64_t id, uint32_t reason, bool need)
{
    uint32_t index = (uint32_t)(id % node->segment.geometry.generations);
    struct wm_generation_record *g = wm_generation_at(&node->segment, index);
    uint64_t word = generation_word_acquire(g);
    uint64_t claimed =
        wm_gen_claimed(WM_GENERATION_CLAIMED, wm_ident_pid(wm_self_ident()),
                       wm_gen_version(word) + 1);
    uint32_t lost = wm_gen_owed(word);

    if (!is_reusable(node, index, word, need) ||
        !generation_swap_word(g, &word, claimed)) {
        return false;
    }
    header_add(&node->segment.header->exits_lost, lost);
    fill(g, id, reason, claimed);
    return true;
}

/* A process that has begun a generation before reloads; one that adopted a node
 * is a new binary. The name of a worker's start follows from this. */
static uint32_t begin_reason(const struct wm_node *node)
{
    if (node->begun != 0) {
        return WM_REASON_RELOAD;
    }
    return node->adopted ? WM_REASON_UPGRADE : WM_REASON_START;
}

/* A server that daemonizes begins its first generation in a process that is
 * gone by now. The generation belongs to the calling process, which goes on. It
 * writes this down here, before a worker does. */
static void inherit_begun(struct wm_node *node)
{
    struct wm_generation_record *g = wm_generation_find(node, node->begun);
    uint64_t master = node->begun_by, self = wm_self_ident();

    if (g != NULL && node->forker == master && master != self &&
        wm_gen_state(generation_word_acquire(g)) == WM_GENERATION_BEGUN) {
        wm_generation_change_master(g, node->begun, master, self);
    }
}

int wm_generation_begin(struct wm_node *node, uint64_t *id, uint32_t *reason)
{
    WM_REQUIRE(node);
    struct wm_segment_header *h = node->segment.header;
    uint32_t why = begin_reason(node);
    uint64_t records = node->segment.geometry.generations;
    uint64_t number;
    int error = wm_node_usable(node);

    if (error != 0) {
        return error;
    }
    if (node->joined || node->of_worker) {
        *id = node->worker.generation;
        if (reason != NULL) {
            *reason = WM_REASON_NONE;
        }
        return WM_IS_WORKER;
    }

    inherit_begun(node);
    wm_generations_settle(node, 0);
    /* A number whose record is still needed is passed over. If all are needed,
     * the second round takes a record that can be spared. There is one: at most
     * one record for each worker is ACTIVE, and one for each living master is
     * of its current generation. */
    for (uint64_t i = 0; i < 2 * records; i++) {
        number = header_next(&h->next_generation);
        if (number != 0 && claim(node, number, why, i >= records)) {
            node->begun = number;
            node->first = node->first == 0 ? number : node->first;
            node->begun_by = wm_self_ident();
            wm_node_set_forked(node, false);
            *id = number;
            wm_generation_log(node, WM_LOG_GENERATION_BEGUN, number, 0,
                              node->begun_by);
            if (reason != NULL) {
                *reason = why;
            }
            return 0;
        }
    }
    return -ENOBUFS;
}

/* Only the newest generation that this process began is aborted. A daemonizing
 * parent must abort nothing when it goes away: so the first generation that was
 * begun through the handle, or in the process that it was forked with, is not
 * aborted once this process has forked. A fork that any later generation has
 * seen was that of a command, or of a worker which has not joined yet and will
 * revive the generation. The swap is from a word that is BEGUN: if a worker
 * joins meanwhile, it fails. */
int wm_generation_abandon(struct wm_node *node, uint64_t id)
{
    WM_REQUIRE(node);
    struct wm_generation_record *g;
    uint64_t word;
    int error = wm_node_usable(node);

    if (error != 0) {
        return error;
    }
    g = wm_generation_find(node, id);
    /* Safeguard: forked_master_abandons_nothing */
    if (g == NULL || node->begun != id ||
        (wm_node_has_forked(node) && node->first == id) ||
        node->begun_by != wm_self_ident()) {
        return 0;
    }
    word = generation_word_acquire(g);
    if (wm_gen_state(word) != WM_GENERATION_BEGUN ||
        !wm_generation_word_is_of(g, word, id) ||
        !generation_swap_word(g, &word,
                              wm_gen_with_state(word, WM_GENERATION_ABORTED))) {
        return 0;
    }
    wm_generation_log(node, WM_LOG_GENERATION_ABORTED, id, 0, node->begun_by);
    return WM_CLOSED;
}

/* ------------------------------------------------------- an owed start */

/* The generation is this master's, so its record is of no other life. */
int wm_generation_leave_start(struct wm_node *node, uint64_t id)
{
    WM_REQUIRE(node);
    struct wm_generation_record *g;
    int error = wm_node_usable(node);

    if (error != 0) {
        return error;
    }
    g = wm_generation_find(node, id);
    if (g == NULL || node->begun != id || node->begun_by != wm_self_ident()) {
        return -EPERM;
    }
    generation_set_start_owed(g, id);
    return 0;
}

/* The field holds the number of the generation that owes its start: if the
 * record is another generation's by now, the swap fails. If the process dies
 * after the swap, the start is not given. */
int wm_generation_take_start(struct wm_node *node, uint64_t id)
{
    WM_REQUIRE(node);
    struct wm_generation_record *g;
    int error = wm_node_usable(node);

    if (error != 0) {
        return error;
    }
    g = wm_generation_find(node, id);
    return g != NULL && generation_take_start(g, id);
}
