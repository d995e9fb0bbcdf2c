// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// What the library's operations cost, beside the floor that the machine sets,
// in one binary and one run. Absolute figures of a shared machine mean little;
// compare the rows.

#include "wm.h"
#ifdef WM_BENCH_MONITOR
#include "wm_monitor.hpp"
#endif

#include <atomic>
#include <benchmark/benchmark.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <shared_mutex>
#include <string>
#include <unistd.h>
#include <vector>

namespace
{

// What libwm fails to do here, no benchmark can go on without.
void check(int result, const char *what)
{
    if (result < 0) {
        std::fprintf(stderr, "%s: %s\n", what, wm_strerror(result));
        std::exit(1);
    }
}

// One node with this process as its worker, in a directory of its own. It
// ends in order, so that nothing is left behind.
class Node
{
public:
    Node()
    {
        char pattern[] = "/dev/shm/wm_bench.XXXXXX";
        if (mkdtemp(pattern) == nullptr) {
            std::perror("mkdtemp");
            std::exit(1);
        }
        directory_ = pattern;
        wm_node_options options{};
        options.size = sizeof(options);
        options.instance = "bench";
        options.directory = directory_.c_str();
        check(wm_node_attach(&options, &node_), "attach");
        check(wm_generation_begin(node_, &generation_, nullptr), "begin");
        wm_join_options join{};
        join.size = sizeof(join);
        check(wm_worker_join(node_, generation_, &join, &worker_), "join");
        wm_counts counts;
        check(wm_worker_start(worker_, &counts), "start");
    }

    Node(const Node &) = delete;
    Node &operator=(const Node &) = delete;

    ~Node()
    {
        wm_worker_drain(worker_);
        wm_generation_retire(node_, generation_);
        wm_generation_take_exit(node_, generation_, nullptr);
        wm_worker_leave(worker_);
        wm_node_release(node_);
        std::error_code ignored;
        std::filesystem::remove(directory_, ignored);
    }

    wm_node *node() { return node_; }
    wm_worker *worker() { return worker_; }
    std::uint64_t generation() const { return generation_; }
    const char *directory() const { return directory_.c_str(); }

private:
    std::string directory_;
    wm_node *node_ = nullptr;
    wm_worker *worker_ = nullptr;
    std::uint64_t generation_ = 0;
};

Node &node()
{
    static Node instance;
    return instance;
}

// --------------------------------------------------------------- the floor

struct alignas(64) Line {
    std::atomic<std::uint64_t> word{0};
};

void floor_cas(benchmark::State &state)
{
    Line line;
    std::uint64_t seen = 0;
    for (auto _ : state) {
        line.word.compare_exchange_strong(seen, seen + 1,
                                          std::memory_order_relaxed);
        seen = line.word.load(std::memory_order_relaxed);
    }
}
BENCHMARK(floor_cas);

std::uint64_t coarse_ms()
{
    timespec ts{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return static_cast<std::uint64_t>(ts.tv_sec) * 1000u +
           static_cast<std::uint64_t>(ts.tv_nsec) / 1000000u;
}

void floor_cas_clock(benchmark::State &state)
{
    Line line;
    for (auto _ : state) {
        std::uint64_t seen = line.word.load(std::memory_order_relaxed);
        benchmark::DoNotOptimize(line.word.compare_exchange_strong(
            seen, coarse_ms(), std::memory_order_relaxed));
    }
}
BENCHMARK(floor_cas_clock);

// The pointer to what does not change, and one word of it.
void floor_load(benchmark::State &state)
{
    static const auto fixed = std::make_unique<const std::uint64_t>(1);
    static std::atomic<const std::uint64_t *> published{fixed.get()};
    for (auto _ : state) {
        benchmark::DoNotOptimize(*published.load(std::memory_order_acquire));
    }
}
BENCHMARK(floor_load)->ThreadRange(1, 2);

// ------------------------------------------------------------- the library

// A new time at each call, so that each is a real swap.
void beat_at(benchmark::State &state)
{
    static std::uint64_t now = coarse_ms();
    for (auto _ : state) {
        wm_beat_at(node().worker(), ++now);
    }
}
BENCHMARK(beat_at);

void beat(benchmark::State &state)
{
    for (auto _ : state) {
        wm_beat(node().worker());
    }
}
BENCHMARK(beat);

void counts(benchmark::State &state)
{
    wm_counts c;
    for (auto _ : state) {
        wm_generation_counts(node().node(), node().generation(), &c);
        benchmark::DoNotOptimize(c);
    }
}
BENCHMARK(counts);

void lock_unlock(benchmark::State &state)
{
    for (auto _ : state) {
        wm_lock(node().node(), nullptr);
        wm_unlock(node().node());
    }
}
BENCHMARK(lock_unlock);

// ------------------------------------------------------------- the monitor

// How a program would do it without RCU: the same number under a lock for
// readers, whose word all of them write to.
void peer_shared_mutex_view(benchmark::State &state)
{
    static std::shared_mutex mutex;
    static const auto view = std::make_unique<const std::uint64_t>(1);
    for (auto _ : state) {
        const std::shared_lock guard(mutex);
        benchmark::DoNotOptimize(*view);
    }
}
BENCHMARK(peer_shared_mutex_view)->ThreadRange(1, 2);

#ifdef WM_BENCH_MONITOR
const wm::monitor &monitor()
{
    static const wm::monitor instance =
        wm::monitor::create("bench", node().directory());
    return instance;
}

void view(benchmark::State &state)
{
    const wm::monitor &m = monitor();
    for (auto _ : state) {
        const wm::monitor_view v = m.view();
        benchmark::DoNotOptimize(v->number);
    }
}
BENCHMARK(view)->ThreadRange(1, 2);
#endif

} // namespace

BENCHMARK_MAIN();
