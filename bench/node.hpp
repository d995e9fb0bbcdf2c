// SPDX-License-Identifier: Apache-2.0

// Benchmarks work on these: nodes of a given size, full of workers that need no
// process, and a second process that does the same beside the one that is
// measured.

#ifndef WM_BENCH_NODE_HPP
#define WM_BENCH_NODE_HPP

#include "table.h"
#include "wm.h"

#include <atomic>
#include <benchmark/benchmark.h>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <string>
#include <sys/types.h>

namespace bench
{

constexpr std::size_t line = 64; // of a cache

// The numbers of workers at which everything that grows with them is measured.
inline void sizes(benchmark::internal::Benchmark *b)
{
    for (const int n : {2, 16, 64, 256, 1024, 4096, 65535}) {
        b->Arg(n);
    }
}

// Ends the program, or the child that calls it.
[[noreturn]] void fail(const char *what, const char *why);

// Ends it if a call of the library failed: no benchmark can go on without it.
int check(int result, const char *what);

// The coarse clock, as the library reads it for a beat.
std::uint64_t coarse_ms();

// A node in a directory of its own, in which this process takes part; nobody
// has begun a generation there. It ends in order, so that nothing is left
// behind.
class home
{
public:
    // capacity 0: the library's own choice
    explicit home(const std::string &instance, int capacity = 0);
    ~home();
    home(const home &) = delete;
    home &operator=(const home &) = delete;

    // Begins a generation, whose master this process is then.
    std::uint64_t begin() const;
    // Joins this process; a child joins a worker of its own.
    wm_worker *join(std::uint64_t generation, int expected = 0) const;

    wm_node *handle() const { return node_; }
    const char *instance() const { return instance_.c_str(); }
    const char *directory() const { return directory_.c_str(); }
    std::string segment() const; // its path

private:
    std::string instance_;
    std::string directory_;
    wm_node *node_ = nullptr;
};

// A node with this process as a worker, and with records of other live workers
// up to the given number.
class node
{
public:
    // There is one node for each size, which is made at its first use.
    static node &of(int workers);

    explicit node(int workers);
    ~node();
    node(const node &) = delete;
    node &operator=(const node &) = delete;

    // Joins and starts this process; a child starts a worker of its own.
    wm_worker *join() const;

    wm_node *handle() const { return home_.handle(); }
    wm_worker *worker() const { return worker_; }
    std::uint64_t generation() const { return generation_; }
    const char *directory() const { return home_.directory(); }
    table *records() const { return table_; }

private:
    home home_;
    std::uint64_t generation_;
    wm_worker *worker_;
    table *table_;
};

// Memory that forked processes share; it stays.
void *shared_memory(std::size_t size);

template <class T>
T &make_shared()
{
    return *new (shared_memory(sizeof(T))) T();
}

template <class T>
T &shared()
{
    static T &instance = make_shared<T>();

    return instance;
}

// A process that does something over and over beside the caller, as long as
// this object lives.
class companion
{
public:
    using deed = std::function<void()>;

    explicit companion(
        const deed &act, const deed &begin = [] {}, const deed &end = [] {});
    ~companion();
    companion(const companion &) = delete;
    companion &operator=(const companion &) = delete;

private:
    std::atomic<bool> &stop_; // so it leaves no lock behind
    pid_t pid_ = -1;
};

} // namespace bench

#endif
