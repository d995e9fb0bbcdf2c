/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A monitor and a subscriber that checks what it is told, for tests that wait
 * for what they want to see; and one whose subscriber stays in its call. */

#ifndef WATCH_H
#define WATCH_H

#include "test.h"

#include "wm_monitor.h"

#include <pthread.h>
#include <stdatomic.h>

/* No check of the segment within a test's time, ms. */
#define WATCH_NEVER 3600000

struct watch {
    struct wm_monitor *monitor;
    struct wm_subscription *subscription;
    _Atomic uint64_t last; /* number of the view told last */
    atomic_int unsettled;  /* views that say so */
    atomic_int wrong;      /* views that contradict themselves */
};

void watch_begin(struct watch *watch, const char *instance,
                 const char *directory, uint32_t check_ms);
/* That of the test's node, without checks. */
void watch_node(struct watch *watch);
/* Asserts that nothing was wrong. */
void watch_end(struct watch *watch);

/* The facts of the latest view. */
struct watch_seen {
    uint64_t number;
    uint32_t live;
    int error;
    uint32_t unsettled;
    uint32_t workers; /* how many */
    uint32_t generations;
    uint32_t state; /* of the only worker */
    pid_t worker;   /* the only one, if it and the node are live */
    pid_t leader;
    char name[sizeof(((struct wm_view *)NULL)->name)];
};
struct watch_seen watch_look(const struct watch *watch);

/* Waits until its subscriber was told of a view of this number or later. */
void watch_await_told(struct watch *watch, uint64_t number);
/* From now on the watch is the last to be told. */
void watch_come_last(struct watch *watch);

/* Whether a view can be: lists in order, counts in range, 0 if so. */
int watch_check(const struct wm_view *view);

/* Waits until a thread of this process sleeps, or has ended. */
void watch_await_asleep(pid_t thread);

/* A monitor whose subscriber stays in its call until a gate is opened, and a
 * thread that waits for the end of that call. */
struct gate {
    struct wm_monitor *monitor;
    struct wm_subscription *subscription;
    const struct wm_view *_Atomic before; /* of the call; NULL: none yet */
    atomic_bool is_open;
    atomic_bool is_left; /* the call is over */
    pthread_t thread;    /* that waits */
    atomic_int waiter;   /* its id */
    bool seen;           /* by it: that the call had been left */
};

/* A subscriber; its argument is the gate. */
wm_monitor_fn gate_pass;

/* Makes the monitor; subscribes, changes the node, and waits until the call has
 * begun. */
void gate_create(struct gate *gate);
void gate_enter(struct gate *gate);

/* Starts a thread that calls wait(gate), and waits until it sleeps. */
typedef int gate_wait_fn(struct gate *gate);
void gate_wait(struct gate *gate, gate_wait_fn *wait);
gate_wait_fn gate_unsubscribe;
gate_wait_fn gate_destroy;

/* Lets the call end; the thread that waits must have seen its end. */
void gate_open(struct gate *gate);

#endif
