/* SPDX-License-Identifier: Apache-2.0 */

/* Which segment a monitor follows: from one life of a node to the next, past
 * what is dead or no segment at all, and what it says where there is none; and
 * when it checks that, to the millisecond, also where memory or descriptors are
 * short. */

#include "clock.h"
#include "inside.h"
#include "watch.h"

#include <sched.h>
#include <sys/file.h>
#include <sys/resource.h>

#define PATH_SIZE 200

#define FOLLOW_TEST(name) TEST_WITH(node_set_up, tear_down, name)

static atomic_int held; /* 1: the next check waits in a scan; 2: it does */

static int tear_down(void **state)
{
    held = 0;
    fake_clock.frozen_ms = 0;
    return watch_tear_down(state);
}

/* -------------------------------------------------------------- in between */

/* The linker has these calls go through here, to be counted, and for memory to
 * be refused. */
static atomic_int checks; /* whether anybody lives, so far */
static atomic_int rests;  /* on the node's epoch */
static _Atomic uint32_t rest_ms;
static atomic_bool no_memory;
static atomic_int refused;

__typeof__(wm_node_list) __real_wm_node_list, __wrap_wm_node_list;
__typeof__(wm_wait) __real_wm_wait, __wrap_wm_wait;
__typeof__(malloc) __real_malloc, __wrap_malloc;

static void hold(UNUSED const struct wm_node_entry *e, UNUSED void *argument)
{
    for (held *= 2; held != 0; sched_yield()) {
    }
}

int __wrap_wm_node_list(const char *instance, const char *directory,
                        wm_node_entry_fn *tell, void *argument)
{
    checks++;
    if (held == 1) {
        __real_wm_node_list(instance, directory, hold, NULL);
    }
    return __real_wm_node_list(instance, directory, tell, argument);
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

/* So many that have begun after this was called. */
static void await_checks(int count)
{
    const int number = checks + count + 1;

    await(checks >= number);
}

/* A process that leads a life of its own: a node's master, and its worker. */
static struct process *new_life(uint32_t capacity)
{
    struct process *p = new_process();

    assert_ok(call(p, do_live, capacity));
    return p;
}

/* There is none to look at, and the view says why. */
static void await_none(int error)
{
    await(watch_look().view.error == error);
    assert_int_equal(watch_look().view.live, 0);
    assert_int_equal(watch_look().view.worker_count, 0);
    assert_string_equal(watch_look().view.name, "");
}

/* ------------------------------------------------------- nodes come and go */

FOLLOW_TEST(a_node_is_followed_through_births_deaths_and_ends)
{
    struct wm_view dead;
    struct process *p;

    node_give_up();
    watch_begin(100);
    await_none(-ENOENT);
    p = new_life(4);
    await(watch_look().worker == p->pid);

    /* Dead: its last state stays to be seen. */
    process_kill(p);
    await(watch_look().view.error == -ESRCH);
    dead = watch_look().view;
    assert_int_equal(dead.live, 0);
    assert_int_equal(dead.worker_count, 1);

    /* Born again: another segment, which is followed as closely. */
    p = new_life(4);
    await(watch_look().worker == p->pid);
    assert_string_not_equal(watch_look().view.name, dead.name);
    call(p, do_stand, 0);
    await(watch_look().leader == p->pid);

    /* A clean end leaves nothing. */
    shut_down_last(p, 1);
    assert_ok(call(p, do_leave, 0));
    assert_ok(call(p, do_release, 0));
    await_none(-ENOENT);
    assert_int_equal(node_files(), 0);

    /* In a larger life there is room for all its workers. */
    p = new_life(1000);
    for (int i = 0; i < 12; i++) {
        assert_ok(call(process_fork(p), do_join, 1));
    }
    await(watch_look().view.worker_count == 13);
}

/* That of the segment that is followed. */
static void note_path(char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "/dev/shm/%s", watch_look().view.name);
}

FOLLOW_TEST(of_two_lives_the_one_with_the_younger_master_is_followed)
{
    const uint64_t ticks_ms = 2000 / (uint64_t)sysconf(_SC_CLK_TCK);
    struct process *old, *young;
    char path[PATH_SIZE];
    uint64_t since;

    node_give_up();
    watch_begin(1);
    await_none(-ENOENT);
    old = new_life(4);
    await(watch_look().worker == old->pid);
    since = wm_now();
    await(wm_now() > since + ticks_ms); /* its master is younger by these */
    young = new_life(4);
    await(watch_look().worker == young->pid);
    await_checks(3);
    assert_true(watch_look().worker == young->pid && watch_look().view.others);
    note_path(path);
    watch_end();
    /* That it cannot be opened is no reason to leave the other one. */
    assert_ok(chmod(path, 0666));
    watch_begin(1);
    assert_int_equal(watch_look().worker, old->pid);
    await_checks(3);
    assert_int_equal(watch_look().view.number, 1);
    assert_ok(chmod(path, 0600));
    await(watch_look().worker == young->pid);
    process_kill(young);
    await(watch_look().worker == old->pid);
    note_path(path);
    watch_end();
    /* One that comes now passes the dead one over. */
    watch_begin(1);
    assert_int_equal(watch_look().worker, old->pid);
    /* A monitor follows a file that it has open; else the view says why not. */
    assert_ok(chmod(path, 0666));
    await_checks(3);
    assert_int_equal(watch_look().view.number, 1);
    watch_end();
    watch_begin(1);
    await_none(-ENOTSUP);
}

/* By its name nobody can ask for it any more; it is not called dead, either. */
FOLLOW_TEST(a_live_node_that_lost_its_name_is_given_up)
{
    char path[PATH_SIZE], aside[PATH_SIZE + 1];

    for (int replaced = 0; replaced < 2; replaced++) {
        node_restart(8);
        watch_begin(1);
        note_path(path);
        if (replaced) {
            snprintf(aside, sizeof(aside), "%s.", path);
            assert_ok(symlink("/dev/null", aside));
            assert_ok(rename(aside, path));
        } else {
            assert_ok(unlink(path));
        }
        await_none(replaced ? -EBADMSG : -ENOENT);
        watch_end();
    }
}

FOLLOW_TEST(a_strangers_segment_is_passed_over)
{
    char path[PATH_SIZE];

    watch_begin(1);
    note_path(path);
    test_as_two_users();
    assert_ok(chown(path, NOBODY, NOBODY));
    await_none(-ENOENT);
}

/* A file that is no segment, by the name of one. Locked, it seems to be in use,
 * and no start of a node removes it. */
static int litter(int number)
{
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "/dev/shm/wm.%s.%016d", test_instance, number);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_ok(flock(fd, LOCK_SH));
    return fd;
}

/* Whether the directory names it before the segment or after. */
FOLLOW_TEST(junk_hides_no_segment)
{
    struct process *p;
    int before, after;

    node_give_up();
    p = new_process();
    before = litter(0);
    assert_ok(call(p, do_live, 4));
    after = litter(1);
    for (int locked = 1; locked >= 0; locked--) {
        watch_begin(1);
        assert_int_equal(watch_look().worker, p->pid);
        watch_end();
        if (locked) {
            close(before);
            close(after);
        }
    }
    /* Nor a dead one. */
    process_kill(p);
    watch_begin(1);
    assert_int_equal(watch_look().view.error, -ESRCH);
    assert_int_equal(watch_look().view.worker_count, 1);
}

/* -------------------------------------------------------------- each check */

/* Else it would be a busy loop where a check comes sooner than the coarse
 * clock goes on. However slow the machine: so many take at least that long. */
FOLLOW_TEST(the_thread_rests_between_checks)
{
    uint64_t since;

    node_give_up();
    watch_begin(2);
    since = wm_now();
    await_checks(50);
    /* 49 pauses of 2 ms, less a tick of the coarse clock. */
    assert_true(wm_now() - since >= 98 - 10);
}

/* Neither the directory can be read then, nor the segment's file opened. */
FOLLOW_TEST(where_descriptors_are_short_a_live_node_stays_live)
{
    struct rlimit old;
    struct process *p;
    unsigned lowest;

    node_give_up();
    p = new_life(4);
    lowest = (unsigned)dup(0);
    close((int)lowest);
    watch_begin(1);
    assert_ok(getrlimit(RLIMIT_NOFILE, &old));
    for (unsigned some = 0; some < 5; some++) {
        assert_ok(limit_descriptors(lowest + some));
        await_checks(3);
        assert_int_equal(watch_look().view.number, 1);
    }
    assert_ok(setrlimit(RLIMIT_NOFILE, &old));
    assert_int_equal(watch_look().worker, p->pid);
    process_kill(p);
    await(watch_look().view.error == -ESRCH);
}

FOLLOW_TEST(no_fork_waits_for_a_scan)
{
    watch_begin(1);
    held = 1;
    await(held == 2);
    kill_and_reap(fork_sleeper());
}

/* -------------------------------------------------------------------- time */

/* Time passes; the thread wakes, finds out what time it is, and rests again.
 * So many checks have been made by then. */
static void pass_time(uint64_t ms, int expected)
{
    fake_clock.frozen_ms += ms;
    for (int i = 0; i < 2; i++) {
        const int times = rests + 2;

        await(wm_wake(node) >= 0 && rests >= times);
    }
    assert_int_equal(checks, expected);
}

/* A node that changes lives. Nothing wakes the thread but another epoch, which
 * a heartbeat does not make, and the time of the next check. */
FOLLOW_TEST(a_check_comes_so_long_after_the_last_change)
{
    int before;

    fake_clock.frozen_ms = wm_now() - 4000; /* over: the rest from a view on */
    watch_begin(1000);
    before = checks;
    pass_time(999, before);
    begin();
    await(watch.last == 2);
    pass_time(0, before);
    assert_int_equal(rest_ms, 1000);
    pass_time(999, before);
    assert_int_equal(rest_ms, 1);
    pass_time(1, before + 1);
    pass_time(999, before + 1);
}

FOLLOW_TEST(changes_that_follow_upon_a_view_make_no_other_until_it_has_rested)
{
    const struct wm_monitor_options options = {
        .size = sizeof(options),
        .rest_ms = WATCH_NEVER,
    };
    int before;

    assert_ok(wm_monitor_create(test_instance, NULL, &options, &watch.monitor));
    begin();
    await(watch_look().view.number == 2);
    before = rests;
    for (int i = 0; i < 50; i++) {
        begin();
        sched_yield();
    }
    assert_int_equal(watch_look().view.number, 2);
    assert_int_equal(rests, before);
}

FOLLOW_TEST(without_a_time_there_is_a_check_each_second)
{
    const struct wm_monitor_options none = {.size = sizeof(none)};
    const struct wm_monitor_options *options[] = {NULL, &none};
    struct wm_monitor *m;

    fake_clock.frozen_ms = wm_now();
    for (int i = 0; i < 2; i++) {
        checks = 0;
        assert_ok(wm_monitor_create(test_instance, NULL, options[i], &m));
        pass_time(999, 1);
        pass_time(1, 2);
        assert_ok(wm_monitor_destroy(m));
    }
}

/* ------------------------------------------------------------------ memory */

/* At most once after a change, and twice at each check. */
FOLLOW_TEST(
    without_memory_there_is_no_monitor_nor_a_view_but_a_try_at_each_check)
{
    struct process *a = new_process();
    struct wm_monitor *m;
    int tries;

    watch_begin(5);
    refused = 0;
    checks = 0;
    no_memory = true;
    assert_ok(call(a, do_begin, 0));
    await(checks >= 5);
    tries = refused;
    assert_true(tries > 0 && tries <= 1 + 2 * (checks + 1));
    assert_int_equal(watch_look().view.number, 1);
    assert_int_equal(wm_monitor_create(test_instance, NULL, NULL, &m), -ENOMEM);
    no_memory = false;
    await(watch_look().view.generation_count == 1);
}
