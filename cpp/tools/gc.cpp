// SPDX-License-Identifier: Apache-2.0

// wmctl gc: unlinks the segments that nobody takes part in. The kernel tells
// whether a process does; the library asks it anew as it unlinks.

#include "commands.hpp"

#include "json.hpp"
#include "screen.hpp"
#include "words.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace wmctl
{

namespace
{

constexpr const char *unlinked = "unlinked";
constexpr const char *would = "would be unlinked";
constexpr const char *kept = "kept";
constexpr const char *in_use = "in use";

// Why a file has to stay, or "". Only the file's own facts count, so that a dry
// run says the same.
std::string obstacle(const options &o, const segment &s)
{
    const std::string path = o.directory + "/" + s.file;
    struct stat st {
    };

    if (lstat(path.c_str(), &st) != 0) {
        return errno == ENOENT ? "" : cause(o, s, errno);
    }
    if (!S_ISREG(st.st_mode)) {
        return "it is no regular file";
    }
    if (geteuid() != 0 && st.st_uid != geteuid()) {
        return cause(o, s, EPERM);
    }
    if (s.error != 0) { // the library looks for no name that is too long
        return s.error == ENOENT ? "its name is too long for a segment"
                                 : cause(o, s, s.error);
    }
    return faccessat(AT_FDCWD, o.directory.c_str(), W_OK, AT_EACCESS) == 0
               ? ""
               : "the directory cannot be written; run wmctl as its owner or "
                 "as root";
}

json::disposal dispose(const options &o, const segment &s)
{
    const std::string why = s.live ? in_use : obstacle(o, s);

    if (!why.empty()) {
        return {s, kept, why};
    }
    std::error_code ec;
    if (!o.dry_run) {
        wm::node::unlink(s.file.c_str(), o.directory.c_str(), ec);
    }
    if (ec == std::errc::device_or_resource_busy) {
        return {s, kept, in_use};
    }
    if (ec && ec != std::errc::no_such_file_or_directory) {
        return {s, kept, cause(o, s, ec.value())};
    }
    return {s, o.dry_run ? would : unlinked, ""};
}

// Whether a file had to stay though nobody takes part in it.
bool is_refused(const json::disposal &d)
{
    return d.action == kept && d.reason != in_use;
}

void tell(const options &o, const std::vector<json::disposal> &all)
{
    std::string text;

    if (o.json) {
        put(json::gc(o.dry_run, all));
        return;
    }
    for (const json::disposal &d : all) {
        if (d.action != kept || is_refused(d) || !o.node.empty()) {
            text += clean(d.of.file) + ": " + d.action +
                    (d.reason.empty() ? "" : ", " + d.reason) + "\n";
        }
    }
    put(text);
}

} // namespace

status gc(const options &o)
{
    std::vector<json::disposal> all;
    for (const segment &s : segments(o, by::pid)) {
        all.push_back(dispose(o, s));
    }
    if (all.empty() && !o.node.empty()) {
        throw nothing(o);
    }
    tell(o, all);
    const auto refused = std::count_if(all.begin(), all.end(), is_refused);
    if (refused != 0) {
        throw failure(status::denied, "had to keep " + std::to_string(refused) +
                                          " of " + std::to_string(all.size()) +
                                          " segments");
    }
    return status::ok;
}

} // namespace wmctl
