/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A monitor whose subscriber stays in its call until a gate is opened, and a
 * thread that waits for the end of that call. */

#ifndef GATE_H
#define GATE_H

#include "processes.h"
#include "watch.h"

#include <sys/syscall.h>

struct gate {
    struct wm_monitor *monitor;
    struct wm_subscription *subscription;
    const struct wm_view *_Atomic before; /* of the call; NULL: none yet */
    atomic_bool is_open;
    atomic_bool is_left; /* the call is over */
    pthread_t thread;    /* that waits */
    atomic_int waiter;   /* its id */
    bool seen;           /* by it: that the call had been left */
    int (*wait)(struct gate *gate);
};

/* A subscriber; its argument is the gate. */
static inline void gate_pass(const struct wm_view *before,
                             UNUSED const struct wm_view *now, void *argument)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct gate *g = argument;

    g->before = before;
    while (!g->is_open) {
        nanosleep(&pause, NULL);
    }
    g->is_left = true;
}

static inline void gate_create(struct gate *g)
{
    memset(g, 0, sizeof(*g));
    assert_ok(wm_monitor_create(test_instance, NULL, NULL, &g->monitor));
}

/* Subscribes, changes the node, and waits until the call has begun. */
static inline void gate_enter(struct gate *g)
{
    assert_ok(wm_monitor_subscribe(g->monitor, gate_pass, g, &g->subscription));
    begin();
    await(g->before != NULL);
}

static inline int gate_unsubscribe(struct gate *g)
{
    return wm_monitor_unsubscribe(g->subscription);
}

static inline int gate_destroy(struct gate *g)
{
    return wm_monitor_destroy(g->monitor);
}

static inline void *gate_wait_in_a_thread(void *argument)
{
    struct gate *g = argument;

    g->waiter = (int)syscall(SYS_gettid);
    g->seen = g->wait(g) == 0 && g->is_left;
    return NULL;
}

/* Starts a thread that calls wait(gate), and waits until it sleeps. */
static inline void gate_wait(struct gate *g, int (*wait)(struct gate *))
{
    g->wait = wait;
    assert_ok(pthread_create(&g->thread, NULL, gate_wait_in_a_thread, g));
    await(g->waiter != 0);
    watch_await_asleep((pid_t)g->waiter);
}

/* Lets the call end; the thread that waits must have seen its end. */
static inline void gate_open(struct gate *g)
{
    g->is_open = true;
    if (g->waiter != 0) {
        pthread_join(g->thread, NULL);
        assert_true(g->seen);
    }
}

#endif
