// SPDX-License-Identifier: Apache-2.0

// Moments and durations, written and read.

#ifndef WMCTL_TIMES_HPP
#define WMCTL_TIMES_HPP

#include <cstdint>
#include <optional>
#include <string>

namespace wmctl
{

// A duration: 0.4s, 59s, 2m07s, 5h02m, 3d04h.
std::string age(std::uint64_t ms);

// A moment of CLOCK_REALTIME: 2031-05-17T09:30:00.123+0200, as nginx logs it,
// in local time with its offset, or 2031-05-17T07:30:00.123Z.
std::string moment(std::uint64_t ms, bool utc);

// Reads a moment: a duration before now, or a time as above or as nginx writes
// it, with or without its date, seconds and offset. Nothing if it is neither.
std::optional<std::uint64_t> moment_of(const std::string &text);

} // namespace wmctl

#endif
