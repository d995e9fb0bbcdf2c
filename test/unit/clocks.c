/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What the clocks may show: a pause between two looks, a sleep of the machine,
 * the moments after boot and after 17 years, a wall clock that is set. */

#include "clock.h"
#include "inside.h"
#include "log.h"
#include "process.h"

#define LIMIT (UINT64_C(1) << WM_BEAT_BITS) /* of a beat: 17 years */
#define HOUR_MS 3600000

#define CLOCK_TEST(name) TEST_WITH(node_set_up, clock_tear_down, name)

/* Sets all clocks, in ms since boot. */
static void clock_set(uint64_t ms)
{
    fake_clock.shift_s = 0;
    fake_clock.shift_s = (time_t)(ms / 1000) - (time_t)(wm_now() / 1000);
}

static bool is_dead(uint32_t pid, uint64_t claimed_ms)
{
    return wm_process_dead(wm_ident(pid, 0), claimed_ms, WM_PROOF_FULL);
}

/* Judged by the clock alone: a claimant whose start time is not known. The
 * machine was once asleep, and the judge is stopped between two looks at the
 * clock. */
CLOCK_TEST(a_pause_of_the_judge_kills_no_living_claimant)
{
    const uint32_t pid = (uint32_t)new_process()->pid;
    const uint64_t start_ms = wm_ident_start(wm_process_ident(pid)) * 1000 /
                              (uint64_t)sysconf(_SC_CLK_TCK);
    const uint64_t claimed_ms = start_ms - 2000 + 5;

    assert_true(start_ms > 3000);
    fake_clock.asleep_ms = 2000;
    assert_false(is_dead(pid, claimed_ms));
    /* One that claimed long before this process began is another. */
    assert_true(is_dead(pid, claimed_ms - 505));
    fake_clock.pause_ms = 1000;
    assert_false(is_dead(pid, claimed_ms));
}

CLOCK_TEST(a_life_is_led_just_after_boot_and_after_17_years)
{
    static const uint64_t times[] = {0, LIMIT - 1000, LIMIT, LIMIT + 1000};

    for (size_t i = 0; i < COUNT(times); i++) {
        struct wm_counts counts;
        struct wm_worker *worker;

        clock_set(times[i]);
        forget_joining();
        worker = own_worker(begin());
        assert_ok(wm_tick(worker, 1));
        assert_int_equal(wm_sweep(node, worker), 0);
        assert_ok(wm_lock_acquire(node, NULL));
        assert_ok(wm_worker_exit_counts(worker, &counts));
        assert_int_equal(counts.mine, 1);
        assert_ok(wm_lock_release(node));
        assert_ok(wm_worker_leave(worker));
    }
}

CLOCK_TEST(a_beat_over_the_limit_is_no_stall)
{
    struct wm_worker *worker;

    clock_set(LIMIT - 2000);
    worker = own_worker(begin());
    set_overdue(0, 60000);
    clock_set(LIMIT + 2000);
    assert_int_equal(sweep(), 0);
    assert_ok(wm_beat(worker));
    assert_true(beat_at(0) < 60000);
    assert_int_equal(sweep(), 0);
    assert_ok(wm_worker_leave(worker));
}

/* The bits of its claim are a moment long before it began. */
CLOCK_TEST(after_17_years_a_living_claimant_is_not_called_dead)
{
    const uint32_t pid = (uint32_t)new_process()->pid;

    assert_true(wm_now() > 3000);
    clock_set(LIMIT + 1000);
    assert_false(is_dead(pid, wm_word_beat(wm_now())));
}

/* Else nothing would be told until the clock came to where it was. */
CLOCK_TEST(a_dead_writer_or_a_clock_set_back_holds_readers_up_for_a_while)
{
    static const struct {
        time_t shift_s; /* how much more the clock shows than it should */
        int result;
        uint32_t entries;
    } table[] = {{1800, WM_UNSETTLED, 1},
                 {3601, 0, 2},
                 {-1800, WM_UNSETTLED, 1},
                 {-7200, 0, 2}};
    struct wm_log_entry list[8];
    uint64_t since = 0, missed;
    uint32_t count;

    begin();
    lose_log_entries(2);
    begin();
    for (size_t i = 0; i < COUNT(table); i++) {
        fake_clock.shift_s = table[i].shift_s;
        since = 0;
        assert_int_equal(wm_log_read_within(node, &since, list, sizeof(*list),
                                            8, &count, NULL, HOUR_MS),
                         table[i].result);
        assert_int_equal(count, table[i].entries);
    }
    fake_clock.shift_s = 1; /* of which it takes no more */
    since = 0;
    assert_ok(
        wm_log_read(node, &since, list, sizeof(*list), 8, &count, &missed));
    assert_int_equal(count, 2);
    assert_int_equal(list[1].number, 4);
    assert_int_equal(missed, 2);
}
