// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The command line, read.

#ifndef WMCTL_OPTIONS_HPP
#define WMCTL_OPTIONS_HPP

#include <cstdint>
#include <optional>
#include <string>

namespace wmctl
{

struct options {
    std::string directory = "/dev/shm";
    bool json = false;
    bool no_color = false;

    std::string node;     // an instance or a file name; "": the only live one
    bool all = false;     // show, watch: generations without workers, too
    bool follow = false;  // events
    bool dry_run = false; // gc

    // wait
    std::uint32_t ready = 0;
    double timeout = 30; // seconds
    std::optional<std::uint64_t> generation;
    std::optional<std::uint64_t> newer_than;
};

} // namespace wmctl

#endif
