/* SPDX-License-Identifier: Apache-2.0 */

/* A worker that says itself what ends it: it ends as it would have ended
 * without that, and those that are told get the signal or the exit code. */

#include "inside.h"

#include <sched.h>
#include <setjmp.h>

#ifdef __GLIBC__
#define EXIT_SEEN WM_CAUSE_EXIT
#else
#define EXIT_SEEN WM_CAUSE_UNKNOWN
#endif

static int *volatile nowhere = (int *)8;

ACT(store_nowhere, (void), *nowhere = 1)
ACT(abort_here, (void), abort())
ACT(exit_with_3, (void), exit(3))
ACT(leave_no_word, (void), _exit(4))
ACT(raise_trap, (void), raise(SIGTRAP))
ACT(raise_sys, (void), raise(SIGSYS))
ACT(raise_bus, (void), raise(SIGBUS))
ACT(raise_fpe, (void), raise(SIGFPE))
ACT(raise_segv, (void), raise(SIGSEGV))
ACT(raise_kill, (void), raise(SIGKILL))

/* Each call needs some of the stack, more than there is. */
static volatile long calls_left = LONG_MAX;

static int fall(volatile char *above);
static int (*volatile fall_on)(volatile char *) = fall;

static int fall(volatile char *above)
{
    volatile char here[4096];

    here[0] = (char)(above[0] + 1);
    return calls_left-- == 0 ? 0 : fall_on(here) + here[0];
}

ACT(overflow, (void), fall(&(volatile char){0}))

/* Not through the name: it is no function for a handler. */
static void (*volatile end)(int) = exit;

ACT(exit_1, (int signal), end(signal != 0))

static const struct row {
    const char *name;
    void (*act)(void);
    void (*handler)(int); /* of SIGSEGV, before */
    enum wm_cause cause;
    uint32_t code;
} ends[] = {
    {"a_fault_is_told", store_nowhere, NULL, WM_CAUSE_SIGNAL, SIGSEGV},
    {"an_overflow_of_the_stack_is_told", overflow, NULL, WM_CAUSE_SIGNAL,
     SIGSEGV},
    {"an_abort_is_told", abort_here, NULL, WM_CAUSE_SIGNAL, SIGABRT},
    {"a_trap_is_told", raise_trap, NULL, WM_CAUSE_SIGNAL, SIGTRAP},
    {"a_bad_system_call_is_told", raise_sys, NULL, WM_CAUSE_SIGNAL, SIGSYS},
    {"a_bus_error_is_told", raise_bus, NULL, WM_CAUSE_SIGNAL, SIGBUS},
    {"a_division_by_zero_is_told", raise_fpe, NULL, WM_CAUSE_SIGNAL, SIGFPE},
    {"a_fault_that_somebody_sends_ends_it_too", raise_segv, NULL,
     WM_CAUSE_SIGNAL, SIGSEGV},
    {"a_fault_whose_handler_exits_is_a_fault", store_nowhere, exit_1,
     WM_CAUSE_SIGNAL, SIGSEGV},
    {"an_exit_is_told", exit_with_3, NULL, EXIT_SEEN, 3},
    {"one_that_leaves_no_word_is_unknown", leave_no_word, NULL,
     WM_CAUSE_UNKNOWN, 0},
    {"one_that_is_killed_is_unknown", raise_kill, NULL, WM_CAUSE_UNKNOWN, 0},
};

/* CMocka has handlers of its own. */
static void drop_handlers(void)
{
    for (int i = 1; i < 32; i++) {
        signal(i, SIG_DFL);
    }
}

/* Ends this process by a row's act; a worker says so. */
static long do_end_by(UNUSED struct process *self, uint64_t number)
{
    const struct row *row = &ends[number];
    struct wm_worker *w = wm_node_worker(node);

    drop_handlers();
    if (row->handler != NULL) {
        signal(SIGSEGV, row->handler);
    }
    if (w != NULL && wm_worker_record_end(w) != 0) {
        _exit(99);
    }
    row->act();
    _exit(98); /* it has survived that */
}

/* How a process ends that does it. */
static int status_of(struct process *p, uint64_t number)
{
    const pid_t pid = p->pid;

    p->pid = 0;
    call_begin(&(struct process){.pid = pid, .ours = p->ours, .seen = p->seen},
               do_end_by, number);
    return child_status(pid);
}

static void test_end(void **state)
{
    const struct row *row = *state;
    const uint64_t number = (uint64_t)(row - ends);
    struct wm_event event;

    const int expected = status_of(new_process(), number);
    assert_int_equal(status_of(new_worker(generation), number), expected);
    sweep();
    event = take(CRASHED);
    assert_int_equal(event.ended.cause, row->cause);
    if (row->cause != WM_CAUSE_UNKNOWN) {
        assert_int_equal(event.ended.witness, WM_WITNESS_SELF);
        assert_int_equal(event.ended.code, row->code);
    }
}

NODE_TEST_EACH(ends, test_end)

/* ------------------------------------------------ others and their handlers */

static sigjmp_buf back;
static volatile int calls;

static void go_back(int signal, siginfo_t *info, UNUSED void *context)
{
    sigset_t mask;

    sigprocmask(SIG_BLOCK, NULL, &mask);
    calls = signal == SIGSEGV && info->si_addr == (void *)nowhere &&
            sigismember(&mask, SIGUSR1) && sigismember(&mask, SIGSEGV);
    siglongjmp(back, 1);
}

/* As a runtime does that survives faults of the programs that it runs. */
static bool survive_a_fault(void)
{
    if (sigsetjmp(back, 1) == 0) {
        *nowhere = 1;
    }
    return calls == 1;
}

static void set(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction own = {.sa_flags = SA_SIGINFO};

    own.sa_sigaction = handler;
    sigemptyset(&own.sa_mask);
    sigaddset(&own.sa_mask, SIGUSR1);
    sigaction(signal, &own, NULL);
}

static bool has(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction seen;

    sigaction(signal, NULL, &seen);
    return seen.sa_sigaction == handler;
}

/* In a process of its own, which joins. */
static long do_survive(UNUSED struct process *self, UNUSED uint64_t none)
{
    struct wm_worker *w = wm_node_worker(node);

    set(SIGSEGV, go_back);
    if (wm_worker_record_end(w) != 0 || !survive_a_fault()) {
        return 1;
    }
    wm_beat_at(w, wm_now() + 1);
    return 0;
}

NODE_TEST(a_fault_that_is_survived_is_no_end)
{
    struct process *p = new_worker(generation);

    assert_ok(call(p, do_survive, 0));
    assert_true(cold(0)->report != 0);
    process_kill(p);
    sweep();
    assert_int_equal(take(CRASHED).ended.cause, WM_CAUSE_UNKNOWN);
}

static long do_leave_restored(UNUSED struct process *self, uint64_t later)
{
    struct wm_worker *w = wm_node_worker(node);

    drop_handlers();
    set(SIGSEGV, go_back);
    signal(SIGSYS, SIG_IGN);
    for (int i = 0; i < 2; i++) {
        if (wm_worker_record_end(w) != 0 || has(SIGSEGV, go_back)) {
            return 1;
        }
    }
    if (later) {
        signal(SIGBUS, exit_1);
    }
    return wm_worker_leave(w) != 0 || !has(SIGSEGV, go_back) ||
           signal(SIGSYS, SIG_DFL) != SIG_IGN ||
           signal(SIGBUS, SIG_DFL) != (later ? exit_1 : SIG_DFL);
}

NODE_TEST(a_worker_that_leaves_gives_the_handlers_back)
{
    assert_ok(call(new_worker(generation), do_leave_restored, 0));
}

NODE_TEST(a_handler_that_was_set_since_stays)
{
    assert_ok(call(new_worker(generation), do_leave_restored, 1));
}

static struct sigaction ours;

static void call_ours(int signal, siginfo_t *info, void *context)
{
    shared->number++;
    ours.sa_sigaction(signal, info, context);
}

/* The program has set a handler since, which calls ours; then another worker
 * of it asks. */
static long do_ask_again(UNUSED struct process *self, UNUSED uint64_t none)
{
    struct wm_worker *w = wm_node_worker(node);

    drop_handlers();
    if (wm_worker_record_end(w) == 0) {
        sigaction(SIGSEGV, NULL, &ours);
        set(SIGSEGV, call_ours);
        wm_worker_record_end(w);
        *nowhere = 1;
    }
    _exit(98);
}

NODE_TEST(a_handler_that_calls_ours_is_called_once)
{
    struct process *p = new_worker(generation);
    const pid_t pid = p->pid;

    p->pid = 0;
    call_begin(&(struct process){.pid = pid, .ours = p->ours, .seen = p->seen},
               do_ask_again, 0);
    assert_int_equal(child_status(pid), -SIGSEGV);
    assert_int_equal(shared->number, 1);
    sweep();
    assert_int_equal(take(CRASHED).ended.code, SIGSEGV);
}

/* The child has the handlers, and is no worker. It may share all memory, as
 * after vfork. */
static int send_a_fault(UNUSED void *none)
{
    return kill(getpid(), SIGSEGV);
}

static long do_lose_a_child(UNUSED struct process *self, uint64_t shares)
{
    static char stack[65536];
    const int flags = (shares ? CLONE_VM | CLONE_VFORK : 0) | SIGCHLD;

    drop_handlers();
    if (wm_worker_record_end(wm_node_worker(node)) != 0) {
        return 1;
    }
    return child_status(clone(send_a_fault, stack + sizeof(stack), flags,
                              NULL)) != -SIGSEGV;
}

NODE_TEST(a_child_that_dies_says_nothing)
{
    struct process *p = new_worker(generation);

    for (uint64_t shares = 0; shares < 2; shares++) {
        assert_ok(call(p, do_lose_a_child, shares));
    }
    assert_true(cold(0)->report == 0);
}

NODE_TEST(only_a_worker_says_it)
{
    struct wm_worker *w = own_worker(generation);

    assert_ok(wm_worker_leave(w));
    assert_int_equal(wm_worker_record_end(w), -ECHILD);
}
