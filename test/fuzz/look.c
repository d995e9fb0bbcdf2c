/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Looks at a segment, and acts on it, whatever its bytes are. */

#include "fuzz.h"

#include "log.h"

#include <errno.h>
#include <string.h>

#define TAKES 64 /* of what may be owed a million times */

/* Lists of exactly this room lie on the heap: one entry too many is seen. */
static void look_at_workers(const struct wm_node *n, uint32_t room)
{
    const uint32_t capacity = n->segment.geometry.capacity;
    struct wm_worker_info *list = malloc((room + !room) * sizeof(*list));
    uint32_t count = 0;
    const int result = wm_snapshot(n, list, sizeof(*list), room, &count);

    HOLD(count <= room && count <= capacity);
    HOLD(result == 0 || result == WM_UNSETTLED || result == -ENOSPC);
    for (uint32_t i = 0; i < count; i++) {
        HOLD(list[i].slot < capacity && list[i].state >= WM_JOINING &&
             list[i].state <= WM_CRASHED && list[i].pid >= 0);
    }
    free(list);
}

static void look_at_generations(const struct wm_node *n, uint32_t room)
{
    struct wm_generation_info *list = malloc((room + !room) * sizeof(*list));
    struct wm_counts counts;
    uint32_t count = 0;
    const int result = wm_generations(n, list, sizeof(*list), room, &count);

    HOLD((result == 0 && count <= room) || (result == -ENOSPC && count > room));
    for (uint32_t i = 0; i < (count < room ? count : room); i++) {
        wm_generation_counts(n, list[i].id, &counts);
        HOLD(counts.mine >= 0 &&
             counts.mine <= (int32_t)n->segment.geometry.capacity);
    }
    free(list);
}

static void look_at_log(const struct wm_node *n, uint64_t since, uint32_t room)
{
    struct wm_log_entry *list = malloc((room + !room) * sizeof(*list));
    uint64_t missed;
    uint32_t count;
    int result;

    HOLD(wm_log_read_within(n, &since, list, sizeof(*list), room, &count,
                            &missed, 0) == 0);
    result = wm_log_read(n, &since, list, sizeof(*list), room, &count, &missed);
    HOLD(result == 0 || result == WM_UNSETTLED);
    HOLD(count <= room);
    free(list);
}

void look(const struct wm_node *n)
{
    const uint32_t capacity = n->segment.geometry.capacity;
    struct wm_node_info info = {.size = sizeof(info)};
    struct wm_lock_holder holder = {.size = sizeof(holder)};
    struct wm_leader leader = {.size = sizeof(leader)};
    struct wm_counts counts;

    wm_node_describe(n, &info);
    HOLD(strnlen(info.instance, WM_INSTANCE_SIZE) < WM_INSTANCE_SIZE);
    look_at_workers(n, capacity);
    look_at_workers(n, capacity / 2);
    look_at_generations(n, n->segment.geometry.generations);
    look_at_generations(n, 1);
    wm_generation_counts(n, 0, &counts);
    wm_generation_counts(n, UINT64_MAX, &counts);
    look_at_log(n, 0, 8);
    look_at_log(n, UINT64_MAX - 2, 1);
    HOLD(wm_events_owed(n, ~0u) >= 0);
    wm_leader_inspect(n, &leader);
    HOLD(leader.slot == WM_NO_SLOT || leader.slot < capacity);
    wm_lock_inspect(n, &holder);
    wm_wake(n);
    wm_wait(n, wm_epoch(n) + 1, 1);
}

static void count_event(const struct wm_event *event, void *count)
{
    HOLD(event->kind >= WM_EVENT_MASTER_EXIT &&
         event->kind <= WM_EVENT_STALLED &&
         (event->kind == WM_EVENT_MASTER_EXIT ? event->slot == WM_NO_SLOT
                                              : event->slot < CAPACITY));
    ++*(uint32_t *)count;
}

static void act_sweep(struct wm_worker *w)
{
    uint32_t count = 0;

    wm_sweep(w->node, NULL);
    wm_sweep(w->node, w);
    wm_events_give(w->node, w, count_event, &count);
    HOLD(count <= CAPACITY + w->node->segment.geometry.generations);
}

static void act_take(struct wm_worker *w)
{
    struct wm_event event = {.size = sizeof(event)};
    uint64_t ids[] = {0, 1, 2, w->generation, UINT64_MAX};
    int left = TAKES;

    while (left-- > 0 && wm_event_take(w->node, ~0u, &event) == 1) {
    }
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        wm_generation_close(w->node, ids[i]);
        wm_generation_abandon(w->node, ids[i]);
        left = TAKES;
        while (left-- > 0 &&
               wm_generation_take_exit(w->node, ids[i], NULL) == 1) {
        }
    }
}

static void act_live(struct wm_worker *w)
{
    struct wm_counts counts;
    struct wm_leader leader = {.size = sizeof(leader)};

    wm_tick(w, 1000);
    wm_beat(w);
    wm_worker_start(w, &counts);
    wm_worker_recoveries(w);
    wm_leader_stand(w, &leader);
    HOLD(leader.slot == WM_NO_SLOT || leader.slot < CAPACITY);
    wm_worker_has_record(w);
    wm_worker_exit_counts(w, &counts);
}

static bool may_wait;

static void act_lock(struct wm_worker *w)
{
    const struct wm_lock_options brief = {
        .size = sizeof(brief), .hold_ms = 1, .wait_ms = 1};

    if (wm_lock_try(w->node, 0, 1) >= 0) {
        wm_lock_release(w->node);
    }
    if (may_wait && wm_lock_acquire(w->node, &brief) >= 0) {
        HOLD(wm_lock_acquire(w->node, &brief) == -EDEADLK ||
             wm_lock_acquire(w->node, &brief) == -EUCLEAN);
        wm_lock_release(w->node);
    }
}

static void act_leave(struct wm_worker *w)
{
    const struct wm_join_options join = {.size = sizeof(join)};
    struct wm_worker *again;

    wm_worker_drain(w);
    wm_worker_leave(w);
    if (wm_worker_join(w->node, 1, &join, &again) == 0) {
        HOLD(again->slot < CAPACITY);
        wm_worker_leave(again);
    }
}

void act(struct wm_node *node, const struct head *head)
{
    static void (*const acts[])(struct wm_worker *) = {
        act_sweep, act_take, act_live, act_lock, act_leave};
    const size_t number = sizeof(acts) / sizeof(*acts);
    uint64_t id;

    may_wait = (head->begin & 2) != 0;
    if (head->begin & 1) {
        node->joined = false;
        wm_generation_begin(node, &id, NULL);
        node->joined = true;
    }
    for (size_t i = 0; i < number; i++) {
        acts[(head->step + i) % number](&node->worker);
    }
}
