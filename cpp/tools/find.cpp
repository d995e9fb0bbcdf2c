// SPDX-License-Identifier: Apache-2.0

// Names come from a directory that anybody may write to. This file compares
// them and hands them on as they are; code that prints them cleans them first
// (words.hpp).

#include "find.hpp"

#include "words.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

namespace wmctl
{

namespace
{

constexpr std::chrono::seconds denied_for_good{1};
constexpr int looks = 8; // at lives that come and go

// A segment's file is called wm.<instance>.<digits>.
std::string instance_of(const std::string &file)
{
    const auto first = file.find('.'), last = file.rfind('.');

    return first == last ? file : file.substr(first + 1, last - first - 1);
}

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

// Names to choose from: at most so many, each once.
constexpr std::size_t names_shown = 12;

std::string names(const std::vector<segment> &all,
                  std::string segment::*name = &segment::instance)
{
    std::set<std::string> different;
    std::string text;
    std::size_t shown = 0;

    for (const segment &s : all) {
        different.insert(clean(s.*name));
    }
    for (const std::string &n : different) {
        if (shown++ == names_shown) {
            return text + " and " +
                   std::to_string(different.size() - names_shown) + " more";
        }
        text += (text.empty() ? "" : ", ") + n;
    }
    return text;
}

failure refusal(const options &o, const segment &s, int error)
{
    return {status_of(error), clean(s.file) + ": " + cause(o, s, error)};
}

// Whether these are lives of one instance.
bool are_lives(const std::vector<segment> &all)
{
    return std::all_of(all.begin(), all.end(), [&](const segment &s) {
        return s.instance == all.front().instance;
    });
}

failure several(const std::vector<segment> &all)
{
    return {status::usage, "which node? name one of " +
                               names(all, are_lives(all) ? &segment::file
                                                         : &segment::instance)};
}

template <typename Condition>
std::vector<segment> those(const std::vector<segment> &all, Condition condition)
{
    std::vector<segment> found;

    std::copy_if(all.begin(), all.end(), std::back_inserter(found), condition);
    return found;
}

// Those, or all if there is none.
template <typename Condition>
std::vector<segment> preferably(const std::vector<segment> &all,
                                Condition condition)
{
    const std::vector<segment> found = those(all, condition);

    return found.empty() ? all : found;
}

bool opens(const options &o, const segment &s)
{
    std::error_code ec;

    (void)wm::node::open(s.file.c_str(), o.directory.c_str(), ec);
    return !ec;
}

// Whether this may be a live node, as far as wmctl can know.
bool may_live(const segment &s)
{
    const status why = status_of(s.error);

    return s.error != 0 && (why == status::denied || why == status::failed);
}

// All segments in the directory, by name.
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

// Returns 0 if the text is no pid.
std::int32_t pid_of(const std::string &text)
{
    const char *const end = text.data() + text.size();
    std::int32_t pid = 0;
    const auto [rest, error] = std::from_chars(text.data(), end, pid);

    return error == std::errc() && rest == end && pid > 0 ? pid : 0;
}

// Those of `all` that `o.node` means. A node that is called so comes first: its
// name may be 1234. A stranger's is meant by its file, or by a pid.
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

// Why none of `all` is meant. live: dead ones did not count.
failure nothing(const options &o, const std::vector<segment> &all, bool live)
{
    const std::vector<segment> strangers = those(all, [&](const segment &s) {
        return !o.node.empty() && s.foreign && s.instance.starts_with(o.node);
    });
    std::string text =
        o.node.empty() ? "no live node" : "no node " + clean(o.node);

    text += live && !o.node.empty() ? " that lives in " : " in ";
    text += clean(o.directory);
    if (!all.empty()) {
        text +=
            (o.node.empty() ? "; dead or unreadable are: " : "; there are: ") +
            names(all);
    }
    if (!strangers.empty()) {
        text += "; another user's is named by its file: " +
                names(strangers, &segment::file);
    }
    if (pid_of(o.node) != 0 && !those(all, may_live).empty()) {
        text += "; some cannot be read, and may have that pid";
    }
    return {status::no_node,
            text + "; see wmctl list --directory " + clean(o.directory)};
}

// The segments that the user may mean: live ones; else, if the user named one,
// dead ones; else those that may be live. live: no dead ones. A stranger's is
// not meant by the name of an instance; by a pid, or without any name, it is
// where there is no other.
std::vector<segment> candidates(const options &o, bool live, by how)
{
    const auto is_ours = [&](const segment &s) {
        return !s.foreign || s.file == o.node;
    };
    const std::vector<segment> all = everything(o);
    const std::vector<segment> named = meant(o, all, how);
    std::vector<segment> found =
        those(named, [](const segment &s) { return s.live; });

    if (found.empty()) {
        found = o.node.empty() || live ? those(named, may_live) : named;
    }
    if (found.empty()) {
        throw nothing(o, all, live);
    }
    // Anybody may make and lock a file of that name, which is no node then.
    return preferably(preferably(found, is_ours),
                      [&](const segment &s) { return opens(o, s); });
}

// Of several lives of an instance, the library says which one is meant. None:
// it means one that has come since they were listed.
std::optional<opened> choose(const options &o,
                             const std::vector<segment> &found)
{
    if (found.size() == 1) {
        return opened{found.front(), open(o, found.front()), {}};
    }
    if (!are_lives(found)) {
        throw several(found);
    }
    std::error_code ec;
    opened chosen;

    chosen.node =
        wm::node::open(found.front().instance.c_str(), o.directory.c_str(), ec);
    if (ec) {
        return std::nullopt;
    }
    for (const segment &s : found) {
        if (s.file == chosen.node.describe().name) {
            chosen.of = s;
        } else {
            chosen.others.push_back(s.file);
        }
    }
    return chosen.of.file.empty() ? std::nullopt
                                  : std::optional(std::move(chosen));
}

} // namespace

std::vector<segment> segments(const options &o, by how)
{
    return meant(o, everything(o), how);
}

failure nothing(const options &o)
{
    return nothing(o, everything(o), false);
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

opened find(const options &o)
{
    std::vector<segment> found;

    for (int look = 0; look < looks; look++) {
        found = candidates(o, false, by::beginning);
        if (auto chosen = choose(o, found)) {
            return std::move(*chosen);
        }
    }
    throw several(found);
}

search::search(const options &o, const segment &last) : o_(o), how_(by::name)
{
    o_.node = last.instance;
}

std::optional<opened> search::one()
{
    try {
        const std::vector<segment> found = candidates(o_, true, how_);
        std::optional<opened> life = choose(o_, found);

        denied_.reset();
        if (!life) {
            why_ = several(found);
        }
        return life;
    } catch (const failure &f) {
        if (!may_pass(f.why())) {
            throw;
        }
        why_ = f;
        return std::nullopt;
    }
}

// A segment that is just being made looks damaged, and for a moment only its
// maker may open it.
bool search::may_pass(status s)
{
    const auto now = std::chrono::steady_clock::now();

    if (s != status::denied) {
        denied_.reset();
        return s == status::no_node || s == status::damaged;
    }
    denied_ = denied_.value_or(now);
    return now - *denied_ < denied_for_good;
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
