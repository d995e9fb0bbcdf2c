/* SPDX-License-Identifier: Apache-2.0 */

/* The lock's holder. */

#ifndef WM_HOLDER_H
#define WM_HOLDER_H

#include "node.h"

/* Its pid, 0 if the lock is free. */
uint32_t wm_holder_pid(const struct wm_node *node);

/* Whether the kernel proves that the holder of this word has ended. */
bool wm_holder_is_dead(uint64_t word);

/* This process has the lock, by this word: it says since when, and for what. */
void wm_holder_sign(struct wm_node *node, uint64_t word, uint32_t purpose);

/* As wm_lock_inspect(), in a struct of this version. */
void wm_holder_inspect(const struct wm_node *node,
                       struct wm_lock_holder *holder);

#endif
