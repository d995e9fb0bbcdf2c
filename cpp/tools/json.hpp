// SPDX-License-Identifier: Apache-2.0

// The output for programs: one JSON document a line. The man page lists its
// fields; later versions may add fields, and remove none.

#ifndef WMCTL_JSON_HPP
#define WMCTL_JSON_HPP

#include "model.hpp"

#include <optional>
#include <string>
#include <vector>

namespace wmctl::json
{

// A segment of the list: the look at it, or why it could not be opened.
struct listed {
    segment of;
    std::optional<model> seen;
    std::optional<failure> why;
};

// A segment that was to go, and whether it went.
struct disposal {
    segment of;
    const char *action;
    std::string reason;
};

// The condition of a wait, and how far it is met.
struct wait_result {
    bool ready = false;
    std::uint32_t wanted = 0;
    unsigned live = 0;
    bool settled = true;             // whether the look was settled
    std::uint64_t generation = 0;    // 0: there is none
    bool orphaned = false;           // its master has ended
    std::string file;                // "": there is no node
    std::vector<std::string> others; // files of lives that do not count
};

std::string list(const std::string &directory, const std::vector<listed> &all);
std::string node(const model &m);
std::string life(const segment &s);
std::string event(const wm_log_entry &e);
std::string missed(std::uint64_t number);
std::string log_unsettled(); // entries wait behind one that is being written
std::string waited(const wait_result &r);
std::string gc(bool dry_run, const std::vector<disposal> &all);

} // namespace wmctl::json

#endif
