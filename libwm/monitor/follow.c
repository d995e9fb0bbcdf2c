/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Which segment a monitor looks at.
 *
 * An instance may have several: that of the life that runs, dead ones that the
 * next start will tidy up, and two live ones where an upgrade could not take
 * the old node over. A process that holds a share of the file's lock takes
 * part, and wm_node_list() asks for that. The monitor stays with its segment
 * while it is live, else moves to a live one, and where there is none keeps to
 * the dead one that it has or finds: its last state is worth seeing. A file
 * that cannot be opened gives the error that the view will carry; files that
 * are no segments hide none that is one, however many there are.
 *
 * One pass over the directory does: until its own is known to be live, a
 * search opens another live one and another dead one, and what it does not
 * need is released.
 *
 * Where its own cannot be asked for want of descriptors or memory, that is no
 * news: the monitor keeps to what it knew, until the next look.
 *
 * All this looks at names and locks, one after the other. A segment that comes
 * or goes meanwhile, or is just being made, is found at the next look. */

#include "monitor.h"

#include <errno.h>
#include <string.h>

/* The first of its kind that could be opened, or else an error, or neither. */
struct find {
    struct wm_node *node;
    int error; /* of the last one that could not be opened */
};

struct search {
    const char *directory;
    const char *own; /* name of the segment that is followed, or "" */
    bool own_listed;
    bool own_live;
    int own_error; /* why it cannot be told, or 0 */
    struct find live, dead;
};

static void visit(const struct wm_node_entry *entry, void *argument)
{
    struct search *s = argument;
    struct find *f = entry->live != 0 ? &s->live : &s->dead;

    if (strcmp(entry->name, s->own) == 0) {
        s->own_listed = true;
        s->own_live = entry->live != 0;
        s->own_error = entry->error;
    } else if (!s->own_live && f->node == NULL) {
        f->error = wm_node_open(entry->name, s->directory, &f->node);
    }
}

/* Under the mutex, so that a fork finds it whole. */
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

/* Takes the node over from the search. */
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

/* After a search: what to follow from now on. 0: it is live. */
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
    wm_monitor_begin_files();
    error = wm_node_list(m->instance, m->directory, visit, &s);
    wm_monitor_end_files();
    if (m->node == NULL || !is_shortage(error != 0 ? error : s.own_error)) {
        m->error = error != 0 ? error : settle(m, &s);
        if (m->error != 0 && m->error != -ESRCH) {
            wm_monitor_unfollow(m);
        }
    }
    release(s.live.node);
    release(s.dead.node);
}
