/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A call just before this process looks at a page of memory: what others do
 * between two looks of one operation, at the same place in each run. */

#ifndef TRAP_H
#define TRAP_H

/* Once; the call may set the next one, on another page. */
typedef void trap_fn(void *argument);
void trap_set(void *address, trap_fn *act, void *argument);

/* There is none any more. */
void trap_clear(void);

#endif
