/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The descriptor of a segment that is inherited over exec. */

#ifndef WM_INHERIT_H
#define WM_INHERIT_H

#include "segment.h"

/* Opens the segment of this instance whose descriptor came over exec.
 * -ENOENT: there is none; another error: it cannot be used, and its descriptor
 * was closed, so that this process does not seem to take part in it. */
int wm_segment_adopt(struct wm_segment *segment, const char *instance);

/* Closes descriptors that came over exec and were not adopted, since this
 * binary does not have their instances. Else their segments would seem to be in
 * use for ever. */
void wm_segment_disown(void);

/* The first keeps the segment's descriptor from being inherited over exec, the
 * second lets it be inherited. */
void wm_segment_keep_private(const struct wm_segment *segment);
void wm_segment_bequeath(const struct wm_segment *segment);

#endif
