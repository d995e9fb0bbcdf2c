/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A monitor whose subscriber stays in its call until a gate is opened, and a
 * thread that waits for the end of that call. */

#ifndef GATE_H
#define GATE_H

#include "watch.h"

#include <stdatomic.h>

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
