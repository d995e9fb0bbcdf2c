/* SPDX-License-Identifier: Apache-2.0 */

#include "clock.h"

#include "processes.h"

#include <sys/syscall.h>

struct clock fake_clock;

int clock_gettime(clockid_t id, struct timespec *ts)
{
    struct clock *c = &fake_clock;
    uint64_t ms = c->passed_ms + (id == CLOCK_BOOTTIME ? c->asleep_ms : 0);
    uint64_t frozen = c->frozen_ms;

    if (c->pause_ms != 0) { /* for threads, that only read */
        c->passed_ms += c->pause_ms;
    }
    if (frozen != 0) {
        frozen += c->passed_ms;
        ts->tv_sec = (time_t)(frozen / 1000);
        ts->tv_nsec = (long)(frozen % 1000) * 1000000;
        return 0;
    }
#ifdef SYS_clock_gettime64 /* a machine of 32 bits, and a long time */
    syscall(SYS_clock_gettime64, id, ts);
#else
    syscall(SYS_clock_gettime, id, ts);
#endif
    ts->tv_sec += (time_t)(ms / 1000) + c->shift_s +
                  (id == CLOCK_MONOTONIC_COARSE ? c->coarse_s : 0);
    return 0;
}

int clock_tear_down(void **state)
{
    fake_clock = (struct clock){0};
    return node_tear_down(state);
}
