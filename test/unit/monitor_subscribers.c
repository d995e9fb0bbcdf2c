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

/* What orders a change before its calls is the segment, mapped twice, and a
 * futex: the sanitizer sees none of it, and is given this number. */
static atomic_int changes;

static void be_told(UNUSED const struct wm_view *before,
                    UNUSED const struct wm_view *now, void *argument)
{
    struct subscriber *s = argument;

    s->calls += changes > 0;
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

/* The first n subscribe. */
static void gather(int n)
{
    memset(all, 0, sizeof(all));
    last_order = 0;
    watch_node(&watch);
    for (int i = 0; i < n; i++) {
        subscribe(&all[i]);
    }
}

/* One change makes one view; all that are subscribed are told, and the watch
 * after them. */
static void change(void)
{
    uint64_t number = watch_number(&watch);

    watch_come_last(&watch);
    changes++;
    begin();
    watch_await_told(&watch, number + 1);
}

/* A digit for each. */
static void expect_calls(const char *calls)
{
    for (int i = 0; i < SUBSCRIBERS; i++) {
        assert_int_equal(all[i].calls, calls[i] - '0');
    }
}

EMPTY_NODE_TEST(subscribers_are_told_in_their_order_until_they_leave)
{
    gather(3);
    change();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(all[i].order, i + 1);
    }
    unsubscribe(&all[1]);
    change();
    expect_calls("2120");
    unsubscribe(&all[2]);
    unsubscribe(&all[0]);
    subscribe(&all[1]);
    change();
    expect_calls("2220");
    watch_end(&watch); /* and with it the subscription that is left */
}

static void unsubscribe_first_and_third(struct subscriber *self)
{
    unsubscribe(&all[0]);
    unsubscribe(&all[2]);
    self->act = NULL;
}

/* Its own link is stale by then: the walk must not follow it. */
static void unsubscribe_with_the_next(struct subscriber *self)
{
    unsubscribe(self);
    unsubscribe(self + 1);
}

EMPTY_NODE_TEST(one_that_is_unsubscribed_in_a_call_is_called_no_more)
{
    static const struct {
        const char *name, *once, *twice; /* and the calls */
        void (*acts[SUBSCRIBERS])(struct subscriber *self);
    } cases[] = {
        {"by another one's, before it and after it",
         "1101",
         "1202",
         {NULL, unsubscribe_first_and_third}},
        {"by its own, as all the others do",
         "1111",
         "1111",
         {unsubscribe, unsubscribe, unsubscribe, unsubscribe}},
        {"by its own, which ends the next one as well",
         "1101",
         "2102",
         {NULL, unsubscribe_with_the_next}},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        print_message("# %s\n", cases[i].name);
        gather(SUBSCRIBERS);
        for (int k = 0; k < SUBSCRIBERS; k++) {
            all[k].act = cases[i].acts[k];
        }
        change();
        expect_calls(cases[i].once);
        change();
        expect_calls(cases[i].twice);
        watch_end(&watch);
    }
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
    expect_calls("1000");
    change();
    expect_calls("2100");
    watch_end(&watch);
}

/* ----------------------------------------------------------------- waiting */

EMPTY_NODE_TEST(unsubscribe_and_destroy_wait_for_a_call_that_is_running)
{
    struct gate g;

    gate_create(&g);
    gate_enter(&g);
    gate_wait(&g, gate_unsubscribe);
    gate_open(&g);
    assert_ok(wm_monitor_destroy(g.monitor));

    gate_create(&g);
    gate_enter(&g);
    gate_wait(&g, gate_destroy);
    gate_open(&g);
}

NODE_TEST(destroy_waits_for_views_that_have_begun)
{
    struct gate g;
    const struct wm_view *v;

    new_worker(generation);
    gate_create(&g);
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
    change();
    assert_int_equal(refused, -EDEADLK);
    watch_end(&watch);
}
