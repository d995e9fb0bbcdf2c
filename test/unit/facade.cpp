// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The C++ facade over a real node: owners release, errors arrive, the lock is
// a standard one.

#include "wm.hpp"

#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <mutex>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

namespace
{

std::string instance()
{
    return "test-facade-" + std::to_string(getpid());
}

wm::node attach(const std::string &name)
{
    wm::node_options options;

    options.instance = name.c_str();
    options.capacity = 4;
    return wm::node::attach(options);
}

void owners_release_in_order(void **)
{
    const std::string name = instance();
    std::error_code ec;
    std::string file;

    {
        wm::node n = attach(name);
        const wm::generation g = n.begin();

        file = n.describe().name;
        assert_true(g.begun);
        assert_int_equal(g.id, 1);
        assert_int_equal(g.reason, WM_REASON_START);

        wm::worker w = wm::worker::join(n, g.id);
        assert_int_equal(w.start().mine, 1);
        assert_int_equal(w.beat(), 0);
        assert_int_equal(w.exit().mine, 1);
        assert_int_equal(w.drain(), 0);
        assert_int_equal(wm_generation_retire(n.handle(), g.id), WM_CLOSED);
        assert_int_equal(wm_generation_take_exit(n.handle(), g.id, nullptr), 1);
        assert_int_equal(w.close(), 0);
        assert_false(bool(w));
    }
    wm::node::open(file.c_str(), nullptr, ec);
    assert_true(ec == std::errc::no_such_file_or_directory);
}

void a_failure_throws_or_fills_the_code(void **)
{
    std::error_code ec;
    bool thrown = false;

    wm::node n = wm::node::attach({}, ec);
    assert_false(bool(n));
    assert_true(ec == std::errc::invalid_argument);
    assert_true(ec.category() == wm::category());
    assert_true(ec.message().find("invalid") != std::string::npos);
    try {
        wm::node::attach({});
    } catch (const std::system_error &e) {
        thrown = e.code() == ec;
    }
    assert_true(thrown);
}

void a_moved_from_owner_is_empty(void **)
{
    wm::node a = attach(instance());
    wm_node *const handle = a.handle();
    wm::node b = std::move(a);

    assert_false(bool(a));
    assert_ptr_equal(b.handle(), handle);
    a = std::move(b);
    assert_ptr_equal(a.handle(), handle);
    assert_int_equal(a.close(), 0);
    assert_int_equal(a.close(), 0);
}

void the_lock_serves_standard_guards(void **)
{
    wm::node n = attach(instance());
    wm::lifecycle_lock lock(n, 7);

    {
        const std::unique_lock guard(lock);

        assert_true(guard.owns_lock());
        assert_int_equal(lock.inspect().pid, getpid());
        assert_int_equal(lock.inspect().purpose, 7);
        assert_false(lock.try_lock());
    }
    assert_int_equal(lock.inspect().pid, 0);
    assert_true(lock.try_lock_for(std::chrono::milliseconds(1)));
    lock.unlock();
}

void a_childs_copy_of_a_worker_does_nothing(void **)
{
    wm::node n = attach(instance());
    const wm::generation g = n.begin();
    wm::worker w = wm::worker::join(n, g.id);
    int status = 0;

    w.start();
    const pid_t child = fork();
    if (child == 0) {
        const bool refused = w.beat() == -ESTALE && w.close() == -ECHILD;

        _exit(refused ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(w.beat(), 0);
    w.drain();
    wm_generation_retire(n.handle(), g.id);
    wm_generation_take_exit(n.handle(), g.id, nullptr);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_release_in_order),
        cmocka_unit_test(a_failure_throws_or_fills_the_code),
        cmocka_unit_test(a_moved_from_owner_is_empty),
        cmocka_unit_test(the_lock_serves_standard_guards),
        cmocka_unit_test(a_childs_copy_of_a_worker_does_nothing),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
