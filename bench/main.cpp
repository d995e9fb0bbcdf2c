// SPDX-License-Identifier: Apache-2.0

// The costs of the library's operations, beside the floor that the machine sets
// and beside the ways that people use today, in one binary and one run.
// Absolute figures of a shared machine mean little; compare the rows.

#include <benchmark/benchmark.h>

BENCHMARK_MAIN();
