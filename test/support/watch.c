/* SPDX-License-Identifier: Apache-2.0 */

#include "watch.h"

struct watch watch;

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

SUBSCRIBER(be_told)
{
    watch.wrong += watch_check(before) + watch_check(now) +
                   (now->number != before->number + 1) +
                   (watch.last != 0 && before->number != watch.last);
    watch.unsettled += now->unsettled != 0;
    watch.last = now->number;
}

struct wm_subscription *watch_subscribe(wm_monitor_fn *told, void *argument)
{
    struct wm_subscription *subscription;

    assert_ok(
        wm_monitor_subscribe(watch.monitor, told, argument, &subscription));
    return subscription;
}

void watch_begin(uint32_t check_ms)
{
    const struct wm_monitor_options options = {.size = sizeof(options),
                                               .check_ms = check_ms};

    memset(&watch, 0, sizeof(watch));
    assert_ok(wm_monitor_create(test_instance, NULL, &options, &watch.monitor));
    watch.subscription = watch_subscribe(be_told, NULL);
}

int watch_destroy(void)
{
    struct wm_monitor *m = watch.monitor;

    watch.monitor = NULL;
    return wm_monitor_destroy(m);
}

void watch_end(void)
{
    assert_ok(watch_destroy());
    assert_int_equal(watch.wrong, 0);
}

int watch_set_up(void **state)
{
    const int error = node_set_up(state);

    watch_begin(WATCH_NEVER);
    return error;
}

int watch_tear_down(void **state)
{
    const int error = watch_destroy();

    return node_tear_down(state) != 0 || error != 0 || watch.wrong != 0;
}

void watch_change(void)
{
    const uint64_t number = watch_look().view.number;

    assert_ok(wm_monitor_unsubscribe(watch.subscription));
    watch.last = 0; /* there may be a gap */
    watch.subscription = watch_subscribe(be_told, NULL);
    watch.changes++;
    begin();
    await(watch.last > number);
}

struct watch_seen watch_look(void)
{
    const struct wm_view *v = wm_monitor_view_begin(watch.monitor);
    struct watch_seen seen = {.view = *v, .leader = v->leader->pid};

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
