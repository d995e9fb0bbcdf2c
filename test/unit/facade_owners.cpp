// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The C++ facade's owners over a real node: they release what they own, once.

#include "facade.hpp"

#include <concepts>
#include <type_traits>
#include <utility>

// Moved, never copied, by no step that can throw.
template <class T>
inline constexpr bool is_owner =
    !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
    std::is_nothrow_default_constructible_v<T> &&
    std::is_nothrow_move_constructible_v<T> &&
    std::is_nothrow_move_assignable_v<T> && std::is_nothrow_destructible_v<T>;

static_assert(is_owner<wm::node> && is_owner<wm::generation> &&
              is_owner<wm::worker>);
static_assert(sizeof(wm::node) == sizeof(void *) &&
              sizeof(wm::worker) == sizeof(void *));

// One shape of close(): a form that may throw, and one that does not.
template <class T>
concept closes = requires(T &owner, std::error_code &ec) {
    requires !noexcept(owner.close());
    {
        owner.close()
    } -> std::same_as<wm::condition>;
    {
        owner.close(ec)
    } noexcept -> std::same_as<wm::condition>;
};
static_assert(closes<wm::node> && closes<wm::generation> && closes<wm::worker>);

// A reference is copied as a pointer is.
template <class T>
inline constexpr bool is_reference =
    std::is_trivially_copyable_v<T> && sizeof(T) == sizeof(void *) &&
    std::is_nothrow_default_constructible_v<T>;
static_assert(is_reference<wm::node_ref> && is_reference<wm::worker_ref>);

// An owner that has a name becomes one by itself, and so does another one.
template <class Owner, class Reference>
inline constexpr bool is_referred_to =
    std::is_nothrow_convertible_v<Owner &, Reference> &&
    std::is_nothrow_convertible_v<const Owner &, Reference> &&
    std::is_nothrow_convertible_v<Reference, Reference> &&
    std::is_nothrow_convertible_v<const Reference, Reference>;
static_assert(is_referred_to<wm::node, wm::node_ref> &&
              is_referred_to<wm::worker, wm::worker_ref>);
// A raw pointer does only where the program says so.
static_assert(!std::is_convertible_v<wm_node *, wm::node_ref> &&
              !std::is_convertible_v<wm_worker *, wm::worker_ref> &&
              std::is_nothrow_constructible_v<wm::node_ref, wm_node *> &&
              std::is_nothrow_constructible_v<wm::worker_ref, wm_worker *>);
// An owner that ends with the expression never does.
template <class Owner, class Reference>
inline constexpr bool would_dangle =
    std::is_constructible_v<Reference, Owner> ||
    std::is_constructible_v<Reference, const Owner>;
static_assert(!would_dangle<wm::node, wm::node_ref> &&
              !would_dangle<wm::worker, wm::worker_ref> &&
              !would_dangle<wm::node, wm::lifecycle_lock>);

// A program says it where it takes ownership over.
static_assert(!std::is_convertible_v<wm_node *, wm::node> &&
              !std::is_convertible_v<wm_worker *, wm::worker> &&
              std::is_constructible_v<wm::node, wm_node *> &&
              std::is_constructible_v<wm::worker, wm_worker *>);
static_assert(!std::is_constructible_v<wm::node, wm::node_ref> &&
              !std::is_constructible_v<wm::worker, wm::worker_ref>);

namespace
{

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
        assert_int_equal(w.exit_counts().mine, 1);
        assert_true(is_none(w.drain()));
        assert_true(n.close_generation(g.id()) == wm::condition::closed);
        assert_int_equal(n.take_exit(g.id()).value_or(0), 1);
        assert_false(n.take_exit(g.id(), ec).has_value());
        assert_false(bool(ec));
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
    assert_true(v.has_record());
    finish(a, v);
}

// Takes the object twice, so that no compiler sees what it is.
template <class T>
void move_to(T &to, T &from)
{
    to = std::move(from);
}

void a_move_to_oneself_changes_nothing(void **)
{
    wm::node n = attach(instance());
    wm::generation g = wm::generation::begin(n);
    wm::worker w = wm::worker::join(n, g.id());
    wm::lifecycle_lock lock(n);
    wm_worker *const handle = w.handle();

    w.start();
    lock.lock();
    move_to(n, n);
    move_to(g, g);
    move_to(w, w);
    move_to(lock, lock);
    assert_true(lock.owns());
    lock.unlock();
    assert_ptr_equal(w.handle(), handle);
    assert_true(w.has_record());
    assert_true(g.begun());
    assert_int_equal(g.counts().mine, 1);
    finish(n, w);
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
    for (int i = 0; i < 2; i++) {
        std::error_code ec = std::make_error_code(std::errc::io_error);

        assert_true(is_none(i == 0 ? n.close(ec) : g.close(ec)));
        assert_false(bool(ec));
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
        assert_true(other.snapshot().workers.empty());
        other.close_generation(g.id());
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
    assert_true(wm::worker_ref(handle).has_record());
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
    assert_int_equal(n.generations().back().state, WM_GENERATION_BEGUN);
    std::error_code ec = std::make_error_code(std::errc::io_error);
    assert_true(n.abandon_generation(id, ec) == wm::condition::closed);
    assert_false(bool(ec));
    assert_true(is_none(n.abandon_generation(id)));
    for (const auto &i : n.generations()) {
        assert_int_equal(i.state, WM_GENERATION_ABORTED);
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
        const bool holds = w && w.has_record();
        w.start();
        w.close();
        return holds;
    }));
    assert_true(is_none(w.beat()));
    finish(n, w);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_release_in_order),
        cmocka_unit_test(a_moved_from_owner_is_empty),
        cmocka_unit_test(a_move_to_oneself_changes_nothing),
        cmocka_unit_test(closing_twice_is_closing_once),
        cmocka_unit_test(assignment_releases_what_was_there),
        cmocka_unit_test(release_lets_go_and_a_handle_is_taken_over),
        cmocka_unit_test(a_generation_without_workers_counts_as_never_begun),
        cmocka_unit_test(a_worker_begins_nothing),
        cmocka_unit_test(a_childs_copy_of_a_worker_does_nothing),
        cmocka_unit_test(a_child_joins_over_its_copy_of_a_worker),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
