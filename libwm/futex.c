/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The system call, which has no function in libc. A kernel for 32 bits has two,
 * which differ in the time that they read: the former one's ends in 2038. Which
 * of them reads struct timespec depends on how the library is compiled, and so
 * neither is given one. */

#include "futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef SYS_futex_time64
static long wait_time64(const void *word, uint32_t value, uint64_t ms)
{
    const struct {
        int64_t seconds;
        int64_t nanoseconds;
    } timeout = {(int64_t)(ms / 1000), (int64_t)(ms % 1000) * 1000000};

    return syscall(SYS_futex_time64, word, FUTEX_WAIT, value,
                   ms == 0 ? NULL : &timeout, NULL, 0);
}
#endif

#ifdef SYS_futex
static long wait_time(const void *word, uint32_t value, uint64_t ms)
{
    const struct {
        long seconds;
        long nanoseconds;
    } timeout = {(long)(ms / 1000), (long)(ms % 1000) * 1000000};

    return syscall(SYS_futex, word, FUTEX_WAIT, value,
                   ms == 0 ? NULL : &timeout, NULL, 0);
}
#endif

int wm_futex_wait(const void *word, uint32_t value, uint64_t ms)
{
    long result = -1;

    errno = ENOSYS;
#ifdef SYS_futex_time64
    result = wait_time64(word, value, ms);
#endif
#ifdef SYS_futex
    if (result < 0 && errno == ENOSYS) {
        result = wait_time(word, value, ms);
    }
#endif
    return result == 0 || errno == EAGAIN ? 0 : -errno;
}

int wm_futex_wake(const void *word, int count)
{
#ifdef SYS_futex
    long woken = syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
#else
    long woken =
        syscall(SYS_futex_time64, word, FUTEX_WAKE, count, NULL, NULL, 0);
#endif

    return woken < 0 ? 0 : (int)woken;
}
