/* SPDX-License-Identifier: Apache-2.0 */

/* The event log, whose entries prove themselves, and the epoch, on which those
 * sleep that wait for a change. */

#include "log.h"
#include "clock.h"
#include "inside.h"

#define HOUR_MS 3600000

static struct {
    struct wm_log_entry list[32];
    uint64_t since, missed;
} r;

static int start_reading(void **state)
{
    memset(&r, 0, sizeof(r));
    return node_set_up(state);
}

#define LOG_TEST(name) TEST_WITH(start_reading, clock_tear_down, name)

/* Reads that much more, with that patience; expects so many, and so many
 * missed. */
static void expect_log(uint32_t room, uint32_t patience_ms, int result,
                       uint32_t entries, uint64_t missed)
{
    uint32_t count = 0;

    assert_int_equal(wm_log_read_within(node, &r.since, r.list, sizeof(*r.list),
                                        room, &count, &r.missed, patience_ms),
                     result);
    assert_int_equal(count, entries);
    assert_int_equal(r.missed, missed);
}

/* Neither a beat nor a sweep is a change. */
LOG_TEST(each_change_of_a_life_is_logged_in_order_and_makes_another_epoch)
{
    static const uint32_t expected[] = {WM_LOG_GENERATION_BEGUN,
                                        WM_LOG_WORKER_JOINED,
                                        WM_LOG_GENERATION_ACTIVE,
                                        WM_LOG_WORKER_LIVE,
                                        WM_LOG_LEADER,
                                        WM_LOG_WORKER_STALLED,
                                        WM_LOG_WORKER_RECOVERED,
                                        WM_LOG_LEADER_LOST,
                                        WM_LOG_WORKER_DRAINING,
                                        WM_LOG_GENERATION_EXITED,
                                        WM_LOG_WORKER_LEFT,
                                        WM_LOG_GENERATION_GONE,
                                        WM_LOG_GENERATION_BEGUN,
                                        WM_LOG_GENERATION_ABORTED};
    struct process *a = new_process();
    const uint32_t epoch = wm_epoch(node);

    begin();
    call(a, do_join, 1);
    call(a, do_start, 0);
    call(a, do_stand, 0);
    call(a, do_beat, 0);
    call(a, do_sweep, 0);
    stall(a);
    call(a, do_beat, 0);
    call(a, do_drain, 0);
    call(a, do_close, 1);
    call(a, do_leave, 0);
    wm_generation_abandon(node, begin());

    expect_log(32, HOUR_MS, 0, COUNT(expected), 0);
    assert_int_equal(wm_epoch(node) - epoch, COUNT(expected));
    for (uint32_t i = 0; i < COUNT(expected); i++) {
        assert_int_equal(r.list[i].number, i + 1);
        assert_int_equal(r.list[i].kind, expected[i]);
    }
}

/* It is not believed before all of it is right. */
LOG_TEST(a_slow_writers_entry_is_told_in_its_place)
{
    for (int i = 0; i < 4; i++) {
        begin();
    }
    node->segment.log[2].value ^= 2;
    expect_log(8, HOUR_MS, WM_UNSETTLED, 1, 0);
    assert_int_equal(r.since, 1);
    node->segment.log[2].value ^= 2;
    expect_log(8, HOUR_MS, 0, 3, 0);
    assert_int_equal(r.list[0].number, 2);
    r.since = 1000; /* of another life */
    expect_log(8, HOUR_MS, 0, 0, 0);
    assert_int_equal(r.since, 4);
}

/* The entry of the round before is whole there, but of another number. */
LOG_TEST(an_entry_of_the_round_before_is_not_taken_for_a_new_one)
{
    r.since = 256;
    for (uint32_t i = 0; i < 256; i++) {
        wm_log_append(node, WM_LOG_LEADER, 1, i, 1, WM_NO_SLOT);
    }
    header()->log_next++; /* its writer has died */
    expect_log(8, HOUR_MS, 0, 0, 0);
    begin();
    expect_log(8, 0, 0, 1, 1);
    assert_int_equal(r.list[0].number, 258);
    assert_int_equal(r.since, 258);
}

/* Else nothing would be told until the clock came to where it was. */
LOG_TEST(a_dead_writer_or_a_clock_set_back_holds_readers_up_for_a_while)
{
    static const struct {
        time_t shift_s; /* how much more the clock shows than it should */
        int result;
        uint32_t entries;
        uint64_t missed;
    } table[] = {{1800, WM_UNSETTLED, 1, 0},
                 {3601, 0, 2, 2},
                 {-1800, WM_UNSETTLED, 1, 0},
                 {-7200, 0, 2, 2}};

    begin();
    header()->log_next += 2;
    begin();
    for (size_t i = 0; i < COUNT(table); i++) {
        fake_clock.shift_s = table[i].shift_s;
        r.since = 0;
        expect_log(8, HOUR_MS, table[i].result, table[i].entries,
                   table[i].missed);
    }
    assert_int_equal(r.list[1].number, 4);
}

/* Woken by a change, it sees one; 1: it is woken without one. */
static long do_wait(UNUSED struct process *self, uint64_t epoch)
{
    int result = wm_wait(node, (uint32_t)epoch, 0);

    return result == 0 ? wm_epoch(node) == (uint32_t)epoch : result;
}

static bool all_are_woken(const struct wm_node *reader)
{
    shared->number += (uint32_t)wm_wake(reader);
    return shared->number == 2;
}

EMPTY_NODE_TEST(a_wait_ends_in_time_or_by_another_epoch_or_by_a_reader)
{
    struct wm_node *reader = open_reader();
    const uint32_t epoch = wm_epoch(node);
    const uint64_t since = wm_clock_ms(CLOCK_MONOTONIC);
    struct process *a[2];

    assert_int_equal(wm_wait(reader, epoch, 20), -ETIMEDOUT);
    assert_true(wm_clock_ms(CLOCK_MONOTONIC) - since >= 20);
    new_processes(a, 2);
    for (uint32_t changes = 0; changes < 2; changes++) {
        call_begin(a[0], do_wait, epoch);
        call_begin(a[1], do_wait, epoch);
        if (changes > 0) {
            begin();
        } else {
            await(all_are_woken(reader));
        }
        assert_int_equal(call_end(a[0]), changes == 0);
        assert_int_equal(call_end(a[1]), changes == 0);
        assert_int_equal(wm_epoch(node), epoch + changes);
    }
    assert_ok(wm_wait(reader, epoch, 0));
    assert_ok(wm_node_release(reader));
}
