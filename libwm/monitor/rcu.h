/* SPDX-License-Identifier: Apache-2.0 */

/* The part of liburcu that the monitor uses, and how the thread sanitizer
 * learns of it.
 *
 * The flavour is urcu-bp, "bulletproof". The threads that look at views are
 * the program's, not ours: we are not there when they begin and cannot make
 * them register (urcu-memb, urcu-mb) or report quiescent states (urcu-qsbr).
 * bp registers a thread at its first read and forgets it when it ends. The
 * price is one more load for each read. With the membarrier system call, which
 * the library uses by itself, no flavour's readers execute a barrier.
 *
 * _LGPL_SOURCE has the read side inlined, which makes it three times as fast;
 * the README says what that means for the licence. It is defined here and
 * nowhere else, and this header is not installed.
 *
 * Pointers are published and followed with C11 atomics, release and acquire.
 * rcu_assign_pointer() and rcu_dereference() of this liburcu are the same
 * machine code on our machines, but volatile accesses in C, which are no
 * synchronisation to the sanitizer.
 *
 * The sanitizer does not see a grace period either: liburcu is not
 * instrumented, and its readers use plain stores and compiler barriers. So this
 * file tells the sanitizer of the edge that a grace period stands for: the end
 * of each read is a release, and the end of a wait is an acquire, on one
 * address that only the sanitizer looks at. So all that a reader did before it
 * ended happens before all that follows the wait. A reader that has not ended
 * yet has no such edge, and the sanitizer reports a free that did not wait for
 * it. Nothing is suppressed. The edge is too strong in one point: it also
 * orders readers that began after the wait did. */

#ifndef WM_MONITOR_RCU_H
#define WM_MONITOR_RCU_H

#ifndef _LGPL_SOURCE
#define _LGPL_SOURCE
#endif
#include <urcu/urcu-bp.h>

#include <stdbool.h>

#ifdef __SANITIZE_THREAD__ /* gcc's word for it; then clang's */
#define WM_RCU_EDGE
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WM_RCU_EDGE
#endif
#endif

#ifdef WM_RCU_EDGE
#include <sanitizer/tsan_interface.h>

extern char wm_rcu_edge;
#define WM_RCU_RELEASE() __tsan_release(&wm_rcu_edge)
#define WM_RCU_ACQUIRE() __tsan_acquire(&wm_rcu_edge)
#else
#define WM_RCU_RELEASE() ((void)0)
#define WM_RCU_ACQUIRE() ((void)0)
#endif

/* Begins a read: all that the thread reaches through published pointers stays
 * until the matching end. Wait-free, but for the first read of a thread. */
static inline void wm_rcu_begin(void)
{
    urcu_bp_read_lock();
}

static inline void wm_rcu_end(void)
{
    WM_RCU_RELEASE(); /* pairs with the acquire in wm_rcu_wait() */
    urcu_bp_read_unlock();
}

/* Whether this thread is inside a read, where it must not wait. */
static inline bool wm_rcu_reads(void)
{
    return urcu_bp_read_ongoing() != 0;
}

/* Waits for all reads that have begun. The caller is not inside a read, and
 * holds no lock that a reader may want. */
static inline void wm_rcu_wait(void)
{
    urcu_bp_synchronize_rcu();
    WM_RCU_ACQUIRE();
}

#endif
