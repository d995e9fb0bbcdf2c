/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A whole life through the installed library. */

#include <wm.h>

int main(int argc, char **argv)
{
    struct wm_node_options options = {
        sizeof(options), 0, NULL, NULL, 4, 0, 0, 0};
    struct wm_join_options join = {sizeof(join), WM_ROLE_WORKER, 0, 0};
    struct wm_counts counts;
    struct wm_worker *worker;
    struct wm_node *node;
    uint64_t id;

    if (argc != 2 || wm_version() >> 16 != WM_VERSION_MAJOR) {
        return 2;
    }
    options.instance = argv[1];
    if (wm_node_attach(&options, &node) != 0 ||
        wm_generation_begin(node, &id, NULL) != 0 ||
        wm_worker_join(node, id, &join, &worker) != 0 ||
        wm_worker_start(worker, &counts) != 0 || counts.mine != 1 ||
        wm_beat(worker) != 0 || wm_worker_exit_counts(worker, &counts) != 0 ||
        counts.mine != 1 || wm_worker_drain(worker) != 0 ||
        wm_generation_close(node, id) != WM_CLOSED ||
        wm_generation_take_exit(node, id, NULL) != 1 ||
        wm_worker_leave(worker) != 0) {
        return 1;
    }
    return wm_node_release(node);
}
