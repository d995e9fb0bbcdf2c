/* SPDX-License-Identifier: Apache-2.0 */

/* Named moments: a test has something done just before the library loads,
 * stores or swaps a certain field of the segment. A moment is named by the
 * field's address and by what is done to it: where and how does not matter.
 *
 * The compiler's command includes this into each source of the library, which
 * then calls moment_reach() before each such operation. */

#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum moment_kind {
    MOMENT_LOAD = 1,
    MOMENT_STORE = 2,
    MOMENT_SWAP = 4, /* a compare-and-swap */
    MOMENT_ANY = 7
};

void moment_reach(unsigned kind, const volatile void *object);

typedef void moment_fn(void);

/* Calls act() once, before the next such operation of this process on these
 * bytes; it may set the next moment. */
void moment_set(unsigned kinds, const volatile void *at, size_t size,
                moment_fn *act);
#define BEFORE(kinds, field, act)                                              \
    moment_set(kinds, &(field), sizeof(field), act)

/* Whether it came; there is none any more. */
int moment_came(void);

/* To be called there: the process stops, until another continues it. */
moment_fn stop_here;

#ifdef WITH_MOMENTS

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit

#ifdef __clang__
#define MOMENT_N(name) __c11_atomic_##name
#define MOMENT_COMPARE(o, expected, value, ...)                                \
    __c11_atomic_compare_exchange_strong(o, expected, value, __VA_ARGS__)
#else
#define MOMENT_N(name) __atomic_##name##_n
#define MOMENT_COMPARE(o, expected, value, ...)                                \
    __atomic_compare_exchange_n(o, expected, value, 0, __VA_ARGS__)
#endif

#define atomic_load_explicit(o, order)                                         \
    (moment_reach(MOMENT_LOAD, o), MOMENT_N(load)(o, order))
#define atomic_store_explicit(o, ...)                                          \
    (moment_reach(MOMENT_STORE, o), MOMENT_N(store)(o, __VA_ARGS__))
#define atomic_compare_exchange_strong_explicit(o, ...)                        \
    (moment_reach(MOMENT_SWAP, o), MOMENT_COMPARE(o, __VA_ARGS__))
#define atomic_compare_exchange_weak_explicit                                  \
    atomic_compare_exchange_strong_explicit

#endif
