/* SPDX-License-Identifier: Apache-2.0 */

/* A generation's record: found, read, listed. */

#ifndef WM_GENERATION_RECORD_H
#define WM_GENERATION_RECORD_H

#include "generation_fields.h"
#include "node.h"

/* How many records can be in use: none beyond the newest number. */
uint32_t wm_generations_used(const struct wm_node *node);

/* Whether the record, from which this word was loaded before, is generation
 * id's: then a swap from that very word changes this generation, and no
 * other. */
bool wm_generation_word_is_of(const struct wm_generation_record *record,
                              uint64_t word, uint64_t id);

/* The record of generation id, or NULL if it is forgotten. */
struct wm_generation_record *wm_generation_find(const struct wm_node *node,
                                                uint64_t id);

/* Reads a generation's word and fields so that they belong together. Returns
 * false if there is no such generation (any more). word: out; may be NULL. */
bool wm_generation_read(const struct wm_node *node, uint32_t index,
                        struct wm_generation_info *info, uint64_t *word,
                        uint64_t *master);

/* Changes the master of generation id from one process to another; not that of
 * another generation, which may have begun in the record meanwhile. */
void wm_generation_change_master(struct wm_generation_record *record,
                                 uint64_t id, uint64_t from, uint64_t to);

/* Whether a worker of this spell has died after its start, and was not replaced
 * yet. */
bool wm_generation_lacks(const struct wm_generation_record *record);

/* Says that it is by now; false if there is none. */
bool wm_generation_replace(struct wm_generation_record *record);

/* Whether a generation's master is proven dead. */
bool wm_master_is_dead(uint64_t master);

/* Logs a change of a generation. */
void wm_generation_log(const struct wm_node *node, enum wm_log_kind kind,
                       uint64_t id, uint64_t word, uint64_t master);

#endif
