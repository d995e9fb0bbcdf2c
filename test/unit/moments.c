/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What others do between two steps of one operation. The library here calls
 * before each atomic operation of its own (moments.h); a test names the one
 * that it wants to come before. */

#include "moments.h"
#include "scene.h"

#include "layout.h"
#include "log.h"
#include "node.h"
#include "process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

moment_fn *moment_hook;

/* Once, before this operation of that function. */
static const char *in, *before;
static void (*act)(void);

static struct scene *scene;
static struct actor *other, *rival;
static long ahead_s; /* is the coarse clock */

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int result = (int)syscall(SYS_clock_gettime, id, ts);

    ts->tv_sec += id == CLOCK_MONOTONIC_COARSE ? ahead_s : 0;
    return result;
}

static void on_moment(const char *function, const char *operation)
{
    void (*now)(void) = act;

    if (now != NULL && strcmp(function, in) == 0 &&
        strcmp(operation, before) == 0) {
        act = NULL;
        now();
    }
}

static void meanwhile(const char *function, const char *operation,
                      void (*what)(void))
{
    in = function;
    before = operation;
    act = what;
    moment_hook = on_moment;
}

static void came_to_it(void)
{
    assert_null(act);
    moment_hook = NULL;
}

static struct wm_record *record(uint32_t slot)
{
    return &scene->node->segment.records[slot];
}

static void stop(void)
{
    raise(SIGSTOP);
}

static bool is_stopped(void *actor)
{
    return scene_process_state(((struct actor *)actor)->pid) == 'T';
}

/* ------------------------------------------------------------------ claims */

static long act_join_and_stop(struct actor *self, long generation)
{
    ahead_s = -1;
    meanwhile("record_set_join", "store", stop);
    return act_join(self, generation);
}

/* Its process began a moment ago, by a clock that is not behind. */
static void a_claimant_lives_though_a_clock_lags(void **state)
{
    uint64_t g;

    scene = *state;
    scene_recast(scene, 1);
    g = scene_begin(scene);
    other = scene_actor(scene);
    actor_tell(other, act_join_and_stop, (long)g);
    scene_await(is_stopped, other, "the claim");
    wm_sweep(scene->node, NULL);
    assert_int_equal(wm_word_state(atomic_load(&record(0)->word)), WM_CLAIMED);
    actor_resume(other);
    assert_int_equal(actor_hear(other), 0);
}

/* ------------------------------------------------------------- generations */

/* Until one has the record of generation 1. */
static uint64_t begin_until_the_record_comes_again(struct actor *a)
{
    do {
        assert_int_equal(actor_do(a, act_begin, 0), 0);
    } while (a->board->id % scene->node->segment.geometry.generations != 1);
    return a->board->id;
}

static void end_its_generation(void)
{
    assert_int_equal(actor_do(rival, act_take_event, ~0), 1);
    actor_kill(other);
    assert_int_equal(actor_do(rival, act_retire, 1), WM_CLOSED);
    assert_int_equal(actor_do(rival, act_take, 1), 1);
    begin_until_the_record_comes_again(rival);
}

static void a_death_is_counted_of_its_own_generation(void **state)
{
    struct actor *worker;

    scene = *state;
    scene_recast(scene, 1);
    other = scene_actor(scene);
    rival = scene_actor(scene);
    assert_int_equal(actor_do(other, act_begin, 0), 0);
    worker = actor_fork(other);
    assert_int_equal(actor_do(worker, act_join, 1), 0);
    assert_int_equal(actor_do(worker, act_start, 0), 0);
    actor_kill(worker);
    meanwhile("generation_swap_deaths", "swap", end_its_generation);
    wm_sweep(scene->node, NULL);
    came_to_it();
    assert_int_equal(scene_generation(scene, rival->board->id).deaths, 0);
}

static long act_begin_and_stop(struct actor *self, long unused)
{
    meanwhile("generation_swap_master", "swap", stop);
    return act_begin(self, unused);
}

static void a_master_that_went_on_keeps_what_it_has_begun(void **state)
{
    struct wm_generation_info g;
    uint64_t id;

    scene = *state;
    scene_recast(scene, 1);
    other = scene_actor(scene);
    assert_int_equal(actor_do(other, act_begin, 0), 0);
    rival = actor_fork(other);
    actor_tell(rival, act_begin_and_stop, 0);
    scene_await(is_stopped, rival, "the inheritance");
    id = begin_until_the_record_comes_again(other);
    actor_resume(rival);
    assert_int_equal(actor_hear(rival), 0);
    g = scene_generation(scene, id);
    assert_int_equal(g.master, other->pid);
    actor_kill(rival);
    wm_sweep(scene->node, NULL);
    assert_int_equal(scene_generation(scene, id).state, WM_GENERATION_BEGUN);
}

/* --------------------------------------------------------------------- lead */

/* To one that gives it up, twice, then to one that keeps it. */
static void pass_the_lead_on(void)
{
    struct actor *a = scene_worker(scene, 1);

    assert_int_equal(actor_do(a, act_lead, 0), 1);
    if (a->board->leader.term < 3) {
        assert_int_equal(actor_do(a, act_drain, 0), 0);
        act = pass_the_lead_on;
    }
    rival = a;
}

static void who_lost_the_lead_is_told_who_has_it(void **state)
{
    struct wm_leader leader;
    struct wm_worker *w;

    scene = *state;
    w = scene_own_worker(scene, scene_begin(scene));
    meanwhile("leader_swap", "swap", pass_the_lead_on);
    assert_int_equal(wm_leader_stand(w, &leader), 0);
    came_to_it();
    assert_int_equal(leader.pid, rival->pid);
    assert_int_equal(leader.term, 3);
}

/* The one that is named comes back when another leads. */
static void lead_and_come_back(void)
{
    assert_int_equal(actor_do(rival, act_lead, 0), 1);
    assert_int_equal(actor_do(other, act_beat, 0), WM_RECOVERED);
}

static void a_leader_is_told_that_led_at_that_moment(void **state)
{
    struct wm_leader leader;
    uint64_t g;

    scene = *state;
    g = scene_begin(scene);
    other = scene_worker(scene, g);
    rival = scene_worker(scene, g);
    assert_int_equal(actor_do(other, act_lead, 0), 1);
    scene_stall(scene, other);
    meanwhile("leader_slot", "load", lead_and_come_back);
    wm_leader_inspect(scene->node, &leader);
    came_to_it();
    assert_int_equal(leader.pid, rival->pid);
    assert_int_equal(leader.term, 2);
}

/* ------------------------------------------------------------------- stalls */

static struct wm_worker *own;

/* As another thread does, or as its owner does while a handler beats. */
static void leave_and_join_again(void)
{
    const struct wm_join_options options = {.size = sizeof(options)};
    struct wm_counts counts;

    assert_int_equal(wm_worker_drain(own), 0);
    assert_int_equal(wm_worker_leave(own), 0);
    assert_int_equal(wm_worker_join(scene->node, 1, &options, &own), 0);
    assert_int_equal(wm_worker_start(own, &counts), 0);
}

static void a_stall_is_counted_for_the_joining_that_had_it(void **state)
{
    uint64_t word;

    scene = *state;
    own = scene_own_worker(scene, scene_begin(scene));
    word = atomic_load(&record(0)->word);
    atomic_store(&record(0)->word, wm_word_with_state(word, WM_STALLED));
    meanwhile("record_swap_stalls", "swap", leave_and_join_again);
    wm_beat(own);
    came_to_it();
    assert_int_equal((uint32_t)atomic_load(&record(0)->stalls), 0);
    assert_int_equal(wm_events_owed(scene->node, ~0u), 0);
}

/* In a handler, say, each in another millisecond. */
static void beat_many_times(void)
{
    if (ahead_s < 40) {
        ahead_s++;
        act = beat_many_times;
    }
    assert_true(wm_beat(own) >= 0);
}

static void who_leaves_while_it_beats_has_left(void **state)
{
    scene = *state;
    own = scene_own_worker(scene, scene_begin(scene));
    ahead_s = 0;
    meanwhile("record_swap_own", "swap", beat_many_times);
    assert_int_equal(wm_worker_leave(own), 0);
    came_to_it();
    ahead_s = 0;
    assert_int_equal(atomic_load(&record(0)->word), 0);
}

/* ---------------------------------------------------------------------- log */

static void write_an_entry(void)
{
    wm_log_append(scene->node, WM_LOG_LEADER, 1, 1, 1, WM_NO_SLOT);
}

/* Each read finds that what it wanted to read first is overwritten. */
static void a_reader_at_the_tail_of_the_log_gets_on(void **state)
{
    struct wm_log_entry list[4];
    uint64_t since = 0, missed;
    uint32_t count;

    scene = *state;
    for (int i = 0; i < 300; i++) {
        write_an_entry();
    }
    meanwhile("log_read", "load", write_an_entry);
    assert_int_equal(wm_log_read(scene->node, &since, list, 4, &count, &missed),
                     0);
    came_to_it();
    assert_int_equal(count, 4);
    assert_int_equal(list[0].number, 301 - 256 + 1);
    assert_int_equal(missed, 301 - 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(a_claimant_lives_though_a_clock_lags),
        SCENE_TEST(a_death_is_counted_of_its_own_generation),
        SCENE_TEST(a_master_that_went_on_keeps_what_it_has_begun),
        SCENE_TEST(who_lost_the_lead_is_told_who_has_it),
        SCENE_TEST(a_leader_is_told_that_led_at_that_moment),
        SCENE_TEST(a_stall_is_counted_for_the_joining_that_had_it),
        SCENE_TEST(who_leaves_while_it_beats_has_left),
        SCENE_TEST(a_reader_at_the_tail_of_the_log_gets_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
