/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* n_prev, n_mine and n_next, as each callback sees them, through lives that a
 * server leads. */

#include "inside.h"

/* What a process has seen last. */
static void expect(const struct process *p, int previous, int mine, int next,
                   enum wm_reason reason)
{
    const struct wm_counts *c = &p->seen->counts;

    assert_int_equal(c->previous, previous);
    assert_int_equal(c->mine, mine);
    assert_int_equal(c->next, next);
    assert_int_equal(c->reason, reason);
    assert_int_equal(c->unsettled, 0);
}

static void expect_of(uint64_t id, int previous, int next)
{
    struct wm_counts c;

    assert_ok(wm_generation_counts(node, id, &c));
    assert_int_equal(c.previous, previous);
    assert_int_equal(c.next, next);
}

static void expect_mine(struct process *p, int mine)
{
    assert_ok(call(p, do_exit, 0));
    assert_int_equal(p->seen->counts.mine, mine);
}

NODE_TEST(a_start_and_a_stop)
{
    struct process *a, *b;
    int exits;

    expect_of(generation, -1, -1);
    a = new_worker(generation);
    expect(a, -1, 1, -1, WM_REASON_START);
    b = new_worker(generation);
    expect(b, -1, 2, -1, WM_REASON_START);
    assert_int_equal(shut_down(b, generation, &exits), 2);
    expect(b, -1, 2, -1, WM_REASON_STOP);
    assert_int_equal(exits, 0);
    shut_down_last(a, generation);
    expect(a, -1, 1, -1, WM_REASON_STOP);
    expect_of(generation, -1, -1);
}

NODE_TEST(a_reload)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);
    struct process *c, *d;
    uint64_t next = begin();
    int exits;

    expect_of(next, 2, -1);
    expect_of(generation, -1, 0);
    c = new_worker(next);
    expect(c, 2, 1, -1, WM_REASON_RELOAD);
    shut_down(a, generation, &exits);
    expect(a, -1, 2, 1, WM_REASON_RELOAD);
    d = new_worker(next);
    expect(d, 1, 2, -1, WM_REASON_RELOAD);
    shut_down(b, generation, &exits);
    expect(b, -1, 1, 2, WM_REASON_RELOAD);
    expect_of(generation, -1, 2);
    expect_of(next, 0, -1);
    shut_down(c, next, &exits);
    expect(c, 0, 2, -1, WM_REASON_STOP);
}

NODE_TEST(three_generations_at_once)
{
    struct process *a = new_worker(generation), *b, *c;
    uint64_t second = begin(), third;
    int exits;

    b = new_worker(second);
    new_worker(second);
    third = begin();
    c = new_worker(third);
    expect(c, 2, 1, -1, WM_REASON_RELOAD);
    expect_of(generation, -1, 2);
    expect_of(second, 1, 1);
    shut_down(b, second, &exits);
    expect(b, 1, 2, 1, WM_REASON_RELOAD);
    expect_of(third, 1, -1);
    shut_down(a, generation, &exits);
    expect(a, -1, 1, 1, WM_REASON_RELOAD);
}

NODE_TEST(n_prev_is_of_the_nearest_that_has_workers)
{
    uint64_t next = begin();

    new_worker(generation);
    shut_down_last(new_worker(next), next);
    expect_of(begin(), 1, -1); /* of the first, as the second has none */
}

NODE_TEST(a_respawn_sees_the_crashed_until_it_is_forgotten)
{
    struct process *a = new_worker(generation), *b;

    new_worker(generation);
    process_kill(a);
    b = new_worker(generation);
    expect(b, -1, 3, -1, WM_REASON_RESPAWN);
    /* In no other count. */
    assert_ok(call(b, do_exit, 0));
    expect(b, -1, 2, -1, WM_REASON_STOP);
    expect_of(begin(), 2, -1);
}

NODE_TEST(a_forgotten_crash_is_counted_no_more)
{
    process_kill(new_worker(generation));
    sweep();
    take(CRASHED);
    set_overdue(0, 1);
    set_word(0, WM_CRASHED, 77, 1);
    expect(new_worker(generation), -1, 1, -1, WM_REASON_RESPAWN);
}

NODE_TEST(a_joining_worker_counts_for_exits_only)
{
    struct process *a = new_worker(generation), *b = new_process();

    assert_ok(call(b, do_join, generation));
    expect_of(begin(), 1, -1);
    expect_mine(a, 2);
    assert_ok(call(b, do_start, 0));
    assert_int_equal(b->seen->counts.mine, 2);
}

NODE_TEST(a_draining_worker_counts_nowhere)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);

    assert_ok(call(b, do_drain, 0));
    expect_mine(a, 1);
    expect_of(begin(), 1, -1);
    assert_int_equal(new_worker(generation)->seen->counts.mine, 2);
}

NODE_TEST(helpers_count_nowhere_and_are_visible)
{
    struct process *a = new_worker(generation);
    struct wm_worker_info list[8];
    uint32_t count;

    new_helper(generation);
    expect_of(begin(), 1, -1);
    wm_snapshot(node, list, sizeof(*list), 8, &count);
    assert_int_equal(count, 2);
    assert_int_equal(list[1].role, WM_ROLE_HELPER);
    shut_down_last(a, generation);
}

NODE_TEST(the_dead_are_found_before_an_exit_counts)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);

    process_zombify(new_worker(generation));
    process_kill(b);
    expect_mine(a, 1);
}

NODE_TEST(a_stalled_worker_counts)
{
    struct process *a = new_worker(generation);

    stall(new_worker(generation));
    expect_mine(a, 2);
}

/* The binary upgrade and its roll-back: two masters. */
EMPTY_NODE_TEST(an_upgrade_that_is_rolled_back)
{
    struct process *old_master = new_process(), *new_master = new_process();
    struct process *a, *b, *c;

    assert_ok(call(old_master, do_begin, 0));
    a = new_worker_of(old_master, 1);
    assert_ok(call(new_master, do_begin, 0));
    expect_of(2, 1, -1);
    b = new_worker_of(new_master, 2);
    expect(b, 1, 1, -1, WM_REASON_START);
    shut_down_last(a, 1); /* WINCH */
    expect(a, -1, 1, 1, WM_REASON_RELOAD);
    process_kill(a);
    c = new_worker_of(old_master, 1); /* HUP to it: it starts anew */
    expect(c, -1, 1, 1, WM_REASON_ROLLBACK);
    assert_int_equal(c->seen->counts.spell, 2);
    shut_down_last(b, 2); /* QUIT to the new one */
    expect(b, 1, 1, 1, WM_REASON_RELOAD);
    process_kill(b);
    process_kill(new_master);
    shut_down_last(c, 1);
    expect(c, -1, 1, -1, WM_REASON_STOP);
}
