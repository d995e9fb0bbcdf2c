// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The C++ facade over a real node: what it tells is in vectors, and events are
// given.

#include "facade.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <vector>

using namespace std::chrono_literals;

// All that the standard library does with a vector of the C structs.
static_assert(
    std::same_as<decltype(wm::snapshot::workers), std::vector<wm_worker_info>>);

namespace
{

FACADE_TEST(a_snapshot_is_a_range)
{
    const live_node l;
    std::error_code ec;
    int seen = 0;

    // A snapshot that nobody keeps lives as long as the loop.
    for (const auto &i : l.n.snapshot().workers) {
        seen += i.pid == getpid() && i.generation == l.g.id();
    }
    assert_int_equal(seen, 1);

    const wm::snapshot snapshot = l.n.snapshot(ec);
    assert_true(snapshot.settled && !ec);
    assert_int_equal(snapshot.workers.size(), 1);
}

FACADE_TEST(generations_are_listed)
{
    wm::node n = attach();
    const auto before = wm::now();
    const wm::generation g = wm::generation::begin(n);
    std::error_code ec;

    const std::vector<wm_generation_info> list = n.generations(ec);
    assert_false(bool(ec));
    assert_int_equal(list.size(), 1);
    assert_int_equal(list[0].id, g.id());
    assert_true(wm::state(list[0]) == WM_GENERATION_BEGUN);
    assert_true(wm::at(list[0].begun_at) >= before);
}

FACADE_TEST(the_log_is_read_in_pages)
{
    static const wm_log_kind kinds[] = {
        WM_LOG_GENERATION_BEGUN, WM_LOG_WORKER_JOINED, WM_LOG_GENERATION_ACTIVE,
        WM_LOG_WORKER_LIVE};
    const live_node l;
    std::uint64_t since = 0;
    std::error_code ec;

    for (std::size_t i = 0; i < 4; i += 2) {
        const wm::log_page page = l.n.log(since, 2);

        assert_true(page.settled && page.missed == 0);
        assert_int_equal(page.entries.size(), 2);
        assert_int_equal(page.entries.back().number, since);
        assert_true(wm::kind(page.entries[0]) == kinds[i]);
        assert_true(wm::kind(page.entries[1]) == kinds[i + 1]);
    }
    assert_true(l.n.log(since, 2).entries.empty());

    since = 0;
    const auto entries = l.n.log(since, 9, ec).entries;
    assert_false(bool(ec));
    assert_false(wm::slot(entries[0]).has_value());
    assert_int_equal(wm::slot(entries[1]).value_or(9), l.w.slot());
    const auto age =
        std::chrono::system_clock::now() - wm::wall_at(entries[1].time);
    assert_true(age < 1h && age > -1h);
}

FACADE_TEST(a_change_ends_the_wait)
{
    wm::node n = attach();
    const std::uint32_t epoch = n.epoch();
    std::error_code ec;

    for (const auto limit : {1000us, 1us, 0us, -1us}) {
        assert_false(n.wait_for(epoch, limit));
        n.wait_for(epoch, limit, ec);
        assert_true(ec == std::errc::timed_out);
    }
    assert_true(child_says([&] { return bool(wm::generation::begin(n)); }));
    assert_int_not_equal(n.epoch(), epoch);
    n.wait(epoch);
    n.wait(epoch, ec);
    assert_false(bool(ec));
    assert_true(n.wait_for(epoch, 1h));
    assert_true(n.wait_for(epoch, 0ms));
    assert_int_equal(n.wake(), 0);
}

FACADE_TEST(segments_are_listed_and_unlinked)
{
    const std::string name = instance();
    std::error_code ec;

    {
        const wm::node n = attach();
        const std::string file = n.describe().name;
        const auto list = wm::node::list(name.c_str());
        const auto busy = std::errc::device_or_resource_busy;

        assert_int_equal(list.size(), 1);
        assert_true(list[0].name == file && list[0].live);
        assert_true(std::ranges::count(wm::node::list(), file,
                                       &wm::node_entry::name) == 1);
        ASSERT_FAILS(busy, wm::node::unlink(file.c_str(), nullptr, ec...));
        assert_true(wm::node::open(file.c_str()).describe().read_only);
    }
    die_after([] { return std::make_unique<live_node>(); });
    const auto list = wm::node::list(name.c_str(), nullptr, ec);
    assert_false(bool(ec));
    assert_int_equal(list.size(), 1);
    assert_false(list[0].live);
    assert_true(wm::node::unlink(list[0].name.c_str()) == wm::condition::none);
    assert_true(wm::node::list(name.c_str()).empty());
}

FACADE_TEST(events_are_taken_or_given)
{
    constexpr std::uint32_t crashes = 1u << WM_EVENT_CRASHED;
    wm::node n = attach();
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

FACADE_TEST(an_exception_of_the_giver_comes_out_after_the_lock)
{
    wm::node n = attach();
    const wm::generation g = wm::generation::begin(n);
    int calls = 0;
    std::string caught;

    crash_one(n, g.id());
    crash_one(n, g.id());
    n.close_generation(g.id());
    try {
        n.give_events(n.worker(), [&](const wm_event &) {
            throw std::runtime_error(std::to_string(++calls));
        });
    } catch (const std::runtime_error &e) {
        caught = e.what();
    }
    assert_string_equal(caught.c_str(), "1");
    assert_int_equal(calls, 3);
    assert_int_equal(n.events_owed(), 0);
    assert_int_equal(n.lock_holder().pid, 0);
}

} // namespace
