// SPDX-License-Identifier: Apache-2.0

// The costs of the library's operations, beside the floor that the machine sets
// and beside the ways that people use today, in one binary and one run.
// Absolute figures of a shared machine mean little; compare the rows.

#include "scenario.hpp"
#include "signals.hpp"

#include <benchmark/benchmark.h>
#include <string_view>

int main(int argc, char **argv)
{
    bench::answer_signals();
    if (argc == 3 && std::string_view(argv[1]) == "--scenario") {
        return bench::play(argv[2]);
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
