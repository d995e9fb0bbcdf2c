// SPDX-License-Identifier: Apache-2.0

// A herd: so many processes are forked, join, start, wait for each other, then
// all exit and leave at once. Beside it as many processes that do nothing but
// wait. A row is the time for one process of the herd.

#include "node.hpp"
#include "scenario.hpp"

#include <optional>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace
{

// The status of a process that was given the end of its generation; 1 is that
// of one that has failed.
constexpr int gave_end = 2;

double cpu_ns()
{
    double sum = 0;

    for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
        rusage used{};

        getrusage(who, &used);
        for (const timeval &t : {used.ru_utime, used.ru_stime}) {
            sum += static_cast<double>(t.tv_sec) * 1e9 +
                   static_cast<double>(t.tv_usec) * 1e3;
        }
    }
    return sum;
}

void note_end(const wm_event *event, void *status)
{
    if (event->kind == WM_EVENT_MASTER_EXIT) {
        *static_cast<int *>(status) = gave_end;
    }
}

int exit_and_leave(wm_worker *worker)
{
    int status = 0;

    bench::check(wm_exit_run(worker, nullptr, note_end, &status), "exit");
    bench::check(wm_worker_leave(worker), "leave");
    return status;
}

// Reaps them all; how many of them were given the end of the generation.
int reap(int count)
{
    int given = 0;

    for (int i = 0; i < count; i++) {
        int status = -1;

        if (wait(&status) < 0 || !WIFEXITED(status) ||
            WEXITSTATUS(status) == 1) {
            bench::fail("herd", "a process has failed");
        }
        given += WEXITSTATUS(status) == gave_end;
    }
    return given;
}

bench::figures herd(bool joins, int count, int cores)
{
    std::optional<bench::home> node;
    std::uint64_t generation = 0;
    int up[2], go[2];

    bench::use_cores(cores);
    if (joins) {
        node.emplace("herd", count);
        generation = node->begin();
    }
    bench::check(pipe(up) | pipe(go) ? -errno : 0, "pipe");

    const double cpu = cpu_ns();
    const auto began = bench::now_ns();
    for (int i = 0; i < count; i++) {
        bench::spawn([&] {
            wm_worker *worker = nullptr;
            char byte = 0;

            close(go[1]);
            if (joins) {
                worker = node->join(generation, count);
                bench::check(wm_start_run(worker, nullptr, nullptr, nullptr),
                             "start");
            }
            bench::say_ready(up[1]);
            (void)!read(go[0], &byte, 1); // nothing comes but the end
            return joins ? exit_and_leave(worker) : 0;
        });
    }
    bench::await(up[0], count);
    const auto ready = bench::now_ns();
    close(go[1]);
    if (reap(count) != (joins ? 1 : 0)) {
        bench::fail("herd", "the generation's end was not given once");
    }
    const auto ended = bench::now_ns();

    return {{"time", static_cast<double>(ended - began) / count},
            {"start_ns", static_cast<double>(ready - began) / count},
            {"stop_ns", static_cast<double>(ended - ready) / count},
            {"cpu_ns", (cpu_ns() - cpu) / count}};
}

// All sizes and numbers of cores, of both kinds.
const bool registered = [] {
    for (const int cores : {1, 2}) {
        for (const int count : {16, 64, 256, 1024, 4096}) {
            for (const bool joins : {false, true}) {
                bench::scenario((joins ? "herd/" : "floor_herd/") +
                                    std::to_string(count) +
                                    "/cores:" + std::to_string(cores),
                                [=] { return herd(joins, count, cores); });
            }
        }
    }
    return true;
}();

} // namespace
