/* SPDX-License-Identifier: Apache-2.0 */

/* Liveness, proven and never timed.
 *
 * A process is dead when its pid is gone, when it is a zombie (the process that
 * should reap it may sleep for hours), or when the pid belongs to a process
 * with another start time. pidfd_open tells the first two without /proc. It may
 * be forbidden, or there may be no descriptor left; then kill and /proc stand
 * in. A file in /proc that cannot be seen proves nothing (hidepid). */

#include "process.h"

#include "word.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* the same on every architecture */
#endif

uint64_t wm_now(void)
{
    return wm_clock_ms(CLOCK_MONOTONIC_COARSE);
}

/* The facts that /proc/PID/stat tells. */
struct stat_facts {
    bool ended;
    uint64_t start; /* clock ticks since boot */
};

/* Moves on by this many fields; NULL behind the last. */
static const char *skip_fields(const char *at, int fields)
{
    while (at != NULL && fields-- > 0) {
        at = strchr(at, ' ');
        at = at == NULL ? NULL : at + 1;
    }
    return at;
}

/* Fields 3 (state), 20 (threads) and 22 (start). The second field is the
 * command in parentheses and may hold anything, so parsing starts behind the
 * last closing one. The state is that of the first thread, which may have ended
 * while other threads run on; a zombie has one thread. */
static bool read_stat(uint32_t pid, struct stat_facts *facts)
{
    char path[32];
    char text[512];
    const char *at, *threads, *start;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%u/stat", (unsigned)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0) {
        return false;
    }
    text[n] = '\0';

    at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ') {
        return false;
    }
    at += 2;
    threads = skip_fields(at, 20 - 3);
    start = skip_fields(threads, 22 - 20);
    if (start == NULL) {
        return false;
    }
    facts->ended =
        (*at == 'Z' || *at == 'X') && strtoul(threads, NULL, 10) <= 1;
    facts->start = strtoull(start, NULL, 10);
    return true;
}

uint64_t wm_process_ident(uint32_t pid)
{
    struct stat_facts facts;

    if (pid == 0 || !read_stat(pid, &facts)) {
        return wm_ident(pid, 0);
    }
    return wm_ident(pid, facts.start);
}

/* Private to the process; 0 until it has looked. */
static _Atomic uint64_t self, self_namespace;

#define UNSEEN UINT64_MAX /* as no inode is */

/* Relaxed: threads that race here all store the same number, and nothing else
 * is read because of it. */
uint64_t wm_self_ident(void)
{
    uint64_t ident = atomic_load_explicit(&self, memory_order_relaxed);

    if (ident == 0) {
        ident = wm_process_ident((uint32_t)getpid());
        atomic_store_explicit(&self, ident, memory_order_relaxed);
    }
    return ident;
}

/* Relaxed, as wm_self_ident(). */
uint64_t wm_self_namespace(void)
{
    uint64_t inode =
        atomic_load_explicit(&self_namespace, memory_order_relaxed);
    struct stat st;

    if (inode == 0) {
        inode = stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : UNSEEN;
        atomic_store_explicit(&self_namespace, inode, memory_order_relaxed);
    }
    return inode == UNSEEN ? 0 : inode;
}

/* Relaxed: the child of a fork has one thread. */
void wm_self_forget(void)
{
    atomic_store_explicit(&self, 0, memory_order_relaxed);
    atomic_store_explicit(&self_namespace, 0, memory_order_relaxed);
}

/* Whether a process with this start time began after claimed_ms. The start is
 * counted from boot, suspension included; the claim is counted without
 * suspension. The difference between the two clocks only grows; so if it is
 * taken now, the start can only look earlier than it was, and no living
 * claimant is ever taken for a later process. */
static bool began_after(uint64_t start, uint64_t claimed_ms)
{
    /* In this order: a pause in between makes the start look earlier, too. */
    uint64_t awake = wm_clock_ms(CLOCK_MONOTONIC);
    /* Safeguard: pause_makes_no_process_younger */
    uint64_t asleep = wm_clock_ms(CLOCK_BOOTTIME) - awake;
    uint64_t hertz = (uint64_t)sysconf(_SC_CLK_TCK);
    uint64_t start_ms = start * 1000u / hertz;

    /* The claim is cut to the bits of a beat; the bits above are those of now.
     * A claim from before they last changed seems to lie ahead, and proves
     * nothing. */
    claimed_ms = wm_beat_at_full(claimed_ms, awake);
    return start_ms > asleep && start_ms - asleep > claimed_ms + 10;
}

/* Asks through a pidfd. 1: gone or a zombie; 0: alive; -1: it does not tell. */
static int ask_pidfd(uint32_t pid)
{
    struct pollfd p = {.events = POLLIN};
    int n;

    p.fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (p.fd < 0) {
        return errno == ESRCH ? 1 : -1;
    }
    do {
        n = poll(&p, 1, 0);
    } while (n < 0 && errno == EINTR);
    close(p.fd);
    /* Safeguard: zombie_is_dead */
    return n == 1;
}

bool wm_process_dead(uint64_t ident, uint64_t claimed_ms, enum wm_proof proof)
{
    uint32_t pid = wm_ident_pid(ident);
    uint64_t known = wm_ident_start(ident);
    struct stat_facts facts;
    int gone;

    if (pid == 0) {
        return true;
    }
    gone = ask_pidfd(pid);
    if (gone > 0) {
        return true;
    }
    /* Safeguard: forbidden_signal_proves_life */
    if (gone < 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH) {
        return true;
    }
    if (gone == 0 && proof == WM_PROOF_QUICK) {
        return false;
    }
    if (!read_stat(pid, &facts)) {
        /* Safeguard: hidden_process_is_not_dead */
        return false;
    }
    /* Safeguard: zombie_is_dead_without_pidfd */
    if (facts.ended) {
        return true;
    }
    if (known != 0) {
        /* Safeguard: start_time_tells_processes_apart */
        return facts.start != known;
    }
    /* Safeguard: process_is_older_than_its_claim */
    return claimed_ms != 0 && began_after(facts.start, claimed_ms);
}
