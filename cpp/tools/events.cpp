// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// wmctl events: the event log, and with -f what comes.

#include "commands.hpp"

#include "json.hpp"
#include "text.hpp"

#include <array>
#include <cstdio>

namespace wmctl
{

namespace
{

constexpr std::uint32_t look_ms = 1000; // whether the node is still there

// Where the reader is in the log.
class reader
{
public:
    reader(const wm_node *node, bool as_json) : node_(node), json_(as_json) {}

    // All that there is now.
    std::string read()
    {
        std::array<wm_log_entry, 256> list;
        std::uint32_t count = 0;
        std::uint64_t missed = 0;
        std::string text;

        do {
            wm_log_read(node_, &since_, list.data(), list.size(), &count,
                        &missed);
            if (missed != 0) {
                text += json_ ? json::missed(missed) : text::missed(missed);
            }
            for (std::uint32_t i = 0; i < count; i++) {
                text += json_ ? json::event(list[i]) : text::event(list[i]);
            }
        } while (count == list.size());
        return text;
    }

private:
    const wm_node *node_;
    bool json_;
    std::uint64_t since_ = 0;
};

} // namespace

status events(const options &o)
{
    const opened node = find(o);
    reader log(node.node.handle(), o.json);
    bool live = true;

    if (!o.json) {
        put(text::event_heading(palette::of(o)));
    }
    while (true) {
        const std::uint32_t epoch = wm_epoch(node.node.handle());

        // Asked before reading: what is written after that is not missed.
        live = o.follow && is_live(o, node.of);
        put(log.read());
        if (!live) {
            break;
        }
        wm_wait(node.node.handle(), epoch, look_ms);
    }
    if (o.follow) {
        std::fprintf(stderr, "wmctl: the node has ended\n");
    }
    return status::ok;
}

} // namespace wmctl
