/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The segments that lie in a directory: listed, found, unlinked. */

#include "directory.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct visit {
    const char *directory;
    wm_node_entry_fn *tell;
    void *argument;
};

static void visit_one(const char *name, void *argument)
{
    const struct visit *v = argument;
    struct wm_node_entry entry = {.name = name};
    struct stat st;
    int use = wm_segment_use(v->directory, name, &st);

    entry.live = use == 1;
    entry.error = use < 0 ? use : 0;
    entry.foreign = use >= 0 && wm_is_strangers(&st);
    v->tell(&entry, v->argument);
}

int wm_node_list(const char *instance, const char *directory,
                 wm_node_entry_fn *tell, void *argument)
{
    struct visit v = {directory == NULL ? WM_DIRECTORY : directory, tell,
                      argument};

    return wm_segment_list(v.directory, instance, visit_one, &v);
}

/* A caller that names a file wants it to go; root may name another user's. */
static bool is_asked_to_go(const struct wm_segment *segment, int error,
                           void *argument)
{
    int *result = argument;

    (void)segment;
    *result = error == -EPERM && geteuid() != 0 ? -EPERM : 0;
    return *result == 0;
}

int wm_node_unlink(const char *name, const char *directory)
{
    int error, result = 0;

    if (name == NULL || !wm_name_matches(name, NULL)) {
        return -EINVAL;
    }
    error = wm_segment_unlink(directory == NULL ? WM_DIRECTORY : directory,
                              name, is_asked_to_go, &result);
    return error != 0 ? error : result;
}

/* How well a segment answers to the name of its instance, from 1; 0: not at
 * all. Any user may make a file of that name, so a stranger's never does. */
enum rank {
    RANK_STRANGERS,
    RANK_UNKNOWN, /* it cannot be looked at; opening it tells why */
    RANK_ROOTS,
    RANK_ROOTS_LIVE,
    RANK_OWN,
    RANK_OWN_LIVE
};

struct choice {
    const char *directory;
    char name[WM_NAME_SIZE];
    enum rank rank;
    bool has_strangers;
};

static enum rank rank_of(int use, const struct stat *st)
{
    if (use < 0) {
        return RANK_UNKNOWN;
    }
    /* Safeguard: strangers_are_not_found */
    if (wm_is_strangers(st)) {
        return RANK_STRANGERS;
    }
    return (st->st_uid == geteuid() ? RANK_OWN : RANK_ROOTS) + (use == 1);
}

static void choose(const char *name, void *argument)
{
    struct choice *c = argument;
    struct stat st;
    enum rank rank = rank_of(wm_segment_use(c->directory, name, &st), &st);

    c->has_strangers = c->has_strangers || rank == RANK_STRANGERS;
    if (rank > c->rank) {
        memcpy(c->name, name, strlen(name) + 1);
        c->rank = rank;
    }
}

int wm_directory_find(const char *directory, const char *instance,
                      char name[WM_NAME_SIZE])
{
    struct choice c = {.directory = directory};

    wm_segment_list(directory, instance, choose, &c);
    memcpy(name, c.name, sizeof(c.name));
    if (c.rank != RANK_STRANGERS) {
        return 0;
    }
    return c.has_strangers ? -EPERM : -ENOENT;
}
