/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Who lives: real processes, alive, zombies, reaped, stopped, and what is
 * left of the proof where the kernel refuses its better answers. Death is
 * proven, so whatever cannot be seen is alive. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "process.h"
#include "word.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define PID_MAX ((UINT32_C(1) << 22) - 1)

/* ---------------------------------------------------------------- children */

static pid_t child; /* of the test that runs; the teardown ends it */

static int end_child(void **state)
{
    (void)state;
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        child = 0;
    }
    return 0;
}

/* Forks a child that waits for its death, or for the test's. */
static pid_t fork_sleeper(void)
{
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            pause();
        }
    }
    assert_true(child > 0);
    return child;
}

/* Ends the child and leaves it unreaped. */
static void zombify(void)
{
    siginfo_t info;

    kill(child, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
}

static uint64_t ident_of(pid_t pid)
{
    const uint64_t ident = wm_process_ident((uint32_t)pid);

    assert_int_equal(wm_ident_pid(ident), pid);
    assert_true(wm_ident_start(ident) != 0);
    return ident;
}

static bool dead(uint64_t ident)
{
    return wm_process_dead(ident, 0, WM_PROOF_FULL);
}

static bool quickly_dead(uint64_t ident)
{
    return wm_process_dead(ident, 0, WM_PROOF_QUICK);
}

/* ------------------------------------------------------------------- plain */

static void the_own_process_lives_and_knows_its_start(void **state)
{
    const uint64_t self = wm_self_ident();

    (void)state;
    assert_int_equal(wm_ident_pid(self), getpid());
    assert_true(wm_ident_start(self) != 0);
    assert_true(self == wm_process_ident((uint32_t)getpid()));
    assert_false(dead(self));
    assert_false(quickly_dead(self));
}

static int has_an_ident_of_its_own(const void *argument)
{
    const uint64_t parents = *(const uint64_t *)argument;

    HOLDS(wm_ident_pid(wm_self_ident()) == wm_ident_pid(parents));
    wm_self_forget();
    HOLDS(wm_ident_pid(wm_self_ident()) == (uint32_t)getpid());
    HOLDS(wm_self_ident() != parents);
    HOLDS(!dead(parents));
    return 0;
}

static void a_forked_child_that_forgets_knows_itself(void **state)
{
    const uint64_t self = wm_self_ident();

    (void)state;
    assert_int_equal(place_run(has_an_ident_of_its_own, &self), 0);
}

static void a_living_child_is_alive(void **state)
{
    const uint64_t ident = ident_of(fork_sleeper());

    (void)state;
    assert_false(dead(ident));
    assert_false(quickly_dead(ident));
}

static void a_stopped_child_is_alive(void **state)
{
    const uint64_t ident = ident_of(fork_sleeper());
    siginfo_t info;

    (void)state;
    kill(child, SIGSTOP);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WSTOPPED), 0);
    assert_false(dead(ident));
    assert_false(quickly_dead(ident));
}

static void a_zombie_is_dead(void **state)
{
    const uint64_t ident = ident_of(fork_sleeper());

    (void)state;
    zombify();
    assert_true(quickly_dead(ident));
    assert_true(dead(ident));
    assert_true(dead(wm_ident((uint32_t)child, 0)));
}

static void a_reaped_child_is_dead(void **state)
{
    const pid_t pid = fork_sleeper();
    const uint64_t ident = ident_of(pid);

    end_child(state);
    assert_true(quickly_dead(ident));
    assert_true(dead(ident));
    assert_int_equal(wm_ident_start(wm_process_ident((uint32_t)pid)), 0);
}

static void no_pid_is_no_process(void **state)
{
    (void)state;
    assert_true(dead(0));
    assert_true(quickly_dead(wm_ident(0, 1)));
    assert_int_equal(wm_process_ident(0), 0);
}

static void a_pid_that_nobody_has_is_dead(void **state)
{
    (void)state;
    assert_int_equal(kill((pid_t)PID_MAX, 0), -1);
    assert_int_equal(errno, ESRCH);
    assert_true(dead(wm_ident(PID_MAX, 1)));
    assert_true(quickly_dead(wm_ident(PID_MAX, 0)));
    assert_true(wm_process_ident(PID_MAX) == wm_ident(PID_MAX, 0));
}

/* -------------------------------------------------------------- start time */

static void another_start_time_is_another_process(void **state)
{
    const pid_t pid = fork_sleeper();
    const uint64_t start = wm_ident_start(ident_of(pid));

    (void)state;
    assert_true(dead(wm_ident((uint32_t)pid, start - 1)));
    assert_true(dead(wm_ident((uint32_t)pid, start + 1)));
    /* That proof is the full one's, where there is a quicker one. */
    assert_int_equal(quickly_dead(wm_ident((uint32_t)pid, start - 1)),
                     !place_has_pidfd());
    /* Where the start is known the claim adds nothing. */
    assert_false(
        wm_process_dead(wm_ident((uint32_t)pid, start), 1, WM_PROOF_FULL));
}

static void
a_process_that_began_after_the_claim_is_not_the_claimant(void **state)
{
    const struct timespec tick = {.tv_nsec = 50000000};
    const uint64_t before = wm_now();
    uint64_t unknown;

    (void)state;
    nanosleep(&tick, NULL); /* what is tested is that time has passed */
    unknown = wm_ident((uint32_t)fork_sleeper(), 0);
    assert_true(wm_process_dead(unknown, before, WM_PROOF_FULL));
    assert_int_equal(wm_process_dead(unknown, before, WM_PROOF_QUICK),
                     !place_has_pidfd());
    assert_true(wm_process_dead(unknown, 1, WM_PROOF_FULL));
}

static void a_process_older_than_the_claim_is_its_claimant(void **state)
{
    const uint64_t unknown = wm_ident((uint32_t)fork_sleeper(), 0);

    (void)state;
    assert_false(wm_process_dead(unknown, wm_now(), WM_PROOF_FULL));
    assert_false(wm_process_dead(unknown, UINT64_C(1) << 39, WM_PROOF_FULL));
    /* Without a claim there is nothing to compare. */
    assert_false(wm_process_dead(unknown, 0, WM_PROOF_FULL));
}

/* ------------------------------------------------------------------- names */

static void a_name_with_parentheses_hides_nothing(void **state)
{
    static const char *const names[] = {") (", ") Z 1 1 1", "a) Z 0 (b",
                                        ")",   " ",         "((((((((((((((("};
    const uint64_t self = wm_process_ident((uint32_t)getpid());
    char old[17] = "";

    (void)state;
    prctl(PR_GET_NAME, old);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        prctl(PR_SET_NAME, names[i]);
        if (wm_process_ident((uint32_t)getpid()) != self || dead(self)) {
            prctl(PR_SET_NAME, old);
            fail_msg("misread with the name '%s'", names[i]);
        }
    }
    prctl(PR_SET_NAME, old);
}

/* ----------------------------------------------------------------- threads */

static void *wait_for_end(void *argument)
{
    int *pipe_end = argument;
    char byte;

    while (read(pipe_end[0], &byte, 1) < 0) {
    }
    _exit(0);
}

/* A process whose first thread has ended and whose second lives on. */
static void lose_first_thread(int *ends)
{
    pthread_t thread;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (pthread_create(&thread, NULL, wait_for_end, ends) != 0) {
        _exit(1);
    }
    syscall(SYS_exit, 0); /* this thread alone */
}

static char stat_state(pid_t pid)
{
    char path[32], text[512] = "";
    FILE *f;
    size_t n;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    assert_non_null(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    return strrchr(text, ')')[2];
}

static int check_headless(const void *argument);

static void a_process_that_lost_its_first_thread_is_alive(void **state)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int ends[2];
    uint64_t ident;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        close(ends[1]);
        lose_first_thread(ends);
    }
    close(ends[0]);
    ident = ident_of(child);
    for (int ms = 0; stat_state(child) != 'Z' && ms < 20000; ms++) {
        nanosleep(&pause, NULL);
    }
    assert_int_equal(stat_state(child), 'Z');
    assert_false(quickly_dead(ident));
    assert_false(dead(ident));
    assert_int_equal(place_run(check_headless, &ident), 0);
    close(ends[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    child = 0;
    assert_true(dead(ident));
}

/* ---------------------------------------------------- a kernel that refuses */

static int refuse(long call, uint32_t error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof(code) / sizeof(*code), code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
                   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0
               ? -errno
               : 0;
}

static int forbid_pidfd(uint32_t error)
{
    if (refuse(SYS_pidfd_open, error) != 0) {
        return PLACE_IMPOSSIBLE;
    }
    return syscall(SYS_pidfd_open, getpid(), 0) == -1 && errno == (int)error
               ? 0
               : PLACE_IMPOSSIBLE;
}

static int check_headless(const void *argument)
{
    const uint64_t ident = *(const uint64_t *)argument;

    if (forbid_pidfd(ENOSYS) != 0) {
        return 0; /* told by the tests of the refusal itself */
    }
    HOLDS(!dead(ident));
    return 0;
}

struct cast {
    uint64_t living, zombie, reaped, other_start;
};

static int tells_all_apart(const struct cast *c)
{
    static const enum wm_proof proofs[] = {WM_PROOF_QUICK, WM_PROOF_FULL};

    for (int i = 0; i < 2; i++) {
        HOLDS(!wm_process_dead(c->living, 0, proofs[i]));
        HOLDS(wm_process_dead(c->zombie, 0, proofs[i]));
        HOLDS(wm_process_dead(c->reaped, 0, proofs[i]));
    }
    HOLDS(dead(c->other_start));
    return 0;
}

static struct cast cast;

static int tells_all_apart_without_pidfd(const void *error)
{
    return forbid_pidfd(*(const uint32_t *)error) != 0 ? PLACE_IMPOSSIBLE
                                                       : tells_all_apart(&cast);
}

static void without_pidfd_the_dead_are_told_by_kill_and_proc(void **state)
{
    static const uint32_t errors[] = {EPERM, ENOSYS, EMFILE};

    cast.reaped = ident_of(fork_sleeper());
    end_child(state);
    cast.zombie = ident_of(fork_sleeper());
    cast.living = ident_of(getpid());
    cast.other_start = cast.living + 1;
    zombify();
    assert_int_equal(tells_all_apart(&cast), 0);
    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
        place_judge(__func__,
                    place_run(tells_all_apart_without_pidfd, &errors[i]),
                    "no seccomp filter here");
    }
}

static int proves_what_kill_proves(const void *unused)
{
    struct rlimit none;

    (void)unused;
    HOLDS(getrlimit(RLIMIT_NOFILE, &none) == 0);
    none.rlim_cur = 0;
    HOLDS(setrlimit(RLIMIT_NOFILE, &none) == 0);
    HOLDS(wm_ident_start(wm_process_ident(wm_ident_pid(cast.living))) == 0);
    HOLDS(!dead(cast.living));
    HOLDS(!quickly_dead(cast.living));
    HOLDS(dead(cast.reaped));
    HOLDS(quickly_dead(cast.reaped));
    /* Neither can be seen, so neither is dead. */
    HOLDS(!dead(cast.zombie));
    HOLDS(!dead(cast.other_start));
    return 0;
}

static void without_descriptors_only_the_gone_are_dead(void **state)
{
    cast.reaped = ident_of(fork_sleeper());
    end_child(state);
    cast.zombie = ident_of(fork_sleeper());
    cast.living = ident_of(getpid());
    cast.other_start = cast.living + 1;
    zombify();
    assert_int_equal(place_run(proves_what_kill_proves, NULL), 0);
}

static int spares_who_may_not_be_signalled(const void *argument)
{
    const uint64_t ident = *(const uint64_t *)argument;

    if (setuid(65534) != 0) {
        return PLACE_IMPOSSIBLE;
    }
    HOLDS(kill((pid_t)wm_ident_pid(ident), 0) == -1 && errno == EPERM);
    HOLDS(!dead(ident));
    HOLDS(!quickly_dead(ident));
    if (forbid_pidfd(ENOSYS) == 0) {
        HOLDS(!dead(ident));
        HOLDS(!quickly_dead(ident));
    }
    return 0;
}

static void another_users_process_is_alive(void **state)
{
    const uint64_t self = wm_self_ident();

    (void)state;
    if (getuid() != 0) {
        place_skip(__func__, "only root can be two users");
    }
    assert_int_equal(place_run(spares_who_may_not_be_signalled, &self), 0);
}

static void the_clock_for_beats_is_the_monotonic_one(void **state)
{
    struct timespec before, after;
    uint64_t now;

    (void)state;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &before);
    now = wm_now();
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(now >= (uint64_t)before.tv_sec * 1000 +
                           (uint64_t)before.tv_nsec / 1000000);
    assert_true(now <= (uint64_t)after.tv_sec * 1000 +
                           (uint64_t)after.tv_nsec / 1000000);
}

#define TEST(name) cmocka_unit_test_teardown(name, end_child)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_own_process_lives_and_knows_its_start),
        TEST(a_forked_child_that_forgets_knows_itself),
        TEST(a_living_child_is_alive),
        TEST(a_stopped_child_is_alive),
        TEST(a_zombie_is_dead),
        TEST(a_reaped_child_is_dead),
        TEST(no_pid_is_no_process),
        TEST(a_pid_that_nobody_has_is_dead),
        TEST(another_start_time_is_another_process),
        TEST(a_process_that_began_after_the_claim_is_not_the_claimant),
        TEST(a_process_older_than_the_claim_is_its_claimant),
        TEST(a_name_with_parentheses_hides_nothing),
        TEST(a_process_that_lost_its_first_thread_is_alive),
        TEST(without_pidfd_the_dead_are_told_by_kill_and_proc),
        TEST(without_descriptors_only_the_gone_are_dead),
        TEST(another_users_process_is_alive),
        TEST(the_clock_for_beats_is_the_monotonic_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
