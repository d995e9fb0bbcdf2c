// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// Which segments there are, and which of them is meant.

#ifndef WMCTL_FIND_HPP
#define WMCTL_FIND_HPP

#include "options.hpp"
#include "status.hpp"

#include <wm.hpp>

#include <optional>
#include <string>
#include <vector>

namespace wmctl
{

struct segment {
    std::string file;
    std::string instance;
    bool live = false; // somebody takes part; false also where that is not
                       // to be told
};

// A segment and a reader's handle of it.
struct opened {
    segment of;
    wm::node node;
};

// All segments in the directory, by name; those of `o.node` if it is given.
std::vector<segment> segments(const options &o);

// The one that is meant. live: nothing but a node in service will do.
opened find(const options &o, bool live = false);

// The one in service, or nothing while there is none, and why.
std::optional<opened> search(const options &o, std::optional<failure> &why);

// The node that has taken the place of one that has ended, if there is one.
std::optional<opened> next_life(const options &o, const segment &last);

// Opens it; throws a failure that says what to do.
wm::node open(const options &o, const segment &s);

// The same without a node: why it cannot be opened.
failure refusal(const options &o, const segment &s, int error);

bool is_live(const options &o, const segment &s);

} // namespace wmctl

#endif
