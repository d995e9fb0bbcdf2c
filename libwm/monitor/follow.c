/* SPDX-License-Identifier: Apache-2.0 */

/* The segment that a monitor looks at.
 *
 * An instance may have several segments: that of the life that runs, dead ones
 * that the next start will tidy up, and other live ones: workers that outlived
 * their master, or an old binary whose node an upgrade could not take over.
 * wm_node_list() tells whether a process takes part in one, that is, holds a
 * share of the file's lock. Of several live ones, the monitor follows the one
 * that wm_node_open() takes for the instance. If there is none, it keeps the
 * dead one that it has, or takes a dead one that it finds: the last state is
 * worth seeing. If a file cannot be opened, the view will carry the error.
 * Files that are no segments do not hide one that is, however many there are.
 *
 * If the search lacks descriptors or memory to check the monitor's own segment,
 * that is no news: the monitor keeps to what it knew, until the next look.
 *
 * Any user may make a file with the name of a segment, so another user's is
 * passed over, unless that user is root.
 *
 * All this looks at names and locks, one after the other. A segment that comes
 * or goes meanwhile, or is just being made, is found at the next look. */

#include "monitor.h"

#include <errno.h>
#include <string.h>

struct search {
    const char *directory;
    const char *own; /* name of the segment that is followed, or "" */
    bool own_listed;
    bool own_live;
    int own_error;        /* why own_live is not known, or 0 */
    uint32_t lives;       /* other ones */
    struct wm_node *live; /* the first of them that could be opened, or NULL */
    int live_error;       /* of the last one that could not */
    struct wm_node *dead; /* the same of dead ones */
    int dead_error;
};

static void visit(const struct wm_node_entry *entry, void *argument)
{
    struct search *s = argument;

    if (entry->foreign != 0) {
        return;
    }
    if (strcmp(entry->name, s->own) == 0) {
        s->own_listed = true;
        s->own_live = entry->live != 0;
        s->own_error = entry->error;
    } else if (entry->live != 0) {
        s->lives++;
        if (s->live == NULL) {
            s->live_error = wm_node_open(entry->name, s->directory, &s->live);
        }
    } else if (s->dead == NULL) {
        s->dead_error = wm_node_open(entry->name, s->directory, &s->dead);
    }
}

/* Changes the node under the mutex, so that a fork finds it whole. */
static struct wm_node *exchange(struct wm_monitor *m, struct wm_node *node)
{
    struct wm_node *old;

    pthread_mutex_lock(&m->mutex);
    old = m->node;
    m->node = node;
    pthread_mutex_unlock(&m->mutex);
    return old;
}

static void release(struct wm_node *node)
{
    if (node != NULL) {
        wm_node_release(node);
    }
}

void wm_monitor_unfollow(struct wm_monitor *m)
{
    release(exchange(m, NULL));
}

/* Moves to a node that was found; releases it if there is no memory. */
static int move_to(struct wm_monitor *m, struct wm_node *node)
{
    struct wm_node_info info = {.size = sizeof(info)};
    int error;

    wm_node_describe(node, &info);
    error = wm_monitor_make_room(m, info.capacity);
    if (error != 0) {
        release(node);
        return error;
    }
    release(exchange(m, node));
    m->moved = true;
    return 0;
}

/* A segment, by its name, and whether it is live. */
struct meant {
    const char *name;
    bool live;
};

static void look_for(const struct wm_node_entry *entry, void *argument)
{
    struct meant *m = argument;

    m->live =
        m->live || (entry->live != 0 && strcmp(entry->name, m->name) == 0);
}

/* The node that is meant by the instance, if it is a live one; or NULL: a dead
 * one of the caller's own comes before root's. */
static struct wm_node *find_meant(const struct wm_monitor *m)
{
    struct wm_node_info info = {.size = sizeof(info)};
    struct meant meant = {.name = NULL};
    struct wm_node *node;

    if (wm_node_open(m->instance, m->directory, &node) != 0) {
        return NULL;
    }
    wm_node_describe(node, &info);
    meant.name = info.name;
    wm_node_list(m->instance, m->directory, look_for, &meant);
    if (!meant.live) {
        release(node);
        node = NULL;
    }
    return node;
}

/* There are other live segments than one's own. Moves to the one that is meant
 * of several; or, if that is none of these and one's own is dead, to any. */
static int move_to_live(struct wm_monitor *m, struct search *s)
{
    struct wm_node_info info = {.size = sizeof(info)};
    struct wm_node *node = NULL;

    if (s->own_live || s->lives > 1) {
        node = find_meant(m);
    }
    if (node == NULL) {
        if (s->own_live) {
            return 0;
        }
        node = s->live;
        s->live = NULL;
    }
    wm_node_describe(node, &info);
    if (strcmp(info.name, s->own) == 0) {
        release(node);
        return 0;
    }
    return move_to(m, node);
}

/* Decides after a search which segment to follow. Returns 0 if that one is
 * live, else the error that the view will carry. */
static int settle(struct wm_monitor *m, struct search *s)
{
    struct wm_node *dead = s->dead;
    int error;

    if (s->live != NULL) {
        return move_to_live(m, s);
    }
    if (s->own_live) {
        return 0;
    }
    if (s->live_error != 0) {
        return s->live_error;
    }
    if (s->own_listed) {
        return s->own_error != 0 ? s->own_error : -ESRCH;
    }
    if (dead != NULL) {
        s->dead = NULL;
        error = move_to(m, dead);
        return error != 0 ? error : -ESRCH;
    }
    return s->dead_error != 0 ? s->dead_error : -ENOENT;
}

static bool is_shortage(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

void wm_monitor_follow(struct wm_monitor *m)
{
    struct wm_node_info info = {.size = sizeof(info), .name = ""};
    struct search s = {.directory = m->directory};
    int error;

    if (m->node != NULL) {
        wm_node_describe(m->node, &info);
    }
    s.own = info.name;
    error = wm_node_list(m->instance, m->directory, visit, &s);
    if (m->node == NULL || !is_shortage(error != 0 ? error : s.own_error)) {
        m->error = error != 0 ? error : settle(m, &s);
        m->others = s.lives + s.own_live - (m->error == 0);
        if (m->error != 0 && m->error != -ESRCH) {
            wm_monitor_unfollow(m);
        }
    }
    release(s.live);
    release(s.dead);
}
