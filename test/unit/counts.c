/* SPDX-License-Identifier: Apache-2.0 */

/* n_prev, n_mine and n_next, as each callback sees them, through lives that a
 * server leads. */

#include "digest.h"
#include "inside.h"

/* Those that change alike, as all do on a reload, must not cancel out. */
EMPTY_NODE_TEST(each_set_of_changes_changes_the_digest)
{
    static const unsigned changes[][2] = {
        {WM_JOINING, WM_LIVE}, {WM_LIVE, WM_DRAINING}, {WM_LIVE, WM_CRASHED}};
    struct wm_digest before = {{0}}, after;

    node_restart(10);
    for (size_t c = 0; c < COUNT(changes); c++) {
        for (unsigned set = 0; set < 1 << 10; set++) {
            for (uint32_t slot = 0; slot < 10; slot++) {
                set_live(slot, slot + 1, 1);
                set_state(slot, changes[c][set >> slot & 1]);
            }
            after = wm_digest_pass(node, wm_fold_join_last, 0);
            before = set == 0 ? after : before;
            assert_int_equal(wm_digest_is_same(&before, &after), set == 0);
        }
    }
}

/* The worker's last counts; returns them. */
static struct process *expect(struct process *p, int previous, int mine,
                              int next, enum wm_reason reason)
{
    const struct wm_counts *c = &p->seen->counts;

    assert_int_equal(c->previous, previous);
    assert_int_equal(c->mine, mine);
    assert_int_equal(c->next, next);
    assert_int_equal(c->reason, reason);
    assert_int_equal(c->unsettled, 0);
    return p;
}

/* The same as it stops, and takes the end if it is the last. */
static void expect_stop(struct process *p, uint64_t id, int previous, int mine,
                        int next, enum wm_reason reason)
{
    int exits;

    shut_down(p, id, &exits);
    expect(p, previous, mine, next, reason);
    assert_int_equal(exits, mine == 1);
}

static void expect_of(uint64_t id, int previous, int next)
{
    const struct wm_counts c = counts_of(id);

    assert_int_equal(c.previous, previous);
    assert_int_equal(c.next, next);
    assert_int_equal(c.unsettled, 0);
}

/* The third generation begins while two others leave: each counts the nearest
 * ones. */
NODE_TEST(a_start_a_reload_upon_a_reload_and_a_stop)
{
    struct process *a, *b, *c;
    uint64_t next, third;

    expect_of(generation, -1, -1);
    a = expect(new_worker(generation), -1, 1, -1, WM_REASON_START);
    b = expect(new_worker(generation), -1, 2, -1, WM_REASON_START);
    next = begin();
    expect_of(next, 2, -1);
    expect_of(generation, -1, 0);
    c = expect(new_worker(next), 2, 1, -1, WM_REASON_RELOAD);
    expect_stop(a, generation, -1, 2, 1, WM_REASON_RELOAD);
    expect(new_worker(next), 1, 2, -1, WM_REASON_RELOAD);
    third = begin();
    a = expect(new_worker(third), 2, 1, -1, WM_REASON_RELOAD);
    expect_of(generation, -1, 2);
    expect_of(next, 1, 1);
    expect_stop(b, generation, -1, 1, 2, WM_REASON_RELOAD);
    expect_of(next, 0, 1);
    expect_stop(c, next, 0, 2, 1, WM_REASON_RELOAD);
    expect_stop(a, third, 1, 1, -1, WM_REASON_STOP);
}

NODE_TEST(n_prev_is_of_the_nearest_that_has_workers_past_failed_reloads)
{
    uint64_t next = begin();

    new_worker(generation);
    shut_down_last(new_worker(next), next);
    assert_int_equal(wm_generation_abandon(node, begin()), WM_CLOSED);
    expect_of(begin(), 1, -1); /* of the first: no other has any */
    expect_of(generation, -1, 0);
}

ACT(join, (uint64_t id), assert_ok(call(new_process(), do_join, id)))
ACT(stay_away, (uint64_t id), stall(new_worker(id)))
ACT(drain, (uint64_t id), assert_ok(call(new_worker(id), do_drain, 0)))
ACT(die, (uint64_t id), process_kill(new_worker(id)))
ACT(die_untold, (uint64_t id), struct process *p = new_process();
    assert_ok(call(p, do_join, id)); process_kill(p))
ACT(die_silent, (uint64_t id), struct process *p = new_worker(id);
    set_back(slot_of(record_of(p->pid)), 15001); process_kill(p))
ACT(help, (uint64_t id), new_helper(id))

static void die_ahead(uint64_t id)
{
    struct process *p = new_worker(id);

    put_ahead(slot_of(record_of(p->pid)));
    process_kill(p);
}

static void stop_claiming(uint64_t id)
{
    const pid_t pid = new_worker(id)->pid;
    const uint32_t slot = slot_of(record_of(pid));

    set_state(slot, WM_CLAIMED);
    await(wm_now() > beat_at(slot));
    assert_int_equal(state_of(pid), WM_FREE); /* in a snapshot that settles */
}

/* How one of another worker's generation counts: in n_mine of that worker's
 * exit, where all that count keep the generation open; in n_prev of the next
 * one; and in n_mine of a third worker's start. */
static const struct sibling {
    const char *name;
    void (*act)(uint64_t id);
    int at_exit, as_previous, at_start;
} siblings[] = {
    {"a_joining_worker_counts_for_exits_only", join, 2, 1, 2},
    {"a_stalled_worker_counts", stay_away, 2, 2, 3},
    {"a_draining_worker_counts_nowhere", drain, 1, 1, 2},
    {"a_crashed_worker_counts_for_starts_only", die, 1, 1, 3},
    {"a_crash_before_its_start_counts_nowhere", die_untold, 1, 1, 2},
    {"a_crash_without_a_limit_expires", die_silent, 1, 1, 2},
    {"a_crash_whose_beat_no_clock_made_counts_nowhere", die_ahead, 1, 1, 2},
    {"a_stopped_claimant_counts_nowhere_and_holds_up_nobody", stop_claiming, 1,
     1, 2},
    {"helpers_count_nowhere", help, 1, 1, 2},
};

static void counts_as_said(void **state)
{
    const struct sibling *s = *state;
    struct process *a = new_worker(generation);
    uint64_t next;
    int exits;

    s->act(generation);
    assert_int_equal(shut_down(a, generation, &exits), s->at_exit);
    assert_int_equal(exits, s->at_exit == 1);
    next = begin();
    new_worker(next);
    s->act(next);
    a = new_worker(next);
    assert_int_equal(a->seen->counts.mine, s->at_start);
    process_leave(a);
    expect_of(begin(), s->as_previous, -1);
}

NODE_TEST_EACH(siblings, counts_as_said)
