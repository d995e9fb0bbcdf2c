/* SPDX-License-Identifier: Apache-2.0 */

/* The sweep, as other parts call it. */

#ifndef WM_SWEEP_H
#define WM_SWEEP_H

#include "node.h"

/* As wm_sweep(), but passes over workers that have beaten within fresh_ms. */
int wm_sweep_stale(struct wm_node *node, struct wm_worker *self,
                   uint32_t fresh_ms);

/* Whether some process has looked at all workers within the last second. */
bool wm_sweep_is_recent(const struct wm_node *node);

#endif
