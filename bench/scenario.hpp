// SPDX-License-Identifier: Apache-2.0

// A benchmark of several processes. It runs in a program of its own, which has
// nothing of the other benchmarks: this one, executed anew with --scenario. A
// fork then copies no table of another row, and the library's handlers of a
// fork find no other node.

#ifndef WM_BENCH_SCENARIO_HPP
#define WM_BENCH_SCENARIO_HPP

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <sys/types.h>
#include <vector>

namespace bench
{

// The figures that a scenario has found, by name. "time" is the row's own, in
// ns; the others stand beside it.
using figures = std::map<std::string, double>;

// Registers a row, which a static object does.
class scenario
{
public:
    scenario(const std::string &name, const std::function<figures()> &run);
};

// Runs the scenario of this name, and prints its figures. The status of main.
int play(const std::string &name);

// Forks a process that ends with this one. It does its deed, whose result is
// its status.
pid_t spawn(const std::function<int()> &deed);

// Waits until so many bytes have come: each process writes one to say that it
// is ready.
void await(int fd, int count);
void say_ready(int fd);

// Ends these processes, which may be stopped or asleep, and reaps them.
void end_all(const std::vector<pid_t> &pids);

// CLOCK_MONOTONIC.
std::uint64_t now_ns();

// The middle of some samples.
double median(std::vector<double> samples);

// The process may run on so many of the cores that it has, and so may those
// that it forks.
void use_cores(int count);

} // namespace bench

#endif
