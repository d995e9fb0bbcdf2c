/* SPDX-License-Identifier: Apache-2.0 */

/* Service first: starts have the lock before others, exits know whether starts
 * are awaited, and a start that was not given in time is given late. */

#include "clock.h"
#include "inside.h"

CALL_OF(do_try_to_start, wm_lock_try(node, WM_PURPOSE_WORKER_START, 1))

CALL_OF(do_lock_to_start, lock_with(.purpose = WM_PURPOSE_MASTER_START))

static struct process *start, *other;

/* The clock is frozen, also theirs: a signature is fresh while a test wants. */
static int turn_set_up(void **state)
{
    const int error = generation_set_up(state);

    fake_clock.frozen_ms = 5000;
    start = new_process();
    other = new_process();
    return error;
}

#define TURN_TEST(name) TEST_WITH(turn_set_up, clock_tear_down, name)

/* A start takes and gives back the lock so often in a row. */
static void start_in_a_row(int times)
{
    for (int i = 0; i < times; i++) {
        assert_ok(call(start, do_try_to_start, 0));
        assert_ok(call(start, do_unlock, 0));
    }
}

/* Also a dead holder's. */
TURN_TEST(a_start_that_polls_has_the_lock_before_one_that_has_signed)
{
    struct process *holder = new_process();

    assert_ok(call(holder, do_lock, 0));
    assert_int_equal(call(other, do_try, 1), -EINPROGRESS);
    assert_int_equal(call(start, do_try_to_start, 0), -EINPROGRESS);
    process_kill(holder);
    assert_int_equal(call(other, do_try, 1), -EINPROGRESS);
    assert_int_equal(call(start, do_try_to_start, 0), WM_RECOVERED);
    assert_ok(call(start, do_unlock, 0));
    /* Another start may wait, and not have signed yet. */
    assert_int_equal(call(other, do_try, 1), -EINPROGRESS);
    header()->lock.start = 0; /* by now it would have */
    assert_ok(call(other, do_try, 1));
}

TURN_TEST(a_start_that_sleeps_is_woken_before_the_others)
{
    assert_ok(wm_lock_acquire(node, NULL));
    call_begin(other, do_lock, 0);
    await(sleepers(&header()->lock.wake) == 1);
    call_begin(start, do_lock_to_start, 0);
    await(sleepers(&header()->lock.wake_starts) == 1);
    assert_ok(wm_lock_release(node));
    assert_ok(call_end(start));
    assert_int_equal(header()->lock.row, 1);
    header()->lock.start = 0; /* it has become stale */
    assert_ok(call(start, do_unlock, 0));
    assert_ok(call_end(other));
    assert_int_equal(header()->lock.row, 0);
}

/* If workers die and start again and again, a start may always wait. */
TURN_TEST(after_four_starts_in_a_row_another_goes_first)
{
    start_in_a_row(3);
    assert_ok(wm_lock_acquire(node, NULL));
    assert_int_equal(call(other, do_try, 1), -EINPROGRESS);
    assert_ok(wm_lock_release(node));
    start_in_a_row(4);
    assert_int_equal(call(start, do_try_to_start, 0), -EINPROGRESS);
    assert_ok(call(other, do_try, 1));
    assert_ok(call(other, do_unlock, 0));
    start_in_a_row(1);
}

TURN_TEST(one_that_sleeps_signs_once_starts_have_overtaken_it)
{
    start_in_a_row(3);
    assert_ok(call(start, do_try_to_start, 0));
    call_begin(other, do_lock, 0);
    await(wm_word_pid(header()->lock.next) == (uint32_t)other->pid);
    assert_ok(call(start, do_unlock, 0));
    assert_ok(call_end(other));
}

CALL_OF(do_join_one_of_two,
        join_with(argument, .overdue_ms = NEVER_OVERDUE, .expected = 2))

NODE_TEST(starts_are_awaited_until_all_that_are_expected_have_started)
{
    struct process *a, *b;
    uint64_t next;

    new_worker(generation);
    assert_int_equal(wm_starts_awaited(node, generation), 0);
    next = begin();
    assert_int_equal(wm_starts_awaited(node, generation), 1);
    assert_int_equal(wm_starts_awaited(node, next), 0); /* not by itself */
    a = new_process();
    b = new_process();
    assert_ok(call(a, do_join_one_of_two, next));
    assert_ok(call(a, do_start, 0));
    assert_int_equal(wm_starts_awaited(node, generation), 1);
    assert_ok(call(b, do_join_one_of_two, next));
    assert_int_equal(wm_starts_awaited(node, generation), 1);
    process_kill(a); /* whom b does not replace */
    assert_ok(call(b, do_start, 0));
    assert_int_equal(b->seen->counts.reason, WM_REASON_RELOAD);
    assert_int_equal(wm_starts_awaited(node, generation), 0);
    next = begin(); /* a reload upon the reload */
    assert_int_equal(wm_starts_awaited(node, generation), 1);
    assert_int_equal(wm_generation_abandon(node, next), WM_CLOSED);
    assert_int_equal(wm_starts_awaited(node, generation), 0);
}

NODE_TEST(no_start_of_the_dead_is_awaited)
{
    struct process *master = new_process(), *a;

    new_worker(generation);
    assert_ok(call(master, do_begin, 0));
    assert_int_equal(wm_starts_awaited(node, generation), 1);
    a = process_fork(master);
    assert_ok(call(a, do_join, master->seen->id));
    assert_int_equal(wm_starts_awaited(node, generation), 1);
    process_kill(a);
    assert_int_equal(wm_starts_awaited(node, generation), 0);
    process_kill(master);
    assert_int_equal(wm_starts_awaited(node, generation), 0);
}

/* An upgrade that may be taken back: the old master has no workers left. */
NODE_TEST(a_master_whose_workers_have_left_may_start_some)
{
    struct process *upgrade = new_process(), *a = new_worker(generation), *b;
    int exits;

    assert_ok(call(upgrade, do_begin, 0));
    b = new_worker_of(upgrade, upgrade->seen->id);
    shut_down(a, generation, &exits);
    assert_int_equal(wm_starts_awaited(node, upgrade->seen->id), 2);
    assert_int_equal(wm_starts_awaited(node, generation), 0);
    shut_down(b, upgrade->seen->id, &exits);
}

CALL_OF(do_take_start, wm_generation_take_start(node, argument))
CALL_OF(do_leave_start, wm_generation_leave_start(node, argument))

NODE_TEST(a_master_leaves_its_start_to_one_worker)
{
    struct process *p[8];

    assert_int_equal(wm_generation_take_start(node, generation), 0);
    new_processes(p, 8);
    assert_int_equal(call(p[0], do_leave_start, generation), -EPERM);
    assert_ok(wm_generation_leave_start(node, generation));
    assert_int_equal(wm_generation_leave_start(node, generation + 1), -EPERM);
    assert_int_equal(call_all(p, 8, do_take_start, generation), 1);
    assert_int_equal(call_all(p, 8, do_take_start, generation), 0);
    assert_int_equal(call_all(p, 8, do_take_start, generation + 1), 0);
}

/* kinds: of the events that it gives. Returns its n_mine, or -1: no start. */
static long do_start_with(struct process *self, uint64_t kinds)
{
    struct wm_worker *worker = wm_node_worker(node);
    struct wm_event *event = &self->seen->event;
    int result = wm_start_begin(worker, (uint32_t)kinds);

    result = result != 0 ? result : wm_start_next(worker, event);
    return result == 1 ? event->counts.mine : result == 0 ? -1 : result;
}

NODE_TEST(a_start_counts_those_whose_start_was_given)
{
    const uint64_t kinds = 1u << WM_EVENT_WORKER_START;
    struct process *p[4];

    new_processes(p, 4);
    assert_ok(call_all(p, 4, do_join, generation));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(call(p[i], do_start_with, 0), -1);
    }
    assert_int_equal(counts_of(generation).mine, 3); /* all serve */
    process_kill(p[2]); /* its start is never given */
    assert_int_equal(call(p[3], do_start_with, kinds), 1);
    assert_int_equal(call(p[1], do_start_with, kinds), 2);
    assert_int_equal(call(p[0], do_start_with, kinds), 3);
    assert_int_equal(call(p[0], do_start_with, kinds), -1);
}

/* In a full table the new ones cannot join before the old ones leave. */
NODE_TEST(a_start_that_has_no_room_is_not_awaited)
{
    struct process *a;
    uint64_t next;

    node_restart(2);
    a = new_worker(generation);
    new_worker(generation);
    next = begin();
    assert_int_equal(wm_starts_awaited(node, generation), 0);
    process_leave(a);
    a = new_process();
    assert_ok(call(a, do_join_one_of_two, next));
    assert_int_equal(wm_starts_awaited(node, generation), 1);
    assert_ok(call(a, do_start, 0));
    assert_int_equal(wm_starts_awaited(node, generation), 0);
}

CALL_OF(do_retire, wm_worker_retire(wm_node_worker(node)))

/* Of one of two, and of a lone one; said twice, as a program may. */
NODE_TEST(a_worker_that_retires_is_replaced_by_a_respawn)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);
    int exits;

    for (int i = 0; i < 2; i++) {
        assert_ok(call(a, do_retire, 0));
        assert_ok(call(a, do_retire, 0));
        shut_down(a, generation, &exits);
        assert_int_equal(exits, i);
        assert_int_equal(a->seen->counts.reason, WM_REASON_RETIRE);
        a = i == 0 ? b : a;
    }
    for (int i = 0; i < 3; i++) {
        a = new_worker(generation);
        assert_int_equal(a->seen->counts.reason,
                         i < 2 ? WM_REASON_RESPAWN : WM_REASON_START);
    }
    shut_down(a, generation, &exits);
    assert_int_equal(a->seen->counts.reason, WM_REASON_STOP);
}

/* There is one more than are expected. Somebody has looked, then one died. */
TURN_TEST(a_start_looks_for_the_dead_if_it_may_replace_one)
{
    struct process *p[3];

    new_processes(p, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_ok(call(p[i], do_join_one_of_two, generation));
    }
    sweep();
    process_kill(p[1]);
    assert_ok(call(p[0], do_start, 0)); /* one of two */
    assert_int_equal(state_at(1), WM_JOINING);
    assert_ok(call(p[2], do_start, 0)); /* the third */
    assert_int_equal(state_at(1), WM_CRASHED);
}

/* The pid of one of the dead is another process's by now. */
TURN_TEST(an_exit_counts_the_dead_only_beside_the_living)
{
    struct process *p[4];

    for (size_t i = 0; i < 4; i++) {
        p[i] = new_worker(generation);
    }
    sweep();
    process_kill(p[1]);
    process_kill(p[2]);
    set_word(2, WM_LIVE, getpid(), wm_now());
    cold(2)->ident = wm_ident((uint32_t)getpid(), 1);
    assert_ok(call(p[0], do_exit, 0));
    assert_int_equal(p[0]->seen->counts.mine, 4);
    process_kill(p[3]);
    assert_ok(call(p[0], do_exit, 0));
    assert_int_equal(p[0]->seen->counts.mine, 1);
}
