// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The C++20 face of libwm: owners that release, and errors that cannot be
// overlooked. It maps wm.h one to one and hides nothing; wm.h is the reference
// for what each call does, who may make it, and when.
//
//   wm::node          owns one attach (or read-only open) of a node
//   wm::worker        owns this process's record; leaves when destroyed
//   wm::lifecycle_lock  the node's lock, a standard Lockable
//
// Each call that can fail has two forms: one throws wm::error (a
// std::system_error with wm::category()), one takes a std::error_code& and
// does not throw. Positive conditions of the library (WM_RECOVERED, ...) are
// no errors: they are returned.
//
// Owners move and do not copy. Their destructors neither throw nor wait for
// the lock; close() does the same and says what went wrong.

#ifndef WM_HPP
#define WM_HPP

#include <wm.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace wm
{

// Errors are the library's negative results with their sign turned, and so
// compare equal to std::errc where there is one.
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

class error : public std::system_error
{
public:
    error(int result, const char *what)
        : std::system_error(-result, category(), what)
    {
    }
};

namespace detail
{

inline int checked(int result, const char *what)
{
    if (result < 0) {
        throw error(result, what);
    }
    return result;
}

inline int noted(int result, std::error_code &ec) noexcept
{
    if (result < 0) {
        ec.assign(-result, category());
    } else {
        ec.clear();
    }
    return result;
}

} // namespace detail

// What the library was built as, which may be newer than the header.
inline std::uint32_t version() noexcept
{
    return wm_version();
}

struct node_options {
    const char *instance = nullptr;
    const char *directory = nullptr;
    std::uint32_t capacity = 0;
    std::uint32_t mode = 0;
    std::uint32_t log_entries = 0;
    std::uint32_t flags = 0;
};

struct generation {
    std::uint64_t id = 0;
    wm_reason reason = WM_REASON_NONE;
    bool begun = false; // false: this process is a worker of `id` already
};

class node
{
public:
    node() noexcept = default;
    node(node &&other) noexcept : handle_(std::exchange(other.handle_, nullptr))
    {
    }
    node &operator=(node &&other) noexcept
    {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~node() { close(); }

    static node attach(const node_options &options)
    {
        std::error_code ec;
        node n = attach(options, ec);

        if (ec) {
            throw error(-ec.value(), "wm_node_attach");
        }
        return n;
    }

    static node attach(const node_options &o, std::error_code &ec) noexcept
    {
        const struct wm_node_options options = {
            .size = sizeof(options),
            .flags = o.flags,
            .instance = o.instance,
            .directory = o.directory,
            .capacity = o.capacity,
            .mode = o.mode,
            .log_entries = o.log_entries,
            .reserved = 0,
        };
        node n;

        detail::noted(wm_node_attach(&options, &n.handle_), ec);
        return n;
    }

    // Read-only, by file name or by instance.
    static node open(const char *name, const char *directory = nullptr)
    {
        std::error_code ec;
        node n = open(name, directory, ec);

        if (ec) {
            throw error(-ec.value(), "wm_node_open");
        }
        return n;
    }

    static node open(const char *name, const char *directory,
                     std::error_code &ec) noexcept
    {
        node n;

        detail::noted(wm_node_open(name, directory, &n.handle_), ec);
        return n;
    }

    generation begin()
    {
        std::error_code ec;
        const generation g = begin(ec);

        if (ec) {
            throw error(-ec.value(), "wm_generation_begin");
        }
        return g;
    }

    generation begin(std::error_code &ec) noexcept
    {
        generation g;
        std::uint32_t reason = 0;

        g.begun = detail::noted(wm_generation_begin(handle_, &g.id, &reason),
                                ec) == 0;
        g.reason = static_cast<wm_reason>(reason);
        return g;
    }

    // True: the generation will have no worker, and counts as never begun.
    bool end(std::uint64_t id) noexcept
    {
        return wm_generation_end(handle_, id) == WM_CLOSED;
    }

    wm_counts counts(std::uint64_t id) const noexcept
    {
        wm_counts c{};

        wm_generation_counts(handle_, id, &c);
        return c;
    }

    wm_node_info describe() const noexcept
    {
        wm_node_info info{};

        info.size = sizeof(info);
        wm_node_describe(handle_, &info);
        return info;
    }

    // Gives the attach back; the same as destruction.
    int close() noexcept
    {
        wm_node *const h = std::exchange(handle_, nullptr);

        return h == nullptr ? 0 : wm_node_release(h);
    }

    explicit operator bool() const noexcept { return handle_ != nullptr; }
    wm_node *handle() const noexcept { return handle_; }

private:
    wm_node *handle_ = nullptr;
};

struct join_options {
    wm_role role = WM_ROLE_WORKER;
    std::chrono::milliseconds overdue{0}; // 0: the library's default
    std::uint32_t expected = 0;
};

// Outlives neither its node nor a fork: in the child, every call says
// std::errc::no_child_process, and destruction does nothing.
class worker
{
public:
    worker() noexcept = default;
    worker(worker &&other) noexcept
        : handle_(std::exchange(other.handle_, nullptr))
    {
    }
    worker &operator=(worker &&other) noexcept
    {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~worker() { close(); }

    static worker join(node &n, std::uint64_t generation,
                       const join_options &options = {})
    {
        std::error_code ec;
        worker w = join(n, generation, options, ec);

        if (ec) {
            throw error(-ec.value(), "wm_worker_join");
        }
        return w;
    }

    static worker join(node &n, std::uint64_t generation, const join_options &o,
                       std::error_code &ec) noexcept
    {
        const struct wm_join_options options = {
            .size = sizeof(options),
            .role = static_cast<std::uint32_t>(o.role),
            .overdue_ms = static_cast<std::uint32_t>(o.overdue.count()),
            .expected = o.expected,
        };
        worker w;

        detail::noted(
            wm_worker_join(n.handle(), generation, &options, &w.handle_), ec);
        return w;
    }

    wm_counts start()
    {
        wm_counts c{};

        detail::checked(wm_worker_start(handle_, &c), "wm_worker_start");
        return c;
    }

    wm_counts exit()
    {
        wm_counts c{};

        detail::checked(wm_worker_exit(handle_, &c), "wm_worker_exit");
        return c;
    }

    int drain() noexcept { return wm_worker_drain(handle_); }
    int beat() noexcept { return wm_beat(handle_); }

    // now: of CLOCK_MONOTONIC, which is what steady_clock reads on Linux.
    int beat_at(std::chrono::steady_clock::time_point now) noexcept
    {
        using std::chrono::duration_cast;
        const auto ms =
            duration_cast<std::chrono::milliseconds>(now.time_since_epoch());

        return wm_beat_at(handle_, static_cast<std::uint64_t>(ms.count()));
    }

    int tick(std::chrono::milliseconds interval) noexcept
    {
        return wm_tick(handle_, static_cast<std::uint32_t>(interval.count()));
    }

    std::uint32_t slot() const noexcept { return wm_worker_slot(handle_); }
    std::uint64_t generation() const noexcept
    {
        return wm_worker_generation(handle_);
    }

    // Leaves; negative if the record was another's already.
    int close() noexcept
    {
        wm_worker *const h = std::exchange(handle_, nullptr);

        return h == nullptr ? 0 : wm_worker_leave(h);
    }

    explicit operator bool() const noexcept { return handle_ != nullptr; }
    wm_worker *handle() const noexcept { return handle_; }

private:
    wm_worker *handle_ = nullptr;
};

// For std::unique_lock and std::scoped_lock. One for each use, or one shared:
// the lock itself is the node's.
class lifecycle_lock
{
public:
    explicit lifecycle_lock(node &n, std::uint32_t purpose = 0) noexcept
        : node_(n.handle()), purpose_(purpose)
    {
    }

    void lock()
    {
        const wm_lock_options o = {sizeof(o), purpose_, 0, 0};

        detail::checked(wm_lock(node_, &o), "wm_lock");
    }

    bool try_lock() noexcept { return wm_trylock(node_, purpose_, 0) >= 0; }

    bool try_lock_for(std::chrono::milliseconds wait) noexcept
    {
        const auto ms = wait.count() > 0 ? wait.count() : 1;
        const wm_lock_options o = {sizeof(o), purpose_, 0,
                                   static_cast<std::uint32_t>(ms)};

        return wm_lock(node_, &o) >= 0;
    }

    void unlock() noexcept { wm_unlock(node_); }

    wm_lock_holder inspect() const noexcept
    {
        wm_lock_holder h{};

        wm_lock_inspect(node_, &h);
        return h;
    }

private:
    wm_node *node_;
    std::uint32_t purpose_;
};

static_assert(!std::is_copy_constructible_v<node> &&
              std::is_nothrow_move_constructible_v<node> &&
              std::is_nothrow_destructible_v<node>);
static_assert(!std::is_copy_constructible_v<worker> &&
              std::is_nothrow_move_constructible_v<worker> &&
              std::is_nothrow_destructible_v<worker>);
static_assert(sizeof(node) == sizeof(void *) &&
              sizeof(worker) == sizeof(void *));

} // namespace wm

#endif
