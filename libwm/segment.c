/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The file side: how a segment comes to be, who may open it, when it goes.
 *
 * Who takes part in a segment is the kernel's word: each participant holds a
 * share of flock through its mapping (the mapping keeps the open file, and
 * with it the lock, over fork and after the descriptor is closed; exec and
 * death give it up, also for a zombie). Whoever gets the exclusive lock from a
 * fresh open knows that nobody takes part, and alone may unlink. A creator
 * takes its share after the file is made, so it checks afterwards that the
 * file is still linked, and begins again if it is not.
 *
 * Nothing here looks into records; protocol.md has the argument. */

#include "segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEX_DIGITS 16
#define ATTEMPTS 16

static const char prefix[] = "wm.";

bool wm_instance_valid(const char *instance)
{
    size_t n = instance == NULL ? 0 : strlen(instance);

    if (n == 0 || n >= WM_INSTANCE_SIZE || instance[0] == '.') {
        return false;
    }
    return strspn(instance, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "abcdefghijklmnopqrstuvwxyz"
                            "0123456789_.-") == n;
}

/* Whether `name` is prefix, instance (NULL: any), dot, hex digits. */
static bool name_matches(const char *name, const char *instance)
{
    const char *dot = strrchr(name, '.');
    size_t n;

    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0) {
        return false;
    }
    name += sizeof(prefix) - 1;
    if (dot < name || strspn(dot + 1, "0123456789abcdef") != HEX_DIGITS ||
        dot[1 + HEX_DIGITS] != '\0') {
        return false;
    }
    n = (size_t)(dot - name);
    return instance == NULL ||
           (strlen(instance) == n && strncmp(name, instance, n) == 0);
}

static uint64_t pid_namespace(void)
{
    struct stat st;

    return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}

bool wm_segment_name_valid(const char *name)
{
    return name_matches(name, NULL);
}

static int open_directory(const char *directory)
{
    int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
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

    base = mmap(NULL, segment->geometry.size, access, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        return -errno;
    }
    segment->writable = writable;
    place(segment, base);
    return 0;
}

/* A second, read-only open of the same file, share-locked: what a later
 * binary of the same node may inherit. Failing is no error: then an upgrade
 * starts a node of its own. */
static int keep_descriptor(int fd)
{
    char path[40];
    int kept;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    kept = open(path, O_RDONLY | O_CLOEXEC);
    if (kept >= 0 && flock(kept, LOCK_SH | LOCK_NB) != 0) {
        close(kept);
        kept = -1;
    }
    return kept;
}

static void fill_header(struct wm_segment *segment, const char *instance,
                        uint32_t mode)
{
    struct wm_segment_header *h = segment->header;
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    h->abi = WM_ABI;
    h->header_size = sizeof(*h);
    h->size = segment->geometry.size;
    h->capacity = segment->geometry.capacity;
    h->generations = segment->geometry.generations;
    h->log_entries = segment->geometry.log_entries;
    h->mode = mode;
    h->pid_namespace = pid_namespace();
    h->created = (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
    memcpy(h->instance, instance, strlen(instance) + 1);
    /* Pairs with the load in copy_constants: a reader that sees the magic sees
     * all that stands above. */
    atomic_store_explicit(&h->magic, WM_MAGIC, memory_order_release);
    memcpy(segment->constants, h, WM_CONSTANTS);
}

/* Reserves the space, so that a full file system is an error here and not a
 * SIGBUS later, maps and fills it. */
static int furnish(struct wm_segment *segment, int fd, const char *instance,
                   uint32_t mode)
{
    int error;

    do {
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
    segment->fd = keep_descriptor(fd);
    return 0;
}

/* One attempt; -EAGAIN if somebody tidied the file up before it was locked. */
static int create_once(struct wm_segment *segment, int dir,
                       const char *instance, uint32_t mode)
{
    struct stat st;
    uint64_t number;
    int error, fd;

    if (getrandom(&number, sizeof(number), 0) != sizeof(number)) {
        return -EIO;
    }
    snprintf(segment->name, sizeof(segment->name), "%s%s.%016llx", prefix,
             instance, (unsigned long long)number);
    fd = openat(dir, segment->name,
                O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno == EEXIST ? -EAGAIN : -errno;
    }
    /* Refused where a tidier or a tool is just asking who uses the file. */
    error = flock(fd, LOCK_SH | LOCK_NB) == 0 ? 0 : -EAGAIN;
    if (error == 0) {
        error = furnish(segment, fd, instance, mode);
    }
    if (error == 0 && fchmod(fd, (mode_t)mode) != 0) {
        error = -errno;
    }
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

static void clear(struct wm_segment *segment)
{
    memset(segment, 0, sizeof(*segment));
    segment->fd = -1;
}

int wm_segment_create(struct wm_segment *segment, const char *directory,
                      const char *instance, struct wm_geometry geometry,
                      uint32_t mode)
{
    int dir = open_directory(directory);
    int error = dir < 0 ? dir : -EAGAIN;

    for (int attempt = 0; attempt < ATTEMPTS && error == -EAGAIN; attempt++) {
        clear(segment);
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

    clear(segment);
    segment->geometry = geometry;
    snprintf(name, sizeof(name), "%s%s", prefix, instance);
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

/* What can be said of a file without reading it. */
static int check_file(const struct stat *st)
{
    if (!S_ISREG(st->st_mode)) {
        return -EBADMSG;
    }
    if (st->st_uid != geteuid() && st->st_uid != 0 && geteuid() != 0) {
        return -EPERM;
    }
    return st->st_size < (off_t)sizeof(struct wm_segment_header) ? -ENODATA : 0;
}

/* Copies the constants, magic first. What is checked must not change between
 * check and use, so nobody reads them in the file again: nor may the compiler,
 * which the fence forbids. */
static void copy_constants(struct wm_segment *segment,
                           const struct wm_segment_header *h)
{
    uint64_t magic = atomic_load_explicit(&h->magic, memory_order_acquire);

    memcpy(segment->constants, h, WM_CONSTANTS);
    memcpy(segment->constants, &magic, sizeof(magic));
    atomic_signal_fence(memory_order_seq_cst);
}

/* What the header says of itself; computes the geometry. */
static int check_header(struct wm_segment *segment,
                        const struct wm_segment_header *h,
                        const struct stat *st)
{
    uint64_t namespace = pid_namespace();
    uint32_t capacity, log_entries;

    if (h->magic != WM_MAGIC) {
        return -EBADMSG;
    }
    if (h->abi != WM_ABI || h->header_size != sizeof(*h)) {
        return -EPROTO;
    }
    capacity = h->capacity;
    log_entries = h->log_entries;
    if (capacity == 0 || capacity > WM_CAPACITY_MAX || log_entries == 0 ||
        log_entries > WM_LOG_MAX ||
        memchr(h->instance, '\0', sizeof(h->instance)) == NULL ||
        !wm_instance_valid(h->instance)) {
        return -EUCLEAN;
    }
    segment->geometry = wm_geometry(capacity, log_entries);
    if (h->size != segment->geometry.size) {
        return -EUCLEAN;
    }
    if (st->st_size < (off_t)segment->geometry.size) {
        return -ENODATA;
    }
    if ((st->st_mode & (S_IWGRP | S_IWOTH) & ~h->mode) != 0) {
        return -ENOTSUP;
    }
    return h->pid_namespace != 0 && namespace != 0 &&
                   h->pid_namespace != namespace
               ? -EXDEV
               : 0;
}

static int check_and_map(struct wm_segment *segment, int fd, bool writable)
{
    struct wm_segment_header *h, copy;
    struct stat st;
    int error = fstat(fd, &st) == 0 ? check_file(&st) : -errno;

    if (error != 0) {
        return error;
    }
    h = mmap(NULL, sizeof(*h), PROT_READ, MAP_SHARED, fd, 0);
    if (h == MAP_FAILED) {
        return -errno;
    }
    copy_constants(segment, h);
    munmap(h, sizeof(*h));
    memcpy(&copy, segment->constants, WM_CONSTANTS);
    error = check_header(segment, &copy, &st);
    return error != 0 ? error : map(segment, fd, writable);
}

static int open_file(const char *directory, const char *name)
{
    int dir, fd;

    if (strchr(name, '/') != NULL ||
        strncmp(name, prefix, sizeof(prefix) - 1) != 0 ||
        strlen(name) >= WM_NAME_SIZE) {
        return -ENOENT;
    }
    dir = open_directory(directory);
    if (dir < 0) {
        return dir;
    }
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

    clear(segment);
    fd = open_file(directory, name);
    if (fd < 0) {
        return fd;
    }
    error = check_and_map(segment, fd, false);
    close(fd);
    if (error == 0) {
        snprintf(segment->name, sizeof(segment->name), "%s", name);
    }
    return error;
}

/* Whether a descriptor's link points into a segment of this instance, NULL for
 * any; name: of its file, "" for anonymous memory. */
static bool link_matches(const char *target, const char *instance, char *name)
{
    static const char memory[] = "/memfd:wm.";
    static const char deleted[] = " (deleted)";
    const size_t end = sizeof(deleted) - 1;
    const char *base = strrchr(target, '/');
    size_t n;

    if (base == NULL || strlen(base + 1) >= WM_NAME_SIZE) {
        return false;
    }
    memcpy(name, base + 1, strlen(base));
    n = strlen(name);
    if (n > end && strcmp(name + n - end, deleted) == 0) {
        name[n - end] = '\0';
    }
    if (strncmp(target, memory, sizeof(memory) - 1) == 0) {
        base = strchr(name, '.') + 1;
        n = instance == NULL || strcmp(base, instance) == 0;
        name[0] = '\0';
        return n != 0;
    }
    return name_matches(name, instance);
}

/* The next descriptor in /proc/self/fd that came over exec and is open on a
 * segment of this instance, NULL for any; -1: there is none left. */
static int next_inherited(DIR *dir, const char *instance, char *name)
{
    const struct dirent *entry;
    char target[512];

    while ((entry = readdir(dir)) != NULL) {
        ssize_t n =
            readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
        int fd = (int)strtol(entry->d_name, NULL, 10);
        int flags;

        if (n <= 0) {
            continue;
        }
        target[n] = '\0';
        /* One that this process opened itself is close-on-exec. */
        flags = link_matches(target, instance, name) ? fcntl(fd, F_GETFD) : -1;
        if (flags >= 0 && (flags & FD_CLOEXEC) == 0) {
            return fd;
        }
    }
    return -1;
}

/* Takes the descriptor over: a writable mapping from a new open of it. */
static int adopt_descriptor(struct wm_segment *segment, int inherited,
                            const char *instance)
{
    char path[40];
    int error, fd;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", inherited);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    error = flock(fd, LOCK_SH | LOCK_NB) == 0 ? 0 : -errno;
    if (error == 0) {
        error = check_and_map(segment, fd, true);
    }
    close(fd);
    if (error != 0) {
        return error;
    }
    if (strncmp(segment->header->instance, instance, WM_INSTANCE_SIZE) != 0) {
        wm_segment_close(segment);
        return -ENOENT;
    }
    segment->fd = inherited;
    fcntl(inherited, F_SETFD, FD_CLOEXEC);
    return 0;
}

int wm_segment_adopt(struct wm_segment *segment, const char *instance)
{
    char name[WM_NAME_SIZE];
    int fd, result = -ENOENT;
    DIR *dir = opendir("/proc/self/fd");

    if (dir == NULL) {
        return -ENOENT;
    }
    while (result != 0 && (fd = next_inherited(dir, instance, name)) >= 0) {
        clear(segment);
        result = adopt_descriptor(segment, fd, instance);
        if (result == 0) {
            memcpy(segment->name, name, sizeof(name));
        } else if (result != -ENOENT) {
            close(fd);
        }
    }
    closedir(dir);
    return result;
}

void wm_segment_disown(void)
{
    char name[WM_NAME_SIZE];
    int fd;
    DIR *dir = opendir("/proc/self/fd");

    while (dir != NULL && (fd = next_inherited(dir, NULL, name)) >= 0) {
        close(fd);
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

void wm_segment_close(struct wm_segment *segment)
{
    if (segment->header != NULL) {
        munmap(segment->header, segment->geometry.size);
        segment->header = NULL;
    }
    if (segment->fd >= 0) {
        close(segment->fd);
        segment->fd = -1;
    }
}

void wm_segment_keep_private(const struct wm_segment *segment)
{
    if (segment->fd >= 0) {
        fcntl(segment->fd, F_SETFD, FD_CLOEXEC);
    }
}

/* Takes the exclusive lock, which proves that nobody takes part: 0, -EBUSY, or
 * what flock(2) said. Whoever just asks holds it for a moment, too, and must
 * not be mistaken for a participant: unlike one, it refuses shares as well,
 * and is waited for. A share that is granted here goes at the next attempt. */
static int lock_alone(int fd)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            return 0;
        }
        if (errno != EWOULDBLOCK) {
            return -errno;
        }
        if (flock(fd, LOCK_SH | LOCK_NB) != 0) {
            nanosleep(&pause, NULL);
        }
    }
    return -EBUSY;
}

int wm_segment_use(const char *directory, const char *name)
{
    int fd = open_file(directory, name);
    int error;

    if (fd < 0) {
        return fd;
    }
    error = lock_alone(fd);
    close(fd);
    return error == -EBUSY ? 1 : error;
}

int wm_segment_unlink(const char *directory, const char *name,
                      wm_segment_judge *judge, void *argument)
{
    struct wm_segment segment;
    struct stat st;
    int dir, error, fd, result;

    clear(&segment);
    fd = open_file(directory, name);
    if (fd < 0) {
        return fd;
    }
    error = lock_alone(fd);
    if (error != 0) {
        close(fd);
        return error;
    }
    error = fstat(fd, &st) != 0      ? -errno
            : st.st_uid != geteuid() ? -EPERM
                                     : check_and_map(&segment, fd, false);
    result = 0;
    if (judge(error == 0 ? &segment : NULL, error, argument)) {
        dir = open_directory(directory);
        if (dir < 0 || unlinkat(dir, name, 0) != 0) {
            result = -errno;
        }
        if (dir >= 0) {
            close(dir);
        }
    }
    wm_segment_close(&segment);
    close(fd); /* and with it the lock: after the unlink */
    return result;
}

int wm_segment_list(const char *directory, const char *instance,
                    void (*visit)(const char *name, void *argument),
                    void *argument)
{
    const struct dirent *entry;
    DIR *dir = opendir(directory);

    if (dir == NULL) {
        return -errno;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (name_matches(entry->d_name, instance)) {
            visit(entry->d_name, argument);
        }
    }
    closedir(dir);
    return 0;
}
