// SPDX-License-Identifier: Apache-2.0

// wmctl list: all nodes of this machine, also those that have ended.

#include "commands.hpp"

#include "json.hpp"
#include "text.hpp"

namespace wmctl
{

namespace
{

json::listed examine(const options &o, const segment &s)
{
    json::listed l;

    l.of = s;
    try {
        l.seen = look({s, open(o, s), {}});
    } catch (const failure &f) {
        l.why = f;
    }
    return l;
}

std::string as_text(const options &o, const std::vector<json::listed> &all)
{
    const palette p = palette::of(o);
    std::string text = text::list_heading(p, o.files);

    for (const json::listed &l : all) {
        text += l.seen ? text::list_row(*l.seen, p, o.files)
                       : text::list_row(l.of, *l.why, p, o.files);
    }
    return text;
}

} // namespace

// A file that cannot be read is a row of the answer, not a failure of it.
status list(const options &o)
{
    std::vector<json::listed> all;

    for (const segment &s : segments(o, by::name)) {
        json::listed l = examine(o, s);

        // the file went away after the directory was read
        if (!l.why || l.why->why() != status::no_node) {
            all.push_back(std::move(l));
        }
    }
    put(o.json ? json::list(o.directory, all) : as_text(o, all));
    return status::ok;
}

} // namespace wmctl
