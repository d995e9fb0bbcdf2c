// SPDX-License-Identifier: Apache-2.0

// The end of wmctl: its exit status, and the one line that says why.

#ifndef WMCTL_STATUS_HPP
#define WMCTL_STATUS_HPP

#include <stdexcept>
#include <string>

namespace wmctl
{

// The numbers are promised in the man page.
enum class status {
    ok = 0,
    not_ready = 1, // the time is over
    usage = 2,     // also: several nodes, and none is named
    no_node = 3,
    denied = 4,
    damaged = 5, // not a segment, or not a whole one
    foreign = 6, // of another ABI or pid namespace
    failed = 7   // the system failed: memory, descriptors, the output
};

class failure : public std::runtime_error
{
public:
    failure(status s, const std::string &what)
        : std::runtime_error(what), status_(s)
    {
    }

    status why() const noexcept { return status_; }

private:
    status status_;
};

} // namespace wmctl

#endif
