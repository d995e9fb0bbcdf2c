/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The monitor: what a view tells, when there is a new one, and how the thread
 * that makes them ends. */

#include "inside.h"
#include "watch.h"

#include <sys/mman.h>

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

    watch_node(&w);
    call(a, do_join, begin());
    watch_await(&w, has_state, WM_JOINING);
    call(a, do_start, 0);
    watch_await(&w, has_state, WM_LIVE);
    call(a, do_stand, 0);
    watch_await(&w, watch_leader, a->pid);
    call(a, do_drain, 0);
    watch_await(&w, has_state, WM_DRAINING);
    call(a, do_leave, 0);
    watch_await(&w, watch_workers, 0);
    watch_await_told(&w, watch_number(&w));
    assert_true(watch_number(&w) >= 6);
    watch_end(&w);
}

/* Its generation has another worker: nothing else happens. */
NODE_TEST(a_crash_that_is_forgotten_leaves_the_view)
{
    process_kill(new_worker(generation));
    new_worker(generation);
    watch_node(&w);
    watch_await(&w, watch_workers, 2);
    take(CRASHED);
    make_late(0);
    sweep();
    watch_await(&w, watch_workers, 1);
    watch_end(&w);
}

static bool has_generations(const struct wm_view *v, long count)
{
    return (long)v->generation_count == count;
}

/* There may be more of them than workers. */
EMPTY_NODE_TEST(all_generations_are_seen)
{
    watch_node(&w);
    for (int i = 0; i < 30; i++) {
        begin();
    }
    watch_await(&w, has_generations, 30);
    watch_end(&w);
}

/* What is seen between begin and end does not change, whatever comes after. */
NODE_TEST(a_view_stays_what_it_is_until_its_end)
{
    struct process *a = new_worker(generation);
    const struct wm_view *v, *newer;
    uint32_t epoch;
    pid_t pid = a->pid;

    watch_node(&w);
    v = wm_monitor_view_begin(w.monitor);
    epoch = v->epoch;
    process_leave(a);
    while ((newer = wm_monitor_view_begin(w.monitor)) == v) {
        wm_monitor_view_end(newer);
    }
    assert_int_equal(newer->number, 2);
    wm_monitor_view_end(newer);
    assert_int_equal(v->number, 1);
    assert_int_equal(v->epoch, epoch);
    assert_int_equal(v->workers[0].pid, pid);
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
NODE_TEST(heartbeats_and_sweeps_do_not_wake_the_thread)
{
    struct process *a = new_worker(generation);
    unsigned long before;
    pid_t thread;

    watch_node(&w);
    thread = watch_thread();
    watch_await_asleep(thread);
    before = switches(thread);
    for (uint64_t until = wm_now() + 300; wm_now() < until;) {
        call(a, do_beat, 0);
        call(a, do_sweep, 0);
    }
    assert_int_equal(switches(thread), before);
    assert_int_equal(watch_number(&w), 1);
    watch_end(&w);
}

/* With a check every millisecond, and time for many. */
NODE_TEST(a_check_that_finds_nothing_new_publishes_nothing)
{
    struct process *a = new_worker(generation);
    pid_t thread;

    watch_begin(&w, test_instance, NULL, 1);
    thread = watch_thread();
    for (unsigned long at = switches(thread); switches(thread) < at + 10;) {
        call(a, do_beat, 0);
    }
    assert_int_equal(watch_number(&w), 1);
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

EMPTY_NODE_TEST(destroy_wakes_a_thread_that_sleeps)
{
    const char *names[] = {test_instance, "test-none"};

    for (int i = 0; i < 2; i++) {
        watch_begin(&w, names[i], NULL, WATCH_NEVER);
        watch_await_asleep(watch_thread());
        watch_end(&w);
    }
}

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

static bool is_open(int signal)
{
    static const int open[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                               SIGILL,  SIGTRAP, SIGSYS,  SIGABRT};
    bool found = false;

    for (size_t i = 0; i < COUNT(open); i++) {
        found |= signal == open[i];
    }
    return found;
}

EMPTY_NODE_TEST(the_thread_takes_the_signals_of_faults_alone)
{
    uint64_t blocked;

    watch_node(&w);
    blocked = status_of(watch_thread(), "SigBlk: %lx");
    for (int i = 1; i < 32; i++) {
        assert_int_equal(blocked >> (i - 1) & 1, !is_open(i));
    }
    watch_end(&w);
}

static void end_well(UNUSED int signal)
{
    _exit(0);
}

static void fault(UNUSED const struct wm_view *before,
                  UNUSED const struct wm_view *now, void *page)
{
    *(volatile char *)page = 1;
}

/* Ends in the handler; a blocked signal would kill it. */
CHILD_TEST_WITH(node_set_up, node_tear_down, "",
                a_fault_in_a_call_reaches_the_programs_handler)
{
    const struct sigaction action = {.sa_handler = end_well};
    void *page = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct wm_monitor *m;
    struct wm_subscription *u;

    alarm(60); /* rather than a hang */
    HOLDS(page != MAP_FAILED && sigaction(SIGSEGV, &action, NULL) == 0);
    HOLDS(wm_monitor_create(test_instance, NULL, NULL, &m) == 0);
    HOLDS(wm_monitor_subscribe(m, fault, page, &u) == 0);
    begin();
    for (;;) {
        pause();
    }
}

/* ----------------------------------------------------------------- garbage */

static struct wm_monitor *monitor;

/* Whatever it tells of, a view keeps to what there can be. */
static bool there_is_a_newer_view(void *than)
{
    uint64_t *last = than;
    const struct wm_view *v = wm_monitor_view_begin(monitor);
    bool is_newer = v->number > *last;

    assert_true(v->worker_count <= 8);
    for (uint32_t i = 0; i < v->worker_count; i++) {
        assert_true(v->workers[i].slot < 8);
        assert_true(v->workers[i].state >= WM_JOINING &&
                    v->workers[i].state <= WM_CRASHED);
    }
    assert_true(v->generation_count <= 8 + WM_GENERATIONS_SPARE);
    assert_true(memchr(v->name, '\0', sizeof(v->name)) != NULL);
    *last = v->number;
    wm_monitor_view_end(v);
    return is_newer;
}

/* A worker writes over all that may change, then over all. */
EMPTY_NODE_TEST(views_of_garbage_are_within_bounds)
{
    _Atomic uint64_t *word = (void *)header();
    uint64_t random = UINT64_C(88172645463325252), last = 0;

    assert_ok(wm_monitor_create(test_instance, NULL, NULL, &monitor));
    for (int round = 0; round < 200; round++) {
        size_t from = round < 100 ? WM_CONSTANTS / sizeof(*word) : 0;

        for (size_t i = from; i < node->segment.geometry.size / sizeof(*word);
             i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            word[i] = random;
        }
        wm_wake(node);
        await(there_is_a_newer_view, &last, "another view");
    }
    assert_ok(wm_monitor_destroy(monitor));
}
