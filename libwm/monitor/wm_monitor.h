/* SPDX-License-Identifier: Apache-2.0 */

/* libwm-monitor: a thread that follows a node, for programs with threads.
 *
 * A monitor looks at a node by the name of its instance, from any process
 * that may read its segment, whether it takes part in the node or not. Its
 * thread sleeps while nothing happens, but for a short check each second. After
 * a change it publishes a *view*, an immutable snapshot of all there is to see,
 * and calls the subscribers: at once if nothing has changed for rest_ms. The
 * changes that follow within that time make one view together, so that the cost
 * of many is bounded.
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
 * take no lock and wait for nobody. The price: the monitor's thread keeps an
 * old view until every thread that may see it has ended its look, and waits for
 * these threads; so does every other thread that waits for a grace period of
 * that flavour. So do not sleep and do not fork between begin and end, and do
 * not call the functions below that return -EDEADLK there.
 *
 * If there is no node to follow, there is a view as well, which says why, and
 * the monitor goes on looking for a node. A node that ends and begins again has
 * a new segment, and the monitor follows the name to it.
 *
 * Results are those of wm.h: 0, or a negative errno; wm_strerror() knows them.
 * As there, a handle must not be NULL unless a function says otherwise, and a
 * build without NDEBUG names the function, and aborts.
 *
 * Processes. A monitor belongs to the process that made it. In a forked child
 * it is stopped: the last view stays what it is, no subscriber is called any
 * more, and subscribing returns -ECHILD. Unsubscribing and destroying work
 * there, but not inside the call of a subscriber that has forked. fork() waits
 * for a grace period that has begun, since the library calls
 * urcu_bp_before_fork() for the whole process, by pthread_atfork(). If the
 * program, or another library in it, calls that as well, fork() waits for ever.
 * Then set forks_guarded: the library leaves the calls to the other one, which
 * has to make the first of them before the library's handler runs: around
 * fork(), or by a pthread_atfork() that comes after the first monitor was
 * created. That monitor's option holds for the process. A child that was made
 * in another way than fork() must not use an inherited monitor.
 *
 * Threads. Any thread may call any function at any time, also from inside a
 * subscriber, unless the function says otherwise. A monitor is created once and
 * destroyed once; a subscription is made once and ended once. The handle is
 * dead afterwards.
 *
 * Signals. Nothing here is async-signal-safe. The monitor's own thread blocks
 * all signals but those that a fault in it raises (SIGSEGV, SIGBUS, SIGFPE,
 * SIGILL, SIGTRAP, SIGSYS, SIGABRT).
 *
 * This table says which functions may run at the same time, over all threads:
 *
 *                   view  subscribe  unsubscribe  create  destroy    fork
 *     view          yes   yes        yes          yes     yes: it    yes
 *                                                         waits
 *     subscribe     yes   yes        yes          yes     no         yes
 *     unsubscribe   yes   yes        others'      yes     no         yes
 *
 * A view may have begun when destroy is called, but none may begin from then
 * on. */

#ifndef WM_MONITOR_H
#define WM_MONITOR_H

#include <wm.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wm_monitor;
struct wm_subscription;

/* Options of wm_monitor_create(). */
struct wm_monitor_options {
    uint32_t size;          /* sizeof(struct wm_monitor_options) */
    uint32_t check_ms;      /* see wm_monitor_create(); 0: 1,000 */
    uint32_t forks_guarded; /* 1: urcu_bp_before_fork(), _after_fork_parent()
                               and _after_fork_child() are called by another
                               than the library: above, "Processes" */
    uint32_t rest_ms;       /* the least time from one view to the next that a
                               change makes, ms; 0: 10; less than check_ms */
};

/* A node as it was at one moment. Two changes make no new view: a beat, so that
 * beat_at of a worker is as old as taken_at; and an end of a generation that is
 * given (exits_given). A worker that was killed shows as dead once a process of
 * the node has swept. A view that is not live tells of the dead segment, if
 * there is one that can be read. */
struct wm_view {
    uint64_t number;    /* of the view, counts up from 1 */
    uint64_t taken_at;  /* ms, as wm_now() */
    uint32_t live;      /* 1: somebody takes part in the node */
    int32_t error;      /* 0 if live, else why not: -ENOENT: no segment;
                           -ESRCH: nobody takes part in it any more; or an
                           error of wm_node_list() or wm_node_open() */
    uint32_t epoch;     /* of the node, taken before the look */
    uint32_t unsettled; /* 1: the node kept changing; a view will follow */
    uint32_t worker_count;
    uint32_t generation_count;
    uint32_t worker_size;                 /* of an element of workers */
    uint32_t generation_size;             /* of an element of generations */
    const struct wm_worker_info *workers; /* wm_view_worker() */
    const struct wm_generation_info *generations; /* wm_view_generation() */
    const struct wm_leader *leader;
    char name[128];    /* of the segment's file, "" if there is none */
    uint32_t others;   /* lives of the instance in which somebody takes part, at
                          the last check, beside this one; not strangers' */
    uint32_t reserved; /* 0 */
};

/* An element of a view's lists: a worker, by slot, or a generation, oldest
 * first. These two also work where the library's elements are longer than those
 * of this header.
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
 * The thread sleeps on the node's epoch (wm_wait), once rest_ms have passed
 * since the last view. So each change of the membership wakes it, and nothing
 * else does; a heartbeat does not. A dead
 * process wakes nobody, and neither does a segment that does not exist yet. So,
 * when nothing has changed for check_ms, the thread also checks whether anybody
 * still takes part in the segment, and, if nobody does, whether there is a new
 * one. This check reads the directory and tries the locks of the instance's
 * segments. It is all that a monitor costs while nothing happens: some ten
 * system calls, some ten microseconds, once a second by default.
 *
 * Of several lives of the node the monitor follows the one that wm_node_open()
 * takes, that of the youngest living master, and goes on in a younger one at
 * the next check, also while old workers drain. It does not find a node in
 * anonymous memory, which is in no directory. If the file of a node was
 * unlinked, the monitor gives the node up at the next check. If the check lacks
 * descriptors or memory, the view stays what it is.
 *
 * instance: as in wm_node_attach(). directory: NULL for /dev/shm; need not
 * exist yet. options: NULL for none. monitor: out.
 * Returns 0, also if there is no node: the view says so; -EINVAL; -E2BIG:
 * options of a later version; -ENOMEM; -EAGAIN: the system grants no thread.
 * Blocking (file system). */
int wm_monitor_create(const char *instance, const char *directory,
                      const struct wm_monitor_options *options,
                      struct wm_monitor **monitor);

/* Ends the thread, waits for it (and so for a subscriber that it is calling),
 * ends all subscriptions, waits for views that have begun, and frees all. The
 * rules for waiting are those of wm_monitor_unsubscribe().
 * monitor: NULL does nothing.
 * Returns 0; -EDEADLK, and has done nothing: it was called between begin and
 * end of a view, or by a subscriber of this monitor, also in a child that the
 * subscriber has forked. Blocking. */
int wm_monitor_destroy(struct wm_monitor *monitor);

/* Begins a look at the latest view, which stays what it is until the same
 * thread calls the matching end. Looks of one thread may be nested.
 * Returns the view, never NULL. Wait-free, some nanoseconds; the first call of
 * a thread takes a lock and memory. */
const struct wm_view *wm_monitor_view_begin(const struct wm_monitor *monitor);

/* Ends a look.
 * view: the view that begin has returned; do not touch it any more.
 * Wait-free. */
void wm_monitor_view_end(const struct wm_view *view);

/* A subscriber. The monitor's thread calls one subscriber at a time, in the
 * order of subscription. A subscriber may take its time (the next view is then
 * late), may call every function of this header but wm_monitor_destroy() for
 * its own monitor, and may fork: the child has this thread alone, and ends when
 * the function returns. Signals are blocked in the thread, and so in each child
 * process that a subscriber makes, in whatever way: set the mask there
 * (pthread_sigmask(), posix_spawnattr_setsigmask()), or SIGTERM will not end
 * the child.
 * before, now: the view that was the latest, and the one that is now; both stay
 * good until the function returns. */
typedef void wm_monitor_fn(const struct wm_view *before,
                           const struct wm_view *now, void *argument);

/* Subscribes a function: from now on it is called for each new view. A caller
 * that looks at the latest view after subscribing misses nothing.
 * call, argument: see wm_monitor_fn. subscription: out, written before the
 * first call; wm_monitor_unsubscribe() ends it, else it ends with the monitor.
 * Returns 0; -EINVAL; -ENOMEM; -ECHILD: a forked child. Blocking (a short
 * lock). */
int wm_monitor_subscribe(struct wm_monitor *monitor, wm_monitor_fn *call,
                         void *argument, struct wm_subscription **subscription);

/* Ends a subscription. It waits for a call of the subscriber that is running;
 * when it has returned, the subscriber is not running and will not be called
 * again. From inside the subscriber's own call it returns at once, and that
 * call is the last. Since it waits, do not hold anything that the subscriber
 * waits for, and do not wait in a cycle: two subscribers of different monitors
 * wait for ever if each ends the other's subscription, or the other's monitor,
 * at the same time.
 * subscription: NULL does nothing.
 * Returns 0; -EDEADLK, and has done nothing: it was called between begin and
 * end of a view. Blocking. */
int wm_monitor_unsubscribe(struct wm_subscription *subscription);

#ifdef __cplusplus
}
#endif

#endif
