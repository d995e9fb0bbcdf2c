/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Named moments: a test has something done just before the library loads,
 * stores or swaps a certain field of the segment. A moment is named by the
 * field's address and by what is done to it, so that neither the function nor
 * its wording matters.
 *
 * The compiler's command includes this into each source of the library, which
 * then calls moment_reach() before each atomic operation. */

#ifndef MOMENTS_H
#define MOMENTS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum moment_kind {
    MOMENT_LOAD = 1,
    MOMENT_STORE = 2,
    MOMENT_SWAP = 4, /* a compare-and-swap */
    MOMENT_ADD = 8,  /* any other that reads and writes */
    MOMENT_ANY = 15
};

void moment_reach(unsigned kind, const volatile void *object);

/* ------------------------------------------------------------- for the test */

typedef void moment_fn(void);

/* Calls act() once, before the next such operation of this process on these
 * bytes; it may set the next moment. */
void moment_set(unsigned kinds, const volatile void *at, size_t size,
                moment_fn *act);
#define BEFORE(kinds, field, act)                                              \
    moment_set(kinds, &(field), sizeof(field), act)

/* Lets so many of them pass first. */
void moment_skip(uint32_t count);

/* Whether it came; there is none any more. */
int moment_came(void);

/* To be called there: the process stops, until another continues it. */
moment_fn stop_here;

#ifdef WITH_MOMENTS

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit

#ifdef __clang__
#define MOMENT_BUILTIN(name) __c11_atomic_##name
#define MOMENT_COMPARE(o, expected, value, order, failed)                      \
    __c11_atomic_compare_exchange_strong(o, expected, value, order, failed)
#define MOMENT_LOAD_OF(o, order) __c11_atomic_load(o, order)
#define MOMENT_STORE_OF(o, value, order) __c11_atomic_store(o, value, order)
#define MOMENT_EXCHANGE(o, value, order) __c11_atomic_exchange(o, value, order)
#else
#define MOMENT_BUILTIN(name) __atomic_##name
#define MOMENT_COMPARE(o, expected, value, order, failed)                      \
    __atomic_compare_exchange_n(o, expected, value, 0, order, failed)
#define MOMENT_LOAD_OF(o, order) __atomic_load_n(o, order)
#define MOMENT_STORE_OF(o, value, order) __atomic_store_n(o, value, order)
#define MOMENT_EXCHANGE(o, value, order) __atomic_exchange_n(o, value, order)
#endif

#define atomic_load_explicit(o, order)                                         \
    (moment_reach(MOMENT_LOAD, o), MOMENT_LOAD_OF(o, order))
#define atomic_store_explicit(o, value, order)                                 \
    (moment_reach(MOMENT_STORE, o), MOMENT_STORE_OF(o, value, order))
#define atomic_exchange_explicit(o, value, order)                              \
    (moment_reach(MOMENT_ADD, o), MOMENT_EXCHANGE(o, value, order))
#define atomic_fetch_add_explicit(o, value, order)                             \
    (moment_reach(MOMENT_ADD, o), MOMENT_BUILTIN(fetch_add)(o, value, order))
#define atomic_fetch_sub_explicit(o, value, order)                             \
    (moment_reach(MOMENT_ADD, o), MOMENT_BUILTIN(fetch_sub)(o, value, order))
#define atomic_fetch_or_explicit(o, value, order)                              \
    (moment_reach(MOMENT_ADD, o), MOMENT_BUILTIN(fetch_or)(o, value, order))
#define atomic_fetch_and_explicit(o, value, order)                             \
    (moment_reach(MOMENT_ADD, o), MOMENT_BUILTIN(fetch_and)(o, value, order))
#define atomic_compare_exchange_strong_explicit(o, expected, value, order,     \
                                                failed)                        \
    (moment_reach(MOMENT_SWAP, o),                                             \
     MOMENT_COMPARE(o, expected, value, order, failed))
#define atomic_compare_exchange_weak_explicit                                  \
    atomic_compare_exchange_strong_explicit

#endif
#endif
