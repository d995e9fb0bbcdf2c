/* SPDX-License-Identifier: Apache-2.0 */

/* fork(), as far as it concerns monitors.
 *
 * The child has only the thread that forked, and must find everything whole. So
 * fork() waits until no other thread is inside, but for a look at the
 * directory, which keeps no lock. It waits first for liburcu, until a grace
 * period that has begun has ended (the readers that it waits for may want a
 * mutex, which is still free then); then for the list of monitors, and for each
 * monitor's mutex. In the child liburcu forgets the readers that are gone, and
 * each monitor is marked: it has no thread, and calls no subscriber.
 *
 * The child loses what the monitor's thread had allocated and had stored
 * nowhere yet: at most a view, two open segments, and the descriptors of a look
 * at the directory. Conditions are made anew, since the threads that waited
 * there are not in the child. */

#include "monitor.h"

#include <signal.h>

#ifdef WM_RCU_EDGE
char wm_rcu_edge;
#endif

static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t list_once = PTHREAD_ONCE_INIT;
static struct wm_monitor *list;

static void lock_all(void)
{
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
}

static void mark_all(void)
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
}

static void before_fork(void)
{
    urcu_bp_before_fork();
    lock_all();
}

static void after_fork_in_parent(void)
{
    unlock_all();
    urcu_bp_after_fork_parent();
}

static void after_fork_in_child(void)
{
    mark_all();
    urcu_bp_after_fork_child();
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* The program waits for liburcu, before it comes to lock_all(). To wait twice
 * is to wait for ever: what liburcu locks, it locks once. */
static void watch_guarded_forks(void)
{
    pthread_atfork(lock_all, unlock_all, mark_all);
}

/* Blocks all signals but those of faults: wm_monitor.h, "Signals". */
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

    pthread_once(&list_once,
                 m->forks_guarded ? watch_guarded_forks : watch_forks);
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
