// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// What the library's operations cost, beside the floor that the machine sets
// and beside what people use today, in one binary and one run. Absolute figures
// of a shared machine mean little; compare the rows.

#include <benchmark/benchmark.h>

BENCHMARK_MAIN();
