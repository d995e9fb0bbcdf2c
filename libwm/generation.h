/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Generations: begun, entered, closed, settled. */

#ifndef WM_GENERATION_H
#define WM_GENERATION_H

#include "kin.h"

/* After JOINING was published: opens a new spell unless one is open. The
 * worker's spell and ordinal are filled in. False: the generation was
 * forgotten meanwhile. */
bool wm_generation_enter(struct wm_node *node,
                         struct wm_generation_record *record,
                         struct wm_worker *worker);

/* Aborts generations that will have no worker, and closes those of other
 * masters' or former times that died out. own: the caller's generation, which
 * is left alone; 0 if none. Returns how many it changed. */
uint32_t wm_generations_settle(struct wm_node *node, uint64_t own);

#endif
