/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Which segment a monitor follows: from one life of a node to the next, past
 * what is dead or no segment at all, and what it says where there is none. */

#include "inside.h"
#include "watch.h"

#include <stdatomic.h>
#include <sys/file.h>
#include <sys/resource.h>

static struct watch w;

/* The linker has each check go through here, to be counted; the next one has a
 * descriptor open until another thread sleeps, if that is wanted. */
static atomic_int checks;
static atomic_bool hold;
static atomic_int held;
static pid_t forker;

__typeof__(wm_node_list) __real_wm_node_list, __wrap_wm_node_list;

int __wrap_wm_node_list(const char *instance, const char *directory,
                        wm_node_entry_fn *tell, void *argument)
{
    int error = __real_wm_node_list(instance, directory, tell, argument);

    if (atomic_exchange(&hold, false)) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        held = fd;
        watch_await_asleep(forker);
        close(fd);
    }
    checks++;
    return error;
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
    await(watch_look(&w).error == error);
    assert_int_equal(watch_look(&w).live, 0);
    assert_int_equal(watch_look(&w).workers, 0);
    assert_string_equal(watch_look(&w).name, "");
}

/* ------------------------------------------------------- nodes come and go */

EMPTY_NODE_TEST(a_node_is_followed_through_births_deaths_and_ends)
{
    struct watch_seen dead;
    struct process *p;

    node_give_up();
    watch_begin(&w, test_instance, NULL, 100);
    await_none(-ENOENT);
    p = new_life(4);
    await(watch_look(&w).worker == p->pid);

    /* Dead: its last state stays to be seen. */
    process_kill(p);
    await(watch_look(&w).error == -ESRCH);
    dead = watch_look(&w);
    assert_int_equal(dead.live, 0);
    assert_int_equal(dead.workers, 1);

    /* Born again: another segment, which is followed as closely. */
    p = new_life(4);
    await(watch_look(&w).worker == p->pid);
    assert_string_not_equal(watch_look(&w).name, dead.name);
    call(p, do_stand, 0);
    await(watch_look(&w).leader == p->pid);

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
    await(watch_look(&w).workers == 13);
    watch_end(&w);
}

/* Its path; or that of the other, where there are two. */
static char paths[2][200];
static int path_count;

static void note(const struct wm_node_entry *entry, UNUSED void *argument)
{
    snprintf(paths[path_count++], sizeof(paths[0]), "/dev/shm/%s", entry->name);
}

static void find_paths(void)
{
    path_count = 0;
    assert_ok(wm_node_list(test_instance, NULL, note, NULL));
}

/* --------------------------------------------------------- several segments */

/* Whichever it is: the other cannot be opened at first. */
EMPTY_NODE_TEST(of_two_lives_one_is_followed_until_it_ends)
{
    struct process *p[2];
    struct watch late;

    node_give_up();
    p[0] = new_life(4);
    p[1] = new_life(4);
    find_paths();
    for (int i = 0; i < 2; i++) {
        assert_ok(chmod(paths[i], 0666));
        watch_begin(&w, test_instance, NULL, 1);
        assert_ok(chmod(paths[i], 0600));
        await_checks(3);
        assert_string_equal(watch_look(&w).name, strrchr(paths[!i], '/') + 1);
        assert_int_equal(watch_look(&w).number, 1);
        if (i == 0) {
            watch_end(&w);
        }
    }
    process_kill(p[0]);
    await(watch_look(&w).worker == p[1]->pid);
    /* One that comes now passes the dead one over. */
    watch_begin(&late, test_instance, NULL, WATCH_NEVER);
    await(watch_look(&late).worker == p[1]->pid);
    assert_int_equal(watch_look(&late).number, 1);
    watch_end(&late);
    /* A monitor follows a file that it has open; else the view says why not. */
    snprintf(paths[0], sizeof(paths[0]), "/dev/shm/%s", watch_look(&w).name);
    assert_ok(chmod(paths[0], 0666));
    await_checks(3);
    watch_begin(&late, test_instance, NULL, 1);
    await(watch_look(&late).error == -ENOTSUP);
    watch_end(&late);
    await(watch_look(&w).worker == p[1]->pid);
    process_kill(p[1]);
    await(watch_look(&w).error == -ESRCH);
    watch_end(&w);
}

/* By its name nobody can ask for it any more; it is not called dead, either. */
EMPTY_NODE_TEST(a_live_node_that_lost_its_name_is_given_up)
{
    static const int errors[] = {-ENOENT, -EBADMSG};
    char aside[300];

    for (int replaced = 0; replaced < 2; replaced++) {
        node_restart(8);
        find_paths();
        watch_begin(&w, test_instance, NULL, 1);
        if (replaced) {
            snprintf(aside, sizeof(aside), "%s.", paths[0]);
            assert_ok(symlink("/dev/null", aside));
            assert_ok(rename(aside, paths[0]));
        } else {
            assert_ok(unlink(paths[0]));
        }
        await_none(errors[replaced]);
        watch_end(&w);
    }
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
EMPTY_NODE_TEST(junk_hides_no_segment)
{
    struct process *p;
    int before, after;

    node_give_up();
    p = new_process();
    before = litter(0);
    assert_ok(call(p, do_live, 4));
    after = litter(1);
    for (int locked = 1; locked >= 0; locked--) {
        watch_begin(&w, test_instance, NULL, 1);
        await(watch_look(&w).worker == p->pid);
        assert_int_equal(watch_look(&w).number, 1);
        watch_end(&w);
        if (locked) {
            close(before);
            close(after);
        }
    }
    /* Nor a dead one. */
    process_kill(p);
    watch_begin(&w, test_instance, NULL, 1);
    await(watch_look(&w).error == -ESRCH);
    await(watch_look(&w).workers == 1);
    watch_end(&w);
}

/* -------------------------------------------------------------- each check */

/* Else it would be a busy loop where a check comes sooner than the coarse
 * clock goes on. However slow the machine: so many take at least that long. */
TEST(the_thread_rests_between_checks)
{
    struct timespec before, after;

    watch_begin(&w, "test-none", NULL, 2);
    clock_gettime(CLOCK_MONOTONIC, &before);
    await_checks(50);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec -
                    before.tv_nsec >=
                98000000); /* 49 pauses of 2 ms */
    watch_end(&w);
}

/* Neither the directory can be read then, nor the segment's file opened. */
EMPTY_NODE_TEST(where_descriptors_are_short_a_live_node_stays_live)
{
    struct rlimit old, limit;
    struct process *p;
    rlim_t lowest;

    node_give_up();
    p = new_life(4);
    lowest = (rlim_t)dup(0);
    close((int)lowest);
    watch_begin(&w, test_instance, NULL, 1);
    assert_ok(getrlimit(RLIMIT_NOFILE, &old));
    limit = old;
    for (rlim_t some = 0; some < 5; some++) {
        limit.rlim_cur = lowest + some;
        assert_ok(setrlimit(RLIMIT_NOFILE, &limit));
        await_checks(3);
        assert_int_equal(watch_look(&w).number, 1);
    }
    assert_ok(setrlimit(RLIMIT_NOFILE, &old));
    await(watch_look(&w).worker == p->pid);
    process_kill(p);
    await(watch_look(&w).error == -ESRCH);
    watch_end(&w);
}

static int has_inherited(UNUSED const void *argument)
{
    return fcntl(held, F_GETFD) != -1;
}

/* It would keep a lock that the look takes for a moment. */
TEST(a_child_inherits_no_descriptor_of_a_look_for_segments)
{
    held = -1;
    forker = getpid();
    watch_begin(&w, "test-none", NULL, 1);
    hold = true;
    await(held >= 0);
    assert_check(has_inherited, NULL); /* the fork sleeps until it is over */
    watch_end(&w);
}
