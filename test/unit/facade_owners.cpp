// SPDX-License-Identifier: Apache-2.0

// The C++ facade's owners over a real node: they release what they own, once.
// So does its lock, which is a standard one.

#include "facade.hpp"

#include <mutex>

using namespace std::chrono_literals;

static_assert(owner<wm::node> && owner<wm::generation> && owner<wm::worker>);
static_assert(sizeof(wm::node) == sizeof(void *) &&
              sizeof(wm::worker) == sizeof(void *));

// A reference is copied as a pointer is. An owner that has a name becomes one
// by itself, and so does another reference; a raw pointer does only where the
// program says so; an owner that ends with the expression never does. A program
// says as well where it takes ownership over, and takes none of a reference.
template <class Reference, class Owner, class Handle>
inline constexpr bool refers_to =
    std::is_trivially_copyable_v<Reference> &&
    sizeof(Reference) == sizeof(void *) &&
    std::is_nothrow_default_constructible_v<Reference> &&
    std::is_nothrow_convertible_v<Owner &, Reference> &&
    std::is_nothrow_convertible_v<const Owner &, Reference> &&
    std::is_nothrow_convertible_v<Reference, Reference> &&
    std::is_nothrow_convertible_v<const Reference, Reference> &&
    !std::is_convertible_v<Handle *, Reference> &&
    std::is_nothrow_constructible_v<Reference, Handle *> &&
    !std::is_constructible_v<Reference, Owner> &&
    !std::is_constructible_v<Reference, const Owner> &&
    !std::is_convertible_v<Handle *, Owner> &&
    std::is_constructible_v<Owner, Handle *> &&
    !std::is_constructible_v<Owner, Reference>;
static_assert(refers_to<wm::node_ref, wm::node, wm_node> &&
              refers_to<wm::worker_ref, wm::worker, wm_worker>);
// That it is Lockable and TimedLockable is for the guards below to say.
static_assert(noexcept(std::declval<wm::lifecycle_lock &>().unlock()));
static_assert(moves<wm::lifecycle_lock>);
static_assert(!std::is_constructible_v<wm::lifecycle_lock, wm::node> &&
              !std::is_constructible_v<wm::lifecycle_lock, const wm::node>);

namespace
{

bool is_there(const std::string &file)
{
    return access(("/dev/shm/" + file).c_str(), F_OK) == 0;
}

FACADE_TEST(owners_move_and_are_closed_once)
{
    live_node l;
    const std::string file = l.n.describe().name;
    std::error_code ec;

    assert_true(bool(l.g));
    assert_int_equal(l.g.id(), 1);
    assert_int_equal(l.g.handle(), 1);
    assert_int_equal(l.g.reason(), WM_REASON_START);
    assert_ptr_equal(l.g.node().handle(), l.n.handle());
    assert_int_equal(l.g.counts().mine, 1);
    assert_int_equal(l.n.counts(1).mine, 1);
    move_around(l.n);
    move_around(l.g);
    move_around(l.w);
    assert_true(l.g.begun() && l.w.has_record());
    l.w.drain();
    assert_true(l.n.close_generation(1) == wm::condition::closed);
    assert_int_equal(l.n.take_exit(1).value_or(0), 1);
    assert_false(l.n.take_exit(1, ec).has_value());
    assert_false(bool(ec));
    ASSERT_WELL(l.w.close(into...));
    ASSERT_WELL(l.g.close(into...));
    ASSERT_WELL(l.n.close(into...));
    assert_false(bool(l.n) || bool(l.g) || bool(l.w));
    assert_false(is_there(file));
}

FACADE_TEST(assignment_releases_what_was_there)
{
    wm::node other = attach(instance("-other"));
    const std::string file = other.describe().name;
    live_node l;

    l.w = wm::worker();
    assert_true(l.n.snapshot().workers.empty());
    other = std::move(l.n);
    assert_false(bool(l.n));
    assert_false(is_there(file));
}

FACADE_TEST(references_act_on_what_an_owner_has_or_has_let_go)
{
    live_node l;
    const wm::node_ref n = l.n;
    wm::worker_ref w = l.w;

    assert_false(bool(wm::node_ref()) || bool(wm::worker_ref()));
    assert_ptr_equal(n.worker().handle(), l.w.handle());
    // A worker begins no generation: it is given its own.
    const auto same = wm::generation::begin(n);
    assert_true(!same.begun() && same.id() == l.g.id());
    assert_ptr_equal(l.w.release(), w.handle());
    assert_ptr_equal(l.n.release(), n.handle());
    assert_false(bool(l.w) || bool(l.n));
    w = n.worker();
    assert_true(w.has_record() && w.beat() == wm::condition::none);
    l.n = wm::node(n.handle());
    l.w = wm::worker(w.handle());
    assert_true(l.n.worker().handle() == l.w.handle());
}

FACADE_TEST(a_generation_without_workers_counts_as_never_begun)
{
    wm::node n = attach();
    std::error_code ec = std::make_error_code(std::errc::io_error);

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
    assert_int_equal(n.generations().back().state, WM_GENERATION_BEGUN);
    assert_true(n.abandon_generation(id, ec) == wm::condition::closed);
    assert_false(bool(ec));
    assert_true(n.abandon_generation(id) == wm::condition::none);
    for (const auto &i : n.generations()) {
        assert_int_equal(i.state, WM_GENERATION_ABORTED);
    }
}

FACADE_TEST(a_child_joins_over_its_copy_of_a_worker_which_does_nothing)
{
    live_node l;

    assert_true(child_says([&] {
        std::error_code ec;

        l.w.beat(ec);
        const bool was_none = ec == stale && !l.n.worker();
        l.w = wm::worker::join(l.n, l.g.id());
        const bool holds = l.w && l.w.has_record();
        l.w.start();
        l.w.close();
        return was_none && holds;
    }));
    assert_true(l.w.beat() == wm::condition::none);
    assert_ptr_equal(l.n.worker().handle(), l.w.handle());
}

FACADE_TEST(the_lock_serves_standard_guards)
{
    wm::node n = attach();
    wm::lifecycle_lock lock(n, {.purpose = 7, .hold = 1s});

    {
        const std::unique_lock guard(lock);
        const auto holder = n.lock_holder();

        assert_true(guard.owns_lock() && lock.owns());
        assert_int_equal(holder.pid, getpid());
        assert_int_equal(holder.purpose, 7);
        assert_int_equal(holder.own, 1);
        assert_false(lock.try_lock());
        ASSERT_FAILS(std::errc::resource_deadlock_would_occur,
                     lock.lock(into...));
        assert_true(lock.owns());
    }
    assert_int_equal(n.lock_holder().pid, 0);
    std::unique_lock guard(lock, 1ms);
    assert_true(guard.owns_lock());
    guard.unlock();
    assert_true(guard.try_lock());
    guard.unlock();
    assert_true(guard.try_lock_until(std::chrono::steady_clock::now()));
    guard.unlock();
    assert_int_equal(lock.options().purpose, 7);
    assert_ptr_equal(lock.handle(), n.handle());
}

FACADE_TEST(a_lock_that_is_held_is_not_to_be_had)
{
    constexpr auto past = std::chrono::steady_clock::time_point::min();
    wm::node n = attach();
    wm::lifecycle_lock lock(n);
    const std::lock_guard guard(lock);

    assert_true(child_says([&] {
        wm::lifecycle_lock mine(n);
        wm::lifecycle_lock hasty(n, {.wait = 1ms});
        wm::lifecycle_lock impatient(n, {.hold = 1ms});
        const auto busy = std::errc::device_or_resource_busy;
        const auto late = std::errc::timed_out;
        std::error_code ec[5];

        mine.try_lock(ec[0]);
        mine.try_lock_until(past, ec[1]);
        mine.try_lock_for(1ms, ec[2]);
        hasty.lock(ec[3]);
        impatient.lock(ec[4]);
        return ec[0] == busy && ec[1] == busy && ec[2] == late &&
               ec[3] == late && ec[4] == late && !mine.try_lock() &&
               !mine.try_lock_for(1ms) && !mine.try_lock_for(-1h) &&
               !mine.try_lock_until(wm::now() + 1ms) &&
               !mine.try_lock_until(past) && !mine.owns();
    }));
    assert_true(lock.owns());
}

FACADE_TEST(a_lock_releases_what_was_taken_through_it_alone_and_once)
{
    wm::node n = attach();
    wm::lifecycle_lock other(n);
    std::error_code ec;

    {
        wm::lifecycle_lock first(n);
        wm_lock_hold none = first.note_hold();

        die_after([&] { return first.lock(); });
        assert_true(first.try_lock(ec, true) == wm::condition::recovered);
        assert_true(first.unlock(ec) == wm::condition::none && !ec);
        die_after([&] { return first.lock(); });
        assert_true(first.lock() == wm::condition::recovered);
        wm::lifecycle_lock::release_hold(none);
        assert_true(first.owns());
        other.unlock(ec);
        assert_true(ec == std::errc::operation_not_permitted);
        other.unlock();
        assert_true(first.owns());
        move_to(first, first);
        wm::lifecycle_lock second = std::move(first);
        assert_true(second.owns() && !first.owns());
        first.unlock();
        assert_int_equal(n.lock_holder().own, 1);
        first = std::move(second);
        assert_true(first.owns() && !second.owns());
        first = wm::lifecycle_lock(n);
        assert_int_equal(n.lock_holder().pid, 0);

        assert_true(first.lock() == wm::condition::none);
        wm_lock_hold held = first.note_hold();
        wm_lock_hold same = held;
        wm::lifecycle_lock::release_hold(held); // its thread was ended, say
        assert_false(first.owns());
        other.lock();
        wm::lifecycle_lock::release_hold(same);
        assert_false(first.owns());
    }
    assert_true(other.owns() && n.lock_holder().own);
    {
        const wm::lifecycle_lock ends = std::move(other);
    }
    assert_int_equal(n.lock_holder().pid, 0);
}

// Not even the child's own lock that it has taken meanwhile.
FACADE_TEST(a_childs_copy_of_a_lock_releases_nothing)
{
    wm::node n = attach();
    wm::lifecycle_lock lock(n);

    lock.lock();
    const pid_t child = fork_child();
    if (child == 0) {
        wm::lifecycle_lock mine(n);

        mine.lock();
        {
            const wm::lifecycle_lock copy = std::move(lock);
        }
        _exit(mine.owns() && n.lock_holder().own ? 0 : 1);
    }
    lock.unlock();
    assert_ok(child_status(child));
}

} // namespace
