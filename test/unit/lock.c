/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The lifecycle lock between processes: one holder at a time, the dead give
 * it up, the living never do, and who polls gets a turn among sleepers. What
 * cannot be had from real processes (a pid used again, an old signature) is
 * written into the segment. */

#include "scene.h"

#include "layout.h"
#include "node.h"
#include "process.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PATIENT 20000 /* ms: more than any load makes a try last */

static struct wm_lock_area *area(const struct scene *s)
{
    return &s->node->segment.header->lock;
}

static struct wm_lock_holder holder(const struct scene *s)
{
    struct wm_lock_holder h;

    wm_lock_inspect(s->node, &h);
    return h;
}

/* The lock's word as protocol.md draws it. */
static uint64_t lock_word(uint32_t pid, uint64_t start, uint64_t sequence)
{
    return (uint64_t)pid << 42 | (start & 0x3ffff) << 24 | sequence;
}

static long act_try(struct actor *self, long queue)
{
    return wm_lock_try(self->scene->node, 2, (int)queue);
}

static long act_is_own(struct actor *self, long unused)
{
    (void)unused;
    return (long)holder(self->scene).own;
}

/* ----------------------------------------------------------- one at a time */

/* Adds to a number that nothing but the lock protects. */
static long act_count_up(struct actor *self, long rounds)
{
    uint32_t *shared = &self->scene->actor[0].board->number;

    for (long i = 0; i < rounds; i++) {
        uint32_t seen;

        if (act_lock(self, 0) != 0) {
            return -1;
        }
        seen = *(volatile uint32_t *)shared;
        if (i % 8 == 0) {
            sched_yield();
        }
        *(volatile uint32_t *)shared = seen + 1;
        if (act_unlock(self, 0) != 0) {
            return -1;
        }
    }
    return 0;
}

static void one_process_at_a_time_has_it(void **state)
{
    struct scene *s = *state;
    struct actor *a[5];

    for (int i = 0; i < 5; i++) {
        a[i] = scene_actor(s);
    }
    for (int i = 0; i < 5; i++) {
        actor_tell(a[i], act_count_up, 1000);
    }
    for (int i = 0; i < 5; i++) {
        assert_int_equal(actor_hear(a[i]), 0);
    }
    assert_int_equal(s->actor[0].board->number, 5000);
    assert_int_equal(holder(s).pid, 0);
}

static void a_sleeper_gets_what_is_released(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);

    assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
    actor_tell(a, act_lock, 0);
    assert_int_equal(wm_lock_release(s->node), 0);
    assert_int_equal(actor_hear(a), 0);
    assert_int_equal(holder(s).pid, a->pid);
    assert_int_equal(wm_lock_try(s->node, 0, 0), -EBUSY);
    assert_int_equal(actor_do(a, act_unlock, 0), 0);
    assert_int_equal(wm_lock_try(s->node, 0, 0), 0);
    assert_int_equal(wm_lock_release(s->node), 0);
}

/* How many sleep on the lock: moved from its futex to the same one. */
static long sleepers(const struct scene *s)
{
    _Atomic uint32_t *wake = &area(s)->wake;

    return syscall(SYS_futex, wake, FUTEX_CMP_REQUEUE, 0, INT_MAX, wake,
                   atomic_load(wake));
}

/* Who is not woken looks again, but so late that this would take some two
 * minutes; the alarm ends what takes one. */
static void a_release_wakes_who_sleeps(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);

    alarm(60);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
        actor_tell(a, act_lock, 0);
        while (sleepers(s) == 0) {
            sched_yield();
        }
        assert_int_equal(wm_lock_release(s->node), 0);
        assert_int_equal(actor_hear(a), 0);
        assert_int_equal(actor_do(a, act_unlock, 0), 0);
    }
    alarm(0);
}

static void who_has_it_is_refused_a_second_time(void **state)
{
    struct scene *s = *state;

    assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
    assert_int_equal(wm_lock_acquire(s->node, NULL), -EDEADLK);
    assert_int_equal(wm_lock_try(s->node, 0, 0), -EDEADLK);
    assert_int_equal(wm_lock_try(s->node, 0, 1), -EDEADLK);
    assert_int_equal(wm_lock_release(s->node), 0);
}

static void who_has_it_not_cannot_unlock(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);

    assert_int_equal(wm_lock_release(s->node), -EPERM);
    assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
    assert_int_equal(actor_do(a, act_unlock, 0), -EPERM);
    assert_int_equal(holder(s).pid, getpid());
    assert_int_equal(wm_lock_release(s->node), 0);
    assert_int_equal(wm_lock_release(s->node), -EPERM);
}

static void too_small_options_are_refused(void **state)
{
    struct scene *s = *state;
    const struct wm_lock_options options = {.size = sizeof(options) - 1};

    assert_int_equal(wm_lock_acquire(s->node, &options), -EINVAL);
    assert_int_equal(holder(s).pid, 0);
}

static void a_reader_cannot_have_it_but_sees_who_does(void **state)
{
    struct scene *s = *state;
    struct wm_node *reader;
    struct wm_lock_holder h;

    assert_int_equal(wm_node_open(s->instance, NULL, &reader), 0);
    assert_int_equal(wm_lock_acquire(reader, NULL), -EROFS);
    assert_int_equal(wm_lock_try(reader, 0, 1), -EROFS);
    assert_int_equal(wm_lock_release(reader), -EPERM);
    assert_int_equal(wm_lock_try(s->node, 42, 0), 0);
    wm_lock_inspect(reader, &h);
    assert_int_equal(h.pid, getpid());
    assert_int_equal(h.purpose, 42);
    assert_int_equal(wm_lock_release(s->node), 0);
    assert_int_equal(wm_node_release(reader), 0);
}

/* --------------------------------------------------------- the dead and not */

static void a_dead_holders_lock_passes_on(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);

    assert_int_equal(actor_do(a, act_lock, 0), 0);
    actor_kill(a);
    assert_int_equal(wm_lock_try(s->node, 0, 0), WM_RECOVERED);
    assert_int_equal(wm_lock_release(s->node), 0);
    assert_int_equal(wm_lock_try(s->node, 0, 0), 0);
    assert_int_equal(wm_lock_release(s->node), 0);
}

static void a_zombies_lock_passes_on_to_a_waiter(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s), *b = scene_actor(s);

    assert_int_equal(actor_do(a, act_lock, 0), 0);
    actor_tell(b, act_lock, PATIENT);
    actor_zombify(a);
    assert_int_equal(actor_hear(b), WM_RECOVERED);
    assert_int_equal(holder(s).pid, b->pid);
    assert_int_equal(actor_do(b, act_unlock, 0), 0);
}

/* Takes what a dead holder left; told: how many did. */
static long act_recover(struct actor *self, long unused)
{
    long result = act_lock(self, PATIENT);

    (void)unused;
    return result < 0 || act_unlock(self, 0) != 0 ? -1 : result;
}

static void one_waiter_alone_recovers_it(void **state)
{
    struct scene *s = *state;
    struct actor *holds = scene_actor(s), *waits[4];
    long recovered = 0;

    for (int i = 0; i < 4; i++) {
        waits[i] = scene_actor(s);
    }
    assert_int_equal(actor_do(holds, act_lock, 0), 0);
    for (int i = 0; i < 4; i++) {
        actor_tell(waits[i], act_recover, 0);
    }
    actor_kill(holds);
    for (int i = 0; i < 4; i++) {
        recovered += actor_hear(waits[i]) == WM_RECOVERED;
    }
    assert_int_equal(recovered, 1);
}

static void a_stopped_holder_is_not_robbed(void **state)
{
    const struct wm_lock_options options = {
        .size = sizeof(options), .hold_ms = 1, .wait_ms = PATIENT};
    struct scene *s = *state;
    struct actor *a = scene_actor(s);
    uint64_t word;

    assert_int_equal(actor_do(a, act_lock, 0), 0);
    actor_pause(a);
    word = area(s)->word;
    assert_int_equal(wm_lock_acquire(s->node, &options), -ETIMEDOUT);
    assert_int_equal(wm_lock_try(s->node, 0, 1), -EINPROGRESS);
    assert_true(area(s)->word == word);
    actor_resume(a);
    assert_int_equal(actor_do(a, act_is_own, 0), 1);
    assert_int_equal(actor_do(a, act_unlock, 0), 0);
    assert_int_equal(wm_lock_acquire(s->node, &options), 0);
    assert_int_equal(wm_lock_release(s->node), 0);
}

static void waiting_ends_when_it_was_limited(void **state)
{
    const struct wm_lock_options options = {.size = sizeof(options),
                                            .wait_ms = 60};
    struct scene *s = *state;
    struct actor *a = scene_actor(s);
    uint64_t began;

    assert_int_equal(actor_do(a, act_lock, 0), 0);
    began = wm_now();
    assert_int_equal(wm_lock_acquire(s->node, &options), -ETIMEDOUT);
    assert_true(wm_now() - began >= 60);
    assert_int_equal(holder(s).pid, a->pid);
    assert_int_equal(wm_lock_release(s->node), -EPERM);
}

/* The limit is one holder's, not the queue's: holders that change often keep
 * a waiter as long as it takes. */
static void a_limit_on_holding_is_no_limit_on_waiting(void **state)
{
    const struct wm_lock_options options = {.size = sizeof(options),
                                            .hold_ms = PATIENT};
    struct scene *s = *state;
    struct actor *a = scene_actor(s);

    actor_tell(a, act_count_up, 2000);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(wm_lock_acquire(s->node, &options), 0);
        assert_int_equal(wm_lock_release(s->node), 0);
    }
    assert_int_equal(actor_hear(a), 0);
}

static void another_process_with_the_holders_pid_is_not_the_holder(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);
    const uint32_t pid = (uint32_t)a->pid;
    const uint64_t start = wm_ident_start(wm_process_ident(pid));

    area(s)->word = lock_word(pid, start, 7);
    assert_int_equal(wm_lock_try(s->node, 0, 0), -EBUSY);
    area(s)->word = lock_word(pid, 0, 7); /* it did not know its start */
    assert_int_equal(wm_lock_try(s->node, 0, 0), -EBUSY);
    area(s)->word = lock_word(pid, start ^ 1, 7);
    assert_int_equal(wm_lock_try(s->node, 0, 0), WM_RECOVERED);
    assert_int_equal(holder(s).sequence, 8);
    assert_int_equal(wm_lock_release(s->node), 0);
}

static void a_pid_that_nobody_has_holds_nothing(void **state)
{
    struct scene *s = *state;

    area(s)->word = lock_word((UINT32_C(1) << 22) - 1, 5, 7);
    assert_int_equal(wm_lock_try(s->node, 0, 0), WM_RECOVERED);
    assert_int_equal(wm_lock_release(s->node), 0);
}

static void a_noted_holding_is_ended_once_and_no_other(void **state)
{
    struct scene *s = *state;
    struct wm_lock_hold first, second, none;

    wm_lock_hold_note(s->node, &none);
    assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
    wm_lock_hold_note(s->node, &first);
    wm_lock_hold_release(&none);
    assert_int_equal(holder(s).own, 1);
    wm_lock_hold_release(&first);
    assert_int_equal(holder(s).pid, 0);
    assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
    wm_lock_hold_note(s->node, &second);
    wm_lock_hold_release(&first); /* long over */
    assert_int_equal(holder(s).own, 1);
    assert_int_equal(wm_lock_release(s->node), 0);
    wm_lock_hold_release(&second);
    assert_int_equal(wm_lock_release(s->node), -EPERM);
}

/* ------------------------------------------------------------------- forks */

static void a_forked_child_does_not_hold_its_parents_lock(void **state)
{
    struct scene *s = *state;
    struct actor *a, *b = scene_actor(s), *child;

    assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
    a = scene_actor(s);
    assert_int_equal(actor_do(a, act_is_own, 0), 0);
    assert_int_equal(actor_do(a, act_unlock, 0), -EPERM);
    assert_int_equal(actor_do(a, act_try, 0), -EBUSY);
    assert_int_equal(wm_lock_release(s->node), 0);
    /* Nor does it live on in the child when the parent has died. */
    assert_int_equal(actor_do(b, act_lock, 0), 0);
    child = actor_fork(b);
    actor_kill(b);
    assert_int_equal(actor_do(child, act_try, 0), WM_RECOVERED);
    assert_int_equal(actor_do(child, act_is_own, 0), 1);
    assert_int_equal(actor_do(child, act_unlock, 0), 0);
}

static void releasing_the_node_gives_the_lock_back(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);

    assert_int_equal(actor_do(a, act_lock, 0), 0);
    assert_int_equal(actor_do(a, act_release, 0), 0);
    assert_int_equal(holder(s).pid, 0);
    assert_int_equal(wm_lock_try(s->node, 0, 0), 0);
    assert_int_equal(wm_lock_release(s->node), 0);
}

/* -------------------------------------------------------------- inspection */

static void inspection_tells_who_why_and_which_time(void **state)
{
    struct scene *s = *state;
    struct wm_lock_holder h = holder(s);
    uint32_t first;

    assert_int_equal(h.pid, 0);
    assert_int_equal(h.purpose, 0);
    assert_int_equal(h.own, 0);
    assert_int_equal(wm_lock_try(s->node, 42, 0), 0);
    h = holder(s);
    first = h.sequence;
    assert_int_equal(h.pid, getpid());
    assert_int_equal(h.purpose, 42);
    assert_int_equal(h.own, 1);
    assert_int_equal(h.generation, 0);
    assert_true(h.held_ms < 3600000);
    assert_int_equal(wm_lock_release(s->node), 0);
    assert_int_equal(holder(s).pid, 0);
    assert_int_equal(holder(s).own, 0);
    assert_int_equal(wm_lock_try(s->node, 43, 0), 0);
    assert_int_equal(holder(s).purpose, 43);
    assert_int_equal(holder(s).sequence, first + 1);
    assert_int_equal(wm_lock_release(s->node), 0);
}

static void inspection_tells_the_workers_generation(void **state)
{
    struct scene *s = *state;
    uint64_t g;
    struct actor *a;

    scene_begin(s);
    g = scene_begin(s);
    a = scene_worker(s, g);
    assert_int_equal(actor_do(a, act_lock, 0), 0);
    assert_int_equal(holder(s).generation, g);
    assert_int_equal(holder(s).own, 0);
    assert_int_equal(actor_do(a, act_unlock, 0), 0);
}

static void what_an_earlier_holder_said_is_not_told(void **state)
{
    struct scene *s = *state;
    struct wm_lock_holder h;

    assert_int_equal(wm_lock_try(s->node, 42, 0), 0);
    assert_int_equal(wm_lock_release(s->node), 0);
    /* One that has it, and was stopped before it could say why. */
    area(s)->word = lock_word((uint32_t)getpid(), 0, area(s)->word + 1);
    h = holder(s);
    assert_int_equal(h.pid, getpid());
    assert_int_equal(h.purpose, 0);
    assert_int_equal(h.generation, 0);
    assert_int_equal(h.held_ms, 0);
    assert_int_equal(h.own, 0);
    area(s)->word = 0;
}

static void the_sequence_wraps_without_touching_the_rest(void **state)
{
    struct scene *s = *state;

    area(s)->word = 0xffffff;
    assert_int_equal(wm_lock_try(s->node, 5, 0), 0);
    assert_int_equal(holder(s).pid, getpid());
    assert_int_equal(holder(s).sequence, 0);
    assert_int_equal(holder(s).purpose, 5);
    assert_int_equal(holder(s).own, 1);
    assert_int_equal(wm_lock_release(s->node), 0);
    assert_true(area(s)->word == 0);
}

/* ------------------------------------------------------------------- turns */

static void sign(struct scene *s, uint32_t pid, uint64_t when)
{
    area(s)->next = wm_word(0, pid, when);
}

static void a_fresh_signature_keeps_the_free_lock_for_its_writer(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);
    int result = 0;

    /* Stopped for longer than it is fresh, we have shown nothing: again. */
    for (int i = 0; i < 1000 && result != -EBUSY; i++) {
        sign(s, (uint32_t)a->pid, wm_now());
        result = wm_lock_try(s->node, 0, 0);
        if (result == 0) {
            wm_lock_release(s->node);
        }
    }
    assert_int_equal(result, -EBUSY);
    sign(s, (uint32_t)a->pid, wm_now());
    assert_int_equal(actor_do(a, act_try, 0), 0);
    assert_true(area(s)->next == 0); /* it has had its turn */
    assert_int_equal(actor_do(a, act_unlock, 0), 0);
}

static void a_stale_signature_keeps_nobody(void **state)
{
    struct scene *s = *state;

    sign(s, 1, wm_now() - 101);
    assert_int_equal(wm_lock_try(s->node, 0, 0), 0);
    assert_int_equal(wm_lock_release(s->node), 0);
}

static void a_dead_pollers_signature_expires(void **state)
{
    const struct wm_lock_options options = {.size = sizeof(options),
                                            .wait_ms = PATIENT};
    struct scene *s = *state;
    struct actor *a = scene_actor(s);

    assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
    assert_int_equal(actor_do(a, act_try, 1), -EINPROGRESS);
    assert_int_equal(wm_word_pid(area(s)->next), a->pid);
    actor_kill(a);
    assert_int_equal(wm_lock_release(s->node), 0);
    assert_int_equal(wm_lock_acquire(s->node, &options), 0);
    assert_int_equal(wm_lock_release(s->node), 0);
}

static void who_only_tries_signs_nothing(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);

    assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
    assert_int_equal(actor_do(a, act_try, 0), -EBUSY);
    assert_true(area(s)->next == 0);
    assert_int_equal(wm_lock_release(s->node), 0);
}

/* Takes the lock as often as it can, each time for a while. */
static long act_hog(struct actor *self, long unused)
{
    const struct timespec work = {.tv_nsec = 200000};
    const uint32_t *stop = &self->scene->actor[0].board->number;

    (void)unused;
    while (*(const volatile uint32_t *)stop == 0) {
        if (act_lock(self, 0) < 0) {
            return -1;
        }
        nanosleep(&work, NULL);
        act_unlock(self, 0);
    }
    return 0;
}

static void who_is_next_of_those_that_queue_is_told(void **state)
{
    struct scene *s = *state;
    struct actor *first = scene_actor(s), *second = scene_actor(s);

    assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
    assert_int_equal(actor_do(first, act_try, 1), -EINPROGRESS);
    assert_int_equal(actor_do(second, act_try, 1), -EBUSY);
    assert_int_equal(actor_do(first, act_try, 0), -EBUSY);
    assert_int_equal(actor_do(first, act_try, 1), -EINPROGRESS);
    assert_int_equal(wm_lock_release(s->node), 0);
    assert_int_equal(actor_do(first, act_try, 1), 0);
    assert_int_equal(actor_do(second, act_try, 1), -EINPROGRESS);
    assert_int_equal(actor_do(first, act_unlock, 0), 0);
}

/* Polls until it has the lock: how many others had it meanwhile, from the
 * first signature on. */
static uint32_t poll_turn(struct scene *s)
{
    const struct timespec rest = {.tv_nsec = 2000000};
    uint32_t before = 0, after;
    bool signed_on = false;

    while (wm_lock_try(s->node, 0, 1) < 0) {
        if (!signed_on) {
            before = holder(s).sequence;
            signed_on = true;
        }
        nanosleep(&rest, NULL);
    }
    after = holder(s).sequence;
    wm_lock_release(s->node);
    return signed_on ? after - before : 0;
}

static void a_poller_gets_its_turn_among_sleepers(void **state)
{
    enum {
        TURNS = 31
    };
    struct scene *s = *state;
    struct actor *a[4];
    int prompt = 0;

    for (int i = 0; i < 4; i++) {
        a[i] = scene_actor(s);
    }
    for (int i = 0; i < 4; i++) {
        actor_tell(a[i], act_hog, 0);
    }
    /* A poller that the machine keeps from polling is overtaken; that may
     * happen to few turns, not to most. */
    for (int i = 0; i < TURNS; i++) {
        prompt += poll_turn(s) <= 3;
    }
    s->actor[0].board->number = 1;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(actor_hear(a[i]), 0);
    }
    assert_true(prompt > TURNS / 2);
}

/* -------------------------------------------------------- beats and threads */

static uint64_t beat_of(const struct scene *s, pid_t pid)
{
    struct wm_worker_info list[8];
    uint32_t n = 0;

    assert_int_equal(wm_snapshot(s->node, list, 8, &n), 0);
    for (uint32_t i = 0; i < n; i++) {
        if (list[i].pid == pid) {
            return list[i].beat_at;
        }
    }
    fail_msg("no record of %d", (int)pid);
    return 0;
}

struct beating {
    const struct scene *scene;
    pid_t pid;
    uint64_t since;
};

static bool has_beaten(void *argument)
{
    const struct beating *b = argument;

    return beat_of(b->scene, b->pid) > b->since;
}

static void a_worker_beats_while_it_waits(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);
    struct beating b = {.scene = s, .pid = a->pid};

    assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
    actor_tell(a, act_lock, 0);
    for (int i = 0; i < 3; i++) {
        b.since = beat_of(s, a->pid);
        scene_await(has_beaten, &b, "a beat of the waiter");
    }
    assert_int_equal(wm_lock_release(s->node), 0);
    assert_int_equal(actor_hear(a), 0);
    assert_int_equal(actor_do(a, act_unlock, 0), 0);
}

static void a_worker_beats_as_it_unlocks(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);
    struct wm_record *r = &s->node->segment.records[0];

    assert_int_equal(actor_do(a, act_lock, 0), 0);
    r->word = wm_word(WM_LIVE, (uint32_t)a->pid, 1);
    assert_int_equal(actor_do(a, act_unlock, 0), 0);
    assert_true(wm_word_beat(r->word) > 1);
}

static int thread_result;

static void *try_in_a_thread(void *argument)
{
    struct scene *s = argument;

    thread_result = wm_lock_try(s->node, 0, 1);
    return NULL;
}

static void *inspect_in_a_thread(void *argument)
{
    struct scene *s = argument;

    for (int i = 0; i < 2000; i++) {
        const struct wm_lock_holder h = holder(s);

        if (h.pid != 0 && h.pid != getpid()) {
            thread_result++;
        }
    }
    return NULL;
}

static void another_thread_of_the_holder_is_refused(void **state)
{
    struct scene *s = *state;
    pthread_t thread;

    assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, try_in_a_thread, s), 0);
    pthread_join(thread, NULL);
    assert_int_equal(thread_result, -EDEADLK);
    assert_int_equal(wm_lock_release(s->node), 0);
}

static void a_thread_may_inspect_while_another_locks(void **state)
{
    struct scene *s = *state;
    pthread_t thread;

    thread_result = 0;
    assert_int_equal(pthread_create(&thread, NULL, inspect_in_a_thread, s), 0);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
        assert_int_equal(wm_lock_release(s->node), 0);
    }
    pthread_join(thread, NULL);
    assert_int_equal(thread_result, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(one_process_at_a_time_has_it),
        SCENE_TEST(a_sleeper_gets_what_is_released),
        SCENE_TEST(a_release_wakes_who_sleeps),
        SCENE_TEST(who_has_it_is_refused_a_second_time),
        SCENE_TEST(who_has_it_not_cannot_unlock),
        SCENE_TEST(too_small_options_are_refused),
        SCENE_TEST(a_reader_cannot_have_it_but_sees_who_does),
        SCENE_TEST(a_dead_holders_lock_passes_on),
        SCENE_TEST(a_zombies_lock_passes_on_to_a_waiter),
        SCENE_TEST(one_waiter_alone_recovers_it),
        SCENE_TEST(a_stopped_holder_is_not_robbed),
        SCENE_TEST(waiting_ends_when_it_was_limited),
        SCENE_TEST(a_limit_on_holding_is_no_limit_on_waiting),
        SCENE_TEST(another_process_with_the_holders_pid_is_not_the_holder),
        SCENE_TEST(a_pid_that_nobody_has_holds_nothing),
        SCENE_TEST(a_noted_holding_is_ended_once_and_no_other),
        SCENE_TEST(a_forked_child_does_not_hold_its_parents_lock),
        SCENE_TEST(releasing_the_node_gives_the_lock_back),
        SCENE_TEST(inspection_tells_who_why_and_which_time),
        SCENE_TEST(inspection_tells_the_workers_generation),
        SCENE_TEST(what_an_earlier_holder_said_is_not_told),
        SCENE_TEST(the_sequence_wraps_without_touching_the_rest),
        SCENE_TEST(a_fresh_signature_keeps_the_free_lock_for_its_writer),
        SCENE_TEST(a_stale_signature_keeps_nobody),
        SCENE_TEST(a_dead_pollers_signature_expires),
        SCENE_TEST(who_only_tries_signs_nothing),
        SCENE_TEST(who_is_next_of_those_that_queue_is_told),
        SCENE_TEST(a_poller_gets_its_turn_among_sleepers),
        SCENE_TEST(a_worker_beats_while_it_waits),
        SCENE_TEST(a_worker_beats_as_it_unlocks),
        SCENE_TEST(another_thread_of_the_holder_is_refused),
        SCENE_TEST(a_thread_may_inspect_while_another_locks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
