/* SPDX-License-Identifier: Apache-2.0 */

/* Events are owed, then given: once, to one process, whatever dies. */

#include "inside.h"

#define MINUTE ((uint64_t)60 * 1000)

/* Kills a worker, which a sweep finds. */
ACT(crash, (struct process * p), process_kill(p); sweep())

/* The next entry of the log tells that this worker was forgotten. */
static void assert_forgotten(uint64_t since, uint64_t join)
{
    struct wm_log_entry entry = {0};
    uint32_t count;

    assert_ok(
        wm_log_read(node, &since, &entry, sizeof(entry), 1, &count, NULL));
    assert_int_equal(entry.kind, WM_LOG_WORKER_FORGOTTEN);
    assert_int_equal(entry.value, join);
}

NODE_TEST(a_crash_is_kept_until_it_was_told_and_has_expired)
{
    uint32_t epoch;

    crash(new_worker(generation));
    set_word(0, WM_CRASHED, 77, 1);
    set_overdue(0, 1);
    assert_int_equal(sweep(), 0); /* expired, not told */
    take(CRASHED);
    set_overdue(0, NEVER_OVERDUE - 1);
    assert_int_equal(sweep(), 0);  /* told, not expired */
    set_overdue(0, NEVER_OVERDUE); /* as after the usual time */
    epoch = wm_epoch(node);
    assert_int_equal(sweep(), 1);
    assert_int_equal(state_at(0), WM_FREE);
    assert_forgotten(epoch, 1); /* and those who wait are woken */
}

NODE_TEST(a_death_after_the_drain_is_an_event_of_its_own_and_counts_nowhere)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);
    struct wm_event event;

    assert_ok(call(a, do_drain, 0));
    crash(a);
    assert_int_equal(wm_events_owed(node, CRASHED), 0);
    event = take(1u << WM_EVENT_CRASHED_DRAINING);
    assert_int_equal(event.generation, generation);
    assert_int_equal(event.join, 1);
    assert_int_equal(wm_events_owed(node, ~0u), 0);
    assert_int_equal(generation_of(generation).deaths, 0);
    assert_ok(call(b, do_start, 0));
    assert_int_equal(b->seen->counts.mine, 1);
    assert_int_equal(b->seen->counts.reason, WM_REASON_START);
}

NODE_TEST(a_crash_makes_room_when_it_was_told_and_at_last_when_it_has_expired)
{
    uint32_t epoch;

    node_restart(2);
    process_kill(new_worker(generation));
    process_kill(new_worker(generation));
    assert_int_equal(call(new_process(), do_join, generation), -ENOBUFS);
    assert_non_null(strstr(wm_strerror(-ENOBUFS), "crashes nobody has taken"));
    assert_int_equal(state_at(0), WM_CRASHED);
    make_late(0);
    cold(1)->given = wm_given_and_crash(cold(1)->given);
    for (uint32_t slot = 2; slot-- > 0;) {
        epoch = wm_epoch(node);
        assert_int_equal(slot_of(record_of(new_worker(generation)->pid)), slot);
        assert_forgotten(epoch, slot + 1);
    }
    assert_int_equal(header()->dropped, 2);
}

NODE_TEST(an_intervals_sweep_believes_the_beats_of_the_interval)
{
    static const struct {
        uint64_t back;
        enum wm_state then;
    } table[] = {{0, WM_LIVE},
                 {MINUTE + 1, WM_CRASHED},
                 {(uint64_t)-2 * MINUTE, WM_CRASHED},
                 {MINUTE + 1, WM_STALLED}}; /* which lives, and is late */
    struct process *a[4];
    struct wm_worker *own;

    for (uint32_t i = 0; i < 4; i++) {
        a[i] = new_worker(generation);
        set_back(i, table[i].back);
    }
    set_overdue(3, MINUTE);
    own = own_worker(generation);
    for (int i = 0; i < 3; i++) {
        process_kill(a[i]);
    }
    header()->next_sweep = 0;
    assert_ok(wm_tick(own, MINUTE));
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(state_at(i), table[i].then);
    }
    set_back(0, MINUTE);
    header()->next_sweep = 0;
    assert_ok(wm_tick(own, MINUTE)); /* in this interval it has not beaten */
    assert_int_equal(state_at(0), WM_CRASHED);
}

NODE_TEST(a_helpers_crash_is_no_workers_death_nor_its_start_a_respawn)
{
    struct process *a, *helper = new_helper(generation);

    process_kill(helper);
    a = new_worker(generation);
    assert_int_equal(a->seen->counts.reason, WM_REASON_START);
    assert_int_equal(take(CRASHED).role, WM_ROLE_HELPER);
    assert_int_equal(generation_of(generation).deaths, 0);
    crash(new_worker(generation));
    assert_int_equal(take(CRASHED).role, WM_ROLE_WORKER);
    helper = new_helper(generation);
    assert_int_equal(helper->seen->counts.reason, WM_REASON_START);
    assert_ok(call(a, do_start, 0)); /* asked for again, it is none either */
    a = new_worker(generation);
    assert_int_equal(a->seen->counts.reason, WM_REASON_RESPAWN);
    /* Nor is one that replaces a worker which had not started. */
    a = new_process();
    assert_ok(call(a, do_join, generation));
    crash(a);
    a = new_worker(generation);
    assert_int_equal(a->seen->counts.reason, WM_REASON_START);
}

NODE_TEST(a_stall_is_told_once_and_then_its_recovery_counts)
{
    struct process *a = new_worker(generation);

    stall(a);
    assert_int_equal(take(STALLED).pid, a->pid);
    assert_none_to_take(STALLED);
    assert_int_equal(call(a, do_beat, 0), WM_RECOVERED);
    assert_none_to_take(STALLED);
    /* Twice before anybody tells it. */
    stall(a);
    assert_int_equal(call(a, do_beat, 0), WM_RECOVERED);
    stall(a);
    assert_int_equal(wm_events_owed(node, STALLED), 1);
    take(STALLED);
    take(STALLED);
    assert_none_to_take(STALLED);
}

CALL_OF(do_take_recovery, wm_worker_recovery_take(wm_node_worker(node)))

NODE_TEST(a_drain_out_of_a_stall_is_a_recovery_of_one_that_has_its_record)
{
    struct process *a = new_only_worker();

    stall(a);
    assert_ok(call(a, do_drain, 0));
    assert_int_equal(call(a, do_take_recovery, 0), 0); /* not told yet */
    take(STALLED);
    assert_none_to_take(STALLED);
    assert_int_equal(call(a, do_take_recovery, 0), 1);
    assert_int_equal(call(a, do_take_recovery, 0), 0);
    /* Another takes the only record, and has not written all of it. */
    set_word(0, WM_CLAIMED, getpid(), wm_now());
    record(0)->stalls = wm_stalls(2, 0);
    assert_int_equal(call(a, do_take_recovery, 0), 0);
}

/* At its first sweep it cannot tell whether it was late, as all may have been;
 * the dead it finds, also where its own record was. */
NODE_TEST(a_worker_that_lost_its_record_knows_by_its_sweeps_if_it_was_late)
{
    struct process *former, *a, *next;

    node_restart(2);
    former = new_worker(generation);
    a = new_worker(generation);
    assert_ok(call(former, do_drain, 0));
    next = new_worker(generation); /* takes its record */
    set_overdue(1, 1000);
    set_back(1, 5000);
    assert_int_equal(call(former, do_sweep, 0), 0);
    assert_int_equal(state_at(1), WM_LIVE);
    process_kill(next);
    assert_int_equal(call(former, do_sweep, 0), 2);
    assert_int_equal(take(CRASHED).slot, 0);
    assert_int_equal(take(STALLED).pid, a->pid);
}

/* Nothing more is given then. */
static void count_and_let_go(UNUSED const struct wm_event *event, void *count)
{
    ++*(int *)count;
    assert_ok(wm_lock_release(node));
}

NODE_TEST(a_sweep_gives_under_the_lock_and_nothing_without_it)
{
    struct process *a = new_worker(generation), *b = new_process();
    int told = 0;

    process_kill(a);
    crash(new_worker(generation));
    assert_ok(call(b, do_lock, 0));
    assert_int_equal(wm_events_give(node, NULL, count_and_let_go, &told), 0);
    assert_int_equal(told, 0); /* the lock is held: it stays owed */
    assert_ok(call(b, do_unlock, 0));
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(wm_events_give(node, NULL, count_and_let_go, &told),
                         1);
        assert_int_equal(told, i);
    }
}

NODE_TEST(a_death_that_its_parent_reports_is_owed_at_once)
{
    struct process *p = new_worker(generation), *gone = new_worker(generation);
    const pid_t pid = gone->pid;

    process_kill(gone);
    assert_int_equal(wm_worker_reaped(node, p->pid, SIGKILL), 0); /* it lives */
    assert_int_equal(wm_worker_reaped(node, pid, SIGSTOP << 8 | 0x7f), 0);
    assert_none_to_take(CRASHED);
    assert_int_equal(wm_worker_reaped(node, pid, SIGKILL), 1);
    assert_int_equal(wm_worker_reaped(node, pid, SIGKILL), 0);
    assert_int_equal(take(CRASHED).pid, pid);
    assert_int_equal(wm_worker_reaped(node, 0, 0), -EINVAL);
}
