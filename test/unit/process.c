/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What is proven of a process and what is not: alive, zombie, reaped, another
 * one of the same pid; and the same where the kernel says less than usual. */

#include "process.h"

#include "layout.h"
#include "scene.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static const enum wm_proof proofs[] = {WM_PROOF_QUICK, WM_PROOF_FULL};

static uint64_t ident_of(const struct actor *a)
{
    return wm_process_ident((uint32_t)a->pid);
}

/* True if both proofs say so; they must not differ. */
static bool dead(uint64_t ident)
{
    bool quick = wm_process_dead(ident, 0, WM_PROOF_QUICK);

    assert_int_equal(wm_process_dead(ident, 0, WM_PROOF_FULL), quick);
    return quick;
}

/* 0, or the errno that pidfd_open gives for the calling process. */
static int pidfd_errno(void)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    if (fd < 0) {
        return errno;
    }
    close(fd);
    return 0;
}

/* ---------------------------------------------------------------- idents */

static void this_process_knows_its_pid_and_start(void **state)
{
    uint64_t self = wm_self_ident();

    (void)state;
    assert_int_equal(wm_ident_pid(self), getpid());
    assert_true(wm_ident_start(self) != 0);
    assert_int_equal(self, wm_process_ident((uint32_t)getpid()));
    assert_int_equal(self, wm_self_ident());
    assert_false(dead(self));
}

static long act_self(struct actor *self, long forget)
{
    if (forget != 0) {
        wm_self_forget();
    }
    self->board->id = wm_self_ident();
    return 0;
}

static void a_fork_s_child_that_forgets_is_another_process(void **state)
{
    struct scene *s = *state;
    uint64_t self = wm_self_ident();
    struct actor *a = scene_actor(s);

    assert_int_equal(actor_do(a, act_self, 1), 0);
    assert_true(a->board->id != self);
    assert_int_equal(wm_ident_pid(a->board->id), a->pid);
    assert_int_equal(a->board->id, ident_of(a));
    assert_int_equal(wm_self_ident(), self);
}

static void a_process_with_a_node_forgets_by_itself(void **state)
{
    struct scene *s = *state;
    uint64_t self = wm_self_ident();
    struct actor *a = scene_actor(s);

    assert_int_equal(actor_do(a, act_self, 0), 0);
    assert_true(a->board->id != self);
    assert_int_equal(wm_ident_pid(a->board->id), a->pid);
}

static long act_rename(struct actor *self, long name)
{
    (void)self;
    return prctl(PR_SET_NAME, (const char *)name);
}

/* Each would mislead one that parses from a parenthesis too early. */
static void a_command_s_parentheses_do_not_mislead(void **state)
{
    static const char *const names[] = {") (",  "x) Z (1", ") Z 1 2 3 4 5 6",
                                        "))))", "((((",    ") Z 1 2 3 ) X 1"};
    struct actor *a = scene_actor(*state);
    uint64_t ident = ident_of(a);

    assert_true(wm_ident_start(ident) != 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(actor_do(a, act_rename, (long)names[i]), 0);
        assert_int_equal(ident_of(a), ident);
        assert_false(dead(ident));
    }
}

/* ----------------------------------------------------------------- death */

static void a_living_child_is_not_dead(void **state)
{
    struct actor *a = scene_actor(*state);

    assert_int_equal(wm_ident_pid(ident_of(a)), a->pid);
    assert_true(wm_ident_start(ident_of(a)) != 0);
    assert_false(dead(ident_of(a)));
    assert_false(dead(wm_ident((uint32_t)a->pid, 0)));
}

static void a_stopped_child_is_not_dead(void **state)
{
    struct actor *a = scene_actor(*state);

    actor_pause(a);
    assert_false(dead(ident_of(a)));
    actor_resume(a);
}

static void a_zombie_is_dead(void **state)
{
    struct actor *a = scene_actor(*state);
    uint64_t ident = ident_of(a);

    actor_zombify(a);
    assert_true(dead(ident));
    assert_true(dead(wm_ident((uint32_t)a->pid, 0)));
}

static void a_reaped_child_is_dead(void **state)
{
    struct actor *a = scene_actor(*state);
    uint64_t ident = ident_of(a);

    actor_kill(a);
    assert_true(dead(ident));
}

static void pid_0_is_dead(void **state)
{
    (void)state;
    assert_true(dead(wm_ident(0, 0)));
    assert_true(dead(wm_ident(0, 1)));
    assert_int_equal(wm_process_ident(0), 0);
}

static void a_pid_that_nobody_has_is_dead(void **state)
{
    uint32_t pid = (uint32_t)WM_PID_MASK;

    (void)state;
    while (kill((pid_t)pid, 0) == 0 || errno != ESRCH) {
        pid--;
    }
    assert_int_equal(wm_process_ident(pid), wm_ident(pid, 0));
    assert_true(dead(wm_ident(pid, 0)));
    assert_true(dead(wm_ident(pid, 1)));
}

static void another_process_of_that_pid_takes_the_full_proof(void **state)
{
    struct actor *a = scene_actor(*state);
    uint64_t start = wm_ident_start(ident_of(a));

    for (int i = -1; i <= 1; i += 2) {
        uint64_t other = wm_ident((uint32_t)a->pid, start + (uint64_t)i);

        assert_true(wm_process_dead(other, 0, WM_PROOF_FULL));
        /* Without pidfd_open the quick proof reads /proc as well. */
        if (pidfd_errno() == 0) {
            assert_false(wm_process_dead(other, 0, WM_PROOF_QUICK));
        }
    }
}

/* A second is more than the coarseness of all clocks that take part. */
static void a_claim_older_than_its_process_is_a_dead_one_s(void **state)
{
    uint64_t before = wm_now_ms();
    struct actor *a = scene_actor(*state);
    uint64_t unknown = wm_ident((uint32_t)a->pid, 0);

    assert_true(before > 1000);
    assert_true(wm_process_dead(unknown, 1, WM_PROOF_FULL));
    assert_true(wm_process_dead(unknown, before - 1000, WM_PROOF_FULL));
}

static void a_claim_younger_than_its_process_proves_nothing(void **state)
{
    struct actor *a = scene_actor(*state);
    uint64_t unknown = wm_ident((uint32_t)a->pid, 0);
    uint64_t now = wm_now_ms();

    assert_false(wm_process_dead(unknown, now, WM_PROOF_FULL));
    assert_false(wm_process_dead(unknown, now + 1000, WM_PROOF_FULL));
    assert_false(wm_process_dead(unknown, 0, WM_PROOF_FULL));
    assert_false(wm_process_dead(unknown, now, WM_PROOF_QUICK));
}

static void a_known_start_outweighs_the_time_of_the_claim(void **state)
{
    struct actor *a = scene_actor(*state);

    for (int i = 0; i < 2; i++) {
        assert_false(wm_process_dead(ident_of(a), 1, proofs[i]));
    }
}

/* ---------------------------------------- where the kernel says less */

static long act_refuse_pidfd(struct actor *self, long unused)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = 4, .filter = code};

    (void)self;
    (void)unused;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        return -errno;
    }
    return pidfd_errno();
}

static long act_refuse_files(struct actor *self, long unused)
{
    const struct rlimit none = {0, 0};

    (void)self;
    (void)unused;
    if (setrlimit(RLIMIT_NOFILE, &none) != 0) {
        return -errno;
    }
    return pidfd_errno();
}

static long act_judge(struct actor *self, long proof)
{
    return wm_process_dead(self->board->id, 0, (enum wm_proof)proof);
}

/* As dead(), in the eyes of an actor. */
static bool dead_to(struct actor *judge, uint64_t ident)
{
    long quick, full;

    judge->board->id = ident;
    quick = actor_do(judge, act_judge, WM_PROOF_QUICK);
    full = actor_do(judge, act_judge, WM_PROOF_FULL);
    assert_int_equal(quick, full);
    return quick != 0;
}

static struct actor *judge_without_pidfd(struct scene *s)
{
    struct actor *judge = scene_actor(s);
    long refused = actor_do(judge, act_refuse_pidfd, 0);

    if (refused == -EINVAL || refused == -ENOSYS) {
        print_message("no seccomp filter here\n");
        skip();
    }
    assert_int_equal(refused, EPERM);
    return judge;
}

static void without_pidfd_alive_zombie_and_reaped_are_told(void **state)
{
    struct scene *s = *state;
    struct actor *judge = judge_without_pidfd(s);
    struct actor *a = scene_actor(s), *b = scene_actor(s);
    uint64_t zombie = ident_of(a), reaped = ident_of(b);

    assert_false(dead_to(judge, zombie));
    assert_false(dead_to(judge, wm_ident((uint32_t)a->pid, 0)));
    actor_zombify(a);
    actor_kill(b);
    assert_true(dead_to(judge, zombie));
    assert_true(dead_to(judge, wm_ident((uint32_t)a->pid, 0)));
    assert_true(dead_to(judge, reaped));
    assert_false(dead_to(judge, wm_self_ident()));
}

static void without_pidfd_another_of_that_pid_is_told(void **state)
{
    struct scene *s = *state;
    struct actor *judge = judge_without_pidfd(s);
    struct actor *a = scene_actor(s);

    judge->board->id = ident_of(a) + 1;
    assert_int_equal(actor_do(judge, act_judge, WM_PROOF_FULL), 1);
}

static void without_descriptors_nobody_alive_is_called_dead(void **state)
{
    struct scene *s = *state;
    struct actor *judge = scene_actor(s), *a = scene_actor(s);
    uint64_t ident = ident_of(a);

    assert_int_equal(actor_do(judge, act_refuse_files, 0), EMFILE);
    assert_false(dead_to(judge, ident));
    assert_false(dead_to(judge, wm_ident((uint32_t)a->pid, 0)));
    assert_false(dead_to(judge, wm_self_ident()));
    /* Nor one that may be another by now: nothing can be seen of it. */
    assert_false(dead_to(judge, ident + 1));
    actor_kill(a);
    assert_true(dead_to(judge, ident));
}

static void without_descriptors_a_start_is_unknown(void **state)
{
    struct scene *s = *state;
    struct actor *judge = scene_actor(s);

    assert_int_equal(actor_do(judge, act_refuse_files, 0), EMFILE);
    assert_int_equal(actor_do(judge, act_self, 1), 0);
    assert_int_equal(judge->board->id, wm_ident((uint32_t)judge->pid, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(this_process_knows_its_pid_and_start),
        SCENE_TEST(a_fork_s_child_that_forgets_is_another_process),
        SCENE_TEST(a_process_with_a_node_forgets_by_itself),
        SCENE_TEST(a_command_s_parentheses_do_not_mislead),
        SCENE_TEST(a_living_child_is_not_dead),
        SCENE_TEST(a_stopped_child_is_not_dead),
        SCENE_TEST(a_zombie_is_dead),
        SCENE_TEST(a_reaped_child_is_dead),
        SCENE_TEST(pid_0_is_dead),
        SCENE_TEST(a_pid_that_nobody_has_is_dead),
        SCENE_TEST(another_process_of_that_pid_takes_the_full_proof),
        SCENE_TEST(a_claim_older_than_its_process_is_a_dead_one_s),
        SCENE_TEST(a_claim_younger_than_its_process_proves_nothing),
        SCENE_TEST(a_known_start_outweighs_the_time_of_the_claim),
        SCENE_TEST(without_pidfd_alive_zombie_and_reaped_are_told),
        SCENE_TEST(without_pidfd_another_of_that_pid_is_told),
        SCENE_TEST(without_descriptors_nobody_alive_is_called_dead),
        SCENE_TEST(without_descriptors_a_start_is_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
