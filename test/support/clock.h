/* SPDX-License-Identifier: Apache-2.0 */

/* The clock of a program linked with this: the kernel's, or as a test says. */

#pragma once

#include <stdint.h>
#include <time.h>

struct clock {
    time_t shift_s;     /* of all clocks */
    time_t coarse_s;    /* of CLOCK_MONOTONIC_COARSE */
    uint64_t asleep_ms; /* that the machine pretends to have been */
    uint64_t pause_ms;  /* that pass with each answer */
    uint64_t passed_ms; /* so far */
    _Atomic uint64_t
        frozen_ms; /* where all clocks stop, but for pauses; or 0 */
};

extern struct clock fake_clock;

/* CMocka's teardown of a node, and of all pretence. */
int clock_tear_down(void **state);
#define TIMED_TEST(name) TEST_WITH(generation_set_up, clock_tear_down, name)
