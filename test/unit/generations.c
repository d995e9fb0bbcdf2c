/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The life of a generation: begun, entered, closed, aborted, come back; and
 * who of its workers is the last. */

#include "scene.h"

#include "node.h"

#include <errno.h>
#include <unistd.h>

static void expect_state(struct scene *s, uint64_t id,
                         enum wm_generation_state state, uint32_t spell)
{
    struct wm_generation_info g = scene_generation(s, id);

    assert_int_equal(g.state, state);
    assert_int_equal(g.spell, spell);
}

static void it_is_begun_entered_and_exited(void **state)
{
    struct scene *s = *state;
    uint64_t g;
    struct actor *a;
    int exits;

    assert_int_equal(g = scene_begin(s), 1);
    expect_state(s, g, WM_GENERATION_BEGUN, 0);
    a = scene_worker(s, g);
    expect_state(s, g, WM_GENERATION_ACTIVE, 1);
    assert_int_equal(scene_generation(s, g).master, getpid());
    assert_int_equal(actor_shut_down(a, g, &exits), 1);
    assert_int_equal(exits, 1);
    assert_int_equal(a->board->number, 1);
    expect_state(s, g, WM_GENERATION_EXITED, 1);
    actor_quit(a);
    assert_int_equal(scene_begin(s), 2);
}

static void a_failed_start_is_as_if_it_had_never_been(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct wm_counts c;

    assert_int_equal(wm_generation_abandon(s->node, g), WM_CLOSED);
    expect_state(s, g, WM_GENERATION_ABORTED, 0);
    g = scene_begin(s);
    wm_generation_counts(s->node, g, &c);
    assert_int_equal(c.previous, -1);
    wm_generation_abandon(s->node, g);
    assert_int_equal(wm_node_release(s->node), 0);
    s->node = NULL;
    assert_int_equal(scene_files(s), 0);
}

static void a_failed_reload_is_skipped_by_the_good_one(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s), failed, good;
    struct wm_counts c;

    scene_worker(s, g);
    scene_worker(s, g);
    failed = scene_begin(s);
    assert_int_equal(wm_generation_abandon(s->node, failed), WM_CLOSED);
    good = scene_begin(s);
    wm_generation_counts(s->node, good, &c);
    assert_int_equal(c.previous, 2);
    assert_int_equal(c.next, -1);
    wm_generation_counts(s->node, g, &c);
    assert_int_equal(c.next, 0);
}

static void ending_a_generation_that_has_workers_changes_nothing(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);

    scene_worker(s, g);
    assert_int_equal(wm_generation_abandon(s->node, g), 0);
    expect_state(s, g, WM_GENERATION_ACTIVE, 1);
}

/* The process that began it forks the master, closes its VM, and goes. */
static void a_daemonizing_parent_aborts_nothing(void **state)
{
    struct scene *s = *state;
    struct actor *parent, *master, *worker;
    uint64_t g;
    int exits;

    parent = scene_actor(s);
    assert_int_equal(actor_do(parent, act_begin, 0), 0);
    g = parent->board->id;
    master = actor_fork(parent);
    assert_int_equal(actor_do(parent, act_end_generation, (long)g), 0);
    actor_do(parent, act_release, 0);
    actor_quit(parent);
    expect_state(s, g, WM_GENERATION_BEGUN, 0);
    assert_int_equal(scene_files(s), 1);
    worker = actor_fork(master);
    assert_int_equal(actor_do(worker, act_join, (long)g), 0);
    assert_int_equal(actor_do(worker, act_start, 0), 0);
    assert_int_equal(scene_generation(s, g).master, master->pid);
    assert_int_equal(worker->board->counts.mine, 1);
    assert_int_equal(actor_shut_down(worker, g, &exits), 1);
    assert_int_equal(exits, 1);
}

static void a_daemon_that_reloads_before_any_worker_has_two(void **state)
{
    struct scene *s = *state;
    struct actor *parent = scene_actor(s), *master;
    struct wm_counts c;

    assert_int_equal(actor_do(parent, act_begin, 0), 0);
    master = actor_fork(parent);
    actor_do(parent, act_end_generation, 1);
    actor_do(parent, act_release, 0);
    actor_quit(parent);
    assert_int_equal(actor_do(master, act_begin, 0), 0);
    expect_state(s, 1, WM_GENERATION_BEGUN, 0);
    assert_int_equal(scene_generation(s, 1).master, master->pid);
    wm_generation_counts(s->node, 2, &c);
    assert_int_equal(c.previous, 0);
}

static void one_whose_master_died_before_any_worker_is_aborted(void **state)
{
    struct scene *s = *state;
    struct actor *master = scene_actor(s);

    assert_int_equal(actor_do(master, act_begin, 0), 0);
    wm_sweep(s->node, NULL);
    expect_state(s, 1, WM_GENERATION_BEGUN, 0);
    actor_kill(master);
    wm_sweep(s->node, NULL);
    expect_state(s, 1, WM_GENERATION_ABORTED, 0);
}

static void
one_that_was_overtaken_is_aborted_and_revived_by_a_late_join(void **state)
{
    struct scene *s = *state;
    struct actor *master = scene_actor(s), *late, *c;
    uint64_t overtaken, newest;
    int exits;

    assert_int_equal(actor_do(master, act_begin, 0), 0);
    overtaken = master->board->id;
    late = actor_fork(master);
    assert_int_equal(actor_do(master, act_begin, 0), 0);
    newest = master->board->id;
    c = actor_fork(master);
    assert_int_equal(actor_do(c, act_join, (long)newest), 0);
    wm_sweep(s->node, NULL);
    expect_state(s, overtaken, WM_GENERATION_ABORTED, 0);
    assert_int_equal(actor_do(late, act_join, (long)overtaken), 0);
    expect_state(s, overtaken, WM_GENERATION_ACTIVE, 1);
    assert_int_equal(actor_do(late, act_start, 0), 0);
    assert_int_equal(late->board->counts.mine, 1);
    assert_int_equal(late->board->counts.next, 0); /* c joins still */
    assert_int_equal(actor_shut_down(late, overtaken, &exits), 1);
    assert_int_equal(exits, 1);
}

static void a_late_sibling_opens_another_spell(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b;
    int exits;

    assert_int_equal(actor_shut_down(a, g, &exits), 1);
    assert_int_equal(exits, 1);
    b = scene_worker(s, g);
    expect_state(s, g, WM_GENERATION_ACTIVE, 2);
    assert_int_equal(b->board->counts.spell, 2);
    assert_int_equal(actor_shut_down(b, g, &exits), 1);
    assert_int_equal(exits, 1);
    assert_int_equal(b->board->number, 2);
    expect_state(s, g, WM_GENERATION_EXITED, 2);
}

static void ends_that_nobody_took_add_up_over_spells(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    uint32_t spell = 0;

    for (int i = 0; i < 3; i++) {
        struct actor *a = scene_worker(s, g);

        actor_do(a, act_drain, 0);
        assert_int_equal(actor_do(a, act_retire, (long)g), WM_CLOSED);
        assert_int_equal(actor_do(a, act_retire, (long)g), 0);
        actor_kill(a);
    }
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(wm_generation_take_exit(s->node, g, &spell), 1);
        assert_int_equal(spell, i);
    }
    assert_int_equal(wm_generation_take_exit(s->node, g, &spell), 0);
}

static void a_joining_worker_keeps_it_open(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_actor(s);
    int exits;

    assert_int_equal(actor_do(b, act_join, (long)g), 0);
    assert_int_equal(actor_shut_down(a, g, &exits), 2);
    assert_int_equal(exits, 0);
    assert_int_equal(actor_do(b, act_start, 0), 0);
    assert_int_equal(actor_shut_down(b, g, &exits), 1);
    assert_int_equal(exits, 1);
}

static void a_dead_sibling_does_not_keep_it_open(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *live = scene_worker(s, g),
                 *joining = scene_actor(s);
    int exits;

    actor_do(joining, act_join, (long)g);
    actor_kill(live);
    actor_zombify(joining);
    assert_int_equal(actor_shut_down(a, g, &exits), 1);
    assert_int_equal(exits, 1);
}

static void one_that_no_sweep_has_found_dead_does_not_either(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_worker(s, g);

    actor_do(a, act_drain, 0);
    actor_kill(b);
    assert_int_equal(actor_do(a, act_retire, (long)g), WM_CLOSED);
    expect_state(s, g, WM_GENERATION_EXITED, 1);
}

static void a_stalled_sibling_keeps_it_open(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_worker(s, g);
    int exits;

    scene_stall(s, b);
    assert_int_equal(actor_shut_down(a, g, &exits), 2);
    assert_int_equal(exits, 0);
    assert_int_equal(actor_shut_down(b, g, &exits), 1);
    assert_int_equal(exits, 1);
}

/* Drains and retires, then waits for nobody. Returns WM_CLOSED or 0. */
static long act_race_to_the_end(struct actor *self, long generation)
{
    struct wm_node *node = self->scene->node;

    wm_worker_drain(wm_node_worker(node));
    return wm_generation_close(node, (uint64_t)generation);
}

static void of_many_that_drain_at_once_one_closes(void **state)
{
    struct scene *s = *state;

    for (int round = 0; round < 40; round++) {
        uint64_t g = scene_begin(s);
        struct actor *a[6];
        int closed = 0;

        s->actors = 0;
        for (int i = 0; i < 6; i++) {
            a[i] = scene_worker(s, g);
        }
        for (int i = 0; i < 6; i++) {
            actor_tell(a[i], act_race_to_the_end, (long)g);
        }
        for (int i = 0; i < 6; i++) {
            closed += actor_hear(a[i]) == WM_CLOSED;
        }
        assert_int_equal(closed, 1);
        expect_state(s, g, WM_GENERATION_EXITED, 1);
        for (int i = 0; i < 6; i++) {
            actor_do(a[i], act_leave, 0);
            actor_quit(a[i]);
        }
    }
}

/* Joins, starts, drains, closes, takes, leaves, again and again. Returns how
 * many ends it took; -1 where it saw the impossible. */
static long act_come_and_go(struct actor *self, long rounds)
{
    struct wm_node *node = self->scene->node;
    long taken = 0;

    for (long i = 0; i < rounds; i++) {
        const struct wm_generation_info *g;
        struct wm_generation_info list[8];
        uint32_t count;

        if (act_join(self, 1) != 0) {
            return -1;
        }
        /* A worker of it is here: it cannot be but ACTIVE. */
        wm_generations(node, list, 8, &count);
        g = &list[0];
        if (count != 1 || g->state != WM_GENERATION_ACTIVE) {
            return -2;
        }
        if (act_start(self, 0) != 0 || act_drain(self, 0) != 0) {
            return -3;
        }
        wm_generation_close(node, 1);
        taken += wm_generation_take_exit(node, 1, NULL);
        act_leave(self, 0);
    }
    return taken;
}

static void spells_opened_and_ends_taken_balance_under_churn(void **state)
{
    struct scene *s = *state;
    struct actor *a[4];
    long taken = 0;
    uint64_t g = scene_begin(s);

    for (int i = 0; i < 4; i++) {
        a[i] = scene_actor(s);
    }
    for (int i = 0; i < 4; i++) {
        actor_tell(a[i], act_come_and_go, 500);
    }
    for (int i = 0; i < 4; i++) {
        long n = actor_hear(a[i]);

        assert_true(n >= 0);
        taken += n;
    }
    while (wm_generation_take_exit(s->node, g, NULL) == 1) {
        taken++;
    }
    assert_int_equal(scene_generation(s, g).state, WM_GENERATION_EXITED);
    assert_int_equal(scene_generation(s, g).spell, taken);
}

static void a_survivor_closes_what_its_master_has_replaced(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s), h;
    struct actor *a = scene_worker(s, g), *b;
    struct wm_event event;

    actor_kill(a);
    wm_sweep(s->node, NULL);
    expect_state(s, g, WM_GENERATION_ACTIVE, 1); /* may be respawned */
    h = scene_begin(s);
    wm_sweep(s->node, NULL);
    expect_state(s, g, WM_GENERATION_ACTIVE, 1); /* the reload may fail */
    b = scene_worker(s, h);
    actor_do(b, act_sweep, 0);
    expect_state(s, g, WM_GENERATION_EXITED, 1);
    assert_int_equal(scene_take(s, 1u << WM_EVENT_MASTER_EXIT, &event),
                     WM_EVENT_MASTER_EXIT);
    assert_int_equal(event.generation, g);
    assert_int_equal(event.spell, 1);
    assert_int_equal(scene_take(s, 1u << WM_EVENT_MASTER_EXIT, NULL), 0);
}

static void a_survivor_closes_what_a_dead_master_left(void **state)
{
    struct scene *s = *state;
    struct actor *master = scene_actor(s), *a, *b;

    actor_do(master, act_begin, 0);
    a = actor_fork(master);
    assert_int_equal(actor_do(a, act_join, 1), 0);
    actor_kill(a);
    wm_sweep(s->node, NULL);
    expect_state(s, 1, WM_GENERATION_ACTIVE, 1);
    actor_kill(master);
    b = scene_worker(s, scene_begin(s));
    actor_do(b, act_sweep, 0);
    expect_state(s, 1, WM_GENERATION_EXITED, 1);
}

static void a_worker_begins_none(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);

    assert_int_equal(actor_do(a, act_begin, 0), WM_IS_WORKER);
    assert_int_equal(a->board->id, g);
    assert_int_equal(scene_begin(s), g + 1);
}

static void there_is_room_for_more_than_there_are_records(void **state)
{
    struct scene *s = *state;
    struct actor *a;
    uint64_t g;
    int exits;

    scene_recast(s, 1);
    for (int i = 0; i < 200; i++) {
        s->actors = 0;
        g = scene_begin(s);
        a = scene_worker(s, g);
        assert_int_equal(actor_shut_down(a, g, &exits), 1);
        assert_int_equal(exits, 1);
        actor_do(a, act_leave, 0);
        actor_quit(a);
    }
    assert_int_equal(g, 200);
    expect_state(s, g, WM_GENERATION_EXITED, 1);
}

/* Whose workers never join: each reload leaves one that is BEGUN. */
static void those_that_never_had_a_worker_make_room(void **state)
{
    struct scene *s = *state;
    uint64_t g = 0;

    scene_recast(s, 1);
    for (int i = 0; i < 300; i++) {
        g = scene_begin(s);
    }
    expect_state(s, g, WM_GENERATION_BEGUN, 0);
    scene_worker(s, g);
    expect_state(s, g, WM_GENERATION_ACTIVE, 1);
}

/* A closer that was stopped between its look and its swap, while its record
 * served another generation of the same shape. */
static void a_closer_of_another_life_closes_nothing(void **state)
{
    struct scene *s = *state;
    struct wm_generation_record *r;
    struct actor *a;
    uint64_t g, next, seen;

    scene_recast(s, 1);
    g = scene_begin(s);
    r = &s->node->segment.generations[g % 65];
    for (int i = 0; i < 2; i++) { /* two that join */
        a = scene_worker(s, g);
        actor_kill(a);
        wm_sweep(s->node, NULL);
        scene_take(s, ~0u, NULL);
    }
    seen = atomic_load(&r->word);
    assert_int_equal(wm_gen_state(seen), WM_GENERATION_ACTIVE);
    assert_int_equal(wm_generation_close(s->node, g), WM_CLOSED);
    assert_int_equal(wm_generation_take_exit(s->node, g, NULL), 1);
    do {
        next = scene_begin(s);
    } while (next % 65 != g % 65);
    for (uint32_t joins = 0; joins < 4; joins++) {
        a = scene_worker(s, next);
        assert_true(atomic_load(&r->word) != seen);
        actor_kill(a);
        wm_sweep(s->node, NULL);
        scene_take(s, ~0u, NULL);
    }
    assert_int_equal(wm_generation_close(s->node, g), 0);
    assert_int_equal(wm_generation_take_exit(s->node, g, NULL), 0);
    expect_state(s, next, WM_GENERATION_ACTIVE, 1);
}

static void ends_that_nobody_takes_do_not_stop_it_from_beginning(void **state)
{
    struct scene *s = *state;
    uint64_t g = 0;

    scene_recast(s, 1);
    for (int i = 0; i < 100; i++) {
        struct actor *a;

        s->actors = 0;
        g = scene_begin(s);
        a = scene_worker(s, g);
        actor_do(a, act_drain, 0);
        assert_int_equal(actor_do(a, act_retire, (long)g), WM_CLOSED);
        actor_do(a, act_leave, 0);
        actor_quit(a);
    }
    assert_true(g >= 100);
    /* The oldest were lost; of each that is there, one end is owed. */
    assert_int_equal(wm_events_owed(s->node, 1u << WM_EVENT_MASTER_EXIT), 65);
}

/* Begins, and aborts all but the last, until the number falls on the record of
 * this one again. */
static void go_round(struct scene *s, uint64_t id)
{
    while (id % 65 != (scene_begin(s) + 1) % 65) {
        wm_generation_abandon(s->node, s->node->begun);
    }
}

static void
one_whose_end_is_owed_keeps_its_record_while_there_is_room(void **state)
{
    struct scene *s = *state;
    struct actor *a;
    uint64_t g;

    a = scene_only_worker(s, &g);
    actor_do(a, act_drain, 0);
    assert_int_equal(actor_do(a, act_retire, (long)g), WM_CLOSED);
    actor_quit(a);
    go_round(s, g);
    assert_int_equal(scene_begin(s), g + 66);
    assert_int_equal(scene_take(s, ~0u, NULL), WM_EVENT_MASTER_EXIT);
}

static void the_current_one_of_a_living_master_keeps_its_record(void **state)
{
    struct scene *s = *state;
    struct actor *master, *a;
    uint64_t g;
    int exits;

    scene_recast(s, 1);
    master = scene_actor(s);
    assert_int_equal(actor_do(master, act_begin, 0), 0);
    g = master->board->id;
    a = actor_fork(master);
    assert_int_equal(actor_do(a, act_join, (long)g), 0);
    assert_int_equal(actor_shut_down(a, g, &exits), 1);
    actor_do(a, act_leave, 0);
    go_round(s, g);
    assert_int_equal(scene_begin(s), g + 66);
    /* It may start workers again. */
    assert_int_equal(actor_do(a, act_join, (long)g), 0);
}

static void a_forgotten_one_cannot_be_joined(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);

    assert_int_equal(actor_do(a, act_join, 7), -ESTALE);
    assert_int_equal(wm_generation_close(s->node, 7), 0);
    assert_int_equal(wm_generation_take_exit(s->node, 7, NULL), 0);
    assert_int_equal(wm_generation_take_exit(s->node, 0, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(it_is_begun_entered_and_exited),
        SCENE_TEST(a_failed_start_is_as_if_it_had_never_been),
        SCENE_TEST(a_failed_reload_is_skipped_by_the_good_one),
        SCENE_TEST(ending_a_generation_that_has_workers_changes_nothing),
        SCENE_TEST(a_daemonizing_parent_aborts_nothing),
        SCENE_TEST(a_daemon_that_reloads_before_any_worker_has_two),
        SCENE_TEST(one_whose_master_died_before_any_worker_is_aborted),
        SCENE_TEST(
            one_that_was_overtaken_is_aborted_and_revived_by_a_late_join),
        SCENE_TEST(a_late_sibling_opens_another_spell),
        SCENE_TEST(ends_that_nobody_took_add_up_over_spells),
        SCENE_TEST(a_joining_worker_keeps_it_open),
        SCENE_TEST(a_dead_sibling_does_not_keep_it_open),
        SCENE_TEST(one_that_no_sweep_has_found_dead_does_not_either),
        SCENE_TEST(a_stalled_sibling_keeps_it_open),
        SCENE_TEST(of_many_that_drain_at_once_one_closes),
        SCENE_TEST(spells_opened_and_ends_taken_balance_under_churn),
        SCENE_TEST(a_survivor_closes_what_its_master_has_replaced),
        SCENE_TEST(a_survivor_closes_what_a_dead_master_left),
        SCENE_TEST(a_worker_begins_none),
        SCENE_TEST(there_is_room_for_more_than_there_are_records),
        SCENE_TEST(those_that_never_had_a_worker_make_room),
        SCENE_TEST(a_closer_of_another_life_closes_nothing),
        SCENE_TEST(ends_that_nobody_takes_do_not_stop_it_from_beginning),
        SCENE_TEST(one_whose_end_is_owed_keeps_its_record_while_there_is_room),
        SCENE_TEST(the_current_one_of_a_living_master_keeps_its_record),
        SCENE_TEST(a_forgotten_one_cannot_be_joined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
