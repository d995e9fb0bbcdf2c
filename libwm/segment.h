/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Segments as files and mappings: made, checked, opened, unlinked. */

#ifndef WM_SEGMENT_H
#define WM_SEGMENT_H

#include "layout.h"
#include "wm.h"

#include <stdbool.h>

#define WM_NAME_SIZE 128 /* "wm." instance "." 16 hex digits NUL */
#define WM_DIRECTORY "/dev/shm"

/* A mapped segment. Sizes and indices that code uses come from `geometry`,
 * which was checked once and is private memory, never from the header. */
struct wm_segment {
    struct wm_segment_header *header;
    struct wm_record *records;
    struct wm_record_cold *colds;
    struct wm_generation_record *generations;
    struct wm_log_record *log;
    struct wm_geometry geometry;
    char constants[WM_CONSTANTS]; /* of the header, as they were checked */
    int fd;                       /* read-only and share-locked, -1 if none */
    bool writable;
    char name[WM_NAME_SIZE]; /* "" for anonymous memory */
};

bool wm_instance_valid(const char *instance);
bool wm_segment_name_valid(const char *name);

/* Makes a new one in the directory, mapped and share-locked. */
int wm_segment_create(struct wm_segment *segment, const char *directory,
                      const char *instance, struct wm_geometry geometry,
                      uint32_t mode);

/* The same in anonymous memory. */
int wm_segment_create_anonymous(struct wm_segment *segment,
                                const char *instance,
                                struct wm_geometry geometry);

/* Opens by file name for reading, without a lock. */
int wm_segment_open(struct wm_segment *segment, const char *directory,
                    const char *name);

/* Opens the segment of this instance whose descriptor came over exec.
 * -ENOENT: there is none; another error: it cannot be used, and its descriptor
 * was closed, so that we do not seem to take part in it. */
int wm_segment_adopt(struct wm_segment *segment, const char *instance);

/* Closes what came over exec and was not adopted: of instances that this
 * binary has not. Else their segments would seem to be in use for ever. */
void wm_segment_disown(void);

/* Unmaps, and so gives up this process's share of the lock. */
void wm_segment_close(struct wm_segment *segment);

/* Keeps the segment's descriptor from being inherited over exec. */
void wm_segment_keep_private(const struct wm_segment *segment);

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
