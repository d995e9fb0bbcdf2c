/* SPDX-License-Identifier: Apache-2.0 */

/* The processes that take part in a segment, and the end of its file.
 *
 * Each participant holds a share of flock through its mapping: the mapping
 * keeps the open file, and with it the lock, over fork and after the descriptor
 * is closed. Exec and death give it up, also if the dead process stays a
 * zombie. A process that gets the exclusive lock from a fresh open therefore
 * knows that nobody takes part, and only such a process may unlink the file. A
 * creator takes its share after the file is made, so it checks afterwards that
 * the file is still linked, and begins again if it is not (segment.c).
 *
 * A lock belongs to the open file, so a child that another thread forks
 * meanwhile would share it, and keep it as long as it lives. So a look takes
 * its lock away by LOCK_UN, which takes it from the child as well, before it
 * closes the descriptor. */

#include "share.h"

#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ATTEMPTS 16
#define HEIR_ATTEMPTS 2000 /* of a ms; an heir comes once */

/* A process that only checks usage holds the exclusive lock for a moment, too,
 * and must not be mistaken for a participant. While it has the lock, a shared
 * lock is refused as well, which a participant's lock allows; then this
 * function waits. If it is granted a shared lock, the next attempt gives that
 * up. Strangers may lock files of their own for as long as they like, so no
 * process waits for those. */
int wm_segment_lock_alone(int fd, const struct stat *st)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    /* Safeguard: strangers_are_not_waited_for */
    int attempts = wm_is_strangers(st) ? 1 : ATTEMPTS;

    for (int attempt = 0; attempt < attempts; attempt++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            return 0;
        }
        if (errno != EWOULDBLOCK) {
            return -errno;
        }
        /* Safeguard: asking_is_told_from_taking_part */
        if (flock(fd, LOCK_SH | LOCK_NB) != 0 && attempts > 1) {
            nanosleep(&pause, NULL);
        }
    }
    return -EBUSY;
}

int wm_segment_take_share(int fd)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int attempt = 0; attempt < HEIR_ATTEMPTS; attempt++) {
        if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
            return 0;
        }
        if (errno != EWOULDBLOCK) {
            return -errno;
        }
        /* A process that only checks usage gives its lock back at once. */
        /* Safeguard: heir_waits_for_a_look */
        nanosleep(&pause, NULL);
    }
    return -EBUSY;
}

static void unlock_and_close(int fd)
{
    /* Safeguard: look_leaves_no_lock_to_a_child */
    flock(fd, LOCK_UN);
    close(fd);
}

int wm_segment_use(const char *directory, const char *name, struct stat *st)
{
    int fd = wm_segment_open_file(directory, name);
    int error;

    if (fd < 0) {
        return fd;
    }
    error = fstat(fd, st) == 0 ? wm_segment_lock_alone(fd, st) : -errno;
    unlock_and_close(fd);
    return error == -EBUSY ? 1 : error;
}

static int unlink_file(const char *directory, const char *name)
{
    int dir = wm_directory_open(directory);
    int error = dir < 0 || unlinkat(dir, name, 0) != 0 ? -errno : 0;

    if (dir >= 0) {
        close(dir);
    }
    return error;
}

/* The caller has the exclusive lock. */
static int judge_file(const char *directory, const char *name, int fd,
                      const struct stat *st, wm_segment_judge *judge,
                      void *argument)
{
    struct wm_segment segment;
    int error = -EPERM, result = 0;

    wm_segment_clear(&segment);
    /* Safeguard: own_files_alone_are_judged */
    if (st->st_uid == geteuid()) {
        error = wm_segment_map(&segment, fd, false);
    }
    /* Safeguard: unlinking_happens_under_the_lock */
    if (judge(error == 0 ? &segment : NULL, error, argument)) {
        result = unlink_file(directory, name);
    }
    wm_segment_close(&segment);
    return result;
}

int wm_segment_unlink(const char *directory, const char *name,
                      wm_segment_judge *judge, void *argument)
{
    struct stat st;
    int cancel = wm_cancel_forbid(); /* with a lock of the file */
    int error, fd = wm_segment_open_file(directory, name);

    if (fd < 0) {
        wm_cancel_allow(cancel);
        return fd;
    }
    error = fstat(fd, &st) == 0 ? 0 : -errno;
    if (error == 0) {
        /* Safeguard: unlinking_proves_that_nobody_takes_part */
        error = wm_segment_lock_alone(fd, &st);
    }
    /* Another process may have judged the file between open and lock. */
    /* Safeguard: file_is_judged_once */
    if (error == 0 && (fstat(fd, &st) != 0 || st.st_nlink == 0)) {
        error = -ENOENT;
    }
    if (error == 0) {
        error = judge_file(directory, name, fd, &st, judge, argument);
    }
    unlock_and_close(fd); /* the lock covers the unlink */
    wm_cancel_allow(cancel);
    return error;
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
