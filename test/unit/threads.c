/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What threads of one process may do at once, and readers against processes
 * that come and go: bounded work, for the thread sanitizer as much as for the
 * assertions. */

#include "inside.h"

#include <pthread.h>
#include <stdatomic.h>

#define ROUNDS 10000
#define LARGE 4096 /* capacity */

/* Made from the pid, so that a record that mixes two shows. */
#define OVERDUE_OF(pid) ((uint32_t)(pid) + 1000000)

static atomic_int wrong;

static void *beat(UNUSED void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        wrong += wm_beat(wm_node_worker(node)) < 0;
    }
    return NULL;
}

static void *count(UNUSED void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct wm_counts c;

        wm_generation_counts(node, 1, &c);
        wrong += c.mine < 1 || c.mine > 5 || c.previous != -1 || c.next != -1;
    }
    return NULL;
}

static void *look(UNUSED void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct wm_worker_info list[8];
        uint32_t n = 0;
        int settled = wm_snapshot(node, list, sizeof(*list), 8, &n);

        for (uint32_t k = 0; k < n && settled == 0; k++) {
            wrong += list[k].overdue_ms != NEVER_OVERDUE &&
                     list[k].overdue_ms != OVERDUE_OF(list[k].pid);
        }
    }
    return NULL;
}

static void *stand(UNUSED void *argument)
{
    uint32_t term = 0;

    for (int i = 0; i < ROUNDS; i++) {
        struct wm_leader leader = {.size = sizeof(leader)};
        struct wm_lock_holder holder = {.size = sizeof(holder)};

        wm_leader_stand(wm_node_worker(node), &leader);
        wrong += leader.term < term;
        term = leader.term;
        wm_lock_inspect(node, &holder);
    }
    return NULL;
}

static void *sweep_often(UNUSED void *argument)
{
    for (int i = 0; i < ROUNDS / 20; i++) {
        sweep();
    }
    return NULL;
}

static long do_come_and_go(struct process *self, uint64_t rounds)
{
    const struct wm_join_options options = {
        .size = sizeof(options), .overdue_ms = OVERDUE_OF(self->pid)};

    for (uint64_t i = 0; i < rounds; i++) {
        struct wm_worker *w;
        struct wm_counts c;

        if (wm_worker_join(node, 1, &options, &w) != 0 ||
            wm_worker_start(w, &c) != 0 || wm_worker_drain(w) != 0 ||
            wm_worker_leave(w) != 0) {
            return -1;
        }
    }
    return 0;
}

NODE_TEST(threads_beat_count_look_and_sweep_at_once)
{
    static void *(*const work[])(void *) = {beat, count, look, stand,
                                            sweep_often};
    struct process *a[3];
    pthread_t thread[COUNT(work)];
    struct wm_worker *w;

    new_processes(a, 3);
    w = own_worker(generation);
    for (int i = 0; i < 3; i++) {
        call_begin(a[i], do_come_and_go, ROUNDS);
    }
    for (size_t i = 0; i < COUNT(work); i++) {
        assert_ok(pthread_create(&thread[i], NULL, work[i], NULL));
    }
    for (size_t i = 0; i < COUNT(work); i++) {
        pthread_join(thread[i], NULL);
    }
    for (int i = 0; i < 3; i++) {
        assert_ok(call_end(a[i]));
    }
    assert_int_equal(wrong, 0);
    wm_worker_drain(w);
    wm_generation_close(node, generation);
    assert_int_equal(wm_generation_take_exit(node, generation, NULL), 1);
}

/* Two workers at the ends of a long table, of which one at least is there at
 * any time: each comes before the other goes. */
static const uint32_t ends[] = {0, LARGE - 1};
static atomic_bool stop;

static void *take_turns(UNUSED void *argument)
{
    for (uint64_t join = 1; !stop; join++) {
        set_live(ends[join % 2], join, generation);
        set_free(ends[(join + 1) % 2]);
    }
    return NULL;
}

NODE_TEST(what_is_settled_was_so_at_one_moment)
{
    static struct wm_worker_info list[LARGE];
    pthread_t thread;

    node_restart(LARGE);
    set_free(LARGE - 1);
    set_live(0, 0, generation);
    assert_ok(pthread_create(&thread, NULL, take_turns, NULL));
    for (int i = 0; i < 3000; i++) {
        struct wm_counts c;
        uint32_t n = 0;

        wrong += wm_generation_counts(node, generation, &c) == 0 &&
                 (c.mine < 1 || c.mine > 2);
        wrong += wm_snapshot(node, list, sizeof(*list), LARGE, &n) == 0 &&
                 (n < 1 || n > 2);
    }
    stop = true;
    pthread_join(thread, NULL);
    set_free(ends[0]);
    set_free(ends[1]);
    assert_int_equal(wrong, 0);
}

static atomic_int asked;

static void *ask(UNUSED void *argument)
{
    for (; !stop; asked++) {
        struct wm_leader leader = {.size = sizeof(leader)};
        const struct wm_worker *w = wm_node_worker(node);

        wm_leader_inspect(node, &leader);
        wrong += w != NULL && (wm_worker_generation(w) != generation ||
                               wm_worker_recoveries(w) > 1);
    }
    return NULL;
}

/* Once from its first look to its last. */
static void await_asking(void)
{
    for (int before = asked; asked < before + 2;) {
    }
}

NODE_TEST(a_thread_may_ask_while_another_joins_and_takes)
{
    struct wm_leader leader = {.size = sizeof(leader)};
    struct wm_worker *w;
    pthread_t thread;

    stop = false;
    assert_ok(pthread_create(&thread, NULL, ask, NULL));
    await_asking();
    w = own_worker(generation);
    assert_int_equal(wm_leader_stand(w, &leader), 1);
    record(0)->stalls = wm_stalls(leader.join, 1);
    cold(0)->given = wm_given(leader.join, 1, false);
    assert_int_equal(wm_worker_recovery_take(w), 1);
    await_asking();
    stop = true;
    pthread_join(thread, NULL);
    assert_int_equal(wrong, 0);
    assert_ok(wm_leader_inspect(node, &leader));
    assert_int_equal(leader.mine, 1);
}

NODE_TEST(a_reader_sees_what_the_writers_see)
{
    struct wm_worker_info mine[8], theirs[8];
    struct wm_generation_info info;
    struct wm_leader leader = {.size = sizeof(leader)};
    struct wm_node *reader;
    struct wm_counts c;
    uint32_t n;
    struct process *a = new_worker(generation);

    new_worker(generation);
    call(a, do_stand, 0);
    reader = open_reader();
    assert_ok(wm_snapshot(node, mine, sizeof(*mine), 8, &n));
    assert_int_equal(n, 2);
    assert_ok(wm_snapshot(reader, theirs, sizeof(*theirs), 8, &n));
    assert_int_equal(n, 2);
    assert_memory_equal(mine, theirs, 2 * sizeof(*mine));
    assert_ok(wm_generation_counts(reader, generation, &c));
    assert_int_equal(c.mine, 2);
    assert_ok(wm_generations(reader, &info, sizeof(info), 1, &n));
    assert_int_equal(n, 1);
    assert_int_equal(info.state, WM_GENERATION_ACTIVE);
    wm_leader_inspect(reader, &leader);
    assert_int_equal(leader.pid, a->pid);
    assert_ok(wm_node_release(reader));
}

NODE_TEST(too_small_a_list_is_an_error)
{
    struct wm_worker_info list[1];
    uint32_t n;

    new_worker(generation);
    assert_ok(wm_snapshot(node, list, sizeof(*list), 1, &n));
    new_worker(generation);
    assert_int_equal(wm_snapshot(node, list, sizeof(*list), 1, &n), -ENOSPC);
}
