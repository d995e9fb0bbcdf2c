/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What a dead segment tells of the life that it was. */

#ifndef WM_POSTMORTEM_H
#define WM_POSTMORTEM_H

#include "segment.h"

/* Judges for wm_segment_unlink(). */

/* Of a dead segment of an earlier life: what can be read is added to the
 * struct wm_postmortem `argument`; what is no segment goes as well, what is
 * another user's stays. */
bool wm_postmortem_judge(const struct wm_segment *segment, int error,
                         void *argument);

/* Whether there is nothing to tell: then the segment goes. */
bool wm_postmortem_is_clean(const struct wm_segment *segment, int error,
                            void *argument);

#endif
