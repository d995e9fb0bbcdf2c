// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// The C++ facade's owners over a real node: they release what they own, once.

#include "facade.hpp"

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
    std::is_nothrow_default_constructible_v<
        Reference> &&std::is_nothrow_convertible_v<Owner &, Reference>
        &&std::is_nothrow_convertible_v<const Owner &, Reference>
            &&std::is_nothrow_convertible_v<Reference, Reference>
                &&std::is_nothrow_convertible_v<const Reference, Reference> &&
    !std::is_convertible_v<Handle *, Reference> &&
    std::is_nothrow_constructible_v<Reference, Handle *> &&
    !std::is_constructible_v<Reference, Owner> &&
    !std::is_constructible_v<Reference, const Owner> &&
    !std::is_convertible_v<Handle *, Owner> &&
    std::is_constructible_v<Owner, Handle *> &&
    !std::is_constructible_v<Owner, Reference>;
static_assert(refers_to<wm::node_ref, wm::node, wm_node> &&
              refers_to<wm::worker_ref, wm::worker, wm_worker>);
static_assert(!std::is_constructible_v<wm::lifecycle_lock, wm::node> &&
              !std::is_constructible_v<wm::lifecycle_lock, const wm::node>);

namespace
{

bool is_there(const std::string &file)
{
    std::error_code ec;
    const wm::node n = wm::node::open(file.c_str(), nullptr, ec);

    return n || ec != std::errc::no_such_file_or_directory;
}

FACADE_TEST(owners_release_in_order)
{
    std::error_code ec;
    std::string file;

    {
        wm::node n = attach();
        const wm::generation g = wm::generation::begin(n);

        file = n.describe().name;
        assert_true(g.begun());
        assert_true(bool(g));
        assert_int_equal(g.id(), 1);
        assert_int_equal(g.handle(), 1);
        assert_int_equal(g.reason(), WM_REASON_START);
        assert_ptr_equal(g.node().handle(), n.handle());

        wm::worker w = wm::worker::join(n, g.id());
        assert_int_equal(w.start(ec).mine, 1);
        assert_false(bool(ec));
        assert_int_equal(g.counts().mine, 1);
        assert_int_equal(n.counts(g.id()).mine, 1);
        assert_int_equal(w.exit_counts().mine, 1);
        assert_true(w.drain() == wm::condition::none);
        assert_true(n.close_generation(g.id()) == wm::condition::closed);
        assert_int_equal(n.take_exit(g.id()).value_or(0), 1);
        assert_false(n.take_exit(g.id(), ec).has_value());
        assert_false(bool(ec));
    }
    assert_false(is_there(file));
}

FACADE_TEST(references_do_what_owners_do)
{
    live_node l;
    const wm::node_ref n = l.n;
    wm::worker_ref w = l.w;

    assert_ptr_equal(n.handle(), l.n.handle());
    assert_ptr_equal(w.handle(), l.w.handle());
    assert_ptr_equal(n.worker().handle(), l.w.handle());
    assert_false(bool(wm::node_ref()));
    assert_false(bool(wm::worker_ref()));
    assert_true(w.beat() == wm::condition::none);
    w = n.worker();
    assert_true(w.has_record());
}

FACADE_TEST(owners_move)
{
    live_node l;

    move_around(l.n);
    move_around(l.g);
    move_around(l.w);
    assert_true(l.g.begun() && l.w.has_record());
    assert_int_equal(l.g.counts().mine, 1);
    (void)wm::generation(std::move(l.g));
    assert_int_equal(l.g.id(), 0);
}

FACADE_TEST(closing_twice_is_closing_once)
{
    live_node l;

    finish(l.n, l.w);
    ASSERT_WELL(l.w.close(ec...));
    ASSERT_WELL(l.g.close(ec...));
    ASSERT_WELL(l.n.close(ec...));
    assert_false(bool(l.n) || bool(l.g) || bool(l.w));
}

FACADE_TEST(assignment_releases_what_was_there)
{
    wm::node n = attach();
    wm::node other = attach(instance("-other"));
    const std::string file = n.describe().name;

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
    assert_false(is_there(file));
}

FACADE_TEST(release_lets_go_and_a_handle_is_taken_over)
{
    live_node l;
    wm_worker *const handle = l.w.release();
    wm_node *const same = l.n.release();

    assert_false(bool(l.w) || bool(l.n));
    assert_true(wm::worker_ref(handle).has_record());
    l.n = wm::node(same);
    l.w = wm::worker(handle);
    assert_ptr_equal(l.n.handle(), same);
    assert_true(l.w.beat() == wm::condition::none);
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

FACADE_TEST(a_worker_begins_nothing)
{
    live_node l;
    const wm::generation same = wm::generation::begin(l.n);

    assert_false(same.begun());
    assert_int_equal(same.id(), l.g.id());
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

} // namespace
