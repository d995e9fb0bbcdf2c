/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What fork() does to monitors.
 *
 * The child has the forking thread alone. So that it finds everything whole,
 * fork() waits until nobody is inside: liburcu first (a grace period that has
 * begun ends: its readers may want a mutex, which is free then), those who look
 * for segments, the list of monitors, each monitor's mutex. In the child
 * liburcu forgets the readers that are gone, and the monitors are marked: no
 * thread, no calls.
 *
 * Who looks for segments has them open, and tries their locks: a child that
 * inherited such a descriptor would hold the lock as long as it lives, and a
 * dead segment would seem to be in use.
 *
 * What the monitor's thread had just allocated and put nowhere yet is lost in
 * the child: a view at most, and two open segments. Conditions are made anew:
 * whoever waited there is not in the child. */

#include "monitor.h"

#include <signal.h>

#ifdef WM_RCU_EDGE
char wm_rcu_edge;
#endif

static pthread_mutex_t files_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t list_once = PTHREAD_ONCE_INIT;
static struct wm_monitor *list;

static void before_fork(void)
{
    urcu_bp_before_fork();
    pthread_mutex_lock(&files_mutex);
    pthread_mutex_lock(&list_mutex);
    for (struct wm_monitor *m = list; m != NULL; m = m->next) {
        pthread_mutex_lock(&m->mutex);
    }
}

static void unlock_all(void)
{
    for (struct wm_monitor *m = list; m != NULL; m = m->next) {
        pthread_mutex_unlock(&m->mutex);
    }
    pthread_mutex_unlock(&list_mutex);
    pthread_mutex_unlock(&files_mutex);
}

static void after_fork_in_parent(void)
{
    unlock_all();
    urcu_bp_after_fork_parent();
}

static void after_fork_in_child(void)
{
    for (struct wm_monitor *m = list; m != NULL; m = m->next) {
        m->child = true;
        m->stop = true;
        m->asleep = false;
        wm_monitor_init_condition(&m->changed);
        if (wm_monitor_here != m) {
            wm_monitor_forget_calls(m);
        }
    }
    unlock_all();
    urcu_bp_after_fork_child();
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void wm_monitor_begin_files(void)
{
    pthread_once(&list_once, watch_forks);
    pthread_mutex_lock(&files_mutex);
}

void wm_monitor_end_files(void)
{
    pthread_mutex_unlock(&files_mutex);
}

/* All but those of faults: see thread.c. */
static void block_signals(sigset_t *old)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL,
                                 SIGTRAP, SIGSYS, SIGABRT};
    sigset_t set;

    sigfillset(&set);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        sigdelset(&set, faults[i]);
    }
    pthread_sigmask(SIG_SETMASK, &set, old);
}

int wm_monitor_enlist(struct wm_monitor *m, void *(*run)(void *))
{
    sigset_t old;
    int error;

    pthread_mutex_lock(&list_mutex);
    block_signals(&old);
    error = pthread_create(&m->thread, NULL, run, m);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error == 0) {
        m->next = list;
        list = m;
    }
    pthread_mutex_unlock(&list_mutex);
    return -error;
}

void wm_monitor_delist(struct wm_monitor *m)
{
    struct wm_monitor **at = &list;

    pthread_mutex_lock(&list_mutex);
    while (*at != m) {
        at = &(*at)->next;
    }
    *at = m->next;
    pthread_mutex_unlock(&list_mutex);
}
