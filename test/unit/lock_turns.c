/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Waiting for the lifecycle lock: a process that polls gets a turn among those
 * that sleep, and a worker beats meanwhile. An old signature is written into
 * the segment. */

#include "inside.h"

#define PATIENT 20000 /* ms: more than any load makes a try last */

static _Atomic uint64_t *next_in_turn(void)
{
    return &header()->lock.next;
}

static void sign(pid_t pid, uint64_t when)
{
    atomic_store(next_in_turn(), wm_word(0, (uint32_t)pid, when));
}

static uint32_t sequence(void)
{
    struct wm_lock_holder h = {.size = sizeof(h)};

    wm_lock_inspect(node, &h);
    return h.sequence;
}

/* ------------------------------------------------------------------- turns */

EMPTY_NODE_TEST(a_fresh_signature_keeps_the_free_lock_for_its_writer)
{
    struct process *a = new_process();
    uint64_t since;
    int result;

    do {
        since = wm_now();
        sign(a->pid, since);
        result = wm_lock_try(node, 0, 0);
        wm_lock_release(node);
        /* Stopped for as long as it is fresh, we have shown nothing: again. */
    } while (result != -EBUSY && wm_now() - since > 50);
    assert_int_equal(result, -EBUSY);
    sign(a->pid, wm_now());
    assert_ok(call(a, do_try, 0));
    assert_true(*next_in_turn() == 0); /* it has had its turn */
    assert_ok(call(a, do_unlock, 0));
}

EMPTY_NODE_TEST(a_stale_signature_keeps_nobody)
{
    sign(1, wm_now() - 101);
    assert_ok(wm_lock_try(node, 0, 0));
    assert_ok(wm_lock_release(node));
}

EMPTY_NODE_TEST(a_dead_pollers_signature_expires)
{
    const struct wm_lock_options options = {.size = sizeof(options),
                                            .wait_ms = PATIENT};
    struct process *a = new_process();

    assert_ok(wm_lock_acquire(node, NULL));
    assert_int_equal(call(a, do_try, 1), -EINPROGRESS);
    assert_int_equal(wm_word_pid(*next_in_turn()), a->pid);
    process_kill(a);
    assert_ok(wm_lock_release(node));
    assert_ok(wm_lock_acquire(node, &options));
    assert_ok(wm_lock_release(node));
}

EMPTY_NODE_TEST(a_mere_try_signs_nothing)
{
    struct process *a = new_process();

    assert_ok(wm_lock_acquire(node, NULL));
    assert_int_equal(call(a, do_try, 0), -EBUSY);
    assert_true(*next_in_turn() == 0);
    assert_ok(wm_lock_release(node));
}

EMPTY_NODE_TEST(of_those_that_queue_the_next_one_is_told)
{
    struct process *first = new_process(), *second = new_process();

    assert_ok(wm_lock_acquire(node, NULL));
    assert_int_equal(call(first, do_try, 1), -EINPROGRESS);
    assert_int_equal(call(second, do_try, 1), -EBUSY);
    assert_int_equal(call(first, do_try, 0), -EBUSY);
    assert_int_equal(call(first, do_try, 1), -EINPROGRESS);
    assert_ok(wm_lock_release(node));
    assert_ok(call(first, do_try, 1));
    assert_int_equal(call(second, do_try, 1), -EINPROGRESS);
    assert_ok(call(first, do_unlock, 0));
}

/* Takes the lock as often as it can, each time for a while. */
static long do_hog(struct process *self, UNUSED uint64_t none)
{
    const struct timespec work = {.tv_nsec = 200000};
    const volatile uint32_t *stop = &shared->number;

    while (*stop == 0) {
        if (do_lock(self, 0) < 0) {
            return -1;
        }
        nanosleep(&work, NULL);
        do_unlock(self, 0);
    }
    return 0;
}

/* Polls until it has the lock: how many others had it from the first signature
 * on; 0 as well if the machine kept it from polling, so that its signature may
 * have become stale. */
static uint32_t poll_turn(void)
{
    const struct timespec rest = {.tv_nsec = 2000000};
    uint64_t last = wm_now();
    uint32_t before = 0, others;
    bool has_signed = false, was_late = false;

    while (wm_lock_try(node, 0, 1) < 0) {
        before = has_signed ? before : sequence();
        was_late = was_late || (has_signed && wm_now() - last > 50);
        has_signed = true;
        last = wm_now();
        nanosleep(&rest, NULL);
    }
    was_late = was_late || wm_now() - last > 50;
    others = sequence() - before;
    wm_lock_release(node);
    return has_signed && !was_late ? others : 0;
}

EMPTY_NODE_TEST(a_poller_gets_its_turn_among_sleepers)
{
    struct process *a[4];

    for (int i = 0; i < 4; i++) {
        a[i] = new_process();
        call_begin(a[i], do_hog, 0);
    }
    /* Each of them may have looked for a signature just before it was there. */
    for (int turns = 0; turns < 31;) {
        uint32_t others = poll_turn();

        assert_true(others <= 4 + 1);
        turns += others > 0;
    }
    shared->number = 1;
    for (int i = 0; i < 4; i++) {
        assert_ok(call_end(a[i]));
    }
}

/* ------------------------------------------------------------------- beats */

static bool has_beaten(void *since)
{
    return beat_at(0) > *(uint64_t *)since;
}

NODE_TEST(a_worker_beats_while_it_waits)
{
    struct process *a = new_worker(generation);

    assert_ok(wm_lock_acquire(node, NULL));
    call_begin(a, do_lock, 0);
    for (int i = 0; i < 3; i++) {
        uint64_t since = beat_at(0);

        await(has_beaten, &since, "a beat of the waiter");
    }
    assert_ok(wm_lock_release(node));
    assert_ok(call_end(a));
    assert_ok(call(a, do_unlock, 0));
}

NODE_TEST(a_worker_beats_as_it_unlocks)
{
    struct process *a = new_worker(generation);

    assert_ok(call(a, do_lock, 0));
    set_word(0, WM_LIVE, a->pid, 1);
    assert_ok(call(a, do_unlock, 0));
    assert_true(beat_at(0) > 1);
}
