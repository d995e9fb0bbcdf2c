/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What of a segment is inherited over exec: a descriptor. */

#ifndef WM_INHERIT_H
#define WM_INHERIT_H

#include "segment.h"

/* Opens the segment of this instance whose descriptor came over exec.
 * -ENOENT: there is none; another error: it cannot be used, and its descriptor
 * was closed, so that we do not seem to take part in it. */
int wm_segment_adopt(struct wm_segment *segment, const char *instance);

/* Closes what came over exec and was not adopted: of instances that this
 * binary has not. Else their segments would seem to be in use for ever. */
void wm_segment_disown(void);

/* Keeps the segment's descriptor from being inherited over exec, or lets it. */
void wm_segment_keep_private(const struct wm_segment *segment);
void wm_segment_bequeath(const struct wm_segment *segment);

#endif
