// SPDX-License-Identifier: Apache-2.0

// wmctl watch: shows a node again after each change, and each second for the
// ages and for the node's next life.
//
// It sleeps on the segment's epoch, which it takes before the look, so it
// misses no change. If a signal comes after wmctl has asked for one and before
// it sleeps, wmctl answers it in the next second.

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

constexpr std::chrono::milliseconds refresh{1000};
// A node that starts a thousand workers changes faster than eyes can follow.
constexpr std::chrono::milliseconds shortest{40};

volatile std::sig_atomic_t end_asked = 0;
volatile std::sig_atomic_t stop_asked = 0;
volatile std::sig_atomic_t continued = 0;
volatile std::sig_atomic_t woken = 0; // by any of these, or a new size

void note(int number)
{
    switch (number) {
    case SIGTSTP:
        stop_asked = 1;
        break;
    case SIGCONT:
        continued = 1;
        break;
    case SIGWINCH:
        break;
    default:
        end_asked = 1;
    }
    woken = 1;
}

// Without SA_RESTART, so that the sleep ends. A signal that is ignored, as
// nohup sets it, stays ignored.
void on(int number, void (*handler)(int))
{
    struct sigaction action {
    };

    sigaction(number, nullptr, &action);
    if (action.sa_handler != SIG_IGN) {
        action = {};
        action.sa_handler = handler;
        sigaction(number, &action, nullptr);
    }
}

// Stops as any program does, and goes on when SIGCONT has come.
void stop()
{
    screen::give_back();
    on(SIGTSTP, SIG_DFL);
    raise(SIGTSTP);
    on(SIGTSTP, note);
    continued = 1; // also if nothing could stop it
}

// Leaves the terminal to others, and takes it back from them.
void share(screen &s)
{
    if (std::exchange(stop_asked, 0) != 0) {
        stop();
    }
    if (std::exchange(continued, 0) != 0) {
        s.take();
    }
}

void draw(screen &s, const options &o, const model &m)
{
    s.draw(o.json ? json::node(m) : text::node(m, palette::of(o), o.all));
}

// Shows the node until a signal stops it, or the only life that it is to show
// has ended: then true.
bool follow(opened node, const options &o)
{
    screen s(!o.json);
    search next(o, node.of);
    const bool alone = o.node == node.of.file; // the user means no other life
    std::error_code early;                     // an early look does no harm

    while (end_asked == 0) {
        woken = 0;
        share(s);
        const std::uint32_t epoch = node.node.epoch();

        node.of.live = is_live(o, node.of);
        if (!node.of.live ? !alone : is_by_name(o, node.of)) {
            auto life = next.one();

            if (life && life->of.file != node.of.file) {
                node = std::move(*life);
                continue;
            }
        }
        draw(s, o, look(node));
        if (!node.of.live && alone) {
            return true;
        }
        std::this_thread::sleep_for(shortest);
        if (end_asked == 0 && woken == 0) {
            node.node.wait_for(epoch, refresh, early);
        }
    }
    return false;
}

} // namespace

status watch(const options &o)
{
    opened node = find(o);

    for (const int number :
         {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH}) {
        on(number, note);
    }
    if (follow(std::move(node), o)) {
        std::fprintf(stderr, "wmctl: the node has ended\n");
    }
    return status::ok;
}

} // namespace wmctl
