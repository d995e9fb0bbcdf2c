/* SPDX-License-Identifier: Apache-2.0 */

/* The probers: those that look at the lock for all that wait for it. */

#ifndef WM_PROBE_H
#define WM_PROBE_H

#include "turn.h"

#define WM_PROBE_MS 50 /* from one look of a prober to the next */

/* Whether the contender is a prober, or becomes one now. */
bool wm_probe_take(struct wm_lock_area *lock, const struct wm_contender *c);

/* Whether the process is one. */
bool wm_probe_is_mine(const struct wm_lock_area *lock, uint32_t pid);

/* Whether another contender is one. */
bool wm_probe_is_anothers(const struct wm_lock_area *lock,
                          const struct wm_contender *c);

/* The process is none any more; returns whether it was one. */
bool wm_probe_resign(struct wm_lock_area *lock, uint32_t pid);

#endif
