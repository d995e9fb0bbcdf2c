// SPDX-License-Identifier: Apache-2.0

// The event log, and events that are owed: an entry appended, beside a bare
// ring; a crash taken, the first of thousands and the last.

#include "node.hpp"
#include "scenario.hpp"

#include <array>

namespace
{

// An entry of the library's size: so many words, and one that says it is whole.
struct alignas(bench::line) entry {
    std::array<std::atomic<std::uint64_t>, 5> word;
    std::atomic<std::uint64_t> number;
};

struct ring {
    alignas(bench::line) std::atomic<std::uint64_t> next{0};
    std::array<entry, 1024> entries{}; // as many as a node has by default
};

// A ring in shared memory that nobody sleeps on: takes a number, and writes the
// entry. It reads no clock, sums nothing up, and makes no system call.
void floor_ring_append(benchmark::State &state)
{
    auto &log = bench::shared<ring>();

    for (auto _ : state) {
        const auto number = log.next.fetch_add(1, std::memory_order_acq_rel);
        entry &e = log.entries[number % log.entries.size()];

        for (auto &word : e.word) {
            word.store(number, std::memory_order_relaxed);
        }
        e.number.store(number, std::memory_order_release);
    }
}
BENCHMARK(floor_ring_append);

// Nobody sleeps on the epoch; most of the cost is the system call to wake.
void event_append(benchmark::State &state)
{
    const bench::node &node = bench::node::of(2);

    for (auto _ : state) {
        table_append(node.handle());
    }
}
BENCHMARK(event_append);

// So many crashes are owed, and are taken one by one. The cost of a take is
// that of some at either end, in the median of some rounds.
constexpr int owed = 4000, some = 100, rounds = 40;

double take_some(wm_node *node)
{
    const auto began = bench::now_ns();
    wm_event event{};

    event.size = sizeof(event);
    for (int i = 0; i < some; i++) {
        if (wm_event_take(node, WM_EVENTS_ALL, &event) != 1) {
            bench::fail("wm_event_take", "nothing is owed");
        }
    }
    return static_cast<double>(bench::now_ns() - began) / some;
}

bench::figures take_all(bool last)
{
    const bench::node node(owed + 1);
    std::vector<double> took;

    for (int i = 0; i < rounds; i++) {
        table_crash(node.records());
        const double first = take_some(node.handle());
        for (int n = some; n < owed - some; n += some) {
            take_some(node.handle());
        }
        took.push_back(last ? take_some(node.handle()) : first);
    }
    return {{"time", bench::median(took)}};
}

const bench::scenario first("event_take_first", [] { return take_all(false); });
const bench::scenario last("event_take_last", [] { return take_all(true); });

} // namespace
