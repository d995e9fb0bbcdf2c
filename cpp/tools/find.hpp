// SPDX-License-Identifier: Apache-2.0

// Finds the segments that there are, and the one that the user means.

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
    bool live = false;    // a process takes part
    int error = 0;        // an errno: why `live` is not known
    bool foreign = false; // another user's, and not root's
};

// A segment and a reader's handle of it.
struct opened {
    segment of;
    wm::node node;
    std::vector<std::string> others; // files of other lives of the instance
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

// All segments in the directory, by name; those of `o.node` if it is given.
std::vector<segment> segments(const options &o, by how);

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

// Opens a segment; throws a failure that says what to do.
wm::node open(const options &o, const segment &s);

// The meaning of an error of a segment's file, and the remedy.
std::string cause(const options &o, const segment &s, int error);

// Whether the user means any life of this one's instance: not this very file,
// nor a process of it.
bool is_by_name(const options &o, const segment &s);

// Whether a process takes part; throws a failure if that is not known.
bool is_live(const options &o, const segment &s);

} // namespace wmctl

#endif
