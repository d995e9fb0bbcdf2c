/* SPDX-License-Identifier: Apache-2.0 */

/* Preloaded into a program that qemu emulates, for two things that qemu's user
 * mode does otherwise than the kernel.
 *
 * - It makes up a process's own /proc/PID/stat, with the start time of the
 *   process that it began as: forked children have the parent's, and others do
 *   not know them by it. A path that it does not recognise reaches the kernel.
 * - It leaves exec to the kernel, which cannot execute another machine's
 *   program; another qemu has to. The environment has all that it needs. */

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROC "/proc/"
#define ARGUMENTS 16

/* open, where files may be large. */
int open64(const char *path, int flags, ...)
{
    char real[64];
    mode_t mode = 0;
    va_list list;

    va_start(list, flags);
    if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
        mode = va_arg(list, mode_t);
    }
    va_end(list);
    if (strncmp(path, PROC, strlen(PROC)) == 0 &&
        (size_t)snprintf(real, sizeof(real), PROC "./%s", path + strlen(PROC)) <
            sizeof(real)) {
        path = real;
    }
    return openat64(AT_FDCWD, path, flags, mode);
}

/* The only one of its family that tests call, and on themselves. */
int execl(const char *path, const char *name, ...)
{
    const char *argument[ARGUMENTS] = {"qemu-aarch64", "-0", name, path};
    int count = 4;
    va_list list;

    va_start(list, name);
    do {
        argument[count] = va_arg(list, const char *);
    } while (argument[count] != NULL && ++count < ARGUMENTS - 1);
    va_end(list);
    unsetenv("LD_PRELOAD"); /* this library is nothing for qemu itself */
    return execvp(argument[0], (char *const *)argument);
}
