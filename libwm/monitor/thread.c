/* SPDX-License-Identifier: Apache-2.0 */

/* The thread: when it sleeps, what wakes it, and how it ends.
 *
 * It sleeps in the kernel on the epoch's word of the segment, which every
 * change changes. So it costs nothing while nothing happens. Two things do not
 * change that word: the end of a process that is killed (if it is the last one
 * of the node, no other is left to say so), and a segment that is made later.
 * For these the thread wakes check_ms after the last change, and then again and
 * again. If there is no live node, it sleeps until then on a condition of its
 * own; and so it does for rest_ms after each view, whatever changes: a crowd
 * that starts makes one view in that time, and not one for each worker.
 *
 * To find out whether a segment is in use, the thread has to hold its lock for
 * a moment. That can keep the last process of a node from unlinking the segment
 * just then. So the thread does not try the lock of a node that has just
 * changed, and a node that ends has changed just before.
 *
 * To end the thread, destroy must wake it. A futex call waits on one word, and
 * a monitor must not write to this one. So destroy calls wm_wake(), which wakes
 * all threads that sleep on the word, and does the others no harm. It repeats
 * this until the thread has answered, since the thread may have been about to
 * sleep.
 *
 * Signals are blocked in the thread: the program's own threads are to take
 * them. Those that a fault raises are not blocked: the kernel sends them to the
 * thread that made the fault, and if they are blocked there, it kills the
 * process without calling a handler. */

#include "monitor.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECK_MS 1000u
#define REST_MS 10u
#define INSTANCE_SIZE 64
#define SIZE_MOST 4096 /* of a struct, as wm.h has it */

/* ------------------------------------------------------------------- time */

/* Not wm_now(), which lags by up to a tick: a deadline that is made from it may
 * be over already by the clock of the wait, and the thread would not rest. */
static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Called under the mutex. Returns whether the time is over. */
static bool wait_for_change(struct wm_monitor *m, uint64_t until_ms)
{
    const struct timespec until = {
        .tv_sec = (time_t)(until_ms / 1000),
        .tv_nsec = (long)(until_ms % 1000) * 1000000,
    };

    return pthread_cond_timedwait(&m->changed, &m->mutex, &until) == ETIMEDOUT;
}

/* --------------------------------------------------------------- the thread */

static void check(struct wm_monitor *m)
{
    wm_monitor_follow(m);
    m->check_at = now_ms() + m->check_ms;
}

/* Called under the mutex: sleeps until then, or until the end. */
static void pause_until(struct wm_monitor *m, uint64_t then_ms)
{
    while (!m->stop && now_ms() < then_ms && !wait_for_change(m, then_ms)) {
    }
}

/* Called under the mutex, which it gives up while it sleeps. Relaxed: this
 * thread has itself stored the view. Returns as wm_wait(). */
static int sleep_on_node(struct wm_monitor *m)
{
    const struct wm_view *view =
        atomic_load_explicit(&m->view, memory_order_relaxed);
    uint64_t now = now_ms();
    uint64_t left = m->check_at > now ? m->check_at - now : 1; /* 0: forever */
    int result;

    m->asleep = true;
    pthread_mutex_unlock(&m->mutex);
    result = wm_wait(m->node, view->epoch, (uint32_t)left);
    pthread_mutex_lock(&m->mutex);
    m->asleep = false;
    pthread_cond_broadcast(&m->changed);
    return result;
}

/* Returns true when there may be news, and false when the thread is to end. The
 * thread must not spin, neither if the futex does not work nor if there was no
 * memory for a view. */
static bool rest(struct wm_monitor *m)
{
    int result = -ENOTSUP;
    bool go_on;

    pthread_mutex_lock(&m->mutex);
    if (!m->stop && m->error == 0 && !m->failed) {
        pause_until(m, m->rest_to);
        result = m->stop ? 0 : sleep_on_node(m);
    }
    if (!m->stop && result != 0 && result != -ETIMEDOUT && result != -EINTR) {
        pause_until(m, m->check_at);
    }
    go_on = !m->stop;
    pthread_mutex_unlock(&m->mutex);
    return go_on;
}

static void *run(void *argument)
{
    struct wm_monitor *m = argument;

    wm_monitor_here = m;
    pthread_setname_np(pthread_self(), "wm-monitor");
    while (rest(m)) {
        if (m->error == 0 && wm_monitor_look(m)) {
            uint64_t now = now_ms();

            /* The process that made a change lives. */
            m->check_at = now + m->check_ms;
            m->rest_to = now + m->rest_ms;
        } else if (m->error != 0 || now_ms() >= m->check_at) {
            check(m);
            wm_monitor_look(m);
        }
    }
    return NULL;
}

/* ---------------------------------------------------------- begin and end */

/* The rule is that of wm_node_attach(): no node can have another name. */
static bool is_instance(const char *name)
{
    size_t n = strlen(name);

    return n > 0 && n < INSTANCE_SIZE && name[0] != '.' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "abcdefghijklmnopqrstuvwxyz"
                        "0123456789_.-") == n;
}

/* Frees all that the monitor has, also if it is half made. Relaxed: the thread
 * has been joined, or never ran. */
static void discard(struct wm_monitor *m)
{
    wm_monitor_unfollow(m);
    wm_monitor_free_subscriptions(m);
    free(atomic_load_explicit(&m->view, memory_order_relaxed));
    free(m->retired);
    free(m->look);
    free(m->instance);
    free(m->directory);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->mutex);
    free(m);
}

static struct wm_monitor *allocate(const char *instance, const char *directory)
{
    struct wm_monitor *m =
        aligned_alloc(alignof(struct wm_monitor), sizeof(struct wm_monitor));

    if (m == NULL) {
        return NULL;
    }
    memset(m, 0, sizeof(*m));
    pthread_mutex_init(&m->mutex, NULL);
    wm_monitor_init_condition(&m->changed);
    m->instance = strdup(instance);
    m->directory = directory == NULL ? NULL : strdup(directory);
    if (m->instance == NULL || (m->directory == NULL && directory != NULL)) {
        discard(m);
        return NULL;
    }
    return m;
}

/* Reads the caller's options, which may be those of another version: wm.h,
 * "Sizes". -EINVAL, -E2BIG. */
static int read_options(struct wm_monitor_options *own,
                        const struct wm_monitor_options *theirs)
{
    const size_t least =
        offsetof(struct wm_monitor_options, check_ms) + sizeof(own->check_ms);

    if (theirs == NULL) {
        return 0;
    }
    if (theirs->size < least || theirs->size > SIZE_MOST) {
        return -EINVAL;
    }
    for (size_t i = sizeof(*own); i < theirs->size; i++) {
        if (((const char *)theirs)[i] != 0) {
            return -E2BIG;
        }
    }
    memcpy(own, theirs,
           theirs->size < sizeof(*own) ? theirs->size : sizeof(*own));
    return 0;
}

int wm_monitor_create(const char *instance, const char *directory,
                      const struct wm_monitor_options *options,
                      struct wm_monitor **monitor)
{
    struct wm_monitor_options own = {0};
    struct wm_monitor *m;
    int error;

    if (monitor == NULL || instance == NULL || !is_instance(instance)) {
        return -EINVAL;
    }
    error = read_options(&own, options);
    if (error != 0) {
        return error;
    }
    m = allocate(instance, directory);
    if (m == NULL) {
        return -ENOMEM;
    }
    m->check_ms = own.check_ms == 0 ? CHECK_MS : own.check_ms;
    m->rest_ms = own.rest_ms == 0 ? REST_MS : own.rest_ms;
    m->forks_guarded = own.forks_guarded != 0;
    check(m);
    wm_monitor_look(m);
    error = m->failed ? -ENOMEM : wm_monitor_enlist(m, run);
    if (error != 0) {
        discard(m);
        return error;
    }
    *monitor = m;
    return 0;
}

/* Ends the thread, unless this is a child, which has none. */
static void end_thread(struct wm_monitor *m)
{
    bool child;

    pthread_mutex_lock(&m->mutex);
    child = m->child;
    m->stop = true;
    pthread_cond_broadcast(&m->changed);
    while (m->asleep) {
        wm_wake(m->node);
        wait_for_change(m, now_ms() + 1);
    }
    pthread_mutex_unlock(&m->mutex);
    if (!child) {
        pthread_join(m->thread, NULL);
    }
}

int wm_monitor_destroy(struct wm_monitor *m)
{
    if (m == NULL) {
        return 0;
    }
    if (wm_monitor_here == m || wm_rcu_reads()) {
        return -EDEADLK;
    }
    end_thread(m);
    wm_monitor_delist(m);
    wm_rcu_wait();
    discard(m);
    return 0;
}
