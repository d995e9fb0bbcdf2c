// SPDX-License-Identifier: Apache-2.0

#include "node.hpp"

#include "signals.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <map>
#include <memory>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bench
{

namespace
{

const pid_t self = getpid(); // a child ends without destructors

} // namespace

void fail(const char *what, const char *why)
{
    std::fprintf(stderr, "wm_bench: %s: %s\n", what, why);
    getpid() == self ? std::exit(1) : _exit(1);
}

int check(int result, const char *what)
{
    if (result < 0) {
        fail(what, wm_strerror(result));
    }
    return result;
}

std::uint64_t coarse_ms()
{
    timespec ts{};

    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return static_cast<std::uint64_t>(ts.tv_sec) * 1000u +
           static_cast<std::uint64_t>(ts.tv_nsec) / 1000000u;
}

node &node::of(int workers)
{
    static std::map<int, std::unique_ptr<node>> all;
    auto &one = all[workers];

    if (!one) {
        one = std::make_unique<node>(workers);
    }
    return *one;
}

home::home(const std::string &instance, int capacity) : instance_(instance)
{
    // The name tells the script whose it is, should this process be killed.
    std::string pattern =
        "/dev/shm/wm.bench-" + std::to_string(getpid()) + ".XXXXXX";
    wm_node_options options{};

    if (mkdtemp(pattern.data()) == nullptr) {
        fail(pattern.c_str(), "no directory to be made there");
    }
    directory_ = pattern;
    remove_on_signal(directory_);
    options.size = sizeof(options);
    options.instance = instance_.c_str();
    options.directory = directory_.c_str();
    options.capacity = static_cast<std::uint32_t>(capacity);
    check(wm_node_attach(&options, &node_), "wm_node_attach");
    remove_on_signal(segment());
}

// A node that still has something to tell keeps its file.
home::~home()
{
    std::error_code ignored;

    wm_node_release(node_);
    std::filesystem::remove_all(directory_, ignored);
}

std::uint64_t home::begin() const
{
    std::uint64_t generation = 0;

    check(wm_generation_begin(node_, &generation, nullptr), "begin");
    return generation;
}

wm_worker *home::join(std::uint64_t generation, int expected) const
{
    wm_worker *worker = nullptr;
    wm_join_options options{};

    options.size = sizeof(options);
    options.expected = static_cast<std::uint32_t>(expected);
    options.overdue_ms = INT32_MAX; // sleepers are fresh as long as any run
    check(wm_worker_join(node_, generation, &options, &worker), "join");
    return worker;
}

std::string home::segment() const
{
    wm_node_info info{};

    info.size = sizeof(info);
    wm_node_describe(node_, &info);
    return directory_ + "/" + info.name;
}

// There is room for a companion as well.
node::node(int workers)
    : home_("bench-" + std::to_string(workers), std::min(workers + 1, 65535)),
      generation_(home_.begin()), worker_(join()),
      table_(table_map(home_.segment().c_str()))
{
    if (table_ == nullptr) {
        fail(home_.segment().c_str(), "cannot be mapped");
    }
    table_fill(table_, generation_, static_cast<std::uint32_t>(workers));
}

node::~node()
{
    table_empty(table_);
    table_unmap(table_);
    wm_exit_run(worker_, nullptr, nullptr, nullptr);
    wm_worker_leave(worker_);
}

wm_worker *node::join() const
{
    wm_worker *const worker = home_.join(generation_);
    wm_counts counts;

    check(wm_worker_start(worker, &counts), "start");
    return worker;
}

void *shared_memory(std::size_t size)
{
    void *const at = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED) {
        fail("mmap", "no memory");
    }
    return at;
}

companion::companion(const deed &act, const deed &begin, const deed &end)
    : stop_(shared<std::atomic<bool>>())
{
    const pid_t parent = getpid();
    int ready[2];
    char byte = 0;

    stop_ = false;
    pid_ = pipe(ready) == 0 ? fork() : -1;
    if (pid_ < 0) {
        fail("fork", "no process to be had");
    }
    if (pid_ == 0) {
        end_with(parent, SIGKILL);
        begin();
        if (write(ready[1], &byte, 1) != 1) {
            _exit(1);
        }
        while (!stop_.load(std::memory_order_relaxed)) {
            act();
        }
        end();
        _exit(0);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) {
        fail("companion", "did not begin");
    }
    close(ready[0]);
}

companion::~companion()
{
    stop_ = true;
    waitpid(pid_, nullptr, 0);
}

} // namespace bench
