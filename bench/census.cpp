// SPDX-License-Identifier: Apache-2.0

// The operations whose cost grows with the number of workers, beside the bare
// reading of as many cache lines.

#include "node.hpp"

#include <cstring>
#include <vector>

namespace
{

// A line with the words that the library has in a worker's hot line.
struct alignas(bench::line) record {
    std::atomic<std::uint64_t> word{1}, generation{1}, join{1};
    std::atomic<std::uint32_t> role{1}, overdue{1};
    std::atomic<std::uint64_t> joined_at{1}, stalls{1};
};

using records = std::vector<record>;

int size_of(const benchmark::State &state)
{
    return static_cast<int>(state.range(0));
}

bench::node &node_of(const benchmark::State &state)
{
    return bench::node::of(size_of(state));
}

template <class T>
T get(const std::atomic<T> &of)
{
    return of.load(std::memory_order_acquire);
}

std::uint64_t scan(const records &lines)
{
    std::uint64_t sum = 0;

    for (const record &r : lines) {
        sum += get(r.word);
    }
    return sum;
}

// Reads one word of each of so many lines.
void floor_scan(benchmark::State &state)
{
    const records lines(static_cast<std::size_t>(size_of(state)));

    for (auto _ : state) {
        benchmark::DoNotOptimize(scan(lines));
    }
}
BENCHMARK(floor_scan)->Apply(bench::sizes);

// Reads what a count reads: two words of each line in a first pass, and five in
// a second, since one pass does not show one moment. It judges none of them.
// Each has a sum of its own, so that no addition waits for another word's.
void floor_two_scans(benchmark::State &state)
{
    const records lines(static_cast<std::size_t>(size_of(state)));

    for (auto _ : state) {
        std::uint64_t words = 0, joins = 0, generations = 0;
        std::uint32_t roles = 0, overdues = 0;

        for (const record &r : lines) {
            joins += get(r.join);
            words += get(r.word);
        }
        for (const record &r : lines) {
            words -= get(r.word);
            generations += get(r.generation);
            roles += get(r.role);
            overdues += get(r.overdue);
            joins -= get(r.join);
        }
        benchmark::DoNotOptimize(words + joins + generations);
        benchmark::DoNotOptimize(roles + overdues);
    }
}
BENCHMARK(floor_two_scans)->Apply(bench::sizes);

// Reads one word of each line, and copies as many bytes as a snapshot writes.
void floor_scan_copy(benchmark::State &state)
{
    const auto size = static_cast<std::size_t>(size_of(state));
    const records lines(size);
    const std::vector<wm_worker_info> from(size);
    std::vector<wm_worker_info> to(size);

    for (auto _ : state) {
        benchmark::DoNotOptimize(scan(lines));
        std::memcpy(to.data(), from.data(), size * sizeof(to[0]));
        benchmark::ClobberMemory();
    }
}
BENCHMARK(floor_scan_copy)->Apply(bench::sizes);

// Writes what a snapshot writes, each field from a load of its own, and reads
// two words of each line once more. It judges none of them.
void floor_list(benchmark::State &state)
{
    const auto size = static_cast<std::size_t>(size_of(state));
    const records lines(size);
    std::vector<wm_worker_info> to(size);

    for (auto _ : state) {
        std::uint64_t words = 0, joins = 0;
        std::uint32_t slot = 0;

        for (const record &r : lines) {
            const auto word = get(r.word);

            to[slot] = {.generation = get(r.generation),
                        .join = get(r.join),
                        .joined_at = get(r.joined_at),
                        .beat_at = word,
                        .pid = static_cast<std::int32_t>(word >> 32),
                        .slot = slot,
                        .state = static_cast<std::uint32_t>(word),
                        .role = get(r.role),
                        .overdue_ms = get(r.overdue),
                        .stalls = static_cast<std::uint32_t>(get(r.stalls))};
            slot++;
        }
        for (const record &r : lines) {
            words += get(r.word);
            joins += get(r.join);
        }
        benchmark::DoNotOptimize(words + joins);
        benchmark::ClobberMemory();
    }
}
BENCHMARK(floor_list)->Apply(bench::sizes);

void counts(benchmark::State &state)
{
    const bench::node &node = node_of(state);
    wm_counts c{};

    for (auto _ : state) {
        wm_generation_counts(node.handle(), node.generation(), &c);
        benchmark::DoNotOptimize(c);
    }
    if (c.mine != size_of(state)) {
        state.SkipWithError("not all were counted");
    }
}
BENCHMARK(counts)->Apply(bench::sizes);

// A snapshot has the identities of all workers.
void snapshot(benchmark::State &state)
{
    const bench::node &node = node_of(state);
    std::vector<wm_worker_info> list(static_cast<std::size_t>(size_of(state)));
    std::uint32_t count = 0;

    for (auto _ : state) {
        wm_snapshot(node.handle(), list.data(), sizeof(list[0]),
                    static_cast<std::uint32_t>(list.size()), &count);
        benchmark::ClobberMemory();
    }
    if (count != list.size()) {
        state.SkipWithError("not all were listed");
    }
}
BENCHMARK(snapshot)->Apply(bench::sizes);

// The sweep of an interval: all workers have beaten in it, so it asks for no
// process.
void sweep(benchmark::State &state)
{
    const bench::node &node = node_of(state);

    for (auto _ : state) {
        table_make_sweep_due(node.records());
        wm_tick(node.worker(), 60 * 60 * 1000);
    }
}
BENCHMARK(sweep)->Apply(bench::sizes);

// The sweep of a worker that starts: it asks the kernel for each worker.
void sweep_checked(benchmark::State &state)
{
    const bench::node &node = node_of(state);

    for (auto _ : state) {
        wm_sweep(node.handle(), node.worker());
    }
}
BENCHMARK(sweep_checked)->Arg(2)->Arg(64)->Arg(1024);

// A worker's life in the table: claim, publish, enter, start, drain, leave.
void join_leave(benchmark::State &state)
{
    static bench::node &node = bench::node::of(4);
    wm_worker_leave(node.worker());
    wm_worker *worker = nullptr;

    for (auto _ : state) {
        worker = node.join();
        wm_worker_leave(worker);
    }
    node.join();
}
BENCHMARK(join_leave);

void lock_unlock(benchmark::State &state)
{
    const bench::node &node = bench::node::of(2);

    for (auto _ : state) {
        wm_lock_acquire(node.handle(), nullptr);
        wm_lock_release(node.handle());
    }
}
BENCHMARK(lock_unlock);

// The leader asks for the lead.
void leader(benchmark::State &state)
{
    const bench::node &node = bench::node::of(2);
    wm_leader lead{};
    lead.size = sizeof(lead);

    for (auto _ : state) {
        benchmark::DoNotOptimize(wm_leader_stand(node.worker(), &lead));
    }
}
BENCHMARK(leader);

} // namespace
