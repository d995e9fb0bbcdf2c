// SPDX-License-Identifier: Apache-2.0

/// @file
/// The owner of a generation in its master.

#ifndef WM_GENERATION_HPP
#define WM_GENERATION_HPP

#include <wm/node_ref.hpp>
#include <wm/result.hpp>

#include <cstdint>
#include <system_error>
#include <utility>

namespace wm
{

/// Owns a generation in the process that began it. When it is closed or
/// destroyed, its configuration is gone from this process. If it is the newest
/// that this process has begun, if the process has not forked since, and if it
/// never had a worker, it then counts as never begun; any other generation
/// stays as it is. close() is not wm_generation_close(), which is
/// node_calls::close_generation().
class generation final
{
public:
    /// An empty one.
    generation() noexcept = default;
    /// The other is empty then.
    generation(generation &&other) noexcept : generation() { swap(other); }
    /// Closes what it had; the other is empty then.
    generation &operator=(generation &&other) noexcept
    {
        generation moved(std::move(other));

        swap(moved);
        return *this;
    }
    /// As close(), but reports no error.
    ~generation()
    {
        std::error_code ec;

        close(ec);
    }

    /// Begins a generation of the node with this process as its master. Maps
    /// wm_generation_begin().
    [[nodiscard]] static generation begin(node_ref node)
    {
        return detail::thrown("wm_generation_begin",
                              [=](auto &ec) { return begin(node, ec); });
    }
    /// As begin(), noexcept; empty if it failed.
    [[nodiscard]] static generation begin(node_ref node,
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

    /// The number of the generation, from 1.
    std::uint64_t id() const noexcept { return id_; }
    /// Why it began.
    wm_reason reason() const noexcept { return reason_; }
    /// False: this process is a worker of the generation, and nothing has begun
    /// (WM_IS_WORKER).
    bool begun() const noexcept { return begun_; }
    /// The node of the generation.
    node_ref node() const noexcept { return node_; }

    /// node_calls::counts() of this generation.
    wm_counts counts() const noexcept { return node_.counts(id_); }

    /// Abandons the generation; the owner is empty afterwards. Maps
    /// wm_generation_abandon().
    /// Returns condition::closed if it never had a worker, and so counts as
    /// never begun.
    condition close()
    {
        return detail::thrown("wm_generation_abandon",
                              [this](auto &ec) { return close(ec); });
    }
    /// As close(), noexcept.
    condition close(std::error_code &ec) noexcept
    {
        node_ref n = node_;
        const bool mine = begun_;
        const std::uint64_t id = release();

        ec.clear();
        return mine ? n.abandon_generation(id, ec) : condition::none;
    }

    /// Lets go of the generation without an end, for example before exec; the
    /// owner is empty afterwards.
    /// Returns its number.
    std::uint64_t release() noexcept
    {
        node_ = {};
        reason_ = WM_REASON_NONE;
        begun_ = false;
        return std::exchange(id_, 0);
    }

    /// Whether there is one.
    explicit operator bool() const noexcept { return id_ != 0; }
    /// The handle for the C functions: the generation's number.
    std::uint64_t handle() const noexcept { return id_; }

private:
    void swap(generation &other) noexcept
    {
        std::swap(node_, other.node_);
        std::swap(id_, other.id_);
        std::swap(reason_, other.reason_);
        std::swap(begun_, other.begun_);
    }

    node_ref node_;
    std::uint64_t id_ = 0;
    wm_reason reason_ = WM_REASON_NONE;
    bool begun_ = false;
};

} // namespace wm

#endif
