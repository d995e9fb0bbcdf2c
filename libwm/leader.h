/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

#ifndef WM_LEADER_H
#define WM_LEADER_H

#include "node.h"

/* Gives up the lead, if it has it, of a worker that is live no more. */
void wm_leader_resign(struct wm_worker *worker);

#endif
