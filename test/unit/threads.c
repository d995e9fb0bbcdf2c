/* SPDX-License-Identifier: Apache-2.0 */

/* Threads of one process do all that they may at once, also beside processes
 * that come and go. Bounded work, for the thread sanitizer as much as for the
 * assertions. All interleavings of a few steps, also of processes, are in
 * test/model and test/crash; here the machine chooses. */

#include "inside.h"

#include <pthread.h>
#include <stdatomic.h>

#define ROUNDS 10000

/* Made from the pid, so that a record that mixes two shows. */
#define OVERDUE_OF(pid) ((uint32_t)(pid) + 1000000)

static atomic_int wrong;

ACT(beat, (void), wrong += wm_beat(wm_node_worker(node)) < 0)

static void count(void)
{
    struct wm_counts c;

    wm_generation_counts(node, 1, &c);
    wrong += c.mine < 1 || c.mine > 5 || c.previous != -1 || c.next != -1;
}

static void look(void)
{
    struct wm_worker_info list[8];
    uint32_t n = 0;
    int settled = wm_snapshot(node, list, sizeof(*list), 8, &n);

    for (uint32_t i = 0; i < n && settled == 0; i++) {
        wrong += list[i].overdue_ms != NEVER_OVERDUE &&
                 list[i].overdue_ms != OVERDUE_OF(list[i].pid);
    }
}

static void stand(void)
{
    struct wm_leader leader = {.size = sizeof(leader)};
    struct wm_lock_holder holder = {.size = sizeof(holder)};

    wrong += wm_leader_stand(wm_node_worker(node), &leader) < 0;
    wm_lock_inspect(node, &holder);
}

static void sweep_at_times(void)
{
    static int calls;

    if (calls++ % 20 == 0) {
        sweep();
    }
}

static void (*const work[])(void) = {beat, count, look, stand, sweep_at_times};

static void *repeat(void *its_work)
{
    void (*const *do_it)(void) = its_work;

    for (int i = 0; i < ROUNDS; i++) {
        (*do_it)();
    }
    return NULL;
}

static long do_come_and_go(struct process *self, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        if (join_with(1, .overdue_ms = OVERDUE_OF(self->pid)) != 0 ||
            do_start(self, 0) != 0 || do_drain(self, 0) != 0 ||
            do_leave(self, 0) != 0) {
            return -1;
        }
    }
    return 0;
}

NODE_TEST(threads_beat_count_look_and_sweep_at_once)
{
    struct process *a[3];
    pthread_t thread[COUNT(work)];
    struct wm_worker *w;

    new_processes(a, 3);
    w = own_worker(generation);
    for (int i = 0; i < 3; i++) {
        call_begin(a[i], do_come_and_go, ROUNDS);
    }
    for (size_t i = 0; i < COUNT(work); i++) {
        assert_ok(pthread_create(&thread[i], NULL, repeat, (void *)&work[i]));
    }
    for (size_t i = 0; i < COUNT(work); i++) {
        pthread_join(thread[i], NULL);
    }
    for (int i = 0; i < 3; i++) {
        assert_ok(call_end(a[i]));
    }
    assert_int_equal(wrong, 0);
    assert_ok(wm_exit_run(w, NULL, NULL, NULL));
    assert_int_equal(generation_of(generation).exits_given, 1);
}

static atomic_bool stop;
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
    assert_int_equal(leader_now().mine, 1);
}
