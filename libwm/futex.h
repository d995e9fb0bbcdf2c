/* SPDX-License-Identifier: Apache-2.0 */

/* Sleeping on a word of the segment, in the kernel. */

#ifndef WM_FUTEX_H
#define WM_FUTEX_H

#include <stdint.h>

/* Sleeps while the word has this value, for so many ms at most; 0: for ever.
 * The kernel compares under a lock of its own, so no wake after a change of the
 * word is missed. 0: woken, or the word has another value; -ETIMEDOUT; -EINTR;
 * -ENOSYS. */
int wm_futex_wait(const void *word, uint32_t value, uint64_t ms);

/* Wakes so many. Returns how many that were. */
int wm_futex_wake(const void *word, int count);

#endif
