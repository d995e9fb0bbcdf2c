/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The directory lies in /dev/shm, as real segments do. */

#include "place.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

char place_directory[64];

int place_setup(void **state)
{
    (void)state;
    snprintf(place_directory, sizeof(place_directory),
             "/dev/shm/test-place-XXXXXX");
    return mkdtemp(place_directory) == NULL ? -1 : 0;
}

int place_teardown(void **state)
{
    const struct dirent *entry;
    DIR *dir = opendir(place_directory);

    (void)state;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        remove(place_path(entry->d_name)); /* "." and ".." refuse */
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return rmdir(place_directory);
}

int place_files(void)
{
    const struct dirent *entry;
    DIR *dir = opendir(place_directory);
    int n = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        n += entry->d_name[0] != '.';
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return n;
}

const char *place_path(const char *name)
{
    static char path[400];

    snprintf(path, sizeof(path), "%s/%s", place_directory, name);
    return path;
}

const char *place_program(void)
{
    static char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    assert_true(n > 0);
    path[n] = '\0';
    return path;
}

int place_run(int (*check)(const void *), const void *argument)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(check(argument));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -status;
}

bool place_has_pidfd(void)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

void place_skip(const char *test, const char *why)
{
    bool may = getenv("WM_MAY_SKIP") != NULL;

    print_message("# %s: %s%s\n", test, why, may ? ", allowed in CI" : "");
    skip();
}

void place_judge(const char *test, int result, const char *why)
{
    if (result == PLACE_IMPOSSIBLE) {
        place_skip(test, why);
    }
    assert_int_equal(result, 0);
}
