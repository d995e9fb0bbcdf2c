/* SPDX-License-Identifier: Apache-2.0 */

/* Others act between two steps of one operation on a worker's record, the
 * lead, the lock or the log. */

#include "clock.h"
#include "inside.h"
#include "log.h"
#include "moments.h"

static struct wm_worker *own;
static struct process *other, *rival;

static long do_join_and_stop(struct process *self, uint64_t id)
{
    fake_clock.coarse_s = -1;
    BEFORE(MOMENT_STORE, record(0)->join, stop_here);
    return do_join(self, id);
}

/* Its process began a moment ago, by a clock that is not behind. */
TIMED_TEST(a_claimant_lives_though_a_clock_lags)
{
    node_restart(1);
    other = new_process();
    call_begin(other, do_join_and_stop, generation);
    await_stop(other);
    sweep();
    assert_int_equal(state_at(0), WM_CLAIMED);
    process_continue(other);
    assert_ok(call_end(other));
}

/* The test's own process sleeps in the kernel. */
static long do_unlock_when_it_sleeps(struct process *self, uint64_t of)
{
    await(process_state((pid_t)of) == 'S');
    return do_unlock(self, 0);
}

ACT(leap, (void), fake_clock.coarse_s = 100)

TIMED_TEST(a_wait_goes_by_the_fine_clock)
{
    other = new_process();
    assert_ok(call(other, do_lock, 0));
    BEFORE(MOMENT_ANY, header()->lock.probers, leap);
    call_begin(other, do_unlock_when_it_sleeps, (uint64_t)getpid());
    assert_ok(lock_with(.wait_ms = 60000));
    assert_true(moment_came());
    assert_ok(call_end(other));
    assert_ok(wm_lock_release(node));
}

static int other_beat;

ACT(beat_meanwhile, (void), other_beat = wm_beat(own))

ACT(lose_the_record, (void), set_word(0, WM_LIVE, 1, 9))

/* Beats out of a stall, when it has seen the stall and something else comes
 * before its swap. */
static int beat_when(moment_fn *act)
{
    int result;

    own = own_worker(generation);
    set_state(0, WM_STALLED);
    BEFORE(MOMENT_SWAP, record(0)->word, act);
    result = wm_beat_at(own, beat_at(0) + 1);
    assert_true(moment_came());
    return result;
}

TIMED_TEST(the_second_of_two_beats_out_of_a_stall_is_no_failure)
{
    assert_int_equal(beat_when(beat_meanwhile), 0);
    assert_int_equal(other_beat, WM_RECOVERED);
    assert_int_equal(state_at(0), WM_LIVE);
    assert_int_equal(stalls_at(0), 1);
}

TIMED_TEST(a_beat_whose_record_is_anothers_by_then_is_told)
{
    assert_int_equal(beat_when(lose_the_record), -ESTALE);
    assert_true(word_at(0) == wm_word(WM_LIVE, 1, 9));
}

/* As another thread does, or as its owner does while a handler beats. */
ACT(leave_and_join_again, (void), assert_ok(wm_worker_drain(own));
    assert_ok(wm_worker_leave(own)); own = own_worker(generation))

TIMED_TEST(a_stall_is_counted_for_the_joining_that_had_it)
{
    own = own_worker(generation);
    set_state(0, WM_STALLED);
    BEFORE(MOMENT_SWAP, record(0)->stalls, leave_and_join_again);
    wm_beat(own);
    assert_true(moment_came());
    assert_int_equal(stalls_at(0), 0);
    assert_int_equal(wm_events_owed(node, ~0u), 0);
}

/* In a handler, say, each in another millisecond. */
static void beat_many_times(void)
{
    assert_true(wm_beat(own) >= 0);
    if (fake_clock.coarse_s++ < 40) {
        BEFORE(MOMENT_SWAP, record(0)->word, beat_many_times);
    }
}

TIMED_TEST(a_worker_that_leaves_while_it_beats_has_left)
{
    own = own_worker(generation);
    beat_many_times();
    assert_ok(wm_worker_leave(own));
    assert_true(moment_came());
    assert_int_equal(state_at(0), WM_FREE);
}

ACT(die, (void), _exit(0))

/* It has written its role to the hot line when it comes to the cold one. */
static long do_die_claiming(struct process *self, uint64_t id)
{
    BEFORE(MOMENT_STORE, *cold(0), die);
    return do_join_helper(self, id);
}

ACT(leave_to_one_that_dies_claiming, (void),
    assert_ok(call(other, do_leave, 0));
    call_begin(rival, do_die_claiming, generation); process_quit(rival);
    assert_int_equal(state_at(0), WM_CLAIMED))

static uint32_t steps_before; /* of the taker */
static moment_fn *act_beside;

static void await_step(void)
{
    moment_set(MOMENT_ANY, record(0),
               (size_t)((char *)(cold(0) + 1) - (char *)record(0)),
               steps_before-- > 0 ? await_step : act_beside);
}

/* Takes a stall; others act before the taker's step of that number. False: it
 * has no such step any more. If there is an event, all of it is the stalled
 * worker's. */
static bool take_beside(uint32_t step, moment_fn *act, int *taken)
{
    struct wm_event e = {.size = sizeof(e)}, all = {.size = sizeof(e)};

    other = new_worker(generation);
    rival = new_process();
    stall(other);
    all.kind = WM_EVENT_STALLED;
    all.generation = generation;
    all.pid = other->pid;
    all.join = record(0)->join;
    all.spell = (uint32_t)cold(0)->spell;
    steps_before = step;
    act_beside = act;
    await_step();
    *taken = wm_event_take(node, STALLED, &e);
    if (*taken == 1) {
        assert_memory_equal(&e, &all, sizeof(e));
    }
    return moment_came();
}

TIMED_TEST(nothing_is_told_of_two_while_the_second_claims)
{
    uint32_t step = 0;
    int taken;

    while (take_beside(step, leave_to_one_that_dies_claiming, &taken)) {
        sweep();
        assert_int_equal(state_at(0), WM_FREE);
        process_kill(other);
        step++;
    }
    assert_int_equal(taken, 1);
    assert_true(step >= 5);
}

ACT(take_it, (void), assert_int_equal(call(rival, do_take_event, STALLED), 1))

TIMED_TEST(an_event_that_another_takes_meanwhile_is_not_taken_twice)
{
    int taken;

    for (uint32_t i = 0; take_beside(i, take_it, &taken); i++) {
        assert_int_equal(taken, 0);
        process_leave(other);
        process_quit(rival);
    }
    assert_int_equal(taken, 1);
}

/* To one that gives it up, twice, then to one that keeps it. */
static void pass_the_lead_on(void)
{
    rival = new_worker(generation);
    assert_int_equal(call(rival, do_stand, 0), 1);
    if (rival->seen->leader.term < 3) {
        assert_ok(call(rival, do_drain, 0));
        BEFORE(MOMENT_SWAP, header()->leader.word, pass_the_lead_on);
    }
}

TIMED_TEST(a_worker_that_lost_the_lead_is_told_who_has_it)
{
    struct wm_leader leader = {.size = sizeof(leader)};

    own = own_worker(generation);
    BEFORE(MOMENT_SWAP, header()->leader.word, pass_the_lead_on);
    assert_int_equal(wm_leader_stand(own, &leader), 0);
    assert_true(moment_came());
    assert_int_equal(leader.pid, rival->pid);
    assert_int_equal(leader.term, 3);
}

/* The one that is named comes back when another leads. */
ACT(lead_and_come_back, (void), assert_int_equal(call(rival, do_stand, 0), 1);
    assert_int_equal(call(other, do_beat, 0), WM_RECOVERED))

TIMED_TEST(a_leader_is_told_that_led_at_that_moment)
{
    struct wm_leader leader;

    other = new_worker(generation);
    rival = new_worker(generation);
    assert_int_equal(call(other, do_stand, 0), 1);
    stall(other);
    BEFORE(MOMENT_LOAD, header()->leader.slot, lead_and_come_back);
    leader = leader_now();
    assert_true(moment_came());
    assert_int_equal(leader.pid, rival->pid);
    assert_int_equal(leader.term, 2);
}

/* Of the next generation, where a live worker was. */
ACT(claim_for_the_next, (void), set_live(1, 1001, generation + 1);
    set_word(1, WM_CLAIMED, 2, 1))

TIMED_TEST(a_claimant_for_a_newer_generation_is_not_live)
{
    struct wm_leader leader = {.size = sizeof(leader)};

    own = own_worker(generation);
    set_live(1, 1000, generation);
    BEFORE(MOMENT_LOAD, record(1)->generation, claim_for_the_next);
    assert_int_equal(wm_leader_stand(own, &leader), 1);
    assert_true(moment_came());
    assert_int_equal(state_at(1), WM_CLAIMED);
}

ACT(pass_the_lock_on, (void), assert_ok(call(other, do_unlock, 0));
    assert_ok(call(rival, do_try, 0)))

TIMED_TEST(a_lock_that_passes_on_meanwhile_is_one_holders)
{
    struct wm_lock_holder seen = {.size = sizeof(seen)};

    other = new_process();
    rival = new_process();
    assert_ok(call(other, do_lock, 0));
    BEFORE(MOMENT_LOAD, header()->lock.holder_since, pass_the_lock_on);
    wm_lock_inspect(node, &seen);
    assert_true(moment_came());
    assert_int_equal(seen.pid, rival->pid);
    assert_int_equal(seen.purpose, 2);
    assert_int_equal(seen.sequence, 2);
}

static long do_hold_anew(struct process *self, uint64_t seconds)
{
    do_unlock(self, 0);
    fake_clock.shift_s += (time_t)seconds;
    return do_lock(self, 0);
}

static int holdings;

/* Each holder keeps the lock for less than the waiter grants, all of them for
 * longer. */
static void hold_anew(void)
{
    fake_clock.shift_s += 1000;
    if (++holdings < 4) {
        assert_ok(call(other, do_hold_anew, 1000));
        BEFORE(MOMENT_LOAD, header()->lock.wake, hold_anew);
    } else {
        assert_ok(call(other, do_unlock, 0));
    }
}

TIMED_TEST(the_limit_on_holding_is_each_holders)
{
    other = new_process();
    assert_ok(call(other, do_lock, 0));
    BEFORE(MOMENT_LOAD, header()->lock.wake, hold_anew);
    assert_ok(lock_with(.hold_ms = 1500000));
    assert_int_equal(holdings, 4);
}

ACT(write_an_entry, (void),
    wm_log_append(node, WM_LOG_LEADER, 1, 1, 1, WM_NO_SLOT))

/* Each read finds that what it wanted to read first is overwritten. */
TIMED_TEST(a_reader_at_the_tail_of_the_log_gets_on)
{
    struct wm_log_entry list[4];
    uint64_t since = 0, missed;
    uint32_t count;

    for (int i = 1; i < 300; i++) {
        write_an_entry();
    }
    moment_set(MOMENT_LOAD, node->segment.log, 256 * sizeof(*node->segment.log),
               write_an_entry);
    assert_ok(
        wm_log_read(node, &since, list, sizeof(*list), 4, &count, &missed));
    assert_true(moment_came());
    assert_int_equal(count, 4);
    assert_int_equal(list[0].number, 301 - 256 + 1);
    assert_int_equal(missed, 301 - 256);
}
