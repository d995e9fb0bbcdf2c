/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's note, which says what it does. */

#ifndef WM_NOTE_H
#define WM_NOTE_H

#include "record_fields.h"

/* Gives the note to the next joining of the record, which has none yet.
 * is_over: the process of the former one is proven dead. */
void wm_note_hand_on(struct wm_record_cold *cold, uint64_t join, bool is_over);

/* Ends the note that the process of this joining has left open: it is dead. */
void wm_note_bury(struct wm_record_cold *cold, uint64_t join);

/* The note of this joining, "" if it has none, or is just writing one. */
void wm_note_read(const struct wm_record_cold *cold, uint64_t join,
                  char text[WM_NOTE_SIZE]);

#endif
