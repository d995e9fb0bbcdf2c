// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// wmctl watch: show, again after each change, and each second for the ages and
// for the node's next life.
//
// It sleeps on the segment's epoch, taken before the look, so no change is
// missed. A signal that comes between the question whether to stop and the
// sleep is answered with the next second.

#include "commands.hpp"

#include "json.hpp"
#include "text.hpp"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>
#include <utility>

namespace wmctl
{

namespace
{

constexpr std::uint32_t refresh_ms = 1000;
// A node that starts a thousand workers changes faster than eyes can follow.
constexpr std::chrono::milliseconds shortest{40};

volatile std::sig_atomic_t stop = 0;

void ask_to_stop(int)
{
    stop = 1;
}

void wake(int) {}

// Without SA_RESTART: the sleep is to end.
void on(int number, void (*handler)(int))
{
    struct sigaction action {
    };

    action.sa_handler = handler;
    sigaction(number, &action, nullptr);
}

void draw(screen &s, const options &o, const model &m)
{
    s.draw(o.json ? json::node(m) : text::node(m, palette::of(o), o.all));
}

// Until it is to stop, or the only life that is meant has ended: true.
bool follow(opened node, const options &o)
{
    screen s;
    search next(o, node.of);
    const bool alone = o.node == node.of.file; // no other life is meant

    while (stop == 0) {
        const std::uint32_t epoch = wm_epoch(node.node.handle());

        node.of.live = is_live(o, node.of);
        if (!node.of.live && !alone) {
            if (auto life = next.one()) {
                node = std::move(*life);
                continue;
            }
        }
        draw(s, o, look(node));
        if (!node.of.live && alone) {
            return true;
        }
        std::this_thread::sleep_for(shortest);
        if (stop == 0) {
            wm_wait(node.node.handle(), epoch, refresh_ms);
        }
    }
    return false;
}

} // namespace

status watch(const options &o)
{
    opened node = find(o);

    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        on(number, ask_to_stop);
    }
    on(SIGWINCH, wake);
    if (follow(std::move(node), o)) {
        std::fprintf(stderr, "wmctl: the node has ended\n");
    }
    return status::ok;
}

} // namespace wmctl
