/* SPDX-License-Identifier: Apache-2.0 */

/* The segment as a mapping: made, checked, opened, closed.
 *
 * Nothing here knows which processes take part in it, nor looks into records;
 * protocol.md has the argument. */

#include "segment.h"

#include "header_fields.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ATTEMPTS 16

bool wm_segment_is_of_namespace(const struct wm_segment *segment)
{
    uint64_t its = wm_segment_namespace(segment), own = wm_self_namespace();

    /* Safeguard: other_pid_namespaces_are_refused */
    return its == 0 || own == 0 || its == own;
}

int wm_directory_open(const char *directory)
{
    int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

void wm_segment_clear(struct wm_segment *segment)
{
    memset(segment, 0, sizeof(*segment));
    segment->fd = -1;
}

static void place(struct wm_segment *segment, void *base)
{
    char *at = base;
    const struct wm_geometry *g = &segment->geometry;

    segment->header = base;
    segment->records = (struct wm_record *)(void *)(at + g->records);
    segment->colds = (struct wm_record_cold *)(void *)(at + g->colds);
    segment->generations =
        (struct wm_generation_record *)(void *)(at + g->generation_records);
    segment->log = (struct wm_log_record *)(void *)(at + g->log);
}

static int map(struct wm_segment *segment, int fd, bool writable)
{
    int access = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *base;

    base = mmap(NULL, wm_segment_size(segment), access, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        return -errno;
    }
    segment->writable = writable;
    place(segment, base);
    return 0;
}

/* Keeps a second, read-only open of the same file, which a later binary of the
 * same node may inherit. It has no share of the lock: a program that a child
 * executes may inherit it as well, and does not take part. If the open fails,
 * that is no error: an upgrade then starts a node of its own. */
static void keep_descriptor(struct wm_segment *segment, int fd)
{
    char path[40];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    wm_segment_keep(segment, fd, open(path, O_RDONLY | O_CLOEXEC));
}

static void fill_header(struct wm_segment *segment, const char *instance,
                        uint32_t mode)
{
    struct wm_segment_header *h = segment->header;
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    h->abi = WM_ABI;
    h->header_size = segment->geometry.header_size;
    h->size = segment->geometry.size;
    h->compatible = WM_FEATURES_COMPATIBLE;
    h->incompatible = WM_FEATURES_INCOMPATIBLE;
    h->record_stride = segment->geometry.record_stride;
    h->cold_stride = segment->geometry.cold_stride;
    h->generation_stride = segment->geometry.generation_stride;
    h->log_stride = segment->geometry.log_stride;
    h->capacity = segment->geometry.capacity;
    h->generations = segment->geometry.generations;
    h->log_entries = segment->geometry.log_entries;
    h->mode = mode;
    h->tag = segment->geometry.tag;
    h->pid_namespace = wm_self_namespace();
    h->created = (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
    memcpy(h->instance, instance, strlen(instance) + 1);
    header_set_magic(h, WM_MAGIC);
    memcpy(segment->constants, h, WM_CONSTANTS);
}

/* Reserves the space, maps it and fills it. Since the space is reserved, a full
 * file system is an error here, and not a SIGBUS later. */
static int furnish(struct wm_segment *segment, int fd, const char *instance,
                   uint32_t mode)
{
    int error;

    do {
        /* Safeguard: space_is_reserved */
        error = fallocate(fd, 0, 0, (off_t)segment->geometry.size) == 0
                    ? 0
                    : -errno;
    } while (error == -EINTR);
    if (error != 0) {
        return error;
    }
    error = map(segment, fd, true);
    if (error != 0) {
        return error;
    }
    fill_header(segment, instance, mode);
    keep_descriptor(segment, fd);
    return 0;
}

/* One attempt; -EAGAIN if another process unlinked the file before the lock. */
static int create_once(struct wm_segment *segment, int dir,
                       const char *instance, uint32_t mode)
{
    struct stat st;
    uint64_t number;
    int error, fd;

    if (getrandom(&number, sizeof(number), 0) != sizeof(number)) {
        return -EIO;
    }
    snprintf(segment->name, sizeof(segment->name), "%s%s.%016llx",
             WM_NAME_PREFIX, instance, (unsigned long long)number);
    fd = openat(dir, segment->name,
                O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno == EEXIST ? -EAGAIN : -errno;
    }
    /* Refused while another process just checks whether the file is in use. */
    error = flock(fd, LOCK_SH | LOCK_NB) == 0 ? 0 : -EAGAIN;
    if (error == 0) {
        error = furnish(segment, fd, instance, mode);
    }
    if (error == 0 && fchmod(fd, (mode_t)mode) != 0) {
        error = -errno;
    }
    /* Safeguard: creator_looks_whether_it_is_linked */
    if (error == 0 && (fstat(fd, &st) != 0 || st.st_nlink == 0)) {
        error = -EAGAIN;
    }
    if (error != 0) {
        wm_segment_close(segment);
        unlinkat(dir, segment->name, 0);
    }
    close(fd);
    return error;
}

int wm_segment_create(struct wm_segment *segment, const char *directory,
                      const char *instance, struct wm_geometry geometry,
                      uint32_t mode)
{
    int dir = wm_directory_open(directory);
    int error = dir < 0 ? dir : -EAGAIN;

    for (int attempt = 0; attempt < ATTEMPTS && error == -EAGAIN; attempt++) {
        wm_segment_clear(segment);
        segment->geometry = geometry;
        error = create_once(segment, dir, instance, mode);
    }
    if (dir >= 0) {
        close(dir);
    }
    return error;
}

int wm_segment_create_anonymous(struct wm_segment *segment,
                                const char *instance,
                                struct wm_geometry geometry)
{
    char name[WM_NAME_SIZE];
    int error, fd;

    wm_segment_clear(segment);
    segment->geometry = geometry;
    snprintf(name, sizeof(name), "%s%s", WM_NAME_PREFIX, instance);
    fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    error = fchmod(fd, 0600) == 0 ? 0 : -errno;
    if (error == 0 && flock(fd, LOCK_SH | LOCK_NB) != 0) {
        error = -errno;
    }
    if (error == 0) {
        error = furnish(segment, fd, instance, 0600);
    }
    close(fd);
    return error;
}

/* Checks a file without reading it. */
static int check_file(const struct stat *st)
{
    /* Safeguard: plain_files_alone_are_believed */
    if (!S_ISREG(st->st_mode)) {
        return -EBADMSG;
    }
    /* Safeguard: other_users_files_are_not_believed */
    if (wm_is_strangers(st) && geteuid() != 0) {
        return -EPERM;
    }
    return st->st_size < (off_t)WM_HEADER_LEAST ? -ENODATA : 0;
}

/* Copies the constants, magic first. They must not change between check and
 * use, so no code reads them in the file again; the fence forbids it to the
 * compiler, too. */
static void copy_constants(struct wm_segment *segment,
                           const struct wm_segment_header *h)
{
    uint64_t magic = header_magic_acquire(h);

    memcpy(segment->constants, h, WM_CONSTANTS);
    memcpy(segment->constants, &magic, sizeof(magic));
    atomic_signal_fence(memory_order_seq_cst);
}

/* Whether a size in the header is one that some version makes: whole lines, and
 * no shorter than the first version's. */
static bool is_whole(uint32_t size, uint32_t least)
{
    return size >= least && size <= WM_STRIDE_MOST && size % WM_LINE == 0;
}

/* Checks how the segment is made, by its header; computes the geometry. */
static int check_make(struct wm_geometry *g, const struct wm_segment_header *h)
{
    *g = (struct wm_geometry){
        .tag = h->tag,
        .capacity = h->capacity,
        .log_entries = h->log_entries,
        .header_size = h->header_size,
        .record_stride = h->record_stride,
        .cold_stride = h->cold_stride,
        .generation_stride = h->generation_stride,
        .log_stride = h->log_stride,
    };
    /* Safeguard: tables_are_bounded */
    if (!is_whole(g->header_size, WM_HEADER_LEAST) ||
        !is_whole(g->record_stride, WM_RECORD_LEAST) ||
        !is_whole(g->cold_stride, WM_COLD_LEAST) ||
        !is_whole(g->generation_stride, WM_GENERATION_LEAST) ||
        !is_whole(g->log_stride, WM_LOG_LEAST) || g->capacity == 0 ||
        g->capacity > WM_CAPACITY_MAX || g->log_entries == 0 ||
        g->log_entries > WM_LOG_MAX) {
        return -EUCLEAN;
    }
    wm_geometry_lay_out(g);
    if (h->size != g->size || h->generations != g->generations) {
        return -EUCLEAN;
    }
    /* An address space of 32 bits cannot hold every size. */
    return g->size <= PTRDIFF_MAX ? 0 : -ENOMEM;
}

/* Checks the constants. */
static int check_header(struct wm_segment *segment,
                        const struct wm_segment_header *h,
                        const struct stat *st)
{
    int error;

    if (header_magic_acquire(h) != WM_MAGIC) {
        return -EBADMSG;
    }
    /* Safeguard: other_versions_are_refused */
    if (h->abi != WM_ABI ||
        (h->incompatible & ~WM_FEATURES_INCOMPATIBLE) != 0) {
        return -EPROTO;
    }
    if (memchr(h->instance, '\0', sizeof(h->instance)) == NULL ||
        !wm_instance_valid(h->instance)) {
        return -EUCLEAN;
    }
    error = check_make(&segment->geometry, h);
    if (error != 0) {
        return error;
    }
    /* Safeguard: file_is_as_long_as_its_tables */
    if (st->st_size < (off_t)segment->geometry.size) {
        return -ENODATA;
    }
    /* Safeguard: wider_mode_is_not_believed */
    return (st->st_mode & (S_IWGRP | S_IWOTH) & ~h->mode) != 0 ? -ENOTSUP : 0;
}

int wm_segment_map(struct wm_segment *segment, int fd, bool writable)
{
    struct wm_segment_header *h, copy;
    struct stat st;
    int error = fstat(fd, &st) == 0 ? check_file(&st) : -errno;

    if (error != 0) {
        return error;
    }
    h = mmap(NULL, WM_CONSTANTS, PROT_READ, MAP_SHARED, fd, 0);
    if (h == MAP_FAILED) {
        return -errno;
    }
    copy_constants(segment, h);
    munmap(h, WM_CONSTANTS);
    memcpy(&copy, segment->constants, WM_CONSTANTS);
    error = check_header(segment, &copy, &st);
    return error != 0 ? error : map(segment, fd, writable);
}

int wm_segment_open_file(const char *directory, const char *name)
{
    int dir, fd;

    if (strchr(name, '/') != NULL ||
        strncmp(name, WM_NAME_PREFIX, sizeof(WM_NAME_PREFIX) - 1) != 0 ||
        strlen(name) >= WM_NAME_SIZE) {
        return -ENOENT;
    }
    dir = wm_directory_open(directory);
    if (dir < 0) {
        return dir;
    }
    /* Safeguard: links_are_not_followed */
    fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        fd = errno == ELOOP ? -EBADMSG : -errno;
    }
    close(dir);
    return fd;
}

int wm_segment_open(struct wm_segment *segment, const char *directory,
                    const char *name)
{
    int error, fd;

    wm_segment_clear(segment);
    fd = wm_segment_open_file(directory, name);
    if (fd < 0) {
        return fd;
    }
    error = wm_segment_map(segment, fd, false);
    close(fd);
    if (error == 0) {
        snprintf(segment->name, sizeof(segment->name), "%s", name);
    }
    return error;
}

void wm_segment_close(struct wm_segment *segment)
{
    if (segment->header != NULL) {
        munmap(segment->header, wm_segment_size(segment));
        segment->header = NULL;
    }
    if (wm_segment_is_open_on(segment, segment->fd)) {
        close(segment->fd);
    }
    segment->fd = -1;
}
