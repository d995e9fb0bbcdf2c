// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The same through the installed facade.

#include <wm.hpp>

#include <iostream>
#include <mutex>

int main(int argc, char **argv)
try {
    if (argc != 2) {
        return 2;
    }
    wm::node_options options;
    options.instance = argv[1];
    options.capacity = 4;

    wm::node node = wm::node::attach(options);
    const wm::generation generation = node.begin();
    wm::worker worker = wm::worker::join(node, generation.id);
    wm::lifecycle_lock lock(node);
    const std::unique_lock turn(lock);
    const bool alone = worker.start().mine == 1 && worker.exit().mine == 1;

    worker.drain();
    wm_generation_retire(node.handle(), generation.id);
    wm_generation_take_exit(node.handle(), generation.id, nullptr);
    return alone ? 0 : 1;
} catch (const std::exception &e) {
    std::cerr << e.what() << '\n';
    return 1;
}
