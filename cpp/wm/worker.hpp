// SPDX-License-Identifier: Apache-2.0

/// @file
/// The owner of this process's record in a node.

#ifndef WM_WORKER_HPP
#define WM_WORKER_HPP

#include <wm/node_ref.hpp>
#include <wm/result.hpp>
#include <wm/time.hpp>
#include <wm/worker_ref.hpp>

#include <chrono>
#include <cstdint>
#include <system_error>
#include <utility>

namespace wm
{

/// The options of a join: wm_join_options with its defaults.
struct join_options {
    wm_role role = WM_ROLE_WORKER;
    /// It is stalled after so long without a beat; 0: 15 s.
    std::chrono::milliseconds overdue{0};
    std::uint32_t expected = 0; ///< workers of the generation; 0: unknown
    /// The process that starts the generation's workers; 0: the one that forked
    /// this process.
    std::int32_t master = 0;
};

/// Owns this process's record in a node. A process has one record in each node,
/// and one handle for it. A process may have several owners of that handle: a
/// child that joins has its own beside the one that it inherited. Any of them
/// then leaves with the one record.
class worker final : public worker_calls
{
public:
    /// An empty one.
    worker() noexcept = default;
    /// Takes over a handle with which no other owner will leave.
    explicit worker(wm_worker *handle) noexcept : worker_calls(handle) {}
    /// The other is empty then.
    worker(worker &&other) noexcept : worker_calls(other.release()) {}
    /// Closes what it had, unless it had inherited that from the parent and
    /// this process has joined with the other; the other is empty then.
    worker &operator=(worker &&other) noexcept
    {
        worker moved(std::move(other));

        std::swap(handle_, moved.handle_);
        if (moved.handle_ == handle_) { // inherited: a child has joined anew
            moved.handle_ = nullptr;
        }
        return *this;
    }
    /// As close(), but reports no error.
    ~worker()
    {
        std::error_code ec;

        close(ec);
    }

    /// Joins this process to a generation. Maps wm_worker_join().
    [[nodiscard]] static worker join(node_ref node, std::uint64_t generation,
                                     const join_options &options = {})
    {
        return detail::thrown("wm_worker_join", [&](auto &ec) {
            return join(node, generation, options, ec);
        });
    }
    /// As join(), noexcept; empty if it failed.
    [[nodiscard]] static worker join(node_ref node, std::uint64_t generation,
                                     const join_options &options,
                                     std::error_code &ec) noexcept
    {
        const wm_join_options c = {
            .size = sizeof(c),
            .role = static_cast<std::uint32_t>(options.role),
            .overdue_ms = detail::ms(options.overdue),
            .expected = options.expected,
            .master = options.master,
            .reserved = 0,
        };
        worker w;

        detail::noted(wm_worker_join(node.handle(), generation, &c, &w.handle_),
                      ec);
        return w;
    }

    /// Gives the record back; the owner is empty afterwards, also if this
    /// fails. Maps wm_worker_leave().
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

    /// Lets go of the handle without leaving; the owner is empty afterwards.
    [[nodiscard]] wm_worker *release() noexcept
    {
        return std::exchange(handle_, nullptr);
    }
};

} // namespace wm

#endif
