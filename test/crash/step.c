/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Single steps by ptrace. A child is forked from the test, so that what lies
 * at its instruction pointer can be read here.
 *
 * To come to a moment a second time, only what follows the last system call
 * before it is stepped: to that call the child runs at full speed. */

#include "step.h"

#include "place.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* A stop at a system call, as PTRACE_O_TRACESYSGOOD marks it. */
#define CALL_STOP (SIGTRAP | 0x80)

static int ask(const void *unused)
{
    (void)unused;
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1;
}

bool step_is_allowed(void)
{
    return place_run(ask, NULL) == 0;
}

/* Goes on, and returns the signal of the next stop. */
static int resume(struct stepped *s, enum __ptrace_request how)
{
    int status = 0;
    pid_t pid;

    assert_int_equal(ptrace(how, s->pid, NULL, NULL), 0);
    do {
        pid = waitpid(s->pid, &status, 0);
    } while (pid < 0 && errno == EINTR);
    assert_int_equal(pid, s->pid);
    if (!WIFSTOPPED(status)) {
        s->pid = 0;
        fail_msg("the stepped child has ended with %#x", (unsigned)status);
    }
    return WSTOPSIG(status);
}

void step_fork(struct stepped *s, step_fn *prepare, step_fn *act,
               step_fn *depart, void *argument)
{
    pid_t parent = getpid();
    int status;

    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            _exit(3);
        }
        prepare(argument);
        raise(SIGSTOP);
        act(argument);
        raise(SIGSTOP);
        depart(argument);
        _exit(0);
    }
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(WSTOPSIG(status), SIGSTOP);
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, s->pid, NULL,
                            PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD),
                     0);
}

void step_watch(struct stepped *s, const void *memory, size_t size)
{
    struct step_area *a = &s->area[s->areas++];

    a->memory = memory;
    a->size = size;
    a->copy = malloc(size);
    assert_non_null(a->copy);
    memcpy(a->copy, memory, size);
}

/* Whether the next instruction is a system call. */
static bool is_at_call(const struct stepped *s)
{
    struct __ptrace_syscall_info info;
    const unsigned char *at;

    assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, s->pid, sizeof(info), &info) >
                0);
    at = (const unsigned char *)(uintptr_t)info.instruction_pointer;
#if defined(__x86_64__)
    return at[0] == 0x0f && at[1] == 0x05; /* syscall */
#elif defined(__aarch64__)
    return at[0] == 0x01 && at[1] == 0x00 && at[2] == 0x00 && at[3] == 0xd4;
#else
#error "how does a system call begin on this machine?"
#endif
}

static bool has_changed(const struct stepped *s)
{
    for (uint32_t i = 0; i < s->areas; i++) {
        if (memcmp(s->area[i].memory, s->area[i].copy, s->area[i].size) != 0) {
            return true;
        }
    }
    return false;
}

void step_note(struct stepped *s)
{
    for (uint32_t i = 0; i < s->areas; i++) {
        memcpy(s->area[i].copy, s->area[i].memory, s->area[i].size);
    }
}

enum step_kind step_once(struct stepped *s)
{
    bool call = is_at_call(s);

    if (resume(s, PTRACE_SINGLESTEP) == SIGSTOP) {
        return STEP_DONE;
    }
    s->steps++;
    if (call) {
        s->at.call++;
        s->at.change = 0;
        return STEP_CALL;
    }
    if (has_changed(s)) {
        s->at.change++;
        return STEP_CHANGE;
    }
    return STEP_QUIET;
}

/* Past the call that comes next. */
static bool run_past_call(struct stepped *s)
{
    for (int stop = 0; stop < 2; stop++) {
        if (resume(s, PTRACE_SYSCALL) != CALL_STOP) {
            return false;
        }
    }
    s->at.call++;
    s->at.change = 0;
    return true;
}

bool step_to(struct stepped *s, struct moment moment)
{
    while (s->at.call < moment.call) {
        if (!run_past_call(s)) {
            return false;
        }
    }
    step_note(s);
    while (s->at.call == moment.call && s->at.change < moment.change) {
        if (step_once(s) == STEP_DONE) {
            return false;
        }
        step_note(s);
    }
    return true;
}

void step_finish(struct stepped *s)
{
    while (resume(s, PTRACE_CONT) != SIGSTOP) {
    }
}

void step_depart(struct stepped *s)
{
    int status = 0;

    assert_int_equal(ptrace(PTRACE_CONT, s->pid, NULL, NULL), 0);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    s->pid = WIFSTOPPED(status) ? s->pid : 0;
    assert_int_equal(status, 0);
}

void step_kill(struct stepped *s)
{
    siginfo_t info;

    kill(s->pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)s->pid, &info, WEXITED | WNOWAIT), 0);
}

void step_reap(struct stepped *s)
{
    assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
    s->pid = 0;
}

void step_clear(struct stepped *s)
{
    if (s->pid != 0) {
        kill(s->pid, SIGKILL);
        while (waitpid(s->pid, NULL, 0) >= 0 || errno == EINTR) {
        }
    }
    for (uint32_t i = 0; i < s->areas; i++) {
        free(s->area[i].copy);
    }
    memset(s, 0, sizeof(*s));
}
