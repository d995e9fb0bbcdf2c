/* SPDX-License-Identifier: Apache-2.0 */

/* A monitor of the test's node, and a subscriber that checks every view and
 * that none was left out, for tests that wait for what they want to see. */

#pragma once

#include "processes.h"

#include "wm_monitor.h"

#include <stdatomic.h>

/* No check of the segment within a test's time, ms. */
#define WATCH_NEVER 3600000

extern struct watch {
    struct wm_monitor *monitor; /* NULL: there is none */
    struct wm_subscription *subscription;
    _Atomic uint64_t last; /* number of the view told last */
    atomic_int unsettled;  /* views that say so */
    atomic_int wrong;      /* views that contradict themselves */
    atomic_int changes;    /* that watch_change() has made */
} watch;

/* A function that is called for each view. */
#define SUBSCRIBER(name)                                                       \
    static void name(UNUSED const struct wm_view *before,                      \
                     UNUSED const struct wm_view *now, UNUSED void *argument)

void watch_begin(uint32_t check_ms);
/* Destroys the monitor, and asserts that nothing was wrong. */
int watch_destroy(void);
void watch_end(void);

/* CMocka's setup of a node and a watch without checks; and a teardown, which
 * also ends a watch that the test has begun. */
int watch_set_up(void **state);
int watch_tear_down(void **state);
#define WATCH_TEST(name) TEST_WITH(watch_set_up, watch_tear_down, name)

/* The facts of the latest view. */
struct watch_seen {
    struct wm_view view; /* but for its lists */
    uint32_t state;      /* of the only worker */
    pid_t worker;        /* the only one, if it and the node are live */
    pid_t leader;
};
struct watch_seen watch_look(void);

struct wm_subscription *watch_subscribe(wm_monitor_fn *told, void *argument);

/* One change makes one view; all subscribers are told, then the watch. */
void watch_change(void);

/* Whether a view can be: lists in order, counts in range, 0 if so. */
int watch_check(const struct wm_view *view);

/* Waits until a thread of this process sleeps, or has ended. */
void watch_await_asleep(pid_t thread);
