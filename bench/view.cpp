// SPDX-License-Identifier: Apache-2.0

// A look at the latest view, in a program with threads.

#include "node.hpp"

#ifdef WM_BENCH_MONITOR
#include "wm_monitor.hpp"
#endif

#include <memory>
#include <mutex>
#include <shared_mutex>

namespace
{

// Loads a pointer to an object that does not change, and one word of it.
void floor_load(benchmark::State &state)
{
    static const auto fixed = std::make_unique<const std::uint64_t>(1);
    static std::atomic<const std::uint64_t *> published{fixed.get()};

    for (auto _ : state) {
        benchmark::DoNotOptimize(*published.load(std::memory_order_acquire));
    }
}
BENCHMARK(floor_load);
BENCHMARK(floor_load)->Threads(2);

// The way of a program without RCU: the same number under a lock for readers,
// to whose word all of them write.
void peer_shared_mutex_view(benchmark::State &state)
{
    static std::shared_mutex mutex;
    static const auto view = std::make_unique<const std::uint64_t>(1);

    for (auto _ : state) {
        const std::shared_lock guard(mutex);
        benchmark::DoNotOptimize(*view);
    }
}
BENCHMARK(peer_shared_mutex_view);
BENCHMARK(peer_shared_mutex_view)->Threads(2);

#ifdef WM_BENCH_MONITOR
// The monitor's thread ends with the benchmark, so none is there at a fork.
std::unique_ptr<wm::monitor> monitor;

void view(benchmark::State &state)
{
    if (state.thread_index() == 0) {
        monitor = std::make_unique<wm::monitor>(
            wm::monitor::create("bench-2", bench::node::of(2).directory()));
    }
    for (auto _ : state) {
        const wm::monitor_view v = monitor->view();
        benchmark::DoNotOptimize(v->number);
    }
    if (state.thread_index() == 0) {
        monitor.reset();
    }
}
BENCHMARK(view);
BENCHMARK(view)->Threads(2);
#endif

} // namespace
