/* SPDX-License-Identifier: Apache-2.0 */

/* How a worker's process ended. */

#ifndef WM_END_H
#define WM_END_H

#include "record_fields.h"

/* The end that waitpid(2) tells of, as a record has it. */
uint32_t wm_end_of_status(int status);

/* Says how the process of this joining ended, which is proven. Returns whether
 * that is news: no witness has said so who is as good. */
bool wm_end_note(struct wm_record_cold *cold, uint64_t join, uint32_t end);

/* How the process of this joining ended, as far as a witness has said so, or
 * the process itself. word: its last, with its last beat. */
uint32_t wm_end_known(const struct wm_record_cold *cold, uint64_t join,
                      uint64_t word);

/* The same for a caller of the library. crashed: whether it has ended. */
struct wm_end wm_end_told(uint32_t end, bool crashed);

#endif
