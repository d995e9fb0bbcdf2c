/* SPDX-License-Identifier: Apache-2.0 */

/* C11's generic functions on relacy's atomics: with them the library's own C
 * compiles as C++ and runs under relacy's scheduler. Each call with an order is
 * a site, by its function and field; one may be weakened. It comes before all
 * else, since relacy's macros would break a system header. */

#ifndef WM_RELACY_ATOMICS_HPP
#define WM_RELACY_ATOMICS_HPP

#include <algorithm>
#include <climits>
#include <iostream>
#include <pthread.h>
#include <stdatomic.h> /* nothing in C++17; it is not read again */
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <relacy/relacy.hpp>

/* ----------------------------------------------------------------- sites */

enum operation {
    LOAD,
    STORE,
    SWAP,
    FAILURE
};

/* relacy keeps account of what is allocated while its threads run; so nothing
 * here allocates. */
struct site {
    char function[64], field[32];
    operation what;
    rl::memory_order order;
};

extern site met[100], weakened; /* all that were met; the one, if any */
extern size_t met_count;
extern bool is_playing; /* the threads run */

/* The order of this very call. */
inline rl::memory_order ordered(rl::memory_order order, const char *function,
                                const char *operand, operation what)
{
    const char *arrow = strstr(operand, "->");
    const char *field = arrow == nullptr ? operand : arrow + 2;
    auto is_here = [=](const site &s) {
        return s.what == what && strcmp(s.field, field) == 0 &&
               strcmp(s.function, function) == 0;
    };

    if (order == rl::mo_relaxed || !is_playing) {
        return order;
    }
    if (weakened.function[0] != 0) {
        return is_here(weakened) ? weakened.order : order;
    }
    if (std::none_of(met, met + met_count, is_here)) {
        site *s = &met[met_count++];

        s->what = what;
        s->order = order;
        strncpy(s->function, function, sizeof(s->function) - 1);
        strncpy(s->field, field, sizeof(s->field) - 1);
    }
    return order;
}

/* -------------------------------------------------------------- generics */

#undef memory_order_relaxed
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst
#define memory_order_relaxed rl::mo_relaxed
#define memory_order_acquire rl::mo_acquire
#define memory_order_release rl::mo_release
#define memory_order_acq_rel rl::mo_acq_rel
#define memory_order_seq_cst rl::mo_seq_cst

/* A shared field begins as 0, as in a fresh file. */
template <typename T>
struct zero_atomic : rl::atomic<T> {
    zero_atomic() : rl::atomic<T>(T()) {}
};
#define _Atomic(T) zero_atomic<T>

#define ORDERED(order, p, what) ordered(order, __func__, #p, what)
#define atomic_load_explicit(p, order) (p)->load(ORDERED(order, p, LOAD), $)
#define atomic_store_explicit(p, value, order)                                 \
    (p)->store(value, ORDERED(order, p, STORE), $)
#define atomic_exchange_explicit(p, value, order)                              \
    (p)->exchange(value, ORDERED(order, p, SWAP), $)
#define atomic_fetch_add_explicit(p, value, order)                             \
    (p)->fetch_add(value, ORDERED(order, p, SWAP), $)

/* relacy wants the order of a failure to be no stronger than the swap's. A
 * fence behind a relaxed load does as much as an acquiring load, or more. */
template <typename T>
bool swap_explicit(bool weak, rl::atomic<T> *p, T *expected, T value,
                   rl::memory_order order, rl::memory_order failure)
{
    const bool fenced = failure == rl::mo_acquire &&
                        (order == rl::mo_relaxed || order == rl::mo_release);
    const rl::memory_order in_place = fenced ? rl::mo_relaxed : failure;
    const bool swapped =
        weak ? p->compare_exchange_weak(*expected, value, order, $, in_place, $)
             : p->compare_exchange_strong(*expected, value, order, $, in_place,
                                          $);

    if (!swapped && fenced) {
        rl::atomic_thread_fence(rl::mo_acquire, $);
    }
    return swapped;
}
#define SWAP_EXPLICIT(weak, p, expected, value, order, failure)                \
    swap_explicit<std::decay_t<decltype(*(expected))>>(                        \
        weak, p, expected, value, ORDERED(order, p, SWAP),                     \
        ORDERED(failure, p, FAILURE))
#define atomic_compare_exchange_strong_explicit(...)                           \
    SWAP_EXPLICIT(false, __VA_ARGS__)
#define atomic_compare_exchange_weak_explicit(...)                             \
    SWAP_EXPLICIT(true, __VA_ARGS__)

/* -------------------------------------------------------------- C in C++ */

/* Sizes and lines are those of relacy's classes here. */
#undef static_assert
#define static_assert(...) struct unasserted
#define _Alignas(n)
#define _Noreturn __attribute__((noreturn))
#undef errno

/* Time passes with each look at it, so that no word comes again. */
extern uint64_t now_ms;
inline int look_at_clock(clockid_t, struct timespec *ts)
{
    now_ms++;
    ts->tv_sec = (time_t)(now_ms / 1000);
    ts->tv_nsec = (long)(now_ms % 1000) * 1000000;
    return 0;
}
#define clock_gettime look_at_clock

#endif
