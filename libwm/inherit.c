/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The way over exec: each participant keeps a second descriptor of the segment;
 * the server's next binary finds it, and takes the node over with it.
 * protocol.md says which process lets it be inherited, and when. */

#include "inherit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

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
    return wm_name_matches(name, instance);
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
        /* A descriptor that this process opened itself is close-on-exec. */
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
        error = wm_segment_map(segment, fd, true);
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
        wm_segment_clear(segment);
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

static void set_cloexec(const struct wm_segment *segment, int flag)
{
    if (segment->fd >= 0) {
        fcntl(segment->fd, F_SETFD, flag);
    }
}

void wm_segment_keep_private(const struct wm_segment *segment)
{
    set_cloexec(segment, FD_CLOEXEC);
}

void wm_segment_bequeath(const struct wm_segment *segment)
{
    set_cloexec(segment, 0);
}
