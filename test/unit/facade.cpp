// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The C++ facade over a real node: errors arrive, workers do what C's do.

#include "facade.hpp"

#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

using namespace std::chrono_literals;

static_assert(std::is_base_of_v<std::system_error, wm::error>);

// The forms that fill a code do not throw.
static_assert(noexcept(std::declval<wm::node &>().snapshot(
                  std::declval<std::error_code &>()))
                  && noexcept(std::declval<wm::worker &>().beat(
                      std::declval<std::error_code &>())) &&
              !noexcept(std::declval<wm::worker &>().beat()));

namespace
{

void a_failure_throws_or_fills_the_code(void **)
{
    std::error_code ec;

    wm::node n = wm::node::attach({}, ec);
    assert_false(bool(n));
    assert_true(ec == std::errc::invalid_argument);
    assert_true(ec.category() == wm::category());
    assert_string_equal(ec.category().name(), "libwm");
    assert_string_equal(ec.message().c_str(), wm::message(-EINVAL));
    try {
        n = wm::node::attach({});
        fail();
    } catch (const std::system_error &e) {
        assert_true(e.code() == ec);
        assert_ptr_equal(std::strstr(e.what(), "wm_node_attach"), e.what());
    }
}

void a_success_clears_the_code(void **)
{
    std::error_code ec = std::make_error_code(std::errc::io_error);
    const std::string name = instance();
    wm::node n =
        wm::node::attach({.instance = name.c_str(), .capacity = 4}, ec);

    assert_false(bool(ec));
    assert_true(bool(n));
}

void conditions_have_sentences(void **)
{
    for (const wm::condition c :
         {wm::condition::recovered, wm::condition::is_worker,
          wm::condition::closed, wm::condition::unsettled}) {
        const char *const text = wm::message(static_cast<int>(c));

        assert_string_equal(text, wm_strerror(static_cast<int>(c)));
        assert_string_not_equal(text, wm::message(0));
    }
    assert_int_equal(wm::version() >> 16, WM_VERSION_MAJOR);
}

void every_call_that_fails_says_so(void **)
{
    const std::string name = instance();
    wm::node n = attach(name);
    const wm::generation g = wm::generation::begin(n);
    wm::worker w = wm::worker::join(n, g.id());
    wm::node reader = wm::node::open(name.c_str());
    wm::lifecycle_lock foreign(reader);
    std::error_code ec;

    const auto read_only = std::errc::read_only_file_system;
    assert_true(thrown_by([&] { (void)wm::generation::begin(reader); }) ==
                read_only);
    assert_false(bool(wm::generation::begin(reader, ec)));
    assert_true(ec == read_only);
    assert_true(thrown_by([&] { (void)wm::worker::join(reader, 1); }) ==
                read_only);
    assert_true(thrown_by([&] { reader.close_generation(1); }) == read_only);
    reader.close_generation(1, ec);
    assert_true(ec == read_only);
    assert_true(thrown_by([&] { foreign.lock(); }) == read_only);
    assert_true(thrown_by([&] { foreign.try_lock(); }) == read_only);
    assert_true(thrown_by([&] { foreign.try_lock_for(1ms); }) == read_only);
    assert_false(foreign.owns());

    const auto already = std::errc::connection_already_in_progress;
    assert_true(thrown_by([&] { (void)wm::worker::join(n, g.id()); }) ==
                already);
    assert_false(bool(wm::worker::join(n, g.id(), {}, ec)));
    assert_true(ec == already);

    w.start();
    finish(n, w);
    assert_true(thrown_by([&] { w.start(); }) == stale);
    w.start(ec);
    assert_true(ec == stale);
    wm::worker_ref gone = w;
    w.close();
    const auto child = std::errc::no_child_process;
    assert_true(thrown_by([&] { gone.exit_counts(); }) == child);
    gone.exit_counts(ec);
    assert_true(ec == child);
    assert_true(thrown_by([&] { gone.drain(); }) == child);
    gone.drain(ec);
    assert_true(ec == child);
    assert_true(thrown_by([&] { gone.stand(); }) == child);
    gone.stand(ec);
    assert_true(ec == child);
    assert_true(thrown_by([&] { gone.beat(); }) == stale);
    assert_true(thrown_by([&] { gone.beat_at(wm::now()); }) == stale);
    gone.beat_at(wm::now(), ec);
    assert_true(ec == stale);
    assert_true(thrown_by([&] { gone.tick(1s); }) == stale);
    gone.tick(1s, ec);
    assert_true(ec == stale);
    wm::worker twice(gone.handle());
    assert_true(thrown_by([&] { twice.close(); }) == child);
    assert_false(bool(twice));

    const auto missing = std::errc::no_such_file_or_directory;
    assert_true(thrown_by([&] { (void)wm::node::open("x", "/none"); }) ==
                missing);
    assert_true(thrown_by([&] {
                    wm::node::unlink("wm.x.0123456789abcdef", "/none");
                }) == missing);
    assert_true(thrown_by([&] { (void)wm::node::list(nullptr, "/none"); }) ==
                missing);
    assert_true(wm::node::list(nullptr, "/none", ec).empty());
    assert_true(ec == missing);
}

void a_worker_beats_and_tells_of_itself(void **)
{
    wm::node n = attach(instance());
    const wm::generation g = wm::generation::begin(n);
    wm::worker w = wm::worker::join(
        n, g.id(), {.role = WM_ROLE_WORKER, .overdue = 1h, .expected = 1});
    std::error_code ec;

    assert_int_equal(w.start(ec).reason, WM_REASON_START);
    assert_false(bool(ec));
    assert_int_equal(w.slot(), 0);
    assert_int_equal(w.generation(), g.id());
    assert_int_equal(w.spell(), 1);
    assert_int_equal(w.recoveries(), 0);
    assert_true(is_none(w.beat(ec)) && !ec);
    assert_true(is_none(w.beat_at(std::chrono::steady_clock::now())));
    assert_true(is_none(w.tick(1s)) && is_none(w.tick(1s, ec)) && !ec);
    assert_int_equal(w.exit_counts(ec).mine, 1);

    const auto later = wm::now() + 1min;
    w.beat_at(later);
    const auto list = n.snapshot().workers;
    assert_int_equal(list.size(), 1);
    assert_true(wm::at(list[0].beat_at) == later);
    assert_int_equal(list[0].overdue_ms, 3'600'000);
    assert_true(wm::at(list[0].joined_at) <= wm::now());
    assert_int_equal(list[0].pid, getpid());
    assert_int_equal(list[0].slot, 0);
    assert_true(wm::state(list[0]) == WM_LIVE);
    assert_int_equal(list[0].role, WM_ROLE_WORKER);
    assert_int_equal(list[0].generation, g.id());
    assert_int_equal(list[0].join, 1);
    assert_int_equal(list[0].stalls, 0);
    finish(n, w);
    assert_true(is_none(w.drain(ec)) && !ec);
    assert_true(is_none(w.close(ec)) && !ec);
}

void durations_do_not_wrap_into_no_limit(void **)
{
    wm::node n = attach(instance());
    const wm::generation g = wm::generation::begin(n);

    assert_int_equal(wm::detail::ms(-5ms), 1);
    assert_int_equal(wm::detail::ms(0ms), 0);
    assert_true(wm::detail::ms(24h * 365) == UINT32_MAX);
    assert_true(wm::detail::rounded(1us) == 1ms);
    assert_true(wm::detail::rounded(-1us) == 0ms);
    assert_true(wm::detail::rounded(std::chrono::hours::min()) == 0ms);
    assert_true(wm::detail::rounded(std::chrono::duration<double>(-1e300)) ==
                0ms);
    assert_true(wm::detail::rounded(std::chrono::duration<double>(NAN)) == 0ms);
    assert_true(wm::detail::rounded(std::chrono::hours::max()) > 24h * 49);
    assert_true(wm::detail::ms(wm::detail::rounded(std::chrono::years(9))) ==
                UINT32_MAX);

    wm::worker w =
        wm::worker::join(n, g.id(), {.overdue = std::chrono::years(1)});
    assert_true(std::chrono::milliseconds(n.snapshot().workers[0].overdue_ms) >
                24h * 49);
    w.start();
    finish(n, w);
}

void references_do_what_owners_do(void **)
{
    wm::node n = attach(instance());
    const wm::node_ref nodes = n;
    const wm::generation g = wm::generation::begin(nodes);
    wm::worker w = wm::worker::join(nodes, g.id());
    wm::worker_ref v = w;

    assert_ptr_equal(nodes.handle(), n.handle());
    assert_ptr_equal(v.handle(), w.handle());
    assert_ptr_equal(nodes.worker().handle(), w.handle());
    assert_false(bool(wm::node_ref()));
    assert_false(bool(wm::worker_ref()));
    v.start();
    assert_true(is_none(v.beat()));
    v = n.worker();
    assert_true(v.has_record());
    finish(n, w);
}

void one_of_the_workers_leads(void **)
{
    wm::node n = attach(instance());
    const wm::generation g = wm::generation::begin(n);
    wm::worker w = wm::worker::join(n, g.id());

    assert_int_equal(n.leader().generation, 0);
    w.start();
    const wm_leader leader = w.stand();
    assert_int_equal(leader.mine, 1);
    assert_int_equal(n.leader().term, leader.term);
    assert_int_equal(n.leader().pid, getpid());
    finish(n, w);
    assert_int_equal(n.leader().generation, 0);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_throws_or_fills_the_code),
        cmocka_unit_test(a_success_clears_the_code),
        cmocka_unit_test(conditions_have_sentences),
        cmocka_unit_test(every_call_that_fails_says_so),
        cmocka_unit_test(a_worker_beats_and_tells_of_itself),
        cmocka_unit_test(durations_do_not_wrap_into_no_limit),
        cmocka_unit_test(references_do_what_owners_do),
        cmocka_unit_test(one_of_the_workers_leads),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
