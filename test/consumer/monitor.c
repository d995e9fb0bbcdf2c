/* SPDX-License-Identifier: Apache-2.0 */

/* A program that looks at a node which is not there. */

#include <wm_monitor.h>

#include <errno.h>

int main(int argc, char **argv)
{
    struct wm_monitor *monitor;
    const struct wm_view *view;
    int error;

    if (argc != 2 || wm_monitor_create(argv[1], NULL, NULL, &monitor) != 0) {
        return 2;
    }
    view = wm_monitor_view_begin(monitor);
    error = view->error;
    wm_monitor_view_end(view);
    return wm_monitor_destroy(monitor) != 0 || error != -ENOENT;
}
