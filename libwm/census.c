/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Counts and snapshots: derived from the records, never stored.
 *
 * A pass over the records does not show one moment: workers come and go behind
 * it. Two passes in a row do show one if they find the same everywhere:
 *
 *     first pass:    record 1 .... record n
 *     second pass:                            record 1 .... record n
 *                                           ^
 *     each record stayed as it was found from its place in the first pass to
 *     its place in the second, and so it was at the moment ^ between the two.
 *
 * "The same" is state, pid and join number, without the beat. It needs an
 * argument that equal findings mean an unchanged record. Let J be the load of
 * the join number and W that of the word: the first pass loads J1 before W1,
 * the second W2 before J2.
 *
 * 1. A join number never comes again, and stays where a record is free. A
 *    joiner stores it before any other field [A]. So if J1 = J2, no other
 *    joiner has stored a field from J1 to J2. W1, W2 and all that was read
 *    beside them are what one occupant stored, which may have left since.
 * 2. Within one joining no state comes back, but for LIVE and STALLED, which
 *    count alike. So if W1 and W2 have the same state, it was so in between.
 * 3. The two passes must not load in the same order. If both loaded the word
 *    first, the first pass might find the word of one occupant and the number
 *    of the next, with the same pid and state. That would agree with the next
 *    one's own word in the second pass, and the count would miss the time in
 *    between, when the slot was free.
 * 4. A free record is compared as well: its number tells whether a worker came
 *    and went.
 * 5. A record that is being claimed shows no number yet, and the same pid might
 *    have claimed it twice. A claim carries a time, read by a joiner that had
 *    found the record unclaimed. If that time was over when the count began, so
 *    was that look; and if W1 found the same pid, it found the same claim
 *    (protocol.md, "Counting"). A younger claim agrees with nothing.
 *
 * The number of such pairs is bounded, so that a count is wait-free. At the
 * bound the last pass counts, and the count is told as unsettled; and if any of
 * the passes saw another worker, no worker is told that it is the last [I6]. */

#include "census.h"

#include "kin.h"
#include "process.h"
#include "record.h"

/* Pairs of passes. A pair fails only if a worker came or went during it; if a
 * storm of joins lasts over all five, the count is told as unsettled. */
#define PAIRS 5

/* The findings of a pass, folded into two numbers. Records of even and of odd
 * slots are folded apart, so that one multiplication does not wait for
 * another. */
struct digest {
    uint64_t half[2];
};

/* The findings of a count's second pass. */
struct tally {
    struct digest digest;
    uint32_t live;    /* these three are of */
    uint32_t joining; /* the generation itself */
    uint32_t crashed;
    uint32_t untold; /* of the live and the crashed */
    uint64_t previous_id;
    uint32_t previous;
    uint32_t next;
};

/* A count's question: the generation, the one that takes over from it, and when
 * it was asked, before the first pass. */
struct question {
    uint64_t id;
    uint64_t next_id;
    uint64_t now;
};

/* Folds a record in: state, pid and join number, as a digit of a number to a
 * large odd base. */
static inline void fold(uint64_t *half, uint64_t word, uint64_t join)
{
    /* Safeguard: join_number_is_compared */
    *half = *half * UINT64_C(0xd6e8feb86659fd93) + wm_word_digit(word, join);
}

/* Folds a record in, in the second of two passes. A claim of `now`, which was
 * read before the first, or of a later time may be another one than the first
 * pass found: it agrees with nothing. */
static inline void fold_last(uint64_t *half, uint64_t word, uint64_t join,
                             uint64_t now)
{
    fold(half, word, join);
    /* Safeguard: young_claim_agrees_with_nothing */
    if (__builtin_expect(wm_word_state(word) == WM_CLAIMED, 0) &&
        (now == 0 || wm_word_age(word, now) <= 0)) {
        (*half)++;
    }
}

/* Reads a record as the first of two passes does: the number, then the word. */
static inline void fold_join_first(uint64_t *half, const struct wm_record *r,
                                   uint64_t now)
{
    uint64_t join = record_join_acquire(r);

    (void)now;
    fold(half, record_word_acquire(r), join);
}

/* Reads a record as the second does: the word, then the number. */
static inline void fold_join_last(uint64_t *half, const struct wm_record *r,
                                  uint64_t now)
{
    uint64_t word = record_word_acquire(r);

    fold_last(half, word, record_join_acquire(r), now);
}

/* Inlined with each of the two, so that a pass has no call in its loop. */
typedef void fold_fn(uint64_t *half, const struct wm_record *r, uint64_t now);

/* A pass that reads only the fields that a digest needs. */
static inline struct digest digest_pass(const struct wm_node *node,
                                        fold_fn *fold_record, uint64_t now)
{
    const size_t stride = node->segment.geometry.record_stride;
    const struct wm_record *r = node->segment.records;
    uint32_t high = wm_node_high(node), i = 0;
    struct digest d = {{0, 0}};

    for (; i + 1 < high; i += 2) {
        fold_record(&d.half[0], r, now);
        r = wm_record_after(r, stride);
        fold_record(&d.half[1], r, now);
        r = wm_record_after(r, stride);
    }
    if (i < high) {
        fold_record(&d.half[0], r, now);
    }
    return d;
}

/* Different findings have the same digest once in 2^64 (protocol.md, "Costs and
 * limits"). */
static bool is_same(const struct digest *a, const struct digest *b)
{
    return a->half[0] == b->half[0] && a->half[1] == b->half[1];
}

/* Whether the heartbeat of a crashed worker has expired. The dead beat no more,
 * so the clock need not be read again. */
static inline bool has_expired(uint64_t word, uint64_t now, uint32_t overdue)
{
    return wm_word_overdue(word, now, overdue) ||
           /* Safeguard: beat_ahead_of_a_crash_has_expired */
           wm_beat_leads(word, now, overdue);
}

/* Counts one record, and reads it as the second pass does. All fields are
 * loaded before it is known whether they matter, since a branch in between
 * costs more. */
static inline __attribute__((always_inline)) void
tally_record(const struct question *q, struct tally *t,
             const struct wm_record *r, unsigned half)
{
    uint64_t word = record_word_acquire(r);
    uint64_t generation = record_generation_acquire(r);
    uint32_t role = record_role_acquire(r);
    unsigned state = wm_word_state(word);
    uint32_t overdue = record_overdue_ms_acquire(r);
    /* Pairs with publish(): a process that has seen a field of another occupant
     * sees that one's number. */
    uint64_t join = record_join_acquire(r);

    fold_last(&t->digest.half[half], word, join, q->now);
    /* Safeguard: helpers_do_not_count */
    if (role != WM_ROLE_WORKER) {
        return;
    }
    if (state == WM_LIVE || state == WM_STALLED) {
        if (generation == q->id) {
            t->live++;
            return;
        }
        /* Not "else": after a roll-back the next generation is an older one,
         * and may be the previous one as well. */
        t->next += generation == q->next_id;
        if (generation < q->id && generation >= t->previous_id) {
            t->previous = generation == t->previous_id ? t->previous + 1 : 1;
            t->previous_id = generation;
        }
    } else if (generation != q->id) {
        return;
    } else if (state == WM_JOINING) {
        t->joining++;
    } else if (state == WM_CRASHED && !has_expired(word, q->now, overdue)) {
        t->crashed++;
    }
}

/* A second pass, which counts. Each round takes two records, one for each half
 * of the digest. The question is copied, so that the compiler keeps it in
 * registers over the loads. */
static struct tally tally_pass(const struct wm_node *node,
                               const struct question *question)
{
    const size_t stride = node->segment.geometry.record_stride;
    const struct wm_record *r = node->segment.records;
    const struct question q = *question;
    uint32_t high = wm_node_high(node), i = 0;
    struct tally t = {0};

    for (; i + 1 < high; i += 2) {
        tally_record(&q, &t, r, 0);
        r = wm_record_after(r, stride);
        tally_record(&q, &t, r, 1);
        r = wm_record_after(r, stride);
    }
    if (i < high) {
        tally_record(&q, &t, r, 0);
    }
    return t;
}

/* Counts the workers of a generation that serve, or have crashed just now,
 * before their start was given.
 * It runs between the two passes: a worker says so before it turns LIVE, and
 * the passes find whether that or its join number changes; it takes that back
 * under the lock, as its own start's count is asked for. */
static uint32_t untold_pass(const struct wm_node *node,
                            const struct question *q)
{
    const size_t stride = node->segment.geometry.record_stride;
    const struct wm_record *r = node->segment.records;
    uint32_t high = wm_node_high(node), untold = 0;

    for (uint32_t i = 0; i < high; i++, r = wm_record_after(r, stride)) {
        uint64_t word = record_word_acquire(r);
        unsigned state = wm_word_state(word);

        untold +=
            (state == WM_LIVE || state == WM_STALLED ||
             (state == WM_CRASHED &&
              !has_expired(word, q->now, record_overdue_ms_acquire(r)))) &&
            record_generation_acquire(r) == q->id &&
            record_role_acquire(r) == WM_ROLE_WORKER && record_is_untold(r);
    }
    return untold;
}

/* n_mine, by the kind of question. A start leaves out workers whose start is
 * still to be given, so that the first one is told 1; it also counts crashed
 * workers whose heartbeat has not expired: their places are not free yet, and
 * this start may replace one. An exit also counts workers that are joining: no
 * worker is the last while another has joined. */
static uint32_t mine(const struct tally *t, enum wm_count_kind kind)
{
    switch (kind) {
    case WM_COUNT_START:
        /* Another look's `untold` may be larger, where the passes differ. */
        return t->live + t->crashed > t->untold
                   ? t->live + t->crashed - t->untold
                   : 0;
    case WM_COUNT_EXIT:
        return t->live + t->joining;
    default:
        return t->live;
    }
}

/* Looks at the generations first, and at the records after that; the next count
 * tells of a successor that begins meanwhile. The passes show one moment of the
 * records. The generations may be those of a moment before; that changes the
 * name of what is told, and no number. */
void wm_counts_of(const struct wm_node *node, uint64_t id,
                  enum wm_count_kind kind, struct wm_counts *counts)
{
    struct question q = {.id = id, .now = wm_now()};
    struct digest first;
    struct tally t;
    uint32_t most = 0, untold = 0;
    int pair = 0;

    q.next_id = wm_generation_successor(node, id, kind != WM_COUNT_START);
    do {
        first = digest_pass(node, fold_join_first, q.now);
        if (kind == WM_COUNT_START) {
            untold = untold_pass(node, &q);
        }
        t = tally_pass(node, &q);
        /* Safeguard: untold_start_is_not_counted */
        t.untold = untold;
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
    /* Safeguard: unsettled_exit_is_not_the_last */
    if (counts->unsettled && kind == WM_COUNT_EXIT && counts->mine == 1 &&
        most > 1) {
        counts->mine = (int32_t)most;
    }
    if (counts->previous == 0 && !wm_generation_has_older(node, id)) {
        counts->previous = -1;
    }
    counts->reason = q.next_id != 0 ? WM_REASON_RELOAD : WM_REASON_STOP;
}

/* Counts for a look from outside: there is no exit to be careful about, and the
 * caller is told if the count could not settle. */
int wm_generation_counts(const struct wm_node *node, uint64_t id,
                         struct wm_counts *counts)
{
    WM_REQUIRE(node);
    wm_counts_of(node, id, WM_COUNT_MASTER, counts);
    return counts->unsettled ? WM_UNSETTLED : 0;
}

/* Describes a record for the list, if it has a worker. All that is written here
 * is loaded after the number and the word of this pass, and before those of the
 * next. */
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

/* The caller's list, by the size of its elements. */
struct list {
    void *at;
    uint32_t element;
    uint32_t room;
    uint32_t count; /* written */
    bool full;      /* there was no room for one more */
};

/* A first pass that writes into the list, which then holds the findings of the
 * last such pass. If the caller is of this very version, as is usual, its
 * elements are written in place. All that the loop needs is in variables, so
 * that it need not load them again after each atomic. */
static struct digest list_pass(const struct wm_node *node, struct list *l)
{
    const size_t stride = node->segment.geometry.record_stride;
    const struct wm_record *r = node->segment.records;
    const uint32_t high = wm_node_high(node), element = l->element;
    const bool is_ours = element == sizeof(struct wm_worker_info);
    struct wm_worker_info other, *info;
    char *at = l->at, *const end = wm_element_at(l->at, element, l->room);
    struct digest d = {{0, 0}};

    l->full = false;
    for (uint32_t i = 0; i < high; i++, r = wm_record_after(r, stride)) {
        uint64_t join = record_join_acquire(r);
        uint64_t word = record_word_acquire(r);

        fold(&d.half[i % 2], word, join);
        info = is_ours && at != end ? (void *)at : &other;
        if (!describe(r, word, join, info)) {
            continue;
        }
        if (__builtin_expect(at == end, 0)) {
            l->full = true;
            continue;
        }
        info->slot = i;
        if (!is_ours) {
            wm_element_write(at, element, info, sizeof(other));
        }
        at += element;
    }
    l->count = (uint32_t)((size_t)(at - (char *)l->at) / element);
    return d;
}

/* The first pass of a pair fills the list in, and the second proves it. All
 * that is read of a record beside its word is read between J1 and J2 of the
 * argument above. */
int wm_snapshot(const struct wm_node *node, struct wm_worker_info *list,
                uint32_t element, uint32_t room, uint32_t *count)
{
    WM_REQUIRE(node);

    struct list l = {.at = list, .element = element, .room = room};
    struct digest first, second;
    uint64_t now = 0; /* the first pair takes every claim for a young one */
    int pair = 0;
    int error = wm_element_check(element, WM_LEAST(wm_worker_info, stalls));

    if (error != 0) {
        return error;
    }
    for (;;) {
        first = list_pass(node, &l);
        second = digest_pass(node, fold_join_last, now);
        if (is_same(&second, &first) || ++pair == PAIRS) {
            break;
        }
        now = wm_now();
    }
    *count = l.count;
    if (l.full) {
        return -ENOSPC;
    }
    return is_same(&second, &first) ? 0 : WM_UNSETTLED;
}
