// SPDX-License-Identifier: Apache-2.0

// The operations whose cost grows with the number of workers, beside the bare
// reading of as many cache lines.

#include "node.hpp"

#include <memory>
#include <vector>

namespace
{

struct alignas(bench::line) record {
    std::atomic<std::uint64_t> word{1};
};

int size_of(const benchmark::State &state)
{
    return static_cast<int>(state.range(0));
}

bench::node &node_of(const benchmark::State &state)
{
    return bench::node::of(size_of(state));
}

// Reads one word of each of so many lines.
void floor_scan(benchmark::State &state)
{
    const auto lines =
        std::make_unique<record[]>(static_cast<std::size_t>(size_of(state)));

    for (auto _ : state) {
        std::uint64_t sum = 0;

        for (int i = 0; i < size_of(state); i++) {
            sum += lines[static_cast<std::size_t>(i)].word.load(
                std::memory_order_acquire);
        }
        benchmark::DoNotOptimize(sum);
    }
}
BENCHMARK(floor_scan)->Apply(bench::sizes);

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

// Nobody sleeps on the epoch; most of the cost is the system call to wake.
void event_append(benchmark::State &state)
{
    const bench::node &node = bench::node::of(2);

    for (auto _ : state) {
        table_append(node.handle());
    }
}
BENCHMARK(event_append);

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
