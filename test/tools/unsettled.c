/* SPDX-License-Identifier: Apache-2.0 */

/* libwm for a program whose looks never settle: it is loaded before libwm, and
 * says so of what libwm has read. No node can bring that about for sure. */

#include <dlfcn.h>
#include <wm.h>

int wm_snapshot(const struct wm_node *node, struct wm_worker_info *list,
                uint32_t element, uint32_t room, uint32_t *count)
{
    __typeof__(wm_snapshot) *read;

    *(void **)&read = dlsym(RTLD_NEXT, "wm_snapshot");
    read(node, list, element, room, count);
    return WM_UNSETTLED;
}

int wm_log_read(const struct wm_node *node, uint64_t *since,
                struct wm_log_entry *list, uint32_t element, uint32_t room,
                uint32_t *count, uint64_t *missed)
{
    __typeof__(wm_log_read) *read;

    *(void **)&read = dlsym(RTLD_NEXT, "wm_log_read");
    read(node, since, list, element, room, count, missed);
    return WM_UNSETTLED;
}
