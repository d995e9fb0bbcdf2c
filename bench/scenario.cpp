// SPDX-License-Identifier: Apache-2.0

#include "scenario.hpp"

#include "node.hpp"
#include "signals.hpp"

#include <algorithm>
#include <benchmark/benchmark.h>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <sched.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

namespace bench
{

namespace
{

using runs = std::map<std::string, std::function<figures()>>;

// In a function, since other files register before main() begins.
runs &all()
{
    static runs instance;

    return instance;
}

[[noreturn]] void execute(const std::string &name, pid_t parent, int out)
{
    end_with(parent, SIGTERM);
    dup2(out, STDOUT_FILENO);
    close_range(3, ~0u, 0);
    execl("/proc/self/exe", "wm_bench", "--scenario", name.c_str(), nullptr);
    _exit(127);
}

// All that a process writes until it ends.
std::string read_all(int fd)
{
    std::string text;
    char room[512];

    for (ssize_t n; (n = read(fd, room, sizeof(room))) > 0;) {
        text.append(room, static_cast<std::size_t>(n));
    }
    return text;
}

void measure(benchmark::State &state, const std::string &name)
{
    for (auto _ : state) {
        const pid_t self = getpid();
        int out[2], status = -1;

        check(pipe(out) == 0 ? 0 : -errno, "pipe");
        const pid_t pid = fork();
        if (pid == 0) {
            execute(name, self, out[1]);
        }
        end_on_signal(pid);
        close(out[1]);
        std::istringstream lines(read_all(out[0]));
        close(out[0]);
        waitpid(pid, &status, 0);
        end_on_signal(0);
        if (pid < 0 || status != 0) {
            state.SkipWithError("the scenario failed");
            break;
        }
        std::string key;
        for (double value; lines >> key >> value;) {
            if (key == "time") {
                state.SetIterationTime(value / 1e9);
            } else {
                state.counters[key] = value;
            }
        }
    }
}

} // namespace

// One iteration is a whole scenario, whose time is that of one operation in it;
// a repetition needs no more of them.
scenario::scenario(const std::string &name, const std::function<figures()> &run)
{
    all()[name] = run;
    benchmark::RegisterBenchmark(
        name.c_str(), [name](benchmark::State &state) { measure(state, name); })
        ->Iterations(1)
        ->UseManualTime();
}

int play(const std::string &name)
{
    const auto run = all().find(name);

    if (run == all().end()) {
        std::cerr << "wm_bench: no scenario " << name << '\n';
        return 2;
    }
    std::cout.precision(12);
    for (const auto &[key, value] : run->second()) {
        std::cout << key << ' ' << value << '\n';
    }
    return 0;
}

pid_t spawn(const std::function<int()> &deed)
{
    const pid_t self = getpid();
    const pid_t pid = fork();

    if (pid < 0) {
        fail("fork", "no process to be had");
    }
    if (pid == 0) {
        end_with(self, SIGKILL);
        _exit(deed());
    }
    return pid;
}

void await(int fd, int count)
{
    char room[4096];

    while (count > 0) {
        const ssize_t n = read(fd, room, sizeof(room));

        if (n <= 0) {
            fail("read", "a process has ended too early");
        }
        count -= static_cast<int>(n);
    }
}

void say_ready(int fd)
{
    if (write(fd, "", 1) != 1) {
        _exit(1);
    }
}

void end_all(const std::vector<pid_t> &pids)
{
    for (const pid_t pid : pids) {
        kill(pid, SIGKILL);
    }
    for (const pid_t pid : pids) {
        waitpid(pid, nullptr, 0);
    }
}

std::uint64_t now_ns()
{
    timespec ts{};

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return static_cast<std::uint64_t>(ts.tv_sec) * 1000000000u +
           static_cast<std::uint64_t>(ts.tv_nsec);
}

double median(std::vector<double> samples)
{
    const auto middle =
        samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);

    std::nth_element(samples.begin(), middle, samples.end());
    return *middle;
}

void use_cores(int count)
{
    cpu_set_t set;

    sched_getaffinity(0, sizeof(set), &set);
    for (int cpu = 0, kept = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &set) && ++kept > count) {
            CPU_CLR(cpu, &set);
        }
    }
    sched_setaffinity(0, sizeof(set), &set);
}

} // namespace bench
