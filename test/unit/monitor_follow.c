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

int __real_wm_node_list(const char *instance, const char *directory,
                        wm_node_entry_fn *tell, void *argument);
int __wrap_wm_node_list(const char *instance, const char *directory,
                        wm_node_entry_fn *tell, void *argument);

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

static bool has_checked(void *number)
{
    return checks >= *(int *)number;
}

/* So many that have begun after this was called. */
static void await_checks(int count)
{
    int number = checks + count + 1;

    await(has_checked, &number, "a check");
}

/* A process that leads a life of its own: a node's master, and its worker. */
static struct process *new_life(uint32_t capacity)
{
    struct process *p = new_process();

    assert_ok(call(p, do_live, capacity));
    return p;
}

static bool has_worker(const struct wm_view *v, long pid)
{
    return v->live == 1 && v->worker_count == 1 && v->workers[0].pid == pid &&
           v->workers[0].state == WM_LIVE;
}

static void expect_view(int live, int error, uint32_t workers)
{
    const struct wm_view *v = wm_monitor_view_begin(w.monitor);

    assert_int_equal(v->live, live);
    assert_int_equal(v->error, error);
    assert_int_equal(v->worker_count, workers);
    assert_int_equal(v->name[0] == '\0',
                     error != 0 && error != -ESRCH); /* of none */
    wm_monitor_view_end(v);
}

static void copy_name(char name[static 128])
{
    const struct wm_view *v = wm_monitor_view_begin(w.monitor);

    snprintf(name, 128, "%s", v->name);
    wm_monitor_view_end(v);
}

/* ------------------------------------------------------- nodes come and go */

EMPTY_NODE_TEST(a_node_that_is_not_there_yet_is_found_when_it_is)
{
    node_give_up();
    watch_begin(&w, test_instance, NULL, 5);
    expect_view(0, -ENOENT, 0);
    new_life(8);
    watch_await(&w, watch_live, 1);
    watch_end(&w);
}

EMPTY_NODE_TEST(a_directory_that_is_not_there_is_an_error_in_the_view)
{
    watch_begin(&w, test_instance, "/dev/shm/test-none", 1);
    watch_await(&w, watch_error, -ENOENT);
    watch_end(&w);
}

EMPTY_NODE_TEST(a_node_is_followed_through_death_rebirth_and_end)
{
    struct process *p;
    char first[128], second[128];

    node_give_up();
    watch_begin(&w, test_instance, NULL, 100);
    p = new_life(4);
    watch_await(&w, has_worker, p->pid);

    /* Dead: its last state stays to be seen. */
    process_kill(p);
    watch_await(&w, watch_error, -ESRCH);
    expect_view(0, -ESRCH, 1);
    copy_name(first);

    /* Born again: another segment, which is followed as closely. */
    p = new_life(4);
    watch_await(&w, has_worker, p->pid);
    copy_name(second);
    assert_string_not_equal(first, second);
    call(p, do_stand, 0);
    watch_await(&w, watch_leader, p->pid);

    /* A clean end leaves nothing. */
    shut_down_last(p, 1);
    assert_ok(call(p, do_leave, 0));
    assert_ok(call(p, do_release, 0));
    watch_await(&w, watch_error, -ENOENT);
    assert_int_equal(node_files(), 0);
    expect_view(0, -ENOENT, 0);
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

static void spoil(int error)
{
    uint32_t abi = 99;
    int fd = open(paths[0], O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    if (error == -ENOTSUP) {
        assert_ok(fchmod(fd, 0666));
    } else if (error == -EPROTO) {
        assert_int_equal(pwrite(fd, &abi, sizeof(abi), 8), sizeof(abi));
    } else {
        assert_int_equal(pwrite(fd, "spoilt", 6, 0), 6);
    }
    close(fd);
}

/* Live ones that must not or cannot be read. */
EMPTY_NODE_TEST(what_cannot_be_opened_says_why)
{
    static const int errors[] = {-ENOTSUP, -EPROTO, -EBADMSG};
    struct watch old;

    find_paths();
    watch_begin(&old, test_instance, NULL, 1);
    for (int i = 0; i < 3; i++) {
        watch_await(&old, watch_live, 1);
        spoil(errors[i]);
        watch_begin(&w, test_instance, NULL, 1);
        expect_view(0, errors[i], 0);
        watch_end(&w);
    }
    watch_end(&old);
}

/* --------------------------------------------------------- several segments */

/* Whichever of the two the directory names first. */
EMPTY_NODE_TEST(a_dead_life_beside_a_live_one_is_passed_over)
{
    node_give_up();
    for (int dead = 0; dead < 2; dead++) {
        struct process *p[2] = {new_life(4), new_life(4)};

        process_kill(p[dead]);
        assert_int_equal(node_files(), 2);
        watch_node(&w);
        watch_await(&w, has_worker, p[!dead]->pid);
        assert_int_equal(watch_number(&w), 1);
        watch_end(&w);
        process_kill(p[!dead]);
    }
}

static bool is_of(const char *path)
{
    char name[128];

    copy_name(name);
    return strcmp(name, strrchr(path, '/') + 1) == 0;
}

/* Whichever it is: the other cannot be opened at first. */
EMPTY_NODE_TEST(of_two_lives_one_is_followed_until_it_ends)
{
    struct process *p[2];

    node_give_up();
    p[0] = new_life(4);
    p[1] = new_life(4);
    find_paths();
    for (int i = 0; i < 2; i++) {
        assert_ok(chmod(paths[i], 0666));
        watch_begin(&w, test_instance, NULL, 1);
        assert_ok(chmod(paths[i], 0600));
        await_checks(3);
        assert_true(is_of(paths[!i]));
        assert_int_equal(watch_number(&w), 1);
        if (i == 0) {
            watch_end(&w);
        }
    }
    process_kill(p[0]);
    watch_await(&w, has_worker, p[1]->pid);
    process_kill(p[1]);
    watch_await(&w, watch_error, -ESRCH);
    watch_end(&w);
}

/* By its name nobody can ask for it any more. */
EMPTY_NODE_TEST(a_live_node_without_its_file_is_given_up)
{
    find_paths();
    watch_begin(&w, test_instance, NULL, 1);
    assert_ok(unlink(paths[0]));
    watch_await(&w, watch_error, -ENOENT);
    watch_end(&w);
}

EMPTY_NODE_TEST(a_live_node_whose_file_was_replaced_is_not_called_dead)
{
    char aside[300];

    find_paths();
    snprintf(aside, sizeof(aside), "%s.", paths[0]);
    watch_begin(&w, test_instance, NULL, 1);
    assert_ok(symlink("/dev/null", aside));
    assert_ok(rename(aside, paths[0]));
    watch_await(&w, watch_error, -EBADMSG);
    watch_end(&w);
}

static bool are_all_there(const struct wm_view *v, long count)
{
    return v->live == 1 && watch_workers(v, count);
}

EMPTY_NODE_TEST(a_larger_life_has_room_for_all_its_workers)
{
    struct process *p;

    node_give_up();
    watch_begin(&w, test_instance, NULL, 5);
    p = new_life(4);
    watch_await(&w, are_all_there, 1);
    process_kill(p);
    watch_await(&w, watch_error, -ESRCH);
    p = new_life(1000);
    for (int i = 0; i < 12; i++) {
        assert_ok(call(process_fork(p), do_join, 1));
    }
    watch_await(&w, are_all_there, 13);
    watch_end(&w);
}

#define JUNK 40

/* Files that are no segments, by the names of some. Locked, they seem to be in
 * use, and no start of a node removes them. */
static void litter(int fd[], int from, int to)
{
    char path[300];

    for (int i = from; i < to; i++) {
        snprintf(path, sizeof(path), "/dev/shm/wm.%s.%016d", test_instance, i);
        fd[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd[i] >= 0);
        assert_ok(flock(fd[i], LOCK_SH));
    }
}

EMPTY_NODE_TEST(junk_hides_no_segment)
{
    struct process *p;
    int fd[JUNK];

    node_give_up();
    p = new_process();
    /* Some that the directory names before, some after. */
    litter(fd, 0, JUNK / 2);
    assert_ok(call(p, do_live, 4));
    litter(fd, JUNK / 2, JUNK);
    for (int locked = 1; locked >= 0; locked--) {
        watch_begin(&w, test_instance, NULL, 1);
        watch_await(&w, has_worker, p->pid);
        assert_int_equal(watch_number(&w), 1);
        watch_end(&w);
        for (int i = 0; i < JUNK && locked == 1; i++) {
            close(fd[i]);
        }
    }
    /* Nor a dead one. */
    process_kill(p);
    watch_begin(&w, test_instance, NULL, 1);
    watch_await(&w, watch_error, -ESRCH);
    watch_await(&w, watch_workers, 1);
    watch_end(&w);
}

/* -------------------------------------------------------------- each check */

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* Else it would be a busy loop where a check comes sooner than the coarse
 * clock goes on. However slow the machine: so many take at least that long. */
TEST(the_thread_rests_between_checks)
{
    int64_t before;

    watch_begin(&w, "test-none", NULL, 2);
    before = now_us();
    await_checks(50);
    assert_true(now_us() - before >= 98000); /* 49 pauses of 2 ms */
    watch_end(&w);
}

#define DESCRIPTORS 128

/* All but so many are taken; gives the number of those that are. */
static int take_descriptors(int taken[DESCRIPTORS], int but)
{
    int count = 0, fd;

    while ((fd = dup(0)) >= 0) {
        taken[count++] = fd;
    }
    assert_int_equal(errno, EMFILE);
    while (but-- > 0 && count > 0) {
        close(taken[--count]);
    }
    return count;
}

/* Neither the directory can be read then, nor the segment's file opened. */
EMPTY_NODE_TEST(where_descriptors_are_short_a_live_node_stays_live)
{
    struct rlimit old, limit;
    int taken[DESCRIPTORS];
    struct process *p;

    node_give_up();
    p = new_life(4);
    watch_begin(&w, test_instance, NULL, 1);
    assert_ok(getrlimit(RLIMIT_NOFILE, &old));
    limit = (struct rlimit){DESCRIPTORS, old.rlim_max};
    assert_ok(setrlimit(RLIMIT_NOFILE, &limit));
    for (int but = 0; but < 3; but++) {
        int count = take_descriptors(taken, but);

        await_checks(3);
        while (count > 0) {
            close(taken[--count]);
        }
        assert_int_equal(watch_number(&w), 1);
    }
    assert_ok(setrlimit(RLIMIT_NOFILE, &old));
    watch_await(&w, has_worker, p->pid);
    process_kill(p);
    watch_await(&w, watch_error, -ESRCH);
    watch_end(&w);
}

static bool is_held(UNUSED void *argument)
{
    return held >= 0;
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
    await(is_held, NULL, "a look");
    assert_check(has_inherited, NULL); /* the fork sleeps until it is over */
    watch_end(&w);
}
