/* SPDX-License-Identifier: Apache-2.0 */

/* Turns: which contenders leave a free lock to which.
 *
 * There are two signatures, each the pid of a contender and the time of its
 * try. While one is fresh, contenders leave a free lock to its signer:
 *
 *   start   signed by starts that wait; the others leave the lock to it, since
 *           a worker that has not started serves nobody
 *   next    signed by contenders that poll, and would starve behind those that
 *           sleep, which are woken; the others leave the lock to it, starts
 *           only after ROW of them had the lock one after the other
 *
 * A start that has its turn renews `start`, since others may wait: one of them
 * signs in its place while it has the lock, and goes on to renew that. Starts
 * do not leave the lock to each other. If workers die and start again and
 * again, a start may wait at any time; so the holder counts the starts in a
 * row, and after ROW of them one other contender goes first. Sleepers sign
 * `next` as well from then on.
 *
 * A turn is a courtesy: the word of the lock decides alone. A signature goes
 * stale by itself after RESERVED_MS, so that a contender which died, or was
 * stopped, costs the others no more than that. */

#include "turn.h"

#define RESERVED_MS 100
#define ROW 4u

bool wm_signature_is_fresh(uint64_t signature, const struct wm_contender *c)
{
    int64_t age = wm_word_age(signature, c->now);

    /* Safeguard: fresh_turn_is_left_to_its_signer */
    return signature != 0 && wm_word_pid(signature) != c->pid && age >= 0 &&
           /* Safeguard: stale_turn_keeps_nobody */
           age <= RESERVED_MS;
}

bool wm_turn_is_no_starts(const struct wm_lock_area *lock)
{
    return lock_row(lock) >= ROW;
}

bool wm_turn_is_anothers(const struct wm_lock_area *lock,
                         const struct wm_contender *c)
{
    /* Safeguard: row_of_starts_lets_another_go */
    if (wm_signature_is_fresh(lock_next(lock), c) &&
        (!c->is_start || wm_turn_is_no_starts(lock))) {
        return true;
    }
    /* Safeguard: starts_go_first */
    return !c->is_start && wm_signature_is_fresh(lock_start(lock), c) &&
           !wm_turn_is_no_starts(lock);
}

bool wm_turn_is_mine(const struct wm_lock_area *lock,
                     const struct wm_contender *c)
{
    return wm_word_pid(c->is_start ? lock_start(lock) : lock_next(lock)) ==
           c->pid;
}

bool wm_turn_sign(struct wm_lock_area *lock, const struct wm_contender *c,
                  bool sleeps)
{
    uint64_t seen = c->is_start ? lock_start(lock) : lock_next(lock);
    uint64_t mine = wm_word(0, c->pid, c->now);

    if ((wm_signature_is_fresh(seen, c) && wm_word_pid(seen) != c->holder) ||
        (sleeps && !c->is_start && !wm_turn_is_no_starts(lock))) {
        return false;
    }
    return c->is_start ? lock_swap_start(lock, seen, mine)
                       : lock_swap_next(lock, seen, mine);
}

bool wm_turn_take(struct wm_lock_area *lock, const struct wm_contender *c)
{
    uint64_t start = lock_start(lock), next = lock_next(lock);
    bool had_start = wm_word_pid(start) == c->pid;
    bool had_next = wm_word_pid(next) == c->pid;

    if (had_start) {
        lock_swap_start(lock, start,
                        c->is_start ? wm_word(0, c->pid, c->now) : 0);
    }
    if (had_next) {
        lock_swap_next(lock, next, 0);
    }
    lock_set_row(lock, !c->is_start                 ? 0
                       : wm_turn_is_no_starts(lock) ? ROW
                                                    : lock_row(lock) + 1);
    return had_start || had_next;
}
