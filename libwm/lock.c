/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The lifecycle lock: one callback at a time over all processes of a node.
 *
 * The word names the holder: pid, low bits of its start time (a reused pid is
 * no life), and a sequence number that makes every holding another value. It
 * is free, held by the living, or held by the dead; a contender that proves
 * the last swaps its own name in, and nothing needs repair, because no state
 * lies under the lock: marks and ends are swapped in by themselves.
 *
 * Sleepers wait on a futex that counts releases, and look again every 50 ms,
 * because the dead wake nobody. A contender that may not sleep (a timer in an
 * event loop) polls, and would starve behind them; so it signs `next` with
 * pid and time at each try, and while that is fresh a free lock is left to it.
 * A signature goes stale by itself after 100 ms: what a contender that died
 * costs the others. */

#include "lock.h"

#include "log.h"
#include "process.h"
#include "record.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#define PROBE_MS 50
#define LOOKS 8 /* at a holder, while the lock keeps passing on */
#define RESERVED_MS 100

/* A process that has the holder's pid, but began at another time, is not it. */
static bool holder_is_dead(uint64_t word)
{
    uint32_t pid = wm_lock_pid_of(word);
    uint64_t start = wm_lock_start(word), seen;

    if (wm_process_dead(wm_ident(pid, 0), 0, WM_PROOF_QUICK)) {
        return true;
    }
    seen = wm_lock_start_of(wm_ident_start(wm_process_ident(pid)));
    return seen != 0 && start != 0 && seen != start;
}

uint32_t wm_lock_pid(const struct wm_node *node)
{
    return wm_lock_pid_of(lock_word_acquire(&node->segment.header->lock));
}

/* ----------------------------------------------------------- reservation */

static bool is_reserved_by_other(const struct wm_lock_area *lock, uint64_t now,
                                 uint32_t own)
{
    uint64_t turn = lock_turn(lock);
    int64_t age = wm_word_age(turn, now);

    return turn != 0 && wm_word_pid(turn) != own && age >= 0 &&
           age <= RESERVED_MS;
}

/* Signs for the next turn, unless another's signature is fresh; returns whether
 * it is this process's now. */
static bool reserve(struct wm_lock_area *lock, uint64_t now, uint32_t own)
{
    uint64_t turn = lock_turn(lock);

    return !is_reserved_by_other(lock, now, own) &&
           lock_swap_turn(lock, turn, wm_word(0, own, now));
}

static void unreserve(struct wm_lock_area *lock, uint32_t own)
{
    uint64_t turn = lock_turn(lock);

    if (turn != 0 && wm_word_pid(turn) == own) {
        lock_swap_turn(lock, turn, 0);
    }
}

/* ------------------------------------------------------------------- try */

static void sign_holder(struct wm_node *node, uint64_t word, uint32_t purpose)
{
    uint64_t generation = wm_worker_record(&node->worker) != NULL
                              ? node->worker.generation
                              : node->begun;

    lock_describe_holder(&node->segment.header->lock, wm_now(), generation,
                         purpose, wm_lock_sequence(word));
    wm_node_set_held(node, word);
}

static int try_once(struct wm_node *node, uint32_t purpose)
{
    struct wm_lock_area *lock = &node->segment.header->lock;
    uint64_t word = lock_word_relaxed(lock);
    uint64_t self = wm_self_ident(), mine;
    uint32_t own = wm_ident_pid(self);
    bool dead = false;

    if (wm_lock_pid_of(word) != 0) {
        dead = holder_is_dead(word);
        if (!dead) {
            return -EBUSY;
        }
    } else if (is_reserved_by_other(lock, wm_now(), own)) {
        return -EBUSY;
    }
    mine = wm_lock_word(self, wm_lock_sequence(word) + 1);
    if (!lock_take(lock, word, mine)) {
        return -EBUSY;
    }
    unreserve(lock, own);
    sign_holder(node, mine, purpose);
    if (dead) {
        wm_log_append(node, WM_LOG_LOCK_RECOVERED, node->worker.generation,
                      wm_lock_pid_of(word), own, WM_NO_SLOT);
    }
    return dead ? WM_RECOVERED : 0;
}

static int may_contend(const struct wm_node *node)
{
    int error = wm_node_usable(node);

    if (error != 0) {
        return error;
    }
    return wm_node_held(node) != 0 ? -EDEADLK : 0;
}

int wm_lock_try(struct wm_node *node, uint32_t purpose, int queue)
{
    int result = may_contend(node);

    if (result != 0) {
        return result;
    }
    result = try_once(node, purpose);
    if (result == -EBUSY && queue &&
        reserve(&node->segment.header->lock, wm_now(),
                wm_ident_pid(wm_self_ident()))) {
        return -EINPROGRESS;
    }
    return result;
}

/* ------------------------------------------------------------------ wait */

static void sleep_on(_Atomic uint32_t *wake, uint32_t seen, uint64_t ms)
{
    struct timespec timeout = {.tv_sec = (time_t)(ms / 1000),
                               .tv_nsec = (long)(ms % 1000) * 1000000};

    /* Early returns (a wake, a changed value, a signal) are all fine: the
     * caller looks again. */
    syscall(SYS_futex, wake, FUTEX_WAIT, seen, &timeout, NULL, 0);
}

/* Whether one holder is past what the caller grants it. The holding is told
 * by its sequence number, and timed from when this waiter first saw it where
 * the holder has not said since when. */
struct patience {
    uint32_t sequence;
    uint64_t seen;
};

static bool is_held_too_long(const struct wm_node *node, struct patience *p,
                             uint64_t now, uint32_t hold_ms)
{
    struct wm_lock_holder holder;
    uint64_t held;

    wm_lock_inspect(node, &holder);
    if (holder.pid == 0) {
        return false;
    }
    if (p->seen == 0 || holder.sequence != p->sequence) {
        p->sequence = holder.sequence;
        p->seen = now;
    }
    held = now - p->seen;
    if (holder.held_ms > held) {
        held = holder.held_ms;
    }
    return held > hold_ms;
}

static void keep_beating(struct wm_node *node)
{
    if (wm_worker_record(&node->worker) != NULL) {
        wm_beat(&node->worker);
    }
}

int wm_lock_acquire(struct wm_node *node, const struct wm_lock_options *options)
{
    static const struct wm_lock_options none = {.size = sizeof(none)};
    struct wm_lock_area *lock = &node->segment.header->lock;
    struct patience patience = {0};
    uint64_t began = wm_now(), now;
    int result = may_contend(node);

    if (options == NULL) {
        options = &none;
    } else if (options->size < sizeof(*options)) {
        return -EINVAL;
    }
    if (result != 0) {
        return result;
    }
    for (;;) {
        /* Before the try: a release in between makes the sleep return. */
        uint32_t wake = lock_wake_acquire(lock);
        uint64_t ms = PROBE_MS;

        result = try_once(node, options->purpose);
        if (result >= 0) {
            return result;
        }
        keep_beating(node);
        now = wm_now();
        if (options->wait_ms != 0) {
            if (now - began >= options->wait_ms) {
                return -ETIMEDOUT;
            }
            if (options->wait_ms - (now - began) < ms) {
                ms = options->wait_ms - (now - began);
            }
        }
        if (options->hold_ms != 0 &&
            is_held_too_long(node, &patience, now, options->hold_ms)) {
            return -ETIMEDOUT;
        }
        sleep_on(&lock->wake, wake, ms);
    }
}

int wm_lock_release(struct wm_node *node)
{
    struct wm_lock_area *lock = &node->segment.header->lock;
    uint64_t held = wm_node_held(node);
    bool released;

    if (held == 0) {
        return -EPERM;
    }
    /* First: once released we are judged by time again. */
    keep_beating(node);
    wm_node_set_held(node, 0);
    released = lock_give_back(lock, held);
    lock_count_release(lock);
    syscall(SYS_futex, &lock->wake, FUTEX_WAKE, 1, NULL, NULL, 0);
    return released ? 0 : -EPERM;
}

void wm_lock_hold_note(struct wm_node *node, struct wm_lock_hold *hold)
{
    hold->node = node;
    hold->word = wm_node_held(node);
}

void wm_lock_hold_release(void *hold)
{
    const struct wm_lock_hold *h = hold;

    if (h->word != 0 && h->word == wm_node_held(h->node)) {
        wm_lock_release(h->node);
    }
}

static void inspect_word(const struct wm_node *node, uint64_t word,
                         struct wm_lock_holder *holder)
{
    *holder = (struct wm_lock_holder){
        .pid = (int32_t)wm_lock_pid_of(word),
        .sequence = wm_lock_sequence(word),
        .own = word != 0 && word == wm_node_held(node),
    };
}

/* Adds what the holder has said of itself, if it has; false, and nothing added,
 * if it may be what the next one says. */
static bool inspect_said(const struct wm_lock_area *lock, uint64_t word,
                         struct wm_lock_holder *holder)
{
    struct wm_lock_holder said = *holder;
    uint64_t now, since;

    if (said.pid == 0 || lock_holder_sequence(lock) != said.sequence) {
        return true;
    }
    now = wm_now();
    since = lock_holder_since(lock);
    said.purpose = lock_holder_purpose(lock);
    said.generation = lock_holder_generation(lock);
    said.held_ms = now > since ? now - since : 0;
    if (lock_word_acquire(lock) != word) {
        return false;
    }
    *holder = said;
    return true;
}

void wm_lock_inspect(const struct wm_node *node, struct wm_lock_holder *holder)
{
    const struct wm_lock_area *lock = &node->segment.header->lock;
    uint64_t word;
    int look = 0;

    do {
        word = lock_word_acquire(lock);
        inspect_word(node, word, holder);
    } while (!inspect_said(lock, word, holder) && ++look < LOOKS);
}
