/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The monitor at moments that hardly ever come: something changes while it
 * looks, memory runs out, a process forks while it calls; and its time, to the
 * millisecond. The linker has its calls go through here, to be counted, and for
 * memory to be refused. */

#include "clock.h"
#include "inside.h"
#include "moments.h"
#include "monitor.h"
#include "watch.h"

#include <stdlib.h>
#include <unistd.h>

#define HOUR_MS 3600000

#define MONITOR_TEST(name) TEST_WITH(node_set_up, clock_tear_down, name)

static struct watch w;

/* -------------------------------------------------------------- in between */

static atomic_int checks; /* whether anybody lives, so far */
static atomic_int rests;  /* on the node's epoch */
static _Atomic uint32_t rest_ms;
static atomic_bool no_memory;
static atomic_int refused;
static const void *_Atomic watched[2];
static atomic_int freed; /* of what is watched */

__typeof__(wm_node_list) __real_wm_node_list, __wrap_wm_node_list;
__typeof__(wm_wait) __real_wm_wait, __wrap_wm_wait;
__typeof__(malloc) __real_malloc, __wrap_malloc;
__typeof__(free) __real_free, __wrap_free;

int __wrap_wm_node_list(const char *instance, const char *directory,
                        wm_node_entry_fn *tell, void *argument)
{
    int error = __real_wm_node_list(instance, directory, tell, argument);

    checks++;
    return error;
}

int __wrap_wm_wait(const struct wm_node *n, uint32_t epoch, uint32_t ms)
{
    rests++;
    rest_ms = ms;
    return __real_wm_wait(n, epoch, ms);
}

void *__wrap_malloc(size_t size)
{
    if (no_memory) {
        refused++;
        return NULL;
    }
    return __real_malloc(size);
}

void __wrap_free(void *memory)
{
    for (int i = 0; i < 2; i++) {
        if (memory != NULL && memory == watched[i]) {
            watched[i] = NULL;
            freed++;
        }
    }
    __real_free(memory);
}

/* ------------------------------------------------------------------- looks */

static atomic_int intrusions; /* generations to begin, one in each look */

static void begin_while_it_looks(void);

/* It reads the generations, and looks afterwards whether the epoch is still the
 * same. */
static void await_look(void)
{
    const struct wm_segment *s = &w.monitor->node->segment;

    BEFORE(MOMENT_LOAD, s->generations[1].id, begin_while_it_looks);
}

static void begin_while_it_looks(void)
{
    begin();
    if (--intrusions > 0) {
        await_look();
    }
}

static bool has_seen(uint32_t generations)
{
    const struct watch_seen seen = watch_look(&w);

    return seen.unsettled == 0 && seen.generations == generations;
}

/* Another process begins a generation, and `count` more begin while the monitor
 * looks. Returns how many views were unsettled until it has seen all. */
static int look_amid(uint32_t count)
{
    watch_node(&w);
    intrusions = (int)count;
    await_look();
    assert_ok(call(new_process(), do_begin, 0));
    await(has_seen(count + 1));
    watch_await_told(&w, watch_look(&w).number);
    return w.unsettled;
}

MONITOR_TEST(what_changes_during_a_look_is_in_its_view)
{
    assert_int_equal(look_amid(1), 0);
    assert_int_equal(watch_look(&w).number, 2);
    watch_end(&w);
}

MONITOR_TEST(a_look_that_never_settles_says_so_and_another_follows)
{
    assert_true(look_amid(20) > 0);
    watch_end(&w);
}

/* -------------------------------------------------------------------- time */

static bool has_rested(int times)
{
    wm_wake(node);
    return rests >= times;
}

/* Time passes; the thread wakes, finds out what time it is, and rests again.
 * So many checks have been made by then. */
static void pass_time(uint64_t ms, int expected)
{
    int times = rests + 2;

    fake_clock.frozen_ms += ms;
    await(has_rested(times));
    times = rests + 2;
    await(has_rested(times));
    assert_int_equal(checks, expected);
}

/* A node that changes lives. Nothing wakes the thread but another epoch, which
 * a heartbeat does not make, and the time of the next check. */
MONITOR_TEST(a_check_comes_so_long_after_the_last_change)
{
    int before;

    fake_clock.frozen_ms = wm_now();
    watch_begin(&w, test_instance, NULL, HOUR_MS);
    before = checks;
    pass_time(HOUR_MS - 1, before);
    begin();
    watch_await_told(&w, 2);
    pass_time(0, before);
    assert_int_equal(rest_ms, HOUR_MS);
    pass_time(HOUR_MS - 1, before);
    assert_int_equal(rest_ms, 1);
    pass_time(1, before + 1);
    pass_time(HOUR_MS - 1, before + 1);
    watch_end(&w);
}

MONITOR_TEST(without_a_time_there_is_a_check_each_second)
{
    const struct wm_monitor_options none = {.size = sizeof(none)};
    const struct wm_monitor_options *options[] = {NULL, &none};
    struct wm_monitor *m;

    for (int i = 0; i < 2; i++) {
        checks = 0;
        fake_clock.frozen_ms = wm_now();
        assert_ok(wm_monitor_create(test_instance, NULL, options[i], &m));
        pass_time(999, 1);
        pass_time(1, 2);
        assert_ok(wm_monitor_destroy(m));
        fake_clock.frozen_ms = 0;
    }
}

/* ------------------------------------------------------------------ memory */

/* At most once after a change, and twice at each check. */
MONITOR_TEST(without_memory_for_a_view_the_thread_tries_at_each_check)
{
    struct process *a = new_process();
    int tries;

    watch_begin(&w, test_instance, NULL, 5);
    refused = 0;
    checks = 0;
    no_memory = true;
    assert_ok(call(a, do_begin, 0));
    await(checks >= 5);
    tries = refused;
    assert_true(tries > 0 && tries <= 1 + 2 * (checks + 1));
    assert_int_equal(watch_look(&w).number, 1);
    no_memory = false;
    await(has_seen(1));
    watch_end(&w);
}

MONITOR_TEST(without_memory_there_is_no_monitor)
{
    struct wm_monitor *m;

    no_memory = true;
    assert_int_equal(wm_monitor_create(test_instance, NULL, NULL, &m), -ENOMEM);
    no_memory = false;
}

static void leave(UNUSED const struct wm_view *before,
                  UNUSED const struct wm_view *now, void *argument)
{
    struct wm_subscription **u = argument;

    if (*u != NULL) {
        watched[0] = *u;
        wm_monitor_unsubscribe(*u);
        *u = NULL;
    }
}

static int frees_both(const void *gate)
{
    alarm(60); /* rather than a hang */
    HOLDS(wm_monitor_destroy(((const struct gate *)gate)->monitor) == 0);
    HOLDS(freed == 2);
    return 0;
}

/* The view that was replaced, and a subscription that ended in its own call:
 * when the call is over, and in a child at once. */
MONITOR_TEST(what_waits_for_the_end_of_a_call_is_freed_after_it)
{
    struct wm_subscription *u;
    struct gate g;

    freed = 0;
    gate_create(&g);
    assert_ok(wm_monitor_subscribe(g.monitor, leave, &u, &u));
    gate_enter(&g);
    watched[1] = g.before;
    assert_check(frees_both, &g);
    assert_int_equal(freed, 0);
    gate_open(&g);
    await(freed == 2);
    assert_ok(wm_monitor_destroy(g.monitor));
}
