/* SPDX-License-Identifier: Apache-2.0 */

/* The changing fields of a segment's header, and the entries of its log, each
 * with the orders that it is loaded and stored with. Letters in brackets are
 * the ordering guarantees of protocol.md; "shown by" names a check of
 * test/relacy, which fails with a weaker order. */

#ifndef WM_HEADER_FIELDS_H
#define WM_HEADER_FIELDS_H

#include "layout.h"
#include "word.h"

/* Acquire: the constants were stored before the magic [P]. */
static inline uint64_t header_magic_acquire(const struct wm_segment_header *h)
{
    return atomic_load_explicit(&h->magic, memory_order_acquire);
}

/* The creator stores it last. Release of the constants [P]. */
static inline void header_set_magic(struct wm_segment_header *h, uint64_t magic)
{
    atomic_store_explicit(&h->magic, magic, memory_order_release);
}

/* -------------------------------------------------------------- counters */

/* Relaxed: a number is taken for its own sake. A process that has seen what
 * another did with a number has synchronised with it elsewhere, and coherence
 * then shows it at least that number here. */
static inline uint64_t header_next(_Atomic(uint64_t) *counter)
{
    return atomic_fetch_add_explicit(counter, 1, memory_order_relaxed) + 1;
}

/* Relaxed, as header_next(); a total may be a moment old. */
static inline uint64_t header_count(const _Atomic(uint64_t) *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Relaxed: a total; nothing is read because of it. */
static inline void header_add(_Atomic(uint64_t) *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Relaxed: one number that only falls, compared with nothing else. */
static inline void header_lower(_Atomic(uint64_t) *least, uint64_t to)
{
    uint64_t seen = atomic_load_explicit(least, memory_order_relaxed);

    /* Relaxed, both ways, for the same reason. */
    while ((seen == 0 || seen > to) &&
           !atomic_compare_exchange_weak_explicit(
               least, &seen, to, memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* ------------------------------------------------------------- succession */

/* Relaxed, as is the store: the file's lock orders a look after it. */
static inline uint64_t header_successor(const struct wm_segment_header *h)
{
    return atomic_load_explicit(&h->successor, memory_order_relaxed);
}

/* Relaxed, as header_successor(). */
static inline void header_set_successor(struct wm_segment_header *h,
                                        uint64_t ident)
{
    atomic_store_explicit(&h->successor, ident, memory_order_relaxed);
}

/* ------------------------------------------------------------- high mark */

/* Acquire: the first claimant of a slot has raised the mark above it [I]. */
static inline uint32_t header_high_acquire(const struct wm_segment_header *h)
{
    return atomic_load_explicit(&h->high, memory_order_acquire);
}

/* Called before the claim of the slot. Release, so that a process which sees
 * anything that the claimant did afterwards sees the mark as well [I]. */
static inline void header_raise_high(struct wm_segment_header *h, uint32_t high)
{
    uint32_t seen = atomic_load_explicit(&h->high, memory_order_relaxed);

    /* Relaxed loads: the number only grows, and the swap decides. */
    while (seen < high && !atomic_compare_exchange_weak_explicit(
                              &h->high, &seen, high, memory_order_release,
                              memory_order_relaxed)) {
    }
}

/* ------------------------------------------------------------ free slots */

/* Relaxed: where a search begins, which goes all around. A claim decides. */
static inline uint32_t header_free_from(const struct wm_segment_header *h)
{
    return atomic_load_explicit(&h->free_from, memory_order_relaxed);
}

/* A joiner has claimed the slot before `to`. Nothing is stored if a slot below
 * `from` became free meanwhile. Relaxed: as above. */
static inline void header_raise_free_from(struct wm_segment_header *h,
                                          uint32_t from, uint32_t to)
{
    atomic_compare_exchange_strong_explicit(
        &h->free_from, &from, to, memory_order_relaxed, memory_order_relaxed);
}

/* This slot is free. Relaxed: as above. */
static inline void header_lower_free_from(struct wm_segment_header *h,
                                          uint32_t slot)
{
    uint32_t seen = header_free_from(h);

    while (seen > slot && !atomic_compare_exchange_weak_explicit(
                              &h->free_from, &seen, slot, memory_order_relaxed,
                              memory_order_relaxed)) {
    }
}

/* ----------------------------------------------------------------- sweep */

/* Relaxed: a time that elects a sweeper, and orders nothing: a sweep too many
 * or too few does no harm. */
static inline uint64_t header_sweep_due(const struct wm_segment_header *h)
{
    return atomic_load_explicit(&h->next_sweep, memory_order_relaxed);
}

/* Relaxed, as header_sweep_due(). */
static inline bool header_take_sweep(struct wm_segment_header *h, uint64_t due,
                                     uint64_t next)
{
    return atomic_compare_exchange_strong_explicit(
        &h->next_sweep, &due, next, memory_order_relaxed, memory_order_relaxed);
}

/* Relaxed: a time by itself. A reader that misses the newest one judges as if
 * it had looked a moment earlier. */
static inline uint64_t header_awake_since(const struct wm_segment_header *h)
{
    return atomic_load_explicit(&h->awake_since, memory_order_relaxed);
}

/* Relaxed, as header_awake_since(). */
static inline void header_set_awake_since(struct wm_segment_header *h,
                                          uint64_t ms)
{
    atomic_store_explicit(&h->awake_since, ms, memory_order_relaxed);
}

/* Relaxed: a time by itself. A reader that misses the newest one looks once
 * more. */
static inline uint64_t header_looked_at(const struct wm_segment_header *h)
{
    return atomic_load_explicit(&h->looked_at, memory_order_relaxed);
}

/* Relaxed, as header_looked_at(). */
static inline void header_set_looked_at(struct wm_segment_header *h,
                                        uint64_t ms)
{
    atomic_store_explicit(&h->looked_at, ms, memory_order_relaxed);
}

/* ------------------------------------------------------------------ lock */

/* Relaxed: the swap that takes the lock decides, and acquires. */
static inline uint64_t lock_word_relaxed(const struct wm_lock_area *l)
{
    return atomic_load_explicit(&l->word, memory_order_relaxed);
}

/* Acquire: a reader looks at the holder's description between two loads of the
 * word [K]; a sweep looks at the holder before it looks at the records. Shown
 * by holder_has_beaten_when_it_is_judged. */
static inline uint64_t lock_word_acquire(const struct wm_lock_area *l)
{
    return atomic_load_explicit(&l->word, memory_order_acquire);
}

/* Acquire: the next holder sees all that the former one did under the lock [J].
 * Relaxed where it fails: the caller tries anew, or does without. Shown by
 * lock_orders_what_is_done_under_it. */
static inline bool lock_take(struct wm_lock_area *l, uint64_t from, uint64_t to)
{
    /* Safeguard: lock_is_taken_by_a_swap */
    return atomic_compare_exchange_strong_explicit(
        &l->word, &from, to, memory_order_acquire, memory_order_relaxed);
}

/* Release: pairs with lock_take() [J]. It fails only if another process took
 * the holder for dead and took the lock over; then there is nothing to give
 * back. Shown by lock_orders_what_is_done_under_it. */
static inline bool lock_give_back(struct wm_lock_area *l, uint64_t held)
{
    return atomic_compare_exchange_strong_explicit(
        &l->word, &held, wm_lock_freed(held), memory_order_release,
        memory_order_relaxed);
}

/* The futex of starts, or of all others. */
static inline _Atomic(uint32_t) *lock_futex(struct wm_lock_area *l,
                                            bool of_starts)
{
    return of_starts ? &l->wake_starts : &l->wake;
}

/* Acquire, and loaded before a try: the sleep that follows the try returns at
 * once if a release was counted since, and the try comes after all releases
 * that were seen [J]. Shown by sleeper_gets_the_lock. */
static inline uint32_t lock_wake_acquire(const _Atomic(uint32_t) *futex)
{
    return atomic_load_explicit(futex, memory_order_acquire);
}

/* Release, and counted after the word or a place is freed: a sleeper that sees
 * the count finds the lock free, or taken by another [J], or the place. Shown
 * by sleeper_gets_the_lock. */
static inline void lock_count_wake(_Atomic(uint32_t) *futex)
{
    atomic_fetch_add_explicit(futex, 1, memory_order_release);
}

/* Relaxed: a courtesy among contenders, which goes stale by itself. */
static inline uint64_t lock_next(const struct wm_lock_area *l)
{
    return atomic_load_explicit(&l->next, memory_order_relaxed);
}

/* Relaxed, as lock_next(). */
static inline bool lock_swap_next(struct wm_lock_area *l, uint64_t from,
                                  uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(
        &l->next, &from, to, memory_order_relaxed, memory_order_relaxed);
}

/* Relaxed, as lock_next(). */
static inline uint64_t lock_start(const struct wm_lock_area *l)
{
    return atomic_load_explicit(&l->start, memory_order_relaxed);
}

/* Relaxed, as lock_next(). */
static inline bool lock_swap_start(struct wm_lock_area *l, uint64_t from,
                                   uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(
        &l->start, &from, to, memory_order_relaxed, memory_order_relaxed);
}

/* Relaxed, as lock_next(). */
static inline uint64_t lock_prober(const struct wm_lock_area *l, int i)
{
    return atomic_load_explicit(&l->probers[i], memory_order_relaxed);
}

/* Relaxed, as lock_next(). */
static inline bool lock_swap_prober(struct wm_lock_area *l, int i,
                                    uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(
        &l->probers[i], &from, to, memory_order_relaxed, memory_order_relaxed);
}

/* Relaxed, as lock_next(); the holder alone stores it. */
static inline uint32_t lock_row(const struct wm_lock_area *l)
{
    return atomic_load_explicit(&l->row, memory_order_relaxed);
}

/* Relaxed, as lock_row(). */
static inline void lock_set_row(struct wm_lock_area *l, uint32_t row)
{
    atomic_store_explicit(&l->row, row, memory_order_relaxed);
}

/* The holder's description of itself. Release, after its name is in the word,
 * so that a reader which sees any of it finds the word changed. The sequence
 * comes last, so that a reader of the sequence sees all of it [K]. Shown by
 * description_is_the_holders. */
static inline void lock_describe_holder(struct wm_lock_area *l, uint64_t since,
                                        uint64_t generation, uint32_t purpose,
                                        uint32_t sequence)
{
    atomic_store_explicit(&l->holder_since, since, memory_order_release);
    atomic_store_explicit(&l->holder_generation, generation,
                          memory_order_release);
    atomic_store_explicit(&l->holder_purpose, purpose, memory_order_release);
    atomic_store_explicit(&l->holder_sequence, sequence, memory_order_release);
}

/* Acquire, and loaded first: pairs with lock_describe_holder(), which stores
 * the sequence last [K]. Shown by description_is_the_holders. */
static inline uint64_t
lock_holder_sequence_acquire(const struct wm_lock_area *l)
{
    return atomic_load_explicit(&l->holder_sequence, memory_order_acquire);
}

/* Acquire [K]: the reader then loads the word once more. Shown by
 * description_is_the_holders. */
static inline uint64_t lock_holder_since_acquire(const struct wm_lock_area *l)
{
    return atomic_load_explicit(&l->holder_since, memory_order_acquire);
}

/* Acquire [K], as lock_holder_since_acquire(). Shown by
 * description_is_the_holders. */
static inline uint64_t
lock_holder_generation_acquire(const struct wm_lock_area *l)
{
    return atomic_load_explicit(&l->holder_generation, memory_order_acquire);
}

/* Acquire [K], as lock_holder_since_acquire(). Shown by
 * description_is_the_holders. */
static inline uint32_t lock_holder_purpose_acquire(const struct wm_lock_area *l)
{
    return atomic_load_explicit(&l->holder_purpose, memory_order_acquire);
}

/* ---------------------------------------------------------------- leader */

/* Acquire: the leader was LIVE before it put its name here, and a later look at
 * the records finds it LIVE, or in a later state [L]. Shown by
 * leader_is_live. */
static inline uint64_t leader_word_acquire(const struct wm_leader_area *l)
{
    return atomic_load_explicit(&l->word, memory_order_acquire);
}

/* Release: pairs with leader_word_acquire(). Acquire of the word that it
 * replaces, or, where it fails, of the word that the caller judges next [L].
 * Shown by leader_is_live. */
static inline bool leader_swap(struct wm_leader_area *l, uint64_t *from,
                               uint64_t to)
{
    /* Safeguard: lead_changes_by_a_swap */
    return atomic_compare_exchange_strong_explicit(
        &l->word, from, to, memory_order_acq_rel, memory_order_acquire);
}

/* Relaxed: a hint. The record that it points to is checked by its number. */
static inline uint32_t leader_slot(const struct wm_leader_area *l)
{
    return atomic_load_explicit(&l->slot, memory_order_relaxed);
}

/* Relaxed, as leader_slot(). */
static inline void leader_set_slot(struct wm_leader_area *l, uint32_t slot)
{
    atomic_store_explicit(&l->slot, slot, memory_order_relaxed);
}

/* ------------------------------------------------------------- event log */

/* Acquire: a process that sees this number sees the change that it was taken
 * for [N]. Shown by epoch_brings_the_change. */
static inline uint64_t
header_log_number_acquire(const struct wm_segment_header *h)
{
    return atomic_load_explicit(&h->log_next, memory_order_acquire);
}

/* Release of the change that the entry tells of [N]. Shown by
 * epoch_brings_the_change. */
static inline uint64_t header_take_log_number(struct wm_segment_header *h)
{
    return atomic_fetch_add_explicit(&h->log_next, 1, memory_order_release) + 1;
}

#define WM_LOG_FIELDS 5

/* Relaxed fields: the checksum over them proves them, and it is stored last,
 * with release, for a reader that loads it first [M]. Shown by
 * checksum_brings_the_entry. */
static inline void log_write(struct wm_log_record *r,
                             const uint64_t field[WM_LOG_FIELDS],
                             uint64_t check)
{
    atomic_store_explicit(&r->time, field[0], memory_order_relaxed);
    atomic_store_explicit(&r->generation, field[1], memory_order_relaxed);
    atomic_store_explicit(&r->value, field[2], memory_order_relaxed);
    atomic_store_explicit(&r->subject, field[3], memory_order_relaxed);
    atomic_store_explicit(&r->kind, field[4], memory_order_relaxed);
    atomic_store_explicit(&r->check, check, memory_order_release);
}

/* Acquire of the checksum. It has to fit the fields, whose loads are relaxed; a
 * mixture of two entries does not fit [M]. Shown by
 * checksum_brings_the_entry. */
static inline uint64_t log_read(const struct wm_log_record *r,
                                uint64_t field[WM_LOG_FIELDS])
{
    uint64_t check = atomic_load_explicit(&r->check, memory_order_acquire);

    field[0] = atomic_load_explicit(&r->time, memory_order_relaxed);
    field[1] = atomic_load_explicit(&r->generation, memory_order_relaxed);
    field[2] = atomic_load_explicit(&r->value, memory_order_relaxed);
    field[3] = atomic_load_explicit(&r->subject, memory_order_relaxed);
    field[4] = atomic_load_explicit(&r->kind, memory_order_relaxed);
    return check;
}

#endif
