// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// Names come from a directory that anybody may write to. They are compared and
// handed on as they are; who prints them cleans them first (words.hpp).

#include "find.hpp"

#include "words.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/stat.h>

namespace wmctl
{

namespace
{

// The file is called wm.<instance>.<digits>.
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

// Whose it is, and what may be done about that.
std::string remedy(const options &o, const segment &s)
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
           "; run wmctl as that user or as root)";
}

std::string names(const std::vector<segment> &all)
{
    std::string text;

    for (const segment &s : all) {
        text += (text.empty() ? "" : ", ") + clean(s.file);
    }
    return text;
}

failure nothing(const options &o, bool live)
{
    const std::string what =
        o.node.empty() ? "no live node" : "no node " + clean(o.node);

    return {status::no_node,
            what + (live && !o.node.empty() ? " that lives" : "") + " in " +
                clean(o.directory) +
                "; wmctl list --directory DIR shows what "
                "is there"};
}

// Those that can be meant: the live ones; else, where one is named, the dead
// ones; else those of which it cannot be told.
std::vector<segment> candidates(const options &o, bool live)
{
    std::vector<segment> all = segments(o), found;

    std::copy_if(all.begin(), all.end(), std::back_inserter(found),
                 [](const segment &s) { return s.live; });
    if (!found.empty()) {
        return found;
    }
    std::copy_if(all.begin(), all.end(), std::back_inserter(found),
                 [&](const segment &s) {
                     std::error_code ec;

                     if (!o.node.empty() && !live) {
                         return true;
                     }
                     (void)wm::node::open(s.file.c_str(), o.directory.c_str(),
                                          ec);
                     return ec == std::errc::permission_denied;
                 });
    return found;
}

} // namespace

std::vector<segment> segments(const options &o)
{
    struct visit {
        const options &o;
        std::vector<segment> found;
    } v{o, {}};
    const auto tell = [](const wm_node_entry *e, void *argument) {
        auto &to = *static_cast<visit *>(argument);
        const std::string file = e->name;
        const std::string instance = instance_of(file);

        if (to.o.node.empty() || to.o.node == file || to.o.node == instance) {
            to.found.push_back({file, instance, e->live != 0});
        }
    };
    const int error = wm_node_list(nullptr, o.directory.c_str(), tell, &v);

    if (error != 0) {
        throw failure(status_of(-error), clean(o.directory) + ": " +
                                             std::strerror(-error) +
                                             "; see --directory");
    }
    std::sort(
        v.found.begin(), v.found.end(),
        [](const segment &a, const segment &b) { return a.file < b.file; });
    return v.found;
}

failure refusal(const options &o, const segment &s, int error)
{
    const status why = status_of(error);
    std::string text = clean(s.file) + ": " + wm_strerror(-error);

    if (why == status::failed) {
        text += std::string(" (") + std::strerror(error) + ")";
    }
    const bool others = error == EACCES || error == EPERM;

    return {why, others ? text + remedy(o, s) : text};
}

wm::node open(const options &o, const segment &s)
{
    std::error_code ec;
    wm::node node = wm::node::open(s.file.c_str(), o.directory.c_str(), ec);

    if (ec) {
        throw refusal(o, s, ec.value());
    }
    return node;
}

opened find(const options &o, bool live)
{
    const std::vector<segment> found = candidates(o, live);

    if (found.empty()) {
        throw nothing(o, live);
    }
    if (found.size() > 1) {
        throw failure(status::usage, "which node? name one of " + names(found));
    }
    return {found.front(), open(o, found.front())};
}

std::optional<opened> search(const options &o, std::optional<failure> &why)
{
    try {
        return find(o, true);
    } catch (const failure &f) {
        // A segment that is just being made looks damaged.
        if (f.why() != status::no_node && f.why() != status::damaged) {
            throw;
        }
        why = f;
        return std::nullopt;
    }
}

// Who names a file means that life alone.
std::optional<opened> next_life(const options &o, const segment &last)
{
    std::optional<failure> why;
    options next = o;

    next.node = last.instance;
    return o.node == last.file ? std::nullopt : search(next, why);
}

bool is_live(const options &o, const segment &s)
{
    options one = o;

    one.node = s.file;
    const std::vector<segment> found = segments(one);
    return !found.empty() && found.front().live;
}

} // namespace wmctl
