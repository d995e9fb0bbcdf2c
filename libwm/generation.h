/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Generations: begun, entered, closed, settled. */

#ifndef WM_GENERATION_H
#define WM_GENERATION_H

#include "node.h"

/* How many records can be in use: none beyond the newest number. */
uint32_t wm_generations_used(const struct wm_node *node);

/* The record of generation id, or NULL if it is forgotten. */
struct wm_generation_record *wm_generation_find(const struct wm_node *node,
                                                uint64_t id);

/* A generation's word and fields as they belong together. False: no such
 * generation (any more). */
bool wm_generation_read(const struct wm_node *node, uint32_t index,
                        struct wm_generation_info *info, uint64_t *word,
                        uint64_t *master);

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

/* The generation whose workers take over from those of `id`: the number, or 0
 * if there is none. ending: `id` is about to end, so that an older one of
 * another master may take over from it. */
uint64_t wm_generation_successor(const struct wm_node *node, uint64_t id,
                                 bool ending);

/* Whether the node has an older generation that was not aborted. */
bool wm_generation_has_older(const struct wm_node *node, uint64_t id);

/* Whether a newer generation of another master exists or existed. */
bool wm_generation_rolled_back(const struct wm_node *node, uint64_t id);

#endif
