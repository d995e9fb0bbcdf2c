// SPDX-License-Identifier: Apache-2.0

/// @file
/// A worker's own acts, and a reference that does not own one.

#ifndef WM_WORKER_REF_HPP
#define WM_WORKER_REF_HPP

#include <wm/facts.hpp>
#include <wm/result.hpp>
#include <wm/time.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <system_error>

namespace wm
{

/// The calls on a worker, for its owner and its references.
class worker_calls
{
public:
    /// Changes the worker from JOINING to LIVE. Maps wm_worker_start().
    wm_counts start()
    {
        return detail::thrown("wm_worker_start",
                              [this](auto &ec) { return start(ec); });
    }
    /// As start(), noexcept.
    wm_counts start(std::error_code &ec) noexcept
    {
        auto counts = detail::blank<wm_counts>();

        detail::noted(wm_worker_start(handle_, &counts), ec);
        return counts;
    }

    /// The counts for the worker's exit callback. Maps wm_worker_exit_counts().
    wm_counts exit_counts()
    {
        return detail::thrown("wm_worker_exit_counts",
                              [this](auto &ec) { return exit_counts(ec); });
    }
    /// As exit_counts(), noexcept.
    wm_counts exit_counts(std::error_code &ec) noexcept
    {
        auto counts = detail::blank<wm_counts>();

        detail::noted(wm_worker_exit_counts(handle_, &counts), ec);
        return counts;
    }

    /// Changes the worker to DRAINING. Maps wm_worker_drain().
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

    /// Says that the worker leaves by itself, and will be replaced. Maps
    /// wm_worker_retire().
    condition retire()
    {
        return detail::thrown("wm_worker_retire",
                              [this](auto &ec) { return retire(ec); });
    }
    /// As retire(), noexcept.
    condition retire(std::error_code &ec) noexcept
    {
        return detail::noted(wm_worker_retire(handle_), ec);
    }

    /// Has the worker say itself which signal or exit ends it. Maps
    /// wm_worker_record_end().
    condition record_end()
    {
        return detail::thrown("wm_worker_record_end",
                              [this](auto &ec) { return record_end(ec); });
    }
    /// As record_end(), noexcept.
    condition record_end(std::error_code &ec) noexcept
    {
        return detail::noted(wm_worker_record_end(handle_), ec);
    }

    /// Gives a heartbeat; condition::recovered: the worker had been marked
    /// stalled. In a signal handler call wm_beat(handle()). Maps wm_beat().
    condition beat()
    {
        return detail::thrown("wm_beat", [this](auto &ec) { return beat(ec); });
    }
    /// As beat(), noexcept.
    condition beat(std::error_code &ec) noexcept
    {
        return detail::noted(wm_beat(handle_), ec);
    }

    /// Gives a heartbeat at a time that the caller has at hand. Maps
    /// wm_beat_at().
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

    /// Says what the worker does now; "" or nullptr: nothing. Maps wm_note().
    /// @param text a line, of which 56 bytes are kept
    condition note(const char *text)
    {
        return detail::thrown("wm_note",
                              [=, this](auto &ec) { return note(text, ec); });
    }
    /// As note(), noexcept.
    condition note(const char *text, std::error_code &ec) noexcept
    {
        return detail::noted(wm_note(handle_, text), ec);
    }

    /// Does the timer's work: a beat, and the node's sweep if it is due. Maps
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

    /// Stands for the lead, and tells which worker has it now. Maps
    /// wm_leader_stand().
    wm_leader stand()
    {
        return detail::thrown("wm_leader_stand",
                              [this](auto &ec) { return stand(ec); });
    }
    /// As stand(), noexcept.
    wm_leader stand(std::error_code &ec) noexcept
    {
        auto leader = detail::blank<wm_leader>();

        detail::noted(wm_leader_stand(handle_, &leader), ec);
        return leader;
    }

    /// How many recoveries of this worker are owed to it. Maps
    /// wm_worker_recoveries().
    std::uint32_t recoveries() const noexcept
    {
        return wm_worker_recoveries(handle_);
    }
    /// Takes one owed recovery, which the caller then gives; false if none is
    /// owed. Maps wm_worker_recovery_take().
    bool take_recovery() noexcept
    {
        return wm_worker_recovery_take(handle_) == 1;
    }

    /// Whether the worker has its record, and belongs to this process. Maps
    /// wm_worker_has_record().
    bool has_record() const noexcept
    {
        return wm_worker_has_record(handle_) != 0;
    }
    /// The slot, unique among all workers that have a record. Maps
    /// wm_worker_slot().
    std::uint32_t slot() const noexcept { return wm_worker_slot(handle_); }
    /// The generation. Maps wm_worker_generation().
    std::uint64_t generation() const noexcept
    {
        return wm_worker_generation(handle_);
    }
    /// The spell of the generation, from 1. Maps wm_worker_spell().
    std::uint32_t spell() const noexcept { return wm_worker_spell(handle_); }

    /// Whether there is a worker.
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /// The handle for the C functions.
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

/// A worker with which another owner leaves. It is as large as a pointer, and
/// good as long as the worker's node.
class worker_ref final : public worker_calls
{
public:
    /// Refers to no worker.
    worker_ref() noexcept = default;
    /// Refers to the worker of a C handle.
    explicit worker_ref(wm_worker *handle) noexcept : worker_calls(handle) {}
    /// Refers to an owner's worker.
    worker_ref(const worker_calls &worker) noexcept : worker_calls(worker) {}
    /// An owner that ends with the expression gives no reference.
    template <class Owner>
        requires(!std::same_as<Owner, worker_ref> &&
                 std::derived_from<Owner, worker_calls>)
    worker_ref(const Owner &&) = delete;
};

} // namespace wm

#endif
