// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The C++ facade of the monitor over a real node: views are ranges, owners
// end what they own, errors arrive.

#include "wm_monitor.hpp"

#include <algorithm>
#include <concepts>
#include <condition_variable>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <memory>
#include <mutex>
#include <ranges>
#include <string>
#include <type_traits>
#include <unistd.h>
#include <utility>

extern "C" {
#include <cmocka.h>
}

static_assert(std::ranges::forward_range<wm::monitor_view>);
static_assert(std::ranges::sized_range<wm::monitor_view>);

// A temporary view may be gone through, but gives nothing that outlives it.
template <class View>
concept gives_generations =
    requires(View &&v) { std::forward<View>(v).generations(); };
template <class View>
concept gives_workers = requires(View &&v) { std::forward<View>(v).begin(); };
static_assert(gives_generations<const wm::monitor_view &> &&
              gives_workers<const wm::monitor_view &>);
static_assert(!gives_generations<wm::monitor_view> &&
              !gives_workers<wm::monitor_view>);

// As the owners of wm.hpp: moved, never copied, closed in two forms.
template <class T>
concept owner = requires(T &t, std::error_code &ec) {
    requires !noexcept(t.close());
    {
        t.close()
    } -> std::same_as<wm::condition>;
    {
        t.close(ec)
    } noexcept -> std::same_as<wm::condition>;
    requires !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;
    requires std::is_nothrow_default_constructible_v<T>;
    requires std::is_nothrow_move_constructible_v<T>;
    requires std::is_nothrow_move_assignable_v<T>;
    requires std::is_nothrow_destructible_v<T>;
};
static_assert(owner<wm::monitor> && owner<wm::subscription>);
static_assert(!std::is_move_constructible_v<wm::monitor_view> &&
              std::is_nothrow_destructible_v<wm::monitor_view>);
static_assert(sizeof(wm::monitor) == sizeof(void *) &&
              sizeof(wm::monitor_view) == sizeof(void *));

// What the facade makes of the options: the linker has its calls go here.
namespace
{
std::uint32_t created_with;
}

extern "C" {
decltype(wm_monitor_create) __real_wm_monitor_create, __wrap_wm_monitor_create;
}

int __wrap_wm_monitor_create(const char *instance, const char *directory,
                             const wm_monitor_options *options,
                             wm_monitor **monitor)
{
    created_with = options->check_ms;
    return __real_wm_monitor_create(instance, directory, options, monitor);
}

namespace
{

using namespace std::chrono_literals;

constexpr std::chrono::seconds patience{20};

bool is_none(wm::condition c)
{
    return c == wm::condition::none;
}

// Whether both forms say that the call would wait for itself.
template <class Call>
bool is_refused(Call call)
{
    const auto why = std::errc::resource_deadlock_would_occur;
    std::error_code ec;

    call(ec);
    try {
        call();
    } catch (const wm::error &e) {
        return ec == why && e.code() == ec;
    }
    return false;
}

// A node with this process as its worker, which ends in order.
class scene
{
public:
    scene()
    {
        node_ = wm::node::attach({.instance = name_.c_str(), .capacity = 4});
        generation_ = wm::generation::begin(node_);
        worker_ = wm::worker::join(node_, generation_.id());
        worker_.start();
    }
    scene(const scene &) = delete;
    scene &operator=(const scene &) = delete;
    ~scene()
    {
        drain();
        node_.close_generation(generation_.id());
        node_.take_exit(generation_.id());
    }

    const char *name() const { return name_.c_str(); }
    void drain() { worker_.drain(); }
    void lead() { worker_.stand(); }

private:
    std::string name_ = "test-monitor-facade-" + std::to_string(getpid());
    wm::node node_;
    wm::generation generation_;
    wm::worker worker_;
};

// Something that is rung by one thread and waited for by another.
class bell
{
public:
    void ring()
    {
        const std::scoped_lock guard(mutex_);

        rung_++;
        changed_.notify_all();
    }
    bool await(int times)
    {
        std::unique_lock guard(mutex_);

        return changed_.wait_for(guard, patience,
                                 [&] { return rung_ >= times; });
    }
    int rung()
    {
        const std::scoped_lock guard(mutex_);

        return rung_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int rung_ = 0;
};

void a_view_is_a_range_of_its_workers(void **)
{
    const scene s;
    const wm::monitor m = wm::monitor::create(s.name());
    int seen = 0;

    for (const wm_worker_info &w : m.view()) {
        assert_int_equal(w.pid, getpid());
        seen++;
    }
    assert_int_equal(seen, 1);

    const auto view = m.view();
    assert_true(view.live());
    assert_false(bool(view.error()));
    assert_int_equal(view.size(), 1);
    assert_int_equal(view.generations().size(), 1);
    assert_int_equal(view->number, 1);
    assert_int_equal(std::ranges::count(view, std::uint32_t{WM_LIVE},
                                        &wm_worker_info::state),
                     1);
}

void a_node_that_is_not_there_is_an_error_of_the_view(void **)
{
    const wm::monitor m = wm::monitor::create("test-none");
    const auto view = m.view();

    assert_false(view.live());
    assert_true(view.error() == std::errc::no_such_file_or_directory);
    assert_true(view.begin() == view.end());
}

void a_failure_throws_or_fills_the_code(void **)
{
    std::error_code ec;
    bool thrown = false;

    const wm::monitor m = wm::monitor::create("", nullptr, {}, ec);
    assert_false(bool(m));
    assert_true(ec == std::errc::invalid_argument);
    try {
        (void)wm::monitor::create("");
    } catch (const wm::error &e) {
        thrown = e.code() == ec;
    }
    assert_true(thrown);
}

void a_check_is_as_long_as_it_can_be(void **)
{
    const std::chrono::milliseconds most{
        std::numeric_limits<std::uint32_t>::max()};

    for (const auto &[check, ms] :
         {std::pair{0ms, 0u}, {250ms, 250u}, {-1ms, 1u}, {most + 1ms, ~0u}}) {
        (void)wm::monitor::create("test-none", nullptr, {.check = check});
        assert_int_equal(created_with, ms);
    }
}

void a_subscriber_is_told_until_its_subscription_ends(void **)
{
    scene s;
    wm::monitor m = wm::monitor::create(s.name());
    bell first, second;
    wm::subscription a = m.subscribe([&](const wm_view &before,
                                         const wm_view &now) {
        if (now.number == before.number + 1 && wm::workers(now).size() == 1) {
            first.ring();
        }
    });
    wm::subscription moved = std::move(a);

    assert_false(bool(a));
    s.lead();
    assert_true(first.await(1));
    assert_true(is_none(moved.close()));
    assert_false(bool(moved));
    assert_true(is_none(moved.close()));

    const int told = first.rung();
    const auto b =
        m.subscribe([&](const wm_view &, const wm_view &) { second.ring(); });
    s.drain();
    assert_true(second.await(1));
    assert_int_equal(first.rung(), told);
}

// What the function has captured lives as long as its call.
void a_subscription_may_end_in_its_own_call(void **)
{
    scene s;
    wm::monitor m = wm::monitor::create(s.name());
    bell rung;
    wm::subscription own;
    std::mutex stored; // `own`, before it is used
    auto captured = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = captured;

    std::unique_lock storing(stored);
    own = m.subscribe([&, captured](const wm_view &, const wm_view &) {
        const std::scoped_lock guard(stored);

        own.close();
        if (*captured == 1 && captured.use_count() > 0) {
            rung.ring();
        }
    });
    storing.unlock();
    captured.reset();
    s.lead();
    assert_true(rung.await(1));
    s.drain();
    assert_true(is_none(m.close()));
    assert_int_equal(rung.rung(), 1);
    assert_true(watched.expired());
}

void what_would_wait_for_itself_is_refused(void **)
{
    const scene s;
    wm::monitor m = wm::monitor::create(s.name());
    wm::subscription a = m.subscribe([](const wm_view &, const wm_view &) {});

    {
        const auto view = m.view();

        assert_true(is_refused([&](auto &...ec) { a.close(ec...); }));
        assert_true(is_refused([&](auto &...ec) { m.close(ec...); }));
        assert_true(bool(a) && bool(m));
    }
    std::error_code ec = std::make_error_code(std::errc::io_error);
    assert_true(is_none(a.close()) && is_none(a.close(ec)) && !ec);
    assert_true(is_none(m.close()) && is_none(m.close(ec)) && !ec);
    assert_false(bool(a) || bool(m));
}

// Takes the object twice, so that no compiler sees what it is.
template <class T>
void move_to(T &to, T &from)
{
    to = std::move(from);
}

void a_move_leaves_the_other_empty_and_oneself_as_it_was(void **)
{
    scene s;
    wm::monitor m = wm::monitor::create(s.name());
    bell rung;
    wm::subscription a =
        m.subscribe([&](const wm_view &, const wm_view &) { rung.ring(); });

    move_to(m, m);
    move_to(a, a);
    assert_true(bool(a) && bool(m));
    s.lead();
    assert_true(rung.await(1));
    a.close();
    wm::monitor other = std::move(m);
    assert_false(bool(m));
    assert_true(other.view().live());
}

// At once, not when the other one ends.
void an_assignment_ends_what_was_there(void **)
{
    scene s;
    wm::monitor m = wm::monitor::create(s.name());
    auto captured = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = captured;
    wm::subscription a = m.subscribe(
        [captured](const wm_view &, const wm_view &) { (void)captured; });
    wm::subscription b = m.subscribe([](const wm_view &, const wm_view &) {});

    captured.reset();
    assert_false(watched.expired());
    a = std::move(b);
    assert_true(watched.expired());
    assert_true(bool(a) && !bool(b));
    wm::monitor next = wm::monitor::create(s.name());
    a.close();
    m = std::move(next);
    assert_true(bool(m) && !bool(next));
    assert_true(m.view().live());
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_is_a_range_of_its_workers),
        cmocka_unit_test(a_node_that_is_not_there_is_an_error_of_the_view),
        cmocka_unit_test(a_failure_throws_or_fills_the_code),
        cmocka_unit_test(a_check_is_as_long_as_it_can_be),
        cmocka_unit_test(a_subscriber_is_told_until_its_subscription_ends),
        cmocka_unit_test(a_subscription_may_end_in_its_own_call),
        cmocka_unit_test(what_would_wait_for_itself_is_refused),
        cmocka_unit_test(a_move_leaves_the_other_empty_and_oneself_as_it_was),
        cmocka_unit_test(an_assignment_ends_what_was_there),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
