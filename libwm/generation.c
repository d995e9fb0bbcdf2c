/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a generation.
 *
 *   BEGUN -> ACTIVE     the first worker has joined
 *   ACTIVE -> EXITED    no worker is left: a spell is over, its end is owed
 *   EXITED -> GONE      no worker drains any more (a helper does not count)
 *   EXITED, GONE -> ACTIVE   a late or restarted worker opens another spell
 *   BEGUN -> ABORTED    there will be no worker; a late one revives it
 *
 * No state is final, since a worker may be forked long after its siblings have
 * gone. A *spell* is the time from EXITED, GONE or BEGUN to the next EXITED.
 * Callbacks are told of its end, once for each spell.
 *
 * All that processes contend for lies in the generation's word. No generation
 * is closed while it has a worker [I5]. The argument:
 *
 *     joiner:   JOINING --------------- swap of the word (a new version)
 *     closer:             load L ..... look at all records ..... swap from L
 *
 * 1. A joiner swaps the word after it has published its record. If that swap
 *    comes before L, the closer's look comes after the JOINING, and finds it
 *    [E].
 * 2. If it comes after L, the word has another version, and the closer's swap,
 *    which is from the very value of L, fails. The closer looks again.
 * 3. If it comes after the closer's swap, the joiner finds EXITED, and opens a
 *    new spell, which has an end of its own.
 *
 * Each generation is closed by some process: each worker tries after it has
 * drained. If two workers drain at once and look for each other, at least one
 * finds the other drained [D]. If the last workers die instead, a sweep closes
 * the generation, once its own master starts no more workers of it.
 *
 * A generation that has EXITED is GONE by the same argument, with FREE in the
 * place of the drain: each worker tries after it has left, and each sweep does.
 *
 * If the process dies before a swap, nothing has happened. If it dies after the
 * swap, the state is whole, and the owed ends follow from the word. */

#include "generation.h"

#include "process.h"
#include "record.h"

/* ----------------------------------------------------------------- enter */

/* Returns the ordinal of this worker among those of its spell. Of the workers
 * of a new spell, the first one that comes here counts from 1 again. */
static uint32_t take_ordinal(struct wm_generation_record *record,
                             uint32_t spell)
{
    uint32_t seen = generation_joined_relaxed(record), next;

    do {
        next = wm_joined_and_one(seen, spell);
    } while (!generation_swap_joined(record, &seen, next));
    return wm_joined_count(next);
}

/* Writes down which process is the master, before the first spell opens: a
 * joiner that finds the spell finds the master. The beginner's own ident stands
 * there until then; a server that daemonizes begins in a process that is gone
 * by now. */
static void name_master(struct wm_generation_record *record,
                        const struct wm_worker *worker)
{
    uint64_t seen = generation_master_acquire(record);

    if (seen != worker->master) {
        wm_generation_change_master(record, worker->generation, seen,
                                    worker->master);
    }
}

/* The word is loaded before the id (generation_record.c), and swapped from the
 * value that was loaded. If the record's life has ended meanwhile, the swap
 * fails, and the next round finds that the generation is forgotten. The swap
 * also fails if another joiner has swapped; then that one has entered. */
bool wm_generation_enter(struct wm_node *node,
                         struct wm_generation_record *record,
                         struct wm_worker *worker)
{
    uint64_t word = generation_word_acquire(record), next;
    bool open;

    if (wm_gen_spell(word) == 0) {
        name_master(record, worker);
    }
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
     * it. */
    header_lower(&node->segment.header->first_active, worker->generation);
    generation_set_expected(record, worker->expected);
    worker->ordinal = take_ordinal(record, worker->spell);
    if (!open) {
        /* A worker that died in a former spell is not replaced in this one. */
        generation_set_replaced_relaxed(
            record, wm_deaths_count(generation_deaths_relaxed(record)));
        wm_generation_log(node, WM_LOG_GENERATION_ACTIVE, worker->generation,
                          next, worker->master);
    }
    return true;
}

/* ----------------------------------------------------------------- close */

/* Whether a worker of this generation is joining, live, or stalled; with
 * `alive`, and not proven dead. The loads of the words are in one order with
 * all drains [D]. The fields beside a word may be of the next occupant; then
 * that worker has entered since, and the closer's swap fails. */
static bool has_workers(const struct wm_node *node, uint64_t id, bool alive)
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
            !(alive && wm_occupant_is_dead(node, i, word, WM_PROOF_FULL))) {
            return true;
        }
    }
    return false;
}

/* The closer of the argument above. It looks again after each joiner that it
 * missed. Each round that fails has met a joiner, so the loop ends when the
 * joiners do. */
static int close_over(struct wm_node *node, uint64_t id, bool alive)
{
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
           wm_generation_word_is_of(g, word, id) &&
           !has_workers(node, id, alive)) {
        /* Loaded before the swap: afterwards the record may be another
         * generation's. */
        uint64_t master = generation_master_acquire(g);

        if (generation_swap_word(
                g, &word, wm_gen_with_state(word, WM_GENERATION_EXITED))) {
            wm_generation_log(node, WM_LOG_GENERATION_EXITED, id, word, master);
            return WM_CLOSED;
        }
    }
    return 0;
}

/* A worker that leaves last closes the generation over those that died. Its end
 * is in order then: the dead are counted as replaced, also those that a sweep
 * finds later. The next spell counts anew; if it has begun by now, one of its
 * starts may have another name. */
int wm_generation_close(struct wm_node *node, uint64_t id)
{
    WM_REQUIRE(node);
    struct wm_generation_record *g = wm_generation_find(node, id);
    int result = close_over(node, id, true);

    if (result == WM_CLOSED) {
        generation_set_replaced_relaxed(
            g, wm_deaths_count(generation_deaths_relaxed(g)) + WM_CAPACITY_MAX);
    }
    return result;
}

/* ------------------------------------------------------------------ gone */

/* Whether this is the state of a worker that has not left. The next sweep finds
 * those that are dead. */
static bool is_there(unsigned state)
{
    /* Safeguard: draining_worker_is_not_gone */
    return state >= WM_JOINING && state <= WM_DRAINING;
}

static bool has_any(const struct wm_node *node, uint64_t id)
{
    uint32_t high = wm_node_high(node);

    for (uint32_t i = 0; i < high; i++) {
        const struct wm_record *r = wm_record_at(&node->segment, i);

        if (is_there(wm_word_state(record_word_ordered(r))) && /* [D] */
            record_generation_acquire(r) == id &&
            record_role_acquire(r) == WM_ROLE_WORKER) {
            return true;
        }
    }
    return false;
}

/* The word is loaded before the look: if a worker enters meanwhile, or an end
 * is taken, the swap fails. */
bool wm_generation_note_gone(struct wm_node *node, uint64_t id)
{
    struct wm_generation_record *g = wm_generation_find(node, id);
    uint64_t word, master;

    if (g == NULL || wm_node_usable(node) != 0) {
        return false;
    }
    word = generation_word_acquire(g);
    while (wm_gen_state(word) == WM_GENERATION_EXITED &&
           wm_generation_word_is_of(g, word, id) && !has_any(node, id)) {
        master = generation_master_acquire(g);
        if (generation_swap_word(g, &word,
                                 wm_gen_with_state(word, WM_GENERATION_GONE))) {
            wm_generation_log(node, WM_LOG_GENERATION_GONE, id, word, master);
            return true;
        }
    }
    return false;
}

/* An end is taken by the swap that counts one more as given. So no end is given
 * twice [I4]; if the process dies after the swap, this end is not given. */
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

/* The id is found before this word is loaded, and again after it; so the word
 * is of that generation [F]. */
bool wm_generation_owes(const struct wm_node *node, uint64_t id)
{
    const struct wm_generation_record *g = wm_generation_find(node, id);
    uint64_t word = g == NULL ? 0 : generation_word_acquire(g);

    return g != NULL && wm_generation_word_is_of(g, word, id) &&
           wm_gen_owed(word) != 0;
}

/* ---------------------------------------------------------------- settle */

/* Aborts a generation that has begun and will have no worker: its master is
 * dead, or has itself made a newer one active. Until then the master may be
 * about to fork. */
static bool abort_stillborn(struct wm_node *node, uint32_t index,
                            const struct wm_generation_info *info,
                            uint64_t word, const struct wm_kin *kin)
{
    struct wm_generation_record *g = wm_generation_at(&node->segment, index);

    /* Safeguard: begun_waits_for_its_master */
    if (kin->active < info->id && !kin->is_dead) {
        return false;
    }
    if (!generation_swap_word(g, &word,
                              wm_gen_with_state(word, WM_GENERATION_ABORTED))) {
        return false;
    }
    wm_generation_log(node, WM_LOG_GENERATION_ABORTED, info->id, 0,
                      kin->master);
    return true;
}

/* A survivor closes a generation of others only if the master of that one will
 * start no more workers of it; and when a sweep has marked those that died, so
 * that their deaths are counted and owed before the end is. The caller's own
 * generation is closed by the worker that drains last, which gives its end as
 * well. */
uint32_t wm_generations_settle(struct wm_node *node, uint64_t own)
{
    struct wm_kin kept = {0};
    uint32_t changed = 0;

    for (uint32_t i = 0; i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t word, master;

        if (!wm_generation_read(node, i, &info, &word, &master) ||
            info.id == own) {
            continue;
        }
        if (info.state == WM_GENERATION_BEGUN) {
            changed += abort_stillborn(node, i, &info, word,
                                       wm_kin_of(node, master, &kept));
        } else if (info.state == WM_GENERATION_ACTIVE &&
                   /* Safeguard: current_generation_stays_open */
                   (wm_kin_of(node, master, &kept)->active > info.id ||
                    kept.is_dead)) {
            /* Safeguard: deaths_come_before_their_end */
            changed += close_over(node, info.id, false) == WM_CLOSED;
        }
        changed += wm_generation_note_gone(node, info.id);
    }
    return changed;
}
