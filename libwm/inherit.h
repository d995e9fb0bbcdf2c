/* SPDX-License-Identifier: Apache-2.0 */

/* The descriptor of a segment that is inherited over exec. */

#ifndef WM_INHERIT_H
#define WM_INHERIT_H

#include "segment.h"

/* Takes over the segment of this instance, or of this tag if both have one,
 * whose descriptor came over exec. If its processes have ended meanwhile, and
 * the last one has unlinked it, goes on in a new one in this directory that has
 * all that the former one said.
 * place: out, the directory in which the file lies, to be freed; NULL: this
 * one, or none.
 * -ENOENT: no descriptor came; another error: the segment cannot be used, and
 * its descriptor was closed. */
int wm_segment_adopt(struct wm_segment *segment, const char *directory,
                     const char *instance, uint32_t tag, char **place);

/* At the first call after wm_segment_adopt(), closes descriptors that came over
 * exec and were not adopted, since this binary does not have their instances:
 * each keeps the memory of its segment. */
void wm_segment_disown(void);

/* The first keeps the segment's descriptor from being inherited over exec; if
 * it was closed behind the library's back, the file in this directory is opened
 * anew. The second lets it be inherited: 0, or -EBADF if there is none. */
void wm_segment_keep_private(struct wm_segment *segment, const char *directory);
int wm_segment_bequeath(const struct wm_segment *segment);

#endif
