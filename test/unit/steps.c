/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's start and exit, one step at a time and in one go: what is given,
 * in which order, and what changes in between. */

#include "inside.h"

static const char *const names[] = {
    [WM_EVENT_MASTER_EXIT] = "end",    [WM_EVENT_CRASHED] = "crash",
    [WM_EVENT_WORKER_START] = "start", [WM_EVENT_RECOVERED] = "recovery",
    [WM_EVENT_WORKER_EXIT] = "exit",   [WM_EVENT_DRAINED] = "drain",
};

/* All that was given, by these names and in its order. */
static struct {
    char text[100];
    int32_t mine; /* of its start or its exit */
    bool is_drained;
} given;

static struct wm_worker *w;
static struct process *victim; /* dies in the exit's callback */

/* Only from the drain on it drains. */
static void note(const struct wm_event *event, UNUSED void *argument)
{
    const size_t n = strlen(given.text);

    assert_int_equal(event->size, sizeof(*event));
    snprintf(given.text + n, sizeof(given.text) - n, "%s%s", n > 0 ? " " : "",
             names[event->kind]);
    given.is_drained |= event->kind == WM_EVENT_DRAINED;
    if (event->kind == WM_EVENT_WORKER_EXIT && victim != NULL) {
        process_kill(victim);
        victim = NULL;
    }
    if (event->kind == WM_EVENT_WORKER_START ||
        event->kind == WM_EVENT_WORKER_EXIT) {
        assert_int_equal(event->pid, getpid());
        assert_int_equal(event->generation, generation);
        given.mine = event->counts.mine;
    }
    if (wm_worker_has_record(w)) {
        assert_int_equal(state_of(getpid()),
                         given.is_drained ? WM_DRAINING : WM_LIVE);
    }
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

static void assert_given(const char *text)
{
    assert_string_equal(given.text, text);
}

static void join(enum wm_role role)
{
    memset(&given, 0, sizeof(given));
    assert_ok(join_with(generation, .role = role, .overdue_ms = NEVER_OVERDUE));
    w = wm_node_worker(node);
}

static void join_and_start(void)
{
    memset(&given, 0, sizeof(given));
    w = own_worker(generation);
}

static void begin_exit(uint32_t kinds)
{
    assert_ok(wm_lock_acquire(node, NULL));
    assert_ok(wm_exit_begin(w, kinds));
}

NODE_TEST(a_start_is_given_by_its_own_steps_when_the_worker_is_live)
{
    struct wm_event small = {.size = 8};

    join(WM_ROLE_WORKER);
    assert_ok(wm_lock_acquire(node, NULL));
    assert_ok(wm_start_begin(w, WM_EVENTS_ALL));
    assert_ok(give_rest(wm_exit_next));
    assert_int_equal(wm_start_next(w, &small), -EINVAL);
    assert_given("");
    assert_int_equal(state_of(getpid()), WM_JOINING);
    assert_ok(give_rest(wm_start_next));
    assert_given("start");
    assert_int_equal(given.mine, 1);
}

static void fork_now(UNUSED const struct wm_event *event, void *pid)
{
    *(pid_t *)pid = fork_child();
}

NODE_TEST(a_child_that_is_forked_in_a_start_has_not_started)
{
    pid_t pid = -1;
    int result;

    join(WM_ROLE_WORKER);
    result = wm_start_run(w, NULL, fork_now, &pid);
    if (pid == 0) {
        _exit(result == -ECHILD ? 0 : 1);
    }
    assert_ok(result);
    assert_ok(child_status(pid));
}

ACT(be_two, (void), new_worker(generation))
ACT(see_one_die, (void), process_kill(new_worker(generation)))
ACT(find_one_dead, (void), see_one_die(); sweep())

/* A stall that was told, as another's sweep found it. */
static void stay_away(void)
{
    set_state(wm_worker_slot(w), WM_STALLED);
    take(STALLED);
    assert_int_equal(wm_worker_recoveries(w), 0);
}

/* Acts while it is live, and all that its start and its exit give, each in
 * one go, which gives the lock back. */
static const struct exiting {
    const char *name;
    void (*happens)(void);
    const char *given;
    int mine;
    enum wm_role role;
} exits[] = {
    {"the_first_of_two_is_given_no_end", be_two, "start exit drain", 2,
     WM_ROLE_WORKER},
    {"a_helper_is_never_the_last", be_two, "start exit drain", 2,
     WM_ROLE_HELPER},
    {"what_is_owed_of_others_comes_first", find_one_dead,
     "start crash exit drain end", 1, WM_ROLE_WORKER},
    {"what_its_exit_finds_of_others_is_given_before_the_end", see_one_die,
     "start exit drain crash end", 1, WM_ROLE_WORKER},
    {"a_recovery_follows_its_stall_and_comes_before_the_exit", stay_away,
     "start recovery exit drain end", 1, WM_ROLE_WORKER},
};

static void is_given(void **state)
{
    const struct exiting *e = *state;

    join(e->role);
    assert_ok(wm_start_run(w, NULL, note, NULL));
    e->happens();
    assert_ok(wm_exit_run(w, NULL, note, NULL));
    assert_given(e->given);
    assert_int_equal(given.mine, e->mine);
    assert_int_equal(generation_of(generation).state,
                     e->mine == 1 ? WM_GENERATION_EXITED
                                  : WM_GENERATION_ACTIVE);
    assert_none_to_take(WM_EVENTS_ALL);
    assert_int_equal(wm_worker_recoveries(w), 0);
}

NODE_TEST_EACH(exits, is_given)

NODE_TEST(a_death_in_its_exits_callback_is_given_before_the_end)
{
    join_and_start();
    victim = new_worker(generation);
    assert_ok(wm_exit_run(w, NULL, note, NULL));
    assert_given("exit drain crash end");
}

/* Its thread ends in the callback of each event, and the exit begins anew. */
NODE_TEST(an_exit_cut_short_at_each_event_gives_each_once_and_starts_no_more)
{
    struct wm_event event = {.size = sizeof(event)};

    join_and_start();
    for (int i = 0; i < 5; i++) {
        begin_exit(WM_EVENTS_ALL);
        assert_int_equal(wm_start_begin(w, WM_EVENTS_ALL), -ESTALE);
        assert_int_equal(wm_start_next(w, &event), -ESTALE);
        if (wm_exit_next(w, &event) == 1) {
            note(&event, NULL);
        }
        /* From the drain on, no callback keeps the end from being given. */
        assert_int_equal(wm_events_owed(node, MASTER_EXIT),
                         event.kind == WM_EVENT_DRAINED);
        wm_lock_release(node);
    }
    assert_given("exit drain end");
}

NODE_TEST(an_exit_without_the_lock_leaves_the_end_to_another)
{
    join_and_start();
    assert_ok(wm_exit_begin(w, 0));
    assert_int_equal(give_rest(wm_exit_next), WM_CLOSED);
    assert_given("");
    assert_int_equal(state_of(getpid()), WM_DRAINING);
    assert_generation(generation, WM_GENERATION_EXITED, 1);
    assert_int_equal(take(MASTER_EXIT).generation, generation);
    /* And its exit is not given any more. */
    begin_exit(WM_EVENTS_ALL);
    assert_ok(give_rest(wm_exit_next));
    assert_given("drain");
}

static void let_go(const struct wm_event *event, void *argument)
{
    note(event, argument);
    assert_ok(wm_lock_release(node));
}

NODE_TEST(an_exit_whose_function_lets_the_lock_go_gives_nothing_more)
{
    join_and_start();
    victim = new_worker(generation);
    assert_ok(wm_exit_run(w, NULL, let_go, NULL));
    assert_given("exit");
    assert_int_equal(take(MASTER_EXIT).counts.reason, WM_REASON_NONE);
    take(CRASHED); /* which the exit has found */
}

NODE_TEST(an_exit_that_goes_on_after_another_took_the_end_has_closed_nothing)
{
    struct wm_event event = {.size = sizeof(event)};

    join_and_start();
    begin_exit(1u << WM_EVENT_DRAINED);
    assert_int_equal(wm_exit_next(w, &event), 1);
    assert_int_equal(take(MASTER_EXIT).generation, generation);
    assert_ok(wm_exit_next(w, &event));
}

/* A table of one record, which another takes while this worker drains. */
NODE_TEST(a_worker_that_lost_its_record_is_not_the_last)
{
    node_restart(1);
    join_and_start();
    assert_ok(wm_worker_drain(w));
    assert_ok(call(new_process(), do_join, generation));
    begin_exit(WM_EVENTS_ALL);
    assert_ok(give_rest(wm_exit_next));
    assert_given("exit drain");
    assert_true(given.mine > 1);
}

NODE_TEST(a_process_that_has_the_lock_is_told_and_nothing_is_done)
{
    join(WM_ROLE_WORKER);
    assert_ok(wm_lock_acquire(node, NULL));
    assert_int_equal(wm_start_run(w, NULL, note, NULL), -EDEADLK);
    assert_int_equal(state_of(getpid()), WM_JOINING);
    assert_int_equal(wm_exit_run(w, NULL, note, NULL), -EDEADLK);
    assert_int_equal(state_of(getpid()), WM_JOINING);
    assert_given("");
}

NODE_TEST(without_the_lock_a_start_and_an_exit_change_its_state_alone)
{
    const struct wm_lock_options soon = {.size = sizeof(soon), .wait_ms = 1};

    assert_ok(call(new_worker(generation), do_lock, 0));
    join(WM_ROLE_WORKER);
    assert_int_equal(wm_start_run(w, &soon, note, NULL), -ETIMEDOUT);
    assert_int_equal(state_of(getpid()), WM_LIVE);
    assert_int_equal(wm_exit_run(w, &soon, note, NULL), -ETIMEDOUT);
    assert_int_equal(state_of(getpid()), WM_DRAINING);
    assert_given("");
}
