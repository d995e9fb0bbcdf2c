// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The C++ facade over a real node: owners release, errors arrive, the lock is
// a standard one, snapshots are ranges.

#include "wm.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <ranges>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

using namespace std::chrono_literals;

// ------------------------------------------------------------------ traits

template <class T>
inline constexpr bool is_owner =
    !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
    std::is_nothrow_move_constructible_v<T> &&
    std::is_nothrow_move_assignable_v<T> && std::is_nothrow_destructible_v<T>;

template <class T>
inline constexpr bool is_view =
    std::is_trivially_copyable_v<T> && sizeof(T) == sizeof(void *) &&
    std::is_nothrow_default_constructible_v<T>;

static_assert(is_owner<wm::node> && sizeof(wm::node) == sizeof(void *));
static_assert(is_owner<wm::worker> && sizeof(wm::worker) == sizeof(void *));
static_assert(is_owner<wm::generation> && is_owner<wm::lifecycle_lock>);
static_assert(std::is_nothrow_default_constructible_v<wm::node> &&
              std::is_nothrow_default_constructible_v<wm::worker> &&
              std::is_nothrow_default_constructible_v<wm::generation>);

static_assert(is_view<wm::node_view> && is_view<wm::worker_view>);
static_assert(std::is_convertible_v<wm::node &, wm::node_view> &&
              std::is_convertible_v<wm::worker &, wm::worker_view> &&
              std::is_convertible_v<wm_node *, wm::node_view> &&
              std::is_convertible_v<wm_worker *, wm::worker_view>);
// No view of what ends with the expression.
static_assert(!std::is_convertible_v<wm::node, wm::node_view> &&
              !std::is_convertible_v<wm::worker, wm::worker_view> &&
              !std::is_constructible_v<wm::lifecycle_lock, wm::node>);
// Who owns is said aloud.
static_assert(!std::is_convertible_v<wm_node *, wm::node> &&
              !std::is_convertible_v<wm_worker *, wm::worker> &&
              std::is_constructible_v<wm::node, wm_node *> &&
              std::is_constructible_v<wm::worker, wm_worker *>);
static_assert(!std::is_constructible_v<wm::node, wm::node_view> &&
              !std::is_constructible_v<wm::worker, wm::worker_view>);

static_assert(std::is_base_of_v<std::system_error, wm::error>);

template <class T>
concept lockable = requires(T &lock) {
    lock.lock();
    {
        lock.try_lock()
    } -> std::same_as<bool>;
    {
        lock.unlock()
    } noexcept -> std::same_as<void>;
    {
        lock.try_lock_for(1ns)
    } -> std::same_as<bool>;
    {
        lock.try_lock_until(std::chrono::system_clock::now())
    } -> std::same_as<bool>;
};
static_assert(lockable<wm::lifecycle_lock>);

using kept = decltype(std::declval<wm::snapshot &>().workers());
using moved = decltype(std::declval<wm::snapshot>().workers());
static_assert(std::ranges::contiguous_range<kept> &&
              std::ranges::sized_range<kept> && std::ranges::view<kept> &&
              std::ranges::borrowed_range<kept> &&
              std::ranges::viewable_range<kept>);
static_assert(std::ranges::contiguous_range<moved> &&
              std::ranges::sized_range<moved> &&
              std::ranges::viewable_range<moved>);
// What would dangle does not compile.
template <class T>
concept has_workers = requires(T &&t) { std::forward<T>(t).workers(); };
static_assert(has_workers<wm::snapshot> && has_workers<const wm::snapshot &> &&
              !has_workers<const wm::snapshot>);
static_assert(std::semiregular<std::ranges::range_value_t<kept>> &&
              std::semiregular<wm::generation_info> &&
              std::semiregular<wm::log_entry> &&
              std::semiregular<wm::lock_holder>);

// The forms that fill a code do not throw.
static_assert(noexcept(std::declval<wm::node &>().snapshot(
                  std::declval<std::error_code &>()))
                  && noexcept(std::declval<wm::worker &>().beat(
                      std::declval<std::error_code &>())) &&
              !noexcept(std::declval<wm::worker &>().beat()));

// ----------------------------------------------------------------- helpers

namespace
{

// The one of the library's errors that std::errc has no name for.
const std::error_condition stale(ESTALE, std::generic_category());

std::string instance()
{
    return "test-facade-" + std::to_string(getpid());
}

wm::node attach(const std::string &name)
{
    return wm::node::attach({.instance = name.c_str(), .capacity = 4});
}

// Gives the end of the generation out, so that nothing is left to tell.
void finish(wm::node &n, wm::worker &w)
{
    w.drain();
    n.retire(w.generation());
    while (n.take_exit(w.generation())) {
    }
}

template <class Call>
std::error_code thrown_by(Call call)
{
    try {
        call();
    } catch (const wm::error &e) {
        return e.code();
    }
    return {};
}

// Runs what returns whether it went well in a child.
template <class Call>
bool child_says(Call call)
{
    int status = -1;
    const pid_t child = fork();

    if (child == 0) {
        _exit(call() ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

bool is_none(wm::condition c)
{
    return c == wm::condition::none;
}

// ------------------------------------------------------------------ owners

void owners_release_in_order(void **)
{
    const std::string name = instance();
    std::error_code ec;
    std::string file;

    {
        wm::node n = attach(name);
        const wm::generation g = wm::generation::begin(n);

        file = n.describe().name;
        assert_true(g.begun());
        assert_true(bool(g));
        assert_int_equal(g.id(), 1);
        assert_int_equal(g.handle(), 1);
        assert_int_equal(g.reason(), WM_REASON_START);
        assert_ptr_equal(g.node().handle(), n.handle());

        wm::worker w = wm::worker::join(n, g.id());
        assert_int_equal(w.start().mine, 1);
        assert_int_equal(g.counts().mine, 1);
        assert_int_equal(n.counts(g.id()).mine, 1);
        assert_true(is_none(w.beat()));
        assert_int_equal(w.exit().mine, 1);
        assert_true(is_none(w.drain()));
        assert_true(n.retire(g.id()) == wm::condition::closed);
        assert_int_equal(n.take_exit(g.id()).value_or(0), 1);
        assert_false(n.take_exit(g.id()).has_value());
        assert_true(is_none(w.close()));
        assert_false(bool(w));
    }
    assert_false(bool(wm::node::open(file.c_str(), nullptr, ec)));
    assert_true(ec == std::errc::no_such_file_or_directory);
}

void a_moved_from_owner_is_empty(void **)
{
    wm::node a = attach(instance());
    wm_node *const handle = a.handle();
    wm::node b = std::move(a);

    assert_false(bool(a));
    assert_ptr_equal(b.handle(), handle);
    a = std::move(b);
    assert_false(bool(b));
    assert_ptr_equal(a.handle(), handle);

    wm::generation g = wm::generation::begin(a);
    wm::generation h = std::move(g);
    assert_false(bool(g));
    assert_int_equal(g.id(), 0);
    assert_true(is_none(g.close()));
    assert_true(h.begun());

    wm::worker v = wm::worker::join(a, h.id());
    wm::worker w = std::move(v);
    assert_false(bool(v));
    assert_true(is_none(v.close()));
    v = std::move(w);
    assert_false(bool(w));
    v.start();
    assert_true(v.holds());
    finish(a, v);
}

void closing_twice_is_closing_once(void **)
{
    wm::node n = attach(instance());
    wm::generation g = wm::generation::begin(n);
    wm::worker w = wm::worker::join(n, g.id());

    w.start();
    finish(n, w);
    for (int i = 0; i < 2; i++) {
        assert_true(is_none(w.close()));
        assert_true(is_none(g.close()));
    }
    for (int i = 0; i < 2; i++) {
        assert_true(is_none(n.close()));
        assert_false(bool(n));
    }
}

void assignment_releases_what_was_there(void **)
{
    const std::string name = instance();
    wm::node n = attach(name);
    wm::node other = attach(name + "-other");
    const std::string file = n.describe().name;
    std::error_code ec;

    {
        wm::generation g = wm::generation::begin(other);
        wm::worker w = wm::worker::join(other, g.id());

        w = wm::worker();
        assert_true(other.snapshot().workers().empty());
        other.retire(g.id());
        other.take_exit(g.id());
    }
    n = std::move(other);
    assert_false(bool(other));
    assert_false(bool(wm::node::open(file.c_str(), nullptr, ec)));
    assert_true(ec == std::errc::no_such_file_or_directory);
}

void release_lets_go_and_a_handle_is_taken_over(void **)
{
    wm::node n = attach(instance());
    const wm::generation g = wm::generation::begin(n);
    wm::worker w = wm::worker::join(n, g.id());
    wm_worker *const handle = w.release();

    assert_false(bool(w));
    assert_true(wm::worker_view(handle).holds());
    wm::worker again(handle);
    again.start();
    finish(n, again);
    again.close();

    wm_node *const same = n.release();
    assert_false(bool(n));
    n = wm::node(same);
    assert_ptr_equal(n.handle(), same);
}

void a_generation_without_workers_counts_as_never_begun(void **)
{
    wm::node n = attach(instance());

    wm::generation g = wm::generation::begin(n);
    assert_true(g.close() == wm::condition::closed);
    assert_false(bool(g));
    {
        const wm::generation dropped = wm::generation::begin(n);
    }
    wm::generation assigned = wm::generation::begin(n);
    assigned = wm::generation();
    wm::generation let_go = wm::generation::begin(n);
    const std::uint64_t id = let_go.release();
    assert_false(bool(let_go));
    assert_int_equal(n.generations().back().state(), WM_GENERATION_BEGUN);
    assert_true(n.end(id) == wm::condition::closed);
    for (const auto &i : n.generations()) {
        assert_int_equal(i.state(), WM_GENERATION_ABORTED);
    }
}

void a_worker_begins_nothing(void **)
{
    wm::node n = attach(instance());
    const wm::generation g = wm::generation::begin(n);
    wm::worker w = wm::worker::join(n, g.id());

    {
        const wm::generation same = wm::generation::begin(n);

        assert_false(same.begun());
        assert_int_equal(same.id(), g.id());
    }
    w.start();
    finish(n, w);
}

void a_childs_copy_of_a_worker_does_nothing(void **)
{
    wm::node n = attach(instance());
    const wm::generation g = wm::generation::begin(n);
    wm::worker w = wm::worker::join(n, g.id());

    w.start();
    assert_true(child_says([&] {
        std::error_code beat, leave;

        w.beat(beat);
        w.close(leave);
        return beat == stale && leave == std::errc::no_child_process && !w &&
               !n.worker();
    }));
    assert_true(is_none(w.beat()));
    assert_ptr_equal(n.worker().handle(), w.handle());
    finish(n, w);
}

void a_child_joins_over_its_copy_of_a_worker(void **)
{
    wm::node n = attach(instance());
    const wm::generation g = wm::generation::begin(n);
    wm::worker w = wm::worker::join(n, g.id());

    w.start();
    assert_true(child_says([&] {
        w = wm::worker::join(n, g.id());
        const bool holds = w && w.holds();
        w.start();
        w.close();
        return holds;
    }));
    assert_true(is_none(w.beat()));
    finish(n, w);
}

// ------------------------------------------------------------------ errors

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
    assert_true(thrown_by([&] { reader.retire(1); }) == read_only);
    reader.retire(1, ec);
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
    wm::worker_view gone = w;
    w.close();
    const auto child = std::errc::no_child_process;
    assert_true(thrown_by([&] { gone.exit(); }) == child);
    gone.exit(ec);
    assert_true(ec == child);
    assert_true(thrown_by([&] { gone.drain(); }) == child);
    gone.drain(ec);
    assert_true(ec == child);
    assert_true(thrown_by([&] { gone.lead(); }) == child);
    gone.lead(ec);
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

// ----------------------------------------------------------------- workers

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
    assert_int_equal(w.exit(ec).mine, 1);

    const auto later = wm::now() + 1min;
    w.beat_at(later);
    const auto list = n.snapshot().workers();
    assert_int_equal(list.size(), 1);
    assert_true(list[0].beat_at() == later);
    assert_true(list[0].overdue() == 1h);
    assert_true(list[0].joined_at() <= wm::now());
    assert_int_equal(list[0].pid(), getpid());
    assert_int_equal(list[0].slot(), 0);
    assert_int_equal(list[0].state(), WM_LIVE);
    assert_int_equal(list[0].role(), WM_ROLE_WORKER);
    assert_int_equal(list[0].generation(), g.id());
    assert_int_equal(list[0].join(), 1);
    assert_int_equal(list[0].stalls(), 0);
    assert_int_equal(list[0].handle().pid, getpid());
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
    assert_true(n.snapshot().workers()[0].overdue() > 24h * 49);
    w.start();
    finish(n, w);
}

void views_do_what_owners_do(void **)
{
    wm::node n = attach(instance());
    const wm::node_view nodes = n;
    const wm::generation g = wm::generation::begin(nodes);
    wm::worker w = wm::worker::join(nodes, g.id());
    wm::worker_view v = w;

    assert_ptr_equal(nodes.handle(), n.handle());
    assert_ptr_equal(v.handle(), w.handle());
    assert_ptr_equal(nodes.worker().handle(), w.handle());
    assert_false(bool(wm::node_view()));
    assert_false(bool(wm::worker_view()));
    v.start();
    assert_true(is_none(v.beat()));
    v = n.worker();
    assert_true(v.holds());
    finish(n, w);
}

void one_of_the_workers_leads(void **)
{
    wm::node n = attach(instance());
    const wm::generation g = wm::generation::begin(n);
    wm::worker w = wm::worker::join(n, g.id());

    assert_int_equal(n.leader().generation, 0);
    w.start();
    const wm_leader leader = w.lead();
    assert_int_equal(leader.mine, 1);
    assert_int_equal(n.leader().term, leader.term);
    assert_int_equal(n.leader().pid, getpid());
    finish(n, w);
    assert_int_equal(n.leader().generation, 0);
}

// ----------------------------------------------------------------- looking

void a_snapshot_is_a_range(void **)
{
    wm::node n = attach(instance());
    const wm::generation g = wm::generation::begin(n);
    wm::worker w = wm::worker::join(n, g.id());
    const auto is_live = [](const wm::worker_info &i) {
        return i.state() == WM_LIVE;
    };
    std::error_code ec;
    int seen = 0;

    w.start();
    // A snapshot that nobody keeps lives in what workers() gives.
    for (auto i : n.snapshot().workers()) {
        seen += i.pid() == getpid();
    }
    assert_int_equal(seen, 1);

    const wm::snapshot snapshot = n.snapshot(ec);
    assert_false(bool(ec));
    assert_true(snapshot.settled());
    auto pids = snapshot.workers() | std::views::filter(is_live) |
                std::views::transform(&wm::worker_info::pid);
    assert_int_equal(*pids.begin(), getpid());
    assert_int_equal(std::ranges::distance(pids), 1);
    assert_int_equal(std::ranges::count(snapshot.workers(), g.id(),
                                        &wm::worker_info::generation),
                     1);

    auto piped = n.snapshot().workers() | std::views::filter(is_live);
    assert_int_equal(std::ranges::distance(piped), 1);
    finish(n, w);
    assert_int_equal(std::ranges::count_if(n.snapshot().workers(), is_live), 0);
}

void generations_are_listed(void **)
{
    wm::node n = attach(instance());
    const auto before = wm::now();
    const wm::generation g = wm::generation::begin(n);
    std::error_code ec;

    const std::vector<wm::generation_info> list = n.generations(ec);
    assert_false(bool(ec));
    assert_int_equal(list.size(), 1);
    assert_int_equal(list[0].id(), g.id());
    assert_int_equal(list[0].handle().id, g.id());
    assert_int_equal(list[0].state(), WM_GENERATION_BEGUN);
    assert_int_equal(list[0].reason(), WM_REASON_START);
    assert_int_equal(list[0].master(), getpid());
    assert_int_equal(list[0].spell(), 0);
    assert_int_equal(list[0].exits_given(), 0);
    assert_int_equal(list[0].deaths(), 0);
    assert_true(list[0].begun_at() >= before);
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
        if (page.entries.empty()) {
            break;
        }
        assert_int_equal(page.entries.back().number(), since);
        std::ranges::transform(page.entries, std::back_inserter(kinds),
                               &wm::log_entry::kind);
    }
    const std::vector<wm_log_kind> expected = {
        WM_LOG_GENERATION_BEGUN, WM_LOG_WORKER_JOINED, WM_LOG_GENERATION_ACTIVE,
        WM_LOG_WORKER_LIVE};
    assert_true(kinds == expected);

    since = 0;
    const auto entries = n.log(since, 9, ec).entries;
    assert_false(bool(ec));
    assert_false(entries[0].slot().has_value());
    assert_int_equal(entries[1].slot().value_or(9), w.slot());
    assert_int_equal(entries[1].value(), 1);
    assert_int_equal(entries[1].pid(), getpid());
    assert_int_equal(entries[1].generation(), g.id());
    assert_int_equal(entries[1].handle().kind, WM_LOG_WORKER_JOINED);
    const auto age = std::chrono::system_clock::now() - entries[1].time();
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
        const wm::node_view view = n;

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

// ------------------------------------------------------------------ events

// A worker in a child that dies by SIGKILL; the node owes its crash.
void crash_one(wm::node &n, std::uint64_t generation)
{
    const pid_t child = fork();

    if (child == 0) {
        wm::worker w = wm::worker::join(n, generation);

        w.start();
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, nullptr, 0), child);
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
    assert_int_equal(crash->kind, WM_EVENT_CRASHED);
    assert_false(n.take_event(crashes).has_value());
    assert_int_equal(n.generations()[0].deaths(), 1);

    crash_one(n, g.id());
    const int given = n.sweep_events(
        {}, [&](const wm_event &event) { told.push_back(event.kind); });
    assert_int_equal(given, 1);
    assert_true(told == std::vector<std::uint32_t>{WM_EVENT_CRASHED});

    crash_one(n, g.id());
    assert_int_equal(n.sweep_events(), 1);
    assert_int_equal(n.events_owed(), 0);
    // Its master lives, so its end is for us to say.
    n.retire(g.id());
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
    n.retire(g.id());
    try {
        n.sweep_events(n.worker(), [&](const wm_event &) {
            throw std::runtime_error(std::to_string(++calls));
        });
    } catch (const std::runtime_error &e) {
        caught = e.what() == std::string("1");
    }
    assert_true(caught);
    assert_int_equal(calls, 3);
    assert_int_equal(n.events_owed(), 0);
    assert_int_equal(n.holder().pid(), 0);
}

// -------------------------------------------------------------------- lock

void the_lock_serves_standard_guards(void **)
{
    wm::node n = attach(instance());
    wm::node other = attach(instance() + "-other");
    wm::lifecycle_lock lock(n, {.purpose = 7, .hold = 1s});
    wm::lifecycle_lock second(other);

    {
        const std::unique_lock guard(lock);

        assert_true(guard.owns_lock() && lock.owns());
        assert_int_equal(n.holder().pid(), getpid());
        assert_int_equal(n.holder().purpose(), 7);
        assert_int_equal(n.holder().generation(), 0);
        assert_true(n.holder().own());
        assert_true(n.holder().held() < 1h);
        assert_int_equal(n.holder().handle().sequence, n.holder().sequence());
        assert_false(lock.try_lock());
        assert_true(thrown_by([&] { lock.lock(); }) ==
                    std::errc::resource_deadlock_would_occur);
        assert_true(lock.owns());
    }
    assert_int_equal(n.holder().pid(), 0);
    {
        const std::scoped_lock both(lock, second);

        assert_true(lock.owns() && second.owns());
    }
    {
        std::unique_lock guard(lock, 1ms);
        assert_true(guard.owns_lock());
        guard.unlock();
        assert_true(guard.try_lock());
        guard.unlock();
        assert_true(guard.try_lock_for(1us));
        guard.unlock();
        assert_true(guard.try_lock_until(std::chrono::steady_clock::now()));
        const std::unique_lock moved = std::move(guard);
        assert_true(lock.owns());
    }
    {
        std::lock_guard guard(lock);
        assert_true(lock.owns());
    }
    assert_false(lock.owns());
    assert_int_equal(lock.options().purpose, 7);
    assert_ptr_equal(lock.handle(), n.handle());
}

void a_lock_that_is_held_is_not_to_be_had(void **)
{
    wm::node n = attach(instance());
    wm::lifecycle_lock lock(n);
    const std::lock_guard guard(lock);

    assert_true(child_says([&] {
        wm::lifecycle_lock mine(n);
        wm::lifecycle_lock hasty(n, {.wait = 1ms});
        wm::lifecycle_lock impatient(n, {.hold = 1ms});
        std::error_code busy, late, held;

        mine.try_lock(busy);
        hasty.lock(late);
        impatient.lock(held);
        return busy == std::errc::device_or_resource_busy &&
               late == std::errc::timed_out && held == std::errc::timed_out &&
               !mine.try_lock() && !mine.try_lock_for(1ms) &&
               !mine.try_lock_for(-1h) &&
               !mine.try_lock_until(wm::now() + 1ms) &&
               !mine.try_lock_until(
                   std::chrono::steady_clock::time_point::min()) &&
               !mine.owns();
    }));
    assert_true(child_says([&] {
        wm::lifecycle_lock mine(n);
        std::error_code late, past;

        mine.try_lock_for(1ms, late);
        mine.try_lock_until(std::chrono::steady_clock::time_point::min(), past);
        return late == std::errc::timed_out &&
               past == std::errc::device_or_resource_busy;
    }));
    assert_true(lock.owns());
}

void a_holding_that_is_over_ends_no_other(void **)
{
    wm::node n = attach(instance());
    wm::lifecycle_lock lock(n);

    lock.lock();
    wm_lock_hold first = lock.hold();
    wm::lifecycle_lock::end(first);
    assert_false(lock.owns());
    lock.lock();
    wm::lifecycle_lock::end(first);
    assert_true(n.holder().own());
    lock.unlock();
}

void a_lock_releases_what_was_taken_through_it_alone(void **)
{
    wm::node n = attach(instance());
    wm::lifecycle_lock other(n);
    std::error_code ec;

    {
        wm::lifecycle_lock first(n);
        first.lock();
        other.unlock(ec);
        assert_true(ec == std::errc::operation_not_permitted && first.owns());
        other.unlock();
        assert_true(first.owns());
        wm_lock_hold held = first.hold();
        wm::lifecycle_lock::end(held); // its thread was ended, say
        other.lock();
        assert_false(first.owns());
    }
    assert_true(other.owns() && n.holder().own());

    // A child with a copy of it, which takes the lock for itself.
    int released[2];
    assert_int_equal(pipe(released), 0);
    const pid_t child = fork();
    if (child == 0) {
        wm::lifecycle_lock mine(n);
        char byte;

        close(released[1]);
        if (read(released[0], &byte, 1) != 0) {
            _exit(2);
        }
        mine.lock();
        {
            const wm::lifecycle_lock copy = std::move(other);
        }
        _exit(mine.owns() && n.holder().own() ? 0 : 1);
    }
    other.unlock();
    close(released[0]);
    close(released[1]);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

void the_lock_of_a_dead_holder_is_recovered(void **)
{
    wm::node n = attach(instance());
    wm::lifecycle_lock lock(n);
    std::error_code ec;

    const auto die_with_it = [&] {
        const pid_t child = fork();

        if (child == 0) {
            lock.lock();
            raise(SIGKILL);
        }
        assert_int_equal(waitpid(child, nullptr, 0), child);
    };
    die_with_it();
    assert_true(lock.lock() == wm::condition::recovered);
    assert_true(is_none(lock.unlock(ec)) && !ec);
    die_with_it();
    assert_true(lock.try_lock(ec, true) == wm::condition::recovered);
    lock.unlock();
    lock.unlock();
    lock.unlock(ec);
    assert_true(ec == std::errc::operation_not_permitted);
}

void who_owns_the_lock_releases_it(void **)
{
    wm::node n = attach(instance());

    {
        wm::lifecycle_lock first(n);

        assert_true(is_none(first.lock()));
        wm::lifecycle_lock second = std::move(first);
        assert_true(second.owns() && !first.owns());
        first.unlock();
        assert_true(n.holder().own());
        first = std::move(second);
        assert_true(first.owns() && !second.owns());
        // A child's copy releases nothing of its parent's.
        assert_true(child_says([&] {
            {
                const wm::lifecycle_lock copy = std::move(first);
            }
            return n.holder().pid() == getppid();
        }));
        assert_true(n.holder().own());
    }
    assert_int_equal(n.holder().pid(), 0);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_release_in_order),
        cmocka_unit_test(a_moved_from_owner_is_empty),
        cmocka_unit_test(closing_twice_is_closing_once),
        cmocka_unit_test(assignment_releases_what_was_there),
        cmocka_unit_test(release_lets_go_and_a_handle_is_taken_over),
        cmocka_unit_test(a_generation_without_workers_counts_as_never_begun),
        cmocka_unit_test(a_worker_begins_nothing),
        cmocka_unit_test(a_childs_copy_of_a_worker_does_nothing),
        cmocka_unit_test(a_child_joins_over_its_copy_of_a_worker),
        cmocka_unit_test(a_failure_throws_or_fills_the_code),
        cmocka_unit_test(a_success_clears_the_code),
        cmocka_unit_test(conditions_have_sentences),
        cmocka_unit_test(every_call_that_fails_says_so),
        cmocka_unit_test(a_worker_beats_and_tells_of_itself),
        cmocka_unit_test(durations_do_not_wrap_into_no_limit),
        cmocka_unit_test(views_do_what_owners_do),
        cmocka_unit_test(one_of_the_workers_leads),
        cmocka_unit_test(a_snapshot_is_a_range),
        cmocka_unit_test(generations_are_listed),
        cmocka_unit_test(the_log_is_read_in_pages),
        cmocka_unit_test(a_change_ends_the_wait),
        cmocka_unit_test(a_waiter_is_woken),
        cmocka_unit_test(segments_are_listed_and_unlinked),
        cmocka_unit_test(events_are_taken_or_given),
        cmocka_unit_test(an_exception_of_the_giver_comes_out_after_the_lock),
        cmocka_unit_test(the_lock_serves_standard_guards),
        cmocka_unit_test(a_lock_that_is_held_is_not_to_be_had),
        cmocka_unit_test(a_holding_that_is_over_ends_no_other),
        cmocka_unit_test(a_lock_releases_what_was_taken_through_it_alone),
        cmocka_unit_test(the_lock_of_a_dead_holder_is_recovered),
        cmocka_unit_test(who_owns_the_lock_releases_it),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
