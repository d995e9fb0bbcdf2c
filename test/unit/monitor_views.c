/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The monitor: what a view tells, when there is a new one, and how the thread
 * that makes them ends. */

#include "inside.h"
#include "watch.h"

static struct watch w;

/* ------------------------------------------------------------------- views */

NODE_TEST(the_first_view_is_there_when_create_returns)
{
    struct wm_node_info info = {.size = sizeof(info)};
    struct process *a = new_worker(generation);
    const struct wm_view *v;

    call(a, do_stand, 0);
    wm_node_describe(node, &info);
    watch_node(&w);
    v = wm_monitor_view_begin(w.monitor);
    assert_int_equal(v->number, 1);
    assert_int_equal(v->live, 1);
    assert_int_equal(v->error, 0);
    assert_int_equal(v->unsettled, 0);
    assert_int_equal(v->epoch, wm_epoch(node));
    assert_string_equal(v->name, info.name);
    assert_int_equal(v->worker_count, 1);
    assert_int_equal(v->workers[0].pid, a->pid);
    assert_int_equal(v->workers[0].state, WM_LIVE);
    assert_int_equal(v->generation_count, 1);
    assert_int_equal(v->generations[0].id, generation);
    assert_int_equal(v->generations[0].state, WM_GENERATION_ACTIVE);
    assert_int_equal(v->leader->pid, a->pid);
    wm_monitor_view_end(v);
    watch_end(&w);
}

static bool has_state(const struct wm_view *v, long wanted)
{
    return v->worker_count == 1 && (long)v->workers[0].state == wanted;
}

EMPTY_NODE_TEST(each_change_makes_a_view)
{
    struct process *a = new_process();
    const struct {
        call_fn *change;
        watch_holds *seen;
        long argument;
    } steps[] = {
        {do_join, has_state, WM_JOINING}, {do_start, has_state, WM_LIVE},
        {do_stand, watch_leader, a->pid}, {do_drain, has_state, WM_DRAINING},
        {do_leave, watch_workers, 0},
    };

    watch_node(&w);
    begin();
    for (size_t i = 0; i < COUNT(steps); i++) {
        call(a, steps[i].change, 1);
        watch_await(&w, steps[i].seen, steps[i].argument);
    }
    watch_await_told(&w, watch_number(&w));
    assert_true(watch_number(&w) >= 6);
    watch_end(&w);
}

TEST(bad_arguments_are_refused)
{
    static const char long_name[] = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
                                    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";
    static const char *const names[] = {NULL,  "",    ".n",
                                        "a/n", "a n", long_name};
    const struct wm_monitor_options small = {.size = 4};
    struct wm_monitor *m;
    struct wm_subscription *u;

    for (size_t i = 0; i < COUNT(names); i++) {
        assert_int_equal(wm_monitor_create(names[i], NULL, NULL, &m), -EINVAL);
    }
    assert_int_equal(wm_monitor_create("n", NULL, NULL, NULL), -EINVAL);
    assert_int_equal(wm_monitor_create("n", NULL, &small, &m), -EINVAL);
    assert_ok(wm_monitor_create("test-none", NULL, NULL, &m));
    assert_int_equal(wm_monitor_subscribe(m, NULL, NULL, &u), -EINVAL);
    assert_ok(wm_monitor_unsubscribe(NULL));
    assert_ok(wm_monitor_destroy(m));
    assert_ok(wm_monitor_destroy(NULL));
}

/* --------------------------------------------------------------------- end */

/* At whatever point on its way to sleep the thread is: a wake that comes just
 * before it sleeps is lost, and must be followed by another. Some of so many
 * do, on two processors. */
EMPTY_NODE_TEST(destroy_ends_a_thread_that_is_about_to_sleep)
{
    const struct wm_monitor_options options = {.size = sizeof(options),
                                               .check_ms = WATCH_NEVER};
    struct wm_monitor *m;

    for (int i = 0; i < 2000; i++) {
        assert_ok(wm_monitor_create(test_instance, NULL, &options, &m));
        while (i % 4 != 0 && wm_wake(node) == 0) {
        }
        for (volatile int spin = 0; spin < i * 20; spin++) {
        }
        assert_ok(wm_monitor_destroy(m));
    }
}

/* ----------------------------------------------------------------- signals */

EMPTY_NODE_TEST(the_thread_takes_the_signals_of_faults_alone)
{
    static const int taken[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                                SIGILL,  SIGTRAP, SIGSYS,  SIGABRT};
    uint64_t blocked, expected = UINT64_C(0x7fffffff);

    watch_node(&w);
    assert_true(watch_status(watch_thread(), "SigBlk: %lx", &blocked));
    for (size_t i = 0; i < COUNT(taken); i++) {
        expected &= ~(UINT64_C(1) << (taken[i] - 1));
    }
    assert_int_equal(blocked & 0x7fffffff, expected);
    watch_end(&w);
}

/* ----------------------------------------------------------------- garbage */

/* Whatever it tells of, a view keeps to what there can be. */
static bool is_newer(const struct wm_view *v, long last)
{
    assert_in_range(v->worker_count, 0, 8);
    for (uint32_t i = 0; i < v->worker_count; i++) {
        assert_in_range(v->workers[i].slot, 0, 7);
        assert_in_range(v->workers[i].state, WM_JOINING, WM_CRASHED);
    }
    assert_in_range(v->generation_count, 0, 8 + WM_GENERATIONS_SPARE);
    assert_non_null(memchr(v->name, '\0', sizeof(v->name)));
    return v->number > (uint64_t)last;
}

/* A worker writes over all that may change, then over all. */
EMPTY_NODE_TEST(views_of_garbage_are_within_bounds)
{
    _Atomic uint64_t *words = (void *)header();
    const size_t count = node->segment.geometry.size / sizeof(*words);

    assert_ok(wm_monitor_create(test_instance, NULL, NULL, &w.monitor));
    for (int round = 0; round < 200; round++) {
        size_t from = round < 100 ? WM_CONSTANTS / sizeof(*words) : 0;
        uint64_t last = watch_number(&w);

        for (size_t i = from; i < count; i++) {
            words[i] = (uint64_t)random() << 40 ^ (uint64_t)random() << 20 ^
                       (uint64_t)random();
        }
        wm_wake(node);
        watch_await(&w, is_newer, (long)last);
    }
    assert_ok(wm_monitor_destroy(w.monitor));
}
