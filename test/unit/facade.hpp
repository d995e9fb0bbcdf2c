// SPDX-License-Identifier: Apache-2.0

// Shared by the tests of the C++ facades: a node of their own, calls in both
// forms, children that answer or die.

#pragma once

#include "wm.hpp"

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

extern "C" {
#include "test.h"
}

// The one of the library's errors that std::errc has no name for.
inline const std::error_condition stale(ESTALE, std::generic_category());

// In a child as in its parent.
inline std::string instance(const char *suffix = "")
{
    static const std::string name = "test-facade-" + std::to_string(getpid());

    return name + suffix;
}

inline wm::node attach(const std::string &name = instance())
{
    return wm::node::attach({.instance = name.c_str(), .capacity = 4});
}

// The worker exits, so that nothing is left to tell.
inline void finish(wm::worker &w) noexcept
{
    std::error_code ec;

    wm::run_exit(
        w, [](const wm_event &) {}, {}, ec);
}

// A node with a generation, whose live worker this process is until it ends.
struct live_node {
    wm::node n = attach();
    wm::generation g = wm::generation::begin(n);
    wm::worker w;
    wm_counts started;

    explicit live_node(const wm::join_options &options = {})
        : w(wm::worker::join(n, g.id(), options)), started(w.start())
    {
    }
    ~live_node()
    {
        if (w) {
            finish(w);
        }
    }
};

// A test that fails jumps past its owners: their segments go here.
inline int unlink_segments(void **)
{
    files_matching(("/dev/shm/wm." + instance() + "[.-]*").c_str(), true);
    return 0;
}

#define FACADE_TEST(name) TEST_WITH(nullptr, unlink_segments, name)

// Whether both forms of a call fail so: the one that throws, and the one that
// fills a code. It is an expression with `into...` as its last argument.
template <class Code, class Call>
bool fails(Code why, Call call)
{
    std::error_code ec;

    call(ec);
    try {
        call();
    } catch (const wm::error &e) {
        return ec == why && e.code() == ec;
    }
    return false;
}
#define ASSERT_FAILS(why, ...)                                                 \
    assert_true(fails(why, [&](auto &...into) { (void)(__VA_ARGS__); }))

// Whether both forms go well, and the caller need not know of a condition.
template <class Call>
bool is_well(Call call)
{
    std::error_code ec = std::make_error_code(std::errc::io_error);

    return call(ec) == wm::condition::none && !ec &&
           call() == wm::condition::none;
}
#define ASSERT_WELL(...)                                                       \
    assert_true(is_well([&](auto &...into) { return __VA_ARGS__; }))

// Moved, never copied, by no step that can throw.
template <class T>
inline constexpr bool moves =
    !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
    std::is_nothrow_move_constructible_v<T> &&
    std::is_nothrow_move_assignable_v<T> && std::is_nothrow_destructible_v<T>;

// Owners are so, and closed in two forms.
template <class T>
concept owner = requires(T &t, std::error_code &ec) {
    requires moves<T> && std::is_nothrow_default_constructible_v<T>;
    requires !noexcept(t.close());
    {
        t.close()
    } -> std::same_as<wm::condition>;
    {
        t.close(ec)
    } noexcept -> std::same_as<wm::condition>;
};

// Takes the object twice, so that no compiler sees that it is the same.
template <class T>
void move_to(T &to, T &from)
{
    to = std::move(from);
}

// A move leaves the other empty, and of oneself changes nothing; closing what
// is empty does nothing.
template <owner T>
void move_around(T &t)
{
    const auto handle = t.handle();
    T other = std::move(t);

    assert_false(bool(t));
    ASSERT_WELL(t.close(into...));
    assert_true(other && other.handle() == handle);
    move_to(t, other);
    assert_false(bool(other));
    move_to(t, t);
    assert_true(t && t.handle() == handle);
}

// Runs in a child what returns whether it went well.
template <class Call>
bool child_says(Call call)
{
    const pid_t child = fork_child();

    if (child == 0) {
        _exit(call() ? 0 : 1);
    }
    return child_status(child) == 0;
}

// A child that is killed after that call, which returns what it owns.
template <class Call>
pid_t die_after(Call call)
{
    const pid_t child = fork_child();

    if (child == 0) {
        [[maybe_unused]] const auto owned = call();

        raise(SIGKILL);
    }
    assert_int_equal(child_status(child), -SIGKILL);
    return child;
}

// A worker that dies: the node owes its crash.
inline pid_t crash_one(wm::node &n, std::uint64_t generation)
{
    return die_after([&] {
        wm::worker w = wm::worker::join(n, generation);

        w.start();
        return w;
    });
}
