/* SPDX-License-Identifier: Apache-2.0 */

/* The lifecycle lock: one callback at a time over all processes of a node.
 *
 * The word names the holder: pid, low bits of its start time (a pid that is
 * used again is another process), and a sequence number, so that each holding
 * is another value. The lock is
 *
 *   free       pid 0: taken by a swap from that value;
 *   held       by a living process: nobody but the holder changes the word;
 *   abandoned  by a dead one: taken by a swap from that value, as if free.
 *
 * 1. At most one living process holds it [I8]: each change is one swap, from a
 *    value that was free or whose holder was proven dead. A dead process stays
 *    dead, so that the proof still holds when the swap succeeds; and if another
 *    contender was quicker, the value is another one.
 * 2. Nothing needs repair after a death: no state depends on the lock. Marks
 *    and ends are swapped in by themselves; the lock orders callbacks alone.
 * 3. A process that is stopped between its proof and its swap does no harm: the
 *    swap is from the very value that it judged.
 *
 * Sleeping. A release counts `wake` and wakes one sleeper:
 *
 *     sleeper:   load wake ... try, refused ............ sleep while wake is so
 *     holder:                   word freed ... wake + 1 ... wake one
 *
 * If the release comes before the sleep, the count is another one, and the
 * kernel does not let the sleeper sleep [J]. A dead holder wakes nobody, so
 * sleepers look again every PROBE_MS.
 *
 * turn.c says which contenders leave a free lock to which. */

#include "lock.h"

#include "futex.h"
#include "holder.h"
#include "log.h"
#include "process.h"
#include "record.h"
#include "turn.h"

#include <limits.h>
#include <time.h>

#define PROBE_MS 50 /* how long a dead holder keeps the sleepers */

/* A process with the holder's pid that began at another time is another one.
 * If one of the two times is not known, the process counts as the holder. */
static bool holder_is_dead(uint64_t word)
{
    uint32_t pid = wm_lock_pid_of(word);
    uint64_t start = wm_lock_start(word), seen;

    if (wm_process_dead(wm_ident(pid, 0), 0, WM_PROOF_QUICK)) {
        return true;
    }
    seen = wm_lock_start_of(wm_ident_start(wm_process_ident(pid)));
    /* Safeguard: holder_is_known_by_its_start */
    return seen != 0 && start != 0 && seen != start;
}

/* For a sweep, which spares the holder. A worker that has released the lock by
 * the time of the answer has beaten before that. */
uint32_t wm_lock_pid(const struct wm_node *node)
{
    return wm_lock_pid_of(lock_word_acquire(&node->segment.header->lock));
}

/* ------------------------------------------------------------------- try */

/* Whether the lock is wanted for a start, by the purpose. */
static bool is_for_start(uint32_t purpose)
{
    return purpose == WM_PURPOSE_MASTER_START ||
           purpose == WM_PURPOSE_WORKER_START;
}

static struct wm_contender contender(uint32_t purpose)
{
    return (struct wm_contender){
        .now = wm_now(),
        .pid = wm_ident_pid(wm_self_ident()),
        .is_start = is_for_start(purpose),
    };
}

/* One try: 0, WM_RECOVERED, or -EBUSY. A swap that fails is not tried again: it
 * has met another contender's, and that one has the lock now. */
static int try_once(struct wm_node *node, uint32_t purpose)
{
    struct wm_lock_area *lock = &node->segment.header->lock;
    struct wm_contender self = contender(purpose);
    uint64_t word = lock_word_relaxed(lock), mine;
    bool dead = false;

    if (wm_lock_pid_of(word) != 0) {
        dead = holder_is_dead(word);
        /* Safeguard: living_holder_is_not_robbed */
        if (!dead) {
            return -EBUSY;
        }
    }
    if (wm_turn_is_anothers(lock, &self)) {
        return -EBUSY;
    }
    /* Safeguard: each_holding_has_its_number */
    mine = wm_lock_word(wm_self_ident(), wm_lock_sequence(word) + 1);
    if (!lock_take(lock, word, mine)) {
        return -EBUSY;
    }
    wm_turn_take(lock, &self);
    wm_holder_sign(node, mine, purpose);
    if (dead) {
        wm_log_append(node, WM_LOG_LOCK_RECOVERED, node->worker.generation,
                      wm_lock_pid_of(word), self.pid, WM_NO_SLOT);
    }
    return dead ? WM_RECOVERED : 0;
}

/* The lock belongs to the process: a second thread of the holder would wait for
 * its own process. */
static int may_contend(const struct wm_node *node)
{
    int error = wm_node_usable(node);

    if (error != 0) {
        return error;
    }
    return wm_node_held(node) != 0 ? -EDEADLK : 0;
}

/* Tries, and signs for a turn if the lock is not to be had. The signer is told
 * that it is the next, so that it polls more often than the others. */
static int try_and_sign(struct wm_node *node, uint32_t purpose, bool sleeps)
{
    int result = try_once(node, purpose);
    struct wm_contender self;

    if (result != -EBUSY) {
        return result;
    }
    self = contender(purpose);
    return wm_turn_sign(&node->segment.header->lock, &self, sleeps)
               ? -EINPROGRESS
               : -EBUSY;
}

int wm_lock_try(struct wm_node *node, uint32_t purpose, int queue)
{
    WM_REQUIRE(node);
    int error = may_contend(node);

    if (error != 0) {
        return error;
    }
    return queue ? try_and_sign(node, purpose, false) : try_once(node, purpose);
}

/* ------------------------------------------------------------------ wait */

/* Whether one holder keeps the lock for longer than the caller grants. Each
 * holding has a number of its own. If the holder has not said since when it has
 * the lock, the time runs from when this waiter first saw that number. */
struct patience {
    uint32_t sequence;
    uint64_t seen;
};

static bool is_held_too_long(const struct wm_node *node, struct patience *p,
                             uint64_t now, uint32_t hold_ms)
{
    struct wm_lock_holder holder;
    uint64_t held;

    wm_holder_inspect(node, &holder);
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

/* A waiter beats, so that no sweeper marks it as stalled. */
static void keep_beating(struct wm_node *node)
{
    if (wm_worker_record(&node->worker) != NULL) {
        wm_beat(&node->worker);
    }
}

/* Each round loads the count of releases, tries, and sleeps, unless a release
 * was counted since. Before the sleep it checks two limits, one for the whole
 * wait and one for each holder: a waiter may stand behind any number of short
 * callbacks, but not behind one that hangs. */
int wm_lock_acquire(struct wm_node *node, const struct wm_lock_options *options)
{
    WM_REQUIRE(node);
    struct wm_lock_options own = {0};
    _Atomic(uint32_t) *futex;
    struct patience patience = {0};
    uint64_t began = wm_now(), now;
    int result = may_contend(node);

    if (options != NULL) {
        int error = wm_sized_read(&own, sizeof(own),
                                  WM_LEAST(wm_lock_options, wait_ms), options);

        if (error != 0) {
            return error;
        }
    }
    futex = lock_futex(&node->segment.header->lock, is_for_start(own.purpose));
    while (result == 0) {
        /* Loaded first: a release from here on makes the sleep return. */
        uint32_t wake = lock_wake_acquire(futex);
        uint64_t ms = PROBE_MS;

        result = try_and_sign(node, own.purpose, true);
        if (result >= 0) {
            return result;
        }
        keep_beating(node);
        now = wm_now();
        if (own.wait_ms != 0) {
            if (now - began >= own.wait_ms) {
                return -ETIMEDOUT;
            }
            if (own.wait_ms - (now - began) < ms) {
                ms = own.wait_ms - (now - began);
            }
        }
        if (own.hold_ms != 0 &&
            is_held_too_long(node, &patience, now, own.hold_ms)) {
            return -ETIMEDOUT;
        }
        /* Early returns (a wake, a changed value, a signal) are all fine: this
         * loop looks again. */
        wm_futex_wait(futex, wake, ms);
        result = wm_node_usable(node); /* still */
    }
    return result;
}

/* Counts a release for all that sleep on this futex, and wakes one of them.
 * Returns how many that were. */
static int wake_one(_Atomic(uint32_t) *futex)
{
    lock_count_release(futex);
    return wm_futex_wake(futex, 1);
}

/* Beats, frees the word, counts, wakes a start, or another if there is none; if
 * it is no start's turn, the other way round. If the process dies after it has
 * freed the word, the next contender that looks takes the lock; sleepers look
 * within PROBE_MS. */
int wm_lock_release(struct wm_node *node)
{
    WM_REQUIRE(node);
    struct wm_lock_area *lock = &node->segment.header->lock;
    uint64_t held = wm_node_held(node);
    bool released, starts;

    if (!wm_node_writable(node)) {
        return -EROFS;
    }
    /* Safeguard: holder_alone_releases */
    if (held == 0) {
        return -EPERM;
    }
    /* The worker beats first: once it has released the lock, sweepers judge it
     * by time again. */
    /* Safeguard: holder_beats_before_it_releases */
    keep_beating(node);
    wm_node_set_held(node, 0);
    released = lock_give_back(lock, held);
    starts = !wm_turn_is_no_starts(lock);
    if (wake_one(lock_futex(lock, starts)) != 1) {
        wake_one(lock_futex(lock, !starts));
    }
    return released ? 0 : -EPERM;
}

void wm_lock_hold_note(struct wm_node *node, struct wm_lock_hold *hold)
{
    WM_REQUIRE(node);
    hold->node = node;
    hold->word = wm_node_held(node);
}

/* For a cleanup handler, which may run long after the holding: its word is
 * never that of a later holding, as long as fewer than 2^24 lie between. */
void wm_lock_hold_release(void *hold)
{
    const struct wm_lock_hold *h = hold;

    WM_REQUIRE(hold);
    if (h->word != 0 && h->word == wm_node_held(h->node)) {
        wm_lock_release(h->node);
    }
}
