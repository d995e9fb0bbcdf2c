/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The subscriber checks every view and that none was left out. */

#include "watch.h"

#include "processes.h"

#include <sys/syscall.h>

int watch_check(const struct wm_view *v)
{
    int wrong = v->live != (v->error == 0) || v->number == 0 ||
                v->leader->mine != 0 ||
                memchr(v->name, '\0', sizeof(v->name)) == NULL;

    for (uint32_t i = 0; i < v->worker_count; i++) {
        wrong += v->workers[i].pid <= 0 || v->workers[i].state == WM_FREE ||
                 (i > 0 && v->workers[i].slot <= v->workers[i - 1].slot);
    }
    for (uint32_t i = 1; i < v->generation_count; i++) {
        wrong += v->generations[i].id <= v->generations[i - 1].id;
    }
    return wrong;
}

static void be_told(const struct wm_view *before, const struct wm_view *now,
                    void *argument)
{
    struct watch *w = argument;

    w->wrong += watch_check(before) + watch_check(now) +
                (now->number != before->number + 1) +
                (w->last != 0 && before->number != w->last);
    w->unsettled += now->unsettled != 0;
    w->last = now->number;
}

void watch_begin(struct watch *w, const char *instance, const char *directory,
                 uint32_t check_ms)
{
    const struct wm_monitor_options options = {.size = sizeof(options),
                                               .check_ms = check_ms};

    memset(w, 0, sizeof(*w));
    assert_ok(wm_monitor_create(instance, directory, &options, &w->monitor));
    assert_ok(wm_monitor_subscribe(w->monitor, be_told, w, &w->subscription));
}

void watch_node(struct watch *w)
{
    watch_begin(w, test_instance, NULL, WATCH_NEVER);
}

void watch_end(struct watch *w)
{
    assert_ok(wm_monitor_unsubscribe(w->subscription));
    assert_ok(wm_monitor_destroy(w->monitor));
    assert_int_equal(w->wrong, 0);
}

void watch_come_last(struct watch *w)
{
    assert_ok(wm_monitor_unsubscribe(w->subscription));
    w->last = 0; /* there may be a gap */
    assert_ok(wm_monitor_subscribe(w->monitor, be_told, w, &w->subscription));
}

void watch_await_told(struct watch *w, uint64_t number)
{
    await(w->last >= number);
}

struct watch_seen watch_look(const struct watch *w)
{
    const struct wm_view *v = wm_monitor_view_begin(w->monitor);
    struct watch_seen seen = {.number = v->number,
                              .live = v->live,
                              .error = v->error,
                              .unsettled = v->unsettled,
                              .workers = v->worker_count,
                              .generations = v->generation_count,
                              .leader = v->leader->pid};

    snprintf(seen.name, sizeof(seen.name), "%s", v->name);
    if (v->worker_count == 1) {
        seen.state = v->workers[0].state;
        seen.worker = v->live && seen.state == WM_LIVE ? v->workers[0].pid : 0;
    }
    wm_monitor_view_end(v);
    return seen;
}

static bool is_asleep_or_gone(pid_t thread)
{
    const char state = process_state(thread);

    return state == 'S' || state == 0;
}

/* Sleep may be that on a lock on the way: only several looks in a row count. */
void watch_await_asleep(pid_t thread)
{
    int looks = 0;

    await((looks = is_asleep_or_gone(thread) ? looks + 1 : 0) == 5);
}

/* ---------------------------------------------------------------- the gate */

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
