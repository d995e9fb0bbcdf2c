/* SPDX-License-Identifier: Apache-2.0 */

/* How a worker's process ended: what a witness says, who is told of it, and
 * what becomes of it while the record passes on. */

#include "inside.h"
#include "moments.h"

/* The status in which wait(2) tells of an exit code, and of a signal. */
#define EXITED(code) ((code) << 8)
#define SIGNALLED(signal) (signal)

static struct process *victim;
static pid_t pid; /* the victim's */

static void assert_end(struct wm_end end, enum wm_cause cause,
                       enum wm_witness witness, uint32_t code)
{
    assert_int_equal(end.cause, cause);
    assert_int_equal(end.witness, witness);
    assert_int_equal(end.code, code);
}

/* As a look at the record, the log's last entry and the event have it. */
static void assert_told(enum wm_cause cause, enum wm_witness witness,
                        uint32_t code)
{
    struct wm_worker_detail detail = {.size = sizeof(detail)};
    struct wm_log_entry last = {0};
    uint64_t since = wm_epoch(node) - 1u;
    uint32_t count;

    assert_ok(wm_worker_inspect(node, 0, record(0)->join, &detail));
    assert_end(detail.ended, cause, witness, code);
    assert_ok(wm_log_read(node, &since, &last, sizeof(last), 1, &count, NULL));
    assert_int_equal(last.pid, pid);
    assert_end(last.ended, cause, witness, code);
    assert_end(take(CRASHED).ended, cause, witness, code);
}

/* A worker that is dead, and of which nobody knows so far. */
static void lose(struct process *p)
{
    victim = p;
    pid = p->pid;
    process_kill(p);
}

static const struct row {
    const char *name;
    int status;
    enum wm_cause cause;
    uint32_t code;
} ends[] = {
    {"an_exit_is_told_with_its_code", EXITED(3), WM_CAUSE_EXIT, 3},
    {"an_exit_of_0_is_one_as_well", EXITED(0), WM_CAUSE_EXIT, 0},
    {"a_signal_is_told", SIGNALLED(SIGSEGV), WM_CAUSE_SIGNAL, SIGSEGV},
    {"a_signal_with_a_core_is_told", SIGNALLED(SIGABRT | 0x80), WM_CAUSE_SIGNAL,
     SIGABRT},
    {"sigkill_is_told_as_such", SIGNALLED(SIGKILL), WM_CAUSE_KILLED, SIGKILL},
};

static void test_end(void **state)
{
    const struct row *row = *state;

    lose(new_worker(generation));
    assert_int_equal(wm_worker_reaped(node, pid, row->status), 1);
    assert_told(row->cause, WM_WITNESS_PARENT, row->code);
}

NODE_TEST_EACH(ends, test_end)

NODE_TEST(what_nobody_saw_is_unknown)
{
    lose(new_worker(generation));
    sweep();
    assert_told(WM_CAUSE_UNKNOWN, WM_WITNESS_NONE, 0);
}

NODE_TEST(one_that_lives_has_no_end)
{
    struct process *p = new_worker(generation);

    own_worker(generation);
    stall(p);
    assert_end(take(STALLED).ended, WM_CAUSE_NONE, WM_WITNESS_NONE, 0);
}

NODE_TEST(a_witness_that_comes_after_the_mark_is_heard)
{
    lose(new_worker(generation));
    sweep();
    assert_int_equal(wm_worker_reaped(node, pid, SIGNALLED(SIGBUS)), 0);
    assert_told(WM_CAUSE_SIGNAL, WM_WITNESS_PARENT, SIGBUS);
}

/* The log tells of it, since nobody else is told any more. */
NODE_TEST(a_witness_that_comes_after_the_event_is_in_the_log)
{
    struct wm_log_entry last = {0};
    uint64_t since;
    uint32_t count;

    lose(new_worker(generation));
    sweep();
    assert_end(take(CRASHED).ended, WM_CAUSE_UNKNOWN, WM_WITNESS_NONE, 0);
    since = wm_epoch(node);
    assert_int_equal(wm_worker_reaped(node, pid, EXITED(1)), 0);
    assert_ok(wm_log_read(node, &since, &last, sizeof(last), 1, &count, NULL));
    assert_int_equal(last.kind, WM_LOG_WORKER_END);
    assert_end(last.ended, WM_CAUSE_EXIT, WM_WITNESS_PARENT, 1);
}

NODE_TEST(the_first_of_two_that_are_as_good_is_believed)
{
    lose(new_worker(generation));
    assert_int_equal(wm_worker_reaped(node, pid, EXITED(3)), 1);
    assert_int_equal(wm_worker_reaped(node, pid, EXITED(4)), 0);
    assert_told(WM_CAUSE_EXIT, WM_WITNESS_PARENT, 3);
}

/* A later worker had the same pid. */
NODE_TEST(of_two_with_one_pid_the_last_one_is_meant)
{
    lose(new_worker(generation));
    sweep();
    lose(new_worker(generation));
    sweep();
    set_word(0, WM_CRASHED, pid, beat_at(0));
    assert_int_equal(wm_worker_reaped(node, pid, EXITED(3)), 0);
    assert_end(take(CRASHED).ended, WM_CAUSE_UNKNOWN, WM_WITNESS_NONE, 0);
    assert_end(take(CRASHED).ended, WM_CAUSE_EXIT, WM_WITNESS_PARENT, 3);
}

/* ------------------------------------------------------------- in between */

/* Another process finds the death, it is given, and somebody takes the room. */
static void pass_on(void)
{
    sweep();
    take(CRASHED);
    own_worker(generation);
}

static void assert_new_one_has_no_end(void)
{
    struct wm_worker_detail detail = {.size = sizeof(detail)};

    assert_true(moment_came());
    assert_int_equal(state_at(0), WM_LIVE);
    assert_true((uint32_t)cold(0)->end == 0);
    set_state(0, WM_CRASHED);
    assert_ok(wm_worker_inspect(node, 0, record(0)->join, &detail));
    assert_end(detail.ended, WM_CAUSE_UNKNOWN, WM_WITNESS_NONE, 0);
    set_state(0, WM_LIVE);
}

NODE_TEST(the_next_worker_is_not_told_of_as_the_former)
{
    lose(new_only_worker());
    BEFORE(MOMENT_SWAP, cold(0)->end, pass_on);
    assert_int_equal(wm_worker_reaped(node, pid, EXITED(3)), 0);
    assert_new_one_has_no_end();
}

NODE_TEST(the_next_worker_is_not_told_of_by_a_late_look)
{
    lose(new_only_worker());
    BEFORE(MOMENT_LOAD, cold(0)->end, pass_on);
    assert_int_equal(wm_worker_reaped(node, pid, EXITED(3)), 0);
    assert_new_one_has_no_end();
}

NODE_TEST(an_end_is_of_the_one_that_was_proven_dead)
{
    lose(new_only_worker());
    BEFORE(MOMENT_LOAD, record(0)->join, pass_on);
    assert_int_equal(wm_worker_reaped(node, pid, EXITED(3)), 0);
    assert_new_one_has_no_end();
}

ACT(die, (void), _exit(0))

static long do_report_and_die(UNUSED struct process *self, uint64_t of)
{
    BEFORE(MOMENT_SWAP, record(0)->word, die);
    return wm_worker_reaped(node, (int32_t)of, SIGNALLED(SIGSEGV));
}

NODE_TEST(a_witness_that_dies_before_its_mark_is_heard)
{
    struct process *witness = new_process();

    lose(new_worker(generation));
    call_begin(witness, do_report_and_die, (uint64_t)pid);
    process_quit(witness);
    assert_int_equal(state_at(0), WM_LIVE);
    sweep();
    assert_told(WM_CAUSE_SIGNAL, WM_WITNESS_PARENT, SIGSEGV);
}
