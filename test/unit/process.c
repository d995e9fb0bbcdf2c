/* SPDX-License-Identifier: Apache-2.0 */

/* Which process lives: real ones, alive, zombies, reaped, stopped, and what is
 * left of the proof where the kernel refuses its better answers. Death is
 * proven, so that a process that cannot be seen is alive. And what the clocks
 * may show: a pause between two looks, a sleep of the machine, the moments
 * after boot and after 17 years. */

#include "process.h"
#include "clock.h"
#include "inside.h"
#include "word.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define PID_MAX ((UINT32_C(1) << WM_PID_BITS) - 1)

static uint64_t ident_of(pid_t pid)
{
    const uint64_t ident = wm_process_ident((uint32_t)pid);

    assert_int_equal(wm_ident_pid(ident), pid);
    assert_true(wm_ident_start(ident) != 0);
    return ident;
}

static bool is_dead(uint64_t ident)
{
    return wm_process_dead(ident, 0, WM_PROOF_FULL);
}

static bool is_quickly_dead(uint64_t ident)
{
    return wm_process_dead(ident, 0, WM_PROOF_QUICK);
}

/* By either proof. */
static bool is_alive(uint64_t ident)
{
    return !is_dead(ident) && !is_quickly_dead(ident);
}

TEST(a_pid_that_nobody_has_is_dead)
{
    assert_int_equal(kill((pid_t)PID_MAX, 0), -1);
    assert_int_equal(errno, ESRCH);
    assert_true(is_dead(wm_ident(PID_MAX, 1)));
    assert_true(is_quickly_dead(wm_ident(PID_MAX, 0)));
    assert_true(wm_process_ident(PID_MAX) == wm_ident(PID_MAX, 0));
    assert_true(is_dead(0));
    assert_true(is_quickly_dead(wm_ident(0, 1)));
    assert_true(wm_process_ident(0) == 0);
}

/* Not in an old kernel, nor in valgrind. */
static bool has_pidfd(void)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    return fd >= 0 && close(fd) == 0;
}

TEST(a_process_that_began_after_the_claim_is_not_the_claimant)
{
    const uint64_t before = wm_now() - 50;
    const pid_t pid = fork_sleeper();
    const uint64_t unknown = wm_ident((uint32_t)pid, 0);

    assert_true(wm_process_dead(unknown, before, WM_PROOF_FULL));
    /* That proof is the full one's, where there is a quicker one. */
    assert_int_equal(wm_process_dead(unknown, before, WM_PROOF_QUICK),
                     !has_pidfd());
    assert_true(wm_process_dead(unknown, 1, WM_PROOF_FULL));
    /* Nor is one dead that is older than the claim, or where there is none. */
    assert_false(wm_process_dead(unknown, wm_now(), WM_PROOF_FULL));
    assert_false(wm_process_dead(unknown, UINT64_C(1) << 39, WM_PROOF_FULL));
    assert_false(wm_process_dead(unknown, 0, WM_PROOF_FULL));
    /* If the start is known, the claim adds nothing. */
    assert_false(wm_process_dead(wm_self_ident(), 1, WM_PROOF_FULL));
    kill_and_reap(pid);
}

TEST(a_name_with_parentheses_hides_nothing)
{
    static const char *const names[] = {") (", ") Z 1 1 1", "a) Z 0 (b",
                                        ")",   " ",         "((((((((((((((("};
    const uint64_t self = ident_of(getpid());
    char old[17] = "";

    prctl(PR_GET_NAME, old);
    for (size_t i = 0; i < COUNT(names); i++) {
        prctl(PR_SET_NAME, names[i]);
        if (wm_process_ident((uint32_t)getpid()) != self || is_dead(self)) {
            fail_msg("misread with the name '%s'", names[i]);
        }
    }
    prctl(PR_SET_NAME, old);
}

/* False: the kernel does not let itself be told to. */
static bool forbid_pidfd(uint32_t error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {COUNT(code), code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
           syscall(SYS_pidfd_open, getpid(), 0) == -1 && errno == (int)error;
}

/* If pidfd cannot be forbidden, the tests of the refusal itself say so. */
static int lives_without_pidfd(const void *argument)
{
    const uint64_t ident = *(const uint64_t *)argument;

    HOLDS(!forbid_pidfd(ENOSYS) || is_alive(ident));
    return 0;
}

static void *sleep_in_a_thread(UNUSED void *argument)
{
    for (;;) {
        pause();
    }
    return NULL;
}

TEST(a_process_that_lost_its_first_thread_is_alive)
{
    pthread_t thread;
    uint64_t ident;
    pid_t pid = fork_child();

    if (pid == 0) {
        if (pthread_create(&thread, NULL, sleep_in_a_thread, NULL) == 0) {
            syscall(SYS_exit, 0); /* this thread alone */
        }
        _exit(1);
    }
    ident = ident_of(pid);
    await(process_state(pid) == 'Z');
    assert_true(is_alive(ident));
    assert_check(lives_without_pidfd, &ident);
    kill_and_reap(pid);
    assert_true(is_dead(ident));
}

static struct {
    uint64_t living, zombie, reaped, other;
} ident; /* of processes in each state */

static void make_processes(void)
{
    pid_t zombie = fork_sleeper(), reaped = fork_sleeper();

    ident.living = ident_of(getpid());
    ident.other = ident.living + 1;
    ident.zombie = ident_of(zombie);
    ident.reaped = ident_of(reaped);
    kill_unreaped(zombie);
    kill_and_reap(reaped);
}

static int tells_all_apart(const void *forbidden)
{
    const uint32_t error = *(const uint32_t *)forbidden;

    if (error != 0 && !forbid_pidfd(error)) {
        return CHECK_IMPOSSIBLE;
    }
    HOLDS(is_alive(ident.living));
    HOLDS(is_dead(ident.zombie) && is_quickly_dead(ident.zombie));
    HOLDS(is_dead(wm_ident(wm_ident_pid(ident.zombie), 0)));
    HOLDS(is_dead(ident.reaped) && is_quickly_dead(ident.reaped));
    HOLDS(is_dead(ident.other));
    return 0;
}

TEST(the_dead_are_told_by_pidfd_or_without_it_by_kill_and_proc)
{
    static const uint32_t errors[] = {0, EPERM, ENOSYS, EMFILE};

    make_processes();
    for (size_t i = 0; i < COUNT(errors); i++) {
        assert_or_skip(run_check(tells_all_apart, &errors[i]),
                       "no seccomp filter here");
    }
}

static int proves_what_kill_proves(UNUSED const void *argument)
{
    HOLDS(limit_descriptors(0) == 0);
    HOLDS(wm_ident_start(wm_process_ident(wm_ident_pid(ident.living))) == 0);
    HOLDS(is_alive(ident.living));
    HOLDS(is_dead(ident.reaped) && is_quickly_dead(ident.reaped));
    /* Neither can be seen, so neither is dead. */
    HOLDS(!is_dead(ident.zombie));
    HOLDS(!is_dead(ident.other));
    return 0;
}

TEST(without_descriptors_only_the_gone_are_dead)
{
    make_processes();
    assert_check(proves_what_kill_proves, NULL);
}

static int spares_one_that_may_not_be_signalled(const void *argument)
{
    const uint64_t roots = *(const uint64_t *)argument;

    HOLDS(setuid(NOBODY) == 0);
    HOLDS(kill((pid_t)wm_ident_pid(roots), 0) == -1 && errno == EPERM);
    HOLDS(is_alive(roots));
    return lives_without_pidfd(argument);
}

TEST(another_users_process_is_alive)
{
    const uint64_t self = wm_self_ident();

    test_as_two_users();
    assert_check(spares_one_that_may_not_be_signalled, &self);
}

#define LIMIT (UINT64_C(1) << WM_BEAT_BITS) /* of a beat: 17 years */

#define CLOCK_TEST(name) TEST_WITH(node_set_up, clock_tear_down, name)

static bool is_claimant_dead(uint32_t pid, uint64_t claimed_ms)
{
    return wm_process_dead(wm_ident(pid, 0), claimed_ms, WM_PROOF_FULL);
}

/* Judged by the clock alone: a claimant whose start time is not known. The
 * machine was once asleep, and the judge is stopped between two looks at the
 * clock. */
CLOCK_TEST(a_pause_of_the_judge_kills_no_claimant_and_puts_no_beat_ahead)
{
    const uint32_t pid = (uint32_t)new_worker(begin())->pid;
    const uint64_t start_ms = wm_ident_start(wm_process_ident(pid)) * 1000 /
                              (uint64_t)sysconf(_SC_CLK_TCK);
    const uint64_t claimed_ms = start_ms - 2000 + 5;

    assert_true(start_ms > 3000);
    fake_clock.asleep_ms = 2000;
    assert_false(is_claimant_dead(pid, claimed_ms));
    /* One that claimed long before this process began is another. */
    assert_true(is_claimant_dead(pid, claimed_ms - 505));
    fake_clock.pause_ms = 1000;
    assert_false(is_claimant_dead(pid, claimed_ms));
    /* The worker beat while its sweeper was stopped. */
    put_ahead(0);
    fake_clock.pause_ms = 3600000;
    assert_int_equal(sweep(), 0);
}

CLOCK_TEST(a_life_is_led_just_after_boot_and_after_17_years)
{
    static const uint64_t times[] = {0, LIMIT - 2000, LIMIT, LIMIT + 1000};

    for (size_t i = 0; i < COUNT(times); i++) {
        struct wm_worker *worker;

        fake_clock.frozen_ms = times[i] + 1; /* 0: it would go on */
        /* The bits of its claim may be a moment long before it began. */
        assert_false(
            is_claimant_dead((uint32_t)getpid(), wm_word_beat(times[i])));
        node->joined = false;
        worker = own_worker(begin());
        set_overdue(0, 60000);
        fake_clock.frozen_ms += 4000;
        sweep();
        assert_int_equal(state_at(0), WM_LIVE); /* also over the limit */
        assert_ok(wm_tick(worker, 1));
        assert_int_equal(wm_sweep(node, worker), 0);
        assert_ok(wm_exit_run(worker, NULL, NULL, NULL));
        assert_int_equal(generation_of(node->begun).exits_given, 1);
        assert_ok(wm_worker_leave(worker));
    }
}
