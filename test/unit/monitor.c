/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The monitor: what a view tells, when there is a new one, who is told, and
 * how it ends. */

#include "place.h"
#include "scene.h"
#include "watch.h"

#include "node.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------------- views */

static void the_first_view_is_there_when_create_returns(void **state)
{
    struct scene *s = *state;
    struct wm_node_info info = {.size = sizeof(info)};
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);
    const struct wm_view *v;
    struct watch w;

    actor_do(a, act_lead, 0);
    wm_node_describe(s->node, &info);
    watch_begin(&w, s->instance, NULL, WATCH_NEVER);
    v = wm_monitor_view_begin(w.monitor);
    assert_int_equal(v->number, 1);
    assert_int_equal(v->live, 1);
    assert_int_equal(v->error, 0);
    assert_int_equal(v->unsettled, 0);
    assert_int_equal(v->epoch, wm_epoch(s->node));
    assert_string_equal(v->name, info.name);
    assert_int_equal(v->worker_count, 1);
    assert_int_equal(v->workers[0].pid, a->pid);
    assert_int_equal(v->workers[0].state, WM_LIVE);
    assert_int_equal(v->generation_count, 1);
    assert_int_equal(v->generations[0].id, g);
    assert_int_equal(v->generations[0].state, WM_GENERATION_ACTIVE);
    assert_int_equal(v->leader.pid, a->pid);
    wm_monitor_view_end(v);
    watch_end(&w);
}

static bool has_state(const struct wm_view *v, long wanted)
{
    return v->worker_count == 1 && (long)v->workers[0].state == wanted;
}

static void each_change_makes_a_view(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);
    struct watch w;
    uint64_t g;

    watch_begin(&w, s->instance, NULL, WATCH_NEVER);
    g = scene_begin(s);
    actor_do(a, act_join, (long)g);
    watch_await(&w, has_state, WM_JOINING);
    actor_do(a, act_start, 0);
    watch_await(&w, has_state, WM_LIVE);
    actor_do(a, act_lead, 0);
    watch_await(&w, watch_leader, a->pid);
    actor_do(a, act_drain, 0);
    watch_await(&w, has_state, WM_DRAINING);
    actor_do(a, act_leave, 0);
    watch_await(&w, watch_workers, 0);
    watch_await_told(&w, watch_number(&w));
    assert_true(watch_number(&w) >= 6);
    watch_end(&w);
}

static bool is_forgotten(void *argument)
{
    struct wm_node *node = argument;
    struct wm_worker_info list[8];
    uint32_t count = 0;

    wm_events_give(node, NULL, NULL, NULL);
    wm_snapshot(node, list, 8, &count);
    return count == 1;
}

/* Its generation has another worker: nothing else happens. */
static void a_crash_that_is_forgotten_leaves_the_view(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *brief = scene_actor(s);
    struct watch w;

    scene_worker(s, g);
    assert_int_equal(actor_do(brief, act_join_overdue_soon, (long)g), 0);
    actor_kill(brief);
    watch_begin(&w, s->instance, NULL, WATCH_NEVER);
    watch_await(&w, watch_workers, 2);
    scene_await(is_forgotten, s->node, "the crash to be forgotten");
    watch_await(&w, watch_workers, 1);
    watch_end(&w);
}

static bool has_generations(const struct wm_view *v, long count)
{
    return (long)v->generation_count == count;
}

/* There may be more of them than workers. */
static void all_generations_are_seen(void **state)
{
    struct scene *s = *state;
    struct watch w;

    watch_begin(&w, s->instance, NULL, WATCH_NEVER);
    for (int i = 0; i < 30; i++) {
        scene_begin(s);
    }
    watch_await(&w, has_generations, 30);
    watch_end(&w);
}

/* What is seen between begin and end does not change, whatever comes after. */
static void a_view_stays_what_it_is_until_its_end(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);
    const struct wm_view *v, *newer;
    struct watch w;
    uint32_t epoch;

    watch_begin(&w, s->instance, NULL, WATCH_NEVER);
    v = wm_monitor_view_begin(w.monitor);
    epoch = v->epoch;
    actor_do(a, act_drain, 0);
    actor_do(a, act_leave, 0);
    while ((newer = wm_monitor_view_begin(w.monitor)) == v) {
        wm_monitor_view_end(newer);
    }
    assert_int_equal(newer->number, 2);
    wm_monitor_view_end(newer);
    assert_int_equal(v->number, 1);
    assert_int_equal(v->epoch, epoch);
    assert_int_equal(v->workers[0].pid, a->pid);
    assert_int_equal(v->workers[0].state, WM_LIVE);
    wm_monitor_view_end(v);
    watch_await(&w, watch_workers, 0);
    watch_end(&w);
}

/* A number from the thread's status. */
static unsigned long status_of(pid_t thread, const char *format)
{
    char path[64], line[128];
    unsigned long number = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)thread);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        sscanf(line, format, &number);
    }
    fclose(f);
    return number;
}

static unsigned long switches(pid_t thread)
{
    return status_of(thread, "voluntary_ctxt_switches: %lu");
}

/* That nothing happens takes time to see: more than a slice of a wait that
 * polls would. */
static void heartbeats_and_sweeps_do_not_wake_the_thread(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_worker(s, scene_begin(s));
    struct watch w;
    unsigned long before;
    pid_t thread;

    watch_begin(&w, s->instance, NULL, WATCH_NEVER);
    while ((thread = watch_thread("wm-monitor")) == 0) {
    }
    watch_await_asleep(thread);
    before = switches(thread);
    for (uint64_t until = wm_now() + 300; wm_now() < until;) {
        actor_do(a, act_beat, 0);
        actor_do(a, act_sweep, 0);
    }
    assert_int_equal(switches(thread), before);
    assert_int_equal(watch_number(&w), 1);
    watch_end(&w);
}

/* With a check every millisecond, and time for many. */
static void a_check_that_finds_nothing_new_publishes_nothing(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_worker(s, scene_begin(s));
    struct watch w;
    pid_t thread;

    watch_begin(&w, s->instance, NULL, 1);
    while ((thread = watch_thread("wm-monitor")) == 0) {
    }
    for (unsigned long at = switches(thread); switches(thread) < at + 10;) {
        actor_do(a, act_beat, 0);
    }
    assert_int_equal(watch_number(&w), 1);
    watch_end(&w);
}

static void bad_arguments_are_refused(void **state)
{
    const struct wm_monitor_options small = {.size = 4};
    char name[65];
    struct wm_monitor *m;
    struct wm_subscription *u;

    (void)state;
    memset(name, 'n', 64);
    name[64] = '\0';
    assert_int_equal(wm_monitor_create(NULL, NULL, NULL, &m), -EINVAL);
    assert_int_equal(wm_monitor_create("", NULL, NULL, &m), -EINVAL);
    assert_int_equal(wm_monitor_create(".n", NULL, NULL, &m), -EINVAL);
    assert_int_equal(wm_monitor_create("a/n", NULL, NULL, &m), -EINVAL);
    assert_int_equal(wm_monitor_create("a n", NULL, NULL, &m), -EINVAL);
    assert_int_equal(wm_monitor_create(name, NULL, NULL, &m), -EINVAL);
    assert_int_equal(wm_monitor_create("n", NULL, NULL, NULL), -EINVAL);
    assert_int_equal(wm_monitor_create("n", NULL, &small, &m), -EINVAL);
    assert_int_equal(wm_monitor_create("test-none", NULL, NULL, &m), 0);
    assert_int_equal(wm_monitor_subscribe(m, NULL, NULL, &u), -EINVAL);
    assert_int_equal(wm_monitor_unsubscribe(NULL), 0);
    assert_int_equal(wm_monitor_destroy(m), 0);
    assert_int_equal(wm_monitor_destroy(NULL), 0);
}

/* ------------------------------------------------------------- subscribers */

#define CAST 6

/* Each counts its calls, and does to another what it was told to. */
struct player {
    struct troupe *troupe;
    struct wm_subscription *subscription;
    int calls;
    int order; /* when it was called last */
    void (*act)(struct player *self);
};

struct troupe {
    struct watch watch;
    int order;
    struct player player[CAST];
};

static void play(const struct wm_view *before, const struct wm_view *now,
                 void *argument)
{
    struct player *p = argument;

    (void)before;
    (void)now;
    /* What the test did before its change. See change(). */
    pthread_mutex_lock(&p->troupe->watch.mutex);
    pthread_mutex_unlock(&p->troupe->watch.mutex);
    p->calls++;
    p->order = ++p->troupe->order;
    if (p->act != NULL) {
        p->act(p);
    }
}

static void enter(struct player *p)
{
    assert_int_equal(wm_monitor_subscribe(p->troupe->watch.monitor, play, p,
                                          &p->subscription),
                     0);
}

static void leave(struct player *p)
{
    assert_int_equal(wm_monitor_unsubscribe(p->subscription), 0);
    p->subscription = NULL;
}

/* Players 0 to n - 1 subscribe, and the watch after them. */
static void gather(struct troupe *t, const struct scene *s, int n)
{
    memset(t, 0, sizeof(*t));
    watch_begin(&t->watch, s->instance, NULL, WATCH_NEVER);
    for (int i = 0; i < CAST; i++) {
        t->player[i].troupe = t;
    }
    for (int i = 0; i < n; i++) {
        enter(&t->player[i]);
    }
    watch_come_last(&t->watch);
}

/* One change makes one view; all that were subscribed have been told. What
 * orders the change before the calls is the segment, mapped twice, and a
 * futex: the sanitizer sees none of it, and is given the mutex. */
static void change(struct troupe *t, struct scene *s)
{
    uint64_t number = watch_number(&t->watch);

    pthread_mutex_lock(&t->watch.mutex);
    pthread_mutex_unlock(&t->watch.mutex);
    scene_begin(s);
    watch_await_told(&t->watch, number + 1);
}

static void subscribers_are_told_in_their_order_until_they_leave(void **state)
{
    struct troupe t;

    gather(&t, *state, 3);
    change(&t, *state);
    assert_int_equal(t.player[0].order, 1);
    assert_int_equal(t.player[1].order, 2);
    assert_int_equal(t.player[2].order, 3);
    leave(&t.player[1]);
    change(&t, *state);
    assert_int_equal(t.player[0].calls, 2);
    assert_int_equal(t.player[1].calls, 1);
    assert_int_equal(t.player[2].calls, 2);
    leave(&t.player[2]);
    leave(&t.player[0]);
    enter(&t.player[1]);
    watch_come_last(&t.watch);
    change(&t, *state);
    assert_int_equal(t.player[0].calls, 2);
    assert_int_equal(t.player[1].calls, 2);
    assert_int_equal(t.player[2].calls, 2);
    watch_end(&t.watch); /* and with it the subscription that is left */
}

static void all_but_last_leave(struct player *self)
{
    for (int i = 0; i < 3; i++) {
        if (&self->troupe->player[i] != self) {
            leave(&self->troupe->player[i]);
        }
    }
    self->act = NULL;
}

static void leave_itself(struct player *self)
{
    leave(self);
}

static void who_is_unsubscribed_in_anothers_call_is_not_called(void **state)
{
    struct troupe t;

    gather(&t, *state, 4);
    t.player[1].act = all_but_last_leave;
    change(&t, *state);
    assert_int_equal(t.player[0].calls, 1); /* came before */
    assert_int_equal(t.player[1].calls, 1);
    assert_int_equal(t.player[2].calls, 0);
    assert_int_equal(t.player[3].calls, 1);
    change(&t, *state);
    assert_int_equal(t.player[0].calls, 1);
    assert_int_equal(t.player[1].calls, 2);
    assert_int_equal(t.player[2].calls, 0);
    assert_int_equal(t.player[3].calls, 2);
    watch_end(&t.watch);
}

static void who_unsubscribes_in_its_own_call_has_had_its_last(void **state)
{
    struct troupe t;

    gather(&t, *state, 3);
    for (int i = 0; i < 3; i++) {
        t.player[i].act = leave_itself;
    }
    change(&t, *state);
    change(&t, *state);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(t.player[i].calls, 1);
    }
    watch_end(&t.watch);
}

static void leave_with_the_next(struct player *self)
{
    leave(self);
    leave(self + 1);
}

/* Its own link is stale by then: the walk must not follow it. */
static void a_caller_and_the_next_leave_and_the_rest_is_called(void **state)
{
    struct troupe t;

    gather(&t, *state, 4);
    t.player[1].act = leave_with_the_next;
    change(&t, *state);
    assert_int_equal(t.player[0].calls, 1);
    assert_int_equal(t.player[1].calls, 1);
    assert_int_equal(t.player[2].calls, 0);
    assert_int_equal(t.player[3].calls, 1);
    watch_end(&t.watch);
}

static void bring_the_next(struct player *self)
{
    self[1].act = bring_the_next;
    self->act = NULL;
    enter(self + 1);
}

/* Else a subscriber that subscribes would keep the round from ending. */
static void who_subscribes_in_a_call_is_told_of_the_next_view(void **state)
{
    struct troupe t;

    gather(&t, *state, 1);
    t.player[0].act = bring_the_next;
    change(&t, *state);
    assert_int_equal(t.player[1].calls, 0);
    watch_come_last(&t.watch);
    change(&t, *state);
    assert_int_equal(t.player[0].calls, 2);
    assert_int_equal(t.player[1].calls, 1);
    assert_int_equal(t.player[2].calls, 0);
    watch_end(&t.watch);
}

/* A call that waits to be let go, and somebody who waits for its end. */
struct gate {
    struct wm_monitor *monitor;
    struct wm_subscription *subscription;
    atomic_int inside;
    atomic_int open;
    atomic_int left;
    atomic_int waiter; /* thread id */
    int seen;          /* by the waiter: whether the call had been left */
};

static void pass_gate(const struct wm_view *before, const struct wm_view *now,
                      void *argument)
{
    struct gate *g = argument;
    const struct timespec pause = {.tv_nsec = 1000000};

    (void)before;
    (void)now;
    g->inside = 1;
    while (g->open == 0) {
        nanosleep(&pause, NULL);
    }
    g->left = 1;
}

static bool is_set(void *argument)
{
    return *(atomic_int *)argument != 0;
}

static void *unsubscribe_and_see(void *argument)
{
    struct gate *g = argument;

    g->waiter = (int)syscall(SYS_gettid);
    if (wm_monitor_unsubscribe(g->subscription) == 0) {
        g->seen = g->left;
    }
    return NULL;
}

static void *destroy_and_see(void *argument)
{
    struct gate *g = argument;

    g->waiter = (int)syscall(SYS_gettid);
    if (wm_monitor_destroy(g->monitor) == 0) {
        g->seen = g->left;
    }
    return NULL;
}

/* Runs it while the monitor's thread is in the call, which is let go only when
 * the other sleeps, or has come back too early. */
static void wait_at_the_gate(struct scene *s, struct gate *g,
                             void *(*wait)(void *))
{
    const struct wm_monitor_options options = {.size = sizeof(options)};
    pthread_t thread;

    memset(g, 0, sizeof(*g));
    assert_int_equal(
        wm_monitor_create(s->instance, NULL, &options, &g->monitor), 0);
    assert_int_equal(
        wm_monitor_subscribe(g->monitor, pass_gate, g, &g->subscription), 0);
    scene_begin(s);
    scene_await(is_set, &g->inside, "the call");
    assert_int_equal(pthread_create(&thread, NULL, wait, g), 0);
    scene_await(is_set, &g->waiter, "the waiter");
    watch_await_asleep((pid_t)g->waiter);
    g->open = 1;
    pthread_join(thread, NULL);
    assert_int_equal(g->seen, 1);
}

static void unsubscribe_waits_for_a_call_that_is_running(void **state)
{
    struct gate g;

    wait_at_the_gate(*state, &g, unsubscribe_and_see);
    assert_int_equal(wm_monitor_destroy(g.monitor), 0);
}

static void destroy_waits_for_a_call_that_is_running(void **state)
{
    struct gate g;

    wait_at_the_gate(*state, &g, destroy_and_see);
}

static int refused;

static void try_to_destroy(const struct wm_view *before,
                           const struct wm_view *now, void *argument)
{
    (void)before;
    (void)now;
    refused = wm_monitor_destroy(((struct watch *)argument)->monitor);
}

static void what_would_wait_for_itself_is_refused(void **state)
{
    struct scene *s = *state;
    struct wm_subscription *u;
    const struct wm_view *v;
    struct watch w;

    refused = 0;
    watch_begin(&w, s->instance, NULL, WATCH_NEVER);
    v = wm_monitor_view_begin(w.monitor);
    assert_int_equal(wm_monitor_subscribe(w.monitor, try_to_destroy, &w, &u),
                     0);
    assert_int_equal(wm_monitor_unsubscribe(u), -EDEADLK);
    assert_int_equal(wm_monitor_destroy(w.monitor), -EDEADLK);
    wm_monitor_view_end(v);
    watch_come_last(&w);
    scene_begin(s);
    watch_await_told(&w, 2);
    assert_int_equal(refused, -EDEADLK);
    watch_end(&w);
}

/* --------------------------------------------------------------------- end */

static void destroy_wakes_a_thread_that_sleeps(void **state)
{
    struct scene *s = *state;
    const char *names[] = {s->instance, "test-none"};
    struct watch w;
    pid_t thread;

    for (int i = 0; i < 2; i++) {
        watch_begin(&w, names[i], NULL, WATCH_NEVER);
        while ((thread = watch_thread("wm-monitor")) == 0) {
        }
        watch_await_asleep(thread);
        watch_end(&w);
    }
}

/* At whatever point on its way to sleep the thread is: a wake that comes just
 * before it sleeps is lost, and must be followed by another. Some of so many
 * do, on two processors. */
static void destroy_ends_a_thread_that_is_about_to_sleep(void **state)
{
    struct scene *s = *state;
    struct wm_monitor *m;
    const struct wm_monitor_options options = {.size = sizeof(options),
                                               .check_ms = WATCH_NEVER};

    for (int i = 0; i < 2000; i++) {
        assert_int_equal(wm_monitor_create(s->instance, NULL, &options, &m), 0);
        while (i % 4 != 0 && wm_wake(s->node) == 0) {
        }
        for (volatile int spin = 0; spin < i * 20; spin++) {
        }
        assert_int_equal(wm_monitor_destroy(m), 0);
    }
}

static void destroy_waits_for_views_that_have_begun(void **state)
{
    struct scene *s = *state;
    struct gate g = {.monitor = NULL};
    const struct wm_view *v;
    pthread_t thread;

    scene_worker(s, scene_begin(s));
    assert_int_equal(wm_monitor_create(s->instance, NULL, NULL, &g.monitor), 0);
    v = wm_monitor_view_begin(g.monitor);
    assert_int_equal(pthread_create(&thread, NULL, destroy_and_see, &g), 0);
    scene_await(is_set, &g.waiter, "the waiter");
    watch_await_asleep((pid_t)g.waiter);
    assert_int_equal(watch_check(v), 0);
    g.left = 1;
    wm_monitor_view_end(v);
    pthread_join(thread, NULL);
    assert_int_equal(g.seen, 1);
}

/* ----------------------------------------------------------------- signals */

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL,
                             SIGTRAP, SIGSYS, SIGABRT};

static bool is_open(int signal)
{
    bool open = signal == SIGKILL || signal == SIGSTOP;

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        open |= signal == faults[i];
    }
    return open;
}

static void the_thread_takes_the_signals_of_faults_alone(void **state)
{
    struct scene *s = *state;
    struct watch w;
    pid_t thread;
    uint64_t blocked;

    watch_begin(&w, s->instance, NULL, WATCH_NEVER);
    while ((thread = watch_thread("wm-monitor")) == 0) {
    }
    blocked = status_of(thread, "SigBlk: %lx");
    for (int i = 1; i < 32; i++) {
        assert_int_equal(blocked >> (i - 1) & 1, !is_open(i));
    }
    watch_end(&w);
}

static void end_well(int unused)
{
    (void)unused;
    _exit(0);
}

static void fault(const struct wm_view *before, const struct wm_view *now,
                  void *page)
{
    (void)before;
    (void)now;
    *(volatile char *)page = 1;
}

/* Ends in the handler; a blocked signal would kill it. */
static int fault_in_a_call(const void *instance)
{
    const struct sigaction action = {.sa_handler = end_well};
    void *page = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct wm_node_options options = {
        .size = sizeof(options), .instance = instance, .capacity = 4};
    struct wm_node *node;
    struct wm_monitor *m;
    struct wm_subscription *u;
    uint64_t id;

    alarm(20); /* rather than a hang */
    HOLDS(page != MAP_FAILED && sigaction(SIGSEGV, &action, NULL) == 0);
    HOLDS(wm_node_attach(&options, &node) == 0);
    HOLDS(wm_monitor_create(instance, NULL, NULL, &m) == 0);
    HOLDS(wm_monitor_subscribe(m, fault, page, &u) == 0);
    HOLDS(wm_generation_begin(node, &id, NULL) == 0);
    while (true) {
        pause();
    }
}

static void a_fault_in_a_call_reaches_the_programs_handler(void **state)
{
    assert_int_equal(
        place_run(fault_in_a_call, ((struct scene *)*state)->instance), 0);
}

/* -------------------------------------------------------------------- fork */

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

static int in_child(struct scene *s, struct wm_monitor *m,
                    struct wm_subscription *u)
{
    const struct wm_view *v = wm_monitor_view_begin(m);
    uint64_t number = v->number;
    struct wm_subscription *another;

    HOLDS(number >= 1 && v->live == 1 && v->worker_count == 1);
    wm_monitor_view_end(v);
    scene_begin(s); /* of which this monitor will not tell */
    v = wm_monitor_view_begin(m);
    HOLDS(v->number == number);
    wm_monitor_view_end(v);
    HOLDS(wm_monitor_subscribe(m, play, NULL, &another) == -ECHILD);
    HOLDS(wm_monitor_unsubscribe(u) == 0);
    HOLDS(wm_monitor_destroy(m) == 0);
    /* And a new one works, thread and all. */
    if (takes_threads_after_fork()) {
        HOLDS(wm_monitor_create(s->instance, NULL, NULL, &m) == 0);
        HOLDS(wm_monitor_destroy(m) == 0);
    }
    return 0;
}

static void fork_and_check(struct scene *s, struct wm_monitor *m,
                           struct wm_subscription *u)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        alarm(20); /* rather than a hang */
        _exit(in_child(s, m, u));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void a_child_has_a_monitor_that_is_stopped(void **state)
{
    struct scene *s = *state;
    struct watch w;

    scene_worker(s, scene_begin(s));
    watch_begin(&w, s->instance, NULL, WATCH_NEVER);
    fork_and_check(s, w.monitor, w.subscription);
    /* The parent's goes on. */
    scene_begin(s);
    watch_await_told(&w, 2);
    watch_end(&w);
}

/* The call will never end in the child: nobody waits for it there. */
static void a_child_made_during_a_call_does_not_wait_for_it(void **state)
{
    struct scene *s = *state;
    struct gate g = {.monitor = NULL};

    scene_worker(s, scene_begin(s));
    assert_int_equal(wm_monitor_create(s->instance, NULL, NULL, &g.monitor), 0);
    assert_int_equal(
        wm_monitor_subscribe(g.monitor, pass_gate, &g, &g.subscription), 0);
    scene_begin(s);
    scene_await(is_set, &g.inside, "the call");
    fork_and_check(s, g.monitor, g.subscription);
    g.open = 1;
    assert_int_equal(wm_monitor_destroy(g.monitor), 0);
}

/* A thread that waits, or looks, is not in the child; nobody waits for it. */
static void fork_and_destroy(struct wm_monitor *m)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        alarm(20);
        _exit(wm_monitor_destroy(m));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void *look_through_the_gate(void *argument)
{
    struct gate *g = argument;
    const struct wm_view *v = wm_monitor_view_begin(g->monitor);

    pass_gate(v, v, g);
    wm_monitor_view_end(v);
    return NULL;
}

static void a_child_made_during_anothers_look_does_not_wait_for_it(void **state)
{
    struct scene *s = *state;
    struct gate g = {.monitor = NULL};
    pthread_t thread;

    assert_int_equal(wm_monitor_create(s->instance, NULL, NULL, &g.monitor), 0);
    assert_int_equal(pthread_create(&thread, NULL, look_through_the_gate, &g),
                     0);
    scene_await(is_set, &g.inside, "the look");
    fork_and_destroy(g.monitor);
    g.open = 1;
    pthread_join(thread, NULL);
    assert_int_equal(wm_monitor_destroy(g.monitor), 0);
}

static void a_child_made_while_another_waits_does_not_wait_for_it(void **state)
{
    struct scene *s = *state;
    struct gate g = {.monitor = NULL};
    pthread_t thread;

    assert_int_equal(wm_monitor_create(s->instance, NULL, NULL, &g.monitor), 0);
    assert_int_equal(
        wm_monitor_subscribe(g.monitor, pass_gate, &g, &g.subscription), 0);
    scene_begin(s);
    scene_await(is_set, &g.inside, "the call");
    assert_int_equal(pthread_create(&thread, NULL, unsubscribe_and_see, &g), 0);
    scene_await(is_set, &g.waiter, "the waiter");
    watch_await_asleep((pid_t)g.waiter);
    fork_and_destroy(g.monitor);
    g.open = 1;
    pthread_join(thread, NULL);
    assert_int_equal(g.seen, 1);
    assert_int_equal(wm_monitor_destroy(g.monitor), 0);
}

static atomic_int child_status;

static void fork_in_call(const struct wm_view *before,
                         const struct wm_view *now, void *argument)
{
    int status = -1;
    pid_t pid = fork();

    (void)before;
    (void)argument;
    if (pid == 0) {
        _exit(watch_check(now) == 0 ? 7 : 1);
    }
    waitpid(pid, &status, 0);
    child_status = status;
}

static void a_subscriber_may_fork(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);
    struct wm_subscription *u;
    struct watch w;

    watch_begin(&w, s->instance, NULL, WATCH_NEVER);
    assert_int_equal(wm_monitor_subscribe(w.monitor, fork_in_call, NULL, &u),
                     0);
    watch_come_last(&w);
    assert_int_equal(actor_do(a, act_begin, 0), 0);
    watch_await_told(&w, 2);
    assert_true(WIFEXITED(child_status));
    assert_int_equal(WEXITSTATUS(child_status), 7);
    watch_end(&w);
}

/* In the child the thread is all that there is. */
static void end_differently(void)
{
    _exit(7);
}

static struct wm_subscription *returns;
static struct wm_subscription *follows;
static pid_t parent;

/* Its own subscription ends in the child, and then the call. */
static void return_in_the_child(const struct wm_view *before,
                                const struct wm_view *now, void *monitor)
{
    int status = -1;
    sigset_t none;
    pid_t pid = fork();

    (void)before;
    (void)now;
    if (pid == 0) {
        sigemptyset(&none);
        pthread_sigmask(SIG_SETMASK, &none, NULL);
        alarm(20); /* rather than a hang */
        if (atexit(end_differently) != 0 ||
            wm_monitor_destroy(monitor) != -EDEADLK ||
            wm_monitor_unsubscribe(returns) != 0) {
            _exit(1);
        }
        return;
    }
    waitpid(pid, &status, 0);
    child_status = status;
}

static void end_in_the_child(const struct wm_view *before,
                             const struct wm_view *now, void *unused)
{
    (void)before;
    (void)now;
    (void)unused;
    if (getpid() != parent) {
        _exit(2);
    }
}

static void a_child_of_a_call_ends_with_the_call(void **state)
{
    struct actor *a = scene_actor(*state);
    struct watch w;

    parent = getpid();
    child_status = -1;
    watch_begin(&w, a->scene->instance, NULL, WATCH_NEVER);
    assert_int_equal(wm_monitor_subscribe(w.monitor, return_in_the_child,
                                          w.monitor, &returns),
                     0);
    assert_int_equal(
        wm_monitor_subscribe(w.monitor, end_in_the_child, NULL, &follows), 0);
    watch_come_last(&w);
    assert_int_equal(actor_do(a, act_begin, 0), 0);
    watch_await_told(&w, 2);
    assert_true(WIFEXITED(child_status));
    assert_int_equal(WEXITSTATUS(child_status), 7);
    watch_end(&w);
}

/* ----------------------------------------------------------------- garbage */

struct newer {
    struct wm_monitor *monitor;
    uint64_t than;
};

/* Whatever it tells of, a view keeps to what there can be. */
static bool there_is_a_newer_view(void *argument)
{
    struct newer *newer = argument;
    const struct wm_view *v = wm_monitor_view_begin(newer->monitor);
    bool is_newer = v->number > newer->than;

    assert_true(v->worker_count <= 8);
    for (uint32_t i = 0; i < v->worker_count; i++) {
        assert_true(v->workers[i].slot < 8);
        assert_true(v->workers[i].state >= WM_JOINING &&
                    v->workers[i].state <= WM_CRASHED);
    }
    assert_true(v->generation_count <= 8 + WM_GENERATIONS_SPARE);
    assert_true(memchr(v->name, '\0', sizeof(v->name)) != NULL);
    newer->than = v->number;
    wm_monitor_view_end(v);
    return is_newer;
}

/* A worker writes over all that may change, then over all. */
static void views_of_garbage_are_within_bounds(void **state)
{
    struct scene *s = *state;
    const struct wm_segment *g = &s->node->segment;
    _Atomic uint64_t *word = (void *)g->header;
    uint64_t random = UINT64_C(88172645463325252);
    struct newer newer = {0};

    assert_int_equal(wm_monitor_create(s->instance, NULL, NULL, &newer.monitor),
                     0);
    for (int round = 0; round < 200; round++) {
        size_t from = round < 100 ? WM_CONSTANTS / sizeof(*word) : 0;

        for (size_t i = from; i < g->geometry.size / sizeof(*word); i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            atomic_store(&word[i], random);
        }
        wm_wake(s->node);
        scene_await(there_is_a_newer_view, &newer, "another view");
    }
    assert_int_equal(wm_monitor_destroy(newer.monitor), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(the_first_view_is_there_when_create_returns),
        SCENE_TEST(each_change_makes_a_view),
        SCENE_TEST(a_crash_that_is_forgotten_leaves_the_view),
        SCENE_TEST(all_generations_are_seen),
        SCENE_TEST(a_view_stays_what_it_is_until_its_end),
        SCENE_TEST(heartbeats_and_sweeps_do_not_wake_the_thread),
        SCENE_TEST(a_check_that_finds_nothing_new_publishes_nothing),
        SCENE_TEST(bad_arguments_are_refused),
        SCENE_TEST(subscribers_are_told_in_their_order_until_they_leave),
        SCENE_TEST(who_is_unsubscribed_in_anothers_call_is_not_called),
        SCENE_TEST(who_unsubscribes_in_its_own_call_has_had_its_last),
        SCENE_TEST(a_caller_and_the_next_leave_and_the_rest_is_called),
        SCENE_TEST(who_subscribes_in_a_call_is_told_of_the_next_view),
        SCENE_TEST(unsubscribe_waits_for_a_call_that_is_running),
        SCENE_TEST(destroy_waits_for_a_call_that_is_running),
        SCENE_TEST(what_would_wait_for_itself_is_refused),
        SCENE_TEST(destroy_wakes_a_thread_that_sleeps),
        SCENE_TEST(destroy_ends_a_thread_that_is_about_to_sleep),
        SCENE_TEST(destroy_waits_for_views_that_have_begun),
        SCENE_TEST(the_thread_takes_the_signals_of_faults_alone),
        SCENE_TEST(a_fault_in_a_call_reaches_the_programs_handler),
        SCENE_TEST(a_child_has_a_monitor_that_is_stopped),
        SCENE_TEST(a_child_made_during_a_call_does_not_wait_for_it),
        SCENE_TEST(a_child_made_during_anothers_look_does_not_wait_for_it),
        SCENE_TEST(a_child_made_while_another_waits_does_not_wait_for_it),
        SCENE_TEST(a_subscriber_may_fork),
        SCENE_TEST(a_child_of_a_call_ends_with_the_call),
        SCENE_TEST(views_of_garbage_are_within_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
