// SPDX-License-Identifier: Apache-2.0

// The same through the installed facade.

#include <wm.hpp>

#include <unistd.h>

int main(int, char **argv)
{
    wm::node node = wm::node::attach({.instance = argv[1], .capacity = 4});
    const wm::generation generation = wm::generation::begin(node);
    wm::worker worker = wm::worker::join(node, generation.id());
    int alone = 0, ends = 0;

    wm::run_start(worker,
                  [&](const wm_event &e) { alone += e.counts.mine == 1; });
    for (const auto &w : node.snapshot().workers) {
        alone += w.pid == getpid() && w.state == WM_LIVE;
    }
    wm::run_exit(worker, [&](const wm_event &e) {
        alone += e.kind == WM_EVENT_WORKER_EXIT && e.counts.mine == 1;
        ends += e.kind == WM_EVENT_MASTER_EXIT;
    });
    worker.close();
    return alone == 3 && ends == 1 ? 0 : 1;
}
