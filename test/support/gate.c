/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

#include "gate.h"

#include "processes.h"

#include <sys/syscall.h>

void gate_pass(const struct wm_view *before, UNUSED const struct wm_view *now,
               void *argument)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct gate *g = argument;

    g->before = before;
    while (!g->is_open) {
        nanosleep(&pause, NULL);
    }
    g->is_left = true;
}

void gate_create(struct gate *g)
{
    memset(g, 0, sizeof(*g));
    assert_ok(wm_monitor_create(test_instance, NULL, NULL, &g->monitor));
}

void gate_enter(struct gate *g)
{
    assert_ok(wm_monitor_subscribe(g->monitor, gate_pass, g, &g->subscription));
    begin();
    await(g->before != NULL);
}

int gate_unsubscribe(struct gate *g)
{
    return wm_monitor_unsubscribe(g->subscription);
}

int gate_destroy(struct gate *g)
{
    return wm_monitor_destroy(g->monitor);
}

static gate_wait_fn *waits_by; /* of the thread that is started last */

static void *wait_in_a_thread(void *argument)
{
    struct gate *g = argument;

    g->waiter = (int)syscall(SYS_gettid);
    g->seen = waits_by(g) == 0 && g->is_left;
    return NULL;
}

void gate_wait(struct gate *g, gate_wait_fn *wait)
{
    waits_by = wait;
    assert_ok(pthread_create(&g->thread, NULL, wait_in_a_thread, g));
    await(g->waiter != 0);
    watch_await_asleep((pid_t)g->waiter);
}

void gate_open(struct gate *g)
{
    g->is_open = true;
    if (g->waiter != 0) {
        pthread_join(g->thread, NULL);
        assert_true(g->seen);
    }
}
