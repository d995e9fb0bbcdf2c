/* SPDX-License-Identifier: Apache-2.0 */

/* The monitor at moments that hardly ever come: something changes while it
 * looks; it is destroyed, or the process forks, while it calls a subscriber or
 * a view is looked at. */

#include "inside.h"
#include "moments.h"
#include "monitor.h"
#include "watch.h"

#include <sys/syscall.h>

/* ------------------------------------------------------------------- looks */

static atomic_int intrusions; /* generations to begin, one in each look */

/* It reads the generations, then whether the epoch is still the same. */
#define AMID_A_LOOK watch.monitor->node->segment.generations[1].id

static void begin_while_it_looks(void)
{
    begin();
    if (--intrusions > 0) {
        BEFORE(MOMENT_LOAD, AMID_A_LOOK, begin_while_it_looks);
    }
}

/* Another process begins a generation, and `count` more begin while the monitor
 * looks. Returns how many views were unsettled until it has seen all. */
static int look_amid(uint32_t count)
{
    intrusions = (int)count;
    BEFORE(MOMENT_LOAD, AMID_A_LOOK, begin_while_it_looks);
    assert_ok(call(new_process(), do_begin, 0));
    await(watch_look().view.generation_count == count + 1);
    await(watch_look().view.unsettled == 0);
    await(watch.last >= watch_look().view.number);
    return watch.unsettled;
}

WATCH_TEST(what_changes_during_a_look_is_in_its_view)
{
    assert_int_equal(look_amid(1), 0);
    assert_int_equal(watch_look().view.number, 2);
}

WATCH_TEST(a_look_that_never_settles_says_so_and_another_follows)
{
    assert_true(look_amid(20) > 0);
}

/* -------------------------------------------------------------------- gate */

/* A subscriber that stays in its call until a gate is opened, and a thread that
 * waits for the end of that call. */
static struct gate {
    struct wm_subscription *subscription;
    const struct wm_view *_Atomic before; /* of the call; NULL: none yet */
    atomic_bool is_open;
    atomic_bool is_left; /* the call is over */
    int (*wait)(void);
    atomic_int waiter; /* the thread's id */
} gate;

/* A monitor of a node with a live worker. */
static int gate_set_up(void **state)
{
    const int error = generation_set_up(state);

    new_worker(generation);
    memset(&gate, 0, sizeof(gate));
    watch_begin(WATCH_NEVER);
    return error;
}

static int gate_tear_down(void **state)
{
    gate.is_open = true;
    return watch_tear_down(state);
}

#define GATE_TEST(name) TEST_WITH(gate_set_up, gate_tear_down, name)

SUBSCRIBER(pass)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    gate.before = before;
    while (!gate.is_open) {
        nanosleep(&pause, NULL);
    }
    gate.is_left = true;
}

/* Subscribes, changes the node, and waits until the call has begun. */
static void enter(void)
{
    gate.subscription = watch_subscribe(pass, NULL);
    begin();
    await(gate.before != NULL);
}

static void *wait_in_a_thread(UNUSED void *argument)
{
    gate.waiter = (int)syscall(SYS_gettid);
    return gate.wait() == 0 && gate.is_left ? &gate : NULL;
}

/* A thread waits, and sleeps. */
static pthread_t start_waiting(int (*wait)(void))
{
    pthread_t thread;

    gate.wait = wait;
    assert_ok(pthread_create(&thread, NULL, wait_in_a_thread, NULL));
    await(gate.waiter != 0);
    watch_await_asleep((pid_t)gate.waiter);
    return thread;
}

/* It must have seen the end of the call. */
static void end_waiting(pthread_t thread)
{
    void *seen;

    gate.is_open = true;
    pthread_join(thread, &seen);
    assert_non_null(seen);
}

/* So does the end of a subscription, see below. */
GATE_TEST(destroy_waits_for_a_call_that_is_running)
{
    enter();
    end_waiting(start_waiting(watch_destroy));
}

GATE_TEST(destroy_waits_for_views_that_have_begun)
{
    const struct wm_view *v = wm_monitor_view_begin(watch.monitor);
    const pthread_t thread = start_waiting(watch_destroy);

    assert_int_equal(watch_check(v), 0);
    gate.is_left = true;
    wm_monitor_view_end(v);
    end_waiting(thread);
}

/* ----------------------------------------------------- a process that forks */

static int has_a_stopped_monitor(UNUSED const void *argument)
{
    const struct wm_view *v = wm_monitor_view_begin(watch.monitor);
    uint64_t number = v->number;
    struct wm_subscription *u;

    alarm(60); /* rather than a hang */
    HOLDS(number >= 1 && v->live == 1 && v->worker_count == 1);
    wm_monitor_view_end(v);
    begin(); /* of which this monitor will not tell */
    v = wm_monitor_view_begin(watch.monitor);
    HOLDS(v->number == number);
    wm_monitor_view_end(v);
    HOLDS(wm_monitor_subscribe(watch.monitor, pass, NULL, &u) == -ECHILD);
    HOLDS(wm_monitor_unsubscribe(gate.subscription) == 0);
    HOLDS(watch_destroy() == 0);
#ifndef __SANITIZE_THREAD__
    /* And a new one works, thread and all. ThreadSanitizer takes no new thread
     * in a child of several threads, and qemu dies of one. */
    if (getenv("WM_EMULATED") == NULL) {
        watch_begin(WATCH_NEVER);
        watch_end();
    }
#endif
    return 0;
}

static int destroys(UNUSED const void *argument)
{
    alarm(60);
    return watch_destroy();
}

static int unsubscribe(void)
{
    return wm_monitor_unsubscribe(gate.subscription);
}

/* A call that runs meanwhile will never end in the child, nor does any thread
 * wait for it there, as one of the parent's does in the end. */
GATE_TEST(a_child_has_a_monitor_that_is_stopped_and_waits_for_no_call)
{
    pthread_t thread;

    assert_check(has_a_stopped_monitor, NULL);
    enter(); /* the parent's goes on */
    assert_check(has_a_stopped_monitor, NULL);
    thread = start_waiting(unsubscribe);
    assert_check(destroys, NULL);
    end_waiting(thread);
}

static int look_through(void)
{
    const struct wm_view *v = wm_monitor_view_begin(watch.monitor);

    pass(v, v, NULL);
    wm_monitor_view_end(v);
    return 0;
}

GATE_TEST(a_child_made_during_anothers_look_does_not_wait_for_it)
{
    const pthread_t thread = start_waiting(look_through);

    assert_non_null(gate.before);
    assert_check(destroys, NULL);
    end_waiting(thread);
}

/* ------------------------------------------------------------------- freed */

static const void *_Atomic watched[2];
static atomic_int freed; /* of what is watched */

__typeof__(free) __real_free, __wrap_free;

/* The linker has calls go through here. */
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

SUBSCRIBER(leave)
{
    struct wm_subscription **u = argument;

    if (*u != NULL) {
        watched[0] = *u;
        wm_monitor_unsubscribe(*u);
        *u = NULL;
    }
}

static int frees_both(const void *argument)
{
    HOLDS(destroys(argument) == 0);
    HOLDS(freed == 2);
    return 0;
}

/* The view that was replaced, and a subscription that ended in its own call:
 * when the call is over, and in a child at once. */
GATE_TEST(what_waits_for_the_end_of_a_call_is_freed_after_it)
{
    struct wm_subscription *u;

    assert_ok(wm_monitor_subscribe(watch.monitor, leave, &u, &u));
    enter();
    watched[1] = gate.before;
    assert_check(frees_both, NULL);
    assert_int_equal(freed, 0);
    gate.is_open = true;
    await(freed == 2);
}

/* ------------------------------------------------- forked by a subscriber */

static struct wm_subscription *returns;
static atomic_int child; /* its status */
static pid_t parent;

/* In the child the thread is all that there is. */
ACT(end_with_7, (void), _exit(7))

SUBSCRIBER(return_in_the_child)
{
    int refused = wm_monitor_destroy(watch.monitor), status = -1;
    pid_t pid = fork();
    sigset_t none;

    if (pid != 0) {
        waitpid(pid, &status, 0);
        child = refused == -EDEADLK ? status : -1;
        return;
    }
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    alarm(60);
    if (watch_check(now) != 0 ||
        wm_monitor_destroy(watch.monitor) != -EDEADLK ||
        wm_monitor_unsubscribe(returns) != 0 || atexit(end_with_7) != 0) {
        _exit(1);
    }
}

SUBSCRIBER(end_in_the_child)
{
    if (getpid() != parent) {
        _exit(2);
    }
}

WATCH_TEST(a_subscriber_may_fork_and_the_child_ends_with_its_call)
{
    parent = getpid();
    returns = watch_subscribe(return_in_the_child, NULL);
    watch_subscribe(end_in_the_child, NULL);
    watch_change();
    assert_true(WIFEXITED(child));
    assert_int_equal(WEXITSTATUS(child), 7);
}
