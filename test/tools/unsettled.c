/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* libwm for a program whose looks never settle: it is loaded before libwm, and
 * says so of what libwm has read. No node can bring that about for sure. */

#include <dlfcn.h>
#include <stdlib.h>
#include <wm.h>

/* libwm's own function of a name. */
static void find(const char *name, void *function)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (found == NULL) {
        abort();
    }
    *(void **)function = found;
}

int wm_snapshot(const struct wm_node *node, struct wm_worker_info *list,
                uint32_t element, uint32_t room, uint32_t *count)
{
    int (*read)(const struct wm_node *, struct wm_worker_info *, uint32_t,
                uint32_t, uint32_t *);

    find("wm_snapshot", &read);
    read(node, list, element, room, count);
    return WM_UNSETTLED;
}

int wm_log_read(const struct wm_node *node, uint64_t *since,
                struct wm_log_entry *list, uint32_t element, uint32_t room,
                uint32_t *count, uint64_t *missed)
{
    int (*read)(const struct wm_node *, uint64_t *, struct wm_log_entry *,
                uint32_t, uint32_t, uint32_t *, uint64_t *);

    find("wm_log_read", &read);
    read(node, since, list, element, room, count, missed);
    return WM_UNSETTLED;
}
