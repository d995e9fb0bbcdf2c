/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Workers without processes: their records are written straight into a
 * segment. This knows the library's layout; nothing else here does. */

#ifndef WM_BENCH_TABLE_H
#define WM_BENCH_TABLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct table;
struct wm_node;

/* Maps a segment's file for writing; NULL if that fails. */
struct table *table_map(const char *path);
void table_unmap(struct table *table);

/* Makes all records but the first those of live workers of the generation,
 * whose beats are of a time to come, so that none is ever overdue. */
void table_fill(struct table *table, uint64_t generation, uint32_t count);

/* And free again. */
void table_empty(struct table *table);

/* Writes an entry of the event log, as the library does. */
void table_append(const struct wm_node *node);

/* The next tick sweeps, whatever the time. */
void table_make_sweep_due(struct table *table);

#ifdef __cplusplus
}
#endif

#endif
