// SPDX-License-Identifier: Apache-2.0

/// @file
/// A worker's start and exit, in one go, or one step at a time.

#ifndef WM_STEPS_HPP
#define WM_STEPS_HPP

#include <wm/facts.hpp>
#include <wm/lock.hpp>
#include <wm/result.hpp>
#include <wm/worker_ref.hpp>

#include <concepts>
#include <cstdint>
#include <optional>
#include <system_error>
#include <type_traits>

namespace wm
{

/// @cond
namespace detail
{

// Runs a start or an exit of the C library with a C++ function. An exception
// of the function comes out when the lock is released.
template <class Run, class Give>
condition run(Run run, worker_ref worker, Give &give,
              const lock_options &options, std::error_code &ec)
{
    using callback = detail::callback<std::remove_reference_t<Give>>;
    callback c{give};
    const wm_lock_options lock = detail::c(options);
    const condition result = noted(
        run(worker.handle(), &lock, &callback::template call<wm_event>, &c),
        ec);

    c.raise();
    return result;
}

template <class Next>
std::optional<wm_event> next(Next next, worker_ref worker, std::error_code &ec,
                             condition *end = nullptr)
{
    auto event = blank<wm_event>();
    const condition result = noted(next(worker.handle(), &event), ec);

    if (result == condition{1}) {
        return event;
    }
    if (end != nullptr) {
        *end = result;
    }
    return std::nullopt;
}

} // namespace detail
/// @endcond

/// Waits for the lock, makes the worker live, gives its start to the function,
/// releases the lock. std::errc::timed_out: the worker is live, and its start
/// was not given. The thread must not be cancelled in the function, since no
/// unwinding passes through C. Maps wm_start_run().
template <class Give>
    requires std::invocable<Give &, const wm_event &>
void run_start(worker_ref worker, Give &&give, const lock_options &options = {})
{
    std::error_code ec;

    detail::run(wm_start_run, worker, give, options, ec);
    if (ec) {
        throw error(ec, "wm_start_run");
    }
}
/// As run_start(); throws what the function throws, and nothing else.
template <class Give>
    requires std::invocable<Give &, const wm_event &>
void run_start(worker_ref worker, Give &&give, const lock_options &options,
               std::error_code &ec)
{
    detail::run(wm_start_run, worker, give, options, ec);
}

/// Waits for the lock, gives all events of the worker's exit to the function,
/// releases the lock; the worker has drained afterwards. std::errc::timed_out:
/// it has drained, and nothing was given. As with run_start(), the thread must
/// not be cancelled in the function. Maps wm_exit_run().
template <class Give>
    requires std::invocable<Give &, const wm_event &>
void run_exit(worker_ref worker, Give &&give, const lock_options &options = {})
{
    std::error_code ec;

    detail::run(wm_exit_run, worker, give, options, ec);
    if (ec) {
        throw error(ec, "wm_exit_run");
    }
}
/// As run_exit(); throws what the function throws, and nothing else.
template <class Give>
    requires std::invocable<Give &, const wm_event &>
void run_exit(worker_ref worker, Give &&give, const lock_options &options,
              std::error_code &ec)
{
    detail::run(wm_exit_run, worker, give, options, ec);
}

/// Begins a start, for a caller that has the lock and gives the events itself;
/// kinds: 0 if it does not have the lock. Maps wm_start_begin().
inline condition begin_start(worker_ref worker, std::uint32_t kinds,
                             std::error_code &ec) noexcept
{
    return detail::noted(wm_start_begin(worker.handle(), kinds), ec);
}
/// Returns the start to give, then nothing. Maps wm_start_next().
inline std::optional<wm_event> next_of_start(worker_ref worker,
                                             std::error_code &ec) noexcept
{
    return detail::next(wm_start_next, worker, ec);
}

/// Begins an exit, for a caller that has the lock and gives the events itself;
/// kinds: 0 if it does not have the lock. Maps wm_exit_begin().
inline condition begin_exit(worker_ref worker, std::uint32_t kinds,
                            std::error_code &ec) noexcept
{
    return detail::noted(wm_exit_begin(worker.handle(), kinds), ec);
}
/// Returns the next event to give, and nothing at the end; then *end, if it is
/// given, is condition::closed if this worker has closed its generation, whose
/// end stays owed to another. Maps wm_exit_next().
inline std::optional<wm_event> next_of_exit(worker_ref worker,
                                            std::error_code &ec,
                                            condition *end = nullptr) noexcept
{
    return detail::next(wm_exit_next, worker, ec, end);
}

} // namespace wm

#endif
