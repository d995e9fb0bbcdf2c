/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What threads of one process may do at once, and readers against processes
 * that come and go: bounded work, for the thread sanitizer as much as for the
 * assertions. */

#include "scene.h"

#include "layout.h"
#include "node.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define ROUNDS 10000

static atomic_int wrong;

static void *beat(void *argument)
{
    struct scene *s = argument;

    for (int i = 0; i < ROUNDS; i++) {
        if (wm_beat(wm_node_worker(s->node)) < 0) {
            wrong++;
        }
    }
    return NULL;
}

static void *count(void *argument)
{
    struct scene *s = argument;

    for (int i = 0; i < ROUNDS; i++) {
        struct wm_counts c;

        wm_generation_counts(s->node, 1, &c);
        if (c.mine < 1 || c.mine > 5 || c.previous != -1 || c.next != -1) {
            wrong++;
        }
    }
    return NULL;
}

/* Each worker's overdue time is its pid: a record that mixes two shows. */
static void *look(void *argument)
{
    struct scene *s = argument;

    for (int i = 0; i < ROUNDS; i++) {
        struct wm_worker_info list[8];
        uint32_t n = 0;
        int settled = wm_snapshot(s->node, list, 8, &n);

        for (uint32_t k = 0; k < n && settled == 0; k++) {
            if (list[k].overdue_ms != SCENE_NEVER &&
                list[k].overdue_ms != (uint32_t)list[k].pid + 1000000) {
                wrong++;
            }
        }
    }
    return NULL;
}

static void *ask(void *argument)
{
    struct scene *s = argument;
    uint32_t term = 0;

    for (int i = 0; i < ROUNDS; i++) {
        struct wm_leader leader;
        struct wm_lock_holder holder;

        wm_leader_stand(wm_node_worker(s->node), &leader);
        if (leader.term < term) {
            wrong++;
        }
        term = leader.term;
        wm_lock_inspect(s->node, &holder);
    }
    return NULL;
}

static void *sweep(void *argument)
{
    struct scene *s = argument;

    for (int i = 0; i < ROUNDS / 20; i++) {
        wm_sweep(s->node, NULL);
    }
    return NULL;
}

static long act_come_and_go(struct actor *self, long rounds)
{
    const struct wm_join_options options = {
        .size = sizeof(options), .overdue_ms = (uint32_t)self->pid + 1000000};

    for (long i = 0; i < rounds; i++) {
        struct wm_worker *w;
        struct wm_counts c;

        if (wm_worker_join(self->scene->node, 1, &options, &w) != 0 ||
            wm_worker_start(w, &c) != 0 || wm_worker_drain(w) != 0 ||
            wm_worker_leave(w) != 0) {
            return -1;
        }
    }
    return 0;
}

static void threads_beat_count_look_and_sweep_at_once(void **state)
{
    static void *(*const work[])(void *) = {beat, count, look, ask, sweep};
    struct scene *s = *state;
    struct actor *a[3];
    pthread_t thread[5];
    struct wm_worker *w;
    uint64_t g = scene_begin(s);

    for (int i = 0; i < 3; i++) {
        a[i] = scene_actor(s);
    }
    w = scene_own_worker(s, g);
    for (int i = 0; i < 3; i++) {
        actor_tell(a[i], act_come_and_go, ROUNDS);
    }
    for (int i = 0; i < 5; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, work[i], s), 0);
    }
    for (int i = 0; i < 5; i++) {
        pthread_join(thread[i], NULL);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(actor_hear(a[i]), 0);
    }
    assert_int_equal(wrong, 0);
    wm_worker_drain(w);
    wm_generation_close(s->node, g);
    assert_int_equal(wm_generation_take_exit(s->node, g, NULL), 1);
}

/* Two workers at the ends of a long table, of which one at least is there at
 * any time: each comes before the other goes. */
struct relay {
    struct scene *scene;
    uint64_t generation;
    uint32_t slot[2];
    atomic_bool stop;
};

static void come(struct relay *relay, uint32_t slot, uint64_t join)
{
    struct wm_record *r = &relay->scene->node->segment.records[slot];

    atomic_store(&r->join, join);
    atomic_store(&r->generation, relay->generation);
    atomic_store(&r->word, wm_word(WM_LIVE, 1 + slot, 1));
}

static void go(struct relay *relay, uint32_t slot)
{
    atomic_store(&relay->scene->node->segment.records[slot].word, 0);
}

static void *take_turns(void *argument)
{
    struct relay *relay = argument;

    for (uint64_t join = 1; !relay->stop; join++) {
        come(relay, relay->slot[join % 2], join);
        go(relay, relay->slot[(join + 1) % 2]);
    }
    return NULL;
}

static void what_is_settled_was_so_at_one_moment(void **state)
{
    static struct wm_worker_info list[4096];
    struct relay relay = {.scene = *state};
    struct scene *s = *state;
    pthread_t thread;

    scene_recast(s, 4096);
    relay.generation = scene_begin(s);
    relay.slot[1] = 4095;
    atomic_store(&s->node->segment.header->high, 4096);
    come(&relay, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, take_turns, &relay), 0);
    for (int i = 0; i < 3000; i++) {
        struct wm_counts c;
        uint32_t n = 0;

        if (wm_generation_counts(s->node, relay.generation, &c) == 0 &&
            (c.mine < 1 || c.mine > 2)) {
            wrong++;
        }
        if (wm_snapshot(s->node, list, 4096, &n) == 0 && (n < 1 || n > 2)) {
            wrong++;
        }
    }
    relay.stop = true;
    pthread_join(thread, NULL);
    go(&relay, relay.slot[0]);
    go(&relay, relay.slot[1]);
    assert_int_equal(wrong, 0);
}

static void a_reader_sees_what_the_writers_see(void **state)
{
    struct scene *s = *state;
    struct wm_worker_info mine[8], theirs[8];
    struct wm_generation_info generation;
    struct wm_leader leader;
    struct wm_node *reader;
    struct wm_counts c;
    uint32_t n, m;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);

    scene_worker(s, g);
    actor_do(a, act_lead, 0);
    assert_int_equal(wm_node_open(s->instance, NULL, &reader), 0);
    assert_int_equal(wm_snapshot(s->node, mine, 8, &n), 0);
    assert_int_equal(wm_snapshot(reader, theirs, 8, &m), 0);
    assert_int_equal(n, 2);
    assert_int_equal(m, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mine[i].pid, theirs[i].pid);
        assert_int_equal(mine[i].join, theirs[i].join);
        assert_int_equal(mine[i].state, theirs[i].state);
    }
    assert_int_equal(wm_generation_counts(reader, g, &c), 0);
    assert_int_equal(c.mine, 2);
    assert_int_equal(wm_generations(reader, &generation, 1, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(generation.state, WM_GENERATION_ACTIVE);
    wm_leader_inspect(reader, &leader);
    assert_int_equal(leader.pid, a->pid);
    assert_int_equal(wm_node_release(reader), 0);
}

static void too_small_a_list_is_an_error(void **state)
{
    struct scene *s = *state;
    struct wm_worker_info list[1];
    uint32_t n;
    uint64_t g = scene_begin(s);

    scene_worker(s, g);
    assert_int_equal(wm_snapshot(s->node, list, 1, &n), 0);
    scene_worker(s, g);
    assert_int_equal(wm_snapshot(s->node, list, 1, &n), -ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(threads_beat_count_look_and_sweep_at_once),
        SCENE_TEST(what_is_settled_was_so_at_one_moment),
        SCENE_TEST(a_reader_sees_what_the_writers_see),
        SCENE_TEST(too_small_a_list_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
