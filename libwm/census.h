/* SPDX-License-Identifier: Apache-2.0 */

/* Counts as each callback is to see them. */

#ifndef WM_CENSUS_H
#define WM_CENSUS_H

#include "node.h"

enum wm_count_kind {
    WM_COUNT_START, /* as a starting worker sees them */
    WM_COUNT_EXIT,  /* as an exiting worker sees them */
    WM_COUNT_MASTER /* as a callback of the master sees them */
};

void wm_counts_of(const struct wm_node *node, uint64_t id,
                  enum wm_count_kind kind, struct wm_counts *counts);

#endif
