/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The monitor at moments that hardly ever come: something changes while it
 * looks, memory runs out, a process forks while it calls; and its time, to the
 * millisecond. The linker has its calls go through here, where the test does
 * what else would be a matter of luck. */

#include "place.h"
#include "scene.h"
#include "watch.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* -------------------------------------------------------------- in between */

static atomic_int checks; /* whether anybody lives, so far */
static atomic_int rests;  /* on the node's epoch */
static atomic_int refused;
static atomic_int intrusions; /* generations to begin, one in each look */
static struct wm_node *intruded;
static _Atomic enum {
    NOBODY,
    OTHERS,
    ALL
} no_memory;                    /* for whom */
static pthread_t tester;        /* not of the others */
static _Atomic uint64_t frozen; /* the time, ms; 0: it goes on */
static const void *_Atomic watched[2];
static atomic_int freed; /* of what is watched */

int __real_wm_node_list(const char *instance, const char *directory,
                        wm_node_entry_fn *tell, void *argument);
int __wrap_wm_node_list(const char *instance, const char *directory,
                        wm_node_entry_fn *tell, void *argument);
int __real_wm_wait(const struct wm_node *node, uint32_t epoch, uint32_t ms);
int __wrap_wm_wait(const struct wm_node *node, uint32_t epoch, uint32_t ms);
int __real_wm_generations(const struct wm_node *node,
                          struct wm_generation_info *list, uint32_t room,
                          uint32_t *count);
int __wrap_wm_generations(const struct wm_node *node,
                          struct wm_generation_info *list, uint32_t room,
                          uint32_t *count);
int __real_clock_gettime(clockid_t id, struct timespec *time);
int __wrap_clock_gettime(clockid_t id, struct timespec *time);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void __real_free(void *memory);
void __wrap_free(void *memory);

int __wrap_wm_node_list(const char *instance, const char *directory,
                        wm_node_entry_fn *tell, void *argument)
{
    int error = __real_wm_node_list(instance, directory, tell, argument);

    checks++;
    return error;
}

int __wrap_wm_wait(const struct wm_node *node, uint32_t epoch, uint32_t ms)
{
    rests++;
    return __real_wm_wait(node, epoch, ms);
}

/* The monitor has read the generations, and not yet looked whether the epoch
 * is still the same. */
int __wrap_wm_generations(const struct wm_node *node,
                          struct wm_generation_info *list, uint32_t room,
                          uint32_t *count)
{
    int result = __real_wm_generations(node, list, room, count);
    uint64_t id;

    if (intrusions > 0) {
        intrusions--;
        result |= wm_generation_begin(intruded, &id, NULL);
    }
    return result;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *time)
{
    uint64_t ms = frozen;

    if (id != CLOCK_MONOTONIC || ms == 0) {
        return __real_clock_gettime(id, time);
    }
    time->tv_sec = (time_t)(ms / 1000);
    time->tv_nsec = (long)(ms % 1000) * 1000000;
    return 0;
}

void *__wrap_malloc(size_t size)
{
    if (no_memory == ALL ||
        (no_memory == OTHERS && !pthread_equal(pthread_self(), tester))) {
        refused++;
        return NULL;
    }
    return __real_malloc(size);
}

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

/* ------------------------------------------------------------------- looks */

struct sightings {
    pthread_mutex_t mutex;
    int unsettled;
};

static void sight(const struct wm_view *before, const struct wm_view *now,
                  void *argument)
{
    struct sightings *seen = argument;

    (void)before;
    pthread_mutex_lock(&seen->mutex);
    seen->unsettled += now->unsettled != 0;
    pthread_mutex_unlock(&seen->mutex);
}

static bool has_generations(const struct wm_view *v, long count)
{
    return v->unsettled == 0 && (long)v->generation_count == count;
}

/* Somebody else begins a generation, and `count` more begin while the monitor
 * looks. Returns how many views were unsettled until it has seen all. */
static int look_amid(struct scene *s, int count, struct watch *w)
{
    struct sightings seen = {PTHREAD_MUTEX_INITIALIZER, 0};
    struct actor *a = scene_actor(s);
    struct wm_subscription *u;

    watch_begin(w, s->instance, NULL, WATCH_NEVER);
    assert_int_equal(wm_monitor_subscribe(w->monitor, sight, &seen, &u), 0);
    watch_come_last(w);
    intruded = s->node;
    intrusions = count;
    assert_int_equal(actor_do(a, act_begin, 0), 0);
    watch_await(w, has_generations, count + 1);
    watch_await_told(w, watch_number(w));
    assert_int_equal(wm_monitor_unsubscribe(u), 0);
    return seen.unsettled;
}

static void what_changes_during_a_look_is_in_its_view(void **state)
{
    struct watch w;

    assert_int_equal(look_amid(*state, 1, &w), 0);
    assert_int_equal(watch_number(&w), 2);
    watch_end(&w);
}

static void a_look_that_never_settles_says_so_and_another_follows(void **state)
{
    struct watch w;

    assert_true(look_amid(*state, 20, &w) > 0);
    watch_end(&w);
}

/* -------------------------------------------------------------------- time */

#define HOUR 3600000

struct round {
    const struct wm_node *node;
    int rests;
};

static bool has_gone_round(void *argument)
{
    const struct round *r = argument;

    wm_wake(r->node);
    return rests >= r->rests;
}

/* The thread wakes, finds out what time it is, and rests again. */
static void go_round(const struct scene *s)
{
    struct round r = {s->node, rests + 2};

    scene_await(has_gone_round, &r, "the thread");
}

/* A node that changes lives. */
static void a_check_comes_so_long_after_the_last_change(void **state)
{
    struct scene *s = *state;
    struct watch w;
    int before;

    frozen = wm_now();
    watch_begin(&w, s->instance, NULL, HOUR);
    before = checks;
    frozen += HOUR - 1;
    go_round(s);
    assert_int_equal(checks, before);
    scene_begin(s);
    watch_await_told(&w, 2);
    go_round(s);
    frozen += HOUR - 1;
    go_round(s);
    assert_int_equal(checks, before);
    frozen += 1;
    go_round(s);
    assert_int_equal(checks, before + 1);
    frozen += HOUR - 1;
    go_round(s);
    assert_int_equal(checks, before + 1);
    watch_end(&w);
    frozen = 0;
}

static void who_names_no_time_has_a_check_each_second(void **state)
{
    const struct wm_monitor_options none = {.size = sizeof(none)};
    struct scene *s = *state;
    struct wm_monitor *m;

    for (int i = 0; i < 2; i++) {
        checks = 0;
        frozen = wm_now();
        assert_int_equal(
            wm_monitor_create(s->instance, NULL, i == 0 ? NULL : &none, &m), 0);
        frozen += 999;
        go_round(s);
        assert_int_equal(checks, 1);
        frozen += 1;
        go_round(s);
        assert_int_equal(checks, 2);
        assert_int_equal(wm_monitor_destroy(m), 0);
        frozen = 0;
    }
}

/* ------------------------------------------------------------------ memory */

static bool has_checked(void *number)
{
    return checks >= *(int *)number;
}

/* At most once after a change, and twice at each check. */
static void
without_memory_for_a_view_the_thread_tries_at_each_check(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);
    struct watch w;
    int tries, last;

    watch_begin(&w, s->instance, NULL, 5);
    refused = 0;
    checks = 0;
    no_memory = OTHERS;
    assert_int_equal(actor_do(a, act_begin, 0), 0);
    last = 5;
    scene_await(has_checked, &last, "checks");
    tries = refused;
    assert_true(tries > 0 && tries <= 1 + 2 * (checks + 1));
    assert_int_equal(watch_number(&w), 1);
    no_memory = NOBODY;
    watch_await(&w, has_generations, 1);
    watch_end(&w);
}

static void without_memory_there_is_no_monitor(void **state)
{
    struct scene *s = *state;
    struct wm_monitor *m;

    no_memory = ALL;
    assert_int_equal(wm_monitor_create(s->instance, NULL, NULL, &m), -ENOMEM);
    no_memory = NOBODY;
}

static void leave(const struct wm_view *before, const struct wm_view *now,
                  void *argument)
{
    struct wm_subscription **u = argument;

    (void)before;
    (void)now;
    if (*u != NULL) {
        watched[0] = *u;
        wm_monitor_unsubscribe(*u);
        *u = NULL;
    }
}

static bool is_freed(void *unused)
{
    (void)unused;
    return freed == 1;
}

/* And not with the monitor only. */
static void who_left_in_its_own_call_is_freed_after_it(void **state)
{
    struct scene *s = *state;
    struct wm_subscription *u;
    struct wm_monitor *m;

    freed = 0;
    assert_int_equal(wm_monitor_create(s->instance, NULL, NULL, &m), 0);
    assert_int_equal(wm_monitor_subscribe(m, leave, &u, &u), 0);
    scene_begin(s);
    scene_await(is_freed, NULL, "the subscription's end");
    assert_int_equal(wm_monitor_destroy(m), 0);
}

struct call {
    const struct wm_view *_Atomic before;
    atomic_bool over;
};

static void stay(const struct wm_view *before, const struct wm_view *now,
                 void *argument)
{
    struct call *c = argument;
    const struct timespec pause = {.tv_nsec = 1000000};

    (void)now;
    c->before = before;
    while (!c->over) {
        nanosleep(&pause, NULL);
    }
}

static bool is_called(void *call)
{
    return ((struct call *)call)->before != NULL;
}

/* The view that was replaced, and who has left in its own call. */
static void
a_child_made_during_a_call_frees_what_waits_for_its_end(void **state)
{
    struct scene *s = *state;
    struct call c = {NULL, false};
    struct wm_subscription *u, *stays;
    struct wm_monitor *m;
    int status = -1;
    pid_t pid;

    freed = 0;
    assert_int_equal(wm_monitor_create(s->instance, NULL, NULL, &m), 0);
    assert_int_equal(wm_monitor_subscribe(m, leave, &u, &u), 0);
    assert_int_equal(wm_monitor_subscribe(m, stay, &c, &stays), 0);
    scene_begin(s);
    scene_await(is_called, &c, "the call");
    watched[1] = c.before;
    pid = fork();
    if (pid == 0) {
        alarm(20);
        _exit(wm_monitor_destroy(m) != 0 || freed != 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    c.over = true;
    assert_int_equal(wm_monitor_destroy(m), 0);
    assert_int_equal(freed, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(what_changes_during_a_look_is_in_its_view),
        SCENE_TEST(a_look_that_never_settles_says_so_and_another_follows),
        SCENE_TEST(a_check_comes_so_long_after_the_last_change),
        SCENE_TEST(who_names_no_time_has_a_check_each_second),
        SCENE_TEST(without_memory_for_a_view_the_thread_tries_at_each_check),
        SCENE_TEST(without_memory_there_is_no_monitor),
        SCENE_TEST(who_left_in_its_own_call_is_freed_after_it),
        SCENE_TEST(a_child_made_during_a_call_frees_what_waits_for_its_end),
    };

    tester = pthread_self();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
