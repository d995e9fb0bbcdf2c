/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The segment that a monitor looks at.
 *
 * An instance may have several segments: that of the life that runs, dead ones
 * that the next start will tidy up, and two live ones if an upgrade could not
 * take the old node over. wm_node_list() tells whether a process takes part in
 * one, that is, holds a share of the file's lock. The monitor stays with its
 * segment while that one is live. Else it moves to a live one, and if there is
 * none, it keeps the dead one that it has, or takes a dead one that it finds:
 * the last state is worth seeing. If a file cannot be opened, the view will
 * carry the error. Files that are no segments do not hide one that is, however
 * many there are.
 *
 * One pass over the directory is enough. Until the search knows that the
 * monitor's own segment is live, it opens one other live segment and one other
 * dead one; in the end it releases those that it does not need.
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

/* The first segment of a kind that could be opened, or else an error, or
 * neither. */
struct find {
    struct wm_node *node;
    int error; /* of the last one that could not be opened */
};

struct search {
    const char *directory;
    const char *own; /* name of the segment that is followed, or "" */
    bool own_listed;
    bool own_live;
    int own_error; /* why own_live is not known, or 0 */
    struct find live, dead;
};

static void visit(const struct wm_node_entry *entry, void *argument)
{
    struct search *s = argument;
    struct find *f = entry->live != 0 ? &s->live : &s->dead;

    if (entry->foreign != 0) {
        return;
    }
    if (strcmp(entry->name, s->own) == 0) {
        s->own_listed = true;
        s->own_live = entry->live != 0;
        s->own_error = entry->error;
    } else if (!s->own_live && f->node == NULL) {
        f->error = wm_node_open(entry->name, s->directory, &f->node);
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

/* Moves to a node that the search has found. */
static int move_to(struct wm_monitor *m, struct find *f)
{
    struct wm_node_info info = {.size = sizeof(info)};
    int error;

    wm_node_describe(f->node, &info);
    error = wm_monitor_make_room(m, info.capacity);
    if (error == 0) {
        release(exchange(m, f->node));
        f->node = NULL;
        m->moved = true;
    }
    return error;
}

/* Decides after a search which segment to follow. Returns 0 if that one is
 * live, else the error that the view will carry. */
static int settle(struct wm_monitor *m, struct search *s)
{
    int error;

    if (s->own_live) {
        return 0;
    }
    if (s->live.node != NULL) {
        return move_to(m, &s->live);
    }
    if (s->live.error != 0) {
        return s->live.error;
    }
    if (s->own_listed) {
        return s->own_error != 0 ? s->own_error : -ESRCH;
    }
    if (s->dead.node != NULL) {
        error = move_to(m, &s->dead);
        return error != 0 ? error : -ESRCH;
    }
    return s->dead.error != 0 ? s->dead.error : -ENOENT;
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
        if (m->error != 0 && m->error != -ESRCH) {
            wm_monitor_unfollow(m);
        }
    }
    release(s.live.node);
    release(s.dead.node);
}
