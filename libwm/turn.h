/* SPDX-License-Identifier: Apache-2.0 */

/* Whose turn it is to take a lock that is free. */

#ifndef WM_TURN_H
#define WM_TURN_H

#include "header_fields.h"

/* A process that wants the lock, at one of its tries. */
struct wm_contender {
    uint64_t now; /* ms */
    uint32_t pid;
    uint32_t holder; /* the pid of the process that it saw holding the lock */
    bool is_start;   /* it wants the lock for a start */
};

/* Whether another contender has signed, not long ago. */
bool wm_signature_is_fresh(uint64_t signature, const struct wm_contender *c);

/* Whether the contender leaves a free lock to another one. */
bool wm_turn_is_anothers(const struct wm_lock_area *lock,
                         const struct wm_contender *c);

/* Whether one of the turns is the contender's own. */
bool wm_turn_is_mine(const struct wm_lock_area *lock,
                     const struct wm_contender *c);

/* Signs for a turn; false if another's signature is fresh. A contender that is
 * no start and sleeps between its tries signs only after starts have overtaken
 * it. A start also signs in the place of one that has the lock. */
bool wm_turn_sign(struct wm_lock_area *lock, const struct wm_contender *c,
                  bool sleeps);

/* The contender has the lock: takes its signature away, but not that of starts,
 * of which others may wait; and counts starts in a row. Returns whether it had
 * signed: then another one had better do so. */
bool wm_turn_take(struct wm_lock_area *lock, const struct wm_contender *c);

/* Whether so many starts had the lock in a row that another contender is the
 * next. */
bool wm_turn_is_no_starts(const struct wm_lock_area *lock);

#endif
