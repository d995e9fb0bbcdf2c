/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The clock of the program whose one source includes this: the kernel's, unless
 * a test says otherwise. */

#ifndef CLOCK_H
#define CLOCK_H

#include "processes.h"

#include <sys/syscall.h>

static struct {
    time_t shift_s;             /* of all clocks */
    time_t coarse_s;            /* of CLOCK_MONOTONIC_COARSE */
    uint64_t asleep_ms;         /* that the machine pretends to have been */
    uint64_t pause_ms;          /* that pass with each answer */
    uint64_t passed_ms;         /* so far */
    _Atomic uint64_t frozen_ms; /* CLOCK_MONOTONIC; 0: it goes on */
} fake_clock;

int clock_gettime(clockid_t id, struct timespec *ts)
{
    uint64_t ms = fake_clock.passed_ms +
                  (id == CLOCK_BOOTTIME ? fake_clock.asleep_ms : 0);
    uint64_t frozen = fake_clock.frozen_ms;

    if (id == CLOCK_MONOTONIC && frozen != 0) {
        ts->tv_sec = (time_t)(frozen / 1000);
        ts->tv_nsec = (long)(frozen % 1000) * 1000000;
        return 0;
    }
    if (fake_clock.pause_ms != 0) {
        fake_clock.passed_ms += fake_clock.pause_ms;
    }
    if (syscall(SYS_clock_gettime, id, ts) != 0) {
        return -1;
    }
    ts->tv_sec += (time_t)(ms / 1000) + fake_clock.shift_s +
                  (id == CLOCK_MONOTONIC_COARSE ? fake_clock.coarse_s : 0);
    return 0;
}

/* CMocka's teardown of a node, and of all pretence. */
static int clock_tear_down(void **state)
{
    memset(&fake_clock, 0, sizeof(fake_clock));
    return node_tear_down(state);
}

#endif
