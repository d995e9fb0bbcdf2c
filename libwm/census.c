/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Counts and snapshots: derived from the records, never stored.
 *
 * A pass over the records is not a moment: workers come and go behind it. Two
 * passes that find the same workers in the same states, beats aside, are: each
 * record was so from its place in the first pass to that in the second, and
 * thus when the one ended and the other began.
 *
 * What makes that sure is the join number, which never comes again, and stays
 * where a record is free. The first pass reads it before the record's word, the
 * second after: where both find the same number, nobody else wrote any field
 * meanwhile (a joiner writes its number first), so that both words are of one
 * occupant, and so is whatever was read in between. And no worker comes back to
 * a state within one joining, but for LIVE and STALLED, which count alike.
 *
 * The number of such pairs is bounded; at the bound the last one counts, and an
 * exiting worker that was not alone in any of them is not told that it is the
 * last. */

#include "census.h"

#include "kin.h"
#include "process.h"
#include "record_fields.h"

#define PAIRS 5

/* What a pass found, without what it means: of all records, those of even and
 * those of odd slots, so that one multiplication does not wait for another. */
struct digest {
    uint64_t half[2];
};

struct tally {
    struct digest digest;
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

/* Folds a record in: state, pid and join number, as a digit of a number to a
 * large odd base: different tables have equal digests once in 2^64. */
static inline void fold(uint64_t *half, uint64_t word, uint64_t join)
{
    *half = *half * UINT64_C(0xd6e8feb86659fd93) + wm_word_digit(word, join);
}

/* In the second of two passes: one that is being claimed shows no number yet,
 * and so might be claimed anew by the same pid. It agrees with nothing. */
static inline void fold_last(uint64_t *half, uint64_t word, uint64_t join)
{
    fold(half, word, join);
    if (__builtin_expect(wm_word_state(word) == WM_CLAIMED, 0)) {
        (*half)++;
    }
}

/* As the first of two passes reads a record, and as the second does. */
static inline void fold_join_first(uint64_t *half, const struct wm_record *r)
{
    uint64_t join = record_join_acquire(r);

    fold(half, record_word_acquire(r), join);
}

static inline void fold_join_last(uint64_t *half, const struct wm_record *r)
{
    uint64_t word = record_word_acquire(r);

    fold_last(half, word, record_join_acquire(r));
}

typedef void fold_fn(uint64_t *half, const struct wm_record *r);

static inline struct digest digest_pass(const struct wm_node *node,
                                        fold_fn *fold_record)
{
    const struct wm_segment *s = &node->segment;
    const struct wm_record *r = s->records;
    uint32_t high = wm_node_high(node), i = 0;
    struct digest d = {{0, 0}};

    for (; i + 1 < high; i += 2) {
        fold_record(&d.half[0], r);
        r = wm_record_after(s, r);
        fold_record(&d.half[1], r);
        r = wm_record_after(s, r);
    }
    if (i < high) {
        fold_record(&d.half[0], r);
    }
    return d;
}

static bool is_same(const struct digest *a, const struct digest *b)
{
    return a->half[0] == b->half[0] && a->half[1] == b->half[1];
}

static inline void tally_record(const struct question *q, struct tally *t,
                                const struct wm_record *r, unsigned half)
{
    uint64_t word = record_word_acquire(r);
    uint64_t generation = record_generation_acquire(r);
    uint32_t role = record_role_acquire(r);
    unsigned state = wm_word_state(word);
    uint32_t overdue = record_overdue_ms_acquire(r);
    /* Pairs with publish(): who has seen another's field sees its number. */
    uint64_t join = record_join_acquire(r);

    fold_last(&t->digest.half[half], word, join);
    if (role != WM_ROLE_WORKER) {
        return;
    }
    if (state == WM_LIVE || state == WM_STALLED) {
        if (generation == q->id) {
            t->live++;
            return;
        }
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

/* As a second pass. */
static struct tally tally_pass(const struct wm_node *node,
                               const struct question *question)
{
    const struct wm_segment *s = &node->segment;
    const struct wm_record *r = s->records;
    const struct question q = *question;
    uint32_t high = wm_node_high(node), i = 0;
    struct tally t = {0};

    for (; i + 1 < high; i += 2) {
        tally_record(&q, &t, r, 0);
        r = wm_record_after(s, r);
        tally_record(&q, &t, r, 1);
        r = wm_record_after(s, r);
    }
    if (i < high) {
        tally_record(&q, &t, r, 0);
    }
    return t;
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
    struct digest first;
    struct tally t;
    uint32_t most = 0;
    int pair = 0;

    q.next_id = wm_generation_successor(node, id, kind != WM_COUNT_START);
    do {
        first = digest_pass(node, fold_join_first);
        t = tally_pass(node, &q);
        if (mine(&t, kind) > most) {
            most = mine(&t, kind);
        }
    } while (!is_same(&t.digest, &first) && ++pair < PAIRS);

    *counts = (struct wm_counts){
        .previous = (int32_t)t.previous,
        .mine = (int32_t)mine(&t, kind),
        .next = q.next_id != 0 ? (int32_t)t.next : -1,
        .unsettled = !is_same(&t.digest, &first),
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

/* A record for the list, if there is a worker. */
static inline bool describe(const struct wm_record *r, uint64_t word,
                            uint64_t join, struct wm_worker_info *info)
{
    unsigned state = wm_word_state(word);

    if (state < WM_JOINING || state > WM_CRASHED) {
        return false;
    }
    *info = (struct wm_worker_info){
        .generation = record_generation_acquire(r),
        .join = join,
        .joined_at = record_joined_at_acquire(r),
        .beat_at = wm_word_beat(word),
        .pid = (int32_t)wm_word_pid(word),
        .state = state,
        .role = record_role_acquire(r),
        .overdue_ms = record_overdue_ms_acquire(r),
        .stalls = wm_stalls_count(record_stalls_acquire(r)),
    };
    return true;
}

/* As a first pass, into the list; full: out, whether that had no room. */
static struct digest list_pass(const struct wm_node *node,
                               struct wm_worker_info *list, uint32_t room,
                               uint32_t *count, bool *full)
{
    const struct wm_record *r = node->segment.records;
    uint32_t high = wm_node_high(node), n = 0;
    struct digest d = {{0, 0}};

    *full = false;
    for (uint32_t i = 0; i < high;
         i++, r = wm_record_after(&node->segment, r)) {
        uint64_t join = record_join_acquire(r);
        uint64_t word = record_word_acquire(r);
        struct wm_worker_info none;

        fold(&d.half[i % 2], word, join);
        if (n == room) {
            *full = *full || describe(r, word, join, &none);
        } else if (describe(r, word, join, &list[n])) {
            list[n++].slot = i;
        }
    }
    *count = n;
    return d;
}

int wm_snapshot(const struct wm_node *node, struct wm_worker_info *list,
                uint32_t room, uint32_t *count)
{
    struct digest first, second;
    bool full;
    int pair = 0;

    do {
        first = list_pass(node, list, room, count, &full);
        second = digest_pass(node, fold_join_last);
    } while (!is_same(&second, &first) && ++pair < PAIRS);
    if (full) {
        return -ENOSPC;
    }
    return is_same(&second, &first) ? 0 : WM_UNSETTLED;
}
