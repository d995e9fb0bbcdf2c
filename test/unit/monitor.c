/* SPDX-License-Identifier: Apache-2.0 */

/* The monitor: what a view tells, and when there is a new one; which
 * subscribers are told and in what order, as they come and go, also in their
 * own calls; how the thread ends. */

#include "inside.h"
#include "watch.h"

#include <pthread.h>
#include <urcu-bp.h>

/* In processes of their own: in each the first monitor decides. */
TEST(a_program_may_guard_its_forks_itself)
{
    const struct wm_monitor_options guarded = {.size = sizeof(guarded),
                                               .forks_guarded = 1};
    struct wm_monitor *m;
    int status = -1, wrong;

    if (fork() == 0) {
        wrong = wm_monitor_create("test-none", NULL, &guarded, &m);
        urcu_bp_before_fork();
        if (fork() == 0) {
            urcu_bp_after_fork_child();
            _exit(wm_monitor_destroy(m) != 0); /* waits for readers */
        }
        urcu_bp_after_fork_parent();
        _exit(wrong != 0 || wait(&status) < 0 || status != 0);
    }
    assert_true(wait(&status) > 0);
    assert_int_equal(status, 0);
}

NODE_TEST(the_first_view_is_there_at_once_and_a_change_makes_another)
{
    struct wm_node_info info = {.size = sizeof(info)};
    struct process *a = new_worker(generation);
    const struct wm_view *v;

    call(a, do_stand, 0);
    wm_node_describe(node, &info);
    watch_begin(WATCH_NEVER);
    v = wm_monitor_view_begin(watch.monitor);
    assert_int_equal(v->number, 1);
    assert_int_equal(v->unsettled, 0);
    assert_int_equal(v->epoch, wm_epoch(node));
    assert_string_equal(v->name, info.name);
    assert_int_equal(v->generation_count, 1);
    assert_int_equal(v->generations[0].id, generation);
    assert_int_equal(v->generations[0].state, WM_GENERATION_ACTIVE);
    wm_monitor_view_end(v);
    assert_int_equal(watch_look().worker, a->pid);
    assert_int_equal(watch_look().leader, a->pid);
    call(a, do_drain, 0);
    await(watch_look().state == WM_DRAINING);
    watch_end();
}

TEST(bad_arguments_are_refused)
{
    static char long_name[65]; /* one more than there is room for */
    static const char *const names[] = {NULL,  "",    ".n",
                                        "a/n", "a n", long_name};
    const struct wm_monitor_options small = {.size = 4}, huge = {.size = 4097};
    const struct {
        struct wm_monitor_options is;
        uint64_t unknown; /* of a later header */
    } longer = {.is = {.size = sizeof(longer)}, .unknown = 1};
    struct wm_monitor *m;
    struct wm_subscription *u;

    memset(long_name, 'n', sizeof(long_name) - 1);
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_int_equal(wm_monitor_create(names[i], NULL, NULL, &m), -EINVAL);
    }
    assert_int_equal(wm_monitor_create("n", NULL, NULL, NULL), -EINVAL);
    assert_int_equal(wm_monitor_create("n", NULL, &small, &m), -EINVAL);
    assert_int_equal(wm_monitor_create("n", NULL, &huge, &m), -EINVAL);
    assert_int_equal(wm_monitor_create("n", NULL, &longer.is, &m), -E2BIG);
    assert_ok(wm_monitor_create("test-none", NULL, NULL, &m));
    assert_int_equal(wm_monitor_subscribe(m, NULL, NULL, &u), -EINVAL);
    assert_ok(wm_monitor_unsubscribe(NULL));
    assert_ok(wm_monitor_destroy(m));
    assert_ok(wm_monitor_destroy(NULL));
}

/* At whatever point on its way to sleep the thread is: a wake that comes just
 * before it sleeps is lost, and must be followed by another. Some of so many
 * do, on two processors. */
EMPTY_NODE_TEST(destroy_ends_a_thread_that_is_about_to_sleep)
{
    for (int i = 0; i < 2000; i++) {
        watch_begin(WATCH_NEVER);
        while (i % 4 != 0 && wm_wake(node) == 0) {
        }
        for (volatile int spin = 0; spin < i * 20; spin++) {
        }
        watch_end();
    }
}

SUBSCRIBER(note_mask)
{
    pthread_sigmask(SIG_BLOCK, NULL, argument);
}

WATCH_TEST(the_thread_takes_the_signals_of_faults_alone)
{
    /* And two that nobody can block. */
    const unsigned taken = 1u << SIGSEGV | 1u << SIGBUS | 1u << SIGFPE |
                           1u << SIGILL | 1u << SIGTRAP | 1u << SIGSYS |
                           1u << SIGABRT | 1u << SIGKILL | 1u << SIGSTOP;
    sigset_t mask;

    watch_subscribe(note_mask, &mask);
    watch_change();
    for (int i = 1; i < 32; i++) {
        assert_int_equal(sigismember(&mask, i), (taken >> i & 1) == 0);
    }
}

/* A view tells of nothing that cannot be. */
static uint64_t check_bounds(void)
{
    const struct wm_view *v = wm_monitor_view_begin(watch.monitor);
    const uint64_t number = v->number;

    assert_in_range(v->worker_count, 0, 8);
    for (uint32_t i = 0; i < v->worker_count; i++) {
        assert_in_range(v->workers[i].slot, 0, 7);
        assert_in_range(v->workers[i].state, WM_JOINING, WM_CRASHED_DRAINING);
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
        uint64_t last = watch_look().view.number;

        for (size_t i = from; i < count; i++) {
            words[i] = (uint64_t)random() << 40 ^ (uint64_t)random() << 20 ^
                       (uint64_t)random();
        }
        wm_wake(node);
        await(check_bounds() > last);
    }
    assert_ok(watch_destroy());
}

/* Each notes that it is called, and does to another what it was told to. */
static struct subscriber {
    struct wm_subscription *subscription;
    void (*act)(struct subscriber *self);
} all[4];
static char told[10]; /* a digit for each, in their order */

/* A change is ordered before its calls by the segment, mapped twice, and a
 * futex: the sanitizer sees none of it, and is given the number of changes. */
SUBSCRIBER(be_told)
{
    struct subscriber *s = argument;

    if (watch.changes > 0) {
        told[strlen(told)] = (char)('0' + (s - all));
    }
    if (s->act != NULL) {
        s->act(s);
    }
}

ACT(subscribe, (struct subscriber * s),
    s->subscription = watch_subscribe(be_told, s))

ACT(unsubscribe, (struct subscriber * s),
    assert_ok(wm_monitor_unsubscribe(s->subscription)))

/* The first n subscribe. */
static void gather(int n)
{
    memset(all, 0, sizeof(all));
    for (int i = 0; i < n; i++) {
        subscribe(&all[i]);
    }
}

static void change_and_expect_calls(const char *calls)
{
    memset(told, 0, sizeof(told));
    watch_change();
    assert_string_equal(told, calls);
}

WATCH_TEST(subscribers_are_told_in_their_order_until_they_leave)
{
    gather(3);
    change_and_expect_calls("012");
    unsubscribe(&all[1]);
    change_and_expect_calls("02");
    unsubscribe(&all[2]);
    unsubscribe(&all[0]);
    subscribe(&all[1]);
    change_and_expect_calls("1");
}

/* Its own link is stale by then: the walk must not follow it. */
static void unsubscribe_those_around(struct subscriber *self)
{
    unsubscribe(self - 1);
    unsubscribe(self);
    unsubscribe(self + 1);
}

WATCH_TEST(one_that_is_unsubscribed_in_a_call_is_called_no_more)
{
    gather(4);
    all[1].act = unsubscribe_those_around;
    change_and_expect_calls("013");
    change_and_expect_calls("3");
}

static void subscribe_the_next(struct subscriber *self)
{
    self[1].act = subscribe_the_next;
    self->act = NULL;
    subscribe(self + 1);
}

/* Else a subscriber that subscribes would keep the round from ending. */
WATCH_TEST(one_that_subscribes_in_a_call_is_told_of_the_next_view)
{
    gather(1);
    all[0].act = subscribe_the_next;
    change_and_expect_calls("0");
    change_and_expect_calls("01");
}
