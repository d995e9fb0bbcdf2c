/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Processes are killed at random moments; the others go on, and nothing is told
 * twice, nothing that is owed is lost, no slot is lost for good. A death after
 * each single step is in stepping.c. */

#include "inside.h"

/* I7: each record is free, crashed, or of a living process. */
static void check_records(void)
{
    assert_int_equal(sweep(), 0);
    for (uint32_t i = 0; i < node->segment.geometry.capacity; i++) {
        assert_true(state_at(i) == WM_FREE || state_at(i) == WM_CRASHED ||
                    (state_at(i) != WM_CLAIMED &&
                     kill((pid_t)wm_word_pid(word_at(i)), 0) == 0));
    }
}

/* Lives of workers, one after another, until it is killed. The ends taken are
 * counted in memory that survives it. */
static long do_live_on(struct process *self, UNUSED uint64_t none)
{
    struct wm_log_entry log[4];
    uint64_t since = 0;
    uint32_t n;

    for (;;) {
        if (do_join(self, 1) != 0) {
            sweep();
            continue;
        }
        do_lock(self, 0);
        do_start(self, 0);
        do_unlock(self, 0);
        do_beat(self, 0);
        do_stand(self, 0);
        wm_log_read(node, &since, log, sizeof(*log), 4, &n, NULL);
        do_lock(self, 0);
        do_exit(self, 0);
        do_drain(self, 0);
        do_close(self, 1);
        while (wm_generation_take_exit(node, 1, NULL) == 1) {
            self->seen->number++;
        }
        do_unlock(self, 0);
        do_leave(self, 0);
    }
    return 0;
}

/* Each slot can be taken again, and the lock, and the lead. */
static void check_all_is_usable(void)
{
    struct process *a[8];

    for (int i = 0; i < 8; i++) {
        a[i] = new_worker(generation);
    }
    assert_true(call(a[0], do_lock, 20000) >= 0);
    assert_ok(call(a[0], do_unlock, 0));
    assert_int_equal(call(a[7], do_stand, 0), 1);
    for (int i = 0; i < 8; i++) {
        process_leave(a[i]);
    }
}

/* The moment of the kill is random, not what is awaited. */
NODE_TEST(killed_at_random_moments_nothing_is_lost_or_told_twice)
{
    const char *given = getenv("WM_SEED");
    unsigned seed =
        given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)wm_now();
    struct wm_event event = {.size = sizeof(event)};
    uint32_t crashes = 0, taken = 0, kills = 0;
    struct process *last;
    struct wm_generation_info info;
    int exits;

    print_message("# WM_SEED=%u\n", seed);
    srand(seed);
    for (int round = 0; round < 60; round++) {
        struct process *a[4];

        new_processes(a, 4);
        for (int i = 0; i < 4; i++) {
            call_begin(a[i], do_live_on, 0);
        }
        for (int i = 0; i < 4; i++) {
            const struct timespec pause = {.tv_nsec = rand() % 1500 * 1000L};

            nanosleep(&pause, NULL);
            process_kill(a[i]);
            taken += a[i]->seen->number;
            kills++;
        }
        sweep();
        check_records();
        while (wm_event_take(node, CRASHED, &event) == 1) {
            crashes++;
        }
        assert_true(crashes <= kills);
        /* A death between marking and counting leaves a label uncounted. */
        assert_true(generation_of(generation).deaths <= crashes);
    }
    last = new_worker(generation);
    assert_true(call(last, do_lock, 20000) >= 0);
    assert_int_equal(shut_down(last, generation, &exits), 1);
    assert_ok(call(last, do_unlock, 0));
    process_depart(last);
    taken += (uint32_t)exits;
    info = generation_of(generation);
    assert_int_equal(info.state, WM_GENERATION_EXITED);
    assert_int_equal(info.spell, info.exits_given);
    /* One for each that died between taking an end and counting it. */
    assert_true(taken <= info.spell && taken + kills >= info.spell);
    assert_int_equal(wm_events_owed(node, ~0u), 0);
    check_all_is_usable();
}
