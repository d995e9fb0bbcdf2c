/* SPDX-License-Identifier: Apache-2.0 */

/* The condition that all parts of the monitor wait with, and the mark by which
 * they know its thread. */

#include "monitor.h"

/* The thread itself sets it. A forked child of the thread keeps it, and is no
 * monitor's thread all the same (monitor->child). */
_Thread_local struct wm_monitor *wm_monitor_here;

int wm_monitor_init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int error;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    error = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return -error;
}
