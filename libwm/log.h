/* SPDX-License-Identifier: Apache-2.0 */

/* The event log's writing side, and how its reading side waits. */

#ifndef WM_LOG_H
#define WM_LOG_H

#include "node.h"

/* Appends an entry, and so ends waits for another epoch. Wait-free. slot:
 * WM_NO_SLOT if the event is not a worker's. */
void wm_log_append(const struct wm_node *node, enum wm_log_kind kind,
                   uint64_t generation, uint64_t value, uint32_t pid,
                   uint32_t slot);

/* The same of a worker whose process has ended, with how. */
void wm_log_append_end(const struct wm_node *node, enum wm_log_kind kind,
                       uint32_t end, uint64_t generation, uint64_t value,
                       uint32_t pid, uint32_t slot);

/* Appends an entry for the process's own worker. */
void wm_log_worker(const struct wm_worker *worker, enum wm_log_kind kind);

/* As wm_log_read(). patience_ms: an unfinished entry counts as missed once the
 * entry that follows it is so old. */
int wm_log_read_within(const struct wm_node *node, uint64_t *since,
                       struct wm_log_entry *list, uint32_t element,
                       uint32_t room, uint32_t *count, uint64_t *missed,
                       uint32_t patience_ms);

#endif
