// SPDX-License-Identifier: Apache-2.0

// Names come from a directory that anybody may write to. This file compares
// them and hands them on as they are; code that prints them cleans them first
// (words.hpp).

#include "segments.hpp"

#include "words.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

namespace wmctl
{

namespace
{

// A segment's file is called wm.<instance>.<digits>.
std::string instance_of(const std::string &file)
{
    const auto first = file.find('.'), last = file.rfind('.');

    return first == last ? file : file.substr(first + 1, last - first - 1);
}

// The owner of a segment's file, and the remedy.
std::string owner(const options &o, const segment &s)
{
    const std::string path = o.directory + "/" + s.file;
    struct stat st {
    };
    char mode[8];

    if (lstat(path.c_str(), &st) != 0) {
        return "";
    }
    std::snprintf(mode, sizeof(mode), "%04o", st.st_mode & 07777u);
    return " (it is " + user_name(st.st_uid) + "'s, mode " + mode +
           (st.st_uid == geteuid() ? ")"
                                   : "; run wmctl as that user or as root)");
}

failure refusal(const options &o, const segment &s, int error)
{
    return {status_of(error), clean(s.file) + ": " + cause(o, s, error)};
}

// Whether a process is or was a worker or a master of the node. A segment that
// cannot be read names nobody.
bool has(const options &o, const segment &s, std::int32_t pid)
{
    std::error_code ec;
    const wm::node node =
        wm::node::open(s.file.c_str(), o.directory.c_str(), ec);

    if (ec) {
        return false;
    }
    const wm::snapshot seen = node.snapshot(ec);
    const auto generations = node.generations(ec);
    return std::any_of(seen.workers.begin(), seen.workers.end(),
                       [&](const auto &w) { return w.pid == pid; }) ||
           std::any_of(generations.begin(), generations.end(),
                       [&](const auto &g) { return g.master == pid; });
}

} // namespace

status status_of(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
    case ENOTSUP:
        return status::denied;
    case EBADMSG:
    case ENODATA:
    case EUCLEAN:
        return status::damaged;
    case EPROTO:
    case EXDEV:
        return status::foreign;
    case ENOENT:
    case ENOTDIR:
        return status::no_node;
    default:
        return status::failed;
    }
}

std::vector<segment> everything(const options &o)
{
    std::vector<segment> found;
    std::error_code ec;

    for (const wm::node_entry &e :
         wm::node::list(nullptr, o.directory.c_str(), ec)) {
        found.push_back(
            {e.name, instance_of(e.name), e.live, e.error.value(), e.foreign});
    }
    if (ec) {
        throw failure(status_of(ec.value()), clean(o.directory) + ": " +
                                                 std::strerror(ec.value()) +
                                                 "; see --directory");
    }
    std::sort(
        found.begin(), found.end(),
        [](const segment &a, const segment &b) { return a.file < b.file; });
    return found;
}

std::int32_t pid_of(const std::string &text)
{
    const char *const end = text.data() + text.size();
    std::int32_t pid = 0;
    const auto [rest, error] = std::from_chars(text.data(), end, pid);

    return error == std::errc() && rest == end && pid > 0 ? pid : 0;
}

// A node that is called so comes first: its name may be 1234. A stranger's is
// meant by its file, or by a pid.
std::vector<segment> meant(const options &o, const std::vector<segment> &all,
                           by how)
{
    if (o.node.empty()) {
        return all;
    }
    std::vector<segment> found = those(all, [&](const segment &s) {
        return o.node == s.file || (o.node == s.instance && !s.foreign);
    });
    const std::int32_t pid = how == by::name ? 0 : pid_of(o.node);
    if (found.empty() && pid != 0) {
        found = those(all, [&](const segment &s) { return has(o, s, pid); });
    }
    if (found.empty() && how == by::beginning) {
        found = those(all, [&](const segment &s) {
            return s.instance.starts_with(o.node) && !s.foreign;
        });
    }
    return found;
}

std::vector<segment> segments(const options &o, by how)
{
    return meant(o, everything(o), how);
}

std::string cause(const options &o, const segment &s, int error)
{
    std::string text = wm::message(-error);

    if (status_of(error) == status::failed) {
        text += std::string(" (") + std::strerror(error) + ")";
    }
    return error == EACCES || error == EPERM ? text + owner(o, s) : text;
}

wm::node open(const options &o, const segment &s)
{
    std::error_code ec(s.error, wm::category());
    wm::node node;

    if (!ec) {
        node = wm::node::open(s.file.c_str(), o.directory.c_str(), ec);
    }
    if (ec) {
        throw refusal(o, s, ec.value());
    }
    return node;
}

bool is_by_name(const options &o, const segment &s)
{
    return o.node != s.file && s.instance.starts_with(o.node);
}

bool is_live(const options &o, const segment &s)
{
    options one = o;

    one.node = s.file;
    const std::vector<segment> found = segments(one, by::name);
    if (found.empty() || found.front().error == ENOENT) {
        return false;
    }
    if (found.front().error != 0) {
        throw refusal(o, s, found.front().error);
    }
    return found.front().live;
}

} // namespace wmctl
