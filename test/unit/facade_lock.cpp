// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The C++ facade's lock over a real node: it is a standard one.

#include "facade.hpp"

#include <mutex>

using namespace std::chrono_literals;

// That it is Lockable and TimedLockable is for the guards below to say.
static_assert(noexcept(std::declval<wm::lifecycle_lock &>().unlock()));
static_assert(moves<wm::lifecycle_lock>);

namespace
{

FACADE_TEST(the_lock_serves_standard_guards)
{
    wm::node n = attach();
    wm::node other = attach(instance("-other"));
    wm::lifecycle_lock lock(n, {.purpose = 7, .hold = 1s});
    wm::lifecycle_lock second(other);

    {
        const std::unique_lock guard(lock);
        const auto holder = n.lock_holder();

        assert_true(guard.owns_lock() && lock.owns());
        assert_int_equal(holder.pid, getpid());
        assert_int_equal(holder.purpose, 7);
        assert_int_equal(holder.own, 1);
        assert_false(lock.try_lock());
        ASSERT_FAILS(std::errc::resource_deadlock_would_occur,
                     lock.lock(ec...));
        assert_true(lock.owns());
    }
    assert_int_equal(n.lock_holder().pid, 0);
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
    assert_false(lock.owns());
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

FACADE_TEST(a_lock_releases_what_was_taken_through_it_alone)
{
    wm::node n = attach();
    wm::lifecycle_lock other(n);
    std::error_code ec;

    {
        wm::lifecycle_lock first(n);

        first.lock();
        other.unlock(ec);
        assert_true(ec == std::errc::operation_not_permitted && first.owns());
        other.unlock();
        assert_true(first.owns());
        wm_lock_hold held = first.note_hold();
        wm_lock_hold same = held;
        wm::lifecycle_lock::release_hold(held); // its thread was ended, say
        assert_false(first.owns());
        other.lock();
        wm::lifecycle_lock::release_hold(same);
        assert_false(first.owns());
    }
    assert_true(other.owns() && n.lock_holder().own);

    // A child with a copy of it, which takes the lock for itself.
    const pid_t child = fork_child();
    if (child == 0) {
        wm::lifecycle_lock mine(n);

        mine.lock();
        {
            const wm::lifecycle_lock copy = std::move(other);
        }
        _exit(mine.owns() && n.lock_holder().own ? 0 : 1);
    }
    other.unlock();
    assert_ok(child_status(child));
}

FACADE_TEST(the_lock_of_a_dead_holder_is_recovered)
{
    wm::node n = attach();
    wm::lifecycle_lock lock(n);
    std::error_code ec;
    const auto take = [&] {
        return lock.lock();
    };

    die_after(take);
    assert_true(lock.lock() == wm::condition::recovered);
    assert_true(lock.unlock(ec) == wm::condition::none && !ec);
    die_after(take);
    assert_true(lock.try_lock(ec, true) == wm::condition::recovered);
    lock.unlock();
    lock.unlock();
    lock.unlock(ec);
    assert_true(ec == std::errc::operation_not_permitted);
}

FACADE_TEST(who_owns_the_lock_releases_it)
{
    wm::node n = attach();

    {
        wm::lifecycle_lock first(n);

        assert_true(first.lock() == wm::condition::none);
        move_to(first, first);
        assert_true(first.owns());
        wm::lifecycle_lock second = std::move(first);
        assert_true(second.owns() && !first.owns());
        first.unlock();
        assert_int_equal(n.lock_holder().own, 1);
        first = std::move(second);
        assert_true(first.owns() && !second.owns());
        // A child's copy releases nothing of its parent's.
        assert_true(child_says([&] {
            {
                const wm::lifecycle_lock copy = std::move(first);
            }
            return n.lock_holder().pid == getppid();
        }));
        assert_int_equal(n.lock_holder().own, 1);
        first = wm::lifecycle_lock(n);
        assert_int_equal(n.lock_holder().pid, 0);
        first.lock();
    }
    assert_int_equal(n.lock_holder().pid, 0);
}

} // namespace
