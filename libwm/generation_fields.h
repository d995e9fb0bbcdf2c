/* SPDX-License-Identifier: Apache-2.0 */

/* The fields of a generation's record, each with the orders that it is loaded
 * and stored with. Letters in brackets are the ordering guarantees of
 * protocol.md; "shown by" names a check of test/relacy, which fails with a
 * weaker order. */

#ifndef WM_GENERATION_FIELDS_H
#define WM_GENERATION_FIELDS_H

#include "layout.h"
#include "word.h"

/* ------------------------------------------------------------------ word */

/* Acquire: a word that a joiner has swapped brings its JOINING record with it
 * [E]; one that is BEGUN or later brings the fields of its life [F]. Shown by
 * closer_sees_the_joiner_or_fails. */
static inline uint64_t
generation_word_acquire(const struct wm_generation_record *g)
{
    return atomic_load_explicit(&g->word, memory_order_acquire);
}

/* Release of all that the caller did before, above all a joiner's JOINING;
 * acquire of the word that it replaces [E]. Shown by
 * closer_sees_the_joiner_or_fails. */
static inline bool generation_swap_word(struct wm_generation_record *g,
                                        uint64_t *from, uint64_t to)
{
    /* Safeguard: generation_changes_by_a_swap */
    return atomic_compare_exchange_strong_explicit(
        &g->word, from, to, memory_order_acq_rel, memory_order_acquire);
}

/* The claimant stores it last. Release of the fields of this life [F]. Shown by
 * fields_are_of_one_life. */
static inline void generation_set_word(struct wm_generation_record *g,
                                       uint64_t word)
{
    atomic_store_explicit(&g->word, word, memory_order_release);
}

/* ---------------------------------------------------------------- fields */

/* The claimant stores the fields of one life with release, before the word; a
 * reader loads them with acquire, after the word. A load that returns a later
 * life's value comes after that life's claim, so that the next load of the word
 * returns another one [F]. Shown by fields_are_of_one_life. */
#define FIELD(type, field)                                                     \
    static inline type generation_##field##_acquire(                           \
        const struct wm_generation_record *g)                                  \
    {                                                                          \
        return atomic_load_explicit(&g->field, memory_order_acquire);          \
    }                                                                          \
    static inline void generation_set_##field(struct wm_generation_record *g,  \
                                              type value)                      \
    {                                                                          \
        atomic_store_explicit(&g->field, value, memory_order_release);         \
    }

FIELD(uint64_t, id)
FIELD(uint64_t, master)
FIELD(uint64_t, begun_at)
FIELD(uint32_t, reason)
FIELD(uint32_t, deaths)
FIELD(uint32_t, replaced)
FIELD(uint32_t, joined)
FIELD(uint32_t, expected)
FIELD(uint32_t, retired)

#undef FIELD

/* Changes the master from the beginner to the process that goes on. The orders
 * are those of the fields [F]; the caller looks afterwards whether the record
 * is still of the same life. Shown by master_of_another_life_is_left. */
static inline bool generation_swap_master(struct wm_generation_record *g,
                                          uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(
        &g->master, &from, to, memory_order_acq_rel, memory_order_relaxed);
}

/* A worker leaves by itself. Relaxed: a count by itself, on which nothing
 * depends but the name of a start. */
static inline void generation_add_retired(struct wm_generation_record *g)
{
    atomic_fetch_add_explicit(&g->retired, 1, memory_order_relaxed);
}

/* Whether a start replaces one that has left by itself. Relaxed, as
 * generation_add_retired(). */
static inline bool generation_take_retired(struct wm_generation_record *g)
{
    uint32_t seen = atomic_load_explicit(&g->retired, memory_order_relaxed);

    return seen > 0 && atomic_compare_exchange_strong_explicit(
                           &g->retired, &seen, seen - 1, memory_order_relaxed,
                           memory_order_relaxed);
}

/* Release: what the master did before it left its start to the workers comes
 * before the callback. Pairs with generation_take_start(); also a field of this
 * life [F]. Shown by start_brings_its_master. */
static inline void generation_set_start_owed(struct wm_generation_record *g,
                                             uint64_t id)
{
    atomic_store_explicit(&g->start_owed, id, memory_order_release);
}

/* Takes the master's start, which is owed. Acquire: pairs with
 * generation_set_start_owed(). Relaxed where it fails: there is nothing to
 * give. Shown by start_brings_its_master. */
static inline bool generation_take_start(struct wm_generation_record *g,
                                         uint64_t id)
{
    /* Safeguard: master_start_is_taken_once */
    return atomic_compare_exchange_strong_explicit(
        &g->start_owed, &id, 0, memory_order_acquire, memory_order_relaxed);
}

/* Relaxed: a count by itself, on which nothing depends but the name of a start
 * or an end; its upper bits say which generation it is of. */
static inline uint32_t
generation_deaths_relaxed(const struct wm_generation_record *g)
{
    return atomic_load_explicit(&g->deaths, memory_order_relaxed);
}

/* Relaxed, as generation_deaths_relaxed(). */
static inline bool generation_swap_deaths(struct wm_generation_record *g,
                                          uint32_t *from, uint32_t to)
{
    return atomic_compare_exchange_weak_explicit(
        &g->deaths, from, to, memory_order_relaxed, memory_order_relaxed);
}

/* Relaxed: a count by itself, on which nothing depends but the name of a start
 * or an end. */
static inline uint32_t
generation_replaced_relaxed(const struct wm_generation_record *g)
{
    return atomic_load_explicit(&g->replaced, memory_order_relaxed);
}

/* Relaxed, as generation_replaced_relaxed(). */
static inline void
generation_set_replaced_relaxed(struct wm_generation_record *g, uint32_t count)
{
    atomic_store_explicit(&g->replaced, count, memory_order_relaxed);
}

/* Relaxed, as generation_replaced_relaxed(). */
static inline bool generation_swap_replaced(struct wm_generation_record *g,
                                            uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(
        &g->replaced, &from, to, memory_order_relaxed, memory_order_relaxed);
}

/* Relaxed: a count by itself; each joiner needs a number of its own, which the
 * swap gives it. */
static inline uint32_t
generation_joined_relaxed(const struct wm_generation_record *g)
{
    return atomic_load_explicit(&g->joined, memory_order_relaxed);
}

/* Relaxed, as generation_joined_relaxed(). */
static inline bool generation_swap_joined(struct wm_generation_record *g,
                                          uint32_t *from, uint32_t to)
{
    return atomic_compare_exchange_weak_explicit(
        &g->joined, from, to, memory_order_relaxed, memory_order_relaxed);
}

#endif
