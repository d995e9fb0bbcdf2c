/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's start, for those who may give it later. */

#ifndef WM_WORKER_H
#define WM_WORKER_H

#include "node.h"

/* As wm_worker_start(). is_given: its callback runs now, or has run. If not,
 * the worker serves, and the starts of others do not count it yet. */
int wm_worker_start_as(struct wm_worker *worker, bool is_given,
                       struct wm_counts *counts);

#endif
