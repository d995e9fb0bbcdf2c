/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The monitor in a process that forks: the child has one that is stopped, and
 * waits for nobody; also when a subscriber forks. */

#include "inside.h"
#include "watch.h"

#define HANG_S 60 /* an alarm rather than a hang */

static struct watch watch;

/* ThreadSanitizer takes no new thread in a child of several threads, and qemu,
 * under which test/arm64/run says so, dies of one. */
static bool takes_threads_after_fork(void)
{
#ifdef __SANITIZE_THREAD__
    return false;
#else
    return getenv("WM_EMULATED") == NULL;
#endif
}

static int has_a_stopped_monitor(const void *argument)
{
    const struct gate *g = argument;
    const struct wm_view *v = wm_monitor_view_begin(g->monitor);
    uint64_t number = v->number;
    struct wm_monitor *m;
    struct wm_subscription *u;

    alarm(HANG_S);
    HOLDS(number >= 1 && v->live == 1 && v->worker_count == 1);
    wm_monitor_view_end(v);
    begin(); /* of which this monitor will not tell */
    v = wm_monitor_view_begin(g->monitor);
    HOLDS(v->number == number);
    wm_monitor_view_end(v);
    HOLDS(wm_monitor_subscribe(g->monitor, gate_pass, NULL, &u) == -ECHILD);
    HOLDS(wm_monitor_unsubscribe(g->subscription) == 0);
    HOLDS(wm_monitor_destroy(g->monitor) == 0);
    /* And a new one works, thread and all. */
    if (takes_threads_after_fork()) {
        HOLDS(wm_monitor_create(test_instance, NULL, NULL, &m) == 0);
        HOLDS(wm_monitor_destroy(m) == 0);
    }
    return 0;
}

static int destroys(const void *gate)
{
    alarm(HANG_S);
    return wm_monitor_destroy(((const struct gate *)gate)->monitor);
}

/* A call that runs meanwhile will never end in the child, nor does any thread
 * wait for it there, as one of the parent's does in the end. */
NODE_TEST(a_child_has_a_monitor_that_is_stopped_and_waits_for_no_call)
{
    struct gate g;

    new_worker(generation);
    gate_create(&g);
    assert_check(has_a_stopped_monitor, &g);
    gate_enter(&g); /* the parent's goes on */
    assert_check(has_a_stopped_monitor, &g);
    gate_wait(&g, gate_unsubscribe);
    assert_check(destroys, &g);
    gate_open(&g);
    assert_ok(wm_monitor_destroy(g.monitor));
}

static int look_through(struct gate *g)
{
    const struct wm_view *v = wm_monitor_view_begin(g->monitor);

    gate_pass(v, v, g);
    wm_monitor_view_end(v);
    return 0;
}

EMPTY_NODE_TEST(a_child_made_during_anothers_look_does_not_wait_for_it)
{
    struct gate g;

    gate_create(&g);
    gate_wait(&g, look_through);
    assert_non_null(g.before);
    assert_check(destroys, &g);
    gate_open(&g);
    assert_ok(wm_monitor_destroy(g.monitor));
}

/* ------------------------------------------------- forked by a subscriber */

static struct wm_subscription *returns, *follows;
static atomic_int child; /* its status */
static pid_t parent;

/* In the child the thread is all that there is. */
static void end_with_7(void)
{
    _exit(7);
}

static int ends_its_own_subscription(const struct wm_view *now, void *monitor)
{
    sigset_t none;

    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    alarm(HANG_S);
    HOLDS(watch_check(now) == 0);
    HOLDS(wm_monitor_destroy(monitor) == -EDEADLK);
    HOLDS(wm_monitor_unsubscribe(returns) == 0);
    return atexit(end_with_7);
}

static void return_in_the_child(UNUSED const struct wm_view *before,
                                const struct wm_view *now, void *monitor)
{
    int status = -1;
    pid_t pid = fork();

    if (pid != 0) {
        waitpid(pid, &status, 0);
        child = status;
    } else if (ends_its_own_subscription(now, monitor) != 0) {
        _exit(1);
    }
}

static void end_in_the_child(UNUSED const struct wm_view *before,
                             UNUSED const struct wm_view *now,
                             UNUSED void *argument)
{
    if (getpid() != parent) {
        _exit(2);
    }
}

EMPTY_NODE_TEST(a_subscriber_may_fork_and_the_child_ends_with_its_call)
{
    parent = getpid();
    watch_node(&watch);
    assert_ok(wm_monitor_subscribe(watch.monitor, return_in_the_child,
                                   watch.monitor, &returns));
    assert_ok(
        wm_monitor_subscribe(watch.monitor, end_in_the_child, NULL, &follows));
    watch_come_last(&watch);
    assert_ok(call(new_process(), do_begin, 0));
    watch_await_told(&watch, 2);
    assert_true(WIFEXITED(child));
    assert_int_equal(WEXITSTATUS(child), 7);
    watch_end(&watch);
}
