/* SPDX-License-Identifier: Apache-2.0 */

/* The subscribers: a list that the thread walks while other threads change it.
 *
 * Writers append at the end and unlink, one at a time under the mutex. Only the
 * thread walks, inside an RCU read. It leaves the read for the time of a call,
 * which may be long. Meanwhile the mark CALLING on the subscription, and its
 * number, keep the thread's place:
 *
 * - The thread sets CALLING by a swap that fails if GONE is set. An
 *   unsubscriber sets GONE first, unlinks then, and waits while CALLING is
 *   set. So either the swap came before GONE, and the unsubscriber waits for
 *   the end of the call, or it came after, and there is no call.
 * - The thread begins a read again *before* it clears CALLING: so the memory
 *   that the unsubscriber frees after its grace period is there until that read
 *   ends.
 * - If GONE was not set when CALLING was cleared, the subscription was in the
 *   list at a moment of this read, so the thread can follow its `next`: a
 *   subscription that is unlinked from behind it later is not freed before the
 *   read ends. If GONE was set, `next` may be stale: the thread walks again
 *   from the head, and passes over the numbers that it has called. Numbers
 *   ascend along the list.
 *
 * A subscriber whose number is above that of the moment of publication is not
 * called: it can look itself. So the walk ends, also if a subscriber subscribes
 * another one in each call.
 *
 * A subscriber that unsubscribes inside its own call cannot wait for the end of
 * that call: it leaves the mark ORPHAN, and the thread frees the subscription
 * later. */

#include "monitor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Called in a read or under the mutex. Acquire: the subscription that it points
 * to is filled in. Pairs with set_link(). */
static struct wm_subscription *load_link(struct wm_subscription *_Atomic *link)
{
    return atomic_load_explicit(link, memory_order_acquire);
}

/* Called under the mutex. Release: a thread that follows the link finds the
 * fields of the subscription. Pairs with load_link(). */
static void set_link(struct wm_subscription *_Atomic *link,
                     struct wm_subscription *to)
{
    atomic_store_explicit(link, to, memory_order_release);
}

/* ------------------------------------------------------------- the thread */

/* Sets CALLING; fails once GONE is set. Acquire: pairs with
 * wm_monitor_unsubscribe(), so that nothing of the call happens before the
 * mark. */
static bool begin_call(struct wm_subscription *s)
{
    uint32_t state = 0;

    return atomic_compare_exchange_strong_explicit(
        &s->state, &state, WM_CALLING, memory_order_acquire,
        memory_order_relaxed);
}

/* Clears CALLING. Returns whether the subscription is still in the list. */
static bool end_call(struct wm_monitor *m, struct wm_subscription *s)
{
    /* Release: the call ends before what the unsubscriber does next. Pairs
     * with await_end(). Acquire: pairs with wm_monitor_unsubscribe(). */
    uint32_t state =
        atomic_fetch_and_explicit(&s->state, ~WM_CALLING, memory_order_acq_rel);

    /* From here on `s` is safe because this is a read, or because it is an
     * orphan. */
    if ((state & WM_GONE) == 0) {
        return true;
    }
    pthread_mutex_lock(&m->mutex);
    if ((state & WM_ORPHAN) != 0) {
        s->orphan = m->orphans;
        m->orphans = s;
    }
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->mutex);
    return false;
}

void wm_monitor_tell(struct wm_monitor *m, const struct wm_view *before,
                     const struct wm_view *now, uint64_t last)
{
    struct wm_subscription *s;
    uint64_t done = 0;

    wm_rcu_begin();
    s = load_link(&m->list);
    while (s != NULL && s->number <= last && !m->child) {
        if (s->number <= done || !begin_call(s)) {
            s = load_link(&s->next);
            continue;
        }
        done = s->number;
        wm_rcu_end();
        s->call(before, now, s->argument);
        wm_rcu_begin();
        s = load_link(end_call(m, s) ? &s->next : &m->list);
    }
    wm_rcu_end();
}

void wm_monitor_free_orphans(struct wm_monitor *m)
{
    struct wm_subscription *s;

    pthread_mutex_lock(&m->mutex);
    s = m->orphans;
    m->orphans = NULL;
    pthread_mutex_unlock(&m->mutex);
    while (s != NULL) {
        struct wm_subscription *next = s->orphan;

        free(s);
        s = next;
    }
}

void wm_monitor_free_subscriptions(struct wm_monitor *m)
{
    struct wm_subscription *s = load_link(&m->list);

    wm_monitor_free_orphans(m);
    while (s != NULL) {
        struct wm_subscription *next = load_link(&s->next);

        free(s);
        s = next;
    }
}

void wm_monitor_forget_calls(struct wm_monitor *m)
{
    for (struct wm_subscription *s = load_link(&m->list); s != NULL;
         s = load_link(&s->next)) {
        /* Relaxed: the child has one thread. */
        atomic_fetch_and_explicit(&s->state, ~WM_CALLING, memory_order_relaxed);
    }
}

/* ----------------------------------------------------------- all the others */

/* Called under the mutex. */
static void append(struct wm_monitor *m, struct wm_subscription *s)
{
    struct wm_subscription *_Atomic *link = &m->list;
    struct wm_subscription *at;

    while ((at = load_link(link)) != NULL) {
        link = &at->next;
    }
    s->number = ++m->subscribed;
    set_link(link, s);
}

/* Called under the mutex. `s` keeps its own link: the thread may stand on
 * it. */
static void unlink_from(struct wm_monitor *m, struct wm_subscription *s)
{
    struct wm_subscription *_Atomic *link = &m->list;
    struct wm_subscription *at;

    while ((at = load_link(link)) != s) {
        link = &at->next;
    }
    set_link(link, load_link(&s->next));
}

int wm_monitor_subscribe(struct wm_monitor *m, wm_monitor_fn *call,
                         void *argument, struct wm_subscription **subscription)
{
    struct wm_subscription *s;
    bool child;

    assert(m != NULL);
    if (call == NULL || subscription == NULL) {
        return -EINVAL;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    s->call = call;
    s->argument = argument;
    s->monitor = m;
    *subscription = s;
    pthread_mutex_lock(&m->mutex);
    child = m->child;
    if (!child) {
        append(m, s);
    }
    pthread_mutex_unlock(&m->mutex);
    if (child) {
        *subscription = NULL;
        free(s);
        return -ECHILD;
    }
    return 0;
}

/* Called under the mutex: waits for the end of a call that is running. Acquire:
 * pairs with end_call(). */
static void await_end(struct wm_monitor *m, struct wm_subscription *s)
{
    while ((atomic_load_explicit(&s->state, memory_order_acquire) &
            WM_CALLING) != 0) {
        pthread_cond_wait(&m->changed, &m->mutex);
    }
}

int wm_monitor_unsubscribe(struct wm_subscription *s)
{
    struct wm_monitor *m;
    bool own;

    if (s == NULL) {
        return 0;
    }
    if (wm_rcu_reads()) {
        return -EDEADLK;
    }
    m = s->monitor;
    /* Relaxed: whether we are in its call is a matter of this thread alone. */
    own = wm_monitor_here == m &&
          (atomic_load_explicit(&s->state, memory_order_relaxed) &
           WM_CALLING) != 0;
    /* Before the list is changed: end_call() relies on it. Release and acquire:
     * pairs with begin_call() and with end_call(). */
    atomic_fetch_or_explicit(&s->state, own ? WM_GONE | WM_ORPHAN : WM_GONE,
                             memory_order_acq_rel);
    pthread_mutex_lock(&m->mutex);
    unlink_from(m, s);
    if (!own) {
        await_end(m, s);
    }
    pthread_mutex_unlock(&m->mutex);
    if (!own) {
        wm_rcu_wait();
        free(s);
    }
    return 0;
}
