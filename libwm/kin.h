/* SPDX-License-Identifier: Apache-2.0 */

/* How generations are related: by age, and by the master that made them. */

#ifndef WM_KIN_H
#define WM_KIN_H

#include "generation_record.h"

/* A master, as the records show it. */
struct wm_kin {
    uint64_t master;
    uint64_t newest; /* its newest generation that was not aborted */
    uint64_t active; /* its newest that has or had workers */
    bool is_dead;    /* then both are 0, as where there is none */
};

/* Looks for it, unless it is the kept one (zeros at first): many records have
 * the same master. */
const struct wm_kin *wm_kin_of(const struct wm_node *node, uint64_t master,
                               struct wm_kin *kept);

/* The start, in clock ticks, of the youngest process that is a master here and
 * lives; 0: none does. */
uint64_t wm_kin_youngest_master(const struct wm_node *node);

/* Whether the workers of this generation leave: its own master, which lives,
 * has made a newer one active, whose workers have not all died. */
bool wm_kin_is_superseded(const struct wm_node *node, uint64_t id);

/* The generation whose workers take over from those of `id`: the number, or 0
 * if there is none. ending: a worker of it exits. Then, or if it is over, an
 * older one of another master may take over from it. */
uint64_t wm_generation_successor(const struct wm_node *node, uint64_t id,
                                 bool ending);

/* Whether the node has an older generation that was not aborted. */
bool wm_generation_has_older(const struct wm_node *node, uint64_t id);

/* Whether a newer generation of another master exists or existed. */
bool wm_generation_rolled_back(const struct wm_node *node, uint64_t id);

#endif
