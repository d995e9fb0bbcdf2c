/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What others do between two looks of one operation at the table: its parts
 * lie on several pages, and the operation is stopped where it comes to the
 * next one. */

#include "scene.h"
#include "trap.h"

#include "census.h"
#include "generation.h"

#include <unistd.h>

struct course {
    struct scene *scene;
    uint64_t generation;
    uint64_t joins;
    uint32_t slot[3]; /* the first of a page */
    uint32_t stops;   /* that are to come */
    struct actor *late;
};

static uint32_t records_a_page(void)
{
    return (uint32_t)getpagesize() / sizeof(struct wm_record);
}

static int set_up(void **state)
{
    return scene_setup_of(state, 4 * records_a_page());
}

static int tear_down(void **state)
{
    trap_clear();
    return scene_teardown(state);
}

static struct wm_record *record(const struct course *c, uint32_t slot)
{
    return &c->scene->node->segment.records[slot];
}

/* A generation, and slots on pages without the header. */
static struct course course(void **state)
{
    struct scene *s = *state;
    const struct wm_segment *g = &s->node->segment;
    const uint32_t each = records_a_page();
    struct course c = {.scene = s, .generation = scene_begin(s)};

    for (uint32_t i = 0; i < 3; i++) {
        c.slot[i] =
            (i + 1) * each - (uint32_t)(g->geometry.records / WM_LINE) % each;
    }
    atomic_store(&g->header->high, c.slot[2] + 1);
    return c;
}

/* --------------------------------------------------------------- counting */

static void come(struct course *c, uint32_t slot)
{
    struct wm_record *r = record(c, slot);

    atomic_store(&r->join, ++c->joins);
    atomic_store(&r->generation, c->generation);
    atomic_store(&r->word, wm_word(WM_LIVE, 1 + slot, 1));
}

static void go(struct course *c, uint32_t slot)
{
    atomic_store(&record(c, slot)->word, 0);
}

/* Of two, whichever is not looked at just now. */
static void move(void *argument)
{
    struct course *c = argument;
    bool is_first = atomic_load(&record(c, c->slot[0])->word) != 0;

    come(c, c->slot[is_first]);
    go(c, c->slot[!is_first]);
    if (--c->stops > 0) {
        trap_set(record(c, c->slot[is_first]), move, c);
    }
}

/* Both passes of the first pair come to where it is not any more. */
static void set_mover(struct course *c)
{
    come(c, c->slot[1]);
    c->stops = 3;
    trap_set(record(c, c->slot[1]), move, c);
}

static void who_moves_during_each_pass_is_counted(void **state)
{
    struct course c = course(state);
    struct wm_counts counts;

    set_mover(&c);
    assert_int_equal(wm_generation_counts(c.scene->node, c.generation, &counts),
                     0);
    assert_int_equal(c.stops, 0);
    assert_int_equal(counts.mine, 1);
}

static void who_moves_during_each_pass_is_listed(void **state)
{
    struct course c = course(state);
    struct wm_worker_info list[2];
    uint32_t count;

    set_mover(&c);
    assert_int_equal(wm_snapshot(c.scene->node, list, 2, &count), 0);
    assert_int_equal(c.stops, 0);
    assert_int_equal(count, 1);
}

static void set_state(struct course *c, uint32_t slot, unsigned state)
{
    atomic_store(&record(c, slot)->word, wm_word(state, 1 + slot, 1));
}

/* It is claimed anew by the same process, which has written no number yet; the
 * worker that comes before it goes has a slot that was looked at. */
static void claim_again(void *argument)
{
    struct course *c = argument;

    come(c, 0);
    set_state(c, c->slot[0], WM_CLAIMED);
}

static void live_meanwhile(void *argument)
{
    struct course *c = argument;

    set_state(c, c->slot[0], WM_LIVE);
    go(c, c->slot[1]);
    trap_set(record(c, c->slot[0]), claim_again, c);
}

static void who_is_there_between_two_claims_is_not_missed(void **state)
{
    struct course c = course(state);
    struct wm_counts counts;

    come(&c, c.slot[0]);
    set_state(&c, c.slot[0], WM_CLAIMED);
    come(&c, c.slot[1]);
    trap_set(record(&c, c.slot[1]), live_meanwhile, &c);
    wm_generation_counts(c.scene->node, c.generation, &counts);
    assert_int_equal(wm_word_state(atomic_load(&record(&c, 0)->word)), WM_LIVE);
    assert_int_equal(counts.mine, 1);
}

/* One comes and goes on all the time, so that no two passes agree; another
 * goes for good. */
static void never_settle(void *argument)
{
    struct course *c = argument;

    atomic_store(&record(c, c->slot[2])->role, WM_ROLE_HELPER);
    come(c, c->slot[2]);
    if (--c->stops == 10) {
        go(c, c->slot[1]);
    }
    if (c->stops > 0) {
        trap_set(record(c, c->slot[c->stops % 2]), never_settle, c);
    }
}

static void where_nothing_settles_nobody_is_told_to_be_the_last(void **state)
{
    struct course c = course(state);
    struct wm_counts counts;

    come(&c, c.slot[0]);
    come(&c, c.slot[1]);
    c.stops = 20; /* more than there are pairs of passes */
    trap_set(record(&c, c.slot[0]), never_settle, &c);
    wm_counts_of(c.scene->node, c.generation, WM_COUNT_EXIT, &counts);
    assert_true(c.stops < 10);
    assert_int_equal(counts.unsettled, 1);
    assert_int_equal(counts.mine, 2);
}

/* ------------------------------------------------------------ generations */

static void join_late(void *argument)
{
    const struct course *c = argument;

    assert_int_equal(actor_do(c->late, act_join, (long)c->generation), 0);
}

static void who_joins_where_the_closer_has_looked_keeps_it_open(void **state)
{
    struct course c = course(state);
    struct scene *s = c.scene;
    struct actor *last = scene_worker(s, c.generation);

    c.late = scene_actor(s);
    assert_int_equal(actor_do(last, act_drain, 0), 0);
    assert_int_equal(actor_do(last, act_leave, 0), 0);
    trap_set(record(&c, c.slot[0]), join_late, &c);
    assert_int_equal(wm_generation_retire(s->node, c.generation), 0);
    assert_int_equal(scene_state(s, c.late->pid), WM_JOINING);
    assert_int_equal(scene_generation(s, c.generation).state,
                     WM_GENERATION_ACTIVE);
}

/* Its records have been settled; next it is looked whether one is spare. */
static void wait_for_the_claim(void *argument)
{
    struct course *c = argument;
    const struct wm_segment *g = &c->scene->node->segment;

    trap_set(&g->generations[g->geometry.generations / 2], join_late, c);
}

static void live(struct scene *s, uint64_t generation)
{
    struct actor *a = scene_worker(s, generation);
    int exits;

    assert_int_equal(actor_shut_down(a, generation, &exits), 1);
    assert_int_equal(exits, 1);
    assert_int_equal(actor_do(a, act_leave, 0), 0);
    actor_quit(a);
}

static void one_that_is_revived_meanwhile_keeps_its_record(void **state)
{
    struct course c = course(state);
    struct scene *s = c.scene;
    const struct wm_segment *g = &s->node->segment;
    const uint32_t count = g->geometry.generations;
    uint64_t id;

    c.late = scene_actor(s);
    live(s, c.generation);
    live(s, scene_begin(s));
    do {
        id = scene_begin(s);
        wm_generation_end(s->node, id);
    } while (id < c.generation + count - 1);
    trap_set(&g->generations[count - 1], wait_for_the_claim, &c);
    /* Nor is that of the next one spare, its master's current one. */
    assert_int_equal(scene_begin(s), c.generation + count + 2);
    assert_int_equal(scene_state(s, c.late->pid), WM_JOINING);
    assert_int_equal(scene_generation(s, c.generation).state,
                     WM_GENERATION_ACTIVE);
}

#define LOOK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOK_TEST(who_moves_during_each_pass_is_counted),
        LOOK_TEST(who_moves_during_each_pass_is_listed),
        LOOK_TEST(who_is_there_between_two_claims_is_not_missed),
        LOOK_TEST(where_nothing_settles_nobody_is_told_to_be_the_last),
        LOOK_TEST(who_joins_where_the_closer_has_looked_keeps_it_open),
        LOOK_TEST(one_that_is_revived_meanwhile_keeps_its_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
