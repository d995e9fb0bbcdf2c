/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The life of a generation.
 *
 *   BEGUN -> ACTIVE     the first worker has joined
 *   ACTIVE -> EXITED    nobody is left: a spell is over, its end is owed
 *   EXITED -> ACTIVE    a late or restarted worker opens another spell
 *   BEGUN -> ABORTED    there will be no worker; a late one revives it
 *
 * No state is final, since a worker may be forked long after its siblings have
 * gone. A *spell* is the time from EXITED or BEGUN to the next EXITED, and its
 * end is what is given to callbacks, once for each spell.
 *
 * All that is contended lies in the generation's word. Why no generation is
 * closed over a worker [I5]:
 *
 *     joiner:   JOINING --------------- swap of the word (a new version)
 *     closer:             load L ..... look at all records ..... swap from L
 *
 * 1. A joiner swaps the word after it has published its record. If that swap
 *    comes before L, the closer comes after the JOINING and finds it [E].
 * 2. If it comes after L, the word has another version, and the closer's swap,
 *    which is from the very value of L, fails. The closer looks again.
 * 3. If it comes after the closer's swap, the joiner finds EXITED, and opens a
 *    new spell, which has an end of its own.
 *
 * Why somebody closes it: each worker closes after it has drained. Of two that
 * drain at once and each look for the other, one at least finds the other
 * drained [D]. Where a worker dies instead, a sweep closes what the dead were
 * the last of, once the generation's own master starts no more workers of it.
 *
 * If the process dies between two steps: before a swap, nothing has happened;
 * after it, the state is whole, and what is owed follows from the word. */

#include "generation.h"

#include "process.h"
#include "record.h"

/* ----------------------------------------------------------------- begin */

/* Whether the record may serve another generation: nothing is owed, nobody
 * will restart it, or its claimant died before it was begun. In need, where
 * all records are taken, also those with ends that nobody was told of, and
 * those that never had a worker and are not their master's current one. */
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
        (!need && (state == WM_GENERATION_BEGUN || wm_gen_owed(word) != 0)) ||
        !wm_generation_read(node, index, &info, NULL, &master)) {
        return false;
    }
    /* Safeguard: current_generation_keeps_its_record */
    return wm_kin_newest(node, master, false) != info.id ||
           wm_master_is_dead(master);
}

/* The fields first, the word last: a process that sees the word sees them, and
 * one that sees any of them finds the former life's word gone [F]. */
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
    /* Safeguard: version_outlives_the_record */
    generation_set_word(
        g, wm_gen_word(WM_GENERATION_BEGUN, 0, 0, wm_gen_version(claimed) + 1));
}

/* Claims the record that number `id` falls on, if it may be reused. The word is
 * loaded first: another life that begins meanwhile, or a worker that enters,
 * makes the swap fail. A claimant that dies here leaves its pid in the word, and
 * the next one whose number falls on this record goes on from there. */
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

/* A handle that has begun a generation before reloads; one that adopted a node
 * is a new binary. What a worker's start is called follows from this. */
static uint32_t begin_reason(const struct wm_node *node)
{
    if (node->begun != 0) {
        return WM_REASON_RELOAD;
    }
    return node->adopted ? WM_REASON_UPGRADE : WM_REASON_START;
}

/* A server that daemonizes begins its first generation in a process that is
 * gone by now. The generation is the calling process's, which goes on; it says
 * so here, before a worker does. */
static void inherit_begun(struct wm_node *node)
{
    struct wm_generation_record *g = wm_generation_find(node, node->begun);
    uint64_t master = node->begun_by, self = wm_self_ident();

    if (g != NULL && node->forker == master && master != self &&
        wm_gen_state(generation_word_acquire(g)) == WM_GENERATION_BEGUN &&
        generation_swap_master(g, master, self) &&
        wm_generation_find(node, node->begun) != g) {
        /* The beginner lives on, and has begun another generation in this
         * record meanwhile: that one is its own. */
        generation_swap_master(g, self, master);
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
    if (node->joined) {
        *id = node->worker.generation;
        if (reason != NULL) {
            *reason = WM_REASON_NONE;
        }
        return WM_IS_WORKER;
    }

    inherit_begun(node);
    wm_generations_settle(node, 0);
    /* A number whose record is still needed is passed over; where all are,
     * the second round takes what can be done without. There is some: at most
     * one record for each worker is ACTIVE, and one for each living master
     * its current one. */
    for (uint64_t i = 0; i < 2 * records; i++) {
        number = header_next(&h->next_generation);
        if (number != 0 && claim(node, number, why, i >= records)) {
            node->begun = number;
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

/* Only a generation that cannot have a worker is aborted: it is the newest that
 * this process began, and this process has not forked since. A daemonizing
 * parent has forked, so that its going away aborts nothing. The swap is from a
 * word that is BEGUN: a worker that joined meanwhile makes it fail. */
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
    if (g == NULL || node->begun != id || wm_node_has_forked(node) ||
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

/* ----------------------------------------------------------------- enter */

/* The how many'th worker of the spell this is: the first of a new spell counts
 * from 1 again, whichever it is that comes first to here. */
static uint32_t take_ordinal(struct wm_generation_record *record,
                             uint32_t spell)
{
    uint32_t seen = generation_joined_relaxed(record), next;

    do {
        next = wm_joined_and_one(seen, spell);
    } while (!generation_swap_joined(record, &seen, next));
    return wm_joined_count(next);
}

/* The word is loaded before the id (generation_record.c), and swapped from the
 * value that was loaded: a life that ended meanwhile makes the swap fail, and
 * the next round finds that the generation is forgotten. Another joiner's swap
 * makes it fail as well; then somebody has entered. */
bool wm_generation_enter(struct wm_node *node,
                         struct wm_generation_record *record,
                         struct wm_worker *worker)
{
    uint64_t master = node->forker != 0 ? node->forker : wm_self_ident();
    uint64_t word = generation_word_acquire(record), next;
    bool open;

    do {
        uint32_t spell = wm_gen_spell(word);

        if (!wm_generation_word_is_of(record, word, worker->generation)) {
            return false;
        }
        open = wm_gen_state(word) == WM_GENERATION_ACTIVE;
        if (!open) {
            spell++;
        }
        worker->spell = wm_spell(spell);
        /* Safeguard: entry_makes_a_new_version */
        next = wm_gen_word(WM_GENERATION_ACTIVE, spell, wm_gen_given(word),
                           wm_gen_version(word) + 1);
    } while (!generation_swap_word(record, &word, next));

    /* From here on the record is this generation's as long as the worker is in
     * it. The process that forked this one is the master, whichever process
     * began the generation: a server that daemonizes begins it in one that is
     * gone by now. */
    generation_set_master(record, master);
    header_lower(&node->segment.header->first_active, worker->generation);
    worker->ordinal = take_ordinal(record, worker->spell);
    if (!open) {
        /* A worker that died in a former spell is not replaced in this one. */
        generation_set_replaced_relaxed(
            record, wm_deaths_count(generation_deaths_relaxed(record)));
        wm_generation_log(node, WM_LOG_GENERATION_ACTIVE, worker->generation,
                          next, master);
    }
    return true;
}

/* ----------------------------------------------------------------- close */

/* Whether a worker of this generation is joining, live, or stalled, and not
 * proven dead: a worker that no sweep has marked yet does not keep its
 * generation open. The words are loaded in the order of all drains [D]; what
 * stands beside them is decided on by the closer's swap, which fails if anybody
 * has entered since. */
static bool has_workers(const struct wm_node *node, uint64_t id)
{
    uint32_t high = wm_node_high(node);

    for (uint32_t i = 0; i < high; i++) {
        const struct wm_record *r = wm_record_at(&node->segment, i);
        uint64_t word = record_word_ordered(r); /* [D] */
        unsigned state = wm_word_state(word);
        struct wm_occupant o;

        /* Safeguard: joining_and_stalled_keep_it_open */
        if (state != WM_JOINING && state != WM_LIVE && state != WM_STALLED) {
            continue;
        }
        o = wm_occupant_of(r, word);
        if (o.generation == id && o.role == WM_ROLE_WORKER &&
            /* Safeguard: dead_do_not_keep_it_open */
            !wm_occupant_is_dead(node, i, word, WM_PROOF_FULL)) {
            return true;
        }
    }
    return false;
}

/* The closer of the argument above. It looks again after each joiner that it
 * missed, so that it ends when joiners do: each round that fails has met one. */
int wm_generation_close(struct wm_node *node, uint64_t id)
{
    WM_REQUIRE(node);
    struct wm_generation_record *g;
    uint64_t word;
    int error = wm_node_usable(node);

    if (error != 0) {
        return error;
    }
    g = wm_generation_find(node, id);
    if (g == NULL) {
        return 0;
    }
    word = generation_word_acquire(g);
    while (wm_gen_state(word) == WM_GENERATION_ACTIVE &&
           wm_generation_word_is_of(g, word, id) && !has_workers(node, id)) {
        /* Before the swap: after it the record may be another's. */
        uint64_t master = generation_master_acquire(g);

        if (generation_swap_word(
                g, &word, wm_gen_with_state(word, WM_GENERATION_EXITED))) {
            wm_generation_log(node, WM_LOG_GENERATION_EXITED, id, word, master);
            return WM_CLOSED;
        }
    }
    return 0;
}

/* An end is taken by the swap that counts one more as given. So no end is given
 * twice [I4]; where the process dies after the swap, this one is not given. */
int wm_generation_take_exit(struct wm_node *node, uint64_t id, uint32_t *spell)
{
    WM_REQUIRE(node);
    struct wm_generation_record *g;
    uint64_t word, next;
    int error = wm_node_usable(node);

    if (error != 0) {
        return error;
    }
    g = wm_generation_find(node, id);
    if (g == NULL) {
        return 0;
    }
    word = generation_word_acquire(g);
    do {
        if (!wm_generation_word_is_of(g, word, id) || wm_gen_owed(word) == 0) {
            return 0;
        }
        next = wm_gen_word(wm_gen_state(word), wm_gen_spell(word),
                           wm_gen_given(word) + 1, wm_gen_version(word));
    } while (!generation_swap_word(g, &word, next));
    if (spell != NULL) {
        *spell = wm_gen_given(next);
    }
    return 1;
}

/* ---------------------------------------------------------------- settle */

/* A generation that has begun is aborted where it will have no worker: its
 * master is dead, or has itself made a newer one active. Until then the master
 * may be about to fork. */
static bool abort_stillborn(struct wm_node *node, uint32_t index,
                            const struct wm_generation_info *info,
                            uint64_t word, uint64_t master)
{
    struct wm_generation_record *g = wm_generation_at(&node->segment, index);

    /* Safeguard: begun_waits_for_its_master */
    if (wm_kin_newest(node, master, true) < info->id &&
        !wm_master_is_dead(master)) {
        return false;
    }
    if (!generation_swap_word(g, &word,
                              wm_gen_with_state(word, WM_GENERATION_ABORTED))) {
        return false;
    }
    wm_generation_log(node, WM_LOG_GENERATION_ABORTED, info->id, 0, master);
    return true;
}

/* A survivor closes the generation of others only where their master will start
 * no more workers of it; the caller's own is closed by the worker that drains
 * last, which gives its end as well. */
uint32_t wm_generations_settle(struct wm_node *node, uint64_t own)
{
    uint32_t changed = 0;

    for (uint32_t i = 0; i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t word, master;

        if (!wm_generation_read(node, i, &info, &word, &master) ||
            info.id == own) {
            continue;
        }
        if (info.state == WM_GENERATION_BEGUN) {
            changed += abort_stillborn(node, i, &info, word, master);
        } else if (info.state == WM_GENERATION_ACTIVE &&
                   /* Safeguard: current_generation_stays_open */
                   (wm_kin_newest(node, master, true) > info.id ||
                    wm_master_is_dead(master))) {
            changed += wm_generation_close(node, info.id) == WM_CLOSED;
        }
    }
    return changed;
}
