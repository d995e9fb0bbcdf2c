// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The C++ facade's lock over a real node: it is a standard one.

#include "facade.hpp"

#include <concepts>
#include <mutex>
#include <type_traits>
#include <utility>

using namespace std::chrono_literals;

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
static_assert(!std::is_copy_constructible_v<wm::lifecycle_lock> &&
              !std::is_copy_assignable_v<wm::lifecycle_lock> &&
              std::is_nothrow_move_constructible_v<wm::lifecycle_lock> &&
              std::is_nothrow_move_assignable_v<wm::lifecycle_lock> &&
              std::is_nothrow_destructible_v<wm::lifecycle_lock>);

namespace
{

void the_lock_serves_standard_guards(void **)
{
    wm::node n = attach(instance());
    wm::node other = attach(instance() + "-other");
    wm::lifecycle_lock lock(n, {.purpose = 7, .hold = 1s});
    wm::lifecycle_lock second(other);

    {
        const std::unique_lock guard(lock);

        assert_true(guard.owns_lock() && lock.owns());
        assert_int_equal(n.lock_holder().pid, getpid());
        assert_int_equal(n.lock_holder().purpose, 7);
        assert_int_equal(n.lock_holder().generation, 0);
        assert_int_equal(n.lock_holder().own, 1);
        assert_true(n.lock_holder().held_ms < 3'600'000u);
        assert_false(lock.try_lock());
        assert_true(thrown_by([&] { lock.lock(); }) ==
                    std::errc::resource_deadlock_would_occur);
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
    wm_lock_hold first = lock.note_hold();
    wm::lifecycle_lock::release_hold(first);
    assert_false(lock.owns());
    lock.lock();
    wm::lifecycle_lock::release_hold(first);
    assert_int_equal(n.lock_holder().own, 1);
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
        wm_lock_hold held = first.note_hold();
        wm::lifecycle_lock::release_hold(held); // its thread was ended, say
        other.lock();
        assert_false(first.owns());
    }
    assert_true(other.owns() && n.lock_holder().own);

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
        _exit(mine.owns() && n.lock_holder().own ? 0 : 1);
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
    }
    assert_int_equal(n.lock_holder().pid, 0);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lock_serves_standard_guards),
        cmocka_unit_test(a_lock_that_is_held_is_not_to_be_had),
        cmocka_unit_test(a_holding_that_is_over_ends_no_other),
        cmocka_unit_test(a_lock_releases_what_was_taken_through_it_alone),
        cmocka_unit_test(the_lock_of_a_dead_holder_is_recovered),
        cmocka_unit_test(who_owns_the_lock_releases_it),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
