/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Counts and snapshots: derived from the records, never stored.
 *
 * A pass over the records is not a moment: workers come and go behind it. Two
 * passes in a row that find the same workers in the same states, beats aside,
 * are: whatever changed between them would have had to change back, and a
 * join number never comes again. The number of passes is bounded; at the
 * bound the last one counts, and an exiting worker that was not alone in any
 * of them is not told that it is the last. */

#include "census.h"

#include "generation.h"

#define PASSES 8

struct tally {
    uint64_t digest;
    bool torn;        /* a record changed hands while it was read */
    uint32_t live;    /* of the generation itself, from here */
    uint32_t joining; /* on */
    uint32_t crashed;
    uint64_t previous_id;
    uint32_t previous;
    uint32_t next;
};

struct question {
    uint64_t id;
    uint64_t next_id;
    uint64_t now;
};

/* One record into 64 bits that are summed up: a strong mix, so that two
 * different tables have equal sums once in 2^64. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

/* Whether the fields that were read after `word` may be another occupant's. */
static bool is_torn(const struct wm_record *r, uint64_t word, uint64_t join)
{
    uint64_t again = atomic_load_explicit(&r->word, memory_order_acquire);

    return wm_word_state(again) < WM_JOINING ||
           wm_word_pid(again) != wm_word_pid(word) ||
           atomic_load_explicit(&r->join, memory_order_acquire) != join;
}

static void tally_record(const struct question *q, struct tally *t,
                         const struct wm_record *r, uint32_t slot,
                         uint64_t word)
{
    uint64_t generation =
        atomic_load_explicit(&r->generation, memory_order_acquire);
    uint64_t join = atomic_load_explicit(&r->join, memory_order_acquire);
    unsigned state = wm_word_state(word);

    uint32_t role = atomic_load_explicit(&r->role, memory_order_acquire);
    uint32_t overdue =
        atomic_load_explicit(&r->overdue_ms, memory_order_acquire);

    if (state == WM_CLAIMED || role != WM_ROLE_WORKER) {
        return;
    }
    t->torn = t->torn || is_torn(r, word, join);
    t->digest +=
        mix(wm_word_identity(word) + slot + mix(join + mix(generation)));
    if (state == WM_LIVE || state == WM_STALLED) {
        t->live += generation == q->id;
        /* Not "else": after a roll-back they are of an older one. */
        t->next += generation == q->next_id;
        if (generation < q->id && generation >= t->previous_id) {
            t->previous = generation == t->previous_id ? t->previous + 1 : 1;
            t->previous_id = generation;
        }
    } else if (generation != q->id) {
        return;
    } else if (state == WM_JOINING) {
        t->joining++;
    } else if (state == WM_CRASHED && !wm_word_overdue(word, q->now, overdue)) {
        t->crashed++;
    }
}

static void tally_pass(const struct wm_node *node, const struct question *q,
                       struct tally *t)
{
    uint32_t high = wm_node_high(node);

    *t = (struct tally){0};
    for (uint32_t i = 0; i < high; i++) {
        const struct wm_record *r = &node->segment.records[i];
        uint64_t word = atomic_load_explicit(&r->word, memory_order_acquire);

        if (wm_word_state(word) != WM_FREE) {
            tally_record(q, t, r, i, word);
        }
    }
}

static uint32_t mine(const struct tally *t, enum wm_count_kind kind)
{
    switch (kind) {
    case WM_COUNT_START:
        return t->live + t->crashed;
    case WM_COUNT_EXIT:
        return t->live + t->joining;
    default:
        return t->live;
    }
}

void wm_counts_of(const struct wm_node *node, uint64_t id,
                  enum wm_count_kind kind, struct wm_counts *counts)
{
    struct question q = {.id = id, .now = wm_now()};
    struct tally t, former;
    uint32_t most = 0;
    int pass = 0;

    q.next_id = wm_generation_successor(node, id, kind != WM_COUNT_START);
    tally_pass(node, &q, &t);
    do {
        former = t;
        if (mine(&former, kind) > most) {
            most = mine(&former, kind);
        }
        tally_pass(node, &q, &t);
    } while ((t.digest != former.digest || t.torn) && ++pass < PASSES);

    *counts = (struct wm_counts){
        .previous = (int32_t)t.previous,
        .mine = (int32_t)mine(&t, kind),
        .next = q.next_id != 0 ? (int32_t)t.next : -1,
        .unsettled = t.digest != former.digest || t.torn,
    };
    if (counts->unsettled && kind == WM_COUNT_EXIT && counts->mine == 1 &&
        most > 1) {
        counts->mine = (int32_t)most;
    }
    if (counts->previous == 0 && !wm_generation_has_older(node, id)) {
        counts->previous = -1;
    }
    counts->reason = q.next_id != 0 ? WM_REASON_RELOAD : WM_REASON_STOP;
}

int wm_generation_counts(const struct wm_node *node, uint64_t id,
                         struct wm_counts *counts)
{
    wm_counts_of(node, id, WM_COUNT_MASTER, counts);
    return counts->unsettled ? WM_UNSETTLED : 0;
}

static bool describe(const struct wm_node *node, uint32_t slot,
                     struct wm_worker_info *info, bool *torn)
{
    const struct wm_record *r = &node->segment.records[slot];
    const struct wm_record_cold *c = &node->segment.colds[slot];
    uint64_t word = atomic_load_explicit(&r->word, memory_order_acquire);
    unsigned state = wm_word_state(word);

    if (state < WM_JOINING || state > WM_CRASHED) {
        return false;
    }
    *info = (struct wm_worker_info){
        .generation =
            atomic_load_explicit(&r->generation, memory_order_acquire),
        .join = atomic_load_explicit(&r->join, memory_order_acquire),
        .joined_at = atomic_load_explicit(&c->joined_at, memory_order_acquire),
        .beat_at = wm_word_beat(word),
        .pid = (int32_t)wm_word_pid(word),
        .slot = slot,
        .state = state,
        .role = atomic_load_explicit(&r->role, memory_order_acquire),
        .overdue_ms =
            atomic_load_explicit(&r->overdue_ms, memory_order_acquire),
        .stalls =
            (uint32_t)atomic_load_explicit(&c->stalls, memory_order_acquire),
    };
    *torn = *torn || is_torn(r, word, info->join);
    return true;
}

/* One pass into the list, and what came of it. */
struct listing {
    uint64_t digest;
    bool torn; /* a record changed hands while it was read */
    bool full;
};

static struct listing list_pass(const struct wm_node *node,
                                struct wm_worker_info *list, uint32_t room,
                                uint32_t *count)
{
    struct listing found = {0};
    uint32_t high = wm_node_high(node), n = 0;

    for (uint32_t i = 0; i < high; i++) {
        struct wm_worker_info info;

        if (!describe(node, i, &info, &found.torn)) {
            continue;
        }
        found.digest += mix(wm_word(info.state, (uint32_t)info.pid, 0) + i +
                            mix(info.join + mix(info.generation)));
        if (n < room) {
            list[n++] = info;
        } else {
            found.full = true;
        }
    }
    *count = n;
    return found;
}

int wm_snapshot(const struct wm_node *node, struct wm_worker_info *list,
                uint32_t room, uint32_t *count)
{
    struct listing former, now = list_pass(node, list, room, count);
    bool settled;
    int pass = 0;

    do {
        former = now;
        now = list_pass(node, list, room, count);
        settled = now.digest == former.digest && !now.torn;
    } while (!settled && ++pass < PASSES);
    if (now.full) {
        return -ENOSPC;
    }
    return settled ? 0 : WM_UNSETTLED;
}
