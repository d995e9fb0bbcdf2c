/* SPDX-License-Identifier: Apache-2.0 */

/* A worker says itself which signal or which exit ends it. */

#ifndef WM_FATAL_H
#define WM_FATAL_H

#include "node.h"

/* The worker leaves: it says no more. The former handlers come back, unless
 * others were set meanwhile, once no worker of this process says anything. */
void wm_fatal_forget(struct wm_worker *worker);

#endif
