/* SPDX-License-Identifier: Apache-2.0 */

/* Generations: begun, entered, closed, gone, settled. */

#ifndef WM_GENERATION_H
#define WM_GENERATION_H

#include "kin.h"

/* Enters the worker, which has published JOINING, into its generation: opens a
 * new spell unless one is open, and fills in the worker's spell and ordinal.
 * Returns false if the generation was forgotten meanwhile. */
bool wm_generation_enter(struct wm_node *node,
                         struct wm_generation_record *record,
                         struct wm_worker *worker);

/* Whether an end of this generation is owed. */
bool wm_generation_owes(const struct wm_node *node, uint64_t id);

/* Makes a generation that has exited GONE, if no worker of it is left. Returns
 * whether it did. */
bool wm_generation_note_gone(struct wm_node *node, uint64_t id);

/* Aborts generations that will have no worker, closes those of other masters,
 * or of former times, that died out, and finds those that are gone. own: the
 * caller's generation, which is left alone; 0 if none. Returns how many it
 * changed. */
uint32_t wm_generations_settle(struct wm_node *node, uint64_t own);

#endif
