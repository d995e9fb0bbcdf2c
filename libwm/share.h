/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Who takes part in a segment: the kernel's word. */

#ifndef WM_SHARE_H
#define WM_SHARE_H

#include "segment.h"

/* Whether anybody takes part in the segment of that name: 1, 0, or a negative
 * errno that says why it cannot be told. */
int wm_segment_use(const char *directory, const char *name);

/* Decides over a dead segment that is mapped for reading: true to unlink. */
typedef bool wm_segment_judge(const struct wm_segment *segment, int error,
                              void *argument);

/* Where nobody takes part in the segment of that name, asks the judge and
 * unlinks it. error is what a check of the segment said, -EPERM if it is
 * another user's (also root is told so): with an error there is nothing
 * mapped. Returns 0, -EBUSY if it is in use, what unlink(2) said. */
int wm_segment_unlink(const char *directory, const char *name,
                      wm_segment_judge *judge, void *argument);

/* Calls visit for each file name of this instance, NULL for any, in the
 * directory. Returns 0 or what opendir(3) said. */
int wm_segment_list(const char *directory, const char *instance,
                    void (*visit)(const char *name, void *argument),
                    void *argument);

#endif
