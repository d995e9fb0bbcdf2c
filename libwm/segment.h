/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A segment as a mapping: made, checked, opened, closed. */

#ifndef WM_SEGMENT_H
#define WM_SEGMENT_H

#include "layout.h"
#include "name.h"

#include <stdbool.h>

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

/* Unmaps, and so gives up this process's share of the lock. */
void wm_segment_close(struct wm_segment *segment);

/* For share.c and inherit.c. */

/* No segment. */
void wm_segment_clear(struct wm_segment *segment);

/* An O_PATH descriptor of a directory, or a negative errno. */
int wm_directory_open(const char *directory);

/* Opens a file of a segment's name for reading; a negative errno, -EBADMSG for
 * a symbolic link. */
int wm_segment_open_file(const char *directory, const char *name);

/* Checks the file, and maps it; the descriptor stays the caller's. */
int wm_segment_map(struct wm_segment *segment, int fd, bool writable);

#endif
