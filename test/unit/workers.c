/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* One worker's record: joined, beating, judged, drained, left, taken over. */

#include "inside.h"
#include "process.h"

/* ------------------------------------------------------------------ states */

NODE_TEST(it_goes_through_its_states_in_order)
{
    struct process *a = new_process();

    assert_ok(call(a, do_join, generation));
    assert_int_equal(state_of(a->pid), WM_JOINING);
    assert_int_equal(call(a, do_join, generation), -EALREADY);
    assert_ok(call(a, do_start, 0));
    assert_int_equal(state_of(a->pid), WM_LIVE);
    assert_ok(call(a, do_start, 0)); /* changes nothing */
    assert_ok(call(a, do_beat, 0));
    assert_ok(call(a, do_exit, 0));
    assert_int_equal(state_of(a->pid), WM_LIVE);
    assert_ok(call(a, do_drain, 0));
    assert_int_equal(state_of(a->pid), WM_DRAINING);
    assert_ok(call(a, do_leave, 0));
    assert_int_equal(state_of(a->pid), WM_FREE);
    assert_ok(call(a, do_join, generation));
}

NODE_TEST(a_worker_that_has_drained_starts_no_more)
{
    struct process *a = new_worker(generation);

    close_untaken(a, generation);
    assert_ok(call(a, do_drain, 0));
    assert_int_equal(call(a, do_start, 0), -ESTALE);
    assert_int_equal(state_of(a->pid), WM_DRAINING);
}

/* It would be told of the one that is left, and that one as well. */
NODE_TEST(a_worker_that_has_drained_is_not_told_that_it_is_the_last)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);

    assert_ok(call(a, do_drain, 0));
    assert_int_equal(call(a, do_exit, 0), -ESTALE);
    assert_ok(call(b, do_exit, 0));
    assert_int_equal(b->seen->counts.mine, 1);
}

static int uses_its_parents_worker(const void *process)
{
    struct process *self = (struct process *)(uintptr_t)process;
    struct wm_worker *w = &node->worker;
    struct wm_counts c;

    HOLDS(wm_node_worker(node) == NULL);
    HOLDS(wm_worker_has_record(w) == 0);
    HOLDS(wm_beat(w) == -ESTALE);
    HOLDS(wm_worker_start(w, &c) == -ECHILD);
    HOLDS(wm_worker_exit_counts(w, &c) == -ECHILD);
    HOLDS(wm_worker_drain(w) == -ECHILD);
    HOLDS(wm_worker_leave(w) == -ECHILD);
    HOLDS(wm_lock_release(node) == -EPERM);
    HOLDS(do_join(self, 1) == 0);
    HOLDS(do_leave(self, 0) == 0);
    return 0;
}

static long do_use_it_in_a_child(struct process *self, UNUSED uint64_t none)
{
    return run_check(uses_its_parents_worker, self);
}

NODE_TEST(a_forked_child_has_none_and_may_join_itself)
{
    struct process *a = new_worker(generation);

    assert_ok(call(a, do_use_it_in_a_child, 0));
    assert_ok(call(a, do_beat, 0));
    assert_int_equal(state_of(a->pid), WM_LIVE);
}

NODE_TEST(a_beat_never_moves_back)
{
    struct wm_worker *w = own_worker(generation);
    uint64_t later = wm_now() + 5000;

    assert_ok(wm_beat_at(w, later));
    assert_int_equal(beat_at(0), later);
    assert_ok(wm_beat_at(w, later - 1));
    assert_int_equal(beat_at(0), later);
    assert_ok(wm_beat_at(w, later + 1));
    assert_int_equal(beat_at(0), later + 1);
    assert_ok(wm_worker_leave(w));
}

/* --------------------------------------------------------- judged by time */

static bool has_stalled(void *process)
{
    sweep();
    return state_of(((struct process *)process)->pid) == WM_STALLED;
}

NODE_TEST(an_overdue_one_is_stalled_and_comes_back_by_its_beat)
{
    struct process *a = new_process();

    assert_ok(call(a, do_join_overdue, generation));
    assert_ok(call(a, do_start, 0));
    await(has_stalled, a, "a stall");
    assert_int_equal(call(a, do_beat, 0), WM_RECOVERED);
    assert_int_equal(state_at(0), WM_LIVE);
}

NODE_TEST(a_joining_or_draining_worker_is_not_judged_by_time)
{
    new_worker(generation);
    new_worker(generation);
    set_state(0, WM_JOINING);
    set_state(1, WM_DRAINING);
    make_late(0);
    make_late(1);
    assert_int_equal(sweep(), 0);
}

NODE_TEST(the_holder_of_the_lock_is_not_judged_by_time)
{
    struct process *a = new_worker(generation);

    assert_ok(call(a, do_lock, 0));
    make_late(0);
    assert_int_equal(sweep(), 0);
    /* And has beaten before it is released. */
    assert_ok(call(a, do_unlock, 0));
    assert_true(beat_at(0) > 1);
}

NODE_TEST(a_sweeper_that_is_late_itself_marks_nobody)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);

    make_late(0);
    make_late(1);
    assert_int_equal(call(a, do_sweep, 0), 0);
    assert_int_equal(state_of(b->pid), WM_LIVE);
    set_overdue(0, NEVER_OVERDUE);
    call(a, do_beat, 0);
    assert_int_equal(call(a, do_sweep, 0), 1);
    assert_int_equal(state_of(b->pid), WM_STALLED);
}

/* The first that runs after the machine stood still may be a beat, which hides
 * how late it comes from the sweep after it. */
NODE_TEST(a_late_beat_makes_the_next_sweep_patient)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);

    make_late(0);
    make_late(1);
    assert_ok(call(a, do_beat, 0));
    set_overdue(0, NEVER_OVERDUE);
    assert_int_equal(call(a, do_sweep, 0), 0);
    assert_int_equal(state_of(b->pid), WM_LIVE);
    assert_int_equal(call(a, do_sweep, 0), 1); /* one round only */
    assert_int_equal(state_of(b->pid), WM_STALLED);
}

NODE_TEST(a_sweepers_mark_fails_if_the_worker_beat_meanwhile)
{
    struct process *a = new_worker(generation);
    uint64_t seen;

    set_word(0, WM_LIVE, a->pid, 1);
    seen = word_at(0);
    assert_ok(call(a, do_beat, 0));
    /* What a sweeper does that has judged `seen`. */
    assert_false(atomic_compare_exchange_strong(
        &record(0)->word, &seen, wm_word_with_state(seen, WM_STALLED)));
}

/* --------------------------------------------------------------- the dead */

NODE_TEST(the_killed_and_the_zombie_are_found)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);
    pid_t pid = a->pid;

    process_kill(a);
    process_zombify(b);
    assert_int_equal(sweep(), 2);
    assert_int_equal(state_of(pid), WM_CRASHED);
    assert_int_equal(state_of(b->pid), WM_CRASHED);
    assert_int_equal(sweep(), 0);
}

NODE_TEST(a_stopped_process_is_not_dead)
{
    struct process *a = new_worker(generation);

    process_stop(a);
    assert_int_equal(sweep(), 0);
    process_continue(a);
    assert_ok(call(a, do_beat, 0));
}

static void set_ident(pid_t pid, uint64_t start)
{
    cold(0)->ident = wm_ident((uint32_t)pid, start);
}

NODE_TEST(a_pid_that_is_another_process_now_is_dead)
{
    struct process *a = new_worker(generation);

    /* A quick look, if there is one, cannot see it while the worker seems to
     * beat; when it is overdue, the start time decides. */
    set_ident(a->pid, wm_ident_start(cold(0)->ident) - 1);
    if (has_pidfd()) {
        assert_int_equal(sweep(), 0);
    }
    make_late(0);
    assert_int_equal(sweep(), 1);
    assert_int_equal(state_at(0), WM_CRASHED);
}

/* Where pids are few, one worker's is soon another's. */
static long do_inherit_a_pid(struct process *self, uint64_t id)
{
    set_word(0, WM_LIVE, getpid(), 5);
    set_ident(getpid(), 7);
    do_join(self, id);
    do_start(self, 0);
    return do_exit(self, 0);
}

NODE_TEST(a_worker_with_the_pid_of_a_dead_one_finds_it_dead)
{
    struct process *a;

    process_kill(new_worker(generation));
    a = new_process();
    assert_ok(call(a, do_inherit_a_pid, generation));
    assert_int_equal(a->seen->counts.mine, 1);
    assert_int_equal(wm_events_owed(node, CRASHED), 1);
}

NODE_TEST(a_former_occupants_start_time_proves_nothing)
{
    struct process *a = new_process();

    /* Published, but with the line of the one before: another pid's ident. */
    assert_ok(call(a, do_join, generation));
    set_ident(a->pid + 1, 1);
    sweep();
    assert_int_equal(state_at(0), WM_JOINING);
}

NODE_TEST(a_dead_claim_is_freed_and_owes_nothing)
{
    struct process *a = new_process();

    set_word(0, WM_CLAIMED, a->pid, wm_now());
    assert_int_equal(sweep(), 0);
    process_kill(a);
    assert_int_equal(sweep(), 1);
    assert_int_equal(state_at(0), WM_FREE);
    assert_int_equal(wm_events_owed(node, ~0u), 0);
}

/* A former occupant had the claimant's pid. */
NODE_TEST(a_claim_is_not_judged_by_a_former_start_time)
{
    pid_t pid = new_process()->pid;

    set_ident(pid, 1);
    set_word(0, WM_CLAIMED, pid, wm_now());
    assert_int_equal(sweep(), 0);
    assert_int_equal(state_at(0), WM_CLAIMED);
}

NODE_TEST(a_claim_whose_pid_began_later_is_dead)
{
    /* Claimed at 1 ms after boot by a process that began long after it. */
    set_word(0, WM_CLAIMED, new_process()->pid, 1);
    assert_int_equal(sweep(), 1);
    assert_int_equal(state_at(0), WM_FREE);
}

NODE_TEST(a_death_while_draining_is_no_crash)
{
    struct process *a = new_worker(generation);

    assert_ok(call(a, do_drain, 0));
    process_kill(a);
    assert_int_equal(sweep(), 1);
    assert_int_equal(state_at(0), WM_FREE);
    assert_int_equal(wm_events_owed(node, CRASHED), 0);
}

/* --------------------------------------------------------------- the table */

static long do_slot(UNUSED struct process *self, UNUSED uint64_t none)
{
    return wm_worker_slot(wm_node_worker(node));
}

NODE_TEST(a_full_table_of_the_living_refuses)
{
    struct process *a = new_only_worker(), *b = new_process();

    assert_int_equal(call(b, do_join, generation), -ENOBUFS);
    assert_ok(call(a, do_beat, 0));
    process_leave(a);
    assert_ok(call(b, do_join, generation));
}

NODE_TEST(the_oldest_that_drains_makes_room)
{
    struct process *a, *b, *c;

    node_restart(2);
    c = new_worker(generation);
    b = new_worker(generation);
    process_depart(c);
    a = new_worker(generation); /* in the first slot, but joined last */
    assert_ok(call(a, do_drain, 0));
    assert_ok(call(b, do_drain, 0));
    c = new_worker(generation);
    assert_int_equal(call(c, do_slot, 0), 1);
    assert_int_equal(state_of(a->pid), WM_DRAINING);
    /* It does nothing to its successor. */
    assert_int_equal(call(b, do_beat, 0), -ESTALE);
    assert_int_equal(call(b, do_leave, 0), -ESTALE);
    assert_int_equal(state_of(c->pid), WM_LIVE);
    assert_int_equal(header()->dropped, 1);
}

NODE_TEST(a_crash_makes_room_only_when_it_was_told)
{
    struct process *b;

    process_kill(new_only_worker());
    b = new_process();
    assert_int_equal(call(b, do_join, generation), -ENOBUFS);
    assert_int_equal(state_at(0), WM_CRASHED);
    take(CRASHED);
    assert_ok(call(b, do_join, generation));
}

NODE_TEST(the_smallest_and_the_largest_table_work)
{
    static const uint32_t capacity[] = {1, 65535};

    for (int i = 0; i < 2; i++) {
        struct process *a;

        node_restart(capacity[i]);
        a = new_worker(generation);
        shut_down_last(a, generation);
        process_depart(a);
    }
}

NODE_TEST(a_reader_can_change_nothing)
{
    const struct wm_join_options options = {.size = sizeof(options)};
    struct wm_node *reader = open_reader();
    struct wm_worker *w;
    struct wm_event e = {.size = sizeof(e)};
    uint64_t id;

    assert_int_equal(wm_worker_join(reader, generation, &options, &w), -EROFS);
    assert_int_equal(wm_generation_begin(reader, &id, NULL), -EROFS);
    assert_int_equal(wm_generation_close(reader, generation), -EROFS);
    assert_int_equal(wm_generation_take_exit(reader, generation, NULL), -EROFS);
    assert_int_equal(wm_generation_abandon(reader, generation), -EROFS);
    assert_int_equal(wm_lock_acquire(reader, NULL), -EROFS);
    assert_int_equal(wm_lock_try(reader, 0, 1), -EROFS);
    assert_int_equal(wm_lock_release(reader), -EROFS);
    assert_int_equal(wm_sweep(reader, NULL), 0);
    assert_int_equal(wm_event_take(reader, ~0u, &e), -EROFS);
    assert_ok(wm_node_release(reader));
}
