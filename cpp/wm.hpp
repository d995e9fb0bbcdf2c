// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

/// @file
/// The C++20 face of libwm: owners that release, and errors that cannot be
/// overlooked. It maps wm.h one to one and hides nothing; wm.h is the reference
/// for what each call does, who may make it, and when.
///
///     wm::node            owns an attach, or a read-only open, of a node
///     wm::generation      owns a life of the configuration in its master
///     wm::worker          owns this process's record; leaves when destroyed
///     wm::lifecycle_lock  the node's lock, a standard TimedLockable
///     wm::node_view, wm::worker_view
///                         the same calls on a handle of somebody else's
///     wm::snapshot        who was there at one moment, a range of workers
///
/// **Errors.** Each call that can fail has two forms: one throws wm::error, a
/// std::system_error with wm::category(); one takes a std::error_code& and is
/// noexcept. What the library calls a condition is no error and is returned,
/// as wm::condition.
///
/// **Owners** move and do not copy. Their destructors neither throw nor wait
/// for anybody; close() does the same and says what went wrong. A generation,
/// worker or lock may not outlive its node: declare them after it. An owner
/// that is empty (moved from, closed, or the result of a call that failed)
/// is false, and has nothing to be called on.
///
/// **Fork.** A child has copies of its parent's owners. The node's is good
/// there; those of a worker, a generation or a held lock do nothing when
/// destroyed, and the worker's calls fail with std::errc::no_child_process, or
/// with ESTALE, which std::errc has no name for.
///
/// **Constness** is that of wm.h: what is const here may be called by any
/// thread at any time, and so may the beats; the rest by one thread at a time
/// for each node.
///
/// **Times** are std::chrono's. The library's clock is CLOCK_MONOTONIC, which
/// on Linux is std::chrono::steady_clock.

#ifndef WM_HPP
#define WM_HPP

#include <wm.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

/// All of the facade.
namespace wm
{

class node;
class worker;

// ----------------------------------------------------------------- results

/// What a caller must know that is no error: the library's positive results.
enum class condition : int {
    none = 0,
    recovered = WM_RECOVERED, ///< taken from a dead holder; no more stalled
    is_worker = WM_IS_WORKER, ///< this process is a worker
    closed = WM_CLOSED,       ///< this call did it
    unsettled = WM_UNSETTLED  ///< kept changing while it was looked at
};

/// A sentence for a result of the C library or, cast, for a condition.
/// Maps wm_strerror().
inline const char *message(int result) noexcept
{
    return wm_strerror(result);
}

/// The library's negative results with their sign turned; they compare equal
/// to std::errc where there is one.
inline const std::error_category &category() noexcept
{
    struct library_category final : std::error_category {
        const char *name() const noexcept override { return "libwm"; }

        std::string message(int value) const override
        {
            return wm_strerror(-value);
        }

        std::error_condition
        default_error_condition(int value) const noexcept override
        {
            return {value, std::generic_category()};
        }
    };
    static const library_category instance;

    return instance;
}

/// What the throwing forms throw; what() begins with the C function's name.
class error : public std::system_error
{
public:
    /// From an error code of category(), and the name of what failed.
    error(std::error_code code, const char *what)
        : std::system_error(code, what)
    {
    }
};

/// What the library was built as, which may be newer than the header:
/// `major << 16 | minor`. Maps wm_version().
inline std::uint32_t version() noexcept
{
    return wm_version();
}

/// A time of the library's clock.
using time_point = std::chrono::time_point<std::chrono::steady_clock,
                                           std::chrono::milliseconds>;

/// The library's clock, a few milliseconds coarse. Maps wm_now().
inline time_point now() noexcept
{
    return time_point(
        std::chrono::milliseconds(static_cast<std::int64_t>(wm_now())));
}

/// Every kind of event, as a mask of `1 << wm_event_kind`.
inline constexpr std::uint32_t all_events =
    std::numeric_limits<std::uint32_t>::max();

/// @cond
namespace detail
{

// Fills the code; the condition is what is left of the result.
inline condition noted(int result, std::error_code &ec) noexcept
{
    if (result < 0) {
        ec.assign(-result, category());
        return condition::none;
    }
    ec.clear();
    return static_cast<condition>(result);
}

// The throwing form of a call that fills a code.
template <class Call>
auto thrown(const char *what, Call call)
{
    std::error_code ec;
    auto result = call(ec);

    if (ec) {
        throw error(ec, what);
    }
    return result;
}

// The form that fills a code of what allocates: no memory is an error, too.
template <class Call>
auto filled(std::error_code &ec, Call call) noexcept -> decltype(call())
{
    try {
        return call();
    } catch (const std::exception &) {
        noted(-ENOMEM, ec);
        return {};
    }
}

// As the C structures want it. A duration that is over is not the 0 that
// stands for "no limit", and one that is too long is as long as can be.
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

    // What is over, or no number, is alike, and so is all beyond 49 days:
    // neither must overflow.
    if (!(d > d.zero())) {
        return milliseconds::zero();
    }
    return d > std::chrono::hours(24 * 50)
               ? milliseconds(std::chrono::hours(24 * 50))
               : std::chrono::ceil<milliseconds>(d);
}

inline time_point at(std::uint64_t ms) noexcept
{
    return time_point(std::chrono::milliseconds(static_cast<std::int64_t>(ms)));
}

// A C++ function behind a C callback: no exception may pass through C, so the
// first one waits here.
template <class Function>
struct callback {
    Function &function;
    std::exception_ptr raised = nullptr;

    template <class Argument>
    static void call(const Argument *argument, void *self) noexcept
    {
        auto &me = *static_cast<callback *>(self);

        try {
            std::invoke(me.function, *argument);
        } catch (...) {
            if (!me.raised) {
                me.raised = std::current_exception();
            }
        }
    }

    void raise() const
    {
        if (raised) {
            std::rethrow_exception(raised);
        }
    }
};

} // namespace detail
/// @endcond

// ------------------------------------------------------------------- facts

/// A worker as a snapshot saw it: wm_worker_info with its types.
class worker_info
{
public:
    /// Nobody.
    worker_info() noexcept = default;
    /// From the C structure.
    explicit worker_info(const wm_worker_info &info) noexcept : info_(info) {}

    std::uint64_t generation() const noexcept { return info_.generation; }
    /// Number of this joining, unique in the node's life.
    std::uint64_t join() const noexcept { return info_.join; }
    time_point joined_at() const noexcept
    {
        return detail::at(info_.joined_at);
    }
    /// Of the last beat.
    time_point beat_at() const noexcept { return detail::at(info_.beat_at); }
    std::int32_t pid() const noexcept { return info_.pid; }
    std::uint32_t slot() const noexcept { return info_.slot; }
    wm_state state() const noexcept
    {
        return static_cast<wm_state>(info_.state);
    }
    wm_role role() const noexcept { return static_cast<wm_role>(info_.role); }
    /// Without a beat for so long it is stalled.
    std::chrono::milliseconds overdue() const noexcept
    {
        return std::chrono::milliseconds(info_.overdue_ms);
    }
    /// How many it came back from.
    std::uint32_t stalls() const noexcept { return info_.stalls; }
    /// The C structure.
    const wm_worker_info &handle() const noexcept { return info_; }

private:
    wm_worker_info info_{};
};

/// A generation that is remembered: wm_generation_info with its types.
class generation_info
{
public:
    /// None.
    generation_info() noexcept = default;
    /// From the C structure.
    explicit generation_info(const wm_generation_info &info) noexcept
        : info_(info)
    {
    }

    /// Its number, from 1.
    std::uint64_t id() const noexcept { return info_.id; }
    wm_generation_state state() const noexcept
    {
        return static_cast<wm_generation_state>(info_.state);
    }
    wm_reason reason() const noexcept
    {
        return static_cast<wm_reason>(info_.reason);
    }
    /// How often it has had its first worker.
    std::uint32_t spell() const noexcept { return info_.spell; }
    /// How many of its ends were given out.
    std::uint32_t exits_given() const noexcept { return info_.exits_given; }
    /// Pid of who began it.
    std::int32_t master() const noexcept { return info_.master; }
    /// Workers that crashed.
    std::uint32_t deaths() const noexcept { return info_.deaths; }
    time_point begun_at() const noexcept { return detail::at(info_.begun_at); }
    /// The C structure.
    const wm_generation_info &handle() const noexcept { return info_; }

private:
    wm_generation_info info_{};
};

/// An entry of the event log: wm_log_entry with its types.
class log_entry
{
public:
    /// None.
    log_entry() noexcept = default;
    /// From the C structure.
    explicit log_entry(const wm_log_entry &entry) noexcept : entry_(entry) {}

    /// Counts up from 1.
    std::uint64_t number() const noexcept { return entry_.number; }
    std::chrono::sys_time<std::chrono::milliseconds> time() const noexcept
    {
        return std::chrono::sys_time<std::chrono::milliseconds>(
            std::chrono::milliseconds(static_cast<std::int64_t>(entry_.time)));
    }
    std::uint64_t generation() const noexcept { return entry_.generation; }
    /// Workers: join number; leader: term; generations: spell; lock: pid of
    /// the dead holder.
    std::uint64_t value() const noexcept { return entry_.value; }
    std::int32_t pid() const noexcept { return entry_.pid; }
    /// None if it is not a worker's.
    std::optional<std::uint32_t> slot() const noexcept
    {
        return entry_.slot == WM_NO_SLOT ? std::nullopt
                                         : std::optional(entry_.slot);
    }
    wm_log_kind kind() const noexcept
    {
        return static_cast<wm_log_kind>(entry_.kind);
    }
    /// The C structure.
    const wm_log_entry &handle() const noexcept { return entry_; }

private:
    wm_log_entry entry_{};
};

/// A part of the event log.
struct log_page {
    std::vector<log_entry> entries; ///< oldest first
    std::uint64_t missed = 0;       ///< in between, overwritten or unfinished
    /// False: more wait behind one that is still being written (WM_UNSETTLED).
    bool settled = true;
};

/// Who has the lock: wm_lock_holder with its types.
class lock_holder
{
public:
    /// Nobody.
    lock_holder() noexcept = default;
    /// From the C structure.
    explicit lock_holder(const wm_lock_holder &holder) noexcept
        : holder_(holder)
    {
    }

    /// 0: the lock is free.
    std::int32_t pid() const noexcept { return holder_.pid; }
    /// As given by the holder, 0 until it has said.
    std::uint32_t purpose() const noexcept { return holder_.purpose; }
    /// Of its worker, 0 if none.
    std::uint64_t generation() const noexcept { return holder_.generation; }
    /// For how long; 0 until it has said.
    std::chrono::milliseconds held() const noexcept
    {
        return std::chrono::milliseconds(
            static_cast<std::int64_t>(holder_.held_ms));
    }
    /// Another with each acquisition, modulo 2^24.
    std::uint32_t sequence() const noexcept { return holder_.sequence; }
    /// Whether it is this process.
    bool own() const noexcept { return holder_.own != 0; }
    /// The C structure.
    const wm_lock_holder &handle() const noexcept { return holder_; }

private:
    wm_lock_holder holder_{};
};

/// A segment in a directory: wm_node_entry that outlives the call.
struct node_entry {
    std::string name;  ///< of the file; wm::node::open() takes it
    bool live = false; ///< somebody takes part
    /// Not live: no error, or why it cannot be told.
    std::error_code error;
};

/// Who was there at one moment. `for (auto w : node.snapshot().workers())` is
/// well: of a snapshot that goes away, workers() is the vector itself.
class snapshot
{
public:
    /// Of nobody.
    snapshot() noexcept = default;
    /// Of these; whether two looks agreed.
    snapshot(std::vector<worker_info> workers, bool settled) noexcept
        : workers_(std::move(workers)), settled_(settled)
    {
    }

    /// All records in use, by slot. A view, while the snapshot is there.
    std::span<const worker_info> workers() const & noexcept { return workers_; }
    /// The same of a snapshot that nobody keeps: the workers themselves.
    std::vector<worker_info> workers() && noexcept
    {
        return std::move(workers_);
    }
    /// A view of what is gone is no view.
    std::span<const worker_info> workers() const && = delete;

    /// False: two looks never agreed, the last is told (WM_UNSETTLED).
    bool settled() const noexcept { return settled_; }

private:
    std::vector<worker_info> workers_;
    bool settled_ = true;
};

// ------------------------------------------------------------------ worker

/// The calls on a worker, for its owner and its views.
class worker_calls
{
public:
    /// JOINING to LIVE. Maps wm_worker_start().
    wm_counts start()
    {
        return detail::thrown("wm_worker_start",
                              [this](auto &ec) { return start(ec); });
    }
    /// As start(), noexcept.
    wm_counts start(std::error_code &ec) noexcept
    {
        wm_counts counts{};

        detail::noted(wm_worker_start(handle_, &counts), ec);
        return counts;
    }

    /// What its exit callback is to see. Maps wm_worker_exit_counts().
    wm_counts exit()
    {
        return detail::thrown("wm_worker_exit_counts",
                              [this](auto &ec) { return exit(ec); });
    }
    /// As exit(), noexcept.
    wm_counts exit(std::error_code &ec) noexcept
    {
        wm_counts counts{};

        detail::noted(wm_worker_exit_counts(handle_, &counts), ec);
        return counts;
    }

    /// To DRAINING. Maps wm_worker_drain().
    condition drain()
    {
        return detail::thrown("wm_worker_drain",
                              [this](auto &ec) { return drain(ec); });
    }
    /// As drain(), noexcept.
    condition drain(std::error_code &ec) noexcept
    {
        return detail::noted(wm_worker_drain(handle_), ec);
    }

    /// Heartbeat; condition::recovered: had been marked stalled. In a signal
    /// handler call wm_beat(handle()). Maps wm_beat().
    condition beat()
    {
        return detail::thrown("wm_beat", [this](auto &ec) { return beat(ec); });
    }
    /// As beat(), noexcept.
    condition beat(std::error_code &ec) noexcept
    {
        return detail::noted(wm_beat(handle_), ec);
    }

    /// The same at a time that the caller has at hand. Maps wm_beat_at().
    condition beat_at(std::chrono::steady_clock::time_point time)
    {
        return detail::thrown(
            "wm_beat_at", [=, this](auto &ec) { return beat_at(time, ec); });
    }
    /// As beat_at(), noexcept.
    condition beat_at(std::chrono::steady_clock::time_point time,
                      std::error_code &ec) noexcept
    {
        const auto t = std::chrono::floor<std::chrono::milliseconds>(time);

        return detail::noted(
            wm_beat_at(handle_, static_cast<std::uint64_t>(
                                    t.time_since_epoch().count())),
            ec);
    }

    /// The timer's work: a beat, and the node's sweep if it is due. Maps
    /// wm_tick().
    condition tick(std::chrono::milliseconds interval)
    {
        return detail::thrown(
            "wm_tick", [=, this](auto &ec) { return tick(interval, ec); });
    }
    /// As tick(), noexcept.
    condition tick(std::chrono::milliseconds interval,
                   std::error_code &ec) noexcept
    {
        return detail::noted(wm_tick(handle_, detail::ms(interval)), ec);
    }

    /// Who leads; asking is standing. Maps wm_leader_stand().
    wm_leader lead()
    {
        return detail::thrown("wm_leader_stand",
                              [this](auto &ec) { return lead(ec); });
    }
    /// As lead(), noexcept.
    wm_leader lead(std::error_code &ec) noexcept
    {
        wm_leader leader{};

        detail::noted(wm_leader_stand(handle_, &leader), ec);
        return leader;
    }

    /// Stalls that it came back from since this was last asked. Maps
    /// wm_worker_recoveries().
    std::uint32_t recoveries() noexcept
    {
        return wm_worker_recoveries(handle_);
    }

    /// Whether the record is this process's. Maps wm_worker_has_record().
    bool holds() const noexcept { return wm_worker_has_record(handle_) != 0; }
    /// Unique among all that hold a record. Maps wm_worker_slot().
    std::uint32_t slot() const noexcept { return wm_worker_slot(handle_); }
    /// Maps wm_worker_generation().
    std::uint64_t generation() const noexcept
    {
        return wm_worker_generation(handle_);
    }
    /// Of the generation, from 1. Maps wm_worker_spell().
    std::uint32_t spell() const noexcept { return wm_worker_spell(handle_); }

    /// Whether there is a worker.
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /// For the C functions.
    wm_worker *handle() const noexcept { return handle_; }

protected:
    /// @cond
    worker_calls() noexcept = default;
    explicit worker_calls(wm_worker *handle) noexcept : handle_(handle) {}
    worker_calls(const worker_calls &) noexcept = default;
    worker_calls &operator=(const worker_calls &) noexcept = default;
    ~worker_calls() = default;

    wm_worker *handle_ = nullptr;
    /// @endcond
};

/// A worker that is somebody else's to end.
class worker_view final : public worker_calls
{
public:
    /// Of nobody.
    worker_view() noexcept = default;
    /// Of a handle, also of wm::worker's.
    worker_view(wm_worker *handle) noexcept : worker_calls(handle) {}
    /// Of an owner's worker, or of another view's.
    worker_view(const worker_calls &worker) noexcept : worker_calls(worker) {}
    /// Not of an owner that ends with the expression.
    worker_view(worker &&) = delete;
};

// -------------------------------------------------------------------- node

/// The calls on a node, for its owner and its views.
class node_calls
{
public:
    /// Facts of the node; the strings live as long as it. Maps
    /// wm_node_describe().
    wm_node_info describe() const noexcept
    {
        wm_node_info info{};

        info.size = sizeof(info);
        wm_node_describe(handle_, &info);
        return info;
    }

    /// This process's worker, empty if it has none. Maps wm_node_worker().
    worker_view worker() const noexcept { return wm_node_worker(handle_); }

    // --- generations, by number

    /// Its configuration is gone from this process; condition::closed: it
    /// counts as never begun. Maps wm_generation_abandon().
    condition end(std::uint64_t id) noexcept
    {
        return static_cast<condition>(wm_generation_abandon(handle_, id));
    }

    /// Closes a generation that nobody is left of; condition::closed: its end
    /// is owed. Maps wm_generation_close().
    condition retire(std::uint64_t id)
    {
        return detail::thrown("wm_generation_close",
                              [=, this](auto &ec) { return retire(id, ec); });
    }
    /// As retire(), noexcept.
    condition retire(std::uint64_t id, std::error_code &ec) noexcept
    {
        return detail::noted(wm_generation_close(handle_, id), ec);
    }

    /// Takes an end that is owed, and tells of which spell. Maps
    /// wm_generation_take_exit().
    std::optional<std::uint32_t> take_exit(std::uint64_t id) noexcept
    {
        std::uint32_t spell = 0;

        return wm_generation_take_exit(handle_, id, &spell) == 1
                   ? std::optional(spell)
                   : std::nullopt;
    }

    /// Who is running, as callbacks of its master would see it; `unsettled`
    /// is set where it kept changing. Maps wm_generation_counts().
    wm_counts counts(std::uint64_t id) const noexcept
    {
        wm_counts counts{};

        wm_generation_counts(handle_, id, &counts);
        return counts;
    }

    /// Those that are remembered, oldest first. Maps wm_generations().
    std::vector<generation_info> generations() const
    {
        return detail::thrown("wm_generations", [this](auto &ec) {
            return list_generations(ec);
        });
    }
    /// As generations(), noexcept: no memory is an error as well.
    std::vector<generation_info> generations(std::error_code &ec) const noexcept
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
    /// As snapshot(), noexcept: no memory is an error as well.
    wm::snapshot snapshot(std::error_code &ec) const noexcept
    {
        return detail::filled(ec, [&] { return take_snapshot(ec); });
    }

    /// The next part of the event log. Maps wm_log_read().
    /// @param since  the number read last, 0 from the oldest; is moved on
    /// @param room   how many entries at most
    log_page log(std::uint64_t &since, std::uint32_t room = 256) const
    {
        return detail::thrown("wm_log_read", [&, this](auto &ec) {
            return read_log(since, room, ec);
        });
    }
    /// As log(), noexcept: no memory is an error as well.
    log_page log(std::uint64_t &since, std::uint32_t room,
                 std::error_code &ec) const noexcept
    {
        return detail::filled(ec, [&] { return read_log(since, room, ec); });
    }

    /// Another number after each change. Maps wm_epoch().
    std::uint32_t epoch() const noexcept { return wm_epoch(handle_); }

    /// Sleeps until the epoch is not this one; may return early. Maps
    /// wm_wait() without a limit.
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

    /// The same for a limited time; one that is not positive is a look.
    /// Returns false if it is over. Maps wm_wait().
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
    /// As wait_for(), noexcept; std::errc::timed_out: it is over.
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
    /// Wakes all who wait, as if early: how many there were. Maps wm_wake().
    int wake() const noexcept { return wm_wake(handle_); }

    /// Who leads, without standing. Maps wm_leader_inspect().
    wm_leader leader() const noexcept
    {
        wm_leader leader{};

        wm_leader_inspect(handle_, &leader);
        return leader;
    }

    /// Who has the lock. Maps wm_lock_inspect().
    lock_holder holder() const noexcept
    {
        wm_lock_holder holder{};

        wm_lock_inspect(handle_, &holder);
        return lock_holder(holder);
    }

    // --- sweeping and events

    /// Looks at every record; returns how many records or generations it
    /// changed. `self` is the caller's worker. Maps wm_sweep().
    int sweep(worker_view self = {}) noexcept
    {
        return wm_sweep(handle_, self.handle());
    }

    /// How many events of these kinds are to be given out. Maps
    /// wm_events_owed().
    int events_owed(std::uint32_t kinds = all_events) const noexcept
    {
        return wm_events_owed(handle_, kinds);
    }

    /// Takes an event for the caller to give out, under the lock. Maps
    /// wm_event_take().
    std::optional<wm_event>
    take_event(std::uint32_t kinds = all_events) noexcept
    {
        wm_event event{};

        return wm_event_take(handle_, kinds, &event) == 1 ? std::optional(event)
                                                          : std::nullopt;
    }

    /// Sweeps, and takes what is owed without telling anybody. Returns how
    /// many events were taken. Maps wm_events_give().
    int sweep_events(worker_view self = {}) noexcept
    {
        return wm_events_give(handle_, self.handle(), nullptr, nullptr);
    }
    /// Sweeps, and gives what is owed to the function, under the lock. Where
    /// that throws, the other events are given all the same, and the first
    /// exception comes out when the lock is released.
    template <class Give>
        requires std::invocable<Give &, const wm_event &>
    int sweep_events(worker_view self, Give &&give)
    {
        using callback = detail::callback<std::remove_reference_t<Give>>;
        callback c{give};
        const int taken = wm_events_give(
            handle_, self.handle(), &callback::template call<wm_event>, &c);

        c.raise();
        return taken;
    }

    /// Whether there is a node.
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /// For the C functions.
    wm_node *handle() const noexcept { return handle_; }

protected:
    /// @cond
    node_calls() noexcept = default;
    explicit node_calls(wm_node *handle) noexcept : handle_(handle) {}
    node_calls(const node_calls &) noexcept = default;
    node_calls &operator=(const node_calls &) noexcept = default;
    ~node_calls() = default;

    wm_node *handle_ = nullptr;
    /// @endcond

private:
    std::vector<generation_info> list_generations(std::error_code &ec) const
    {
        std::vector<wm_generation_info> list(describe().capacity + 64u);
        std::uint32_t count = 0;

        detail::noted(wm_generations(handle_, list.data(),
                                     static_cast<std::uint32_t>(list.size()),
                                     &count),
                      ec);
        list.resize(std::min<std::size_t>(count, list.size()));
        return {list.begin(), list.end()};
    }

    wm::snapshot take_snapshot(std::error_code &ec) const
    {
        std::vector<wm_worker_info> list(describe().capacity);
        std::uint32_t count = 0;
        const condition seen = detail::noted(
            wm_snapshot(handle_, list.data(),
                        static_cast<std::uint32_t>(list.size()), &count),
            ec);

        list.resize(std::min<std::size_t>(count, list.size()));
        return {{list.begin(), list.end()}, seen != condition::unsettled};
    }

    log_page read_log(std::uint64_t &since, std::uint32_t room,
                      std::error_code &ec) const
    {
        std::vector<wm_log_entry> list(room);
        std::uint32_t count = 0;
        std::uint64_t moved = since;
        log_page page;

        page.settled = detail::noted(wm_log_read(handle_, &moved, list.data(),
                                                 room, &count, &page.missed),
                                     ec) != condition::unsettled;
        list.resize(count);
        page.entries = {list.begin(), list.end()};
        since = moved; // last: what throws has read nothing
        return page;
    }
};

/// A node that is somebody else's to release.
class node_view final : public node_calls
{
public:
    /// Of none.
    node_view() noexcept = default;
    /// Of a handle, also of wm::node's.
    node_view(wm_node *handle) noexcept : node_calls(handle) {}
    /// Of an owner's node, or of another view's.
    node_view(const node_calls &node) noexcept : node_calls(node) {}
    /// Not of an owner that ends with the expression.
    node_view(node &&) = delete;
};

/// What a node is attached with: wm_node_options with its defaults.
struct node_options {
    const char *instance = nullptr;  ///< 1 to 63 of [A-Za-z0-9_.-]
    const char *directory = nullptr; ///< none: /dev/shm
    std::uint32_t capacity = 0;      ///< workers; 0: 1,024
    std::uint32_t mode = 0;          ///< of the file; 0: 0600
    std::uint32_t log_entries = 0;   ///< of the event log; 0: 1,024
    std::uint32_t flags = 0;         ///< WM_NODE_*
};

/// Owns an attach, or a read-only open, of a node.
class node final : public node_calls
{
public:
    /// None.
    node() noexcept = default;
    /// Takes over a handle that nobody else will release.
    explicit node(wm_node *handle) noexcept : node_calls(handle) {}
    /// The other is empty then.
    node(node &&other) noexcept : node_calls(other.release()) {}
    /// Releases what it had; the other is empty then.
    node &operator=(node &&other) noexcept
    {
        node moved(std::move(other));

        std::swap(handle_, moved.handle_);
        return *this;
    }
    /// As close().
    ~node() { close(); }

    /// Takes part in a node. Maps wm_node_attach().
    [[nodiscard]] static node attach(const node_options &options)
    {
        return detail::thrown("wm_node_attach",
                              [&](auto &ec) { return attach(options, ec); });
    }
    /// As attach(), noexcept; empty if it failed.
    [[nodiscard]] static node attach(const node_options &options,
                                     std::error_code &ec) noexcept
    {
        const wm_node_options c = {
            .size = sizeof(c),
            .flags = options.flags,
            .instance = options.instance,
            .directory = options.directory,
            .capacity = options.capacity,
            .mode = options.mode,
            .log_entries = options.log_entries,
            .reserved = 0,
        };
        node n;

        detail::noted(wm_node_attach(&c, &n.handle_), ec);
        return n;
    }

    /// Opens for reading, by file name or by instance. Maps wm_node_open().
    [[nodiscard]] static node open(const char *name,
                                   const char *directory = nullptr)
    {
        return detail::thrown("wm_node_open", [=](auto &ec) {
            return open(name, directory, ec);
        });
    }
    /// As open(), noexcept; empty if it failed.
    [[nodiscard]] static node open(const char *name, const char *directory,
                                   std::error_code &ec) noexcept
    {
        node n;

        detail::noted(wm_node_open(name, directory, &n.handle_), ec);
        return n;
    }

    /// The segments of an instance, all if none is given. Maps wm_node_list().
    [[nodiscard]] static std::vector<node_entry>
    list(const char *instance = nullptr, const char *directory = nullptr)
    {
        return detail::thrown("wm_node_list", [=](auto &ec) {
            return list_all(instance, directory, ec);
        });
    }
    /// As list(), noexcept: no memory is an error as well.
    [[nodiscard]] static std::vector<node_entry>
    list(const char *instance, const char *directory,
         std::error_code &ec) noexcept
    {
        return detail::filled(
            ec, [&] { return list_all(instance, directory, ec); });
    }

    /// Unlinks a segment that nobody takes part in. Maps wm_node_unlink().
    static condition unlink(const char *name, const char *directory = nullptr)
    {
        return detail::thrown("wm_node_unlink", [=](auto &ec) {
            return unlink(name, directory, ec);
        });
    }
    /// As unlink(), noexcept.
    static condition unlink(const char *name, const char *directory,
                            std::error_code &ec) noexcept
    {
        return detail::noted(wm_node_unlink(name, directory), ec);
    }

    /// Gives the attach back; empty then. Maps wm_node_release(), which as of
    /// now cannot fail.
    condition close() noexcept
    {
        wm_node *const h = release();

        return h == nullptr ? condition::none
                            : static_cast<condition>(wm_node_release(h));
    }

    /// Lets go of the handle without giving it back; empty then.
    [[nodiscard]] wm_node *release() noexcept
    {
        return std::exchange(handle_, nullptr);
    }

private:
    static std::vector<node_entry>
    list_all(const char *instance, const char *directory, std::error_code &ec)
    {
        std::vector<node_entry> found;
        auto add = [&](const wm_node_entry &e) {
            found.push_back({e.name, e.live != 0, {-e.error, category()}});
        };
        using callback = detail::callback<decltype(add)>;
        callback c{add};

        detail::noted(wm_node_list(instance, directory,
                                   &callback::template call<wm_node_entry>, &c),
                      ec);
        c.raise();
        return found;
    }
};

// -------------------------------------------------------------- generation

/// Owns a generation in the process that began it. When it is closed or
/// destroyed, its configuration is gone from this process: one that never had
/// a worker counts as never begun, another does not care.
class generation final
{
public:
    /// None.
    generation() noexcept = default;
    /// The other is empty then.
    generation(generation &&other) noexcept
        : node_(std::exchange(other.node_, {})),
          id_(std::exchange(other.id_, 0)), reason_(other.reason_),
          begun_(std::exchange(other.begun_, false))
    {
    }
    /// Closes what it had; the other is empty then.
    generation &operator=(generation &&other) noexcept
    {
        if (this != &other) {
            close();
            node_ = std::exchange(other.node_, {});
            id_ = std::exchange(other.id_, 0);
            reason_ = other.reason_;
            begun_ = std::exchange(other.begun_, false);
        }
        return *this;
    }
    /// As close().
    ~generation() { close(); }

    /// Begins a generation of the node with this process as its master. Maps
    /// wm_generation_begin().
    [[nodiscard]] static generation begin(node_view node)
    {
        return detail::thrown("wm_generation_begin",
                              [=](auto &ec) { return begin(node, ec); });
    }
    /// As begin(), noexcept; empty if it failed.
    [[nodiscard]] static generation begin(node_view node,
                                          std::error_code &ec) noexcept
    {
        generation g;
        std::uint64_t id = 0;
        std::uint32_t reason = 0;
        const condition c =
            detail::noted(wm_generation_begin(node.handle(), &id, &reason), ec);

        if (!ec) {
            g.node_ = node;
            g.id_ = id;
            g.reason_ = static_cast<wm_reason>(reason);
            g.begun_ = c == condition::none;
        }
        return g;
    }

    /// Its number, from 1.
    std::uint64_t id() const noexcept { return id_; }
    wm_reason reason() const noexcept { return reason_; }
    /// False: this process is a worker of it, and nothing has begun (WM_IS_WORKER).
    bool begun() const noexcept { return begun_; }
    /// Its node.
    node_view node() const noexcept { return node_; }

    /// node_calls::counts() of this one.
    wm_counts counts() const noexcept { return node_.counts(id_); }

    /// Ends it; empty then. condition::closed: it never had a worker, and
    /// counts as never begun. Maps wm_generation_abandon(), which cannot fail.
    condition close() noexcept
    {
        node_view n = std::exchange(node_, {});
        const std::uint64_t id = std::exchange(id_, 0);

        return std::exchange(begun_, false) ? n.end(id) : condition::none;
    }

    /// Lets go of it without an end, as where the process goes on to exec;
    /// empty then. Returns its number.
    std::uint64_t release() noexcept
    {
        begun_ = false;
        node_ = {};
        return std::exchange(id_, 0);
    }

    /// Whether there is one.
    explicit operator bool() const noexcept { return id_ != 0; }
    /// For the C functions: a generation's handle is its number.
    std::uint64_t handle() const noexcept { return id_; }

private:
    node_view node_;
    std::uint64_t id_ = 0;
    wm_reason reason_ = WM_REASON_NONE;
    bool begun_ = false;
};

// ------------------------------------------------------------ worker, owned

/// What a worker joins with: wm_join_options with its defaults.
struct join_options {
    wm_role role = WM_ROLE_WORKER;
    /// Without a beat for so long it is stalled; 0: 15 s.
    std::chrono::milliseconds overdue{0};
    std::uint32_t expected = 0; ///< workers of the generation; 0: unknown
};

/// Owns this process's record in a node. There is one for each node and
/// process, and so is the handle: of several owners of one node in a process,
/// as a child may have that joins beside its inherited one, any leaves with the
/// one record.
class worker final : public worker_calls
{
public:
    /// None.
    worker() noexcept = default;
    /// Takes over a handle that nobody else will leave with.
    explicit worker(wm_worker *handle) noexcept : worker_calls(handle) {}
    /// The other is empty then.
    worker(worker &&other) noexcept : worker_calls(other.release()) {}
    /// Leaves with what it had, unless that was inherited from the parent and
    /// the other is what this process has joined with; the other is empty then.
    worker &operator=(worker &&other) noexcept
    {
        worker moved(std::move(other));

        std::swap(handle_, moved.handle_);
        if (moved.handle_ == handle_) { // inherited: a child has joined anew
            moved.handle_ = nullptr;
        }
        return *this;
    }
    /// As close(), and silent.
    ~worker()
    {
        std::error_code ec;

        close(ec);
    }

    /// Joins this process to a generation. Maps wm_worker_join().
    [[nodiscard]] static worker join(node_view node, std::uint64_t generation,
                                     const join_options &options = {})
    {
        return detail::thrown("wm_worker_join", [&](auto &ec) {
            return join(node, generation, options, ec);
        });
    }
    /// As join(), noexcept; empty if it failed.
    [[nodiscard]] static worker join(node_view node, std::uint64_t generation,
                                     const join_options &options,
                                     std::error_code &ec) noexcept
    {
        const wm_join_options c = {
            .size = sizeof(c),
            .role = static_cast<std::uint32_t>(options.role),
            .overdue_ms = detail::ms(options.overdue),
            .expected = options.expected,
        };
        worker w;

        detail::noted(wm_worker_join(node.handle(), generation, &c, &w.handle_),
                      ec);
        return w;
    }

    /// Gives the record back; empty then, also where that fails. Maps
    /// wm_worker_leave().
    condition close()
    {
        return detail::thrown("wm_worker_leave",
                              [this](auto &ec) { return close(ec); });
    }
    /// As close(), noexcept.
    condition close(std::error_code &ec) noexcept
    {
        wm_worker *const h = release();

        return detail::noted(h == nullptr ? 0 : wm_worker_leave(h), ec);
    }

    /// Lets go of the handle without leaving; empty then.
    [[nodiscard]] wm_worker *release() noexcept
    {
        return std::exchange(handle_, nullptr);
    }
};

// -------------------------------------------------------------------- lock

/// How the lock is waited for: wm_lock_options with its defaults.
struct lock_options {
    std::uint32_t purpose = 0;         ///< the caller's own number
    std::chrono::milliseconds hold{0}; ///< give up on one holder; 0: never
    std::chrono::milliseconds wait{0}; ///< give up in all; 0: never
};

/// The node's lifecycle lock as the standard library knows locks: Lockable and
/// TimedLockable, for std::unique_lock, std::scoped_lock and std::lock. The
/// lock is the process's, so of several such objects one at most owns it; who
/// owns it releases it when destroyed.
class lifecycle_lock final
{
public:
    /// Of a node, not locked.
    explicit lifecycle_lock(node_view node,
                            const lock_options &options = {}) noexcept
        : node_(node), options_(options)
    {
    }
    /// The other owns it no more. Not while a guard refers to the other.
    lifecycle_lock(lifecycle_lock &&other) noexcept
        : node_(other.node_), options_(other.options_),
          hold_(std::exchange(other.hold_, {}))
    {
    }
    /// Releases what it had; the other owns it no more.
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
    /// Releases it if it is owned.
    ~lifecycle_lock() { unlock(); }

    /// Waits for it; condition::recovered: the former holder died with it.
    /// Maps wm_lock_acquire().
    condition lock()
    {
        return detail::thrown("wm_lock_acquire",
                              [this](auto &ec) { return lock(ec); });
    }
    /// As lock(), noexcept.
    condition lock(std::error_code &ec) noexcept { return lock(options_, ec); }

    /// Tries once; false: another has it, or this process has it already.
    /// Maps wm_lock_try().
    bool try_lock()
    {
        std::error_code ec;

        try_lock(ec);
        return taken(ec, "wm_lock_try");
    }
    /// As try_lock(), noexcept: std::errc::device_or_resource_busy if another
    /// has it. With `queue` it is announced that the caller tries again within
    /// 50 ms, and std::errc::operation_in_progress says that it is the next.
    condition try_lock(std::error_code &ec, bool queue = false) noexcept
    {
        return owned(wm_lock_try(node_.handle(), options_.purpose, queue), ec);
    }

    /// Waits for so long at most; one that is not positive is a try. Maps
    /// wm_lock_acquire().
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
    /// Waits until then at most.
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

        // What is long past makes no difference that could be told.
        return time > now ? try_lock_for(time - now, ec) : try_lock(ec);
    }

    /// Releases it. Nothing happens if it is not owned. Maps wm_lock_release().
    void unlock() noexcept
    {
        std::error_code ec;

        unlock(ec);
    }
    /// The same, and says what went wrong: std::errc::operation_not_permitted
    /// if it is not owned.
    condition unlock(std::error_code &ec) noexcept
    {
        const bool mine = owns();

        hold_ = {};
        return detail::noted(mine ? wm_lock_release(node_.handle()) : -EPERM,
                             ec);
    }

    /// The present holding of this process, for a cleanup handler where a
    /// thread may be ended under its owner. Maps wm_lock_hold_note().
    wm_lock_hold hold() const noexcept
    {
        wm_lock_hold noted{};

        wm_lock_hold_note(node_.handle(), &noted);
        return noted;
    }
    /// Releases the lock if that holding has not ended yet. Maps wm_lock_hold_release().
    static void end(wm_lock_hold &hold) noexcept
    {
        wm_lock_hold_release(&hold);
    }

    /// Whether it was taken through this object, and not released since by
    /// whomever; false in a child of who took it.
    bool owns() const noexcept
    {
        return hold_.word != 0 && hold_.word == hold().word;
    }
    /// What it is waited for with.
    const lock_options &options() const noexcept { return options_; }
    /// For the C functions: the lock's handle is its node's.
    wm_node *handle() const noexcept { return node_.handle(); }

private:
    condition lock(const lock_options &options, std::error_code &ec) noexcept
    {
        const wm_lock_options c = {
            .size = sizeof(c),
            .purpose = options.purpose,
            .hold_ms = detail::ms(options.hold),
            .wait_ms = detail::ms(options.wait),
        };

        return owned(wm_lock_acquire(node_.handle(), &c), ec);
    }

    condition owned(int result, std::error_code &ec) noexcept
    {
        if (result >= 0) {
            hold_ = hold();
        }
        return detail::noted(result, ec);
    }

    // That it is not to be had now is an answer, the rest are errors.
    static bool taken(const std::error_code &ec, const char *what)
    {
        if (ec && ec != std::errc::device_or_resource_busy &&
            ec != std::errc::timed_out &&
            ec != std::errc::resource_deadlock_would_occur) {
            throw error(ec, what);
        }
        return !ec;
    }

    node_view node_;
    lock_options options_;
    wm_lock_hold hold_{}; // the one that is owned
};

} // namespace wm

#endif
