/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The monitor's subscribers: which are told and in what order, as they come and
 * go, also in their own calls; and what waits for the end of a call. */

#include "gate.h"
#include "inside.h"

#define SUBSCRIBERS 4

/* Each counts its calls, and does to another what it was told to. */
struct subscriber {
    struct wm_subscription *subscription;
    int calls;
    int order; /* when it was called last */
    void (*act)(struct subscriber *self);
};

static struct watch watch;
static struct subscriber all[SUBSCRIBERS];
static int last_order;

static void be_told(UNUSED const struct wm_view *before,
                    UNUSED const struct wm_view *now, void *argument)
{
    struct subscriber *s = argument;

    /* What the test did before its change. See change(). */
    pthread_mutex_lock(&watch.mutex);
    pthread_mutex_unlock(&watch.mutex);
    s->calls++;
    s->order = ++last_order;
    if (s->act != NULL) {
        s->act(s);
    }
}

static void subscribe(struct subscriber *s)
{
    assert_ok(
        wm_monitor_subscribe(watch.monitor, be_told, s, &s->subscription));
}

static void unsubscribe(struct subscriber *s)
{
    assert_ok(wm_monitor_unsubscribe(s->subscription));
    s->subscription = NULL;
}

/* The first n subscribe, and the watch after them. */
static void gather(int n)
{
    memset(all, 0, sizeof(all));
    last_order = 0;
    watch_node(&watch);
    for (int i = 0; i < n; i++) {
        subscribe(&all[i]);
    }
    watch_come_last(&watch);
}

/* One change makes one view; all that were subscribed have been told. What
 * orders the change before the calls is the segment, mapped twice, and a
 * futex: the sanitizer sees none of it, and is given the mutex. */
static void change(void)
{
    uint64_t number = watch_number(&watch);

    pthread_mutex_lock(&watch.mutex);
    pthread_mutex_unlock(&watch.mutex);
    begin();
    watch_await_told(&watch, number + 1);
}

static void expect_calls(int first, int second, int third, int fourth)
{
    assert_int_equal(all[0].calls, first);
    assert_int_equal(all[1].calls, second);
    assert_int_equal(all[2].calls, third);
    assert_int_equal(all[3].calls, fourth);
}

EMPTY_NODE_TEST(subscribers_are_told_in_their_order_until_they_leave)
{
    gather(3);
    change();
    assert_int_equal(all[0].order, 1);
    assert_int_equal(all[1].order, 2);
    assert_int_equal(all[2].order, 3);
    unsubscribe(&all[1]);
    change();
    expect_calls(2, 1, 2, 0);
    unsubscribe(&all[2]);
    unsubscribe(&all[0]);
    subscribe(&all[1]);
    watch_come_last(&watch);
    change();
    expect_calls(2, 2, 2, 0);
    watch_end(&watch); /* and with it the subscription that is left */
}

static void unsubscribe_first_and_third(struct subscriber *self)
{
    unsubscribe(&all[0]);
    unsubscribe(&all[2]);
    self->act = NULL;
}

EMPTY_NODE_TEST(one_that_is_unsubscribed_in_anothers_call_is_not_called)
{
    gather(4);
    all[1].act = unsubscribe_first_and_third;
    change();
    expect_calls(1, 1, 0, 1); /* the first came before */
    change();
    expect_calls(1, 2, 0, 2);
    watch_end(&watch);
}

EMPTY_NODE_TEST(one_that_unsubscribes_in_its_own_call_has_had_its_last)
{
    gather(3);
    for (int i = 0; i < 3; i++) {
        all[i].act = unsubscribe;
    }
    change();
    change();
    expect_calls(1, 1, 1, 0);
    watch_end(&watch);
}

static void unsubscribe_with_the_next(struct subscriber *self)
{
    unsubscribe(self);
    unsubscribe(self + 1);
}

/* Its own link is stale by then: the walk must not follow it. */
EMPTY_NODE_TEST(a_caller_and_the_next_leave_and_the_rest_is_called)
{
    gather(4);
    all[1].act = unsubscribe_with_the_next;
    change();
    expect_calls(1, 1, 0, 1);
    watch_end(&watch);
}

static void subscribe_the_next(struct subscriber *self)
{
    self[1].act = subscribe_the_next;
    self->act = NULL;
    subscribe(self + 1);
}

/* Else a subscriber that subscribes would keep the round from ending. */
EMPTY_NODE_TEST(one_that_subscribes_in_a_call_is_told_of_the_next_view)
{
    gather(1);
    all[0].act = subscribe_the_next;
    change();
    expect_calls(1, 0, 0, 0);
    watch_come_last(&watch);
    change();
    expect_calls(2, 1, 0, 0);
    watch_end(&watch);
}

/* ----------------------------------------------------------------- waiting */

EMPTY_NODE_TEST(unsubscribe_waits_for_a_call_that_is_running)
{
    struct gate g;

    gate_create(&g);
    gate_enter(&g);
    gate_wait(&g, gate_unsubscribe);
    gate_open(&g);
    assert_ok(wm_monitor_destroy(g.monitor));
}

EMPTY_NODE_TEST(destroy_waits_for_a_call_that_is_running)
{
    struct gate g;

    gate_create(&g);
    gate_enter(&g);
    gate_wait(&g, gate_destroy);
    gate_open(&g);
}

NODE_TEST(destroy_waits_for_views_that_have_begun)
{
    struct gate g = {.monitor = NULL};
    const struct wm_view *v;

    new_worker(generation);
    assert_ok(wm_monitor_create(test_instance, NULL, NULL, &g.monitor));
    v = wm_monitor_view_begin(g.monitor);
    gate_wait(&g, gate_destroy);
    assert_int_equal(watch_check(v), 0);
    g.is_left = true;
    wm_monitor_view_end(v);
    gate_open(&g);
}

static int refused;

static void try_to_destroy(UNUSED const struct wm_view *before,
                           UNUSED const struct wm_view *now,
                           UNUSED void *argument)
{
    refused = wm_monitor_destroy(watch.monitor);
}

EMPTY_NODE_TEST(what_would_wait_for_itself_is_refused)
{
    struct wm_subscription *u;
    const struct wm_view *v;

    watch_node(&watch);
    v = wm_monitor_view_begin(watch.monitor);
    assert_ok(wm_monitor_subscribe(watch.monitor, try_to_destroy, NULL, &u));
    assert_int_equal(wm_monitor_unsubscribe(u), -EDEADLK);
    assert_int_equal(wm_monitor_destroy(watch.monitor), -EDEADLK);
    wm_monitor_view_end(v);
    watch_come_last(&watch);
    begin();
    watch_await_told(&watch, 2);
    assert_int_equal(refused, -EDEADLK);
    watch_end(&watch);
}
