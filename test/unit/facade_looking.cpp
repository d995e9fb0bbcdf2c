// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The C++ facade over a real node: what it tells is in ranges, and events are
// given.

#include "facade.hpp"

#include <algorithm>
#include <atomic>
#include <concepts>
#include <ranges>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

using workers = decltype(wm::snapshot::workers);
static_assert(std::ranges::contiguous_range<workers> &&
              std::ranges::sized_range<workers> &&
              std::ranges::viewable_range<workers &>);
static_assert(
    std::same_as<std::ranges::range_value_t<workers>, wm_worker_info>);
// A pipe takes over the workers of a snapshot that nobody keeps.
static_assert(std::ranges::viewable_range<workers> &&
              !std::ranges::viewable_range<const workers>);

namespace
{

void a_snapshot_is_a_range(void **)
{
    wm::node n = attach(instance());
    const wm::generation g = wm::generation::begin(n);
    wm::worker w = wm::worker::join(n, g.id());
    const auto is_live = [](const wm_worker_info &i) {
        return i.state == WM_LIVE;
    };
    std::error_code ec;
    int seen = 0;

    w.start();
    // A snapshot that nobody keeps lives as long as the loop.
    for (const auto &i : n.snapshot().workers) {
        seen += i.pid == getpid();
    }
    assert_int_equal(seen, 1);

    const wm::snapshot snapshot = n.snapshot(ec);
    assert_false(bool(ec));
    assert_true(snapshot.settled);
    auto pids = snapshot.workers | std::views::filter(is_live) |
                std::views::transform(&wm_worker_info::pid);
    assert_int_equal(*pids.begin(), getpid());
    assert_int_equal(std::ranges::distance(pids), 1);
    assert_int_equal(std::ranges::count(snapshot.workers, g.id(),
                                        &wm_worker_info::generation),
                     1);
    assert_int_equal(
        std::ranges::count(snapshot.workers, WM_LIVE, &wm_worker_info::state),
        1);

    auto piped = n.snapshot().workers | std::views::filter(is_live);
    assert_int_equal(std::ranges::distance(piped), 1);
    finish(n, w);
    assert_int_equal(std::ranges::count_if(n.snapshot().workers, is_live), 0);
}

void generations_are_listed(void **)
{
    wm::node n = attach(instance());
    const auto before = wm::now();
    const wm::generation g = wm::generation::begin(n);
    std::error_code ec;

    const std::vector<wm_generation_info> list = n.generations(ec);
    assert_false(bool(ec));
    assert_int_equal(list.size(), 1);
    assert_int_equal(list[0].id, g.id());
    assert_true(wm::state(list[0]) == WM_GENERATION_BEGUN);
    assert_int_equal(list[0].reason, WM_REASON_START);
    assert_int_equal(list[0].master, getpid());
    assert_int_equal(list[0].spell, 0);
    assert_int_equal(list[0].exits_given, 0);
    assert_int_equal(list[0].deaths, 0);
    assert_true(wm::at(list[0].begun_at) >= before);
}

void the_log_is_read_in_pages(void **)
{
    wm::node n = attach(instance());
    const wm::generation g = wm::generation::begin(n);
    wm::worker w = wm::worker::join(n, g.id());
    std::uint64_t since = 0;
    std::vector<wm_log_kind> kinds;
    std::error_code ec;

    w.start();
    for (;;) {
        const wm::log_page page = n.log(since, 2);

        assert_int_equal(page.missed, 0);
        assert_true(page.settled);
        if (page.entries.empty()) {
            break;
        }
        assert_int_equal(page.entries.back().number, since);
        std::ranges::transform(page.entries, std::back_inserter(kinds),
                               [](const auto &e) { return wm::kind(e); });
    }
    const std::vector<wm_log_kind> expected = {
        WM_LOG_GENERATION_BEGUN, WM_LOG_WORKER_JOINED, WM_LOG_GENERATION_ACTIVE,
        WM_LOG_WORKER_LIVE};
    assert_true(kinds == expected);

    since = 0;
    const auto entries = n.log(since, 9, ec).entries;
    assert_false(bool(ec));
    assert_false(wm::slot(entries[0]).has_value());
    assert_int_equal(wm::slot(entries[1]).value_or(9), w.slot());
    assert_int_equal(entries[1].value, 1);
    assert_int_equal(entries[1].pid, getpid());
    assert_int_equal(entries[1].generation, g.id());
    assert_int_equal(entries[1].kind, WM_LOG_WORKER_JOINED);
    const auto age =
        std::chrono::system_clock::now() - wm::wall_at(entries[1].time);
    assert_true(age < 1h && age > -1h);
    finish(n, w);
}

void a_change_ends_the_wait(void **)
{
    wm::node n = attach(instance());
    const std::uint32_t epoch = n.epoch();
    std::error_code ec;

    assert_false(n.wait_for(epoch, 1ms));
    assert_false(n.wait_for(epoch, 0ms));
    assert_false(n.wait_for(epoch, -1h));
    n.wait_for(epoch, 1us, ec);
    assert_true(ec == std::errc::timed_out);

    assert_true(child_says([&] { return bool(wm::generation::begin(n)); }));
    assert_int_not_equal(n.epoch(), epoch);
    n.wait(epoch);
    n.wait(epoch, ec);
    assert_false(bool(ec));
    assert_int_equal(n.wake(), 0);
    assert_true(n.wait_for(epoch, 1h));
    assert_int_equal(n.wake(), 0);
    assert_true(n.wait_for(epoch, 0ms));
}

void a_waiter_is_woken(void **)
{
    wm::node n = attach(instance());
    const std::uint32_t epoch = n.epoch();
    std::atomic<bool> asleep = false;
    bool woken = false;
    std::thread waiter([&] {
        const wm::node_ref view = n;

        asleep = true;
        woken = view.wait_for(epoch, 1min);
    });

    while (!asleep) {
        std::this_thread::yield();
    }
    const wm::generation g = wm::generation::begin(n);
    waiter.join();
    assert_true(woken);
}

void segments_are_listed_and_unlinked(void **)
{
    const std::string name = instance();
    std::string file;
    std::error_code ec;
    pid_t child;

    {
        wm::node n = attach(name);

        file = n.describe().name;
        const auto list = wm::node::list(name.c_str());
        assert_int_equal(list.size(), 1);
        assert_string_equal(list[0].name.c_str(), file.c_str());
        assert_true(list[0].live);
        const auto everything = wm::node::list();
        assert_true(
            std::ranges::count(everything, file, &wm::node_entry::name) == 1);
        assert_true(thrown_by([&] { wm::node::unlink(file.c_str()); }) ==
                    std::errc::device_or_resource_busy);
        wm::node::unlink(file.c_str(), nullptr, ec);
        assert_true(ec == std::errc::device_or_resource_busy);
        assert_true(wm::node::open(file.c_str()).describe().read_only);
    }
    // One that dies leaves its segment behind.
    child = fork();
    if (child == 0) {
        wm::node n = attach(name);
        const wm::generation g = wm::generation::begin(n);
        wm::worker w = wm::worker::join(n, g.id());

        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, nullptr, 0), child);
    const auto list = wm::node::list(name.c_str(), nullptr, ec);
    assert_false(bool(ec));
    assert_int_equal(list.size(), 1);
    assert_false(list[0].live);
    assert_true(is_none(wm::node::unlink(list[0].name.c_str())));
    assert_true(wm::node::list(name.c_str()).empty());
}

void events_are_taken_or_given(void **)
{
    constexpr std::uint32_t crashes = 1u << WM_EVENT_CRASHED;
    wm::node n = attach(instance());
    const wm::generation g = wm::generation::begin(n);
    std::vector<std::uint32_t> told;

    crash_one(n, g.id());
    assert_true(n.sweep() > 0);
    assert_int_equal(n.sweep(), 0);
    assert_int_equal(n.events_owed(), 1);
    assert_int_equal(n.events_owed(crashes), 1);
    const auto crash = n.take_event(crashes);
    assert_true(crash.has_value());
    assert_true(wm::kind(*crash) == WM_EVENT_CRASHED);
    std::error_code ec = std::make_error_code(std::errc::io_error);
    assert_false(n.take_event(crashes, ec).has_value());
    assert_false(bool(ec));
    assert_int_equal(n.generations()[0].deaths, 1);

    crash_one(n, g.id());
    const int given = n.give_events(
        {}, [&](const wm_event &event) { told.push_back(event.kind); });
    assert_int_equal(given, 1);
    assert_true(told == std::vector<std::uint32_t>{WM_EVENT_CRASHED});

    crash_one(n, g.id());
    assert_int_equal(n.give_events(), 1);
    assert_int_equal(n.events_owed(), 0);
    // Its master lives, so its end is for us to say.
    n.close_generation(g.id());
    assert_int_equal(n.events_owed(1u << WM_EVENT_MASTER_EXIT), 1);
    assert_int_equal(n.take_event()->kind, WM_EVENT_MASTER_EXIT);
}

void an_exception_of_the_giver_comes_out_after_the_lock(void **)
{
    wm::node n = attach(instance());
    const wm::generation g = wm::generation::begin(n);
    int calls = 0;
    bool caught = false;

    crash_one(n, g.id());
    crash_one(n, g.id());
    n.close_generation(g.id());
    try {
        n.give_events(n.worker(), [&](const wm_event &) {
            throw std::runtime_error(std::to_string(++calls));
        });
    } catch (const std::runtime_error &e) {
        caught = e.what() == std::string("1");
    }
    assert_true(caught);
    assert_int_equal(calls, 3);
    assert_int_equal(n.events_owed(), 0);
    assert_int_equal(n.lock_holder().pid, 0);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_is_a_range),
        cmocka_unit_test(generations_are_listed),
        cmocka_unit_test(the_log_is_read_in_pages),
        cmocka_unit_test(a_change_ends_the_wait),
        cmocka_unit_test(a_waiter_is_woken),
        cmocka_unit_test(segments_are_listed_and_unlinked),
        cmocka_unit_test(events_are_taken_or_given),
        cmocka_unit_test(an_exception_of_the_giver_comes_out_after_the_lock),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
