// SPDX-License-Identifier: Apache-2.0

/// @file
/// The calls on a node, and a reference that does not own one.

#ifndef WM_NODE_REF_HPP
#define WM_NODE_REF_HPP

#include <wm/facts.hpp>
#include <wm/generation_calls.hpp>
#include <wm/result.hpp>
#include <wm/time.hpp>
#include <wm/worker_ref.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <system_error>
#include <type_traits>
#include <vector>

namespace wm
{

/// The calls on a node, for its owner and its references.
class node_calls : public generation_calls
{
public:
    /// Facts of the node; the strings live as long as its handle. Maps
    /// wm_node_describe().
    wm_node_info describe() const noexcept
    {
        auto info = detail::blank<wm_node_info>();

        wm_node_describe(handle_, &info);
        return info;
    }

    /// The facts that this process found in dead segments when it attached.
    /// Maps wm_node_postmortem().
    wm_postmortem postmortem() const noexcept
    {
        auto told = detail::blank<wm_postmortem>();

        wm_node_postmortem(handle_, &told);
        return told;
    }

    /// Lets the program that this process executes next take over the node.
    /// Maps wm_node_bequeath().
    /// Returns condition::is_worker if this process is or was one, else none.
    condition bequeath()
    {
        return detail::thrown("wm_node_bequeath",
                              [this](auto &ec) { return bequeath(ec); });
    }
    /// As bequeath(), noexcept.
    condition bequeath(std::error_code &ec) noexcept
    {
        return detail::noted(wm_node_bequeath(handle_), ec);
    }

    /// This process's worker, empty if it has none. Maps wm_node_worker().
    worker_ref worker() const noexcept
    {
        return worker_ref(wm_node_worker(handle_));
    }

    /// The generations that are remembered, oldest first. Maps
    /// wm_generations().
    std::vector<wm_generation_info> generations() const
    {
        return detail::thrown("wm_generations", [this](auto &ec) {
            return list_generations(ec);
        });
    }
    /// As generations(), noexcept: a lack of memory is an error as well. With
    /// std::errc::no_space_on_device it returns those that it had room for.
    std::vector<wm_generation_info>
    generations(std::error_code &ec) const noexcept
    {
        return detail::filled(ec, [&] { return list_generations(ec); });
    }

    // --- looking

    /// All records in use, as they were at one moment. Maps wm_snapshot().
    wm::snapshot snapshot() const
    {
        return detail::thrown("wm_snapshot",
                              [this](auto &ec) { return take_snapshot(ec); });
    }
    /// As snapshot(), noexcept: a lack of memory is an error as well.
    wm::snapshot snapshot(std::error_code &ec) const noexcept
    {
        return detail::filled(ec, [&] { return take_snapshot(ec); });
    }

    /// A worker of a snapshot more closely. Maps wm_worker_inspect().
    wm_worker_detail inspect(const wm_worker_info &worker) const
    {
        return detail::thrown("wm_worker_inspect", [&, this](auto &ec) {
            return inspect(worker, ec);
        });
    }
    /// As inspect(), noexcept.
    wm_worker_detail inspect(const wm_worker_info &worker,
                             std::error_code &ec) const noexcept
    {
        wm_worker_detail seen{};

        seen.size = sizeof(seen);
        detail::noted(
            wm_worker_inspect(handle_, worker.slot, worker.join, &seen), ec);
        return seen;
    }

    /// The next part of the event log. Maps wm_log_read().
    /// @param since the number that was read last; 0: from the oldest; moved on
    /// @param room how many entries at most
    log_page log(std::uint64_t &since, std::uint32_t room = 256) const
    {
        return detail::thrown("wm_log_read", [&, this](auto &ec) {
            return read_log(since, room, ec);
        });
    }
    /// As log(), noexcept: a lack of memory is an error as well.
    log_page log(std::uint64_t &since, std::uint32_t room,
                 std::error_code &ec) const noexcept
    {
        return detail::filled(ec, [&] { return read_log(since, room, ec); });
    }

    /// A number that differs after each change. Maps wm_epoch().
    std::uint32_t epoch() const noexcept { return wm_epoch(handle_); }

    /// Sleeps until the epoch differs from this one; may return early, also for
    /// a signal. Maps wm_wait() without a limit.
    void wait(std::uint32_t epoch) const
    {
        std::error_code ec;

        wait(epoch, ec);
        if (ec && ec != std::errc::interrupted) {
            throw error(ec, "wm_wait");
        }
    }
    /// As wait(), noexcept; std::errc::interrupted: a signal.
    condition wait(std::uint32_t epoch, std::error_code &ec) const noexcept
    {
        return detail::noted(wm_wait(handle_, epoch, 0), ec);
    }

    /// As wait(), for a limited time; with a time that is not positive, it only
    /// looks. Maps wm_wait().
    /// Returns false if the time is over.
    template <class Rep, class Period>
    bool wait_for(std::uint32_t epoch,
                  const std::chrono::duration<Rep, Period> &timeout) const
    {
        std::error_code ec;

        wait_for(epoch, timeout, ec);
        if (ec && ec != std::errc::interrupted && ec != std::errc::timed_out) {
            throw error(ec, "wm_wait");
        }
        return ec != std::errc::timed_out;
    }
    /// As wait_for(), noexcept; std::errc::timed_out: the time is over.
    template <class Rep, class Period>
    condition wait_for(std::uint32_t epoch,
                       const std::chrono::duration<Rep, Period> &timeout,
                       std::error_code &ec) const noexcept
    {
        const auto limit = detail::rounded(timeout);

        if (limit.count() > 0) {
            return detail::noted(wm_wait(handle_, epoch, detail::ms(limit)),
                                 ec);
        }
        return detail::noted(wm_epoch(handle_) == epoch ? -ETIMEDOUT : 0, ec);
    }
    /// Wakes all threads that wait, which return early. Maps wm_wake().
    /// Returns how many there were.
    int wake() const noexcept { return wm_wake(handle_); }

    /// The worker that leads; the caller does not stand. Maps
    /// wm_leader_inspect().
    wm_leader leader() const noexcept
    {
        auto leader = detail::blank<wm_leader>();

        wm_leader_inspect(handle_, &leader);
        return leader;
    }

    /// The process that has the lock. Maps wm_lock_inspect().
    wm_lock_holder lock_holder() const noexcept
    {
        auto holder = detail::blank<wm_lock_holder>();

        wm_lock_inspect(handle_, &holder);
        return holder;
    }

    // --- sweeping and events

    /// Looks at every record. `self` is the caller's worker. Maps wm_sweep().
    /// Returns how many records or generations it changed.
    int sweep(worker_ref self = {}) noexcept
    {
        return wm_sweep(handle_, self.handle());
    }

    /// Says that a process has ended, which the caller has reaped. Returns
    /// whether it has marked a worker. Maps wm_worker_reaped().
    bool reaped(std::int32_t pid, int status)
    {
        return detail::thrown("wm_worker_reaped", [=, this](auto &ec) {
            return reaped(pid, status, ec);
        });
    }
    /// As reaped(), noexcept.
    bool reaped(std::int32_t pid, int status, std::error_code &ec) noexcept
    {
        const int marked = wm_worker_reaped(handle_, pid, status);

        detail::noted(marked, ec);
        return marked == 1;
    }

    /// How many events of these kinds are owed. Maps wm_events_owed().
    int events_owed(std::uint32_t kinds = all_events) const noexcept
    {
        return wm_events_owed(handle_, kinds);
    }

    /// Takes an owed event; the caller, which has the lock, then gives it. Maps
    /// wm_event_take().
    /// Returns the event, or nothing if none is owed.
    std::optional<wm_event> take_event(std::uint32_t kinds = all_events)
    {
        return detail::thrown("wm_event_take", [=, this](auto &ec) {
            return take_event(kinds, ec);
        });
    }
    /// As take_event(), noexcept.
    std::optional<wm_event> take_event(std::uint32_t kinds,
                                       std::error_code &ec) noexcept
    {
        auto event = detail::blank<wm_event>();
        const int taken = wm_event_take(handle_, kinds, &event);

        detail::noted(taken, ec);
        return taken == 1 ? std::optional(event) : std::nullopt;
    }

    /// Sweeps, and takes all owed events without giving them. Maps
    /// wm_events_give().
    /// Returns how many events were taken.
    int give_events(worker_ref self = {}) noexcept
    {
        return wm_events_give(handle_, self.handle(), nullptr, nullptr);
    }
    /// Sweeps, and gives all owed events to the function, under the lock. If
    /// the function throws, the other events are given all the same, and the
    /// first exception comes out when the lock is released.
    template <class Give>
        requires std::invocable<Give &, const wm_event &>
    int give_events(worker_ref self, Give &&give)
    {
        using callback = detail::callback<std::remove_reference_t<Give>>;
        callback c{give};
        const int taken = wm_events_give(
            handle_, self.handle(), &callback::template call<wm_event>, &c);

        c.raise();
        return taken;
    }

protected:
    /// @cond
    using generation_calls::generation_calls;
    ~node_calls() = default;
    /// @endcond

private:
    std::vector<wm_generation_info> list_generations(std::error_code &ec) const
    {
        std::vector<wm_generation_info> list(describe().capacity + 64u);
        std::uint32_t count = 0;

        detail::noted(wm_generations(handle_, list.data(), sizeof(list[0]),
                                     static_cast<std::uint32_t>(list.size()),
                                     &count),
                      ec);
        list.resize(std::min<std::size_t>(count, list.size()));
        return list;
    }

    wm::snapshot take_snapshot(std::error_code &ec) const
    {
        wm::snapshot seen;
        std::vector<wm_worker_info> &list = seen.workers;
        std::uint32_t count = 0;

        list.resize(describe().capacity);
        seen.settled =
            detail::noted(wm_snapshot(handle_, list.data(), sizeof(list[0]),
                                      static_cast<std::uint32_t>(list.size()),
                                      &count),
                          ec) != condition::unsettled;
        list.resize(std::min<std::size_t>(count, list.size()));
        return seen;
    }

    log_page read_log(std::uint64_t &since, std::uint32_t room,
                      std::error_code &ec) const
    {
        std::uint32_t count = 0;
        log_page page;

        page.entries.resize(room);
        page.settled =
            detail::noted(wm_log_read(handle_, &since, page.entries.data(),
                                      sizeof(page.entries[0]), room, &count,
                                      &page.missed),
                          ec) != condition::unsettled;
        page.entries.resize(count);
        return page;
    }
};

/// A node that another owner releases. It is as large as a pointer, and good as
/// long as that owner's attach.
class node_ref final : public node_calls
{
public:
    /// Refers to no node.
    node_ref() noexcept = default;
    /// Refers to the node of a C handle.
    explicit node_ref(wm_node *handle) noexcept : node_calls(handle) {}
    /// Refers to an owner's node.
    node_ref(const node_calls &node) noexcept : node_calls(node) {}
    /// An owner that ends with the expression gives no reference.
    template <class Owner>
        requires(!std::same_as<Owner, node_ref> &&
                 std::derived_from<Owner, node_calls>)
    node_ref(const Owner &&) = delete;
};

} // namespace wm

#endif
