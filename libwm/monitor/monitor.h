/* SPDX-License-Identifier: Apache-2.0 */

/* The monitor's inside, in the order of README.md: each part calls those
 * above it in this file, and none below.
 *
 * Locks, in the order in which they are taken: liburcu's own; the one of a
 * thread that looks for segments, and the one of the list of monitors; a
 * monitor's mutex. A thread that holds one of ours waits for no grace period,
 * begins no read, calls no subscriber, and calls no function of libwm that
 * takes the lock of its registry: fork() takes all these locks, and we cannot
 * choose whether it takes the registry's before or after ours. A thread may
 * take a mutex inside a read. */

#ifndef WM_MONITOR_INSIDE_H
#define WM_MONITOR_INSIDE_H

#include "rcu.h"
#include "wm_monitor.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#define WM_MONITOR_LINE 128 /* two cache lines: they are fetched in pairs */

/* In wm_subscription.state. */
#define WM_CALLING 1u /* the thread is in the function, or about to be */
#define WM_GONE 2u    /* unsubscribed: not to be called again */
#define WM_ORPHAN 4u  /* unsubscribed in its own call: the thread frees it */

struct wm_subscription {
    /* Written under the mutex; the thread follows it, inside a read. */
    struct wm_subscription *_Atomic next;
    /* The thread sets and clears CALLING, the unsubscriber sets the others. */
    _Atomic uint32_t state;
    uint64_t number; /* in the order of subscription, from 1 */
    wm_monitor_fn *call;
    void *argument;
    struct wm_monitor *monitor;
    struct wm_subscription *orphan; /* the thread's own list */
};

struct wm_monitor {
    /* The thread writes it, under the mutex; all threads that look read it. It
     * is alone on its lines, so that nothing else disturbs them. */
    alignas(WM_MONITOR_LINE) struct wm_view *_Atomic view;

    alignas(WM_MONITOR_LINE) pthread_mutex_t mutex;
    /* Under the mutex: */
    pthread_cond_t changed; /* stop, asleep, and a call that has ended */
    bool stop;              /* the thread is to end */
    bool asleep;            /* it is, or is about to be, in wm_wait */
    bool child;             /* this is a forked child's copy */
    uint64_t subscribed;    /* number of the last subscription */
    struct wm_subscription *_Atomic list; /* as their `next` */

    /* Only the thread uses these; create does before it runs, and destroy after
     * it has ended. Pointers change under the mutex, so that a fork finds them
     * whole. */
    struct wm_node *node;            /* NULL: nothing that can be read */
    struct wm_view *look;            /* room for one, and its lists */
    struct wm_view *retired;         /* replaced, not freed yet */
    struct wm_subscription *orphans; /* gone, not freed yet */
    uint32_t capacity;               /* of the node that there is room for */
    int error;                       /* 0: the node is live */
    uint32_t others;   /* live segments beside the one that is followed */
    bool moved;        /* to another segment since the last view */
    bool failed;       /* no memory for the last view */
    uint64_t check_at; /* ms: when to look for the segment */
    uint64_t rest_to;  /* ms: until then there is no other view */

    /* Constant: */
    uint32_t check_ms;
    uint32_t rest_ms;
    bool forks_guarded; /* by the program */
    char *instance;
    char *directory; /* NULL: the default */
    pthread_t thread;
    /* In the list of monitors, under its mutex: */
    struct wm_monitor *next;
};

/* The monitor whose thread this is, or NULL; it survives a fork. */
extern _Thread_local struct wm_monitor *wm_monitor_here;

/* A condition whose time is CLOCK_MONOTONIC. */
int wm_monitor_init_condition(pthread_cond_t *condition);

/* Calls the subscribers up to this number. In the thread. */
void wm_monitor_tell(struct wm_monitor *monitor, const struct wm_view *before,
                     const struct wm_view *now, uint64_t last);
/* Frees subscriptions that ended in their own call. After a grace period. */
void wm_monitor_free_orphans(struct wm_monitor *monitor);
/* Frees all subscriptions. After a grace period, with the thread gone. */
void wm_monitor_free_subscriptions(struct wm_monitor *monitor);
/* In a child: forgets calls that were running, which have no thread there. */
void wm_monitor_forget_calls(struct wm_monitor *monitor);

/* Starts the thread and adds the monitor to the list, with no fork in between;
 * takes it off the list. */
int wm_monitor_enlist(struct wm_monitor *monitor, void *(*run)(void *));
void wm_monitor_delist(struct wm_monitor *monitor);

/* Looks at the node; if there is anything new, publishes it, tells the
 * subscribers and returns true. In the thread, or before there is one. */
bool wm_monitor_look(struct wm_monitor *monitor);
/* Makes room for all that can be seen in a node of this capacity; -ENOMEM. */
int wm_monitor_make_room(struct wm_monitor *monitor, uint32_t capacity);

/* Finds the segment to look at, and sets node and error; lets it go. Blocking
 * (file system). */
void wm_monitor_follow(struct wm_monitor *monitor);
void wm_monitor_unfollow(struct wm_monitor *monitor);

#endif
