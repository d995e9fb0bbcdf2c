// SPDX-License-Identifier: Apache-2.0

/// @file
/// The node's lifecycle lock, in the shape of a standard lock.

#ifndef WM_LOCK_HPP
#define WM_LOCK_HPP

#include <wm/node_ref.hpp>
#include <wm/result.hpp>
#include <wm/time.hpp>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <system_error>
#include <utility>

namespace wm
{

/// The way to wait for the lock: wm_lock_options with its defaults.
struct lock_options {
    std::uint32_t purpose = 0; ///< a wm_purpose, or the caller's own number
    std::chrono::milliseconds hold{0}; ///< give up on one holder; 0: never
    std::chrono::milliseconds wait{0}; ///< give up in all; 0: never
};

/// @cond
namespace detail
{

inline wm_lock_options c(const lock_options &options) noexcept
{
    return {
        .size = sizeof(wm_lock_options),
        .purpose = options.purpose,
        .hold_ms = ms(options.hold),
        .wait_ms = ms(options.wait),
    };
}

} // namespace detail
/// @endcond

/// The node's lifecycle lock in the shape of a standard lock: Lockable and
/// TimedLockable, for std::unique_lock, std::scoped_lock and std::lock. The
/// lock belongs to the process, so at most one of several such objects owns it;
/// that one releases it when it is destroyed.
class lifecycle_lock final
{
public:
    /// The lock of a node, not taken yet.
    explicit lifecycle_lock(node_ref node,
                            const lock_options &options = {}) noexcept
        : node_(node), options_(options)
    {
    }
    /// The other does not own the lock any more. No guard may refer to the
    /// other.
    lifecycle_lock(lifecycle_lock &&other) noexcept
        : node_(other.node_), options_(other.options_),
          hold_(std::exchange(other.hold_, {}))
    {
    }
    /// Releases the lock that it had; the other does not own its lock any more.
    lifecycle_lock &operator=(lifecycle_lock &&other) noexcept
    {
        if (this != &other) {
            unlock();
            node_ = other.node_;
            options_ = other.options_;
            hold_ = std::exchange(other.hold_, {});
        }
        return *this;
    }
    /// Releases the lock if this object owns it.
    ~lifecycle_lock() { unlock(); }

    /// Waits for the lock. Maps wm_lock_acquire().
    /// Returns condition::recovered if the former holder died while it had the
    /// lock.
    condition lock()
    {
        return detail::thrown("wm_lock_acquire",
                              [this](auto &ec) { return lock(ec); });
    }
    /// As lock(), noexcept.
    condition lock(std::error_code &ec) noexcept { return lock(options_, ec); }

    /// Tries once. Maps wm_lock_try().
    /// Returns false if another process has it, or this one has it already.
    bool try_lock()
    {
        std::error_code ec;

        try_lock(ec);
        return taken(ec, "wm_lock_try");
    }
    /// As try_lock(), noexcept: std::errc::device_or_resource_busy if another
    /// process has it. With `queue` the caller announces that it waits, and
    /// std::errc::operation_in_progress says that it has to try again within
    /// 50 ms.
    condition try_lock(std::error_code &ec, bool queue = false) noexcept
    {
        return owned(wm_lock_try(node_.handle(), options_.purpose, queue), ec);
    }

    /// Waits for so long at most; with a time that is not positive, it tries
    /// once. Maps wm_lock_acquire().
    template <class Rep, class Period>
    bool try_lock_for(const std::chrono::duration<Rep, Period> &timeout)
    {
        std::error_code ec;

        try_lock_for(timeout, ec);
        return taken(ec, "wm_lock_acquire");
    }
    /// As try_lock_for(), noexcept: std::errc::timed_out, or as try_lock().
    template <class Rep, class Period>
    condition try_lock_for(const std::chrono::duration<Rep, Period> &timeout,
                           std::error_code &ec) noexcept
    {
        lock_options limited = options_;

        limited.wait = detail::rounded(timeout);
        return limited.wait.count() > 0 ? lock(limited, ec) : try_lock(ec);
    }
    /// Waits until this time at most.
    template <class Clock, class Duration>
    bool try_lock_until(const std::chrono::time_point<Clock, Duration> &time)
    {
        std::error_code ec;

        try_lock_until(time, ec);
        return taken(ec, "wm_lock_acquire");
    }
    /// As try_lock_until(), noexcept.
    template <class Clock, class Duration>
    condition
    try_lock_until(const std::chrono::time_point<Clock, Duration> &time,
                   std::error_code &ec) noexcept
    {
        const auto now = Clock::now();

        // If the time is past, by however much, this tries once.
        return time > now ? try_lock_for(time - now, ec) : try_lock(ec);
    }

    /// Releases the lock if this object owns it. Maps wm_lock_release().
    void unlock() noexcept
    {
        std::error_code ec;

        unlock(ec);
    }
    /// As unlock(), and reports an error: std::errc::operation_not_permitted if
    /// this object does not own the lock.
    condition unlock(std::error_code &ec) noexcept
    {
        const bool mine = owns();

        hold_ = {};
        return detail::noted(mine ? wm_lock_release(node_.handle()) : -EPERM,
                             ec);
    }

    /// The present holding of this process, for a cleanup handler of a thread
    /// that may be ended while the lock is held. Maps wm_lock_hold_note().
    wm_lock_hold note_hold() const noexcept
    {
        wm_lock_hold noted{};

        wm_lock_hold_note(node_.handle(), &noted);
        return noted;
    }
    /// Releases the lock if that holding has not ended yet. Maps
    /// wm_lock_hold_release().
    static void release_hold(wm_lock_hold &hold) noexcept
    {
        wm_lock_hold_release(&hold);
    }

    /// Whether the lock was taken through this object, and has not been
    /// released since; false in a child of the process that took it.
    bool owns() const noexcept
    {
        return hold_.word != 0 && hold_.word == note_hold().word;
    }
    /// The options that a wait for it takes.
    const lock_options &options() const noexcept { return options_; }
    /// The handle for the C functions: that of the node.
    wm_node *handle() const noexcept { return node_.handle(); }

private:
    condition lock(const lock_options &options, std::error_code &ec) noexcept
    {
        const wm_lock_options c = detail::c(options);

        return owned(wm_lock_acquire(node_.handle(), &c), ec);
    }

    condition owned(int result, std::error_code &ec) noexcept
    {
        if (result >= 0) {
            hold_ = note_hold();
        }
        return detail::noted(result, ec);
    }

    // A lock that is held by another is an answer; everything else is an error.
    static bool taken(const std::error_code &ec, const char *what)
    {
        if (ec && ec != std::errc::device_or_resource_busy &&
            ec != std::errc::timed_out &&
            ec != std::errc::resource_deadlock_would_occur) {
            throw error(ec, what);
        }
        return !ec;
    }

    node_ref node_;
    lock_options options_;
    wm_lock_hold hold_{}; // the one that is owned
};

} // namespace wm

#endif
