/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The monitor: what a view tells, and when there is a new one; which
 * subscribers are told and in what order, as they come and go, also in their
 * own calls; what waits for the end of a call; how the thread ends. */

#include "inside.h"
#include "watch.h"

static struct watch watch;

/* ------------------------------------------------------------------- views */

NODE_TEST(the_first_view_is_there_when_create_returns)
{
    struct wm_node_info info = {.size = sizeof(info)};
    struct process *a = new_worker(generation);
    const struct wm_view *v;

    call(a, do_stand, 0);
    wm_node_describe(node, &info);
    watch_node(&watch);
    v = wm_monitor_view_begin(watch.monitor);
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
    watch_end(&watch);
}

EMPTY_NODE_TEST(each_change_makes_a_view)
{
    struct process *a = new_process();

    watch_node(&watch);
    begin();
    call(a, do_join, 1);
    await(watch_look(&watch).state == WM_JOINING);
    call(a, do_start, 0);
    await(watch_look(&watch).state == WM_LIVE);
    call(a, do_stand, 0);
    await(watch_look(&watch).leader == a->pid);
    call(a, do_drain, 0);
    await(watch_look(&watch).state == WM_DRAINING);
    call(a, do_leave, 0);
    await(watch_look(&watch).workers == 0);
    watch_await_told(&watch, watch_look(&watch).number);
    assert_true(watch_look(&watch).number >= 6);
    watch_end(&watch);
}

TEST(bad_arguments_are_refused)
{
    static const char long_name[] = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
                                    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";
    static const char *const names[] = {NULL,  "",    ".n",
                                        "a/n", "a n", long_name};
    const struct wm_monitor_options small = {.size = 4};
    const struct {
        struct wm_monitor_options is;
        uint64_t unknown; /* of a later header */
    } longer = {.is = {.size = sizeof(longer)}, .unknown = 1};
    struct wm_monitor *m;
    struct wm_subscription *u;

    for (size_t i = 0; i < COUNT(names); i++) {
        assert_int_equal(wm_monitor_create(names[i], NULL, NULL, &m), -EINVAL);
    }
    assert_int_equal(wm_monitor_create("n", NULL, NULL, NULL), -EINVAL);
    assert_int_equal(wm_monitor_create("n", NULL, &small, &m), -EINVAL);
    assert_int_equal(wm_monitor_create("n", NULL, &longer.is, &m), -E2BIG);
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

static void note_mask(UNUSED const struct wm_view *before,
                      UNUSED const struct wm_view *now, void *mask)
{
    pthread_sigmask(SIG_BLOCK, NULL, mask);
}

EMPTY_NODE_TEST(the_thread_takes_the_signals_of_faults_alone)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL,
                                 SIGTRAP, SIGSYS, SIGABRT};
    struct wm_subscription *u;
    sigset_t mask, expected;

    watch_node(&watch);
    assert_ok(wm_monitor_subscribe(watch.monitor, note_mask, &mask, &u));
    watch_come_last(&watch);
    begin();
    watch_await_told(&watch, 2);
    sigfillset(&expected);
    for (size_t i = 0; i < COUNT(faults); i++) {
        sigdelset(&expected, faults[i]);
    }
    sigdelset(&expected, SIGKILL);
    sigdelset(&expected, SIGSTOP);
    for (int i = 1; i < 32; i++) {
        assert_int_equal(sigismember(&mask, i), sigismember(&expected, i));
    }
    watch_end(&watch);
}

/* ----------------------------------------------------------------- garbage */

/* A view tells of nothing that cannot be. */
static uint64_t check_bounds(void)
{
    const struct wm_view *v = wm_monitor_view_begin(watch.monitor);
    const uint64_t number = v->number;

    assert_in_range(v->worker_count, 0, 8);
    for (uint32_t i = 0; i < v->worker_count; i++) {
        assert_in_range(v->workers[i].slot, 0, 7);
        assert_in_range(v->workers[i].state, WM_JOINING, WM_CRASHED);
    }
    assert_in_range(v->generation_count, 0, 8 + WM_GENERATIONS_SPARE);
    assert_non_null(memchr(v->name, '\0', sizeof(v->name)));
    wm_monitor_view_end(v);
    return number;
}

/* A worker writes over all that may change, then over all. */
EMPTY_NODE_TEST(views_of_garbage_are_within_bounds)
{
    _Atomic uint64_t *words = (void *)header();
    const size_t count = node->segment.geometry.size / sizeof(*words);

    assert_ok(wm_monitor_create(test_instance, NULL, NULL, &watch.monitor));
    for (int round = 0; round < 200; round++) {
        size_t from = round < 100 ? WM_CONSTANTS / sizeof(*words) : 0;
        uint64_t last = watch_look(&watch).number;

        for (size_t i = from; i < count; i++) {
            words[i] = (uint64_t)random() << 40 ^ (uint64_t)random() << 20 ^
                       (uint64_t)random();
        }
        wm_wake(node);
        await(check_bounds() > last);
    }
    assert_ok(wm_monitor_destroy(watch.monitor));
}

/* ------------------------------------------------------------- subscribers */

#define SUBSCRIBERS 4

/* Each counts its calls, and does to another what it was told to. */
struct subscriber {
    struct wm_subscription *subscription;
    int calls;
    int order; /* when it was called last */
    void (*act)(struct subscriber *self);
};

static struct subscriber all[SUBSCRIBERS];
static int last_order;

/* A change is ordered before its calls by the segment, mapped twice, and a
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
    uint64_t number = watch_look(&watch).number;

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

/* So does the end of a subscription, as monitor_fork.c shows. */
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
