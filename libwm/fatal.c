/* SPDX-License-Identifier: Apache-2.0 */

/* The worker's own word on its end: handlers for the signals that a process
 * gets for its own faults, and a hook that exit(3) calls. Both only store one
 * word into the worker's record. Nobody waits for it, and nothing depends on
 * it: the kernel proves the death, and the word says what it was.
 *
 * A handler goes on as if it were not there. Where the disposition was the
 * default one, it brings that back. A fault comes again as the handler returns,
 * at the same instruction, and ends the process there, with its core; any other
 * signal is sent again. A former handler is called with its own mask and flags.
 * A signal that was ignored stays ignored.
 *
 * 1. The word is believed only if no beat is newer than it: some programs go on
 *    after a fault, and beat.
 * 2. A process says so only of its own workers: in a child that has not called
 *    exec the pid is another one, also if it shares all memory, as after vfork.
 * 3. Handlers are set by the first worker of the process that asks, and brought
 *    back as the last one leaves; a handler that somebody has set since stays,
 *    and may go on calling ours, which then only hands on. */

#include "fatal.h"

#include "record.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define WORKERS 8           /* of one process that may say so */
#define STACK_SIZE 0x10000u /* of the handlers, where there is none */

static const int signals[] = {
    SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS,
};
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

static _Atomic(struct wm_worker *) workers[WORKERS];
static struct sigaction former[SIGNALS];
static bool is_set[SIGNALS];

/* ---------------------------------------------------------------- the word */

static void say(struct wm_worker *w, uint32_t cause, int code)
{
    struct wm_record *r = wm_worker_record(w);
    uint64_t word;

    if (r == NULL ||
        /* Safeguard: child_says_nothing */
        (uint32_t)getpid() != w->pid) {
        return;
    }
    word = record_own_word(r);
    if (wm_word_pid(word) != w->pid) {
        return; /* it has made room for another */
    }
    /* A handler that exits ends of its signal. */
    if (cause == WM_CAUSE_EXIT &&
        wm_report_holds(record_cold_report(w->cold), w->join, word)) {
        return;
    }
    record_cold_set_report(w->cold,
                           wm_report(w->join, wm_now(), cause, (uint32_t)code));
}

static void say_all(uint32_t cause, int code)
{
    for (int i = 0; i < WORKERS; i++) {
        /* Acquire: pairs with wm_worker_record_end(); the worker has
         * joined. */
        struct wm_worker *w =
            atomic_load_explicit(&workers[i], memory_order_acquire);

        if (w != NULL) {
            say(w, cause, code);
        }
    }
}

/* ------------------------------------------------------------ the handlers */

/* Whether the instruction comes again when the handler returns. */
static bool is_fault(int signal, const siginfo_t *info)
{
    return info->si_code > 0 &&
           (signal == SIGSEGV || signal == SIGFPE || signal == SIGILL ||
            (signal == SIGBUS && info->si_code != BUS_MCEERR_AO));
}

/* Ends the process as it would have ended without a handler. */
static void do_default(int signal, const siginfo_t *info)
{
    const struct sigaction none = {.sa_handler = SIG_DFL};

    sigaction(signal, &none, NULL);
    if (!is_fault(signal, info)) {
        /* Pending until the handler returns. */
        /* Safeguard: signal_that_was_sent_ends_the_process */
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signal);
    }
}

/* Calls the former handler, with its own mask. */
static void call_former(const struct sigaction *f, int signal, siginfo_t *info,
                        void *context)
{
    sigset_t mask;

    /* Safeguard: former_handler_has_its_mask */
    pthread_sigmask(SIG_BLOCK, &f->sa_mask, &mask);
    if (f->sa_flags & SA_NODEFER) {
        sigset_t own;

        sigemptyset(&own);
        sigaddset(&own, signal);
        pthread_sigmask(SIG_UNBLOCK, &own, NULL);
    }
    if (f->sa_flags & SA_SIGINFO) {
        f->sa_sigaction(signal, info, context);
    } else {
        f->sa_handler(signal);
    }
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static void handle(int signal, siginfo_t *info, void *context)
{
    const int error = errno;
    size_t i = 0;

    while (signals[i] != signal) {
        i++;
    }
    say_all(WM_CAUSE_SIGNAL, signal);
    if (former[i].sa_flags & SA_SIGINFO ||
        (former[i].sa_handler != SIG_DFL && former[i].sa_handler != SIG_IGN)) {
        struct sigaction f = former[i];

        if (f.sa_flags & (int)SA_RESETHAND) {
            former[i] = (struct sigaction){.sa_handler = SIG_DFL};
        }
        call_former(&f, signal, info, context);
    } else if (former[i].sa_handler == SIG_DFL) {
        do_default(signal, info);
    }
    errno = error;
}

static bool is_ours(const struct sigaction *s)
{
    return s->sa_flags & SA_SIGINFO && s->sa_sigaction == handle;
}

static void set_handlers(void)
{
    struct sigaction own = {0};

    own.sa_sigaction = handle;
    sigemptyset(&own.sa_mask);
    for (size_t i = 0; i < SIGNALS; i++) {
        struct sigaction seen;

        /* One that was set since ours may call it: it stays before it. */
        /* Safeguard: handlers_are_set_once */
        if (is_set[i] || sigaction(signals[i], NULL, &seen) != 0 ||
            (!(seen.sa_flags & SA_SIGINFO) && seen.sa_handler == SIG_IGN)) {
            continue;
        }
        former[i] = seen;
        own.sa_flags = SA_SIGINFO | SA_ONSTACK | (seen.sa_flags & SA_RESTART);
        is_set[i] = sigaction(signals[i], &own, NULL) == 0;
    }
}

static void restore_handlers(void)
{
    for (size_t i = 0; i < SIGNALS; i++) {
        struct sigaction seen;

        /* Safeguard: later_handler_stays */
        if (is_set[i] && sigaction(signals[i], NULL, &seen) == 0 &&
            is_ours(&seen)) {
            sigaction(signals[i], &former[i], NULL);
            is_set[i] = false;
        }
    }
}

/* A fault of the stack needs another one, of this thread alone, below which no
 * page can be used. It stays: a handler may run on it at any time. */
static int have_stack(void)
{
    const size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    stack_t seen, stack = {.ss_size = STACK_SIZE};
    char *own;

    if (sigaltstack(NULL, &seen) != 0) {
        return -errno;
    }
    if (!(seen.ss_flags & SS_DISABLE)) {
        return 0;
    }
    own = mmap(NULL, guard + STACK_SIZE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (own == MAP_FAILED) {
        return -ENOMEM;
    }
    mprotect(own, guard, PROT_NONE);
    stack.ss_sp = own + guard;
    return sigaltstack(&stack, NULL) == 0 ? 0 : -errno;
}

#ifdef __GLIBC__
static void note_exit(int status, void *none)
{
    (void)none;
    say_all(WM_CAUSE_EXIT, status & 0xff);
}

/* It cannot be taken back, and says nothing once the workers have left. */
static int set_hook(void)
{
    static bool is_done;

    is_done = is_done || on_exit(note_exit, NULL) == 0;
    return is_done ? 0 : -ENOMEM;
}
#else
static int set_hook(void)
{
    return 0;
}
#endif

/* ------------------------------------------------------------------- begin */

static int find(const struct wm_worker *worker)
{
    for (int i = 0; i < WORKERS; i++) {
        /* Relaxed: under the registry's lock. */
        if (atomic_load_explicit(&workers[i], memory_order_relaxed) == worker) {
            return i;
        }
    }
    return -1;
}

static bool is_any(void)
{
    for (int i = 0; i < WORKERS; i++) {
        /* Relaxed: under the registry's lock. */
        if (atomic_load_explicit(&workers[i], memory_order_relaxed) != NULL) {
            return true;
        }
    }
    return false;
}

int wm_worker_record_end(struct wm_worker *worker)
{
    WM_REQUIRE(worker);
    int error = wm_worker_usable(worker), at;

    if (error != 0) {
        return error;
    }
    wm_registry_lock();
    error = have_stack();
    if (error == 0) {
        error = set_hook();
    }
    at = find(worker) >= 0 ? find(worker) : find(NULL);
    if (error == 0) {
        error = at < 0 ? -ENOBUFS : 0;
    }
    if (error == 0) {
        set_handlers();
        /* Release: pairs with say_all(). */
        atomic_store_explicit(&workers[at], worker, memory_order_release);
    }
    wm_registry_unlock();
    return error;
}

void wm_fatal_forget(struct wm_worker *worker)
{
    int at;

    wm_registry_lock();
    at = find(worker);
    if (at >= 0) {
        /* Relaxed: nothing is read because of it. */
        atomic_store_explicit(&workers[at], NULL, memory_order_relaxed);
        if (!is_any()) {
            restore_handlers();
        }
    }
    wm_registry_unlock();
}
