// SPDX-License-Identifier: Apache-2.0

/// @file
/// The owner of an attach to a node; also the list of segments.

#ifndef WM_NODE_HPP
#define WM_NODE_HPP

#include <wm/facts.hpp>
#include <wm/node_ref.hpp>
#include <wm/result.hpp>

#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

namespace wm
{

/// The options of an attach: wm_node_options with its defaults.
struct node_options {
    const char *instance = nullptr;  ///< 1 to 63 of [A-Za-z0-9_.-]
    const char *directory = nullptr; ///< none: /dev/shm
    std::uint32_t capacity = 0;      ///< workers; 0: 1,024
    std::uint32_t mode = 0;          ///< of the file; 0: 0600
    std::uint32_t log_entries = 0;   ///< of the event log; 0: 1,024
    std::uint32_t flags = 0;         ///< WM_NODE_*
    std::uint32_t tag = 0;           ///< what the server has the node for
};

/// Owns an attach, or a read-only open, of a node.
class node final : public node_calls
{
public:
    /// An empty one.
    node() noexcept = default;
    /// Takes over a handle that no other owner will release.
    explicit node(wm_node *handle) noexcept : node_calls(handle) {}
    /// The other is empty then.
    node(node &&other) noexcept : node_calls(other.release()) {}
    /// Closes what it had; the other is empty then.
    node &operator=(node &&other) noexcept
    {
        node moved(std::move(other));

        std::swap(handle_, moved.handle_);
        return *this;
    }
    /// As close(), but reports no error.
    ~node()
    {
        std::error_code ec;

        close(ec);
    }

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
            .tag = options.tag,
        };
        node n;

        detail::noted(wm_node_attach(&c, &n.handle_), ec);
        return n;
    }

    /// Opens a node for reading, by file name or by instance. Maps
    /// wm_node_open().
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

    /// The segments of an instance, or all segments. Maps wm_node_list().
    [[nodiscard]] static std::vector<node_entry>
    list(const char *instance = nullptr, const char *directory = nullptr)
    {
        return detail::thrown("wm_node_list", [=](auto &ec) {
            return list_all(instance, directory, ec);
        });
    }
    /// As list(), noexcept: a lack of memory is an error as well.
    [[nodiscard]] static std::vector<node_entry>
    list(const char *instance, const char *directory,
         std::error_code &ec) noexcept
    {
        return detail::filled(
            ec, [&] { return list_all(instance, directory, ec); });
    }

    /// Unlinks a segment that no process takes part in. Maps wm_node_unlink().
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

    /// Gives the attach back; the owner is empty afterwards. Maps
    /// wm_node_release(), which as of now cannot fail.
    condition close()
    {
        return detail::thrown("wm_node_release",
                              [this](auto &ec) { return close(ec); });
    }
    /// As close(), noexcept.
    condition close(std::error_code &ec) noexcept
    {
        wm_node *const h = release();

        return detail::noted(h == nullptr ? 0 : wm_node_release(h), ec);
    }

    /// Lets go of the handle without giving it back; the owner is empty
    /// afterwards.
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
            found.push_back(
                {e.name, e.live != 0, {-e.error, category()}, e.foreign != 0});
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

} // namespace wm

#endif
