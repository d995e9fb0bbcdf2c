// SPDX-License-Identifier: Apache-2.0

// The monitor's C++ facade over a real node: ranges, owners and errors.

#include "facade.hpp"
#include "wm_monitor.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <ranges>

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

static_assert(owner<wm::monitor> && owner<wm::subscription>);
static_assert(!std::is_move_constructible_v<wm::monitor_view> &&
              std::is_nothrow_destructible_v<wm::monitor_view>);
static_assert(sizeof(wm::monitor) == sizeof(void *) &&
              sizeof(wm::monitor_view) == sizeof(void *));

namespace
{

using namespace std::chrono_literals;

struct watched_node : live_node {
    wm::monitor m = wm::monitor::create(instance().c_str());
};

void do_nothing(const wm_view &, const wm_view &) {}

FACADE_TEST(a_view_is_a_range_of_its_workers)
{
    wm::node n = attach();
    const wm::generation g = wm::generation::begin(n);
    const wm::generation next = wm::generation::begin(n);
    const std::vector<std::int32_t> pids = {crash_one(n, g.id()),
                                            crash_one(n, next.id())};
    const wm::monitor m = wm::monitor::create(instance().c_str());
    const auto view = m.view();

    for (std::size_t i = 0; const wm_worker_info &w : m.view()) {
        assert_int_equal(w.pid, pids[i++]);
    }
    assert_true(view.live());
    assert_false(bool(view.error()));
    assert_int_equal(view.size(), 2);
    assert_int_equal(view.generations().size(), 2);
    for (std::uint32_t i = 0; const auto &its : view.generations()) {
        assert_int_equal(its.id, i == 0 ? g.id() : next.id());
        assert_true(&its == wm_view_generation(view.operator->(), i));
        assert_int_equal(wm_view_worker(view.operator->(), i)->pid, pids[i]);
        i++;
    }
    assert_int_equal(view->number, 1);
    assert_int_equal(
        std::ranges::count(view, next.id(), &wm_worker_info::generation), 1);
}

FACADE_TEST(a_node_that_is_not_there_is_an_error_of_the_view)
{
    const auto m = wm::monitor::create("test-none", "/dev/shm/test-none");
    const auto view = m.view();

    assert_false(view.live());
    assert_true(view.error() == std::errc::no_such_file_or_directory);
    assert_true(view.begin() == view.end());
}

std::uint32_t created_with;

FACADE_TEST(a_check_is_as_long_as_it_can_be)
{
    for (const auto &[check, ms] :
         {std::pair{0ms, 0u}, {250ms, 250u}, {-1ms, 1u}, {24h * 50, ~0u}}) {
        (void)wm::monitor::create("test-none", nullptr, {.check = check});
        assert_int_equal(created_with, ms);
    }
}

FACADE_TEST(a_subscriber_is_told_until_its_subscription_ends)
{
    watched_node s;
    std::atomic<int> told = 0, calls = 0;
    wm::subscription a =
        s.m.subscribe([&](const wm_view &before, const wm_view &now) {
            told +=
                now.number == before.number + 1 && wm::workers(now).size() == 1;
            told.notify_all();
        });

    move_around(a);
    move_around(s.m);
    assert_true(s.m.view().live());
    s.w.stand();
    told.wait(0);
    ASSERT_WELL(a.close(into...));
    assert_false(bool(a));

    const int before = told;
    const auto b = s.m.subscribe([&](const wm_view &, const wm_view &) {
        calls++;
        calls.notify_all();
    });
    s.w.drain();
    calls.wait(0);
    assert_int_equal(told, before);
}

// The function's captures live as long as its call.
FACADE_TEST(a_subscription_may_end_in_its_own_call)
{
    watched_node s;
    std::atomic<int> calls = 0;
    wm::subscription own;
    std::mutex stored; // `own`, before it is used
    auto captured = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = captured;

    std::unique_lock storing(stored);
    own = s.m.subscribe([&, captured](const wm_view &, const wm_view &) {
        const std::scoped_lock guard(stored);

        own.close();
        calls += *captured;
        calls.notify_all();
    });
    storing.unlock();
    captured.reset();
    s.w.stand();
    calls.wait(0);
    s.w.drain();
    s.m.close();
    assert_int_equal(calls, 1);
    assert_true(watched.expired());
}

FACADE_TEST(what_cannot_be_throws_or_fills_the_code)
{
    watched_node s;
    std::error_code ec;
    wm::subscription a = s.m.subscribe(do_nothing);

    {
        const auto view = s.m.view();
        const auto deadlock = std::errc::resource_deadlock_would_occur;

        ASSERT_FAILS(deadlock, a.close(into...));
        ASSERT_FAILS(deadlock, s.m.close(into...));
        assert_true(bool(a) && bool(s.m));
    }
    ASSERT_WELL(a.close(into...));
    ASSERT_WELL(s.m.close(into...));
    assert_false(bool(a) || bool(s.m));
    ASSERT_FAILS(std::errc::invalid_argument,
                 wm::monitor::create("", nullptr, {}, into...));
    assert_false(bool(wm::monitor::create("", nullptr, {}, ec)));
}

// At once, not when the other one ends.
FACADE_TEST(an_assignment_ends_what_was_there)
{
    watched_node s;
    auto captured = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = captured;
    wm::subscription a = s.m.subscribe(
        [captured](const wm_view &, const wm_view &) { (void)captured; });
    wm::subscription b = s.m.subscribe(do_nothing);

    captured.reset();
    assert_false(watched.expired());
    a = std::move(b);
    assert_true(watched.expired());
    assert_true(bool(a) && !bool(b));
    wm::monitor next = wm::monitor::create(instance().c_str());
    a.close();
    s.m = std::move(next);
    assert_true(bool(s.m) && !bool(next));
    assert_true(s.m.view().live());
}

} // namespace

// As the facade makes it: the linker has its calls go here.
extern "C" decltype(wm_monitor_create) __real_wm_monitor_create,
    __wrap_wm_monitor_create;

int __wrap_wm_monitor_create(const char *instance, const char *directory,
                             const wm_monitor_options *options,
                             wm_monitor **monitor)
{
    created_with = options->check_ms;
    return __real_wm_monitor_create(instance, directory, options, monitor);
}
