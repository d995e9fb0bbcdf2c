// SPDX-License-Identifier: Apache-2.0

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

    std::string node;     // a name, pid or beginning; "": the only live one
    bool all = false;     // show, watch: generations without workers, too
    bool files = false;   // list
    bool dry_run = false; // gc

    // events
    bool follow = false;
    bool utc = false;
    std::optional<std::uint64_t> last;  // so many, of those that there are
    std::optional<std::uint64_t> since; // ms since 1970
    std::string kind;                   // or its first word; "": any
    std::optional<std::int32_t> worker; // its pid

    // wait; generation: events, too
    std::uint32_t ready = 0;
    double timeout = 30; // seconds
    std::optional<std::uint64_t> generation;
    std::optional<std::uint64_t> newer_than;
};

} // namespace wmctl

#endif
