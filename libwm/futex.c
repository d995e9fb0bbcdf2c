/* SPDX-License-Identifier: Apache-2.0 */

/* The system call, which has no function in libc. Machines of 32 bits have two,
 * which differ in the time that they read: the former one's ends in 2038, which
 * matters to none of the spans here. A kernel may have one of them only. Which
 * of them reads struct timespec depends on how the library is compiled, and so
 * neither is given one. */

#include "futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/types.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPAN(type, ms)                                                         \
    {                                                                          \
        (type)((ms) / 1000), (type)((ms) % 1000) * 1000000                     \
    }

/* As syscall(2). ms: 0 for ever. */
static long futex(const void *word, int operation, uint32_t value, uint64_t ms)
{
    long result = -1;

    errno = ENOSYS;
#ifdef SYS_futex
    const __kernel_long_t span[] = SPAN(__kernel_long_t, ms);

    result = syscall(SYS_futex, word, operation, value, ms == 0 ? NULL : span,
                     NULL, 0);
#endif
#ifdef SYS_futex_time64
    const int64_t long_span[] = SPAN(int64_t, ms);

    if (result < 0 && errno == ENOSYS) {
        result = syscall(SYS_futex_time64, word, operation, value,
                         ms == 0 ? NULL : long_span, NULL, 0);
    }
#endif
    return result;
}

int wm_futex_wait(const void *word, uint32_t value, uint64_t ms)
{
    return futex(word, FUTEX_WAIT, value, ms) == 0 || errno == EAGAIN ? 0
                                                                      : -errno;
}

int wm_futex_wake(const void *word, int count)
{
    long woken = futex(word, FUTEX_WAKE, (uint32_t)count, 0);

    return woken < 0 ? 0 : (int)woken;
}
