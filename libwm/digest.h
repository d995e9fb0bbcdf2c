/* SPDX-License-Identifier: Apache-2.0 */

/* Two looks at all records that show one moment: counts and snapshots are
 * derived from the records, never stored.
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

#ifndef WM_DIGEST_H
#define WM_DIGEST_H

#include "node.h"
#include "record_fields.h"

/* Pairs of passes. A pair fails only if a worker came or went during it; if a
 * storm of joins lasts over all five, the count is told as unsettled. */
#ifndef WM_PAIRS
#define WM_PAIRS 5
#endif

/* The findings of a pass, folded into two numbers. Records of even and of odd
 * slots are folded apart, so that one multiplication does not wait for
 * another. */
struct wm_digest {
    uint64_t half[2];
};

/* Folds a record in: state, pid and join number, as a digit of a number to a
 * large odd base. */
static inline void wm_fold(uint64_t *half, uint64_t word, uint64_t join)
{
    /* Safeguard: join_number_is_compared */
    *half = *half * UINT64_C(0xd6e8feb86659fd93) + wm_word_digit(word, join);
}

/* Folds a claim in, in the second of two passes. One of `now`, which was read
 * before the first, or of a later time may be another one than the first pass
 * found: it agrees with nothing. */
static inline void wm_fold_claim(uint64_t *half, uint64_t word, uint64_t now)
{
    /* Safeguard: young_claim_agrees_with_nothing */
    if (__builtin_expect(wm_word_state(word) == WM_CLAIMED, 0) &&
        (now == 0 || wm_word_age(word, now) <= 0)) {
        (*half)++;
    }
}

/* Reads a record as the first of two passes does: the number, then the word. */
static inline void wm_fold_join_first(uint64_t *half, const struct wm_record *r,
                                      uint64_t now)
{
    uint64_t join = record_join_acquire(r);

    (void)now;
    wm_fold(half, record_word_acquire(r), join);
}

/* Reads a record as the second does: the word, then the number. */
static inline void wm_fold_join_last(uint64_t *half, const struct wm_record *r,
                                     uint64_t now)
{
    uint64_t word = record_word_acquire(r);

    wm_fold(half, word, record_join_acquire(r));
    wm_fold_claim(half, word, now);
}

/* Inlined with each of the two, so that a pass has no call in its loop. */
typedef void wm_fold_fn(uint64_t *half, const struct wm_record *r,
                        uint64_t now);

/* A pass that reads only the fields that a digest needs. */
static inline struct wm_digest wm_digest_pass(const struct wm_node *node,
                                              wm_fold_fn *fold_record,
                                              uint64_t now)
{
    const size_t stride = node->segment.geometry.record_stride;
    const struct wm_record *r = node->segment.records;
    uint32_t high = wm_node_high(node), i = 0;
    struct wm_digest d = {{0, 0}};

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
static inline bool wm_digest_is_same(const struct wm_digest *a,
                                     const struct wm_digest *b)
{
    return a->half[0] == b->half[0] && a->half[1] == b->half[1];
}

#endif
