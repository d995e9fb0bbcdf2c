/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Who leads: one at a time, by terms that grow, whatever becomes of it. */

#include "scene.h"

static long lead(struct actor *a)
{
    return actor_do(a, act_lead, 0);
}

static void the_first_that_asks_leads_and_stays(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_worker(s, g);
    struct wm_leader seen;

    wm_leader_inspect(s->node, &seen);
    assert_int_equal(seen.term, 0);
    assert_int_equal(seen.generation, 0);
    assert_int_equal(lead(b), 1);
    assert_int_equal(b->board->leader.term, 1);
    assert_int_equal(lead(a), 0);
    assert_int_equal(a->board->leader.pid, b->pid);
    assert_int_equal(a->board->leader.term, 1);
    assert_int_equal(lead(b), 1);
    assert_int_equal(b->board->leader.term, 1);
    wm_leader_inspect(s->node, &seen);
    assert_int_equal(seen.pid, b->pid);
    assert_int_equal(seen.generation, g);
    assert_int_equal(seen.mine, 0);
}

static void a_worker_that_drains_leads_no_more(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_worker(s, g);
    struct wm_leader seen;

    assert_int_equal(lead(a), 1);
    assert_int_equal(actor_do(a, act_drain, 0), 0);
    wm_leader_inspect(s->node, &seen);
    assert_int_equal(seen.generation, 0);
    assert_int_equal(seen.term, 1);
    assert_int_equal(lead(a), 0);
    assert_int_equal(lead(b), 1);
    assert_int_equal(b->board->leader.term, 2);
    assert_int_equal(lead(a), 0);
}

static void a_dead_leader_is_followed_once_it_is_found(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_worker(s, g);

    assert_int_equal(lead(a), 1);
    actor_kill(a);
    assert_int_equal(lead(b), 0);
    assert_true(wm_sweep(s->node, NULL) > 0);
    assert_int_equal(lead(b), 1);
    assert_int_equal(b->board->leader.term, 2);
}

static void a_replacement_in_the_same_slot_does_not_inherit(void **state)
{
    struct scene *s = *state;
    struct actor *a, *b;
    uint64_t g;

    a = scene_only_worker(s, &g);
    assert_int_equal(lead(a), 1);
    actor_kill(a);
    wm_sweep(s->node, NULL);
    assert_int_equal(scene_take(s, 1u << WM_EVENT_CRASHED, NULL),
                     WM_EVENT_CRASHED);
    b = scene_actor(s);
    assert_int_equal(actor_do(b, act_join, (long)g), 0);
    assert_int_equal(lead(b), 0); /* not live yet */
    assert_int_equal(actor_do(b, act_start, 0), 0);
    assert_int_equal(lead(b), 1);
    assert_int_equal(b->board->leader.term, 2);
    assert_int_equal(b->board->leader.slot, 0);
}

static void a_newer_generation_takes_the_lead(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s), h;
    struct actor *a = scene_worker(s, g), *b;

    assert_int_equal(lead(a), 1);
    h = scene_begin(s);
    assert_int_equal(lead(a), 1); /* only begun: nobody else is live */
    b = scene_worker(s, h);
    assert_int_equal(lead(b), 1);
    assert_int_equal(b->board->leader.term, 2);
    assert_int_equal(lead(a), 0);
    assert_int_equal(a->board->leader.pid, b->pid);
    /* And an older one steps in where the newer has nobody left. */
    assert_int_equal(actor_do(b, act_drain, 0), 0);
    assert_int_equal(lead(a), 1);
    assert_int_equal(a->board->leader.term, 3);
}

static void an_older_generation_takes_no_lead_that_is_free(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_worker(s, scene_begin(s));
    struct actor *b = scene_worker(s, scene_begin(s));

    assert_int_equal(lead(a), 0);
    assert_int_equal(a->board->leader.term, 0);
    assert_int_equal(lead(b), 1);
    assert_int_equal(b->board->leader.term, 1);
}

static bool is_stalled(void *argument)
{
    struct actor *a = argument;

    wm_sweep(a->scene->node, NULL);
    return scene_state(a->scene, a->pid) == WM_STALLED;
}

static void
a_stalled_leader_loses_the_lead_and_does_not_know_better(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_actor(s), *b = scene_worker(s, g);

    assert_int_equal(actor_do(a, act_join_overdue_soon, (long)g), 0);
    assert_int_equal(actor_do(a, act_start, 0), 0);
    actor_do(a, act_beat, 0);
    assert_int_equal(lead(a), 1);
    scene_await(is_stalled, a, "a stall");
    assert_int_equal(lead(a), 0);
    assert_int_equal(lead(b), 1);
    assert_int_equal(b->board->leader.term, 2);
    actor_do(a, act_beat, 0);
    assert_int_equal(lead(a), 0);
    assert_int_equal(lead(b), 1);
}

static void helpers_never_lead(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_actor(s);

    assert_int_equal(actor_do(a, act_join_helper, (long)g), 0);
    assert_int_equal(actor_do(a, act_start, 0), 0);
    assert_int_equal(lead(a), 0);
    assert_int_equal(a->board->leader.term, 0);
}

/* Asks until the others are done as well; number: how many terms it led,
 * which no other worker has led; negative if a term came twice. */
static long act_campaign(struct actor *self, long rounds)
{
    struct wm_worker *w = wm_node_worker(self->scene->node);
    struct wm_leader leader;
    uint32_t last = 0;
    long led = 0;

    for (long i = 0; i < rounds; i++) {
        int mine = wm_leader_stand(w, &leader);

        if (leader.term < last) {
            return -1;
        }
        led += mine == 1 && leader.term != last;
        last = leader.term;
        if (mine == 1) {
            /* Loses it the way a worker that leaves does, and comes back. */
            wm_worker_drain(w);
            wm_worker_start(w, &self->board->counts);
        }
    }
    return led;
}

static void no_term_is_led_twice(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a[4];
    struct wm_leader last;
    long led = 0;

    for (int i = 0; i < 4; i++) {
        a[i] = scene_worker(s, g);
    }
    for (int i = 0; i < 4; i++) {
        actor_tell(a[i], act_campaign, 300);
    }
    for (int i = 0; i < 4; i++) {
        long n = actor_hear(a[i]);

        assert_true(n >= 0);
        led += n;
    }
    wm_leader_inspect(s->node, &last);
    assert_int_equal(led, last.term);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(the_first_that_asks_leads_and_stays),
        SCENE_TEST(a_worker_that_drains_leads_no_more),
        SCENE_TEST(a_dead_leader_is_followed_once_it_is_found),
        SCENE_TEST(a_replacement_in_the_same_slot_does_not_inherit),
        SCENE_TEST(a_newer_generation_takes_the_lead),
        SCENE_TEST(an_older_generation_takes_no_lead_that_is_free),
        SCENE_TEST(a_stalled_leader_loses_the_lead_and_does_not_know_better),
        SCENE_TEST(helpers_never_lead),
        SCENE_TEST(no_term_is_led_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
