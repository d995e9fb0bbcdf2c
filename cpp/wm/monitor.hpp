// SPDX-License-Identifier: Apache-2.0

/// @file
/// The owners and the guard of libwm-monitor, one to one with wm_monitor.h,
/// which is the reference. The rules of wm.hpp for errors and owners hold for
/// them as well.
///
///     wm::monitor        owns a monitor; its thread ends with it
///     wm::monitor_view   a guard: the latest view, for a few instructions
///     wm::subscription   owns a subscription; no call comes after its end
///
/// A view is a range of its workers:
///
///     for (const wm_worker_info &w : monitor.view()) ...
///
/// The view is good as long as its guard, and a temporary guard ends with its
/// expression: give the guard a name to go through the generations, or to keep
/// `*view`.
///
/// Between a view's beginning and end do not sleep, do not fork, and end no
/// monitor and no subscription. Guards do not move: they belong to the thread
/// and the scope that made them.
///
/// close() of a monitor or a subscription fails there, and the owner still owns
/// it. A destructor or an assignment there leaks what it would have ended,
/// which is safe.
///
/// The monitor's thread calls a subscription's function, maybe before
/// subscribe() has returned. A function may end its own subscription, but the
/// owner is not there before subscribe() has returned it; use a lock to wait
/// for that. A function must not throw: std::terminate is called then.

#ifndef WM_MONITOR_FACADE_HPP
#define WM_MONITOR_FACADE_HPP

#include <wm/elements.hpp>
#include <wm/result.hpp>
#include <wm/time.hpp>
#include <wm_monitor.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

namespace wm
{

/// Maps wm_monitor_options.
struct monitor_options {
    /// How often to look for the segment; 0: the library's default. A time
    /// beyond 49 days is cut to that.
    std::chrono::milliseconds check{0};
    /// The program itself guards liburcu over forks: wm_monitor.h, "Processes".
    bool forks_guarded = false;
    /// The least time from one view to the next; 0: the library's default. A
    /// time beyond 49 days is cut to that.
    std::chrono::milliseconds rest{0};
};

/// The workers of a view, by slot; good as long as the view.
inline elements<wm_worker_info> workers(const wm_view &view) noexcept
{
    return {view.workers, view.worker_count, view.worker_size};
}

/// The generations of a view, oldest first.
inline elements<wm_generation_info> generations(const wm_view &view) noexcept
{
    return {view.generations, view.generation_count, view.generation_size};
}

/// A guard of the latest view, and a range of its workers. Maps
/// wm_monitor_view_begin() and wm_monitor_view_end(). Wait-free.
class [[nodiscard]] monitor_view
{
public:
    /// Begins a look. m: a monitor that outlives the guard.
    explicit monitor_view(const wm_monitor *m) noexcept
        : view_(wm_monitor_view_begin(m))
    {
    }
    monitor_view(const monitor_view &) = delete;
    monitor_view &operator=(const monitor_view &) = delete;
    ~monitor_view() { wm_monitor_view_end(view_); }

    /// The first worker.
    elements<wm_worker_info>::iterator begin() const & noexcept
    {
        return workers(*view_).begin();
    }
    /// A temporary guard would be gone before its iterator is used.
    elements<wm_worker_info>::iterator begin() const && = delete;
    /// The end, behind the last worker.
    elements<wm_worker_info>::iterator end() const & noexcept
    {
        return workers(*view_).end();
    }
    /// As begin().
    elements<wm_worker_info>::iterator end() const && = delete;
    /// How many workers there are.
    std::size_t size() const noexcept { return view_->worker_count; }

    /// The generations, oldest first.
    elements<wm_generation_info> generations() const & noexcept
    {
        return wm::generations(*view_);
    }
    /// As begin().
    elements<wm_generation_info> generations() const && = delete;

    /// Whether a process takes part in the node.
    bool live() const noexcept { return view_->live != 0; }

    /// Why the node is not live; no error if it is.
    std::error_code error() const noexcept
    {
        return {-view_->error, category()};
    }

    /// The view itself; it is good as long as the guard.
    const wm_view &operator*() const noexcept { return *view_; }
    /// The view itself.
    const wm_view *operator->() const noexcept { return view_; }
    /// The view, for the C functions.
    const wm_view *handle() const noexcept { return view_; }

private:
    const wm_view *view_;
};

/// A subscriber. It gets the view that was the latest, and the one that is now;
/// both are good until it returns. The rules are those of wm_monitor_fn; it
/// must not throw.
using monitor_function =
    std::function<void(const wm_view &before, const wm_view &now)>;

/// Owns a subscription, which must end before its monitor.
class subscription
{
public:
    /// An empty one.
    subscription() noexcept = default;
    /// The other is empty then.
    subscription(subscription &&other) noexcept
        : handle_(std::exchange(other.handle_, nullptr)),
          function_(std::move(other.function_))
    {
    }
    /// Closes what it had; the other is empty then.
    subscription &operator=(subscription &&other) noexcept
    {
        subscription moved(std::move(other));

        std::swap(handle_, moved.handle_);
        std::swap(function_, moved.function_);
        return *this;
    }
    /// As close(), but reports no error.
    ~subscription()
    {
        std::error_code ec;

        close(ec);
    }

    /// Subscribes a function. Maps wm_monitor_subscribe().
    [[nodiscard]] static subscription make(wm_monitor *m,
                                           monitor_function function)
    {
        return detail::thrown("wm_monitor_subscribe", [&](auto &ec) {
            return subscribed(m, std::move(function), ec);
        });
    }
    /// As make(), noexcept: a lack of memory is an error as well; empty if it
    /// failed.
    [[nodiscard]] static subscription
    make(wm_monitor *m, monitor_function function, std::error_code &ec) noexcept
    {
        return detail::filled(
            ec, [&] { return subscribed(m, std::move(function), ec); });
    }

    /// Ends the subscription; the owner is empty afterwards. The function is
    /// then neither running nor called again; if the function itself calls
    /// this, the call that runs is the last. Maps wm_monitor_unsubscribe().
    /// Blocking.
    condition close()
    {
        return detail::thrown("wm_monitor_unsubscribe",
                              [this](auto &ec) { return close(ec); });
    }
    /// As close(), noexcept; std::errc::resource_deadlock_would_occur inside a
    /// view: the function is still subscribed.
    condition close(std::error_code &ec) noexcept
    {
        const condition c = detail::noted(wm_monitor_unsubscribe(handle_), ec);

        if (!ec && handle_ != nullptr) {
            handle_ = nullptr;
            function_->self.reset();
            function_.reset();
        }
        return c;
    }

    /// Whether there is one.
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /// The handle for the C functions; the owner keeps it.
    wm_subscription *handle() const noexcept { return handle_; }

private:
    // The state keeps itself while it is subscribed, and a call keeps it while
    // the call runs: a function may end its own subscription.
    struct state {
        explicit state(monitor_function f) : function(std::move(f)) {}
        monitor_function function;
        std::shared_ptr<state> self;
    };

    static subscription subscribed(wm_monitor *m, monitor_function function,
                                   std::error_code &ec)
    {
        subscription s;

        s.function_ = std::make_shared<state>(std::move(function));
        s.function_->self = s.function_;
        detail::noted(
            wm_monitor_subscribe(m, call, s.function_.get(), &s.handle_), ec);
        if (ec) {
            s.function_->self.reset();
            s.function_.reset();
        }
        return s;
    }

    static void call(const wm_view *before, const wm_view *now,
                     void *argument) noexcept
    {
        const std::shared_ptr<state> kept =
            static_cast<state *>(argument)->self;

        kept->function(*before, *now);
    }

    wm_subscription *handle_ = nullptr;
    std::shared_ptr<state> function_;
};

/// Owns a monitor, with its thread.
class monitor
{
public:
    /// An empty one.
    monitor() noexcept = default;
    /// The other is empty then.
    monitor(monitor &&other) noexcept
        : handle_(std::exchange(other.handle_, nullptr))
    {
    }
    /// Closes what it had; the other is empty then.
    monitor &operator=(monitor &&other) noexcept
    {
        monitor moved(std::move(other));

        std::swap(handle_, moved.handle_);
        return *this;
    }
    /// As close(), but reports no error. Blocking.
    ~monitor()
    {
        std::error_code ec;

        close(ec);
    }

    /// Creates a monitor and starts its thread. Maps wm_monitor_create().
    [[nodiscard]] static monitor create(const char *instance,
                                        const char *directory = nullptr,
                                        const monitor_options &options = {})
    {
        return detail::thrown("wm_monitor_create", [&](auto &ec) {
            return create(instance, directory, options, ec);
        });
    }
    /// As create(), noexcept; empty if it failed.
    [[nodiscard]] static monitor create(const char *instance,
                                        const char *directory,
                                        const monitor_options &options,
                                        std::error_code &ec) noexcept
    {
        const wm_monitor_options c = {
            .size = sizeof(c),
            .check_ms = detail::ms(options.check),
            .forks_guarded = options.forks_guarded,
            .rest_ms = detail::ms(options.rest),
        };
        monitor m;

        detail::noted(wm_monitor_create(instance, directory, &c, &m.handle_),
                      ec);
        return m;
    }

    /// Begins a look at the latest view.
    monitor_view view() const noexcept { return monitor_view(handle_); }

    /// Subscribes a function: from now on it is called for each new view.
    [[nodiscard]] subscription subscribe(monitor_function function)
    {
        return subscription::make(handle_, std::move(function));
    }

    /// As subscribe(), noexcept: a lack of memory is an error as well.
    [[nodiscard]] subscription subscribe(monitor_function function,
                                         std::error_code &ec) noexcept
    {
        return subscription::make(handle_, std::move(function), ec);
    }

    /// Ends the monitor; the owner is empty afterwards. Maps
    /// wm_monitor_destroy(). Blocking.
    condition close()
    {
        return detail::thrown("wm_monitor_destroy",
                              [this](auto &ec) { return close(ec); });
    }
    /// As close(), noexcept; std::errc::resource_deadlock_would_occur inside a
    /// view or a subscriber: the monitor still exists.
    condition close(std::error_code &ec) noexcept
    {
        const condition c = detail::noted(wm_monitor_destroy(handle_), ec);

        if (!ec) {
            handle_ = nullptr;
        }
        return c;
    }

    /// Whether there is one.
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /// The handle for the C functions; the owner keeps it.
    wm_monitor *handle() const noexcept { return handle_; }

private:
    wm_monitor *handle_ = nullptr;
};

} // namespace wm

#endif
