/* SPDX-License-Identifier: Apache-2.0 */

/* Counts: how many workers run, as a callback sees them. A count takes pairs of
 * passes until two agree (digest.h); then it was so at one moment, and the
 * numbers are of that moment.
 *
 * Three things are no part of that moment, and need none:
 *
 * - The generations are looked at before the records, and tell which one takes
 *   over. A successor that begins meanwhile is told of by the next count.
 * - A start's count leaves out workers whose own start was not given yet; how
 *   many they are is counted between the two passes.
 * - The time, by which a crashed worker's heartbeat has expired or not, is read
 *   once, before the first pass. */

#include "census.h"

#include "digest.h"
#include "kin.h"
#include "process.h"
#include "record.h"

/* The findings of a count's second pass. */
struct tally {
    struct wm_digest digest;
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

/* Whether the heartbeat of a crashed worker has expired, and its replacement
 * takes its place: from then on it counts in no start. The dead beat no more,
 * so the clock need not be read again, as it is for a living one whose beat
 * lies ahead (record.h). */
static inline bool has_expired(uint64_t word, uint64_t now, uint32_t overdue)
{
    uint32_t limit = wm_limit_ms(overdue);

    return wm_word_overdue(word, now, limit) ||
           /* Safeguard: beat_ahead_of_a_crash_has_expired */
           wm_beat_leads(word, now, limit);
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

    bool serves = state == WM_LIVE || state == WM_STALLED;

    wm_fold(&t->digest.half[half], word, join);
    if (!serves) {
        wm_fold_claim(&t->digest.half[half], word, q->now);
    }
    /* Safeguard: helpers_do_not_count */
    if (role != WM_ROLE_WORKER) {
        return;
    }
    if (serves) {
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
 * before their start was given. It runs between the two passes: each worker has
 * said so since it joined, and the passes find whether its state or its join
 * number changes; it takes that back just before its own start's count, under
 * the lock that orders the starts. */
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
    struct wm_digest first;
    struct tally t;
    uint32_t most = 0, untold = 0;
    int pair = 0;

    q.next_id = wm_generation_successor(node, id, kind == WM_COUNT_EXIT);
    do {
        first = wm_digest_pass(node, wm_fold_join_first, q.now);
        if (kind == WM_COUNT_START) {
            untold = untold_pass(node, &q);
        }
        t = tally_pass(node, &q);
        /* Safeguard: untold_start_is_not_counted */
        t.untold = untold;
        if (mine(&t, kind) > most) {
            most = mine(&t, kind);
        }
    } while (!wm_digest_is_same(&t.digest, &first) && ++pair < WM_PAIRS);

    *counts = (struct wm_counts){
        .previous = (int32_t)t.previous,
        .mine = (int32_t)mine(&t, kind),
        .next = q.next_id != 0 ? (int32_t)t.next : -1,
        .unsettled = !wm_digest_is_same(&t.digest, &first),
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
