/* SPDX-License-Identifier: Apache-2.0 */

/* The facts that a dead segment tells of its life. */

#ifndef WM_POSTMORTEM_H
#define WM_POSTMORTEM_H

#include "segment.h"

/* Judges for wm_segment_unlink(). */

/* Judges a dead segment of an earlier life: adds what it can read of it to
 * `argument`, a struct wm_postmortem; a file that is no segment goes as well,
 * another user's file stays. */
bool wm_postmortem_judge(const struct wm_segment *segment, int error,
                         void *argument);

/* Whether there is nothing to tell: then the segment goes. */
bool wm_postmortem_is_clean(const struct wm_segment *segment, int error,
                            void *argument);

#endif
