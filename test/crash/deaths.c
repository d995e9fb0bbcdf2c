/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A process is killed after each step of its life, then at random ones; the
 * others go on, and the books balance: nothing is told twice, nothing that is
 * owed is lost, no slot is lost for good. */

#include "scene.h"

#include "layout.h"
#include "node.h"
#include "process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CRASHED (1u << WM_EVENT_CRASHED)
#define MASTER_EXIT (1u << WM_EVENT_MASTER_EXIT)

/* A claim that never gets further: what a joiner that dies there leaves. */
static long act_claim(struct actor *self, long slot)
{
    struct wm_node *node = self->scene->node;
    uint64_t claimed = wm_word(WM_CLAIMED, (uint32_t)getpid(), wm_now());

    if (node->segment.header->high <= (uint32_t)slot) {
        atomic_store(&node->segment.header->high, (uint32_t)slot + 1);
    }
    atomic_store(&node->segment.records[slot].word, claimed);
    return 0;
}

/* And one that has written part of its identity over the former one's. */
static long act_claim_and_write(struct actor *self, long slot)
{
    struct wm_record *r = &self->scene->node->segment.records[slot];

    act_claim(self, slot);
    atomic_store(&r->generation, 1);
    atomic_store(&r->join, 999);
    return 0;
}

/* Published, but dead before it entered its generation. */
static long act_publish(struct actor *self, long slot)
{
    struct wm_node *node = self->scene->node;
    struct wm_record *r = &node->segment.records[slot];

    act_claim_and_write(self, slot);
    atomic_store(&r->overdue_ms, SCENE_NEVER);
    atomic_store(&node->segment.colds[slot].ident, wm_self_ident());
    atomic_store(&node->segment.colds[slot].given, UINT64_C(999) << 32);
    atomic_store(&r->word, wm_word(WM_JOINING, (uint32_t)getpid(), wm_now()));
    return 0;
}

struct step {
    act_fn *act;
    long argument;
};

static const struct death {
    const char *name;
    struct step steps[8];
    int crashes;    /* to be told */
    int exit_taken; /* the victim took the end with it */
    int closed;     /* the victim was the last: an end is owed or taken */
} deaths[] = {
    {"claimed", {{act_claim, 5}}, 0, 0, 0},
    {"claimed and writing", {{act_claim_and_write, 5}}, 0, 0, 0},
    {"published, not entered", {{act_publish, 5}}, 1, 0, 0},
    {"joined", {{act_join, 1}}, 1, 0, 0},
    {"joined, waiting with the lock", {{act_join, 1}, {act_lock, 0}}, 1, 0, 0},
    {"in its start callback",
     {{act_join, 1}, {act_lock, 0}, {act_start, 0}},
     1,
     0,
     0},
    {"live", {{act_join, 1}, {act_start, 0}}, 1, 0, 0},
    {"leading", {{act_join, 1}, {act_start, 0}, {act_lead, 0}}, 1, 0, 0},
    {"in its exit callback",
     {{act_join, 1}, {act_start, 0}, {act_lock, 0}, {act_exit, 0}},
     1,
     0,
     0},
    {"drained, holding the lock",
     {{act_join, 1},
      {act_start, 0},
      {act_lock, 0},
      {act_exit, 0},
      {act_drain, 0}},
     0,
     0,
     0},
    {"closed its generation",
     {{act_join, 1},
      {act_start, 0},
      {act_lock, 0},
      {act_drain, 0},
      {act_retire, 1}},
     0,
     0,
     1},
    {"in the master's exit callback",
     {{act_join, 1},
      {act_start, 0},
      {act_lock, 0},
      {act_drain, 0},
      {act_retire, 1},
      {act_take, 1}},
     0,
     1,
     1},
    {"left",
     {{act_join, 1},
      {act_start, 0},
      {act_drain, 0},
      {act_retire, 1},
      {act_take, 1},
      {act_leave, 0}},
     0,
     1,
     1},
};

/* I7: each record is free, crashed, or of a living process. */
static void check_records(struct scene *s)
{
    struct wm_worker_info list[64];
    uint32_t count;

    assert_int_equal(wm_sweep(s->node, NULL), 0);
    assert_int_equal(wm_snapshot(s->node, list, 64, &count), 0);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(list[i].state == WM_CRASHED || kill(list[i].pid, 0) == 0);
    }
    for (uint32_t i = 0; i < s->node->segment.geometry.capacity; i++) {
        assert_int_not_equal(
            wm_word_state(atomic_load(&s->node->segment.records[i].word)),
            WM_CLAIMED);
    }
}

/* A life in what is left: it starts, it is the last, it ends all. */
static int end_all(struct scene *s, uint64_t generation)
{
    struct actor *a = scene_worker(s, generation);
    int exits;

    assert_int_equal(actor_do(a, act_lock, 20000) >= 0, 1);
    assert_int_equal(actor_shut_down(a, generation, &exits), 1);
    assert_int_equal(actor_do(a, act_unlock, 0), 0);
    assert_int_equal(actor_do(a, act_leave, 0), 0);
    actor_quit(a);
    assert_int_equal(scene_generation(s, generation).state,
                     WM_GENERATION_EXITED);
    return exits;
}

/* Each slot can be taken again, and the lock, and the lead. */
static void check_all_is_usable(struct scene *s, uint64_t generation)
{
    struct actor *a[8];

    for (int i = 0; i < 8; i++) {
        a[i] = scene_worker(s, generation);
    }
    assert_true(actor_do(a[0], act_lock, 20000) >= 0);
    assert_int_equal(actor_do(a[0], act_unlock, 0), 0);
    assert_int_equal(actor_do(a[7], act_lead, 0), 1);
    for (int i = 0; i < 8; i++) {
        actor_do(a[i], act_drain, 0);
        actor_do(a[i], act_leave, 0);
        actor_quit(a[i]);
    }
}

static void die(struct scene *s, const struct death *d)
{
    uint64_t g = scene_begin(s);
    struct actor *victim = scene_actor(s);
    int crashes = 0, exits, spells;

    assert_int_equal(g, 1);
    for (int i = 0; d->steps[i].act != NULL; i++) {
        assert_true(actor_do(victim, d->steps[i].act, d->steps[i].argument) >=
                    0);
    }
    actor_kill(victim);
    wm_sweep(s->node, NULL);
    check_records(s);
    while (scene_take(s, CRASHED, NULL) != 0) {
        crashes++;
    }
    assert_int_equal(crashes, d->crashes);
    exits = end_all(s, g);
    spells = (int)scene_generation(s, g).spell;
    assert_int_equal(exits + d->exit_taken, spells);
    assert_int_equal(spells, 1 + d->closed);
    assert_int_equal(wm_events_owed(s->node, ~0u), 0);
    check_all_is_usable(s, g);
}

/* Only where the test failed in the middle of a scene. */
static int end_scene(void **state)
{
    return *state == NULL ? 0 : scene_teardown(state);
}

static void whatever_a_worker_dies_after_the_books_balance(void **state)
{
    for (size_t i = 0; i < sizeof(deaths) / sizeof(*deaths); i++) {
        struct scene *s;

        print_message("# dies: %s\n", deaths[i].name);
        assert_int_equal(scene_setup(state), 0);
        s = *state;
        die(s, &deaths[i]);
        assert_int_equal(scene_teardown(state), 0);
        *state = NULL;
    }
}

static void all_workers_killed_at_once_are_each_told_once(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s), h;
    struct actor *a[6], *b;
    int crashes = 0;
    struct wm_event e;

    for (int i = 0; i < 6; i++) {
        a[i] = scene_worker(s, g);
    }
    for (int i = 0; i < 6; i++) {
        kill(a[i]->pid, SIGKILL);
    }
    for (int i = 0; i < 6; i++) {
        actor_kill(a[i]);
    }
    h = scene_begin(s);
    b = scene_worker(s, h);
    while (scene_take(s, CRASHED, NULL) != 0) {
        crashes++;
    }
    assert_int_equal(crashes, 6);
    actor_do(b, act_sweep, 0);
    assert_int_equal(scene_take(s, MASTER_EXIT, &e), WM_EVENT_MASTER_EXIT);
    assert_int_equal(e.generation, g);
    assert_int_equal(scene_take(s, ~0u, NULL), 0);
}

/* A whole node in a process group: master and workers, all killed at once. */
static void all_processes_killed_at_once_are_told_to_the_next_life(void **state)
{
    struct scene *s = *state;
    const struct wm_node_options options = {
        .size = sizeof(options), .instance = s->instance, .capacity = 8};
    struct wm_node_info info = {.size = sizeof(info)};
    struct actor *master, *a, *b;
    struct wm_node *next;

    /* The test takes no part itself. */
    master = scene_actor(s);
    assert_int_equal(actor_do(master, act_begin, 0), 0);
    a = actor_fork(master);
    b = actor_fork(master);
    assert_int_equal(actor_do(a, act_join, 1), 0);
    assert_int_equal(actor_do(b, act_join, 1), 0);
    assert_int_equal(actor_do(b, act_start, 0), 0);
    assert_int_equal(wm_node_release(s->node), 0);
    s->node = NULL;
    assert_int_equal(scene_files(s), 1);
    kill(master->pid, SIGKILL);
    kill(a->pid, SIGKILL);
    kill(b->pid, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
    }
    master->pid = a->pid = b->pid = 0;

    assert_int_equal(wm_node_attach(&options, &next), 0);
    wm_node_describe(next, &info);
    assert_int_equal(info.postmortem.segments, 1);
    assert_int_equal(info.postmortem.workers, 2);
    assert_int_equal(info.postmortem.exits_owed, 1);
    assert_int_equal(info.postmortem.generation, 1);
    assert_int_equal(info.generation, 0);
    assert_int_equal(scene_files(s), 1);
    assert_int_equal(wm_node_release(next), 0);
    assert_int_equal(scene_files(s), 0);
}

/* ---------------------------------------------------------------- chaos */

/* Lives of workers, one after another, until it is killed. The ends taken are
 * counted in memory that survives it. */
static long act_live_on(struct actor *self, long unused)
{
    struct wm_node *node = self->scene->node;
    struct wm_log_entry log[4];
    struct wm_leader leader;
    uint64_t since = 0;
    uint32_t n;

    (void)unused;
    for (;;) {
        if (act_join(self, 1) != 0) {
            wm_sweep(node, NULL);
            continue;
        }
        wm_lock_acquire(node, NULL);
        act_start(self, 0);
        wm_lock_release(node);
        wm_beat(wm_node_worker(node));
        wm_leader_stand(wm_node_worker(node), &leader);
        wm_log_read(node, &since, log, 4, &n, NULL);
        wm_lock_acquire(node, NULL);
        act_exit(self, 0);
        act_drain(self, 0);
        wm_generation_close(node, 1);
        while (wm_generation_take_exit(node, 1, NULL) == 1) {
            self->board->number++;
        }
        wm_lock_release(node);
        act_leave(self, 0);
    }
    return 0;
}

static void pause_us(long us)
{
    const struct timespec t = {.tv_nsec = us * 1000};

    nanosleep(&t, NULL);
}

/* The moment of the kill is random, not what is awaited. */
static void killed_at_random_moments_nothing_is_lost_or_told_twice(void **state)
{
    struct scene *s = *state;
    const char *given = getenv("WM_SEED");
    unsigned seed =
        given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)wm_now();
    uint64_t g = scene_begin(s);
    uint32_t crashes = 0, taken = 0, kills = 0;
    struct wm_generation_info info;

    print_message("# WM_SEED=%u\n", seed);
    srand(seed);
    for (int round = 0; round < 60; round++) {
        struct actor *a[4];

        s->actors = 0;
        for (int i = 0; i < 4; i++) {
            a[i] = scene_actor(s);
            a[i]->board->number = 0;
            actor_tell(a[i], act_live_on, 0);
        }
        for (int i = 0; i < 4; i++) {
            pause_us(rand() % 1500);
            actor_kill(a[i]);
            /* A killed actor's answer never comes. */
            taken += a[i]->board->number;
            kills++;
        }
        wm_sweep(s->node, NULL);
        check_records(s);
        while (scene_take(s, CRASHED, NULL) != 0) {
            crashes++;
        }
        assert_true(crashes <= kills);
        /* Who dies between marking and counting leaves a label uncounted. */
        assert_true(scene_generation(s, g).deaths <= crashes);
    }
    taken += (uint32_t)end_all(s, g);
    info = scene_generation(s, g);
    assert_int_equal(info.spell, info.exits_given);
    /* One for each that died between taking an end and counting it. */
    assert_true(taken <= info.spell && taken + kills >= info.spell);
    check_all_is_usable(s, g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(
            whatever_a_worker_dies_after_the_books_balance, end_scene),
        SCENE_TEST(all_workers_killed_at_once_are_each_told_once),
        SCENE_TEST(all_processes_killed_at_once_are_told_to_the_next_life),
        SCENE_TEST(killed_at_random_moments_nothing_is_lost_or_told_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
