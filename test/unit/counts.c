/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* n_prev, n_mine and n_next, as each callback sees them, through lives that a
 * server leads. */

#include "scene.h"

static void expect(const struct wm_counts *c, int previous, int mine, int next,
                   enum wm_reason reason)
{
    assert_int_equal(c->previous, previous);
    assert_int_equal(c->mine, mine);
    assert_int_equal(c->next, next);
    assert_int_equal(c->reason, reason);
    assert_int_equal(c->unsettled, 0);
}

static void expect_of(struct scene *s, uint64_t generation, int previous,
                      int next)
{
    struct wm_counts c;

    assert_int_equal(wm_generation_counts(s->node, generation, &c), 0);
    assert_int_equal(c.previous, previous);
    assert_int_equal(c.next, next);
}

static void a_start_and_a_stop(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a, *b;
    int exits;

    expect_of(s, g, -1, -1);
    a = scene_worker(s, g);
    expect(&a->board->counts, -1, 1, -1, WM_REASON_START);
    b = scene_worker(s, g);
    expect(&b->board->counts, -1, 2, -1, WM_REASON_START);
    assert_int_equal(actor_shut_down(b, g, &exits), 2);
    expect(&b->board->counts, -1, 2, -1, WM_REASON_STOP);
    assert_int_equal(exits, 0);
    assert_int_equal(actor_shut_down(a, g, &exits), 1);
    expect(&a->board->counts, -1, 1, -1, WM_REASON_STOP);
    assert_int_equal(exits, 1);
    expect_of(s, g, -1, -1);
}

static void a_reload(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s), h;
    struct actor *a = scene_worker(s, g), *b = scene_worker(s, g), *c, *d;
    int exits;

    h = scene_begin(s);
    expect_of(s, h, 2, -1);
    expect_of(s, g, -1, 0);
    c = scene_worker(s, h);
    expect(&c->board->counts, 2, 1, -1, WM_REASON_RELOAD);
    actor_shut_down(a, g, &exits);
    expect(&a->board->counts, -1, 2, 1, WM_REASON_RELOAD);
    d = scene_worker(s, h);
    expect(&d->board->counts, 1, 2, -1, WM_REASON_RELOAD);
    actor_shut_down(b, g, &exits);
    expect(&b->board->counts, -1, 1, 2, WM_REASON_RELOAD);
    expect_of(s, g, -1, 2);
    expect_of(s, h, 0, -1);
    actor_shut_down(c, h, &exits);
    expect(&c->board->counts, 0, 2, -1, WM_REASON_STOP);
}

static void three_generations_at_once(void **state)
{
    struct scene *s = *state;
    uint64_t g[3];
    struct actor *a, *b, *c;
    int exits;

    g[0] = scene_begin(s);
    a = scene_worker(s, g[0]);
    g[1] = scene_begin(s);
    b = scene_worker(s, g[1]);
    scene_worker(s, g[1]);
    g[2] = scene_begin(s);
    c = scene_worker(s, g[2]);
    expect(&c->board->counts, 2, 1, -1, WM_REASON_RELOAD);
    expect_of(s, g[0], -1, 2);
    expect_of(s, g[1], 1, 1);
    actor_shut_down(b, g[1], &exits);
    expect(&b->board->counts, 1, 2, 1, WM_REASON_RELOAD);
    expect_of(s, g[2], 1, -1);
    actor_shut_down(a, g[0], &exits);
    expect(&a->board->counts, -1, 1, 1, WM_REASON_RELOAD);
}

static void n_prev_is_of_the_nearest_that_has_workers(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s), h, i;
    struct actor *b;
    int exits;

    scene_worker(s, g);
    h = scene_begin(s);
    b = scene_worker(s, h);
    actor_shut_down(b, h, &exits);
    i = scene_begin(s);
    expect_of(s, i, 1, -1); /* of g, as h has none */
}

static void a_respawn_sees_the_crashed_until_it_is_forgotten(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b;

    scene_worker(s, g);
    actor_kill(a);
    b = scene_worker(s, g);
    expect(&b->board->counts, -1, 3, -1, WM_REASON_RESPAWN);
    /* In no other count. */
    assert_int_equal(actor_do(b, act_exit, 0), 0);
    expect(&b->board->counts, -1, 2, -1, WM_REASON_STOP);
    expect_of(s, scene_begin(s), 2, -1);
}

static bool is_forgotten(void *argument)
{
    struct actor *a = argument;

    wm_sweep(a->scene->node, NULL);
    scene_take(a->scene, 1u << WM_EVENT_CRASHED, NULL);
    return scene_state(a->scene, a->pid) == WM_FREE;
}

static void a_forgotten_crash_is_counted_no_more(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_actor(s), *b;
    pid_t pid = a->pid;

    actor_do(a, act_join_overdue_soon, (long)g);
    actor_kill(a);
    a->pid = pid;
    scene_await(is_forgotten, a, "the crash to be forgotten");
    a->pid = 0;
    b = scene_worker(s, g);
    expect(&b->board->counts, -1, 1, -1, WM_REASON_RESPAWN);
}

static void who_joins_counts_for_exits_only(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_actor(s);

    actor_do(b, act_join, (long)g);
    expect_of(s, scene_begin(s), 1, -1);
    actor_do(a, act_exit, 0);
    assert_int_equal(a->board->counts.mine, 2);
    actor_do(b, act_start, 0);
    assert_int_equal(b->board->counts.mine, 2);
}

static void who_drains_counts_nowhere(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_worker(s, g);

    actor_do(b, act_drain, 0);
    actor_do(a, act_exit, 0);
    assert_int_equal(a->board->counts.mine, 1);
    expect_of(s, scene_begin(s), 1, -1);
    assert_int_equal(scene_worker(s, g)->board->counts.mine, 2);
}

static void helpers_count_nowhere_and_are_visible(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *agent = scene_actor(s);
    struct wm_worker_info list[8];
    uint32_t count;
    int exits;

    assert_int_equal(actor_do(agent, act_join_helper, (long)g), 0);
    assert_int_equal(actor_do(agent, act_start, 0), 0);
    expect_of(s, scene_begin(s), 1, -1);
    wm_snapshot(s->node, list, 8, &count);
    assert_int_equal(count, 2);
    assert_int_equal(list[1].role, WM_ROLE_HELPER);
    assert_int_equal(actor_shut_down(a, g, &exits), 1);
    assert_int_equal(exits, 1);
}

static void who_is_dead_is_found_before_an_exit_counts(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_worker(s, g);
    struct actor *c = scene_worker(s, g);

    actor_kill(b);
    actor_zombify(c);
    actor_do(a, act_exit, 0);
    assert_int_equal(a->board->counts.mine, 1);
}

static void a_stalled_worker_counts(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_worker(s, g);

    scene_stall(s, b);
    actor_do(a, act_exit, 0);
    assert_int_equal(a->board->counts.mine, 2);
}

static struct actor *fork_worker(struct actor *master, uint64_t generation)
{
    struct actor *a = actor_fork(master);

    assert_int_equal(actor_do(a, act_join, (long)generation), 0);
    assert_int_equal(actor_do(a, act_start, 0), 0);
    return a;
}

/* The binary upgrade and its roll-back: two masters. */
static void an_upgrade_that_is_rolled_back(void **state)
{
    struct scene *s = *state;
    struct actor *old_master = scene_actor(s), *new_master = scene_actor(s);
    struct actor *a, *b, *c;
    int exits;

    actor_do(old_master, act_begin, 0);
    a = fork_worker(old_master, 1);
    actor_do(new_master, act_begin, 0);
    expect_of(s, 2, 1, -1);
    b = fork_worker(new_master, 2);
    expect(&b->board->counts, 1, 1, -1, WM_REASON_START);
    actor_shut_down(a, 1, &exits); /* WINCH */
    expect(&a->board->counts, -1, 1, 1, WM_REASON_RELOAD);
    assert_int_equal(exits, 1);
    actor_kill(a);
    c = fork_worker(old_master, 1); /* HUP to it: it starts anew */
    expect(&c->board->counts, -1, 1, 1, WM_REASON_ROLLBACK);
    assert_int_equal(c->board->counts.spell, 2);
    actor_shut_down(b, 2, &exits); /* QUIT to the new one */
    expect(&b->board->counts, 1, 1, 1, WM_REASON_RELOAD);
    assert_int_equal(exits, 1);
    actor_kill(b);
    actor_kill(new_master);
    actor_shut_down(c, 1, &exits);
    expect(&c->board->counts, -1, 1, -1, WM_REASON_STOP);
    assert_int_equal(exits, 1);
}

/* Exits, is told n_mine, drains, leaves, joins again. Returns how often it was
 * told to be the last. */
static long act_be_the_last(struct actor *self, long generation)
{
    struct wm_node *node = self->scene->node;

    if (act_exit(self, 0) != 0) {
        return -1;
    }
    /* One at a time, as the lifecycle lock has it. */
    act_drain(self, 0);
    wm_generation_close(node, (uint64_t)generation);
    return self->board->counts.mine == 1;
}

static long act_last_under_the_lock(struct actor *self, long generation)
{
    long last;

    if (wm_lock_acquire(self->scene->node, NULL) < 0) {
        return -1;
    }
    last = act_be_the_last(self, generation);
    wm_lock_release(self->scene->node);
    return last;
}

static void under_the_lock_exactly_one_is_told_to_be_the_last(void **state)
{
    struct scene *s = *state;

    for (int round = 0; round < 30; round++) {
        uint64_t g = scene_begin(s);
        struct actor *a[6];
        long last = 0;

        s->actors = 0;
        for (int i = 0; i < 6; i++) {
            a[i] = scene_worker(s, g);
        }
        for (int i = 0; i < 6; i++) {
            actor_tell(a[i], act_last_under_the_lock, (long)g);
        }
        for (int i = 0; i < 6; i++) {
            last += actor_hear(a[i]);
        }
        assert_int_equal(last, 1);
        assert_int_equal(wm_generation_take_exit(s->node, g, NULL), 1);
        for (int i = 0; i < 6; i++) {
            actor_do(a[i], act_leave, 0);
            actor_quit(a[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(a_start_and_a_stop),
        SCENE_TEST(a_reload),
        SCENE_TEST(three_generations_at_once),
        SCENE_TEST(n_prev_is_of_the_nearest_that_has_workers),
        SCENE_TEST(a_respawn_sees_the_crashed_until_it_is_forgotten),
        SCENE_TEST(a_forgotten_crash_is_counted_no_more),
        SCENE_TEST(who_joins_counts_for_exits_only),
        SCENE_TEST(who_drains_counts_nowhere),
        SCENE_TEST(helpers_count_nowhere_and_are_visible),
        SCENE_TEST(who_is_dead_is_found_before_an_exit_counts),
        SCENE_TEST(a_stalled_worker_counts),
        SCENE_TEST(an_upgrade_that_is_rolled_back),
        SCENE_TEST(under_the_lock_exactly_one_is_told_to_be_the_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
