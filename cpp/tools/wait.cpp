// SPDX-License-Identifier: Apache-2.0

// wmctl wait: until so many workers are ready, for scripts that deploy.
//
// The node may not exist yet, or may start again: wmctl looks for it until the
// time is over. Workers of another life than that of the youngest living master
// do not count. A segment that stays forbidden ends the wait.

#include "commands.hpp"

#include "json.hpp"
#include "text.hpp"
#include "words.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

namespace wmctl
{

namespace
{

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds longest_sleep{1000}; // then it checks for a new life
constexpr milliseconds between_searches{50};

json::wait_result judge(const options &o, const model &m)
{
    const std::uint64_t id = o.generation.value_or(m.current);
    const generation *g = m.find(id);
    const bool asked_for = !o.newer_than || id > *o.newer_than;
    json::wait_result r;

    r.file = m.of.file;
    r.others = m.others;
    r.settled = m.settled;
    r.wanted = o.ready;
    if (g != nullptr && asked_for) {
        r.generation = id;
        r.orphaned = g->orphaned;
        r.live = g->count.live;
        r.ready = r.live >= r.wanted;
    }
    return r;
}

std::string text_of(const json::wait_result &r)
{
    const std::string what = std::to_string(r.live) + " of " +
                             std::to_string(r.wanted) + " workers are live";
    const std::string where =
        r.generation == 0
            ? "; there is no such generation\n"
            : " in generation " + std::to_string(r.generation) +
                  (r.orphaned ? ", whose master has ended\n" : "\n");

    return what + where + text::others(r.others) +
           (r.settled ? "" : text::unsettled(r.file));
}

status tell(const options &o, const json::wait_result &r)
{
    put(o.json ? json::waited(r) : text_of(r));
    return r.ready ? status::ok : status::not_ready;
}

} // namespace

status wait(const options &o)
{
    const auto limit = milliseconds(static_cast<long long>(o.timeout * 1000));
    const auto end = clock::now() + limit;
    search node(o);

    while (true) {
        const std::optional<opened> life = node.one();
        const std::uint32_t epoch = life ? life->node.epoch() : 0;
        const auto r = life ? judge(o, look(*life)) : json::wait_result{};
        const auto left =
            std::chrono::duration_cast<milliseconds>(end - clock::now());

        // Workers that a look has mixed may never have been live together.
        if (life && ((r.ready && r.settled) || left.count() <= 0)) {
            return tell(o, r);
        }
        if (left.count() <= 0) {
            throw failure(node.why());
        }
        if (life && r.settled) {
            std::error_code early; // an early look does no harm

            life->node.wait_for(epoch, std::min(left, longest_sleep), early);
        } else {
            std::this_thread::sleep_for(std::min(left, between_searches));
        }
    }
}

} // namespace wmctl
