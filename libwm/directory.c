/* SPDX-License-Identifier: Apache-2.0 */

/* The segments that lie in a directory: listed, unlinked. */

#include "share.h"

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
