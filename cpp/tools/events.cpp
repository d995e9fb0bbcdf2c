// SPDX-License-Identifier: Apache-2.0

// wmctl events: the event log, those entries of it that the user wants, and
// with -f also later ones.

#include "commands.hpp"

#include "json.hpp"
#include "text.hpp"
#include "words.hpp"

#include <chrono>
#include <deque>
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
    // last: how many entries the first read returns at most.
    reader(wm::node_ref node, const options &o,
           std::optional<std::uint64_t> last)
        : node_(node), o_(o), last_(last)
    {
    }

    // Returns all entries that there are now. If some wait behind one that is
    // being written, they come the next time. With `patient` it waits for them,
    // which takes a second at most, unless more and more are being written.
    std::string read(bool patient)
    {
        for (auto looks = patience / between_reads;;) {
            const wm::log_page page = node_.log(since_, room);

            add(page);
            if (page.entries.size() == room) {
                continue;
            }
            if (!patient || page.settled) {
                return taken();
            }
            if (looks-- == 0) {
                return taken() + (o_.json ? json::log_unsettled()
                                          : text::log_unsettled());
            }
            std::this_thread::sleep_for(between_reads);
        }
    }

private:
    // The user wants it.
    bool wanted(const wm_log_entry &e) const
    {
        const bool of_worker =
            !o_.worker || e.pid == *o_.worker ||
            (e.kind == WM_LOG_LOCK_RECOVERED &&
             e.value == static_cast<std::uint64_t>(*o_.worker));

        return of_worker && e.time >= o_.since.value_or(0) &&
               (o_.kind.empty() || is_of(e.kind, o_.kind)) &&
               e.generation == o_.generation.value_or(e.generation);
    }

    // The line of missed entries belongs to the entry behind it, with which it
    // is left out. Those before the time that was asked for are not missed.
    void add(const wm::log_page &page)
    {
        const bool late = page.entries.empty() ||
                          page.entries.back().time >= o_.since.value_or(0);

        if (page.missed != 0 && late) {
            missed_ +=
                o_.json ? json::missed(page.missed) : text::missed(page.missed);
        }
        for (const wm_log_entry &e : page.entries) {
            if (wanted(e)) {
                lines_.push_back(missed_ + (o_.json ? json::event(e)
                                                    : text::event(e, o_.utc)));
                missed_.clear();
            }
            if (last_ && lines_.size() > *last_) {
                lines_.pop_front();
            }
        }
    }

    std::string taken()
    {
        std::string text;

        for (const std::string &line : lines_) {
            text += line;
        }
        text += missed_;
        lines_.clear();
        missed_.clear();
        last_.reset(); // what comes later is all told
        return text;
    }

    wm::node_ref node_;
    const options &o_;
    std::optional<std::uint64_t> last_;
    std::uint64_t since_ = 0;
    std::deque<std::string> lines_; // of an entry each
    std::string missed_;            // behind the last of them
};

void tell_life(const options &o, const segment &s)
{
    put(o.json ? json::life(s) : text::life(s));
}

// Prints later entries, until the life has ended, or another one is meant.
void follow(const options &o, opened &node, reader &log, search &next)
{
    std::error_code early; // an early look does no harm
    bool is_meant = true;

    while (node.of.live && is_meant) {
        const std::uint32_t epoch = node.node.epoch();

        // This is asked before reading, so no later entry is missed.
        node.of.live = is_live(o, node.of);
        if (is_by_name(o, node.of)) {
            const auto life = next.one();
            is_meant = !life || life->of.file == node.of.file;
        }
        put(log.read(!node.of.live || !is_meant));
        if (node.of.live && is_meant) {
            node.node.wait_for(epoch, longest_sleep, early);
        }
    }
    if (!node.of.live) {
        tell_life(o, node.of);
    }
}

} // namespace

status events(const options &o)
{
    std::optional<opened> node = find(o);

    if (!o.json) {
        put(text::event_heading(palette::of(o)));
    }
    for (auto last = o.last;; last.reset()) {
        reader log(node->node, o, last);

        put(log.read(!o.follow));
        if (!o.follow) {
            return status::ok;
        }
        search next(o, node->of);
        follow(o, *node, log, next);
        if (o.node == node->of.file) {
            return status::ok;
        }
        while (!(node = next.one())) {
            std::this_thread::sleep_for(longest_sleep);
        }
        tell_life(o, node->of);
    }
}

} // namespace wmctl
