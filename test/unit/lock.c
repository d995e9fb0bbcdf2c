/* SPDX-License-Identifier: Apache-2.0 */

/* The lifecycle lock between processes: one holder at a time, the dead give it
 * up, the living never do. A process that cannot be had (its pid used again) is
 * written into the segment. A process that polls gets a turn among those that
 * sleep, and a worker beats meanwhile. */

#include "clock.h"
#include "inside.h"
#include "process.h"

#include <pthread.h>

#define PATIENT 20000 /* ms: more than any load makes a try last */
#define LIMIT (UINT64_C(1) << WM_BEAT_BITS) /* of a beat: 17 years */

static struct wm_lock_holder holder(void)
{
    struct wm_lock_holder h = {.size = sizeof(h)};

    wm_lock_inspect(node, &h);
    return h;
}

/* Writes a holder into the lock's word, as protocol.md draws it. */
static void set_holder(pid_t pid, uint64_t start, uint64_t sequence)
{
    header()->lock.word =
        (uint64_t)pid << 42 | (start & 0x3ffff) << 24 | (sequence & 0xffffff);
}

ACT(lock, (void), assert_ok(wm_lock_acquire(node, NULL)))

ACT(unlock, (void), assert_ok(wm_lock_release(node)))

ACT(try_to_lock, (int result),
    assert_int_equal(wm_lock_try(node, 42, 0), result))

static bool one_sleeps(void)
{
    return sleepers(&header()->lock.wake) == 1;
}

CALL_OF(do_is_own, (long)holder().own)
CALL_OF(do_sleep_on_the_lock,
        syscall(SYS_futex, &header()->lock.wake, FUTEX_WAIT, (uint32_t)argument,
                NULL, NULL, 0))

/* A waiter would look again by itself, this one never. */
EMPTY_NODE_TEST(a_release_wakes_a_sleeper)
{
    struct process *a = new_process();

    lock();
    call_begin(a, do_sleep_on_the_lock, header()->lock.wake);
    await(one_sleeps());
    unlock();
    assert_ok(call_end(a));
}

static void *try_to_queue(void *refused)
{
    *(int *)refused = wm_lock_try(node, 0, 1);
    return NULL;
}

EMPTY_NODE_TEST(the_holder_is_refused_again_in_any_thread)
{
    pthread_t thread;
    int refused = 0;

    lock();
    assert_int_equal(wm_lock_acquire(node, NULL), -EDEADLK);
    try_to_lock(-EDEADLK);
    assert_ok(pthread_create(&thread, NULL, try_to_queue, &refused));
    pthread_join(thread, NULL);
    assert_int_equal(refused, -EDEADLK);
    unlock();
}

EMPTY_NODE_TEST(only_the_holder_can_unlock_and_no_forked_child_of_it)
{
    struct process *a = new_process(), *forked;

    assert_int_equal(wm_lock_release(node), -EPERM);
    lock();
    assert_int_equal(call(a, do_unlock, 0), -EPERM);
    forked = new_process();
    assert_int_equal(call(forked, do_is_own, 0), 0);
    assert_int_equal(call(forked, do_unlock, 0), -EPERM);
    assert_int_equal(call(forked, do_try, 0), -EBUSY);
    assert_int_equal(holder().pid, getpid());
    unlock();
    assert_int_equal(wm_lock_release(node), -EPERM);
    /* Nor does it live on in the child when the parent has died. */
    assert_ok(call(a, do_lock, 0));
    forked = process_fork(a);
    process_kill(a);
    assert_int_equal(call(forked, do_try, 0), WM_RECOVERED);
    assert_int_equal(call(forked, do_is_own, 0), 1);
    assert_ok(call(forked, do_unlock, 0));
}

/* Takes what a dead holder left, or what the one before gave back. */
static long do_recover(struct process *self, UNUSED uint64_t none)
{
    long result = do_lock(self, PATIENT);

    return result < 0 || do_unlock(self, 0) != 0 ? -1 : result;
}

EMPTY_NODE_TEST(a_zombies_lock_passes_on_and_one_waiter_alone_recovers_it)
{
    struct process *a = new_process(), *b = new_process(), *others[3];
    long recovered;

    assert_ok(call(a, do_lock, 0));
    new_processes(others, 3);
    call_begin(b, do_recover, 0);
    process_zombify(a);
    recovered = call_all(others, 3, do_recover, 0);
    assert_int_equal(recovered + call_end(b), WM_RECOVERED);
}

EMPTY_NODE_TEST(waiting_ends_when_limited_and_a_stopped_holder_is_not_robbed)
{
    struct process *a = new_process();
    uint64_t word, began;

    assert_ok(call(a, do_lock, 0));
    process_stop(a);
    word = header()->lock.word;
    began = wm_now();
    assert_int_equal(do_lock(NULL, 60), -ETIMEDOUT);
    assert_true(wm_now() - began >= 60);
    assert_int_equal(lock_with(.hold_ms = 1, .wait_ms = PATIENT), -ETIMEDOUT);
    assert_int_equal(wm_lock_try(node, 0, 1), -EINPROGRESS);
    assert_true(header()->lock.word == word);
    process_continue(a);
    assert_int_equal(call(a, do_is_own, 0), 1);
    assert_ok(call(a, do_unlock, 0));
    assert_ok(lock_with(.hold_ms = 1, .wait_ms = PATIENT));
}

EMPTY_NODE_TEST(another_process_with_the_holders_pid_is_not_the_holder)
{
    const pid_t pid = new_process()->pid;
    const uint64_t start = wm_ident_start(wm_process_ident((uint32_t)pid));

    set_holder(pid, start, 7);
    try_to_lock(-EBUSY);
    set_holder(pid, 0, 7); /* it did not know its start */
    try_to_lock(-EBUSY);
    set_holder(pid, start ^ 1, 7);
    try_to_lock(WM_RECOVERED);
    assert_int_equal(holder().sequence, 8);
    unlock();
    set_holder((pid_t)wm_low(UINT32_MAX, WM_PID_BITS), 5, 7); /* nobody */
    try_to_lock(WM_RECOVERED);
}

static void assert_holder(pid_t pid, uint32_t purpose, int own)
{
    assert_int_equal(holder().pid, pid);
    assert_int_equal(holder().purpose, purpose);
    assert_int_equal(holder().own, own);
}

EMPTY_NODE_TEST(what_an_earlier_holder_said_is_not_told)
{
    try_to_lock(0);
    unlock();
    /* One that has it, and was stopped before it could say why. */
    set_holder(getpid(), 0, header()->lock.word + 1);
    assert_holder(getpid(), 0, 0);
    assert_int_equal(holder().generation, 0);
    assert_int_equal(holder().held_ms, 0);
}

EMPTY_NODE_TEST(the_sequence_wraps_without_touching_the_rest)
{
    set_holder(0, 0, 0xffffff);
    assert_ok(wm_lock_try(node, 5, 0));
    assert_holder(getpid(), 5, 1);
    assert_int_equal(holder().sequence, 0);
    assert_int_equal(holder().generation, 0);
    unlock();
    assert_true(header()->lock.word == 0);
    assert_holder(0, 0, 0);
}

/* The clock is frozen: a signature is fresh while a test wants. */
TIMED_TEST(a_signature_keeps_the_free_lock_for_its_writer_until_it_is_stale)
{
    static const uint64_t times[] = {5000, LIMIT - 50, LIMIT + 60000};
    struct process *a = new_process();

    for (size_t i = 0; i < COUNT(times); i++) {
        header()->lock.next = wm_word(0, (uint32_t)a->pid, times[i]);
        fake_clock.frozen_ms = times[i];
        assert_int_equal(wm_lock_try(node, 0, 0), -EBUSY);
        fake_clock.frozen_ms += 100;
        assert_int_equal(wm_lock_try(node, 0, 0), -EBUSY);
        fake_clock.frozen_ms += 1;
        assert_ok(wm_lock_try(node, 0, 0));
        assert_ok(wm_lock_release(node));
    }
    assert_ok(call(a, do_try, 0));
    assert_true(header()->lock.next == 0); /* it has had its turn */
}

/* Each release wakes one that sleeps. If that one did not leave the lock to a
 * poller that has signed, the poller would starve. */
TIMED_TEST(a_try_that_queues_signs_until_its_turn_comes)
{
    struct process *a, *b, *sleeper;
    uint32_t wakes;

    fake_clock.frozen_ms = 5000;
    a = new_process();
    b = new_process();
    sleeper = new_process();
    lock();
    assert_int_equal(call(a, do_try, 0), -EBUSY);
    assert_true(header()->lock.next == 0);
    assert_int_equal(call(a, do_try, 1), -EINPROGRESS);
    assert_int_equal(wm_word_pid(header()->lock.next), a->pid);
    assert_int_equal(call(b, do_try, 1), -EINPROGRESS); /* as a prober */
    assert_int_equal(call(sleeper, do_try, 1), -EBUSY); /* a is the next */
    assert_int_equal(call(a, do_try, 0), -EBUSY);
    assert_int_equal(call(a, do_try, 1), -EINPROGRESS);
    call_begin(sleeper, do_lock, 0);
    await(one_sleeps());
    unlock();
    await(one_sleeps()); /* again */
    assert_int_equal(holder().pid, 0);
    wakes = header()->lock.wake;
    assert_ok(call(a, do_try, 1));
    assert_int_equal(header()->lock.wake - wakes, 1); /* for its place */
    assert_ok(call(a, do_unlock, 0));
    assert_ok(call_end(sleeper));
}

/* The clock is frozen for the others, who are fresh for as long. */
TIMED_TEST(two_of_those_that_wait_ask_about_the_holder)
{
    struct process *p[3];

    fake_clock.frozen_ms = 5000;
    new_processes(p, 3);
    assert_ok(call(p[2], do_lock, 0));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(call(p[i], do_try, 1), -EINPROGRESS);
        assert_int_equal(wm_word_pid(header()->lock.probers[i]), p[i]->pid);
    }
    process_kill(p[2]);
    assert_int_equal(wm_lock_try(node, 0, 1), -EBUSY);
    header()->lock.next = 0; /* it is nobody's turn */
    assert_int_equal(wm_lock_try(node, 0, 0), -EBUSY);
    fake_clock.frozen_ms += 101; /* their places are stale */
    assert_int_equal(wm_lock_try(node, 0, 1), WM_RECOVERED);
    assert_int_equal(call(p[1], do_try, 1), -EINPROGRESS);
    assert_int_equal(header()->lock.probers[0], 0);
}

static bool is_prober(const struct process *p)
{
    const uint32_t pid = (uint32_t)p->pid;

    return wm_word_pid(header()->lock.probers[0]) == pid ||
           wm_word_pid(header()->lock.probers[1]) == pid;
}

static long do_pass(struct process *self, UNUSED uint64_t none)
{
    const long error = do_lock(self, 0);

    return error != 0 ? error : do_unlock(self, 0);
}

/* If nobody relieved it, the third would find both places taken. */
EMPTY_NODE_TEST(a_prober_is_relieved_by_one_that_sleeps)
{
    struct process *p[3];

    lock();
    new_processes(p, 3);
    for (size_t i = 0; i < 3; i++) {
        call_begin(p[i], do_pass, 0);
    }
    for (size_t i = 0; i < 3; i++) {
        await(is_prober(p[i]));
    }
    unlock();
    for (size_t i = 0; i < 3; i++) {
        assert_ok(call_end(p[i]));
    }
}

/* It had the lock for longer than the waiter grants, which probers know of. */
EMPTY_NODE_TEST(a_dead_holder_tries_nobodys_patience)
{
    struct process *a = new_process();

    assert_ok(call(a, do_lock, 0));
    process_kill(a);
    header()->lock.holder_since = 1;
    for (uint32_t i = 0; i < 2; i++) {
        header()->lock.probers[i] = wm_word(0, 1 + i, wm_now());
    }
    assert_int_equal(lock_with(.hold_ms = 1), WM_RECOVERED);
    unlock();
}

NODE_TEST(a_waiter_gives_up_when_the_segment_is_spoilt)
{
    struct process *a = new_process(), *b = new_process();

    assert_ok(call(a, do_lock, 0));
    call_begin(b, do_lock, 0);
    await(one_sleeps());
    header()->magic ^= 1;
    assert_int_equal(call_end(b), -EUCLEAN);
    header()->magic ^= 1;
    assert_ok(call(a, do_unlock, 0));
}

TIMED_TEST(a_worker_beats_while_it_waits_and_as_it_unlocks)
{
    struct process *a = new_worker(generation);

    assert_ok(wm_lock_acquire(node, NULL));
    call_begin(a, do_lock, 0);
    for (int i = 0; i < 3; i++) {
        const uint64_t since = beat_at(0);

        await(beat_at(0) > since);
    }
    assert_ok(wm_lock_release(node));
    assert_ok(call_end(a));
    set_word(0, WM_LIVE, a->pid, 1);
    assert_ok(call(a, do_unlock, 0));
    assert_true(beat_at(0) > 1);
}
