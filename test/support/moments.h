/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* For tests that act between any two steps of the library. The compiler's
 * command includes this into each of its sources: before each atomic operation
 * a function is called, if there is one. */

#ifndef MOMENTS_H
#define MOMENTS_H

#include <stdatomic.h>
#include <stddef.h>

/* operation: "load", "store", "swap" or "add". */
typedef void moment_fn(const char *function, const char *operation);
extern moment_fn *moment_hook; /* the test's */

#ifdef WITH_MOMENTS

#define MOMENT(operation)                                                      \
    (moment_hook != NULL ? moment_hook(__func__, operation) : (void)0)

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_fetch_add_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit

#define atomic_load_explicit(object, order)                                    \
    (MOMENT("load"), __atomic_load_n(object, order))
#define atomic_store_explicit(object, value, order)                            \
    (MOMENT("store"), __atomic_store_n(object, value, order))
#define atomic_fetch_add_explicit(object, value, order)                        \
    (MOMENT("add"), __atomic_fetch_add(object, value, order))
#define atomic_compare_exchange_strong_explicit(object, expected, value,       \
                                                order, failed)                 \
    (MOMENT("swap"),                                                           \
     __atomic_compare_exchange_n(object, expected, value, 0, order, failed))
#define atomic_compare_exchange_weak_explicit                                  \
    atomic_compare_exchange_strong_explicit

#endif
#endif
