/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's start and exit, one step at a time.
 *
 * The order of an exit, and why it is this one:
 *
 * 1. Events that are owed of others come first: this worker may be the last
 *    that can give them. Its own recoveries follow the stalls that they end.
 * 2. The exit's counts are taken, and its callback runs, while the worker still
 *    counts: two workers that exit one after the other, under the lock, count 2
 *    and 1.
 * 3. The worker drains after its callback and before the lock is released, so
 *    that the next one to exit does not count it.
 * 4. It closes the generation after it has drained, since a closer that has not
 *    drained finds itself. It does so in the same step: if its thread is ended
 *    in a callback from then on, the end is owed, and another process gives it.
 *    It takes the owed ends before it releases the lock; so a worker that
 *    leaves meanwhile, and cannot give them, does not take them away.
 *
 * A worker that dies between two steps leaves one of the states that
 * protocol.md lists: an event that it took is not given, and a sweep finds
 * everything else. Without the lock the worker's state changes all the same,
 * since the lock orders callbacks and nothing else; events that it does not
 * give stay owed to another process. */

#include "events.h"
#include "generation.h"
#include "record.h"
#include "worker.h"

#include <errno.h>

/* Whether the caller gives events of this kind. */
static bool gives(const struct wm_worker *w, enum wm_event_kind kind)
{
    return (w->kinds & 1u << kind) != 0;
}

/* An event of the worker's own. */
static struct wm_event own_event(const struct wm_worker *w, uint32_t kind)
{
    return (struct wm_event){
        .size = sizeof(struct wm_event),
        .kind = kind,
        .spell = w->spell,
        .generation = w->generation,
        .join = w->join,
        .pid = (int32_t)w->pid,
        .slot = w->slot,
        .role = w->role,
    };
}

/* Both next functions look here first. */
static int may_go_on(struct wm_worker *w)
{
    int error = wm_worker_usable(w);

    if (error == -ECHILD) {
        w->step = WM_STEP_NONE;
    }
    return error;
}

/* Each step has a bound of its own, so that no event of one keeps those of a
 * later one from being given. If the node seems to owe more than that, a
 * process has scribbled, or another worker gives the rest. */
static void enter(struct wm_worker *w, enum wm_step step)
{
    const struct wm_geometry *g = &w->node->segment.geometry;

    w->step = step;
    w->most = g->capacity + g->generations;
}

static int begin(struct wm_worker *w, enum wm_step step, uint32_t kinds)
{
    if (wm_worker_record(w) == NULL) {
        return -ECHILD;
    }
    enter(w, step);
    w->kinds = kinds;
    return 0;
}

/* ------------------------------------------------------------------ start */

int wm_start_begin(struct wm_worker *worker, uint32_t kinds)
{
    WM_REQUIRE(worker);
    if (worker->exit_begun && wm_worker_record(worker) != NULL) {
        return -ESTALE;
    }
    return begin(worker, WM_STEP_START, kinds);
}

static int start_next(struct wm_worker *worker, struct wm_event *event)
{
    int error = may_go_on(worker);

    if (error != 0) {
        return error;
    }
    if (worker->exit_begun) {
        return -ESTALE;
    }
    if (worker->step != WM_STEP_START) {
        return 0;
    }
    *event = own_event(worker, WM_EVENT_WORKER_START);
    error = wm_worker_start_as(
        worker, worker->start_given || gives(worker, WM_EVENT_WORKER_START),
        &event->counts);
    if (error < 0) {
        return error; /* again, if it is called again */
    }
    worker->step = WM_STEP_NONE;
    if (worker->start_given || !gives(worker, WM_EVENT_WORKER_START)) {
        return 0;
    }
    worker->start_given = true;
    return 1;
}

/* ------------------------------------------------------------------- exit */

int wm_exit_begin(struct wm_worker *worker, uint32_t kinds)
{
    WM_REQUIRE(worker);

    wm_beat(worker);
    worker->exit_begun = true;
    return begin(worker, WM_STEP_OWED, kinds);
}

/* No count includes a helper, or a worker that lost its record. So it counts
 * itself in, and is not the last. */
static void count_exit(struct wm_worker *w, struct wm_counts *counts)
{
    if (wm_worker_exit_counts(w, counts) == 0 && w->role == WM_ROLE_WORKER) {
        return;
    }
    wm_generation_counts(w->node, w->generation, counts);
    counts->mine = counts->mine < 1 ? 2 : counts->mine + 1;
    counts->spell = w->spell;
}

/* Does one step. Returns true if there is an event to give; the worker's step
 * says what comes next. */
static bool exit_step(struct wm_worker *w, struct wm_event *event)
{
    switch (w->step) {
    case WM_STEP_OWED:
    case WM_STEP_OWED_AFTER:
        if (w->kinds != 0 && w->most > 0 &&
            wm_event_take(w->node, w->kinds, event) > 0) {
            w->most--;
            return true;
        }
        break;
    case WM_STEP_RECOVERIES:
        if (gives(w, WM_EVENT_RECOVERED) && w->most > 0 &&
            wm_worker_recovery_take(w) == 1) {
            w->most--;
            *event = own_event(w, WM_EVENT_RECOVERED);
            return true;
        }
        break;
    case WM_STEP_EXIT:
        enter(w, w->step + 1);
        if (w->exit_given) {
            return false;
        }
        /* The mark comes first, so the exit is given once, whatever the
         * callback does. */
        w->exit_given = true;
        *event = own_event(w, WM_EVENT_WORKER_EXIT);
        if (gives(w, WM_EVENT_WORKER_EXIT)) {
            count_exit(w, &event->counts);
            return true;
        }
        return false;
    case WM_STEP_DRAIN:
        enter(w, w->step + 1);
        wm_worker_drain(w);
        /* It closes at once: if the callback's thread is ended, the end is
         * owed, and another process gives it. Then it looks for those that died
         * meanwhile, over whom it has closed: they come before the end. */
        if (wm_generation_close(w->node, w->generation) == WM_CLOSED) {
            w->has_closed = true;
            wm_sweep(w->node, w);
        }
        if (w->drained_given || !gives(w, WM_EVENT_DRAINED)) {
            return false;
        }
        w->drained_given = true;
        *event = own_event(w, WM_EVENT_DRAINED);
        return true;
    default:
        if (gives(w, WM_EVENT_MASTER_EXIT) && w->most > 0 &&
            wm_event_take_end(w->node, w->generation, event)) {
            w->most--;
            return true;
        }
        w->step = WM_STEP_NONE;
        return false;
    }
    enter(w, w->step + 1);
    return false;
}

static int exit_next(struct wm_worker *worker, struct wm_event *event)
{
    int error = may_go_on(worker);

    if (error != 0) {
        return error;
    }
    while (worker->step >= WM_STEP_OWED) { /* not a start that has begun */
        if (exit_step(worker, event)) {
            return 1;
        }
    }
    if (worker->has_closed) {
        worker->has_closed = false;
        return wm_generation_owes(worker->node, worker->generation) ? WM_CLOSED
                                                                    : 0;
    }
    return 0;
}

/* ---------------------------------------------------------- one at a time */

/* The caller's event may be shorter or longer than the library's. */
static int next_as(struct wm_worker *worker, struct wm_event *event,
                   int (*next)(struct wm_worker *, struct wm_event *))
{
    struct wm_event own = {.size = sizeof(own)};
    int result = wm_sized_check(event, WM_LEAST(wm_event, counts));

    if (result == 0) {
        result = next(worker, &own);
        if (result == 1) {
            wm_sized_write(event, &own, sizeof(own));
        }
    }
    return result;
}

int wm_start_next(struct wm_worker *worker, struct wm_event *event)
{
    WM_REQUIRE(worker);
    return next_as(worker, event, start_next);
}

int wm_exit_next(struct wm_worker *worker, struct wm_event *event)
{
    WM_REQUIRE(worker);
    return next_as(worker, event, exit_next);
}

/* --------------------------------------------------------------- in one go */

/* A start or an exit: its begin function and its next function. */
struct act {
    uint32_t purpose; /* of the lock, unless the caller names another */
    int (*begin)(struct wm_worker *worker, uint32_t kinds);
    int (*next)(struct wm_worker *worker, struct wm_event *event);
};

/* Gives all events that the next function returns, under the lock. */
static int give_all(struct wm_worker *w, const struct act *act, uint32_t kinds,
                    wm_event_fn *give, void *argument)
{
    struct wm_event event = {.size = sizeof(event)};
    int result = act->begin(w, kinds);

    if (result != 0) {
        return result;
    }
    while ((result = act->next(w, &event)) == 1) {
        if (give != NULL) {
            give(&event, argument);
        }
        if (wm_node_held(w->node) == 0) {
            w->kinds = 0; /* the function has given the lock back */
        }
    }
    return result < 0 ? result : 0;
}

/* Does the act with the lock, or without it if it does not get it in time. */
static int run(struct wm_worker *w, const struct wm_lock_options *options,
               const struct act *act, wm_event_fn *give, void *argument)
{
    struct wm_lock_options own = {.size = sizeof(own)};
    int locked, result;

    if (wm_worker_record(w) == NULL) {
        return -ECHILD;
    }
    if (options != NULL) {
        result = wm_sized_read(&own, sizeof(own),
                               WM_LEAST(wm_lock_options, wait_ms), options);
        if (result != 0) {
            return result;
        }
        own.size = sizeof(own);
    }
    if (own.purpose == 0) {
        own.purpose = act->purpose;
    }
    locked = wm_lock_acquire(w->node, &own);
    if (locked == -ETIMEDOUT) {
        result = give_all(w, act, 0, NULL, NULL);
        return result < 0 ? result : -ETIMEDOUT;
    }
    if (locked < 0) {
        return locked;
    }
    result = give_all(w, act, WM_EVENTS_ALL, give, argument);
    wm_lock_release(w->node);
    return result;
}

static const struct act start_act = {WM_PURPOSE_WORKER_START, wm_start_begin,
                                     start_next};
static const struct act exit_act = {WM_PURPOSE_WORKER_EXIT, wm_exit_begin,
                                    exit_next};

int wm_start_run(struct wm_worker *worker, const struct wm_lock_options *lock,
                 wm_event_fn *give, void *argument)
{
    WM_REQUIRE(worker);
    return run(worker, lock, &start_act, give, argument);
}

int wm_exit_run(struct wm_worker *worker, const struct wm_lock_options *lock,
                wm_event_fn *give, void *argument)
{
    WM_REQUIRE(worker);
    return run(worker, lock, &exit_act, give, argument);
}
