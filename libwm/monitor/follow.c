/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Which segment a monitor looks at.
 *
 * An instance may have several: that of the life that runs, dead ones that the
 * next start will tidy up, and two live ones where an upgrade could not take
 * the old node over. Whoever holds a share of the file's lock takes part, and
 * wm_node_list() asks for that. The monitor stays with its segment while it is
 * live, else moves to a live one, and where there is none keeps to the dead
 * one that it has or finds: its last state is worth seeing. What cannot be
 * opened gives the error that the view will carry.
 *
 * All this looks at names and locks, one after the other. A segment that comes
 * or goes meanwhile, or is just being made, is found at the next look. */

#include "monitor.h"

#include <errno.h>
#include <string.h>

#define NAME_SIZE sizeof(((struct wm_view *)NULL)->name)
#define CANDIDATES 16 /* segments of one instance that are tried */

struct search {
    char own[NAME_SIZE]; /* of the segment that is followed, or "" */
    bool own_listed;     /* it is there */
    bool own_live;
    uint32_t count;
    struct {
        bool live;
        char name[NAME_SIZE];
    } other[CANDIDATES];
};

static void note(const struct wm_node_entry *entry, void *argument)
{
    struct search *s = argument;
    size_t size = strlen(entry->name) + 1;

    if (strcmp(entry->name, s->own) == 0) {
        s->own_listed = true;
        s->own_live = entry->live != 0;
    } else if (s->count < CANDIDATES && size <= NAME_SIZE) {
        s->other[s->count].live = entry->live != 0;
        memcpy(s->other[s->count++].name, entry->name, size);
    }
}

/* Under the mutex: wm_monitor_destroy() may wake who waits on the node. */
static struct wm_node *exchange(struct wm_monitor *m, struct wm_node *node)
{
    struct wm_node *old;

    pthread_mutex_lock(&m->mutex);
    old = m->node;
    m->node = node;
    pthread_mutex_unlock(&m->mutex);
    return old;
}

void wm_monitor_unfollow(struct wm_monitor *m)
{
    struct wm_node *node = exchange(m, NULL);

    if (node != NULL) {
        wm_node_release(node);
        m->moved = true;
    }
}

static int move_to(struct wm_monitor *m, const char *name)
{
    struct wm_node_info info = {.size = sizeof(info)};
    struct wm_node *node;
    int error;

    wm_monitor_begin_files();
    error = wm_node_open(name, m->directory, &node);
    wm_monitor_end_files();
    if (error != 0) {
        return error;
    }
    wm_node_describe(node, &info);
    wm_monitor_unfollow(m);
    error = wm_monitor_make_room(m, info.capacity);
    if (error != 0) {
        wm_node_release(node);
        return error;
    }
    exchange(m, node);
    m->moved = true;
    return 0;
}

/* Tries those that are live, or those that are not: 0, or what the last said;
 * none: what there was to say before. */
static int move_to_any(struct wm_monitor *m, const struct search *s, bool live,
                       int error)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->other[i].live == live) {
            error = move_to(m, s->other[i].name);
            if (error == 0) {
                return 0;
            }
        }
    }
    return error;
}

/* 0: follows a live one. */
static int find(struct wm_monitor *m, const struct search *s)
{
    int error;

    if (s->own_live) {
        return 0;
    }
    error = move_to_any(m, s, true, 1);
    if (error <= 0) {
        return error;
    }
    if (s->own_listed) {
        return -ESRCH;
    }
    error = move_to_any(m, s, false, -ENOENT);
    return error == 0 ? -ESRCH : error;
}

void wm_monitor_follow(struct wm_monitor *m)
{
    struct wm_node_info info = {.size = sizeof(info), .name = ""};
    struct search s = {.count = 0};
    int error;

    if (m->node != NULL) {
        wm_node_describe(m->node, &info);
        memcpy(s.own, info.name, strnlen(info.name, NAME_SIZE - 1));
    }
    wm_monitor_begin_files();
    error = wm_node_list(m->instance, m->directory, note, &s);
    wm_monitor_end_files();
    m->error = error != 0 ? error : find(m, &s);
    if (m->error != 0 && m->error != -ESRCH) {
        wm_monitor_unfollow(m);
    }
}
