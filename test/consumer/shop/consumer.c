/* SPDX-License-Identifier: Apache-2.0 */

/* A whole life through the installed library. */

#include <wm.h>

static void give(const struct wm_event *event, void *last)
{
    ((uint32_t *)last)[event->counts.mine == 1] = event->kind;
}

int main(int argc, char **argv)
{
    struct wm_node_options options = {
        sizeof(options), 0, NULL, NULL, 4, 0, 0, 0};
    struct wm_join_options join = {.size = sizeof(join),
                                   .role = WM_ROLE_WORKER};
    uint32_t last[2] = {0, 0};
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
        wm_start_run(worker, NULL, give, last) != 0 ||
        last[1] != WM_EVENT_WORKER_START || wm_beat(worker) != 0 ||
        wm_exit_run(worker, NULL, give, last) != 0 ||
        last[1] != WM_EVENT_WORKER_EXIT || last[0] != WM_EVENT_MASTER_EXIT ||
        wm_worker_leave(worker) != 0) {
        return 1;
    }
    return wm_node_release(node);
}
