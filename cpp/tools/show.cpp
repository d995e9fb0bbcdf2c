// SPDX-License-Identifier: Apache-2.0

// wmctl show: one look at one node.

#include "commands.hpp"

#include "json.hpp"
#include "text.hpp"

namespace wmctl
{

status show(const options &o)
{
    const model m = look(find(o));

    put(o.json ? json::node(m) : text::node(m, palette::of(o), o.all));
    return status::ok;
}

} // namespace wmctl
