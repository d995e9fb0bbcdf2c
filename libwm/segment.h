/* SPDX-License-Identifier: Apache-2.0 */

/* A segment as a mapping: made, checked, opened, closed. */

#ifndef WM_SEGMENT_H
#define WM_SEGMENT_H

#include "layout.h"
#include "name.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    int fd; /* to be inherited: read-only, no share of the lock; -1: none */
    dev_t device; /* of the file */
    ino_t inode;
    bool writable;
    char name[WM_NAME_SIZE]; /* "" for anonymous memory */
};

/* How much is mapped, which the address space has room for. */
static inline size_t wm_segment_size(const struct wm_segment *s)
{
    return (size_t)s->geometry.size;
}

/* The record of a slot, an index or a number, by the segment's strides. */
static inline struct wm_record *wm_record_at(const struct wm_segment *s,
                                             uint32_t slot)
{
    return (struct wm_record *)(void *)((char *)s->records +
                                        (size_t)slot *
                                            s->geometry.record_stride);
}

/* The record of the next slot, for a pass over all. stride: the geometry's; the
 * caller keeps it in a variable, so that the compiler need not load it again
 * after each atomic. */
static inline const struct wm_record *wm_record_after(const struct wm_record *r,
                                                      size_t stride)
{
    return (const struct wm_record *)(const void *)((const char *)r + stride);
}

static inline struct wm_record_cold *wm_cold_at(const struct wm_segment *s,
                                                uint32_t slot)
{
    return (struct wm_record_cold *)(void *)((char *)s->colds +
                                             (size_t)slot *
                                                 s->geometry.cold_stride);
}

static inline struct wm_generation_record *
wm_generation_at(const struct wm_segment *s, uint32_t index)
{
    return (struct wm_generation_record
                *)(void *)((char *)s->generations +
                           (size_t)index * s->geometry.generation_stride);
}

static inline struct wm_log_record *wm_log_at(const struct wm_segment *s,
                                              uint64_t number)
{
    return (struct wm_log_record *)(void *)((char *)s->log +
                                            number % s->geometry.log_entries *
                                                s->geometry.log_stride);
}

/* Makes a new segment in the directory, mapped and share-locked. */
int wm_segment_create(struct wm_segment *segment, const char *directory,
                      const char *instance, struct wm_geometry geometry,
                      uint32_t mode);

/* The same in anonymous memory. */
int wm_segment_create_anonymous(struct wm_segment *segment,
                                const char *instance,
                                struct wm_geometry geometry);

/* Opens a segment by its file name, for reading and without a lock. */
int wm_segment_open(struct wm_segment *segment, const char *directory,
                    const char *name);

/* Unmaps, and so gives up this process's share of the lock. */
void wm_segment_close(struct wm_segment *segment);

/* For the parts that share a segment, and hand it on. */

/* Whether a file is neither the caller's nor root's. */
static inline bool wm_is_strangers(const struct stat *st)
{
    return st->st_uid != geteuid() && st->st_uid != 0;
}

/* Notes which file a descriptor is open on, and keeps another one of it; -1:
 * none. */
static inline void wm_segment_keep(struct wm_segment *segment, int fd, int kept)
{
    struct stat st = {0};

    fstat(fd, &st);
    segment->device = st.st_dev;
    segment->inode = st.st_ino;
    segment->fd = kept;
}

/* Whether that is the file that was looked at. */
static inline bool wm_segment_is_file(const struct wm_segment *segment,
                                      const struct stat *st)
{
    return st->st_dev == segment->device && st->st_ino == segment->inode;
}

/* Whether a descriptor is open on that file. A server may close what it does
 * not know, and another file of its own may get the number. */
static inline bool wm_segment_is_open_on(const struct wm_segment *segment,
                                         int fd)
{
    struct stat st;

    /* Safeguard: descriptor_is_the_segments */
    return fd >= 0 && fstat(fd, &st) == 0 && wm_segment_is_file(segment, &st);
}

/* The inode of the pid namespace that the segment was made in; 0: unknown. */
static inline uint64_t wm_segment_namespace(const struct wm_segment *segment)
{
    uint64_t inode;

    memcpy(&inode,
           segment->constants +
               offsetof(struct wm_segment_header, pid_namespace),
           sizeof(inode));
    return inode;
}

/* CLOCK_REALTIME, ms. */
static inline uint64_t wm_segment_created(const struct wm_segment *segment)
{
    uint64_t ms;

    memcpy(&ms,
           segment->constants + offsetof(struct wm_segment_header, created),
           sizeof(ms));
    return ms;
}

/* The mode of the file, as it was made. */
static inline uint32_t wm_segment_mode(const struct wm_segment *segment)
{
    uint32_t mode;

    memcpy(&mode, segment->constants + offsetof(struct wm_segment_header, mode),
           sizeof(mode));
    return mode;
}

/* Whether a segment is the one that an attach asks for. A server may have
 * another name for it by now, but not another use. */
static inline bool wm_segment_is_asked_for(const struct wm_segment *segment,
                                           const char *instance, uint32_t tag)
{
    const uint32_t own = segment->geometry.tag;

    if (tag != 0 && own != 0) {
        return tag == own;
    }
    return strncmp(segment->constants +
                       offsetof(struct wm_segment_header, instance),
                   instance, WM_INSTANCE_SIZE) == 0;
}

/* Whether the pids of a segment mean something in the caller's pid namespace,
 * as far as that can be known. */
bool wm_segment_is_of_namespace(const struct wm_segment *segment);

/* Sets the struct to no segment. */
void wm_segment_clear(struct wm_segment *segment);

/* An O_PATH descriptor of a directory, or a negative errno. */
int wm_directory_open(const char *directory);

/* Opens a file that has the name of a segment, for reading. Returns the
 * descriptor, or a negative errno, -EBADMSG for a symbolic link. */
int wm_segment_open_file(const char *directory, const char *name);

/* Checks the file, and maps it, also one of another pid namespace; the
 * descriptor stays the caller's. */
int wm_segment_map(struct wm_segment *segment, int fd, bool writable);

#endif
