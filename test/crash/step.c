/* SPDX-License-Identifier: Apache-2.0 */

/* Single steps by ptrace. A child is forked from the test, so that what lies
 * at its instruction pointer can be read here.
 *
 * To come to a moment a second time, only what follows the last system call
 * before it is stepped: to that call the child runs at full speed. */

#include "step.h"

#include "process.h"
#include "test.h"

#include <sys/ptrace.h>

/* A stop at a system call, as PTRACE_O_TRACESYSGOOD marks it. */
#define CALL_STOP (SIGTRAP | 0x80)

#define STRIDE 64 /* between pauses, where not all are wanted */

/* The effect of an instruction. */
enum step_kind {
    STEP_FOREIGN, /* nothing: it is not this program's own */
    STEP_QUIET,   /* nothing that anybody else can see */
    STEP_CALL,    /* a system call has returned */
    STEP_CHANGE,  /* the memory is another */
    STEP_DONE     /* the operation is over */
};

/* Names of the linker. */
extern const unsigned char program_begin[] __asm__("__executable_start");
extern const unsigned char program_end[] __asm__("etext");

/* Returns the signal of the next stop. */
static int await_signal(struct stepped *s)
{
    int status = 0;

    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    if (!WIFSTOPPED(status)) {
        s->pid = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == CHECK_IMPOSSIBLE) {
            test_skip("ptrace is not allowed here");
        }
        fail_msg("the stepped child has ended with %#x", (unsigned)status);
    }
    return WSTOPSIG(status);
}

static int resume(struct stepped *s, bool to_call)
{
    assert_ok(ptrace(to_call ? PTRACE_SYSCALL : PTRACE_SINGLESTEP, s->pid, NULL,
                     NULL));
    return await_signal(s);
}

void step_fork(struct stepped *s, step_fn *prepare, step_fn *act,
               step_fn *depart, void *argument)
{
    s->pid = fork_child();
    if (s->pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            _exit(CHECK_IMPOSSIBLE);
        }
        wm_self_ident(); /* these read /proc once in each process */
        wm_self_namespace();
        if (prepare != NULL) {
            prepare(argument);
        }
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
#elif defined(__i386__)
    return at[0] == 0xcd && at[1] == 0x80; /* int $0x80 */
#elif defined(__aarch64__)
    return at[0] == 0x01 && at[1] == 0x00 && at[2] == 0x00 && at[3] == 0xd4;
#else
#error "how does a system call look on this machine?"
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

static void note(struct stepped *s)
{
    for (uint32_t i = 0; i < s->areas; i++) {
        memcpy(s->area[i].copy, s->area[i].memory, s->area[i].size);
    }
}

static enum step_kind step_once(struct stepped *s)
{
    const unsigned char *at = next_instruction(s);
    /* Of the program's text, the library included, which is linked into it. */
    bool own = at >= program_begin && at < program_end;

    if (resume(s, false) == SIGSTOP) {
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

struct moment step_trail[8192];
uint32_t step_trail_length;

void step_through(struct stepped *s, bool quiet, step_look *look)
{
    enum step_kind kind;

    step_trail[0] = s->at;
    step_trail_length = 1;
    while ((kind = step_once(s)) != STEP_DONE) {
        const bool is_visible = kind == STEP_CALL || kind == STEP_CHANGE;

        if (is_visible && look != NULL) {
            look(s);
        }
        if (is_visible || (quiet && kind == STEP_QUIET)) {
            note(s);
            assert_true(step_trail_length < COUNT(step_trail));
            step_trail[step_trail_length++] = s->at;
        }
    }
}

bool step_some(struct stepped *s, uint32_t visible, step_look *look)
{
    enum step_kind kind = STEP_QUIET;

    note(s);
    /* One that makes so many system calls waits for another. */
    while (visible > 0 && s->at.call < 64 && kind != STEP_DONE) {
        kind = step_once(s);
        if (kind == STEP_CALL || kind == STEP_CHANGE) {
            look(s);
            note(s);
            visible--;
        }
    }
    return kind == STEP_DONE;
}

bool step_is_chosen(uint32_t i)
{
    return i + 1 == step_trail_length || step_trail[i].own == 0 ||
           step_trail[i + 1].own == 0 || i % STRIDE == 0;
}

bool step_to(struct stepped *s, struct moment moment)
{
    while (s->at.call < moment.call) {
        for (int stop = 0; stop < 2; stop++) { /* before it and after it */
            if (resume(s, true) != CALL_STOP) {
                return false;
            }
        }
        s->at = (struct moment){.call = s->at.call + 1};
    }
    note(s);
    while (s->at.change < moment.change || s->at.own < moment.own) {
        const enum step_kind kind = step_once(s);

        if (kind == STEP_CALL || kind == STEP_DONE) {
            return false;
        }
        if (kind == STEP_CHANGE) {
            note(s);
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
