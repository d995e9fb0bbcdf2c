// SPDX-License-Identifier: Apache-2.0

// The C++ facade over a real node: errors arrive, workers do what C's do, what
// it tells is in vectors, and events are given.

#include "facade.hpp"

#include <cmath>
#include <mutex>
#include <stdexcept>
#include <vector>

using namespace std::chrono_literals;

// The forms that fill a code do not throw.
static_assert(noexcept(std::declval<wm::node &>().snapshot(
                  std::declval<std::error_code &>()))
                  && noexcept(std::declval<wm::worker &>().beat(
                      std::declval<std::error_code &>())) &&
              !noexcept(std::declval<wm::worker &>().beat()));

namespace
{

FACADE_TEST(an_error_has_a_sentence_and_names_the_call)
{
    std::error_code ec;

    assert_false(bool(wm::node::attach({}, ec)));
    assert_true(ec == std::errc::invalid_argument);
    assert_true(ec.category() == wm::category());
    assert_string_equal(ec.category().name(), "libwm");
    assert_string_equal(ec.message().c_str(), wm_strerror(-EINVAL));
    assert_string_equal(wm::message(-EINVAL), wm_strerror(-EINVAL));
    try {
        (void)wm::node::attach({});
        fail();
    } catch (const std::system_error &e) {
        assert_true(e.code() == ec);
        assert_true(std::string(e.what()).starts_with("wm_node_attach"));
    }
    assert_int_equal(wm::version() >> 16, WM_VERSION_MAJOR);
}

FACADE_TEST(every_call_that_fails_says_so)
{
    live_node l;
    wm::node &n = l.n;
    wm::worker_ref gone = l.w;
    wm::node reader = wm::node::open(instance().c_str());
    wm::lifecycle_lock foreign(reader);
    std::error_code ec;

    const auto read_only = std::errc::read_only_file_system;
    ASSERT_FAILS(read_only, wm::generation::begin(reader, into...));
    assert_false(bool(wm::generation::begin(reader, ec)));
    ASSERT_FAILS(read_only, wm::worker::join(reader, 1, {}, into...));
    ASSERT_FAILS(read_only, reader.close_generation(1, into...));
    ASSERT_FAILS(read_only, foreign.lock(into...));
    ASSERT_FAILS(read_only, foreign.try_lock(into...));
    ASSERT_FAILS(read_only, foreign.try_lock_for(1ms, into...));
    assert_false(foreign.owns());

    const auto already = std::errc::connection_already_in_progress;
    ASSERT_FAILS(already, wm::worker::join(n, l.g.id(), {}, into...));
    assert_false(bool(wm::worker::join(n, l.g.id(), {}, ec)));

    finish(l.w);
    ASSERT_FAILS(stale, gone.start(into...));
    l.w.close();
    const auto child = std::errc::no_child_process;
    ASSERT_FAILS(child, gone.exit_counts(into...));
    ASSERT_FAILS(child, gone.drain(into...));
    ASSERT_FAILS(child, gone.stand(into...));
    ASSERT_FAILS(stale, gone.beat(into...));
    ASSERT_FAILS(stale, gone.note("", into...));
    ASSERT_FAILS(stale, gone.beat_at(wm::now(), into...));
    ASSERT_FAILS(stale, gone.tick(1s, into...));
    wm::worker twice(gone.handle());
    twice.close(ec);
    assert_true(ec == child && !twice);

    const auto missing = std::errc::no_such_file_or_directory;
    const char *const file = "wm.x.0123456789abcdef";
    ASSERT_FAILS(missing, wm::node::open("x", "/none", into...));
    ASSERT_FAILS(missing, wm::node::unlink(file, "/none", into...));
    ASSERT_FAILS(missing, wm::node::list(nullptr, "/none", into...));
}

FACADE_TEST(a_worker_acts_and_is_told_of_in_snapshot_and_log)
{
    live_node l({.role = WM_ROLE_WORKER, .overdue = 1h, .expected = 1});
    wm::worker &w = l.w;
    std::error_code ec;

    assert_int_equal(l.started.reason, WM_REASON_START);
    assert_int_equal(w.slot(), 0);
    assert_int_equal(w.generation(), l.g.id());
    assert_int_equal(w.spell(), 1);
    assert_int_equal(w.recoveries(), 0);
    ASSERT_WELL(w.beat(into...));
    ASSERT_WELL(w.beat_at(std::chrono::steady_clock::now(), into...));
    ASSERT_WELL(w.tick(1s, into...));
    ASSERT_WELL(w.note("GET /", into...));
    assert_int_equal(w.exit_counts(ec).mine, 1);

    assert_int_equal(w.stand().mine, 1);
    assert_int_equal(l.n.leader().pid, getpid());

    const auto later = wm::now() + 1min;
    w.beat_at(later);
    const auto list = l.n.snapshot(ec).workers;
    assert_int_equal(list.size(), 1);
    assert_true(wm::at(list[0].beat_at) == later);
    assert_int_equal(list[0].overdue_ms, 3'600'000);
    assert_string_equal(l.n.inspect(list[0]).note, "GET /");
    assert_true(wm::at(list[0].joined_at) <= wm::now());
    assert_int_equal(list[0].pid, getpid());
    assert_true(wm::state(list[0]) == WM_LIVE);
    assert_int_equal(list[0].role, WM_ROLE_WORKER);

    std::uint64_t since = 0;
    const auto log = l.n.log(since, 9, ec).entries;
    assert_int_equal(log.back().number, since);
    assert_true(wm::kind(log[1]) == WM_LOG_WORKER_JOINED);
    assert_false(wm::slot(log[0]).has_value());
    assert_int_equal(wm::slot(log[1]).value_or(9), w.slot());
    const auto age =
        std::chrono::system_clock::now() - wm::wall_at(log[1].time);
    assert_true(age < 1h && age > -1h);
    ASSERT_WELL(w.drain(into...));
}

FACADE_TEST(durations_do_not_wrap_into_no_limit)
{
    const live_node l({.overdue = std::chrono::years(1)});
    using wm::detail::ms;
    using wm::detail::rounded;

    assert_true(std::chrono::milliseconds(
                    l.n.snapshot().workers[0].overdue_ms) > 24h * 49);
    assert_int_equal(ms(-5ms), 1);
    assert_int_equal(ms(0ms), 0);
    assert_true(ms(24h * 365) == UINT32_MAX);
    assert_true(rounded(1us) == 1ms);
    assert_true(rounded(std::chrono::hours::min()) == 0ms);
    assert_true(rounded(std::chrono::duration<double>(NAN)) == 0ms);
    assert_true(ms(rounded(std::chrono::hours::max())) == UINT32_MAX);
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
}

FACADE_TEST(a_start_and_an_exit_are_stepped_through)
{
    wm::node n = attach();
    const wm::generation g = wm::generation::begin(n);
    const wm::worker w = wm::worker::join(n, g.id());
    wm::lifecycle_lock lock(n);
    const std::lock_guard guard(lock);
    wm::condition end = wm::condition::none;
    std::error_code ec;

    wm::begin_start(w, WM_EVENTS_ALL, ec);
    assert_int_equal(wm::next_of_start(w, ec)->kind, WM_EVENT_WORKER_START);
    assert_false(wm::next_of_start(w, ec).has_value());
    wm::begin_exit(w, 1u << WM_EVENT_WORKER_EXIT, ec);
    assert_int_equal(wm::next_of_exit(w, ec)->kind, WM_EVENT_WORKER_EXIT);
    assert_false(wm::next_of_exit(w, ec, &end).has_value());
    assert_false(bool(ec));
    assert_true(end == wm::condition::closed);
    assert_int_equal(n.take_event()->kind, WM_EVENT_MASTER_EXIT);
    wm::begin_start(w, WM_EVENTS_ALL, ec);
    assert_true(ec == stale);
}

FACADE_TEST(an_exception_of_the_giver_comes_out_after_the_lock)
{
    wm::node n = attach();
    const wm::generation g = wm::generation::begin(n);
    int calls = 0;

    crash_one(n, g.id());
    crash_one(n, g.id());
    n.close_generation(g.id());
    try {
        n.give_events(n.worker(), [&](const wm_event &) {
            throw std::runtime_error(std::to_string(++calls));
        });
        fail();
    } catch (const std::runtime_error &e) {
        assert_string_equal(e.what(), "1");
    }
    assert_int_equal(calls, 3);
    assert_int_equal(n.events_owed(), 0);
    assert_int_equal(n.lock_holder().pid, 0);
}

} // namespace
