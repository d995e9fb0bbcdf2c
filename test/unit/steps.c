/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A worker's start and exit, one step at a time and in one go: what is given,
 * in which order, and what changes in between. */

#include "inside.h"

#define KIND(event) (1u << (event))
#define OWN_EXIT                                                               \
    (KIND(WM_EVENT_RECOVERED) | KIND(WM_EVENT_WORKER_EXIT) |                   \
     KIND(WM_EVENT_DRAINED) | MASTER_EXIT)

/* The kinds that were given, in their order, and what the state of the worker
 * was then. */
static struct {
    uint32_t kind[16];
    enum wm_state state[16];
    int32_t mine;
    uint32_t count;
} given;

static struct wm_worker *w;

static void note(const struct wm_event *event, UNUSED void *argument)
{
    assert_true(given.count < COUNT(given.kind));
    if (event->kind == WM_EVENT_WORKER_START ||
        event->kind == WM_EVENT_WORKER_EXIT) {
        assert_int_equal(event->pid, getpid());
        assert_int_equal(event->generation, generation);
        given.mine = event->counts.mine;
    }
    given.state[given.count] = state_of(getpid());
    given.kind[given.count++] = event->kind;
}

/* Gives all that comes next; returns what next returned at last. */
static int give_rest(int (*next)(struct wm_worker *, struct wm_event *))
{
    struct wm_event event = {.size = sizeof(event)};
    int result;

    while ((result = next(w, &event)) == 1) {
        note(&event, NULL);
    }
    return result;
}

static void assert_given(const uint32_t *kinds, uint32_t count)
{
    assert_int_equal(given.count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(given.kind[i], kinds[i]);
    }
}

#define ASSERT_GIVEN(...)                                                      \
    assert_given((const uint32_t[]){__VA_ARGS__},                              \
                 sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void forget_given(void)
{
    memset(&given, 0, sizeof(given));
}

static void join(void)
{
    const struct wm_join_options options = {.size = sizeof(options),
                                            .overdue_ms = NEVER_OVERDUE};

    forget_given();
    assert_ok(wm_worker_join(node, generation, &options, &w));
}

static void join_and_start(void)
{
    struct wm_counts counts;

    join();
    assert_ok(wm_worker_start(w, &counts));
}

static void begin_exit(uint32_t kinds)
{
    assert_ok(wm_lock_acquire(node, NULL));
    assert_ok(wm_exit_begin(w, kinds));
}

/* ------------------------------------------------------------------ start */

NODE_TEST(a_start_is_given_when_the_worker_is_live)
{
    join();
    assert_ok(wm_lock_acquire(node, NULL));
    assert_ok(wm_start_begin(w, WM_EVENTS_ALL));
    assert_int_equal(state_of(getpid()), WM_JOINING);
    assert_ok(give_rest(wm_start_next));
    ASSERT_GIVEN(WM_EVENT_WORKER_START);
    assert_int_equal(given.state[0], WM_LIVE);
    assert_int_equal(given.mine, 1);
}

NODE_TEST(a_start_without_the_lock_makes_it_live_and_gives_nothing)
{
    join();
    assert_ok(wm_start_begin(w, 0));
    assert_ok(give_rest(wm_start_next));
    assert_int_equal(given.count, 0);
    assert_int_equal(state_of(getpid()), WM_LIVE);
}

NODE_TEST(a_start_that_is_begun_anew_is_given_once)
{
    join();
    assert_ok(wm_start_begin(w, 0)); /* without the lock */
    assert_ok(give_rest(wm_start_next));
    for (int i = 0; i < 2; i++) {
        assert_ok(wm_start_begin(w, WM_EVENTS_ALL));
        assert_ok(give_rest(wm_start_next));
    }
    ASSERT_GIVEN(WM_EVENT_WORKER_START);
}

NODE_TEST(a_start_is_no_step_of_an_exit)
{
    join();
    assert_ok(wm_start_begin(w, WM_EVENTS_ALL));
    assert_ok(give_rest(wm_exit_next));
    assert_int_equal(given.count, 0);
    assert_ok(give_rest(wm_start_next));
    ASSERT_GIVEN(WM_EVENT_WORKER_START);
}

NODE_TEST(a_start_in_one_go_has_the_lock_and_gives_it_back)
{
    struct wm_lock_holder holder = {.size = sizeof(holder)};

    new_worker(generation);
    join();
    assert_ok(wm_start_run(w, NULL, note, NULL));
    ASSERT_GIVEN(WM_EVENT_WORKER_START);
    assert_int_equal(given.mine, 2);
    assert_ok(wm_lock_inspect(node, &holder));
    assert_int_equal(holder.pid, 0);
}

NODE_TEST(a_start_that_cannot_have_the_lock_is_not_given)
{
    const struct wm_lock_options soon = {.size = sizeof(soon), .wait_ms = 1};
    struct process *other = new_worker(generation);

    assert_ok(call(other, do_lock, 0));
    join();
    assert_int_equal(wm_start_run(w, &soon, note, NULL), -ETIMEDOUT);
    assert_int_equal(given.count, 0);
    assert_int_equal(state_of(getpid()), WM_LIVE);
}

/* ------------------------------------------------------------------- exit */

NODE_TEST(an_exit_is_given_before_the_drain_and_the_end_after_it)
{
    join_and_start();
    begin_exit(WM_EVENTS_ALL);
    assert_ok(give_rest(wm_exit_next));
    ASSERT_GIVEN(WM_EVENT_WORKER_EXIT, WM_EVENT_DRAINED, WM_EVENT_MASTER_EXIT);
    assert_int_equal(given.mine, 1);
    assert_int_equal(given.state[0], WM_LIVE);
    assert_int_equal(given.state[1], WM_DRAINING);
    assert_int_equal(given.state[2], WM_DRAINING);
    assert_generation(generation, WM_GENERATION_EXITED, 1);
    assert_none_to_take(WM_EVENTS_ALL);
}

NODE_TEST(the_first_of_two_is_given_no_end)
{
    struct process *other = new_worker(generation);

    join_and_start();
    assert_ok(wm_exit_run(w, NULL, note, NULL));
    ASSERT_GIVEN(WM_EVENT_WORKER_EXIT, WM_EVENT_DRAINED);
    assert_int_equal(given.mine, 2);
    assert_generation(generation, WM_GENERATION_ACTIVE, 1);
    shut_down_last(other, generation);
}

NODE_TEST(what_is_owed_of_others_comes_first)
{
    struct process *other = new_worker(generation);

    join_and_start();
    process_kill(other);
    sweep();
    assert_ok(wm_exit_run(w, NULL, note, NULL));
    ASSERT_GIVEN(WM_EVENT_CRASHED, WM_EVENT_WORKER_EXIT, WM_EVENT_DRAINED,
                 WM_EVENT_MASTER_EXIT);
}

NODE_TEST(what_its_exit_finds_of_others_is_given_before_the_end)
{
    struct process *other = new_worker(generation);

    join_and_start();
    process_kill(other); /* its exit's sweep finds this */
    assert_ok(wm_exit_run(w, NULL, note, NULL));
    ASSERT_GIVEN(WM_EVENT_WORKER_EXIT, WM_EVENT_DRAINED, WM_EVENT_CRASHED,
                 WM_EVENT_MASTER_EXIT);
    assert_int_equal(given.mine, 1);
}

NODE_TEST(a_recovery_follows_its_stall_and_comes_before_the_exit)
{
    join_and_start();
    set_state(wm_worker_slot(w), WM_STALLED); /* as another's sweep does */
    take(STALLED);
    assert_int_equal(wm_worker_recoveries(w), 0);
    assert_ok(wm_exit_run(w, NULL, note, NULL)); /* its beat recovers */
    ASSERT_GIVEN(WM_EVENT_RECOVERED, WM_EVENT_WORKER_EXIT, WM_EVENT_DRAINED,
                 WM_EVENT_MASTER_EXIT);
    assert_int_equal(wm_worker_recoveries(w), 0);
}

NODE_TEST(an_exit_that_was_cut_short_goes_on_and_gives_nothing_twice)
{
    struct wm_event event = {.size = sizeof(event)};

    join_and_start();
    begin_exit(WM_EVENTS_ALL);
    assert_int_equal(wm_exit_next(w, &event), 1);
    assert_int_equal(event.kind, WM_EVENT_WORKER_EXIT);
    assert_ok(wm_exit_begin(w, WM_EVENTS_ALL)); /* its thread was ended */
    assert_ok(give_rest(wm_exit_next));
    ASSERT_GIVEN(WM_EVENT_DRAINED, WM_EVENT_MASTER_EXIT);
    assert_ok(wm_exit_begin(w, WM_EVENTS_ALL));
    forget_given();
    assert_ok(give_rest(wm_exit_next));
    assert_int_equal(given.count, 0);
}

/* Its thread is ended in the callback of each event, and the exit begun anew.
 */
NODE_TEST(an_exit_that_is_cut_short_at_each_event_gives_each_once)
{
    struct wm_event event = {.size = sizeof(event)};

    join_and_start();
    do {
        assert_true(given.count < COUNT(given.kind));
        begin_exit(WM_EVENTS_ALL);
        if (wm_exit_next(w, &event) != 1) {
            break;
        }
        note(&event, NULL);
    } while (wm_lock_release(node) == 0);
    ASSERT_GIVEN(WM_EVENT_WORKER_EXIT, WM_EVENT_DRAINED, WM_EVENT_MASTER_EXIT);
}

NODE_TEST(an_exit_without_the_lock_leaves_the_end_to_another)
{
    join_and_start();
    assert_ok(wm_exit_begin(w, 0));
    assert_int_equal(give_rest(wm_exit_next), WM_CLOSED);
    assert_int_equal(given.count, 0);
    assert_int_equal(state_of(getpid()), WM_DRAINING);
    assert_generation(generation, WM_GENERATION_EXITED, 1);
    assert_int_equal(take(MASTER_EXIT).generation, generation);
    /* And its exit is not given any more. */
    begin_exit(OWN_EXIT);
    assert_ok(give_rest(wm_exit_next));
    ASSERT_GIVEN(WM_EVENT_DRAINED);
}

NODE_TEST(an_exit_that_cannot_have_the_lock_drains_all_the_same)
{
    const struct wm_lock_options soon = {.size = sizeof(soon), .wait_ms = 1};
    struct process *other = new_worker(generation);

    assert_ok(call(other, do_lock, 0));
    join_and_start();
    assert_int_equal(wm_exit_run(w, &soon, note, NULL), -ETIMEDOUT);
    assert_int_equal(given.count, 0);
    assert_int_equal(state_of(getpid()), WM_DRAINING);
}

NODE_TEST(events_that_the_caller_cannot_give_stay_owed)
{
    struct process *other = new_worker(generation);

    join_and_start();
    process_kill(other);
    sweep();
    begin_exit(KIND(WM_EVENT_WORKER_EXIT));
    assert_int_equal(give_rest(wm_exit_next), WM_CLOSED);
    ASSERT_GIVEN(WM_EVENT_WORKER_EXIT);
    take(CRASHED);
    take(MASTER_EXIT);
}

/* A table of one record, which another takes while this worker drains. */
NODE_TEST(a_worker_that_lost_its_record_is_not_the_last)
{
    struct process *other;

    node_restart(1);
    join_and_start();
    assert_ok(wm_worker_drain(w));
    other = new_process();
    assert_ok(call(other, do_join, generation));
    begin_exit(OWN_EXIT);
    assert_ok(give_rest(wm_exit_next));
    ASSERT_GIVEN(WM_EVENT_WORKER_EXIT, WM_EVENT_DRAINED);
    assert_true(given.mine > 1);
}

/* From the drain on, no callback keeps the end from being given. */
NODE_TEST(an_exit_that_is_cut_short_after_the_drain_leaves_the_end_owed)
{
    struct wm_event event = {.size = sizeof(event)};

    join_and_start();
    begin_exit(WM_EVENTS_ALL);
    assert_int_equal(wm_exit_next(w, &event), 1);
    assert_int_equal(wm_exit_next(w, &event), 1);
    assert_int_equal(event.kind, WM_EVENT_DRAINED);
    assert_ok(wm_worker_leave(w));
    assert_int_equal(take(MASTER_EXIT).generation, generation);
}

NODE_TEST(a_helper_is_never_the_last)
{
    const struct wm_join_options options = {.size = sizeof(options),
                                            .role = WM_ROLE_HELPER};

    forget_given();
    new_worker(generation);
    assert_ok(wm_worker_join(node, generation, &options, &w));
    assert_ok(wm_exit_run(w, NULL, note, NULL));
    ASSERT_GIVEN(WM_EVENT_WORKER_EXIT, WM_EVENT_DRAINED);
    assert_int_equal(given.mine, 2);
}

NODE_TEST(a_start_after_its_exit_has_begun_is_refused)
{
    join_and_start();
    begin_exit(WM_EVENTS_ALL);
    assert_int_equal(wm_start_begin(w, WM_EVENTS_ALL), -ESTALE);
    assert_ok(give_rest(wm_exit_next));
    ASSERT_GIVEN(WM_EVENT_WORKER_EXIT, WM_EVENT_DRAINED, WM_EVENT_MASTER_EXIT);
}

/* ------------------------------------------------------------------ misuse */

NODE_TEST(a_process_that_has_the_lock_is_told_and_nothing_is_done)
{
    join();
    assert_ok(wm_lock_acquire(node, NULL));
    assert_int_equal(wm_start_run(w, NULL, note, NULL), -EDEADLK);
    assert_int_equal(state_of(getpid()), WM_JOINING);
    assert_int_equal(wm_exit_run(w, NULL, note, NULL), -EDEADLK);
    assert_int_equal(state_of(getpid()), WM_JOINING);
    assert_int_equal(given.count, 0);
}

static int has_no_steps(UNUSED const void *unused)
{
    struct wm_event event = {.size = sizeof(event)};

    HOLDS(wm_start_begin(w, WM_EVENTS_ALL) == -ECHILD);
    HOLDS(wm_start_run(w, NULL, NULL, NULL) == -ECHILD);
    HOLDS(wm_exit_begin(w, WM_EVENTS_ALL) == -ECHILD);
    HOLDS(wm_exit_next(w, &event) == -ECHILD);
    HOLDS(wm_exit_run(w, NULL, NULL, NULL) == -ECHILD);
    return 0;
}

NODE_TEST(a_child_has_none_of_its_parents_steps)
{
    join_and_start();
    assert_ok(wm_exit_begin(w, WM_EVENTS_ALL));
    assert_check(has_no_steps, NULL);
    assert_ok(wm_worker_leave(w));
    assert_int_equal(has_no_steps(NULL), 0);
}

NODE_TEST(an_event_of_no_size_is_refused_and_nothing_is_done)
{
    struct wm_event event = {.size = 8};

    join();
    assert_ok(wm_start_begin(w, WM_EVENTS_ALL));
    assert_int_equal(wm_start_next(w, &event), -EINVAL);
    assert_int_equal(state_of(getpid()), WM_JOINING);
    event.size = sizeof(event);
    assert_int_equal(wm_start_next(w, &event), 1);
    assert_int_equal(event.kind, WM_EVENT_WORKER_START);
}
