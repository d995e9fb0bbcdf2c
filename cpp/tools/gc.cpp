// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// wmctl gc: unlinks the segments that nobody takes part in. Whether anybody
// does is the kernel's word, asked anew by the library as it unlinks.

#include "commands.hpp"

#include "json.hpp"
#include "screen.hpp"
#include "words.hpp"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace wmctl
{

namespace
{

constexpr const char *unlinked = "unlinked";
constexpr const char *would = "would be unlinked";
constexpr const char *kept = "kept";

bool is_there(const options &o, const segment &s)
{
    const std::string path = o.directory + "/" + s.file;

    return faccessat(AT_FDCWD, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

// Negative: why it may not go. Only the file's own facts count here; what is
// damaged goes as well.
int forbids(const options &o, const segment &s)
{
    std::error_code ec;

    (void)wm::node::open(s.file.c_str(), o.directory.c_str(), ec);
    return ec.value() == EACCES || ec.value() == EPERM ? -ec.value() : 0;
}

json::disposal dispose(const options &o, const segment &s)
{
    if (s.live) {
        return {s, kept, "in use"};
    }
    const int error = o.dry_run
                          ? forbids(o, s)
                          : wm_node_unlink(s.file.c_str(), o.directory.c_str());
    if (error == -EBUSY) {
        return {s, kept, "in use"};
    }
    if (error != 0 && error != -ENOENT) {
        return {s, kept, refusal(o, s, -error).what()};
    }
    if (!o.dry_run && is_there(o, s)) {
        return {s, kept,
                clean(s.file) + ": not permitted: the directory cannot be "
                                "written; run wmctl as its owner or as root"};
    }
    return {s, o.dry_run ? would : unlinked, ""};
}

void tell(const options &o, const std::vector<json::disposal> &all)
{
    std::string text;

    if (o.json) {
        put(json::gc(o.dry_run, all));
        return;
    }
    for (const json::disposal &d : all) {
        if (d.action != kept) {
            text += clean(d.of.file) + ": " + d.action + "\n";
        }
    }
    put(text);
}

} // namespace

status gc(const options &o)
{
    std::vector<json::disposal> all;
    const json::disposal *refused = nullptr;

    for (const segment &s : segments(o)) {
        all.push_back(dispose(o, s));
    }
    if (all.empty() && !o.node.empty()) {
        throw failure(status::no_node,
                      "no node " + clean(o.node) + " in " + clean(o.directory));
    }
    tell(o, all);
    for (const json::disposal &d : all) {
        if (d.action == kept && d.reason != "in use") {
            refused = &d;
        }
    }
    if (refused != nullptr) {
        throw failure(status::denied, refused->reason);
    }
    return status::ok;
}

} // namespace wmctl
