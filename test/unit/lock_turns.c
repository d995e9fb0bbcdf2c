/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Waiting for the lifecycle lock: a process that polls gets a turn among those
 * that sleep, and a worker beats meanwhile. */

#include "inside.h"

#include <sys/syscall.h>

#define PATIENT 20000 /* ms: more than any load makes a try last */
#define LIMIT (UINT64_C(1) << WM_BEAT_BITS) /* of a beat: 17 years */

/* The time of all processes, in ms; 0: it passes. A signature is fresh for so
 * long as a test wants, however slow the machine is. */
static uint64_t frozen_ms;

int clock_gettime(clockid_t id, struct timespec *ts)
{
    if (frozen_ms == 0) {
        return (int)syscall(SYS_clock_gettime, id, ts);
    }
    ts->tv_sec = (time_t)(frozen_ms / 1000);
    ts->tv_nsec = (long)(frozen_ms % 1000) * 1000000;
    return 0;
}

static int set_up(void **state)
{
    frozen_ms = 0;
    return generation_set_up(state);
}

#define TURN_TEST(name) TEST_WITH(set_up, node_tear_down, name)

TURN_TEST(a_signature_keeps_the_free_lock_for_its_writer_until_it_is_stale)
{
    static const uint64_t times[] = {5000, LIMIT - 50, LIMIT + 60000};
    struct process *a = new_process();

    for (size_t i = 0; i < COUNT(times); i++) {
        header()->lock.next = wm_word(0, (uint32_t)a->pid, times[i]);
        frozen_ms = times[i];
        assert_int_equal(wm_lock_try(node, 0, 0), -EBUSY);
        frozen_ms += 100;
        assert_int_equal(wm_lock_try(node, 0, 0), -EBUSY);
        frozen_ms += 1;
        assert_ok(wm_lock_try(node, 0, 0));
        assert_ok(wm_lock_release(node));
    }
    assert_ok(call(a, do_try, 0));
    assert_true(header()->lock.next == 0); /* it has had its turn */
}

TURN_TEST(a_try_that_queues_signs_until_its_turn_comes_or_it_dies)
{
    struct process *a = new_process(), *b = new_process();

    assert_ok(wm_lock_acquire(node, NULL));
    assert_int_equal(call(a, do_try, 0), -EBUSY);
    assert_true(header()->lock.next == 0);
    assert_int_equal(call(a, do_try, 1), -EINPROGRESS);
    assert_int_equal(wm_word_pid(header()->lock.next), a->pid);
    assert_int_equal(call(b, do_try, 1), -EBUSY); /* a is the next */
    assert_int_equal(call(a, do_try, 0), -EBUSY);
    assert_int_equal(call(a, do_try, 1), -EINPROGRESS);
    assert_ok(wm_lock_release(node));
    assert_ok(call(a, do_try, 1));
    assert_int_equal(call(b, do_try, 1), -EINPROGRESS);
    process_kill(b);
    assert_ok(call(a, do_unlock, 0));
    assert_ok(do_lock(NULL, PATIENT));
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
 * on. */
static uint32_t poll_turn(void)
{
    const struct timespec rest = {.tv_nsec = 2000000};
    uint32_t before = 0;

    while (wm_lock_try(node, 0, 1) < 0) {
        before = before == 0 ? wm_lock_sequence(header()->lock.word) : before;
        nanosleep(&rest, NULL);
    }
    assert_ok(wm_lock_release(node));
    return before == 0 ? 0 : wm_lock_sequence(header()->lock.word) - before;
}

TURN_TEST(a_poller_gets_its_turn_among_sleepers)
{
    struct process *a[4];

    frozen_ms = 5000; /* a signature is always fresh */
    new_processes(a, 4);
    for (int i = 0; i < 4; i++) {
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

static bool has_beaten(void *since)
{
    return beat_at(0) > *(uint64_t *)since;
}

TURN_TEST(a_worker_beats_while_it_waits_and_as_it_unlocks)
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
    set_word(0, WM_LIVE, a->pid, 1);
    assert_ok(call(a, do_unlock, 0));
    assert_true(beat_at(0) > 1);
}
