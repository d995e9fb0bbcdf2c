/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The processes that take part in a segment, and the end of its file.
 *
 * Each participant holds a share of flock through its mapping: the mapping
 * keeps the open file, and with it the lock, over fork and after the descriptor
 * is closed. Exec and death give it up, also if the dead process stays a
 * zombie. A process that gets the exclusive lock from a fresh open therefore
 * knows that nobody takes part, and only such a process may unlink the file. A
 * creator takes its share after the file is made, so it checks afterwards that
 * the file is still linked, and begins again if it is not (segment.c). */

#include "share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ATTEMPTS 16

/* Takes the exclusive lock, which proves that nobody takes part: 0, -EBUSY, or
 * an error of flock(2). A process that only checks usage holds it for a moment,
 * too, and must not be mistaken for a participant. While it has the exclusive
 * lock, a shared lock is refused as well, which a participant's lock allows;
 * then this function waits. If it is granted a shared lock, the next attempt
 * gives that up. */
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
        /* Safeguard: asking_is_told_from_taking_part */
        if (flock(fd, LOCK_SH | LOCK_NB) != 0) {
            nanosleep(&pause, NULL);
        }
    }
    return -EBUSY;
}

int wm_segment_use(const char *directory, const char *name)
{
    int fd = wm_segment_open_file(directory, name);
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

    wm_segment_clear(&segment);
    fd = wm_segment_open_file(directory, name);
    if (fd < 0) {
        return fd;
    }
    /* Safeguard: unlinking_proves_that_nobody_takes_part */
    error = lock_alone(fd);
    if (error != 0) {
        close(fd);
        return error;
    }
    /* Safeguard: own_files_alone_are_judged */
    error = fstat(fd, &st) != 0      ? -errno
            : st.st_uid != geteuid() ? -EPERM
                                     : wm_segment_map(&segment, fd, false);
    result = 0;
    /* Safeguard: unlinking_happens_under_the_lock */
    if (judge(error == 0 ? &segment : NULL, error, argument)) {
        dir = wm_directory_open(directory);
        if (dir < 0 || unlinkat(dir, name, 0) != 0) {
            result = -errno;
        }
        if (dir >= 0) {
            close(dir);
        }
    }
    wm_segment_close(&segment);
    close(fd); /* this gives the lock up, so it follows the unlink */
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
        if (wm_name_matches(entry->d_name, instance)) {
            visit(entry->d_name, argument);
        }
    }
    closedir(dir);
    return 0;
}
