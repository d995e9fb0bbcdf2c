// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// wmctl events: the event log, and with -f what comes.

#include "commands.hpp"

#include "json.hpp"
#include "text.hpp"

#include <array>
#include <chrono>
#include <optional>
#include <thread>

namespace wmctl
{

namespace
{

constexpr std::uint32_t look_ms = 1000;     // whether it is still that life
constexpr std::uint32_t writer_ms = 10;     // whether it has finished its entry
constexpr std::uint32_t patience_ms = 2000; // with all writers

// Where the reader is in the log.
class reader
{
public:
    reader(const wm_node *node, bool as_json) : node_(node), json_(as_json) {}

    // All that there is now. Where some wait behind one that is being written,
    // they come the next time; or with `patient` they are waited for, which
    // takes a second at most.
    std::string read(bool patient)
    {
        std::array<wm_log_entry, 256> list;
        std::uint32_t count = 0;
        std::uint64_t missed = 0;
        std::string text;
        std::uint32_t looks = patience_ms / writer_ms;
        bool again = false;

        do {
            const int result = wm_log_read(node_, &since_, list.data(),
                                           list.size(), &count, &missed);

            if (missed != 0) {
                text += json_ ? json::missed(missed) : text::missed(missed);
            }
            for (std::uint32_t i = 0; i < count; i++) {
                text += json_ ? json::event(list[i]) : text::event(list[i]);
            }
            again = patient && result == WM_UNSETTLED && looks-- > 0;
            if (again) {
                std::this_thread::sleep_for(
                    std::chrono::milliseconds(writer_ms));
            }
        } while (again || count == list.size());
        return text;
    }

private:
    const wm_node *node_;
    bool json_;
    std::uint64_t since_ = 0;
};

void tell_life(const options &o, const segment &s)
{
    put(o.json ? json::life(s) : text::life(s));
}

// What comes, until the life has ended.
void follow(const options &o, opened &node, reader &log)
{
    while (node.of.live) {
        const std::uint32_t epoch = wm_epoch(node.node.handle());

        // Asked before reading: what is written after that is not missed.
        node.of.live = is_live(o, node.of);
        put(log.read(!node.of.live));
        if (node.of.live) {
            wm_wait(node.node.handle(), epoch, look_ms);
        }
    }
    tell_life(o, node.of);
}

} // namespace

status events(const options &o)
{
    std::optional<opened> node = find(o);

    if (!o.json) {
        put(text::event_heading(palette::of(o)));
    }
    while (true) {
        reader log(node->node.handle(), o.json);

        put(log.read(!o.follow));
        if (!o.follow) {
            return status::ok;
        }
        follow(o, *node, log);
        if (o.node == node->of.file) {
            return status::ok;
        }
        search next(o, node->of);
        while (!(node = next.one())) {
            std::this_thread::sleep_for(std::chrono::milliseconds(look_ms));
        }
        tell_life(o, node->of);
    }
}

} // namespace wmctl
