/* SPDX-License-Identifier: Apache-2.0 */

/* One worker's record: joined, beating, judged, drained, left, taken over. */

#include "inside.h"
#include "process.h"

/* It would be told that it is the last, and the one that is left as well. */
NODE_TEST(a_worker_that_has_drained_starts_no_more_and_exits_no_more)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);

    assert_ok(call(a, do_drain, 0));
    assert_ok(call(a, do_drain, 0));
    assert_int_equal(call(a, do_exit, 0), -ESTALE);
    assert_ok(call(b, do_exit, 0));
    assert_int_equal(b->seen->counts.mine, 1);
    assert_int_equal(call(a, do_start, 0), -ESTALE);
    assert_int_equal(state_of(a->pid), WM_DRAINING);
}

/* A forked child, or a process that has left. */
static int has_no_worker(const void *process)
{
    struct process *self = (struct process *)(uintptr_t)process;
    struct wm_worker *w = &node->worker;
    struct wm_event event = {.size = sizeof(event)};
    struct wm_counts c;

    HOLDS(wm_node_worker(node) == NULL);
    HOLDS(wm_worker_has_record(w) == 0);
    HOLDS(wm_beat(w) == -ESTALE);
    HOLDS(wm_worker_start(w, &c) == -ECHILD);
    HOLDS(wm_worker_leave(w) == -ECHILD);
    HOLDS(wm_start_begin(w, WM_EVENTS_ALL) == -ECHILD);
    HOLDS(wm_start_run(w, NULL, NULL, NULL) == -ECHILD);
    HOLDS(wm_exit_begin(w, WM_EVENTS_ALL) == -ECHILD);
    HOLDS(wm_exit_next(w, &event) == -ECHILD);
    HOLDS(wm_exit_run(w, NULL, NULL, NULL) == -ECHILD);
    HOLDS(wm_lock_release(node) == -EPERM);
    HOLDS(do_join(self, 1) == 0);
    HOLDS(do_leave(self, 0) == 0);
    HOLDS(do_join(self, 99) == -ENOENT && wm_worker_generation(w) == 1);
    return 0;
}

static long do_fork_and_leave(struct process *self, UNUSED uint64_t none)
{
    HOLDS(wm_exit_begin(wm_node_worker(node), WM_EVENTS_ALL) == 0);
    HOLDS(run_check(has_no_worker, self) == 0);
    HOLDS(do_beat(self, 0) == 0);
    HOLDS(state_of(getpid()) == WM_LIVE);
    HOLDS(do_leave(self, 0) == 0);
    return has_no_worker(self);
}

NODE_TEST(a_forked_child_has_none_and_may_join_itself)
{
    assert_ok(call(new_worker(generation), do_fork_and_leave, 0));
}

NODE_TEST(a_beat_never_moves_back_nor_by_a_leap_ahead_of_the_clock)
{
    const uint64_t now = wm_now(), later = now + 5000;
    /* Microseconds; such that seem older by the bits of a beat; and what is too
     * much for a worker without a limit. */
    const uint64_t leaps[] = {now * 1000, now + (UINT64_C(3) << 37),
                              now + 16000};
    struct wm_worker *w = own_worker(generation);

    assert_ok(wm_beat_at(w, later));
    assert_int_equal(beat_at(0), later);
    for (uint64_t behind = 1; behind < 5000; behind += 2000) {
        assert_ok(wm_beat_at(w, later - behind));
        assert_int_equal(beat_at(0), later);
    }
    assert_ok(wm_beat_at(w, later + 1));
    assert_int_equal(beat_at(0), later + 1);
    for (size_t i = 0; i < COUNT(leaps); i++) {
        set_overdue(0, i < 2 ? 6000 : NEVER_OVERDUE);
        set_word(0, WM_LIVE, getpid(), now - 1);
        assert_ok(wm_beat_at(w, now - 1)); /* it knows its word */
        assert_ok(wm_beat_at(w, leaps[i]));
        assert_in_range(beat_at(0), now, wm_now());
    }
    assert_ok(wm_worker_leave(w));
}

ACT(be_late, (UNUSED struct process * p), make_late(0))
ACT(lock_and_be_late, (UNUSED struct process * p),
    assert_ok(call(p, do_lock, 0));
    make_late(0))
ACT(have_the_line_of_another, (UNUSED struct process * p),
    cold(0)->ident = wm_ident((uint32_t)p->pid + 1, 1))
ACT(have_a_pid_of_before, (UNUSED struct process * p),
    cold(0)->ident--) /* by its start */
/* When it is overdue, the start time decides. */
ACT(be_another_process, (UNUSED struct process * p), cold(0)->ident--;
    make_late(0))

ACT(be_ahead, (UNUSED struct process * p), put_ahead(0))

/* The fate of a worker in that state, and the state that a sweep leaves it
 * in. It owes an event if it has crashed or stalled. */
static const struct judged {
    const char *name;
    void (*happens)(struct process *);
    enum wm_state state, then;
} judged[] = {
    {"a_joining_worker_is_not_judged_by_time", be_late, WM_JOINING, WM_JOINING},
    {"a_draining_worker_is_not_judged_by_time", be_late, WM_DRAINING,
     WM_DRAINING},
    {"a_worker_whose_beat_no_clock_made_is_stalled", be_ahead, WM_LIVE,
     WM_STALLED},
    {"the_holder_of_the_lock_is_not_judged_by_time", lock_and_be_late, WM_LIVE,
     WM_LIVE},
    {"a_stopped_process_is_not_dead", process_stop, WM_LIVE, WM_LIVE},
    {"a_zombie_is_dead", process_zombify, WM_LIVE, WM_CRASHED},
    {"a_death_while_joining_is_a_crash", process_kill, WM_JOINING, WM_CRASHED},
    {"a_death_while_live_is_a_crash", process_kill, WM_LIVE, WM_CRASHED},
    {"a_death_while_stalled_is_a_crash", process_kill, WM_STALLED, WM_CRASHED},
    {"a_death_while_draining_is_told_as_one", process_kill, WM_DRAINING,
     WM_CRASHED_DRAINING},
    {"a_dead_claim_is_freed_and_owes_nothing", process_kill, WM_CLAIMED,
     WM_FREE},
    {"a_pid_that_is_another_process_now_is_dead", be_another_process, WM_LIVE,
     WM_CRASHED},
    /* It is published, but its line is still the one before's. */
    {"a_former_occupants_start_time_proves_nothing", have_the_line_of_another,
     WM_JOINING, WM_JOINING},
    {"a_claim_is_not_judged_by_a_former_start_time", have_a_pid_of_before,
     WM_CLAIMED, WM_CLAIMED},
    /* Claimed just after boot by a process that began long after it. */
    {"a_claim_whose_pid_began_later_is_dead", be_late, WM_CLAIMED, WM_FREE},
};

static void is_judged(void **state)
{
    const struct judged *j = *state;
    struct process *p = new_worker(generation);

    set_state(0, j->state);
    j->happens(p);
    assert_int_equal(sweep(), j->state != j->then);
    assert_int_equal(state_at(0), j->then);
    assert_int_equal(wm_events_owed(node, ~0u),
                     j->then == WM_STALLED || j->then >= WM_CRASHED);
    assert_int_equal(sweep(), 0);
}

NODE_TEST_EACH(judged, is_judged)

/* Its own master has replaced its generation; another master's newer one may
 * serve beside it for an hour. */
NODE_TEST(a_worker_that_leaves_is_not_judged_by_time)
{
    struct process *upgrade = new_process();

    new_worker(generation);
    assert_ok(call(upgrade, do_begin, 0));
    new_worker_of(upgrade, upgrade->seen->id);
    make_late(0);
    new_worker(begin());
    assert_int_equal(sweep(), 0);
    assert_int_equal(state_at(0), WM_LIVE);
    make_late(1);
    assert_int_equal(sweep(), 1);
    assert_int_equal(state_at(1), WM_STALLED);
}

/* If pids are few, one worker's is soon another's. */
static long do_inherit_a_pid(struct process *self, uint64_t id)
{
    set_word(0, WM_LIVE, getpid(), 5);
    cold(0)->ident = wm_ident((uint32_t)getpid(), 7);
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
    assert_int_equal(slot_of(record_of(c->pid)), 1);
    assert_int_equal(state_of(a->pid), WM_DRAINING);
    /* It does nothing to its successor. */
    assert_int_equal(call(b, do_beat, 0), -ESTALE);
    assert_int_equal(call(b, do_leave, 0), -ESTALE);
    assert_int_equal(state_of(c->pid), WM_LIVE);
    assert_int_equal(header()->dropped, 1);
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
    struct wm_node *reader = open_reader();

    assert_ok(check_refused(reader, generation, -EROFS));
    assert_int_equal(wm_lock_release(reader), -EROFS);
    assert_ok(wm_node_release(reader));
}
