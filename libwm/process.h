/* SPDX-License-Identifier: Apache-2.0 */

/* Processes and time, as the kernel tells them. */

#ifndef WM_PROCESS_H
#define WM_PROCESS_H

#include "wm.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* The time of a clock in whole milliseconds. */
static inline uint64_t wm_clock_ms(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

/* The calling process as pid and start time; start is 0 without /proc. */
uint64_t wm_self_ident(void);

/* The pid namespace of the calling process, by its inode; 0 without /proc. A
 * process stays in the one that it began in. */
uint64_t wm_self_namespace(void);

/* Forgets what these know: to be called in a fork's child. */
void wm_self_forget(void);

/* Another process as pid and start time; start is 0 if it cannot be seen. */
uint64_t wm_process_ident(uint32_t pid);

/* No thread is cancelled between these two, since it has a lock. */
static inline int wm_cancel_forbid(void)
{
    int old;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    return old;
}

static inline void wm_cancel_allow(int old)
{
    pthread_setcancelstate(old, NULL);
}

enum wm_proof {
    WM_PROOF_QUICK, /* gone or a zombie: three system calls */
    WM_PROOF_FULL   /* or the pid is another process's now: reads /proc */
};

/* True only if it is proven that the process `ident` is dead. If its start time
 * is unknown (0), a process with its pid that began later than claimed_ms
 * (CLOCK_MONOTONIC; 0: unknown) proves that as well. */
bool wm_process_dead(uint64_t ident, uint64_t claimed_ms, enum wm_proof proof);

#endif
