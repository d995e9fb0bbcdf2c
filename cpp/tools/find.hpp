// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// Which segments there are, and which of them is meant.

#ifndef WMCTL_FIND_HPP
#define WMCTL_FIND_HPP

#include "options.hpp"
#include "status.hpp"

#include <wm.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace wmctl
{

struct segment {
    std::string file;
    std::string instance;
    bool live = false; // somebody takes part
    int error = 0;     // an errno: why that cannot be told
};

// A segment and a reader's handle of it.
struct opened {
    segment of;
    wm::node node;
};

// All segments in the directory, by name; those of `o.node` if it is given.
std::vector<segment> segments(const options &o);

// The one that is meant.
opened find(const options &o);

// Looks again and again for a node in service that may be yet to come.
class search
{
public:
    // The one that is meant, or, of a life that has ended, the next one.
    explicit search(const options &o) : o_(o) {}
    search(const options &o, const segment &last);

    // Its lives; two, where one has begun and the last one still drains. None:
    // why() says why, and it is worth another look.
    std::vector<opened> all();

    // The same where no two will do.
    std::optional<opened> one();

    const failure &why() const { return *why_; }

private:
    bool may_pass(status s);

    options o_;
    std::optional<failure> why_;
    std::optional<std::chrono::steady_clock::time_point> denied_; // since then
};

// Opens it; throws a failure that says what to do.
wm::node open(const options &o, const segment &s);

// The meaning of an error for a segment's file, and what to do.
std::string cause(const options &o, const segment &s, int error);

// Throws where that cannot be told.
bool is_live(const options &o, const segment &s);

} // namespace wmctl

#endif
