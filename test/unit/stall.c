/* SPDX-License-Identifier: Apache-2.0 */

/* Workers that do not beat: what each reader is told, whoever sweeps, and what
 * nobody is told after the whole machine stood still. */

#include "inside.h"

/* No test lasts as long, and every machine that builds them is up for longer.
 */
#define OVERDUE_MS 30000

static struct process *a, *b;

/* It is overdue for a second. */
static void fall_silent(uint32_t slot)
{
    store_word(slot, wm_word_with_beat(wm_word_identity(word_at(slot)),
                                       wm_now() - OVERDUE_MS - 1000));
}

/* Two workers that are overdue. */
static void two_late(void)
{
    a = new_worker(generation);
    b = new_worker(generation);
    for (uint32_t slot = 0; slot < 2; slot++) {
        set_overdue(slot, OVERDUE_MS);
        fall_silent(slot);
    }
}

static void assert_told(enum wm_state of_a, enum wm_state of_b)
{
    assert_int_equal(state_of(a->pid), of_a);
    assert_int_equal(state_of(b->pid), of_b);
}

/* A sweep by this process, which has no worker, and swept last so long ago. */
static int sweep_again_after(uint64_t ms)
{
    node->swept_at = wm_now() - ms;
    return wm_sweep(node, NULL);
}

NODE_TEST(one_that_hangs_is_stalled_for_readers_though_nobody_sweeps)
{
    two_late();
    assert_told(WM_STALLED, WM_STALLED);
    assert_int_equal(state_at(0), WM_LIVE);
    assert_int_equal(wm_events_owed(node, ~0u), 0);
    assert_ok(call(a, do_beat, 0)); /* no stall to come back from */
    assert_told(WM_LIVE, WM_STALLED);
}

NODE_TEST(readers_spare_the_holder_of_the_lock)
{
    two_late();
    assert_ok(call(a, do_lock, 0));
    fall_silent(0);
    assert_told(WM_LIVE, WM_STALLED);
    assert_ok(call(a, do_unlock, 0));
    assert_told(WM_LIVE, WM_STALLED);
}

NODE_TEST(readers_spare_a_worker_that_leaves)
{
    struct process *next;

    two_late();
    next = new_worker(begin());
    assert_told(WM_LIVE, WM_LIVE);
    process_kill(next); /* and nobody takes over */
    assert_told(WM_STALLED, WM_STALLED);
    new_worker(generation + 1);
    assert_told(WM_LIVE, WM_LIVE);
}

NODE_TEST(readers_call_a_beat_that_no_clock_made_stalled)
{
    two_late();
    put_ahead(0);
    assert_told(WM_STALLED, WM_STALLED);
}

/* The master goes on first, and sweeps. */
NODE_TEST(of_all_that_were_stopped_none_is_stalled)
{
    two_late();
    assert_int_equal(sweep_again_after(OVERDUE_MS + 1), 0);
    assert_told(WM_LIVE, WM_LIVE);
    assert_int_equal(sweep_again_after(0), 0);
    assert_told(WM_LIVE, WM_LIVE);
}

/* But one that does not go on is, in the end. */
NODE_TEST(the_silence_of_all_is_excused_once)
{
    two_late();
    sweep_again_after(OVERDUE_MS + 1);
    header()->awake_since -= OVERDUE_MS + 1;
    assert_told(WM_STALLED, WM_STALLED);
    sweep_again_after(OVERDUE_MS + 1);
    assert_told(WM_STALLED, WM_STALLED);
    assert_ok(call(a, do_beat, 0));
    assert_int_equal(sweep_again_after(0), 1);
    assert_int_equal(state_at(1), WM_STALLED);
}

NODE_TEST(after_a_beat_another_silence_of_all_is_excused)
{
    two_late();
    header()->awake_since = 1;
    sweep_again_after(OVERDUE_MS + 1);
    assert_told(WM_LIVE, WM_LIVE);
}

NODE_TEST(one_that_was_late_marks_none_though_another_went_on)
{
    two_late();
    assert_ok(call(a, do_beat, 0));
    assert_int_equal(sweep_again_after(OVERDUE_MS + 1), 0);
    assert_int_equal(state_at(1), WM_LIVE);
    assert_int_equal(header()->awake_since, 0);
    assert_int_equal(sweep_again_after(OVERDUE_MS / 2), 1);
    assert_int_equal(state_at(1), WM_STALLED);
}

NODE_TEST(a_first_sweep_without_a_worker_marks_none)
{
    two_late();
    assert_ok(call(a, do_beat, 0));
    assert_int_equal(wm_sweep(node, NULL), 0);
    assert_int_equal(wm_sweep(node, NULL), 1);
    assert_int_equal(state_at(1), WM_STALLED);
}

NODE_TEST(a_child_knows_nothing_of_its_parents_sweeps)
{
    two_late();
    assert_ok(call(a, do_beat, 0));
    node->swept_at = wm_now();
    assert_int_equal(call(new_process(), do_sweep, 0), 0);
    assert_int_equal(state_at(1), WM_LIVE);
}

/* All are stopped, and a worker goes on first. */
NODE_TEST(a_late_worker_excuses_all_if_none_was_in_time)
{
    two_late();
    assert_int_equal(call(a, do_sweep, 0), 0);
    assert_told(WM_LIVE, WM_LIVE);
    assert_ok(call(a, do_beat, 0));
    assert_int_equal(call(a, do_sweep, 0), 0);
    assert_told(WM_LIVE, WM_LIVE);
    header()->awake_since = 0;
    assert_int_equal(call(a, do_sweep, 0), 1);
    assert_told(WM_LIVE, WM_STALLED);
}

/* The first that runs after the machine stood still may be a beat, which hides
 * how late it comes from the sweep after it. */
NODE_TEST(a_late_beat_makes_the_next_sweep_patient)
{
    two_late();
    assert_ok(call(a, do_beat, 0));
    assert_int_equal(call(a, do_sweep, 0), 0);
    assert_int_equal(state_at(1), WM_LIVE);
    header()->awake_since = 0;
    assert_int_equal(call(a, do_sweep, 0), 1);
    assert_int_equal(state_at(1), WM_STALLED);
}

NODE_TEST(a_workers_silence_is_compared_with_the_others_limit)
{
    two_late();
    set_overdue(0, 10 * OVERDUE_MS);
    assert_int_equal(call(a, do_sweep, 0), 0);
    assert_int_equal(state_at(1), WM_LIVE);
    assert_ok(call(a, do_beat, 0));
    header()->awake_since = 0;
    set_overdue(0, 1); /* it is always late */
    await(wm_now() > beat_at(0) + 1);
    assert_int_equal(call(a, do_sweep, 0), 1);
    assert_int_equal(state_at(1), WM_STALLED);
}

NODE_TEST(an_awakening_ahead_of_the_clock_excuses_none)
{
    two_late();
    header()->awake_since = wm_now() + OVERDUE_MS;
    assert_told(WM_STALLED, WM_STALLED);
    assert_ok(call(a, do_beat, 0));
    assert_int_equal(sweep_again_after(0), 1);
    assert_told(WM_LIVE, WM_STALLED);
    /* And it is replaced when all have been stopped. */
    fall_silent(0);
    sweep_again_after(OVERDUE_MS + 1);
    assert_told(WM_LIVE, WM_STALLED);
}

/* Elements of a later version's size, which need not be aligned. */
NODE_TEST(a_list_with_longer_elements_says_the_same)
{
    char list[2 * (sizeof(struct wm_worker_info) + 3)];
    const uint32_t element = sizeof(list) / 2;
    struct wm_worker_info info;
    uint32_t count;

    two_late();
    assert_ok(call(a, do_beat, 0));
    assert_ok(wm_snapshot(node, (void *)list, element, 2, &count));
    assert_int_equal(count, 2);
    memcpy(&info, list, sizeof(info));
    assert_int_equal(info.state, WM_LIVE);
    memcpy(&info, list + element, sizeof(info));
    assert_int_equal(info.state, WM_STALLED);
    assert_int_equal(info.pid, b->pid);
}
