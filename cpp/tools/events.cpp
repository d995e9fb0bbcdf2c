// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// wmctl events: the event log, and with -f also later entries.

#include "commands.hpp"

#include "json.hpp"
#include "text.hpp"

#include <chrono>
#include <optional>
#include <thread>

namespace wmctl
{

namespace
{

using std::chrono::milliseconds;

constexpr std::uint32_t room = 256;         // entries of a page
constexpr milliseconds longest_sleep{1000}; // then it checks for a new life
constexpr milliseconds between_reads{10};   // an entry is being written
constexpr milliseconds patience{2000};      // with all writers together

// The reader's place in the log.
class reader
{
public:
    reader(wm::node_ref node, bool as_json) : node_(node), json_(as_json) {}

    // Returns all entries that there are now. If some wait behind one that is
    // being written, they come the next time. With `patient` it waits for them,
    // which takes a second at most, unless more and more are being written.
    std::string read(bool patient)
    {
        std::string text;

        for (auto looks = patience / between_reads;;) {
            const wm::log_page page = node_.log(since_, room);

            text += written(page);
            if (page.entries.size() == room) {
                continue;
            }
            if (!patient || page.settled) {
                return text;
            }
            if (looks-- == 0) {
                return text +
                       (json_ ? json::log_unsettled() : text::log_unsettled());
            }
            std::this_thread::sleep_for(between_reads);
        }
    }

private:
    std::string written(const wm::log_page &page) const
    {
        std::string text;

        if (page.missed != 0) {
            text =
                json_ ? json::missed(page.missed) : text::missed(page.missed);
        }
        for (const wm_log_entry &e : page.entries) {
            text += json_ ? json::event(e) : text::event(e);
        }
        return text;
    }

    wm::node_ref node_;
    bool json_;
    std::uint64_t since_ = 0;
};

void tell_life(const options &o, const segment &s)
{
    put(o.json ? json::life(s) : text::life(s));
}

// Prints later entries, until the life has ended.
void follow(const options &o, opened &node, reader &log)
{
    std::error_code early; // an early look does no harm

    while (node.of.live) {
        const std::uint32_t epoch = node.node.epoch();

        // This is asked before reading, so no later entry is missed.
        node.of.live = is_live(o, node.of);
        put(log.read(!node.of.live));
        if (node.of.live) {
            node.node.wait_for(epoch, longest_sleep, early);
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
        reader log(node->node, o.json);

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
            std::this_thread::sleep_for(longest_sleep);
        }
        tell_life(o, node->of);
    }
}

} // namespace wmctl
