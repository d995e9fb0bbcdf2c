// SPDX-License-Identifier: Apache-2.0

// Counts in a node with a past: a former master has reloaded thousands of
// times, and this process is the next binary's master. Beside them the same
// after an upgrade alone, and in a fresh node.

#include "node.hpp"
#include "scenario.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>

namespace
{

// The generations of the former master, of which the last one lives.
constexpr int fresh = 0, after_upgrade = 1, after_reloads = 8000;

// A process that is ready before the constructor returns, and that goes on
// until the destructor lets it leave in order, so that nothing is left to tell.
class lasting
{
public:
    using deed = std::function<void(const std::function<void()> &stay)>;

    explicit lasting(const deed &act)
    {
        int ready[2];

        bench::check(pipe(ready) | pipe(over_) ? -errno : 0, "pipe");
        pid_ = bench::spawn([&] {
            act([&] {
                bench::say_ready(ready[1]);
                bench::await(over_[0], 1);
            });
            return 0;
        });
        close(over_[0]);
        bench::await(ready[0], 1);
        close(ready[0]);
        close(ready[1]);
    }

    // A byte says so: not the end of the pipe, which processes that were forked
    // later have inherited.
    ~lasting()
    {
        bench::say_ready(over_[1]);
        close(over_[1]);
        waitpid(pid_, nullptr, 0);
    }

    lasting(const lasting &) = delete;
    lasting &operator=(const lasting &) = delete;

private:
    pid_t pid_ = -1;
    int over_[2] = {-1, -1};
};

wm_worker *join_and_start(const bench::home &node, std::uint64_t generation)
{
    wm_worker *const worker = node.join(generation);

    bench::check(wm_start_run(worker, nullptr, nullptr, nullptr), "start");
    return worker;
}

void exit_and_leave(wm_worker *worker)
{
    if (worker != nullptr) {
        wm_exit_run(worker, nullptr, nullptr, nullptr);
        wm_worker_leave(worker);
    }
}

// Another worker of the generation.
class colleague : lasting
{
public:
    colleague(const bench::home &node, std::uint64_t generation)
        : lasting([&](const auto &stay) {
              wm_worker *const worker = join_and_start(node, generation);

              stay();
              exit_and_leave(worker);
          })
    {
    }
};

// The former binary's master, and its worker. They live on beside the next
// binary's, as in an upgrade that is not over. One process is the worker of all
// its generations, one after another: it is the node's past that counts.
class former : lasting
{
public:
    former(const bench::home &node, int generations)
        : lasting([&](const auto &stay) { reload(node, generations, stay); })
    {
    }

private:
    static void reload(const bench::home &node, int generations,
                       const std::function<void()> &stay)
    {
        int ask[2], answer[2];

        bench::check(pipe(ask) | pipe(answer) ? -errno : 0, "pipe");
        const pid_t worker = bench::spawn([&] {
            close(ask[1]);
            work(node, ask[0], answer[1]);
            return 0;
        });
        for (int i = 0; i < generations; i++) {
            const std::uint64_t generation = node.begin();

            if (write(ask[1], &generation, sizeof(generation)) < 0) {
                _exit(1);
            }
            bench::await(answer[0], 1);
        }
        stay();
        close(ask[1]);
        waitpid(worker, nullptr, 0);
    }

    static void work(const bench::home &node, int ask, int answer)
    {
        wm_worker *worker = nullptr;
        std::uint64_t generation = 0;

        while (read(ask, &generation, sizeof(generation)) > 0) {
            exit_and_leave(worker);
            worker = join_and_start(node, generation);
            bench::say_ready(answer);
        }
        exit_and_leave(worker);
    }
};

// A node of the default capacity, and so with room for as many generations. The
// newest has two workers, one of which is this process: the last one would look
// at all others before it is told so.
class setting
{
public:
    explicit setting(int past) : home_("past-" + std::to_string(past))
    {
        wm_counts counts;

        if (past > 0) {
            former_.emplace(home_, past);
        }
        generation_ = home_.begin();
        other_.emplace(home_, generation_);
        worker_ = home_.join(generation_);
        bench::check(wm_worker_start(worker_, &counts), "start");
    }

    ~setting()
    {
        wm_exit_run(worker_, nullptr, nullptr, nullptr);
        wm_worker_leave(worker_);
    }

    setting(const setting &) = delete;
    setting &operator=(const setting &) = delete;

    static const setting &of(int past)
    {
        static std::map<int, std::unique_ptr<setting>> all;
        auto &one = all[past];

        if (!one) {
            one = std::make_unique<setting>(past);
        }
        return *one;
    }

    wm_node *node() const { return home_.handle(); }
    wm_worker *worker() const { return worker_; }
    std::uint64_t generation() const { return generation_; }

private:
    bench::home home_;
    std::optional<former> former_;
    std::uint64_t generation_ = 0;
    std::optional<colleague> other_;
    wm_worker *worker_ = nullptr;
};

// Counts again and again: count(setting, &counts).
template <class Count>
void measure(benchmark::State &state, int past, Count count)
{
    const setting &s = setting::of(past);
    wm_counts c{};

    for (auto _ : state) {
        count(s, &c);
        benchmark::DoNotOptimize(c);
    }
    if (c.mine != 2) {
        state.SkipWithError("the workers were not counted");
    }
}

void counts(benchmark::State &state, int past)
{
    measure(state, past, [](const setting &s, wm_counts *c) {
        wm_generation_counts(s.node(), s.generation(), c);
    });
}
BENCHMARK_CAPTURE(counts, fresh, fresh);
BENCHMARK_CAPTURE(counts, after_upgrade, after_upgrade);
BENCHMARK_CAPTURE(counts, after_reloads, after_reloads);

// As a worker is told at its exit. It asks the kernel whether its colleague
// lives, in an upgrade also whether the other master does, and once in a second
// about all workers.
void exit_counts(benchmark::State &state, int past)
{
    measure(state, past, [](const setting &s, wm_counts *c) {
        wm_worker_exit_counts(s.worker(), c);
    });
}
BENCHMARK_CAPTURE(exit_counts, fresh, fresh);
BENCHMARK_CAPTURE(exit_counts, after_upgrade, after_upgrade);
BENCHMARK_CAPTURE(exit_counts, after_reloads, after_reloads);

} // namespace
