/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The life of a generation.
 *
 *   BEGUN -> ACTIVE     the first worker has joined
 *   ACTIVE -> EXITED    nobody is left: a spell is over, its end is owed
 *   EXITED -> ACTIVE    a late or restarted worker opens another spell
 *   BEGUN -> ABORTED    there will be no worker; a late one revives it
 *
 * All that is contended lies in the generation's word, and a joiner changes
 * that word after it has published its record. Hence a closer, which loads
 * the word, then looks at the records, then swaps that very value, can never
 * close over a worker: a worker that it did not see has changed the word
 * since, or finds it EXITED and opens a new spell. */

#include "generation.h"

#include "log.h"
#include "process.h"

#include <stdlib.h>

static uint64_t load_word(const struct wm_generation_record *record)
{
    return atomic_load_explicit(&record->word, memory_order_acquire);
}

/* Acquire of what this replaces, release of what the caller did before. */
static bool swap_word(struct wm_generation_record *record, uint64_t *from,
                      uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(
        &record->word, from, to, memory_order_acq_rel, memory_order_acquire);
}

static void log_state(const struct wm_node *node, enum wm_log_kind kind,
                      uint64_t id, uint64_t word, uint64_t master)
{
    wm_log_append(node, kind, id, wm_gen_spell(word), wm_ident_pid(master),
                  WM_NO_SLOT);
}

static uint64_t gen_word_with_state(uint64_t word, unsigned state)
{
    return wm_gen_word(state, wm_gen_spell(word), wm_gen_given(word),
                       wm_gen_version(word));
}

static bool is_begun(uint64_t word)
{
    return wm_gen_state(word) >= WM_GENERATION_BEGUN &&
           wm_gen_state(word) <= WM_GENERATION_ABORTED;
}

/* Whether a word that was loaded from the record is generation id's. The id is
 * stored before the word of its life, and a word never comes again: if the id
 * is found after the word, a swap from that very word is a swap of it. */
static bool word_is_of(const struct wm_generation_record *record, uint64_t word,
                       uint64_t id)
{
    return is_begun(word) &&
           atomic_load_explicit(&record->id, memory_order_acquire) == id;
}

bool wm_generation_read(const struct wm_node *node, uint32_t index,
                        struct wm_generation_info *info, uint64_t *word,
                        uint64_t *master)
{
    const struct wm_generation_record *g = &node->segment.generations[index];
    uint64_t before, after = load_word(g);

    /* Bounded: a record that changes eight times meanwhile is being joined in
     * a storm, and joins leave these fields alone. */
    for (int look = 0; look < 8; look++) {
        before = after;
        if (!is_begun(before)) {
            return false;
        }
        info->id = atomic_load_explicit(&g->id, memory_order_acquire);
        *master = atomic_load_explicit(&g->master, memory_order_acquire);
        info->reason = atomic_load_explicit(&g->reason, memory_order_acquire);
        info->deaths = wm_deaths_count(
            atomic_load_explicit(&g->deaths, memory_order_acquire));
        info->begun_at =
            atomic_load_explicit(&g->begun_at, memory_order_acquire);
        after = load_word(g);
        if (after == before) {
            break;
        }
    }

    if (index != info->id % node->segment.geometry.generations) {
        return false; /* scribbled over */
    }
    info->state = wm_gen_state(before);
    info->spell = wm_gen_spell(before);
    info->exits_given = wm_gen_given(before);
    info->master = (int32_t)wm_ident_pid(*master);
    if (word != NULL) {
        *word = before;
    }
    return true;
}

struct wm_generation_record *wm_generation_find(const struct wm_node *node,
                                                uint64_t id)
{
    uint32_t index = (uint32_t)(id % node->segment.geometry.generations);
    struct wm_generation_record *g = &node->segment.generations[index];

    return id != 0 && word_is_of(g, load_word(g), id) ? g : NULL;
}

uint32_t wm_generations_used(const struct wm_node *node)
{
    uint64_t newest = atomic_load_explicit(
        &node->segment.header->next_generation, memory_order_acquire);
    uint32_t count = node->segment.geometry.generations;

    return newest < count ? (uint32_t)newest + 1 : count;
}

static bool master_dead(uint64_t master)
{
    return wm_process_dead(master, 0, WM_PROOF_FULL);
}

/* The newest generation of this master that was not aborted; with `active`,
 * the newest that has or had workers. 0: none. */
static uint64_t newest_of(const struct wm_node *node, uint64_t master,
                          bool active)
{
    uint64_t newest = 0;

    for (uint32_t i = 0; i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t m;

        if (wm_generation_read(node, i, &info, NULL, &m) && m == master &&
            info.state != WM_GENERATION_ABORTED && info.id > newest &&
            (!active || info.spell > 0)) {
            newest = info.id;
        }
    }
    return newest;
}

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
        (!need && (state == WM_GENERATION_BEGUN || wm_gen_owed(word) != 0)) ||
        !wm_generation_read(node, index, &info, NULL, &master)) {
        return false;
    }
    return newest_of(node, master, false) != info.id || master_dead(master);
}

static void fill(struct wm_generation_record *g, uint64_t id, uint32_t reason,
                 uint64_t claimed)
{
    atomic_store_explicit(&g->id, id, memory_order_release);
    atomic_store_explicit(&g->master, wm_self_ident(), memory_order_release);
    atomic_store_explicit(&g->begun_at, wm_now(), memory_order_release);
    atomic_store_explicit(&g->reason, reason, memory_order_release);
    atomic_store_explicit(&g->deaths, wm_deaths(id, 0), memory_order_release);
    atomic_store_explicit(&g->replaced, 0, memory_order_release);
    atomic_store_explicit(&g->joined, 0, memory_order_release);
    atomic_store_explicit(
        &g->word,
        wm_gen_word(WM_GENERATION_BEGUN, 0, 0, wm_gen_version(claimed) + 1),
        memory_order_release);
}

/* Claims the record that number `id` falls on, if it may be reused. */
static bool claim(struct wm_node *node, uint64_t id, uint32_t reason, bool need)
{
    uint32_t index = (uint32_t)(id % node->segment.geometry.generations);
    struct wm_generation_record *g = &node->segment.generations[index];
    uint64_t word = load_word(g);
    uint64_t claimed =
        wm_gen_claimed(WM_GENERATION_CLAIMED, wm_ident_pid(wm_self_ident()),
                       wm_gen_version(word) + 1);
    uint32_t lost = wm_gen_owed(word);

    if (!is_reusable(node, index, word, need) ||
        !swap_word(g, &word, claimed)) {
        return false;
    }
    atomic_fetch_add_explicit(&node->segment.header->exits_lost, lost,
                              memory_order_relaxed);
    fill(g, id, reason, claimed);
    return true;
}

static uint32_t begin_reason(const struct wm_node *node)
{
    if (node->begun != 0) {
        return WM_REASON_RELOAD;
    }
    return node->adopted ? WM_REASON_UPGRADE : WM_REASON_START;
}

/* A server that daemonizes begins its first generation in a process that is
 * gone by now: it is this one's, who goes on, also before a worker tells so. */
static void inherit_begun(struct wm_node *node)
{
    struct wm_generation_record *g = wm_generation_find(node, node->begun);
    uint64_t master = node->begun_by, self = wm_self_ident();

    if (g != NULL && node->forker == master && master != self &&
        wm_gen_state(load_word(g)) == WM_GENERATION_BEGUN &&
        atomic_compare_exchange_strong_explicit(&g->master, &master, self,
                                                memory_order_acq_rel,
                                                memory_order_relaxed) &&
        wm_generation_find(node, node->begun) != g) {
        /* It lives on, and has begun another in this record: that is its. */
        atomic_compare_exchange_strong_explicit(&g->master, &self, master,
                                                memory_order_release,
                                                memory_order_relaxed);
    }
}

int wm_generation_begin(struct wm_node *node, uint64_t *id, uint32_t *reason)
{
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
        number = atomic_fetch_add_explicit(&h->next_generation, 1,
                                           memory_order_relaxed) +
                 1;
        if (number != 0 && claim(node, number, why, i >= records)) {
            node->begun = number;
            node->begun_by = wm_self_ident();
            atomic_store_explicit(&node->forked, false, memory_order_relaxed);
            *id = number;
            log_state(node, WM_LOG_GENERATION_BEGUN, number, 0, node->begun_by);
            if (reason != NULL) {
                *reason = why;
            }
            return 0;
        }
    }
    return -ENOBUFS;
}

int wm_generation_abandon(struct wm_node *node, uint64_t id)
{
    struct wm_generation_record *g = wm_generation_find(node, id);
    uint64_t word;

    if (g == NULL || node->begun != id ||
        atomic_load_explicit(&node->forked, memory_order_relaxed) ||
        node->begun_by != wm_self_ident() || wm_node_usable(node) != 0) {
        return 0;
    }
    word = load_word(g);
    if (wm_gen_state(word) == WM_GENERATION_BEGUN && word_is_of(g, word, id) &&
        swap_word(g, &word, gen_word_with_state(word, WM_GENERATION_ABORTED))) {
        log_state(node, WM_LOG_GENERATION_ABORTED, id, 0, node->begun_by);
        return WM_CLOSED;
    }
    return 0;
}

/* ----------------------------------------------------------------- enter */

static void note_first_active(struct wm_node *node, uint64_t id)
{
    _Atomic uint64_t *first = &node->segment.header->first_active;
    uint64_t seen = atomic_load_explicit(first, memory_order_relaxed);

    while ((seen == 0 || seen > id) &&
           !atomic_compare_exchange_weak_explicit(
               first, &seen, id, memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* The how many'th worker of the spell this is: the first of a new spell counts
 * from 1 again, whichever it is that comes first to here. */
static uint32_t take_ordinal(struct wm_generation_record *record,
                             uint32_t spell)
{
    const uint32_t mask = (UINT32_C(1) << 20) - 1;
    uint32_t seen = atomic_load_explicit(&record->joined, memory_order_relaxed);
    uint32_t next;

    do {
        bool is_same = seen >> 20 == (spell & 0xfffu);

        next = spell << 20 | ((is_same ? seen & mask : 0) + 1);
    } while (!atomic_compare_exchange_weak_explicit(&record->joined, &seen,
                                                    next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return next & mask;
}

bool wm_generation_enter(struct wm_node *node,
                         struct wm_generation_record *record,
                         struct wm_worker *worker)
{
    uint64_t master = node->forker != 0 ? node->forker : wm_self_ident();
    uint64_t word = load_word(record), next;
    bool open;

    do {
        uint32_t spell = wm_gen_spell(word);

        if (!word_is_of(record, word, worker->generation)) {
            return false;
        }
        open = wm_gen_state(word) == WM_GENERATION_ACTIVE;
        if (!open) {
            spell++;
        }
        worker->spell = spell & WM_SPELL_MASK;
        next = wm_gen_word(WM_GENERATION_ACTIVE, spell, wm_gen_given(word),
                           wm_gen_version(word) + 1);
    } while (!swap_word(record, &word, next));

    /* From here on the record is this generation's as long as we are in it.
     * The process that forked this one is the master, whoever began the
     * generation (a server that daemonizes begins it in a process that is
     * gone by now). */
    atomic_store_explicit(&record->master, master, memory_order_release);
    note_first_active(node, worker->generation);
    worker->ordinal = take_ordinal(record, worker->spell);
    if (!open) {
        /* Who died in a former spell is not replaced in this one. */
        atomic_store_explicit(&record->replaced,
                              wm_deaths_count(atomic_load_explicit(
                                  &record->deaths, memory_order_relaxed)),
                              memory_order_relaxed);
        log_state(node, WM_LOG_GENERATION_ACTIVE, worker->generation, next,
                  master);
    }
    return true;
}

/* ----------------------------------------------------------------- close */

/* Whether a worker of this generation is joining, live, or stalled with its
 * process alive. Sequentially consistent loads: of two workers that drain at
 * once and each look for the other, one at least must see the other drained
 * (the drain is a sequentially consistent swap). */
static bool has_workers(const struct wm_node *node, uint64_t id)
{
    uint32_t high = wm_node_high(node);

    for (uint32_t i = 0; i < high; i++) {
        struct wm_record *r = &node->segment.records[i];
        uint64_t word = atomic_load_explicit(&r->word, memory_order_seq_cst);
        unsigned state = wm_word_state(word);
        uint32_t pid = wm_word_pid(word);
        uint64_t ident;

        if ((state != WM_JOINING && state != WM_LIVE && state != WM_STALLED) ||
            atomic_load_explicit(&r->generation, memory_order_acquire) != id ||
            atomic_load_explicit(&r->role, memory_order_acquire) !=
                WM_ROLE_WORKER) {
            continue;
        }
        ident = atomic_load_explicit(&node->segment.colds[i].ident,
                                     memory_order_acquire);
        if (wm_ident_pid(ident) != pid) {
            ident = wm_ident(pid, 0);
        }
        if (!wm_process_dead(ident, wm_word_beat(word), WM_PROOF_FULL)) {
            return true;
        }
    }
    return false;
}

int wm_generation_close(struct wm_node *node, uint64_t id)
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
    word = load_word(g);
    while (wm_gen_state(word) == WM_GENERATION_ACTIVE &&
           word_is_of(g, word, id) && !has_workers(node, id)) {
        /* Before the swap: after it the record may be another's. */
        uint64_t master =
            atomic_load_explicit(&g->master, memory_order_acquire);

        if (swap_word(g, &word,
                      gen_word_with_state(word, WM_GENERATION_EXITED))) {
            log_state(node, WM_LOG_GENERATION_EXITED, id, word, master);
            return WM_CLOSED;
        }
    }
    return 0;
}

int wm_generation_take_exit(struct wm_node *node, uint64_t id, uint32_t *spell)
{
    struct wm_generation_record *g = wm_generation_find(node, id);
    uint64_t word, next;

    if (g == NULL || wm_node_usable(node) != 0) {
        return 0;
    }
    word = load_word(g);
    do {
        if (!word_is_of(g, word, id) || wm_gen_owed(word) == 0) {
            return 0;
        }
        next = wm_gen_word(wm_gen_state(word), wm_gen_spell(word),
                           wm_gen_given(word) + 1, wm_gen_version(word));
    } while (!swap_word(g, &word, next));
    if (spell != NULL) {
        *spell = wm_gen_given(next);
    }
    return 1;
}

/* ---------------------------------------------------------------- settle */

static bool abort_stillborn(struct wm_node *node, uint32_t index,
                            const struct wm_generation_info *info,
                            uint64_t word, uint64_t master)
{
    struct wm_generation_record *g = &node->segment.generations[index];

    if (newest_of(node, master, true) < info->id && !master_dead(master)) {
        return false;
    }
    if (!swap_word(g, &word,
                   gen_word_with_state(word, WM_GENERATION_ABORTED))) {
        return false;
    }
    log_state(node, WM_LOG_GENERATION_ABORTED, info->id, 0, master);
    return true;
}

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
                   (newest_of(node, master, true) > info.id ||
                    master_dead(master))) {
            changed += wm_generation_close(node, info.id) == WM_CLOSED;
        }
    }
    return changed;
}

/* ------------------------------------------------------------- relatives */

uint64_t wm_generation_successor(const struct wm_node *node, uint64_t id,
                                 bool ending)
{
    const struct wm_generation_record *g = wm_generation_find(node, id);
    uint64_t own =
        g == NULL ? 0 : atomic_load_explicit(&g->master, memory_order_acquire);
    uint64_t newer = 0, other = 0;

    ending = ending && g != NULL &&
             wm_gen_state(load_word(g)) != WM_GENERATION_BEGUN;
    for (uint32_t i = 0; i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t master;
        bool current;

        if (!wm_generation_read(node, i, &info, NULL, &master) ||
            info.id == id || info.state == WM_GENERATION_ABORTED ||
            (info.id > id && info.state == WM_GENERATION_EXITED)) {
            continue;
        }
        if (info.id > id ? newer != 0 && newer < info.id
                         : !ending || master == own || other > info.id) {
            continue; /* no better than what is known */
        }
        current = newest_of(node, master, false) == info.id;
        if (info.id > id) {
            if ((info.state == WM_GENERATION_ACTIVE ||
                 (info.state == WM_GENERATION_BEGUN && current)) &&
                !master_dead(master)) {
                newer = info.id;
            }
        } else if (current && !master_dead(master)) {
            other = info.id;
        }
    }
    return newer != 0 ? newer : other;
}

bool wm_generation_has_older(const struct wm_node *node, uint64_t id)
{
    uint64_t first = atomic_load_explicit(&node->segment.header->first_active,
                                          memory_order_relaxed);

    if (first != 0 && first < id) {
        return true;
    }
    for (uint32_t i = 0; i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t master;

        if (wm_generation_read(node, i, &info, NULL, &master) && info.id < id &&
            info.state != WM_GENERATION_ABORTED) {
            return true;
        }
    }
    return false;
}

bool wm_generation_rolled_back(const struct wm_node *node, uint64_t id)
{
    const struct wm_generation_record *g = wm_generation_find(node, id);

    for (uint32_t i = 0; g != NULL && i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t master;

        if (wm_generation_read(node, i, &info, NULL, &master) && info.id > id &&
            master != atomic_load_explicit(&g->master, memory_order_acquire)) {
            return true;
        }
    }
    return false;
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = ((const struct wm_generation_info *)a)->id;
    uint64_t y = ((const struct wm_generation_info *)b)->id;

    return (x > y) - (x < y);
}

int wm_generations(const struct wm_node *node, struct wm_generation_info *list,
                   uint32_t room, uint32_t *count)
{
    uint32_t n = 0, written;

    for (uint32_t i = 0; i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t master;

        if (!wm_generation_read(node, i, &info, NULL, &master)) {
            continue;
        }
        if (n < room) {
            list[n] = info;
        }
        n++;
    }
    written = n < room ? n : room;
    if (written > 1) {
        qsort(list, written, sizeof(*list), by_id);
    }
    *count = n;
    return n > room ? -ENOSPC : 0;
}
