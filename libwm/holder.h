/* SPDX-License-Identifier: Apache-2.0 */

/* The description of the lock's holder. */

#ifndef WM_HOLDER_H
#define WM_HOLDER_H

#include "node.h"

/* This process has the lock, by this word: it says since when, and for what. */
void wm_holder_sign(struct wm_node *node, uint64_t word, uint32_t purpose);

/* As wm_lock_inspect(), in a struct of this version. */
void wm_holder_inspect(const struct wm_node *node,
                       struct wm_lock_holder *holder);

#endif
