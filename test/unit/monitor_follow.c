/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Which segment a monitor follows: from one life of a node to the next, past
 * what is dead or no segment at all, and what it says where there is none. */

#include "place.h"
#include "scene.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The linker has each check go through here. */
static atomic_int checks;

/* The next has a descriptor open until another thread sleeps. */
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

    scene_await(has_checked, &number, "a check");
}

/* The actor is a node's master, and its worker. */
static long act_live(struct actor *self, long capacity)
{
    const struct wm_node_options options = {.size = sizeof(options),
                                            .instance = self->scene->instance,
                                            .capacity = (uint32_t)capacity};
    long error = wm_node_attach(&options, &self->scene->node);

    if (error == 0) {
        error = act_begin(self, 0);
    }
    if (error == 0) {
        error = act_join(self, (long)self->board->id);
    }
    return error != 0 ? error : act_start(self, 0);
}

/* This process takes part in nothing any more: who is forked now makes a life
 * of its own. */
static void step_aside(struct scene *s)
{
    assert_int_equal(wm_node_release(s->node), 0);
    s->node = NULL;
}

static bool has_worker(const struct wm_view *v, long pid)
{
    return v->live == 1 && v->worker_count == 1 && v->workers[0].pid == pid &&
           v->workers[0].state == WM_LIVE;
}

/* ------------------------------------------------------- nodes come and go */

static void a_node_that_is_not_there_yet_is_found_when_it_is(void **state)
{
    struct scene *s = *state;
    const struct wm_node_options options = {
        .size = sizeof(options), .instance = s->instance, .capacity = 8};
    const struct wm_view *v;
    struct watch w;

    step_aside(s);
    watch_begin(&w, s->instance, NULL, 5);
    v = wm_monitor_view_begin(w.monitor);
    assert_int_equal(v->live, 0);
    assert_int_equal(v->error, -ENOENT);
    assert_string_equal(v->name, "");
    assert_int_equal(v->worker_count, 0);
    wm_monitor_view_end(v);
    assert_int_equal(wm_node_attach(&options, &s->node), 0);
    watch_await(&w, watch_live, 1);
    watch_end(&w);
}

static void a_directory_that_is_not_there_is_an_error_in_the_view(void **state)
{
    struct scene *s = *state;
    struct watch w;

    watch_begin(&w, s->instance, "/dev/shm/test-none", 1);
    watch_await(&w, watch_error, -ENOENT);
    watch_end(&w);
}

static long act_end_well(struct actor *self, long unused)
{
    (void)unused;
    act_exit(self, 0);
    act_drain(self, 0);
    act_retire(self, 1);
    act_take(self, 1);
    act_leave(self, 0);
    return act_release(self, 0);
}

static void a_node_is_followed_through_death_rebirth_and_end(void **state)
{
    struct scene *s = *state;
    struct actor *first = scene_actor(s), *second;
    const struct wm_view *v;
    struct watch w;
    char name[128];
    pid_t pid = first->pid;

    step_aside(s);
    second = scene_actor(s);
    watch_begin(&w, s->instance, NULL, 100);
    assert_int_equal(actor_do(first, act_live, 4), 0);
    watch_await(&w, has_worker, pid);

    /* Dead: its last state stays to be seen. */
    actor_kill(first);
    watch_await(&w, watch_error, -ESRCH);
    v = wm_monitor_view_begin(w.monitor);
    assert_int_equal(v->live, 0);
    assert_int_equal(v->worker_count, 1);
    assert_int_equal(v->workers[0].pid, pid);
    assert_int_equal(v->generation_count, 1);
    memcpy(name, v->name, sizeof(name));
    wm_monitor_view_end(v);

    /* Born again: another segment, which is followed as closely. */
    assert_int_equal(actor_do(second, act_live, 4), 0);
    watch_await(&w, has_worker, second->pid);
    v = wm_monitor_view_begin(w.monitor);
    assert_string_not_equal(v->name, name);
    wm_monitor_view_end(v);
    actor_do(second, act_lead, 0);
    watch_await(&w, watch_leader, second->pid);

    /* A clean end leaves nothing. */
    assert_int_equal(actor_do(second, act_end_well, 0), 0);
    watch_await(&w, watch_error, -ENOENT);
    assert_int_equal(scene_files(s), 0);
    v = wm_monitor_view_begin(w.monitor);
    assert_string_equal(v->name, "");
    assert_int_equal(v->worker_count, 0);
    assert_int_equal(v->generation_count, 0);
    wm_monitor_view_end(v);
    watch_end(&w);
}

static void spoil(const struct wm_view *v, int what)
{
    char path[300];
    uint32_t abi = 99;
    int fd;

    snprintf(path, sizeof(path), "/dev/shm/%s", v->name);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    switch (what) {
    case -ENOTSUP:
        assert_int_equal(fchmod(fd, 0666), 0);
        break;
    case -EPROTO:
        assert_int_equal(pwrite(fd, &abi, sizeof(abi), 8), sizeof(abi));
        break;
    default:
        assert_int_equal(pwrite(fd, "spoilt", 6, 0), 6);
    }
    close(fd);
}

/* Live ones that must not or cannot be read. */
static void what_cannot_be_opened_says_why(void **state)
{
    static const int errors[] = {-ENOTSUP, -EPROTO, -EBADMSG};
    struct scene *s = *state;
    const struct wm_view *v;
    struct watch w, old;

    watch_begin(&old, s->instance, NULL, 1);
    for (int i = 0; i < 3; i++) {
        v = wm_monitor_view_begin(old.monitor);
        assert_int_equal(v->live, 1);
        spoil(v, errors[i]);
        wm_monitor_view_end(v);
        watch_begin(&w, s->instance, NULL, 1);
        v = wm_monitor_view_begin(w.monitor);
        assert_int_equal(v->live, 0);
        assert_int_equal(v->error, errors[i]);
        assert_string_equal(v->name, "");
        wm_monitor_view_end(v);
        watch_end(&w);
    }
    watch_end(&old);
}

/* --------------------------------------------------------- several segments */

/* Whichever of the two the directory names first. */
static void a_dead_life_beside_a_live_one_is_passed_over(void **state)
{
    struct scene *s = *state;
    struct actor *a[2];
    struct watch w;

    step_aside(s);
    for (int dead = 0; dead < 2; dead++) {
        for (int i = 0; i < 2; i++) {
            a[i] = scene_actor(s);
            assert_int_equal(actor_do(a[i], act_live, 4), 0);
        }
        actor_kill(a[dead]);
        assert_int_equal(scene_files(s), 2);
        watch_begin(&w, s->instance, NULL, WATCH_NEVER);
        watch_await(&w, has_worker, a[!dead]->pid);
        assert_int_equal(watch_number(&w), 1);
        watch_end(&w);
        actor_kill(a[!dead]);
    }
}

struct names {
    int count;
    char path[2][200];
};

static void note(const struct wm_node_entry *entry, void *argument)
{
    struct names *n = argument;

    snprintf(n->path[n->count++], sizeof(n->path[0]), "/dev/shm/%s",
             entry->name);
}

static bool is_of(const struct watch *w, const char *path)
{
    const struct wm_view *v = wm_monitor_view_begin(w->monitor);
    bool result = strcmp(v->name, strrchr(path, '/') + 1) == 0;

    wm_monitor_view_end(v);
    return result;
}

/* Whichever it is: the other cannot be opened at first. */
static void of_two_lives_one_is_followed_until_it_ends(void **state)
{
    struct scene *s = *state;
    struct names n = {.count = 0};
    struct actor *a[2];
    struct watch w;

    step_aside(s);
    for (int i = 0; i < 2; i++) {
        a[i] = scene_actor(s);
        assert_int_equal(actor_do(a[i], act_live, 4), 0);
    }
    assert_int_equal(wm_node_list(s->instance, NULL, note, &n), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(chmod(n.path[i], 0666), 0);
        watch_begin(&w, s->instance, NULL, 1);
        assert_int_equal(chmod(n.path[i], 0600), 0);
        await_checks(3);
        assert_true(is_of(&w, n.path[!i]));
        assert_int_equal(watch_number(&w), 1);
        if (i == 0) {
            watch_end(&w);
        }
    }
    actor_kill(a[0]);
    watch_await(&w, has_worker, a[1]->pid);
    actor_kill(a[1]);
    watch_await(&w, watch_error, -ESRCH);
    watch_end(&w);
}

/* By its name nobody can ask for it any more. */
static void a_live_node_without_its_file_is_given_up(void **state)
{
    struct scene *s = *state;
    struct names n = {.count = 0};
    struct watch w;

    assert_int_equal(wm_node_list(s->instance, NULL, note, &n), 0);
    watch_begin(&w, s->instance, NULL, 1);
    assert_int_equal(unlink(n.path[0]), 0);
    watch_await(&w, watch_error, -ENOENT);
    watch_end(&w);
}

static void a_live_node_whose_file_was_replaced_is_not_called_dead(void **state)
{
    struct scene *s = *state;
    struct names n = {.count = 0};
    char aside[300];
    struct watch w;

    assert_int_equal(wm_node_list(s->instance, NULL, note, &n), 0);
    snprintf(aside, sizeof(aside), "%s.", n.path[0]);
    watch_begin(&w, s->instance, NULL, 1);
    assert_int_equal(symlink("/dev/null", aside), 0);
    assert_int_equal(rename(aside, n.path[0]), 0);
    watch_await(&w, watch_error, -EBADMSG);
    watch_end(&w);
}

static bool are_all_there(const struct wm_view *v, long count)
{
    return v->live == 1 && watch_workers(v, count);
}

static void a_larger_life_has_room_for_all_its_workers(void **state)
{
    struct scene *s = *state;
    struct actor *small, *large, *a;
    struct watch w;

    step_aside(s);
    small = scene_actor(s);
    large = scene_actor(s);
    watch_begin(&w, s->instance, NULL, 5);
    assert_int_equal(actor_do(small, act_live, 4), 0);
    watch_await(&w, are_all_there, 1);
    actor_kill(small);
    watch_await(&w, watch_error, -ESRCH);
    assert_int_equal(actor_do(large, act_live, 1000), 0);
    for (int i = 0; i < 12; i++) {
        a = actor_fork(large);
        assert_int_equal(actor_do(a, act_join, (long)large->board->id), 0);
    }
    watch_await(&w, are_all_there, 13);
    watch_end(&w);
}

#define JUNK 40

/* Files that are no segments, by the names of some. Locked, they seem to be in
 * use, and no start of a node removes them. */
static void litter(const struct scene *s, int fd[], int from, int to)
{
    char path[300];

    for (int i = from; i < to; i++) {
        snprintf(path, sizeof(path), "/dev/shm/wm.%s.%016d", s->instance, i);
        fd[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd[i] >= 0);
        assert_int_equal(flock(fd[i], LOCK_SH), 0);
    }
}

static void junk_hides_no_segment(void **state)
{
    struct scene *s = *state;
    struct actor *a;
    struct watch w;
    int fd[JUNK];

    step_aside(s);
    a = scene_actor(s);
    /* Some that the directory names before, some after. */
    litter(s, fd, 0, JUNK / 2);
    assert_int_equal(actor_do(a, act_live, 4), 0);
    litter(s, fd, JUNK / 2, JUNK);
    for (int locked = 1; locked >= 0; locked--) {
        watch_begin(&w, s->instance, NULL, 1);
        watch_await(&w, has_worker, a->pid);
        assert_int_equal(watch_number(&w), 1);
        watch_end(&w);
        for (int i = 0; i < JUNK && locked == 1; i++) {
            close(fd[i]);
        }
    }
    /* Nor a dead one. */
    actor_kill(a);
    watch_begin(&w, s->instance, NULL, 1);
    watch_await(&w, watch_error, -ESRCH);
    watch_await(&w, watch_workers, 1);
    watch_end(&w);
}

/* -------------------------------------------------------------- each check */

/* Else it would be a busy loop where a check comes sooner than the coarse
 * clock goes on. However slow the machine: so many take at least that long. */
static void the_thread_rests_between_checks(void **state)
{
    struct timespec before, after;
    struct watch w;
    int64_t us;

    (void)state;
    watch_begin(&w, "test-none", NULL, 2);
    clock_gettime(CLOCK_MONOTONIC, &before);
    await_checks(50);
    clock_gettime(CLOCK_MONOTONIC, &after);
    us = (after.tv_sec - before.tv_sec) * 1000000 +
         (after.tv_nsec - before.tv_nsec) / 1000;
    assert_true(us >= 98000); /* 49 pauses of 2 ms */
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
static void where_descriptors_are_short_a_live_node_stays_live(void **state)
{
    struct scene *s = *state;
    struct rlimit old, limit;
    int taken[DESCRIPTORS], count;
    struct actor *a;
    struct watch w;

    step_aside(s);
    a = scene_actor(s);
    assert_int_equal(actor_do(a, act_live, 4), 0);
    watch_begin(&w, s->instance, NULL, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    limit = (struct rlimit){DESCRIPTORS, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int but = 0; but < 3; but++) {
        count = take_descriptors(taken, but);
        await_checks(3);
        while (count > 0) {
            close(taken[--count]);
        }
        assert_int_equal(watch_number(&w), 1);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    watch_await(&w, has_worker, a->pid);
    actor_kill(a);
    watch_await(&w, watch_error, -ESRCH);
    watch_end(&w);
}

static bool is_held(void *unused)
{
    (void)unused;
    return held >= 0;
}

/* It would keep a lock that the look takes for a moment. */
static void a_child_inherits_no_descriptor_of_a_look_for_segments(void **state)
{
    struct watch w;
    int status = -1;
    pid_t pid;

    (void)state;
    held = -1;
    forker = getpid();
    watch_begin(&w, "test-none", NULL, 1);
    hold = true;
    scene_await(is_held, NULL, "a look");
    pid = fork(); /* sleeps until the look is over */
    if (pid == 0) {
        _exit(fcntl(held, F_GETFD) != -1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    watch_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(a_node_that_is_not_there_yet_is_found_when_it_is),
        SCENE_TEST(a_directory_that_is_not_there_is_an_error_in_the_view),
        SCENE_TEST(a_node_is_followed_through_death_rebirth_and_end),
        SCENE_TEST(what_cannot_be_opened_says_why),
        SCENE_TEST(a_dead_life_beside_a_live_one_is_passed_over),
        SCENE_TEST(of_two_lives_one_is_followed_until_it_ends),
        SCENE_TEST(a_live_node_without_its_file_is_given_up),
        SCENE_TEST(a_live_node_whose_file_was_replaced_is_not_called_dead),
        SCENE_TEST(a_larger_life_has_room_for_all_its_workers),
        SCENE_TEST(junk_hides_no_segment),
        SCENE_TEST(the_thread_rests_between_checks),
        SCENE_TEST(where_descriptors_are_short_a_live_node_stays_live),
        SCENE_TEST(a_child_inherits_no_descriptor_of_a_look_for_segments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
