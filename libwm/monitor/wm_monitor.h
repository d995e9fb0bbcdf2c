/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* libwm-monitor: a thread that follows a node, for programs with threads.
 *
 * A monitor looks at a node by the name of its instance, from any process
 * that may read its segment, whether it takes part in the node or not. Its
 * thread sleeps while nothing happens, but for a short check each second. After
 * each change it publishes a *view*, an immutable snapshot of all there is to
 * see, and calls the subscribers.
 *
 *     wm_monitor_create("shop", NULL, NULL, &monitor);
 *     ...
 *     view = wm_monitor_view_begin(monitor);      any thread, any time
 *     ... a few instructions ...
 *     wm_monitor_view_end(view);
 *     ...
 *     wm_monitor_destroy(monitor);
 *
 * Views are protected by RCU (liburcu's "bulletproof" flavour; no thread needs
 * to be registered): begin and end write to a cache line of the thread's own,
 * take no lock and wait for nobody. The price is that an old view is kept
 * until all who may see it have ended theirs, and the monitor's thread, with
 * everybody else who waits for a grace period of that flavour, waits for them.
 * So between begin and end do not sleep, do not fork, and do not call the
 * functions below that say so.
 *
 * Where there is no node to follow there is a view as well, which says why;
 * the monitor goes on to look for one. A node that ends and begins again has a
 * new segment, and the monitor follows the name to it.
 *
 * Results are those of wm.h: 0, or a negative errno; wm_strerror() knows them.
 *
 * Processes. A monitor belongs to the process that made it. In a forked child
 * it is stopped: the last view stays what it is, nobody is called any more, and
 * subscribing returns -ECHILD. Unsubscribing and destroying work there, but not
 * inside the call of a subscriber that has forked. fork() waits
 * for a grace period that has begun, and for a look at the directory. A program
 * that itself calls urcu_bp_before_fork() around fork() must not use this
 * library, which does it for everybody in the process by pthread_atfork();
 * children made in another way than fork() must not use an inherited monitor.
 *
 * Threads. Any thread may call any function at any time, from inside a
 * subscriber as well, if there is no word to the contrary. Of create and
 * destroy of one monitor, and of subscribe and unsubscribe of one subscription,
 * each is called once, and a handle is dead when its second was called.
 *
 * Signals. Nothing here is async-signal-safe. The monitor's own thread takes
 * none but those that a fault in it raises (SIGSEGV, SIGBUS, SIGFPE, SIGILL,
 * SIGTRAP, SIGSYS, SIGABRT).
 *
 * What may run against what, over all threads:
 *
 *                   view  subscribe  unsubscribe  create  destroy    fork
 *     view          yes   yes        yes          yes     yes: it    yes
 *                                                         waits
 *     subscribe     yes   yes        yes          yes     no         yes
 *     unsubscribe   yes   yes        others'      yes     no         yes
 *
 * where a view may have begun, but must not begin, when destroy is called. */

#ifndef WM_MONITOR_H
#define WM_MONITOR_H

#include <wm.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wm_monitor;
struct wm_subscription;

/* What wm_monitor_create() is to mind. */
struct wm_monitor_options {
    uint32_t size;     /* sizeof(struct wm_monitor_options) */
    uint32_t check_ms; /* see wm_monitor_create(); 0: 1,000 */
};

/* What there was to see at one moment, and nothing that came later: a beat
 * makes no view, so that beat_at of a worker is as of taken_at and goes stale,
 * and neither does the end of a generation that is given out (exits_given). A
 * worker that was killed is seen to be dead when a process of the node sweeps.
 * A view that is not live tells of the dead segment, if there is one that can
 * be read. */
struct wm_view {
    uint64_t number;    /* of the view, counts up from 1 */
    uint64_t taken_at;  /* ms, as wm_now() */
    uint32_t live;      /* 1: somebody takes part in the node */
    int32_t error;      /* not live: why. -ENOENT: there is none; -ESRCH: only
                           one that nobody takes part in any more; or what
                           wm_node_list() or wm_node_open() said. Else 0 */
    uint32_t epoch;     /* of the node, taken before the look */
    uint32_t unsettled; /* 1: it kept changing; another view will follow */
    uint32_t worker_count;
    uint32_t generation_count;
    uint32_t worker_size;                 /* of an element of workers */
    uint32_t generation_size;             /* of an element of generations */
    const struct wm_worker_info *workers; /* wm_view_worker() */
    const struct wm_generation_info *generations; /* wm_view_generation() */
    const struct wm_leader *leader;
    char name[128]; /* of the segment's file, "" if there is none */
};

/* A worker of a view, by slot, and a generation, oldest first: also where the
 * library's elements are longer than those of this header.
 * i: less than the view's count. Wait-free. */
static inline const struct wm_worker_info *
wm_view_worker(const struct wm_view *view, uint32_t i)
{
    return (const struct wm_worker_info *)(const void *)((const char *)
                                                             view->workers +
                                                         (size_t)i *
                                                             view->worker_size);
}

static inline const struct wm_generation_info *
wm_view_generation(const struct wm_view *view, uint32_t i)
{
    return (const struct wm_generation_info
                *)(const void *)((const char *)view->generations +
                                 (size_t)i * view->generation_size);
}

/* Looks at the node for the first time and starts the thread.
 *
 * The thread sleeps on the node's epoch (wm_wait), and so is woken by each
 * change of the membership and by nothing else, heartbeats for one. The dead
 * wake nobody, and neither does a segment that is not there yet: so, when
 * nothing has changed for check_ms, it also looks whether anybody still takes
 * part in the segment, and, where nobody does, whether there is a new one.
 * That look reads the directory and tries the locks of the instance's segments:
 * some ten system calls, some ten microseconds, once a second by default, are
 * what a monitor costs while nothing happens.
 *
 * It stays with a life until nobody takes part in it, even where the next one
 * is up: an old worker that drains is enough. A node in anonymous memory is in
 * no directory, and not to be found; one whose file was unlinked is given up at
 * the next such look. Where that look finds no descriptors or no memory to ask
 * with, the view stays what it is.
 *
 * instance: as of wm_node_attach(). directory: NULL for /dev/shm; need not
 * exist yet. options: NULL for none. monitor: out.
 * Returns 0, also where there is no node, which the view says; -EINVAL; -E2BIG:
 * options of a later version; -ENOMEM; -EAGAIN: no thread to be had. Blocking
 * (file system). */
int wm_monitor_create(const char *instance, const char *directory,
                      const struct wm_monitor_options *options,
                      struct wm_monitor **monitor);

/* Ends the thread, waits for it (and so for a subscriber that it is calling),
 * ends all subscriptions, waits for views that have begun, and frees all. What
 * wm_monitor_unsubscribe() says of waiting goes for it as well.
 * monitor: NULL does nothing.
 * Returns 0; -EDEADLK, and has done nothing: called between begin and end of a
 * view, or by a subscriber of this monitor, also in a child that it has forked.
 * Blocking. */
int wm_monitor_destroy(struct wm_monitor *monitor);

/* Begins to look at the latest view, which will stay what it is until the
 * matching end, in the same thread. Views of one thread may be nested.
 * Returns it, never NULL. Wait-free, some nanoseconds; a thread's first call
 * takes a lock and memory. */
const struct wm_view *wm_monitor_view_begin(const struct wm_monitor *monitor);

/* view: what begin has returned; not to be touched any more. Wait-free. */
void wm_monitor_view_end(const struct wm_view *view);

/* Called by the monitor's thread, one subscriber at a time in the order of
 * subscription. It may take its time (the next view is late then), may do all
 * that this header offers but destroy its monitor, and may fork: the child has
 * this thread alone, and ends when the function returns. The thread's signals
 * are blocked, and so are those of a child that it makes, in whatever way: set
 * the mask there (pthread_sigmask(), posix_spawnattr_setsigmask()), or SIGTERM
 * will not end it.
 * before, now: the view that was the latest, and the one that is; both good
 * until it returns. */
typedef void wm_monitor_fn(const struct wm_view *before,
                           const struct wm_view *now, void *argument);

/* From now on the function is called for each new view: look at the latest one
 * after subscribing, and nothing is missed.
 * call, argument: see there. subscription: out, written before the first call;
 * to be given back by unsubscribe, else it ends with the monitor.
 * Returns 0; -EINVAL; -ENOMEM; -ECHILD: a forked child. Blocking (a short
 * lock). */
int wm_monitor_subscribe(struct wm_monitor *monitor, wm_monitor_fn *call,
                         void *argument, struct wm_subscription **subscription);

/* Ends a subscription. When it has returned, the function is not running and
 * will not be called again; only from inside this very function's call it
 * returns at once, and then that call is the last. It waits for a call that is
 * running, so do not hold what the function waits for, nor wait in a cycle:
 * subscribers of two monitors that each end the other's subscription, or the
 * other's monitor, at the same time, wait for ever.
 * subscription: NULL does nothing.
 * Returns 0; -EDEADLK, and has done nothing: called between begin and end of a
 * view. Blocking. */
int wm_monitor_unsubscribe(struct wm_subscription *subscription);

#ifdef __cplusplus
}
#endif

#endif
