/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A worker's start and exit, one step at a time.
 *
 * The order of an exit, and why it is this one:
 *
 * 1. What is owed of others comes first: this worker may be the last that can
 *    give it. Its own recoveries follow the stalls that they end.
 * 2. The exit's counts are taken, and its callback runs, while the worker still
 *    counts: two workers that exit one after the other, under the lock, see
 *    each other as 2 and 1.
 * 3. The worker drains after its callback and before the lock is released, so
 *    that the next one to exit does not count it.
 * 4. It closes the generation after it has drained, since a closer finds itself
 *    otherwise; and it takes the ends that are owed before it releases the
 *    lock, so that a worker which leaves meanwhile, and cannot give them, takes
 *    nothing from it.
 *
 * A worker that dies between two steps leaves what protocol.md lists: an event
 * that it took is not given, everything else is found by a sweep. Without the
 * lock the states change all the same [the lock orders callbacks and nothing
 * else], and what is not given stays owed to another. */

#include "events.h"
#include "record.h"

#include <errno.h>

static bool has_lock(const struct wm_worker *w)
{
    return wm_node_held(w->node) != 0;
}

/* An event of the worker's own. */
static struct wm_event own_event(const struct wm_worker *w, uint32_t kind)
{
    return (struct wm_event){
        .kind = kind,
        .spell = w->spell,
        .generation = w->generation,
        .join = w->join,
        .pid = (int32_t)w->pid,
        .slot = w->slot,
        .role = w->role,
    };
}

/* ------------------------------------------------------------------ start */

int wm_start_begin(struct wm_worker *worker)
{
    if (wm_worker_record(worker) == NULL) {
        return -ECHILD;
    }
    worker->step = WM_STEP_START;
    return 0;
}

int wm_start_next(struct wm_worker *worker, struct wm_event *event)
{
    int error;

    if (worker->step != WM_STEP_START) {
        return 0;
    }
    worker->step = WM_STEP_NONE;
    *event = own_event(worker, WM_EVENT_WORKER_START);
    error = wm_worker_start(worker, &event->counts);
    return error < 0 ? error : has_lock(worker);
}

/* ------------------------------------------------------------------- exit */

int wm_exit_begin(struct wm_worker *worker, uint32_t kinds)
{
    if (wm_worker_record(worker) == NULL) {
        return -ECHILD;
    }
    worker->kinds = kinds;
    worker->step = has_lock(worker) ? WM_STEP_OWED : WM_STEP_DRAIN;
    wm_beat(worker);
    return 0;
}

/* A worker that lost its record is counted by nobody: it counts itself in, and
 * is not the last, as it cannot know. */
static void count_exit(struct wm_worker *w, struct wm_counts *counts)
{
    if (wm_worker_exit_counts(w, counts) == 0) {
        return;
    }
    wm_generation_counts(w->node, w->generation, counts);
    counts->mine = counts->mine < 1 ? 2 : counts->mine + 1;
    counts->spell = w->spell;
}

/* Does one step. Returns true if there is an event to give; the worker's step
 * says what comes next. */
static bool exit_step(struct wm_worker *w, struct wm_event *event, int *result)
{
    switch (w->step) {
    case WM_STEP_OWED:
    case WM_STEP_OWED_AFTER:
        if (wm_event_take(w->node, w->kinds, event) > 0) {
            return true;
        }
        w->step++;
        return false;
    case WM_STEP_RECOVERIES:
        w->to_recover += wm_worker_recoveries(w);
        if (w->to_recover == 0) {
            w->step++;
            return false;
        }
        w->to_recover--;
        *event = own_event(w, WM_EVENT_RECOVERED);
        return true;
    case WM_STEP_EXIT:
        w->step++;
        if (w->exit_given) {
            return false;
        }
        /* The mark comes first: whatever the callback does, there is one. */
        w->exit_given = true;
        *event = own_event(w, WM_EVENT_WORKER_EXIT);
        count_exit(w, &event->counts);
        return true;
    case WM_STEP_DRAIN:
        wm_worker_drain(w);
        w->step = has_lock(w) ? WM_STEP_OWED_AFTER : WM_STEP_CLOSE;
        return false;
    case WM_STEP_CLOSE:
        *result = wm_generation_close(w->node, w->generation);
        w->step = has_lock(w) ? WM_STEP_ENDS : WM_STEP_NONE;
        return false;
    default:
        if (wm_event_take_end(w->node, w->generation, event)) {
            return true;
        }
        w->step = WM_STEP_NONE;
        return false;
    }
}

int wm_exit_next(struct wm_worker *worker, struct wm_event *event)
{
    int closed = 0;

    if (wm_worker_record(worker) == NULL) {
        worker->step = WM_STEP_NONE;
        return -ECHILD;
    }
    while (worker->step != WM_STEP_NONE) {
        if (exit_step(worker, event, &closed)) {
            return 1;
        }
    }
    return closed == WM_CLOSED && !has_lock(worker) ? WM_CLOSED : 0;
}

/* --------------------------------------------------------------- in one go */

/* A start or an exit: how it begins, and what comes next. */
struct act {
    int (*begin)(struct wm_worker *worker);
    int (*next)(struct wm_worker *worker, struct wm_event *event);
};

/* Gives all that next returns. */
static int give_all(struct wm_worker *w, const struct act *act,
                    wm_event_fn *give, void *argument)
{
    struct wm_event event;
    int result = act->begin(w);

    if (result != 0) {
        return result;
    }
    while ((result = act->next(w, &event)) == 1) {
        if (give != NULL) {
            give(&event, argument);
        }
    }
    return result < 0 ? result : 0;
}

/* With the lock, or without it where it is not to be had in time. */
static int run(struct wm_worker *w, const struct wm_lock_options *options,
               const struct act *act, wm_event_fn *give, void *argument)
{
    int locked, result;

    if (wm_worker_record(w) == NULL) {
        return -ECHILD;
    }
    locked = wm_lock_acquire(w->node, options);
    if (locked < 0 && locked != -ETIMEDOUT) {
        return locked;
    }
    result = give_all(w, act, give, argument);
    if (locked < 0) {
        return result < 0 ? result : locked;
    }
    wm_lock_release(w->node);
    return result;
}

int wm_start_run(struct wm_worker *worker, const struct wm_lock_options *lock,
                 wm_event_fn *give, void *argument)
{
    static const struct act start = {wm_start_begin, wm_start_next};

    return run(worker, lock, &start, give, argument);
}

static int begin_exit_with_all(struct wm_worker *w)
{
    return wm_exit_begin(w, ~0u);
}

int wm_exit_run(struct wm_worker *worker, const struct wm_lock_options *lock,
                wm_event_fn *give, void *argument)
{
    static const struct act exit = {begin_exit_with_all, wm_exit_next};

    return run(worker, lock, &exit, give, argument);
}
