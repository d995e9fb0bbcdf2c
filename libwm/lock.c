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
 * kernel does not let the sleeper sleep [J]. A dead holder wakes nobody, so two
 * of those that wait look again every WM_PROBE_MS (probe.c), and the others
 * sleep long.
 *
 * turn.c says which contenders leave a free lock to which. */

#include "futex.h"
#include "holder.h"
#include "log.h"
#include "probe.h"
#include "record.h"

#include <limits.h>
#include <time.h>

#define LONG_MS 2000 /* the least sleep of one that is no prober */
#define LOOKS 20     /* of a prober, before another one has its place */

/* ------------------------------------------------------------------- try */

/* Whether the lock is wanted for a start, by the purpose. */
static bool is_for_start(uint32_t purpose)
{
    return purpose == WM_PURPOSE_MASTER_START ||
           purpose == WM_PURPOSE_WORKER_START;
}

static struct wm_contender contender(uint32_t purpose, uint32_t holder)
{
    return (struct wm_contender){
        .now = wm_now(),
        .pid = wm_ident_pid(wm_self_ident()),
        .holder = holder,
        .is_start = is_for_start(purpose),
    };
}

/* Counts for all that sleep on this futex, and wakes so many of them. Returns
 * how many that were. */
static int wake_on(_Atomic(uint32_t) *futex, int count)
{
    lock_count_wake(futex);
    return wm_futex_wake(futex, count);
}

/* Wakes starts, and others if there are too few; or the other way round. */
static int wake(struct wm_lock_area *lock, bool start, int count)
{
    int woken = wake_on(lock_futex(lock, start), count);

    return woken < count
               ? woken + wake_on(lock_futex(lock, !start), count - woken)
               : woken;
}

/* Wakes those that may take what the caller has given up, a place or a turn:
 * two, since one of them may be the other prober. Returns how many. */
static int hand_on(struct wm_lock_area *lock, bool start)
{
    return wake(lock, start, 2);
}

/* Whether the contender is to ask about the holder: it is a prober, or the one
 * to whom probers leave the lock. One that does not wait asks if there is no
 * prober. */
static bool is_to_ask(struct wm_lock_area *lock, const struct wm_contender *c,
                      bool waits)
{
    if (!waits) {
        return !wm_probe_is_anothers(lock, c);
    }
    return wm_probe_take(lock, c) || wm_turn_is_mine(lock, c);
}

/* One try: 0, WM_RECOVERED, or -EBUSY. A swap that fails is not tried again: it
 * has met another contender's, and that one has the lock now. */
static int try_once(struct wm_node *node, uint32_t purpose, bool waits)
{
    struct wm_lock_area *lock = &node->segment.header->lock;
    uint64_t word = lock_word_relaxed(lock), mine;
    uint32_t holder = wm_lock_pid_of(word);
    struct wm_contender self = contender(purpose, holder);
    bool dead = false, had_turn;

    if (holder != 0 || wm_turn_is_anothers(lock, &self)) {
        /* One that leaves a free lock to another becomes a prober as well. */
        bool asks = is_to_ask(lock, &self, waits);

        /* Safeguard: probers_alone_ask */
        if (!asks || holder == 0) {
            return -EBUSY;
        }
        dead = wm_holder_is_dead(word);
        /* Safeguard: living_holder_is_not_robbed */
        if (!dead || wm_turn_is_anothers(lock, &self)) {
            return -EBUSY;
        }
    }
    /* Safeguard: each_holding_has_its_number */
    mine = wm_lock_word(wm_self_ident(), wm_lock_sequence(word) + 1);
    if (!lock_take(lock, word, mine)) {
        return -EBUSY;
    }
    had_turn = wm_turn_take(lock, &self);
    wm_holder_sign(node, mine, purpose);
    if (dead) {
        wm_log_append(node, WM_LOG_LOCK_RECOVERED, node->worker.generation,
                      holder, self.pid, WM_NO_SLOT);
    }
    /* Safeguard: one_that_takes_the_lock_is_replaced */
    if (wm_probe_resign(lock, self.pid) || (had_turn && self.is_start)) {
        hand_on(lock, self.is_start);
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

/* Tries, and signs for a turn if the lock is not to be had. One that has the
 * next turn, or is a prober, is told that it has to try again soon. */
static int try_and_sign(struct wm_node *node, uint32_t purpose, bool sleeps)
{
    struct wm_lock_area *lock = &node->segment.header->lock;
    int result = try_once(node, purpose, true);
    struct wm_contender self;

    if (result != -EBUSY) {
        return result;
    }
    self = contender(purpose, wm_holder_pid(node));
    return wm_turn_sign(lock, &self, sleeps) || wm_probe_is_mine(lock, self.pid)
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
    return queue ? try_and_sign(node, purpose, false)
                 : try_once(node, purpose, false);
}

/* ------------------------------------------------------------------ wait */

/* Whether one holder keeps the lock for longer than the caller grants. Each
 * holding has a number of its own. If the holder has not said since when it has
 * the lock, the time runs from when this waiter first saw that number. */
struct patience {
    uint32_t sequence;
    uint64_t seen;
};

/* How long that holder may still have the lock, ms; 0: it has had it for too
 * long. One that is dead has it no more, and a prober is about to find that. */
static uint64_t hold_left(const struct wm_node *node, struct patience *p,
                          uint64_t now, uint32_t hold_ms)
{
    struct wm_lock_holder holder;
    uint64_t held;

    wm_holder_inspect(node, &holder);
    if (holder.pid == 0) {
        return hold_ms;
    }
    if (p->seen == 0 || holder.sequence != p->sequence) {
        p->sequence = holder.sequence;
        p->seen = now;
    }
    held = now - p->seen;
    if (holder.held_ms > held) {
        held = holder.held_ms;
    }
    if (held <= hold_ms) {
        return hold_ms - held + 1;
    }
    return wm_holder_is_dead(lock_word_relaxed(&node->segment.header->lock))
               ? WM_PROBE_MS
               : 0;
}

/* A waiter beats, so that no sweeper marks it as stalled. */
static void keep_beating(struct wm_node *node)
{
    if (wm_worker_record(&node->worker) != NULL) {
        wm_beat(&node->worker);
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How long one that is no prober sleeps if nobody wakes it: most for different
 * times, so that not all wake at once; and a worker beats before it is
 * overdue. */
static uint64_t long_sleep(const struct wm_node *node)
{
    const struct wm_record *r = wm_worker_record(&node->worker);
    uint64_t ms = LONG_MS + wm_ident_pid(wm_self_ident()) % LONG_MS / 2;

    return r == NULL ? ms : least(ms, record_overdue_ms_acquire(r) / 2 + 1);
}

/* What a waiter remembers from one round to the next. The whole wait goes by
 * the fine clock: a tick of the coarse one is longer than a short wait. */
struct wait {
    uint64_t began;
    struct patience patience;
    uint32_t looks; /* as a prober */
};

/* One that wakes again and again is always the last of those that a release
 * wakes. So after a second a prober gives its place to another that waits, but
 * keeps it if there is none but the other prober. */
static bool is_relieved(struct wm_lock_area *lock, struct wait *w,
                        uint32_t purpose)
{
    struct wm_contender self = contender(purpose, 0);

    return ++w->looks % LOOKS == 0 && !wm_turn_is_mine(lock, &self) &&
           wm_probe_resign(lock, self.pid) && hand_on(lock, self.is_start) == 2;
}

/* How long the waiter sleeps before it tries again, ms; 0: a limit is reached,
 * of the whole wait or of this holder. It may stand behind any number of short
 * callbacks, but not behind one that hangs. A free lock it has left to one that
 * may have gone by now. */
static uint64_t sleep_of(struct wm_node *node,
                         const struct wm_lock_options *options, struct wait *w,
                         bool is_prober)
{
    struct wm_lock_area *lock = &node->segment.header->lock;
    uint64_t now = wm_now();
    /* Safeguard: short_wait_goes_by_the_fine_clock */
    uint64_t waited = wm_clock_ms(CLOCK_MONOTONIC) - w->began;
    uint64_t ms = WM_PROBE_MS;

    if (is_prober ? is_relieved(lock, w, options->purpose)
                  : wm_holder_pid(node) != 0) {
        ms = long_sleep(node);
    }
    if (options->wait_ms != 0) {
        ms = least(ms,
                   waited < options->wait_ms ? options->wait_ms - waited : 0);
    }
    return options->hold_ms == 0 ? ms
                                 : least(ms, hold_left(node, &w->patience, now,
                                                       options->hold_ms));
}

/* Each round loads the count of wakes, tries, and sleeps, unless one was
 * counted since. */
int wm_lock_acquire(struct wm_node *node, const struct wm_lock_options *options)
{
    WM_REQUIRE(node);
    struct wm_lock_area *lock = &node->segment.header->lock;
    struct wm_lock_options own = {0};
    struct wait w = {.began = wm_clock_ms(CLOCK_MONOTONIC)};
    _Atomic(uint32_t) *futex;
    int result = may_contend(node);

    if (options != NULL) {
        int error = wm_sized_read(&own, sizeof(own),
                                  WM_LEAST(wm_lock_options, wait_ms), options);

        if (error != 0) {
            return error;
        }
    }
    futex = lock_futex(lock, is_for_start(own.purpose));
    while (result == 0) {
        /* Loaded first: a release from here on makes the sleep return. */
        uint32_t count = lock_wake_acquire(futex);
        uint64_t ms;

        result = try_and_sign(node, own.purpose, true);
        if (result >= 0) {
            return result;
        }
        keep_beating(node);
        ms = sleep_of(node, &own, &w, result == -EINPROGRESS);
        if (ms == 0) {
            if (wm_probe_resign(lock, wm_ident_pid(wm_self_ident()))) {
                hand_on(lock, is_for_start(own.purpose));
            }
            return -ETIMEDOUT;
        }
        /* Early returns (a wake, a changed value, a signal) are all fine: this
         * loop looks again. */
        wm_futex_wait(futex, count, ms);
        result = wm_node_usable(node); /* still */
    }
    return result;
}

/* Beats, frees the word, counts, wakes a start, or another if there is none; if
 * it is no start's turn, the other way round. If the process dies after it has
 * freed the word, the next contender that looks takes the lock: a prober within
 * WM_PROBE_MS. */
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
    wake(lock, starts, 1);
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
