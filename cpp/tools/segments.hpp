// SPDX-License-Identifier: Apache-2.0

// The segments of a directory: listed, told apart by what names them, opened.

#ifndef WMCTL_SEGMENTS_HPP
#define WMCTL_SEGMENTS_HPP

#include "options.hpp"
#include "status.hpp"

#include <wm.hpp>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

namespace wmctl
{

struct segment {
    std::string file;
    std::string instance;
    bool live = false;    // a process takes part
    int error = 0;        // an errno: why `live` is not known
    bool foreign = false; // another user's, and not root's
};

// `o.node` may be the name of an instance or file; also the pid of a
// master or worker; also the beginning of an instance's name. A script that
// waits for `shop` must not take `shop-admin` while that is the only one, and
// nothing must be unlinked that is called otherwise: so only a look takes a
// beginning.
enum class by {
    name,
    pid,
    beginning
};

// All segments in the directory, by name.
std::vector<segment> everything(const options &o);

// Those of `all` that `o.node` means; all of them if it is empty.
std::vector<segment> meant(const options &o, const std::vector<segment> &all,
                           by how);

// Those of everything() that are meant.
std::vector<segment> segments(const options &o, by how);

// Returns 0 if the text is no pid.
std::int32_t pid_of(const std::string &text);

// Opens a segment; throws a failure that says what to do.
wm::node open(const options &o, const segment &s);

// The exit status for an errno of a segment's file; the same in words, with the
// remedy.
status status_of(int error);
std::string cause(const options &o, const segment &s, int error);

// Whether the user means any life of this one's instance: not this very file,
// nor a process of it.
bool is_by_name(const options &o, const segment &s);

// Whether a process takes part; throws a failure if that is not known.
bool is_live(const options &o, const segment &s);

// Those that fulfil it.
template <typename Condition>
std::vector<segment> those(const std::vector<segment> &all, Condition condition)
{
    std::vector<segment> found;

    std::copy_if(all.begin(), all.end(), std::back_inserter(found), condition);
    return found;
}

} // namespace wmctl

#endif
