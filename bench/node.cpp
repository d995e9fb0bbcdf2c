// SPDX-License-Identifier: Apache-2.0

#include "node.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <map>
#include <memory>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bench
{

namespace
{

const pid_t self = getpid(); // a companion ends without destructors

[[noreturn]] void fail(const char *what, const char *why)
{
    std::fprintf(stderr, "wm_bench: %s: %s\n", what, why);
    getpid() == self ? std::exit(1) : _exit(1);
}

} // namespace

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

node::node(int workers)
{
    // The name tells the script whose it is, should this process be killed.
    std::string pattern =
        "/dev/shm/wm.bench-" + std::to_string(getpid()) + ".XXXXXX";
    const std::string instance = "bench-" + std::to_string(workers);
    wm_node_options options{};
    wm_node_info info{};

    if (mkdtemp(pattern.data()) == nullptr) {
        fail(pattern.c_str(), "no directory to be made there");
    }
    directory_ = pattern;
    options.size = sizeof(options);
    options.instance = instance.c_str();
    options.directory = directory_.c_str();
    // Room for a companion as well.
    options.capacity =
        std::min(static_cast<std::uint32_t>(workers) + 1, 65535u);
    check(wm_node_attach(&options, &node_), "wm_node_attach");
    check(wm_generation_begin(node_, &generation_, nullptr), "begin");
    worker_ = join();

    info.size = sizeof(info);
    wm_node_describe(node_, &info);
    table_ = table_map((directory_ + "/" + info.name).c_str());
    if (table_ == nullptr) {
        fail(info.name, "cannot be mapped");
    }
    table_fill(table_, generation_, static_cast<std::uint32_t>(workers));
}

node::~node()
{
    table_empty(table_);
    table_unmap(table_);
    wm_exit_run(worker_, nullptr, nullptr, nullptr);
    wm_worker_leave(worker_);
    wm_node_release(node_);
    std::error_code ignored;
    std::filesystem::remove(directory_, ignored);
}

wm_worker *node::join() const
{
    wm_worker *worker = nullptr;
    wm_join_options options{};
    wm_counts counts;

    options.size = sizeof(options);
    options.overdue_ms = INT32_MAX; // sleepers are fresh as long as any run
    check(wm_worker_join(node_, generation_, &options, &worker), "join");
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
    int ready[2];
    char byte = 0;

    stop_ = false;
    pid_ = pipe(ready) == 0 ? fork() : -1;
    if (pid_ < 0) {
        fail("fork", "no process to be had");
    }
    if (pid_ == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
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
