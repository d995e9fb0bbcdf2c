/* SPDX-License-Identifier: Apache-2.0 */

/* The probers: of all that wait for the lock, two look at it again and again.
 *
 * A release wakes one that sleeps. Two things wake nobody: the death of the
 * holder, which only the kernel knows of, and that of a process that was woken
 * and had not taken the lock yet. If each of a thousand that wait asked the
 * kernel about the holder every 50 ms, they would do nothing else. So there are
 * two places, each with the pid of a prober and the time of its last look:
 *
 *   waiter:   tries, is refused ... takes a place that is free, or stale
 *   prober:   sleeps for 50 ms at most ... asks about the holder, tries, renews
 *   others:   sleep long, and ask nothing
 *
 * 1. A prober that takes the lock or gives up frees its place, and wakes two
 *    that sleep: one of them is not the other prober, and takes the place.
 *    After a second it does the same, as those that sleep long are woken before
 *    it.
 * 2. If a prober dies or is stopped, its place goes stale. The other prober
 *    goes on; the next waiter that wakes takes the stale place.
 * 3. If both die before another waiter wakes, nobody looks until one of the
 *    others has slept for long enough. A release wakes one all the same.
 *
 * Those whose turn it is (turn.c) ask as well, and look as often: probers leave
 * them the lock, also a dead holder's. A place is a courtesy, as a turn is: the
 * word of the lock alone decides. */

#include "probe.h"

bool wm_probe_take(struct wm_lock_area *lock, const struct wm_contender *c)
{
    uint64_t mine = wm_word(0, c->pid, c->now);
    uint64_t seen[WM_PROBERS];

    for (int i = 0; i < WM_PROBERS; i++) {
        seen[i] = lock_prober(lock, i);
        if (wm_word_pid(seen[i]) == c->pid) {
            return lock_swap_prober(lock, i, seen[i], mine);
        }
    }
    for (int i = 0; i < WM_PROBERS; i++) {
        /* Safeguard: place_is_left_to_its_prober */
        if (!wm_signature_is_fresh(seen[i], c) &&
            lock_swap_prober(lock, i, seen[i], mine)) {
            return true;
        }
    }
    return false;
}

bool wm_probe_is_mine(const struct wm_lock_area *lock, uint32_t pid)
{
    bool found = false;

    for (int i = 0; i < WM_PROBERS; i++) {
        found = found || wm_word_pid(lock_prober(lock, i)) == pid;
    }
    return found;
}

bool wm_probe_is_anothers(const struct wm_lock_area *lock,
                          const struct wm_contender *c)
{
    bool found = false;

    for (int i = 0; i < WM_PROBERS; i++) {
        found = found || wm_signature_is_fresh(lock_prober(lock, i), c);
    }
    return found;
}

bool wm_probe_resign(struct wm_lock_area *lock, uint32_t pid)
{
    bool had = false;

    for (int i = 0; i < WM_PROBERS; i++) {
        uint64_t seen = lock_prober(lock, i);

        if (wm_word_pid(seen) == pid && lock_swap_prober(lock, i, seen, 0)) {
            had = true;
        }
    }
    return had;
}
