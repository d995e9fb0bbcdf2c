/* SPDX-License-Identifier: Apache-2.0 */

/* The lock, as a sweep asks about it. */

#ifndef WM_LOCK_H
#define WM_LOCK_H

#include "node.h"

/* The pid of the lock's holder, 0 if it is free. */
uint32_t wm_lock_pid(const struct wm_node *node);

#endif
