// SPDX-License-Identifier: Apache-2.0

// Finds the one segment that the user means.

#ifndef WMCTL_FIND_HPP
#define WMCTL_FIND_HPP

#include "segments.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace wmctl
{

// A segment and a reader's handle of it.
struct opened {
    segment of;
    wm::node node;
    std::vector<std::string> others; // files of other lives of the instance
};

// Why there is no such node: it says which ones there are.
failure nothing(const options &o);

// Finds and opens the segment that the user means.
opened find(const options &o);

// Looks again and again for a node in service, which may not exist yet.
class search
{
public:
    // For the node that the user means; or for the next life after `last`.
    explicit search(const options &o) : o_(o), how_(by::pid) {}
    search(const options &o, const segment &last);

    // If there is none, why() says why, and it is worth another look.
    std::optional<opened> one();

    const failure &why() const { return *why_; }

private:
    bool may_pass(status s);

    options o_;
    by how_;
    std::optional<failure> why_;
    std::optional<std::chrono::steady_clock::time_point> denied_; // since when
};

} // namespace wmctl

#endif
