/* SPDX-License-Identifier: Apache-2.0 */

/* Events that are owed, as other parts take them. */

#ifndef WM_EVENTS_H
#define WM_EVENTS_H

#include "node.h"

/* Takes an end of this generation that is owed, as an event. */
bool wm_event_take_end(struct wm_node *node, uint64_t id,
                       struct wm_event *event);

#endif
