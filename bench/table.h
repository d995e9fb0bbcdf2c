/* SPDX-License-Identifier: Apache-2.0 */

/* Workers without processes: this writes their records straight into a segment.
 * It knows the library's layout; nothing else here does. */

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

/* Makes all records but the first those of live workers of the generation.
 * Their beats lie in the future, so that none is ever overdue. */
void table_fill(struct table *table, uint64_t generation, uint32_t count);

/* Makes them those of workers that have crashed, and whose crash is owed. */
void table_crash(struct table *table);

/* Makes these records free again. */
void table_empty(struct table *table);

/* Writes an entry of the event log, as the library does. */
void table_append(const struct wm_node *node);

/* Makes the next tick sweep, whatever the time. */
void table_make_sweep_due(struct table *table);

#ifdef __cplusplus
}
#endif

#endif
