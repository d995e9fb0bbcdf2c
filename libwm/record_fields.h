/* SPDX-License-Identifier: Apache-2.0 */

/* The fields of a worker's record, each with the orders that it is loaded and
 * stored with. Letters in brackets are the ordering guarantees of protocol.md;
 * "shown by" names a check of test/relacy, which fails with a weaker order.
 *
 * The identity of a record is all of it but word, stalls, untold and given:
 * which process joined, to which generation, and when. The joiner stores it
 * between the swaps to CLAIMED and to JOINING, and it stays until the next
 * occupant's claim. */

#ifndef WM_RECORD_FIELDS_H
#define WM_RECORD_FIELDS_H

#include "layout.h"
#include "word.h"

/* -------------------------------------------------------------- identity */

/* Loads acquire and stores release. So a load that returns anything of a new
 * occupant comes after that occupant's claim [A]: a later load of the word or
 * of the join number then returns the new occupant's, too. Shown by
 * facts_are_of_one_occupant. */
#define IDENTITY(record, type, field)                                          \
    static inline type record##_##field##_acquire(const struct wm_##record *r) \
    {                                                                          \
        return atomic_load_explicit(&r->field, memory_order_acquire);          \
    }                                                                          \
    static inline void record##_set_##field(struct wm_##record *r, type value) \
    {                                                                          \
        atomic_store_explicit(&r->field, value, memory_order_release);         \
    }

IDENTITY(record, uint64_t, generation)
IDENTITY(record, uint64_t, join)
IDENTITY(record, uint32_t, role)
IDENTITY(record, uint32_t, overdue_ms)
IDENTITY(record, uint64_t, joined_at)
IDENTITY(record_cold, uint64_t, ident)
IDENTITY(record_cold, uint64_t, spell)
IDENTITY(record_cold, uint64_t, drained_at)

#undef IDENTITY

/* Acquire: the join number that is loaded next is not of an earlier occupant
 * [A]. Shown by facts_are_of_one_occupant. */
static inline uint64_t record_untold_acquire(const struct wm_record *r)
{
    return atomic_load_explicit(&r->untold, memory_order_acquire);
}

/* The joiner stores it before it publishes JOINING. Release: a process that
 * finds it JOINING or in a later state finds it [B]. Shown by
 * facts_are_of_one_occupant. */
static inline void record_set_untold(struct wm_record *r, uint64_t join)
{
    atomic_store_explicit(&r->untold, join, memory_order_release);
}

/* The worker takes it back, unless the record is another worker's by now; under
 * the lock, if its start is given there. Release: a process that has the lock
 * next finds it gone [J]. Relaxed where it fails: there is nothing to see. */
static inline void record_take_untold(struct wm_record *r, uint64_t join)
{
    atomic_compare_exchange_strong_explicit(
        &r->untold, &join, 0, memory_order_release, memory_order_relaxed);
}

/* Whether the start of this record's occupant was not given. */
static inline bool record_is_untold(const struct wm_record *r)
{
    return record_untold_acquire(r) == record_join_acquire(r);
}

/* Relaxed: a worker reads a field that it has itself stored. */
static inline uint32_t record_own_overdue_ms(const struct wm_record *r)
{
    return atomic_load_explicit(&r->overdue_ms, memory_order_relaxed);
}

/* ------------------------------------------------------------------ word */

/* Acquire: all that is read of the record next is of this occupant, or of a
 * later one [A, B]; with a mark comes all that its sweeper saw [C]. Shown by
 * facts_are_of_one_occupant. */
static inline uint64_t record_word_acquire(const struct wm_record *r)
{
    return atomic_load_explicit(&r->word, memory_order_acquire);
}

/* Sequentially consistent, as record_swap_own() is: of two workers that drain
 * and then look for each other, at least one finds the other drained [D]. Shown
 * by of_two_that_drain_one_closes. */
static inline uint64_t record_word_ordered(const struct wm_record *r)
{
    return atomic_load_explicit(&r->word, memory_order_seq_cst);
}

/* Relaxed: a worker looks at its own word. No other process has stored the
 * fields that it reads afterwards, and a swap decides whether the word is still
 * the same. */
static inline uint64_t record_own_word(const struct wm_record *r)
{
    return atomic_load_explicit(&r->word, memory_order_relaxed);
}

/* A worker's or claimant's own change of state: CLAIMED, JOINING, LIVE,
 * DRAINING, FREE. Release publishes all that it stored before [B]; the swap is
 * sequentially consistent for the sake of the drain [D]. If it fails, it
 * acquires as record_word_acquire() does. Shown by
 * of_two_that_drain_one_closes. */
static inline bool record_swap_own(struct wm_record *r, uint64_t *from,
                                   uint64_t to)
{
    /* Safeguard: own_state_changes_by_a_swap */
    return atomic_compare_exchange_strong_explicit(
        &r->word, from, to, memory_order_seq_cst, memory_order_acquire);
}

/* A sweeper's mark: to STALLED, a crash or FREE; also the worker's own swap out
 * of STALLED. It acquires the word that it replaces, and releases the mark to
 * processes that load it [C]. Relaxed where it fails: the caller does not look
 * at the record any more, or only at the word. Shown by
 * mark_brings_what_it_rests_on. */
static inline bool record_swap_mark(struct wm_record *r, uint64_t *from,
                                    uint64_t to)
{
    /* Safeguard: mark_is_a_swap */
    return atomic_compare_exchange_strong_explicit(
        &r->word, from, to, memory_order_acq_rel, memory_order_relaxed);
}

/* Relaxed: a beat publishes nothing but itself. */
static inline bool record_swap_beat(struct wm_record *r, uint64_t *from,
                                    uint64_t to)
{
    /* Safeguard: beat_is_a_swap */
    return atomic_compare_exchange_strong_explicit(
        &r->word, from, to, memory_order_relaxed, memory_order_relaxed);
}

/* ---------------------------------------------------------------- stalls */

/* Acquire, and loaded before the word: a worker leaves STALLED before it counts
 * the stall [H]. Shown by stall_is_given_once. */
static inline uint64_t record_stalls_acquire(const struct wm_record *r)
{
    return atomic_load_explicit(&r->stalls, memory_order_acquire);
}

/* Relaxed: a worker reads its own count; a swap decides. */
static inline uint64_t record_own_stalls(const struct wm_record *r)
{
    return atomic_load_explicit(&r->stalls, memory_order_relaxed);
}

/* The claimant stores it. Release, as for the identity [A]. Shown by
 * facts_are_of_one_occupant. */
static inline void record_set_stalls(struct wm_record *r, uint64_t stalls)
{
    atomic_store_explicit(&r->stalls, stalls, memory_order_release);
}

/* Release: a reader of the new count finds the swap out of STALLED, too [H].
 * Relaxed where it fails: the caller looks at the value only. Shown by
 * stall_is_given_once. */
static inline bool record_swap_stalls(struct wm_record *r, uint64_t *from,
                                      uint64_t to)
{
    return atomic_compare_exchange_weak_explicit(
        &r->stalls, from, to, memory_order_release, memory_order_relaxed);
}

/* ----------------------------------------------------------------- given */

/* Acquire, and loaded first: the joiner stores it last of all, so all that is
 * read next is of the joining that it names, or of a later one [G]. Shown by
 * crash_is_of_one_occupant. */
static inline uint64_t record_cold_given_acquire(const struct wm_record_cold *c)
{
    return atomic_load_explicit(&c->given, memory_order_acquire);
}

/* The claimant stores it last. Release of all that it stored before [G]. Shown
 * by crash_is_of_one_occupant. */
static inline void record_cold_set_given(struct wm_record_cold *c,
                                         uint64_t given)
{
    atomic_store_explicit(&c->given, given, memory_order_release);
}

/* The mark that an event is given. Acquire: the fields that were read for the
 * event were loaded before the record can be another's; release: a process
 * that loads the mark comes after that [G]. Relaxed where it fails: the caller
 * gives nothing then. */
static inline bool record_cold_swap_given(struct wm_record_cold *c,
                                          uint64_t from, uint64_t to)
{
    /* Safeguard: given_is_marked_by_a_swap */
    return atomic_compare_exchange_strong_explicit(
        &c->given, &from, to, memory_order_acq_rel, memory_order_relaxed);
}

/* ------------------------------------------------------------------- end */

/* Relaxed: a value that names its joining, and is read by itself. A process
 * that finds the mark of a crash finds the end stored before it as well [C]. */
static inline uint64_t record_cold_end(const struct wm_record_cold *c)
{
    return atomic_load_explicit(&c->end, memory_order_relaxed);
}

/* Relaxed, as record_cold_end(); the claimant stores it. */
static inline void record_cold_set_end(struct wm_record_cold *c, uint64_t end)
{
    atomic_store_explicit(&c->end, end, memory_order_relaxed);
}

/* Relaxed, as record_cold_end(). */
static inline bool record_cold_swap_end(struct wm_record_cold *c,
                                        uint64_t *from, uint64_t to)
{
    /* Safeguard: end_is_noted_by_a_swap */
    return atomic_compare_exchange_strong_explicit(
        &c->end, from, to, memory_order_relaxed, memory_order_relaxed);
}

/* Relaxed: a value by itself, which names its joining; it is believed once the
 * kernel has proven that its writer is dead. */
static inline uint64_t record_cold_report(const struct wm_record_cold *c)
{
    return atomic_load_explicit(&c->report, memory_order_relaxed);
}

/* Relaxed, as record_cold_report(). Called in a handler of a signal. */
static inline void record_cold_set_report(struct wm_record_cold *c,
                                          uint64_t report)
{
    atomic_store_explicit(&c->report, report, memory_order_relaxed);
}

/* ------------------------------------------------------------------ note */

/* Acquire: the text that is loaded next is this note's, or a later one's [Q].
 * Shown by note_is_of_one_writer. */
static inline uint64_t record_cold_note_acquire(const struct wm_record_cold *c)
{
    return atomic_load_explicit(&c->note, memory_order_acquire);
}

/* Opens the note, or gives it to the next joining. Acquire: a thread that opens
 * it after another one writes its text after that one's [Q]. Relaxed where it
 * fails: the caller does not write then, or tries again. */
static inline bool record_cold_swap_note(struct wm_record_cold *c,
                                         uint64_t *from, uint64_t to)
{
    /* Safeguard: note_is_opened_by_a_swap */
    return atomic_compare_exchange_strong_explicit(
        &c->note, from, to, memory_order_acquire, memory_order_relaxed);
}

/* Closes the note. Release of its text [Q]. Shown by note_is_of_one_writer. */
static inline void record_cold_close_note(struct wm_record_cold *c,
                                          uint64_t note)
{
    atomic_store_explicit(&c->note, note, memory_order_release);
}

/* Acquire: the note is loaded once more, after the text [Q]. Shown by
 * note_is_of_one_writer. */
static inline uint64_t record_cold_text_acquire(const struct wm_record_cold *c,
                                                int i)
{
    return atomic_load_explicit(&c->text[i], memory_order_acquire);
}

/* Release: a process that loads any of the text finds that the note was opened
 * [Q]. Shown by note_is_of_one_writer. */
static inline void record_cold_set_text(struct wm_record_cold *c, int i,
                                        uint64_t text)
{
    atomic_store_explicit(&c->text[i], text, memory_order_release);
}

/* Whether the crash of this record's occupant was given. */
static inline bool record_crash_given(const struct wm_record *r,
                                      const struct wm_record_cold *c)
{
    uint64_t given = record_cold_given_acquire(c);

    /* Safeguard: crash_is_kept_until_it_is_given */
    return wm_is_of_join(given, record_join_acquire(r)) &&
           wm_given_crash(given);
}

#endif
