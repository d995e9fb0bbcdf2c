/* SPDX-License-Identifier: Apache-2.0 */

/* Views: taken, compared, published, given up.
 *
 * A view is one block of memory, with the lists behind the header. No thread
 * changes it after it was published.
 *
 * Taking. The thread loads the epoch first, and looks then. If something
 * changes during the look, the node's epoch is not the view's any more, so the
 * thread will not sleep on it, but look again. A look during which the epoch
 * stays is settled; after a few that are not, the last one counts, and is
 * marked as unsettled. (A change comes shortly before its epoch. So a settled
 * view may hold a change that its lists do not agree on yet; the epoch of that
 * change follows, and with it another view.)
 *
 * Publishing. The thread stores the pointer with release, so a reader that
 * loads it with acquire finds the contents. It calls the subscribers while the
 * old view still exists. Then it waits for a grace period, after which no
 * reader can have the old view any more, and frees it. It waits there for
 * readers that look for a few instructions only. With call_rcu it would not
 * have to wait, but that costs a second thread, and memory without a bound if
 * views are made faster than they end.
 *
 * A view that would say the same as the last one is not published. Only one
 * thing can be news without another epoch: a worker is stalled by its age, and
 * no process has marked it; or such a worker beats again. */

#include "monitor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOKS 8
#define MORE_GENERATIONS 64 /* than workers: see wm_generations() */

const struct wm_view *wm_monitor_view_begin(const struct wm_monitor *m)
{
    assert(m != NULL);
    wm_rcu_begin();
    /* Pairs with the store in publish(). */
    return atomic_load_explicit(&m->view, memory_order_acquire);
}

void wm_monitor_view_end(const struct wm_view *view)
{
    (void)view;
    wm_rcu_end();
}

/* -------------------------------------------------------------- taking one */

static size_t size_of(uint32_t workers, uint32_t generations)
{
    return sizeof(struct wm_view) + sizeof(struct wm_leader) +
           (size_t)workers * sizeof(struct wm_worker_info) +
           (size_t)generations * sizeof(struct wm_generation_info);
}

int wm_monitor_make_room(struct wm_monitor *m, uint32_t capacity)
{
    struct wm_view *room =
        malloc(size_of(capacity, capacity + MORE_GENERATIONS));
    struct wm_view *old;

    if (room == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_lock(&m->mutex);
    old = m->look;
    m->look = room;
    m->capacity = capacity;
    pthread_mutex_unlock(&m->mutex);
    free(old);
    return 0;
}

static const struct wm_leader no_leader = {
    .size = sizeof(no_leader),
    .slot = WM_NO_SLOT,
};

/* Behind the view lie its leader, its workers and its generations. */
static struct wm_leader *leader_of(struct wm_view *v)
{
    return (struct wm_leader *)(void *)(v + 1);
}

static struct wm_worker_info *workers_of(struct wm_view *v)
{
    return (struct wm_worker_info *)(void *)(leader_of(v) + 1);
}

/* Looks once, and writes into the room; v->workers and the like point there. */
static void look_once(const struct wm_monitor *m, struct wm_view *v)
{
    struct wm_worker_info *workers = workers_of(v);
    struct wm_generation_info *generations = (void *)(workers + m->capacity);
    uint32_t count = 0, room = m->capacity + MORE_GENERATIONS;

    v->epoch = wm_epoch(m->node);
    v->taken_at = wm_now();
    v->unsettled = wm_snapshot(m->node, workers, sizeof(*workers), m->capacity,
                               &v->worker_count) == WM_UNSETTLED;
    wm_generations(m->node, generations, sizeof(*generations), room, &count);
    v->generation_count = count < room ? count : room;
    *leader_of(v) = no_leader;
    wm_leader_inspect(m->node, leader_of(v));
    leader_of(v)->mine = 0; /* the monitor is no worker */
    v->leader = leader_of(v);
    v->workers = workers;
    v->generations = generations;
    v->unsettled |= wm_epoch(m->node) != v->epoch;
}

/* A copy that takes no more memory than it needs. */
static struct wm_view *copy_of(const struct wm_view *from)
{
    struct wm_view *v =
        malloc(size_of(from->worker_count, from->generation_count));
    struct wm_worker_info *workers;
    struct wm_generation_info *generations;

    if (v == NULL) {
        return NULL;
    }
    *v = *from;
    workers = workers_of(v);
    generations = (void *)(workers + v->worker_count);
    *leader_of(v) = *from->leader;
    v->leader = leader_of(v);
    v->worker_size = sizeof(*workers);
    v->generation_size = sizeof(*generations);
    v->workers = workers;
    v->generations = generations;
    if (v->worker_count > 0) {
        memcpy(workers, from->workers, v->worker_count * sizeof(*workers));
    }
    if (v->generation_count > 0) {
        memcpy(generations, from->generations,
               v->generation_count * sizeof(*generations));
    }
    return v;
}

static struct wm_view *take(const struct wm_monitor *m)
{
    struct wm_view nothing = {.taken_at = wm_now(), .leader = &no_leader};
    struct wm_view *v = &nothing;

    if (m->node != NULL) {
        struct wm_node_info info = {.size = sizeof(info)};
        int looks = 0;

        v = m->look;
        memset(v, 0, sizeof(*v));
        do {
            look_once(m, v);
        } while (v->unsettled != 0 && ++looks < LOOKS);
        wm_node_describe(m->node, &info);
        memcpy(v->name, info.name, strnlen(info.name, sizeof(v->name) - 1));
    }
    v->live = m->error == 0;
    v->error = m->error;
    v->others = m->others;
    return copy_of(v);
}

/* -------------------------------------------------------------- publishing */

/* Before the first view, all is news. */
static bool is_news(const struct wm_monitor *m, const struct wm_view *last)
{
    return last == NULL || m->moved || m->error != last->error ||
           m->others != last->others ||
           (m->node != NULL && wm_epoch(m->node) != last->epoch);
}

/* Whether the workers have other states than in the last view; the epoch is the
 * same, and so are the workers. */
static bool has_aged(const struct wm_view *last, const struct wm_view *now)
{
    if (last->worker_count != now->worker_count) {
        return true;
    }
    for (uint32_t i = 0; i < now->worker_count; i++) {
        if (last->workers[i].state != now->workers[i].state) {
            return true;
        }
    }
    return false;
}

static void publish(struct wm_monitor *m, struct wm_view *last,
                    struct wm_view *now)
{
    uint64_t told;

    now->number = last == NULL ? 1 : last->number + 1;
    pthread_mutex_lock(&m->mutex);
    /* Release: a reader that loads it sees what it points to. Pairs with
     * wm_monitor_view_begin(). */
    atomic_store_explicit(&m->view, now, memory_order_release);
    m->retired = last;
    told = m->subscribed;
    pthread_mutex_unlock(&m->mutex);
    if (last == NULL) {
        return;
    }
    wm_monitor_tell(m, last, now, told);
    wm_rcu_wait();
    wm_monitor_free_orphans(m);
    pthread_mutex_lock(&m->mutex);
    m->retired = NULL;
    pthread_mutex_unlock(&m->mutex);
    free(last);
}

bool wm_monitor_look(struct wm_monitor *m)
{
    /* Relaxed: no other thread writes it. */
    struct wm_view *last = atomic_load_explicit(&m->view, memory_order_relaxed);
    struct wm_view *now;
    bool news = is_news(m, last);

    m->failed = false;
    now = take(m);
    if (now == NULL) {
        m->failed = true;
        return false;
    }
    if (!news && !has_aged(last, now)) {
        free(now);
        return false;
    }
    m->moved = false;
    publish(m, last, now);
    return true;
}
