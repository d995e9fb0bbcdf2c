// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The same through the installed facade.

#include <wm.hpp>

#include <mutex>
#include <unistd.h>

int main(int, char **argv)
{
    wm::node node = wm::node::attach({.instance = argv[1], .capacity = 4});
    const wm::generation generation = wm::generation::begin(node);
    wm::worker worker = wm::worker::join(node, generation.id());
    wm::lifecycle_lock lock(node);
    const std::scoped_lock turn(lock);
    bool alone = worker.start().mine == 1;

    for (const auto &w : node.snapshot().workers) {
        alone = alone && w.pid == getpid() && w.state == WM_LIVE;
    }
    alone = alone && worker.exit_counts().mine == 1;
    worker.drain();
    node.close_generation(generation.id());
    node.take_exit(generation.id());
    worker.close();
    return alone ? 0 : 1;
}
