/* SPDX-License-Identifier: Apache-2.0 */

/* The way over exec: each participant keeps a second descriptor of the segment;
 * the server's next binary finds it, and takes the node over with it. The
 * descriptor takes part in nothing, so the node may end in between. protocol.md
 * says which process lets it be inherited, and when. */

#include "inherit.h"

#include "header_fields.h"
#include "process.h"
#include "share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define TARGET_SIZE 512

static bool is_heir; /* has come by exec, and has not forked yet */

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
 * segment of this instance, NULL for any; target: its file; -1: there is none
 * left. */
static int next_inherited(DIR *dir, const char *instance,
                          char target[TARGET_SIZE], char *name)
{
    const struct dirent *entry;

    while ((entry = readdir(dir)) != NULL) {
        ssize_t n =
            readlinkat(dirfd(dir), entry->d_name, target, TARGET_SIZE - 1);
        int fd = (int)strtol(entry->d_name, NULL, 10);
        int flags;

        if (n <= 0) {
            continue;
        }
        target[n] = '\0';
        /* That of a node that this process has is close-on-exec by now. */
        flags = link_matches(target, instance, name) ? fcntl(fd, F_GETFD) : -1;
        if (flags >= 0 && (flags & FD_CLOEXEC) == 0) {
            return fd;
        }
    }
    return -1;
}

/* The segment is mapped, and this process alone takes part in it, under the
 * exclusive lock: goes on in a new one, so that tools find it by its name. If
 * none can be made, returns false. */
static bool succeed(struct wm_segment *former, const char *directory)
{
    struct wm_segment next;
    struct wm_segment_header constants;

    memcpy(&constants, former->constants, WM_CONSTANTS);
    if (wm_segment_create(&next, directory, constants.instance,
                          former->geometry, constants.mode) != 0) {
        return false;
    }
    memcpy((char *)next.header + WM_CONSTANTS,
           (const char *)former->header + WM_CONSTANTS,
           wm_segment_size(former) - WM_CONSTANTS);
    header_set_successor(former->header, wm_self_ident());
    wm_segment_close(former);
    *former = next;
    return true;
}

/* The file has no link. If this process stays in it, it takes its share anew,
 * which it has lost by asking for the exclusive lock; another heir may have had
 * that meanwhile, and has left its mark. */
static int adopt_unlinked(struct wm_segment *segment, int fd,
                          const struct stat *st, const char *directory)
{
    int error;

    if (wm_segment_lock_alone(fd, st) == 0 &&
        header_successor(segment->header) == 0 && succeed(segment, directory)) {
        return 0;
    }
    error = wm_segment_take_share(fd);
    /* Safeguard: segment_is_succeeded_once */
    return error == 0 && header_successor(segment->header) != 0 ? -ESTALE
                                                                : error;
}

/* Maps the segment through a descriptor that has a share; it must be the one
 * that is asked for. */
static int map_shared(struct wm_segment *segment, int fd, const char *instance,
                      uint32_t tag)
{
    int error = wm_segment_map(segment, fd, true);

    if (error == 0 && !wm_segment_is_of_namespace(segment)) {
        error = -EXDEV;
    }
    if (error == 0 && !wm_segment_is_asked_for(segment, instance, tag)) {
        error = -ENOENT;
    }
    return error;
}

/* Takes the descriptor over: a writable mapping from a new open of it. The
 * share comes first, and then the look at the file: from here on no process is
 * granted the lock under which it would be unlinked. */
static int adopt_descriptor(struct wm_segment *segment, int inherited,
                            const char *directory, const char *instance,
                            uint32_t tag, bool *is_asked_for)
{
    char path[40];
    struct stat st;
    int error, fd;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", inherited);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    error = wm_segment_take_share(fd);
    if (error == 0) {
        error = map_shared(segment, fd, instance, tag);
    }
    *is_asked_for = error == 0;
    if (error == 0 && fstat(fd, &st) == 0) {
        fcntl(inherited, F_SETFD, FD_CLOEXEC);
        wm_segment_keep(segment, fd, inherited);
        /* Anonymous memory has no link either, and no name. */
        if (segment->name[0] != '\0' && st.st_nlink == 0) {
            error = adopt_unlinked(segment, fd, &st, directory);
        }
    }
    if (error != 0) {
        segment->fd = -1;
        wm_segment_close(segment);
    }
    close(fd);
    return error;
}

/* The directory of a file that an adopted segment still has, if that is not the
 * one that the caller names; else NULL. */
static char *place_of(const struct wm_segment *segment, char *target,
                      const char *directory)
{
    struct stat st;

    if (segment->name[0] == '\0' || stat(target, &st) != 0 ||
        !wm_segment_is_file(segment, &st)) {
        return NULL;
    }
    *strrchr(target, '/') = '\0';
    return strcmp(target, directory) == 0 ? NULL : strdup(target);
}

int wm_segment_adopt(struct wm_segment *segment, const char *directory,
                     const char *instance, uint32_t tag, char **place)
{
    char target[TARGET_SIZE], name[WM_NAME_SIZE];
    int fd, error, result = -ENOENT;
    DIR *dir = opendir("/proc/self/fd");
    bool is_asked_for = false;

    is_heir = true;
    if (dir == NULL) {
        return -ENOENT;
    }
    while (result != 0 && (fd = next_inherited(dir, tag == 0 ? instance : NULL,
                                               target, name)) >= 0) {
        wm_segment_clear(segment);
        memcpy(segment->name, name, sizeof(name));
        error = adopt_descriptor(segment, fd, directory, instance, tag,
                                 &is_asked_for);
        /* Another one's is no business of ours, also if it cannot be read. */
        if (error != 0 &&
            (is_asked_for || (error != -ENOENT &&
                              (tag == 0 || wm_name_matches(name, instance))))) {
            close(fd);
            result = result == -ENOENT ? error : result;
        }
        result = error == 0 ? 0 : result;
    }
    closedir(dir);
    *place = result == 0 ? place_of(segment, target, directory) : NULL;
    return result;
}

void wm_segment_disown(void)
{
    char target[TARGET_SIZE], name[WM_NAME_SIZE];
    DIR *dir = is_heir ? opendir("/proc/self/fd") : NULL;
    int fd;

    is_heir = false;
    while (dir != NULL && (fd = next_inherited(dir, NULL, target, name)) >= 0) {
        close(fd);
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

static int set_cloexec(const struct wm_segment *segment, int flag)
{
    return wm_segment_is_open_on(segment, segment->fd) &&
                   fcntl(segment->fd, F_SETFD, flag) == 0
               ? 0
               : -EBADF;
}

void wm_segment_keep_private(struct wm_segment *segment, const char *directory)
{
    if (segment->name[0] != '\0' &&
        !wm_segment_is_open_on(segment, segment->fd)) {
        int fd = wm_segment_open_file(directory, segment->name);

        if (!wm_segment_is_open_on(segment, fd) && fd >= 0) {
            close(fd);
            fd = -1;
        }
        segment->fd = fd;
    }
    set_cloexec(segment, FD_CLOEXEC);
}

int wm_segment_bequeath(const struct wm_segment *segment)
{
    return set_cloexec(segment, 0);
}
