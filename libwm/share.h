/* SPDX-License-Identifier: Apache-2.0 */

/* The processes that take part in a segment, as the kernel knows them. */

#ifndef WM_SHARE_H
#define WM_SHARE_H

#include "segment.h"

#include <sys/stat.h>

/* Whether anybody takes part in the segment of that name: 1, 0, or a negative
 * errno that says why that is not known. A stranger's segment is also said to
 * be in use while its owner just locks the file.
 * st: out, of the file, if it could be opened. */
int wm_segment_use(const char *directory, const char *name, struct stat *st);

/* Takes the exclusive lock, which proves that nobody else takes part: 0,
 * -EBUSY, or an error of flock(2). If this fails, a share that the descriptor
 * had is lost. */
int wm_segment_lock_alone(int fd, const struct stat *st);

/* Takes a share of the lock for a mapping that is made through this descriptor:
 * 0, -EBUSY, or an error of flock(2). */
int wm_segment_take_share(int fd);

/* Decides whether a dead segment, which is mapped for reading, is unlinked. */
typedef bool wm_segment_judge(const struct wm_segment *segment, int error,
                              void *argument);

/* If nobody takes part in the segment of that name, asks the judge, and unlinks
 * the file if the judge says so. The judge gets the error of the segment's
 * check, -EPERM if the file is another user's (also for root); with an error
 * nothing is mapped, and the segment is NULL. Returns 0; -EBUSY if the segment
 * is in use; -ENOENT if another process has unlinked it meanwhile; the error of
 * unlink(2). */
int wm_segment_unlink(const char *directory, const char *name,
                      wm_segment_judge *judge, void *argument);

/* Calls visit for each file name of this instance, NULL for any, in the
 * directory. Returns 0 or the error of opendir(3). */
int wm_segment_list(const char *directory, const char *instance,
                    void (*visit)(const char *name, void *argument),
                    void *argument);

#endif
