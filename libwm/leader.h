/* SPDX-License-Identifier: Apache-2.0 */

/* The lead, as a worker that drains or leaves gives it up. */

#ifndef WM_LEADER_H
#define WM_LEADER_H

#include "node.h"

/* Gives up the lead of a worker that is live no more, if it has the lead. */
void wm_leader_resign(struct wm_worker *worker);

#endif
