/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Many processes do the same at once, again and again: what is one's to do is
 * done by one, and what they did adds up. All interleavings of a few steps are
 * in test/model and test/crash; here the machine chooses. */

#include "inside.h"

#include <sched.h>

#define MANY 6
#define ROUNDS 30

/* ----------------------------------------------------------------- in step */

/* Returns 1 if it was told to be the last, and 100 if it closed. */
static long do_end_under_the_lock(struct process *self, uint64_t id)
{
    bool closed;

    if (do_lock(self, 0) < 0 || do_exit(self, 0) != 0) {
        return -1;
    }
    do_drain(self, 0);
    closed = do_close(self, id) == WM_CLOSED;
    do_unlock(self, 0);
    return closed * 100 + (self->seen->counts.mine == 1);
}

static long do_race_to_the_end(struct process *self, uint64_t id)
{
    do_drain(self, 0);
    return do_close(self, id) == WM_CLOSED ? 100 : 0;
}

static long do_slot_bit(UNUSED struct process *self, UNUSED uint64_t none)
{
    return 1 << wm_worker_slot(wm_node_worker(node));
}

/* They join, stand, drain and close all at once: slots are unique, one leads,
 * one closes, and with the lock one is told to be the last. */
EMPTY_NODE_TEST(of_many_that_come_and_go_at_once_one_leads_and_one_is_the_last)
{
    for (int round = 0; round < ROUNDS; round++) {
        const bool ordered = round % 2 == 0;
        struct process *a[MANY];
        uint64_t id = begin();

        new_processes(a, MANY);
        assert_ok(call_all(a, MANY, do_join, id));
        assert_int_equal(call_all(a, MANY, do_slot_bit, 0), (1 << MANY) - 1);
        assert_ok(call_all(a, MANY, do_start, 0));
        assert_int_equal(call_all(a, MANY, do_stand, 0), 1);
        assert_int_equal(
            call_all(a, MANY,
                     ordered ? do_end_under_the_lock : do_race_to_the_end, id),
            ordered ? 101 : 100);
        assert_generation(id, WM_GENERATION_EXITED, 1);
        assert_int_equal(wm_generation_take_exit(node, id, NULL), 1);
        assert_int_equal(wm_generation_take_exit(node, id, NULL), 0);
        for (int i = 0; i < MANY; i++) {
            process_depart(a[i]);
        }
    }
}

static long do_sweep_many(UNUSED struct process *self, UNUSED uint64_t none)
{
    long changed = 0;

    for (int i = 0; i < 5; i++) {
        changed += sweep();
    }
    return changed;
}

static long do_take_many(UNUSED struct process *self, uint64_t kinds)
{
    struct wm_event e = {.size = sizeof(e)};
    long n = 0;

    for (int i = 0; i < 50; i++) {
        n += wm_event_take(node, (uint32_t)kinds, &e);
    }
    return n;
}

NODE_TEST(of_many_that_sweep_and_take_one_gets_each_death)
{
    struct process *a[4];

    new_processes(a, 4);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        struct process *dead[4];

        for (int i = 0; i < 4; i++) {
            dead[i] = new_worker(generation);
        }
        for (int i = 0; i < 4; i++) {
            process_kill(dead[i]);
        }
        assert_int_equal(call_all(a, 4, do_sweep_many, 0), 4);
        assert_int_equal(generation_of(generation).deaths, 4 * round);
        assert_int_equal(call_all(a, 4, do_take_many, CRASHED), 4);
        for (uint32_t i = 0; i < 8; i++) {
            set_free(i);
        }
    }
}

/* All choose the same one to make room; those that lose it take the next. */
NODE_TEST(many_that_join_a_full_table_at_once_find_room_for_each)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct process *old[8], *young[8];

        node_restart(8);
        for (int i = 0; i < 8; i++) {
            old[i] = new_worker(generation);
            assert_ok(call(old[i], do_drain, 0));
        }
        new_processes(young, 8);
        assert_ok(call_all(young, 8, do_join, generation));
        for (int i = 0; i < 8; i++) {
            process_kill(old[i]);
            process_kill(young[i]);
        }
    }
}

/* ---------------------------------------------------------------- on and on */

/* Whole lives, one after another. Returns how many ends it took, and 2^20 for
 * each term that it led; less than 0 where it saw the impossible. */
static long do_live_on(struct process *self, uint64_t rounds)
{
    volatile uint32_t *number = &shared->number;
    uint32_t term = 0;
    long done = 0;

    for (uint64_t i = 0; i < rounds; i++) {
        struct wm_generation_info list[8];
        struct wm_leader *leader = &self->seen->leader;
        uint32_t count, seen;

        if (do_join(self, 1) != 0 || do_start(self, 0) != 0) {
            return -1;
        }
        /* A worker of it is here: it cannot be but ACTIVE. */
        wm_generations(node, list, sizeof(*list), 8, &count);
        if (count != 1 || list[0].state != WM_GENERATION_ACTIVE) {
            return -2;
        }
        done += do_stand(self, 0) == 1 && leader->term != term ? 1 << 20 : 0;
        if (leader->term < term || do_lock(self, 0) != 0) {
            return -3;
        }
        term = leader->term;
        seen = *number; /* which nothing but the lock protects */
        if (i % 8 == 0) {
            sched_yield();
        }
        *number = seen + 1;
        do_unlock(self, 0);
        do_drain(self, 0);
        do_close(self, 1);
        done += do_take_exit(self, 1);
        do_leave(self, 0);
    }
    return done;
}

NODE_TEST(spells_and_ends_terms_and_holdings_of_the_lock_add_up)
{
    struct process *a[5];
    struct wm_leader last = {.size = sizeof(last)};
    long done, taken;

    new_processes(a, 5);
    done = call_all(a, 5, do_live_on, 500);
    taken = done & ((1 << 20) - 1);
    while (wm_generation_take_exit(node, generation, NULL) == 1) {
        taken++;
    }
    assert_generation(generation, WM_GENERATION_EXITED, (uint32_t)taken);
    wm_leader_inspect(node, &last);
    assert_int_equal(done >> 20, last.term);
    assert_int_equal(shared->number, 5 * 500);
}
