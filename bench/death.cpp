// SPDX-License-Identifier: Apache-2.0

// The death of a worker: how long from SIGKILL until a monitor's subscriber is
// called, in another process than the master. The master sleeps on a pidfd of
// each worker, reaps the dead one and tells the library. Beside it the same
// master without the library: how long until that sleep ends.

#include "node.hpp"
#include "scenario.hpp"

#ifdef WM_BENCH_MONITOR
#include "wm_monitor.hpp"
#endif

#include <array>
#include <csignal>
#include <memory>
#include <optional>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace
{

constexpr int workers = 64, deaths = 32;

// The processes of a server, which the killer looks up.
struct cast {
    std::array<pid_t, workers> pids{};
};

// Says when a death was noticed.
void tell(int fd, std::uint64_t at)
{
    if (write(fd, &at, sizeof(at)) != sizeof(at)) {
        _exit(1);
    }
}

int work(const bench::home *node, std::uint64_t generation, int ready)
{
    if (node != nullptr) {
        bench::check(wm_start_run(node->join(generation, workers), nullptr,
                                  nullptr, nullptr),
                     "start");
    }
    bench::say_ready(ready);
    for (;;) {
        pause();
    }
}

// The master. Without a node it tells itself.
int serve(const bench::home *node, int up, int told)
{
    auto &pids = bench::shared<cast>().pids;
    const std::uint64_t generation = node ? node->begin() : 0;
    std::array<pollfd, workers> fds{};
    int ready[2];

    bench::check(pipe(ready) == 0 ? 0 : -errno, "pipe");
    for (std::size_t i = 0; i < pids.size(); i++) {
        pids[i] =
            bench::spawn([&] { return work(node, generation, ready[1]); });
        fds[i].fd = static_cast<int>(syscall(SYS_pidfd_open, pids[i], 0));
        fds[i].events = POLLIN;
        bench::check(fds[i].fd < 0 ? -errno : 0, "pidfd_open");
    }
    bench::await(ready[0], workers);
    bench::say_ready(up);
    while (poll(fds.data(), fds.size(), -1) > 0) {
        const auto now = bench::now_ns();

        for (std::size_t i = 0; i < pids.size(); i++) {
            int status = 0;

            if (fds[i].revents == 0) {
                continue;
            }
            if (node == nullptr) {
                tell(told, now);
            }
            waitpid(pids[i], &status, 0);
            if (node != nullptr) {
                wm_worker_reaped(node->handle(), pids[i], status);
            }
            close(fds[i].fd);
            fds[i].fd = -1; // poll() passes over it
        }
    }
    return 1;
}

// Kills some workers, one after another. Each death finds all others asleep,
// and the monitor rested from the view before.
bench::figures kill_some(int told)
{
    const timespec pause = {0, 20000000};
    std::vector<double> took;

    for (int i = 0; i < deaths; i++) {
        nanosleep(&pause, nullptr);
        const auto died = bench::now_ns();
        std::uint64_t noticed = 0;

        kill(bench::shared<cast>().pids[static_cast<std::size_t>(i)], SIGKILL);
        if (read(told, &noticed, sizeof(noticed)) != sizeof(noticed)) {
            bench::fail("death", "nobody notices it");
        }
        took.push_back(static_cast<double>(noticed - died));
    }
    return {{"time", bench::median(took)}};
}

bench::figures death(bool joins, const auto &watch)
{
    std::optional<bench::home> node;
    int up[2], told[2];

    bench::shared<cast>();
    bench::check(pipe(up) | pipe(told) ? -errno : 0, "pipe");
    if (joins) {
        node.emplace("death");
    }
    const pid_t master = bench::spawn(
        [&] { return serve(joins ? &*node : nullptr, up[1], told[1]); });
    bench::await(up[0], 1);
    bench::figures found = watch(node, told);
    bench::end_all({master}); // its workers end with it
    return found;
}

const bench::scenario pidfds("floor_death_pidfd", [] {
    return death(false, [](const auto &, const int *told) {
        return kill_some(told[0]);
    });
});

#ifdef WM_BENCH_MONITOR
int crashed(const wm_view &view)
{
    int count = 0;

    for (std::uint32_t i = 0; i < view.worker_count; i++) {
        count += wm_view_worker(&view, i)->state == WM_CRASHED;
    }
    return count;
}

const bench::scenario subscriber("death_monitor", [] {
    return death(true, [](const auto &node, const int *told) {
        auto monitor = wm::monitor::create(node->instance(), node->directory());
        const auto subscription =
            monitor.subscribe([&](const wm_view &before, const wm_view &now) {
                const auto at = bench::now_ns();

                if (crashed(now) > crashed(before)) {
                    tell(told[1], at);
                }
            });
        return kill_some(told[0]);
    });
});
#endif

} // namespace
