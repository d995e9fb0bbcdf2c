/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Single steps by ptrace. A child is forked from the test, so that what lies
 * at its instruction pointer can be read here.
 *
 * To come to a moment a second time, only what follows the last system call
 * before it is stepped: to that call the child runs at full speed. */

#include "step.h"

#include "test.h"

#include <sys/ptrace.h>

/* A stop at a system call, as PTRACE_O_TRACESYSGOOD marks it. */
#define CALL_STOP (SIGTRAP | 0x80)

/* Names of the linker. */
extern const unsigned char program_begin[] __asm__("__executable_start");
extern const unsigned char program_end[] __asm__("etext");

static int asks(UNUSED const void *argument)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1;
}

int step_run(void)
{
    if (run_check(asks, NULL) != 0) {
        puts("# ptrace is not allowed here");
        return 77;
    }
    return test_run();
}

/* Returns the signal of the next stop. */
static int await_signal(struct stepped *s)
{
    int status = 0;
    pid_t pid;

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

static int resume(struct stepped *s, enum __ptrace_request how)
{
    assert_ok(ptrace(how, s->pid, NULL, NULL));
    return await_signal(s);
}

void step_fork(struct stepped *s, step_fn *prepare, step_fn *act,
               step_fn *depart, void *argument)
{
    s->pid = fork_child();
    if (s->pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            _exit(3);
        }
        prepare(argument);
        raise(SIGSTOP);
        act(argument);
        raise(SIGSTOP);
        depart(argument);
        _exit(0);
    }
    assert_int_equal(await_signal(s), SIGSTOP);
    assert_ok(ptrace(PTRACE_SETOPTIONS, s->pid, NULL,
                     PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD));
}

void step_watch(struct stepped *s, const void *memory, size_t size)
{
    void *copy = malloc(size);

    assert_non_null(copy);
    memcpy(copy, memory, size);
    s->area[s->areas++] = (struct step_area){memory, copy, size};
}

static const unsigned char *next_instruction(const struct stepped *s)
{
    struct __ptrace_syscall_info info;

    assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, s->pid, sizeof(info), &info) >
                0);
    return (const unsigned char *)(uintptr_t)info.instruction_pointer;
}

static bool is_call(const unsigned char *at)
{
#if defined(__x86_64__)
    return at[0] == 0x0f && at[1] == 0x05; /* syscall */
#elif defined(__aarch64__)
    return at[0] == 0x01 && at[1] == 0x00 && at[2] == 0x00 && at[3] == 0xd4;
#else
#error "how does a system call look on this machine?"
#endif
}

/* Of the program's text, the library included, which is linked into it. */
static bool is_own(const unsigned char *at)
{
    return at >= program_begin && at < program_end;
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
    const unsigned char *at = next_instruction(s);
    bool own = is_own(at);

    if (resume(s, PTRACE_SINGLESTEP) == SIGSTOP) {
        return STEP_DONE;
    }
    if (is_call(at)) {
        s->at = (struct moment){.call = s->at.call + 1};
        return STEP_CALL;
    }
    if (has_changed(s)) {
        s->at.change++;
        s->at.own = 0;
        return STEP_CHANGE;
    }
    s->at.own += own;
    return own ? STEP_QUIET : STEP_FOREIGN;
}

/* Past the call that comes next. */
static bool run_past_call(struct stepped *s)
{
    for (int stop = 0; stop < 2; stop++) {
        if (resume(s, PTRACE_SYSCALL) != CALL_STOP) {
            return false;
        }
    }
    s->at = (struct moment){.call = s->at.call + 1};
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
    while (s->at.change < moment.change || s->at.own < moment.own) {
        switch (step_once(s)) {
        case STEP_CHANGE:
            step_note(s);
            break;
        case STEP_CALL:
        case STEP_DONE:
            return false;
        default:
            break;
        }
    }
    return s->at.change == moment.change;
}

static bool is_stopped_or_asleep(const struct stepped *s)
{
    siginfo_t info = {0};

    assert_ok(waitid(P_PID, (id_t)s->pid, &info, WSTOPPED | WNOHANG | WNOWAIT));
    return info.si_pid != 0 || process_state(s->pid) == 'S';
}

void step_resume(struct stepped *s)
{
    assert_ok(ptrace(PTRACE_CONT, s->pid, NULL, NULL));
    await(is_stopped_or_asleep(s));
}

void step_finish(struct stepped *s)
{
    assert_int_equal(await_signal(s), SIGSTOP);
}

void step_depart(struct stepped *s)
{
    int status = 0;

    assert_ok(ptrace(PTRACE_CONT, s->pid, NULL, NULL));
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    s->pid = WIFSTOPPED(status) ? s->pid : 0;
    assert_int_equal(status, 0);
}

void step_kill(struct stepped *s, bool zombie)
{
    kill_unreaped(s->pid);
    if (!zombie) {
        assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
        s->pid = 0;
    }
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
