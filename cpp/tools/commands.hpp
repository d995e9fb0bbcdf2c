// SPDX-License-Identifier: Apache-2.0

// The commands, a file each. They write their answer to standard output, and
// throw a failure if there is none.

#ifndef WMCTL_COMMANDS_HPP
#define WMCTL_COMMANDS_HPP

#include "options.hpp"
#include "status.hpp"

namespace wmctl
{

status list(const options &o);
status show(const options &o);
status watch(const options &o);
status events(const options &o);
status wait(const options &o);
status gc(const options &o);

} // namespace wmctl

#endif
