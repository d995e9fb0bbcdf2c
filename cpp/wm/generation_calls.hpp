// SPDX-License-Identifier: Apache-2.0

/// @file
/// The calls on a node's generations, by number.

#ifndef WM_GENERATION_CALLS_HPP
#define WM_GENERATION_CALLS_HPP

#include <wm/facts.hpp>
#include <wm/result.hpp>

#include <cstdint>
#include <optional>
#include <system_error>

namespace wm
{

/// The calls on the generations of a node; a part of node_calls.
class generation_calls
{
public:
    /// Says that the configuration of a generation is gone from this process.
    /// Maps wm_generation_abandon().
    /// Returns condition::closed if it counts as never begun, else none.
    condition abandon_generation(std::uint64_t id)
    {
        return detail::thrown("wm_generation_abandon", [=, this](auto &ec) {
            return abandon_generation(id, ec);
        });
    }
    /// As abandon_generation(), noexcept.
    condition abandon_generation(std::uint64_t id, std::error_code &ec) noexcept
    {
        return detail::noted(wm_generation_abandon(handle_, id), ec);
    }

    /// Leaves the master's start callback to the workers of its generation.
    /// Maps wm_generation_leave_start().
    /// Returns condition::none.
    condition leave_start(std::uint64_t id)
    {
        return detail::thrown("wm_generation_leave_start", [=, this](auto &ec) {
            return leave_start(id, ec);
        });
    }
    /// As leave_start(), noexcept.
    condition leave_start(std::uint64_t id, std::error_code &ec) noexcept
    {
        return detail::noted(wm_generation_leave_start(handle_, id), ec);
    }

    /// Takes the master's start, if it was left to the workers. Maps
    /// wm_generation_take_start().
    /// Returns whether the caller is to give it.
    bool take_start(std::uint64_t id)
    {
        return detail::thrown("wm_generation_take_start", [=, this](auto &ec) {
            return take_start(id, ec);
        });
    }
    /// As take_start(), noexcept.
    bool take_start(std::uint64_t id, std::error_code &ec) noexcept
    {
        const int taken = wm_generation_take_start(handle_, id);

        detail::noted(taken, ec);
        return taken == 1;
    }

    /// Whether the exits of a generation had better wait for the starts of
    /// another: 1, 0, or 2 for a moment. Maps wm_starts_awaited().
    int starts_awaited(std::uint64_t id) const noexcept
    {
        return wm_starts_awaited(handle_, id);
    }

    /// Closes a generation that has no worker left. Maps wm_generation_close().
    /// Returns condition::closed if its end is owed now, else none.
    condition close_generation(std::uint64_t id)
    {
        return detail::thrown("wm_generation_close", [=, this](auto &ec) {
            return close_generation(id, ec);
        });
    }
    /// As close_generation(), noexcept.
    condition close_generation(std::uint64_t id, std::error_code &ec) noexcept
    {
        return detail::noted(wm_generation_close(handle_, id), ec);
    }

    /// Takes an owed end of a generation. Maps wm_generation_take_exit().
    /// Returns its spell, or nothing if none is owed.
    std::optional<std::uint32_t> take_exit(std::uint64_t id)
    {
        return detail::thrown("wm_generation_take_exit", [=, this](auto &ec) {
            return take_exit(id, ec);
        });
    }
    /// As take_exit(), noexcept.
    std::optional<std::uint32_t> take_exit(std::uint64_t id,
                                           std::error_code &ec) noexcept
    {
        std::uint32_t spell = 0;
        const int taken = wm_generation_take_exit(handle_, id, &spell);

        detail::noted(taken, ec);
        return taken == 1 ? std::optional(spell) : std::nullopt;
    }

    /// The counts as callbacks of the generation's master would see them;
    /// `unsettled` is set if they kept changing. Maps wm_generation_counts().
    wm_counts counts(std::uint64_t id) const noexcept
    {
        auto counts = detail::blank<wm_counts>();

        wm_generation_counts(handle_, id, &counts);
        return counts;
    }

    /// Whether there is a node.
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /// The handle for the C functions.
    wm_node *handle() const noexcept { return handle_; }

protected:
    /// @cond
    generation_calls() noexcept = default;
    explicit generation_calls(wm_node *handle) noexcept : handle_(handle) {}
    generation_calls(const generation_calls &) noexcept = default;
    generation_calls &operator=(const generation_calls &) noexcept = default;
    ~generation_calls() = default;

    wm_node *handle_ = nullptr;
    /// @endcond
};

} // namespace wm

#endif
