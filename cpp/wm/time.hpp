// SPDX-License-Identifier: Apache-2.0

/// @file
/// Times and durations of libwm as std::chrono's. The library's clock is
/// CLOCK_MONOTONIC, which on Linux is std::chrono::steady_clock.

#ifndef WM_TIME_HPP
#define WM_TIME_HPP

#include <wm.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>

namespace wm
{

/// A time of the library's clock.
using time_point = std::chrono::time_point<std::chrono::steady_clock,
                                           std::chrono::milliseconds>;

/// A time of CLOCK_REALTIME, as the event log has it.
using wall_time_point = std::chrono::sys_time<std::chrono::milliseconds>;

/// The time in a member of a C struct, such as wm_worker_info.beat_at.
inline time_point at(std::uint64_t ms) noexcept
{
    return time_point(std::chrono::milliseconds(static_cast<std::int64_t>(ms)));
}

/// The time in wm_log_entry.time.
inline wall_time_point wall_at(std::uint64_t ms) noexcept
{
    return wall_time_point(
        std::chrono::milliseconds(static_cast<std::int64_t>(ms)));
}

/// The library's clock, a few milliseconds coarse. Maps wm_now().
inline time_point now() noexcept
{
    return at(wm_now());
}

/// @cond
namespace detail
{

// A duration as the C structs have it. One that is over does not become the 0
// that stands for "no limit"; one that is too long is cut.
inline std::uint32_t ms(std::chrono::milliseconds d) noexcept
{
    constexpr auto most = std::numeric_limits<std::uint32_t>::max();

    return static_cast<std::uint32_t>(
        std::clamp<std::chrono::milliseconds::rep>(
            d.count(), d.count() < 0 ? 1 : 0, most));
}

// Rounds up, so that nothing ends early.
template <class Rep, class Period>
std::chrono::milliseconds
rounded(const std::chrono::duration<Rep, Period> &d) noexcept
{
    using std::chrono::milliseconds;

    // A duration that is over, or that is no number, becomes 0, and one beyond
    // 50 days is cut: neither must overflow.
    if (!(d > d.zero())) {
        return milliseconds::zero();
    }
    return d > std::chrono::hours(24 * 50)
               ? milliseconds(std::chrono::hours(24 * 50))
               : std::chrono::ceil<milliseconds>(d);
}

} // namespace detail
/// @endcond

} // namespace wm

#endif
