/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's record: the one way to read which worker has it, and the acts on
 * its word that other parts rest on: the beat, the recovery from a stall, the
 * worker's own change of state.
 *
 * Reading. A record changes hands while others look at it. Let W be the load
 * of the word, I the loads of the identity (generation, join, role, ...), and
 * C the next occupant's swap to CLAIMED:
 *
 *     reader:     W ......... I ......... decision
 *     next one:         C     stores of its identity
 *
 * 1. The identity is stored after C with release, and loaded with acquire. So
 *    if any load of I returns something that the next occupant stored, C comes
 *    before what the reader does next.
 * 2. Then the word is not what W returned: C has replaced it, and no word
 *    comes again (it holds pid and millisecond; protocol.md, "Widths").
 * 3. Hence, if the decision is a swap from the very word that W returned, and
 *    it succeeds, or if the word is loaded once more and has the same state
 *    and pid, then all that I returned is of the occupant that W found.
 *
 * Writing. Only the process of a record changes the record's word, but for two
 * marks of a sweeper: LIVE to STALLED, and anything to a crash or FREE once the
 * process is proven dead. So if the worker's own swap fails, it has met the
 * first of these marks, or a swap of another thread of its process, or the
 * record is not this worker's any more. The word that it then finds says
 * which. */

#include "record.h"

#include "log.h"

/* ------------------------------------------------------------------ death */

bool wm_occupant_is_dead(const struct wm_node *node, uint32_t slot,
                         uint64_t word, enum wm_proof proof)
{
    uint32_t pid = wm_word_pid(word);
    uint64_t ident =
        record_cold_ident_acquire(wm_cold_at(&node->segment, slot));

    /* The start time is this occupant's only if it stands beside this
     * occupant's pid; a record that is CLAIMED may still have the former
     * occupant's. Without a start time, the time in the word has to prove that
     * the process began later. */
    /* Safeguard: start_time_is_of_this_occupant */
    if (wm_ident_pid(ident) != pid || wm_word_state(word) == WM_CLAIMED) {
        ident = wm_ident(pid, 0);
    }
    return wm_process_dead(ident, wm_word_beat(word), proof);
}

/* --------------------------------------------------------------- recovery */

/* Counts the stall that this worker came back from. The count comes after the
 * swap out of STALLED, so that a process which loads the count first and the
 * word second, as a taker does, never counts one stall twice.
 *
 * Between that swap and this one another thread of the process may drain, and
 * the record may be the next worker's, or of another joining of this process.
 * The count carries the join number that it is of; another joining's is left
 * alone.
 *
 * stalls: loaded before the swap out of STALLED, and so of this joining. */
static void count_recovery(struct wm_worker *w, struct wm_record *r,
                           uint64_t stalls)
{
    const uint64_t join = wm_stalls_join(stalls);

    while (!record_swap_stalls(r, &stalls,
                               wm_stalls(join, wm_stalls_count(stalls) + 1))) {
        if (!wm_is_of_join(stalls, join)) {
            return;
        }
    }
    wm_log_worker(w, WM_LOG_WORKER_RECOVERED);
}

/* The worker itself swaps its word out of STALLED. It reads the clock here,
 * since the caller's time may be from before the stall. */
static int recover(struct wm_worker *w, struct wm_record *r, uint64_t word)
{
    uint64_t stalls = record_own_stalls(r);
    uint64_t live = wm_word(WM_LIVE, w->pid, wm_now());

    /* Safeguard: recovery_is_counted_after_its_swap */
    if (!record_swap_mark(r, &word, live)) {
        /* Another thread, or a signal handler, was quicker. */
        return wm_word_pid(word) == w->pid && wm_word_state(word) >= WM_JOINING
                   ? 0
                   : -ESTALE;
    }
    count_recovery(w, r, stalls);
    wm_worker_set_last(w, live);
    return WM_RECOVERED;
}

/* ----------------------------------------------------------- own state */

int wm_record_change_state(struct wm_worker *w, unsigned state)
{
    struct wm_record *r = wm_worker_record(w);
    int error = wm_worker_usable(w);

    /* A record is given back all the same. */
    if (r == NULL || (error != 0 && state != WM_FREE)) {
        return error;
    }
    /* A swap that fails has met a mark, or another thread's beat. A worker
     * that is marked recovers, and is marked again only after it was overdue
     * once more: the loop ends. */
    for (;;) {
        uint64_t word = record_own_word(r), next;
        unsigned from = wm_word_state(word);

        /* Safeguard: drained_worker_starts_no_more */
        if (wm_word_pid(word) != w->pid || from < WM_JOINING ||
            from > WM_DRAINING || (from == WM_DRAINING && state == WM_LIVE)) {
            return -ESTALE;
        }
        if (from == state) {
            return 1;
        }
        /* Safeguard: stall_is_counted_before_the_drain */
        if (from == WM_STALLED && state != WM_FREE) {
            /* It recovers first, so that the stall is counted while no other
             * worker may have the record: a draining worker may make room for
             * another. */
            recover(w, r, word);
            continue;
        }
        if (state == WM_DRAINING) {
            record_cold_set_drained_at(w->cold, wm_now());
        }
        next = state == WM_FREE ? 0 : wm_word(state, w->pid, wm_now());
        if (record_swap_own(r, &word, next)) {
            if (state == WM_LIVE) {
                wm_worker_set_last(w, next);
            }
            if (state == WM_FREE) {
                header_lower_free_from(w->node->segment.header, w->slot);
            }
            return 0;
        }
    }
}

int wm_worker_has_record(const struct wm_worker *worker)
{
    WM_REQUIRE(worker);
    const struct wm_record *r = wm_worker_record(worker);

    return r != NULL && wm_word_pid(record_own_word(r)) == worker->pid;
}

/* ------------------------------------------------------------------- beat */

/* How long the worker was silent before this beat. */
static uint32_t silence_before(uint64_t word, uint64_t now_ms)
{
    int64_t age = wm_word_age(word, now_ms);

    return age > UINT32_MAX ? UINT32_MAX : (uint32_t)age;
}

/* Any beat but the usual one. It stays out of line, so that the usual one below
 * is short. */
__attribute__((cold, noinline)) static int
beat_unusually(struct wm_worker *worker, struct wm_record *r, uint64_t now_ms)
{
    uint64_t word = record_own_word(r), now = wm_now(), next;

    /* A caller may have made a mistake, and passed microseconds. A beat is
     * compared with the clock only here, where it moves by more than a worker
     * may be silent; by smaller steps it can get ahead all the same, and then
     * others take it for no proof (wm_beat_is_ahead). */
    /* Safeguard: beat_is_no_later_than_the_clock */
    if (now_ms > now) {
        now_ms = now;
    }
    /* A worker that beats this late was stopped, and so may all others have
     * been: its next sweep is patient. */
    /* Safeguard: late_worker_notes_it */
    if (wm_word_overdue(word, now_ms, record_own_overdue_ms(r))) {
        wm_worker_note_silence(worker, silence_before(word, now_ms));
    }
    /* One try is enough. If it fails, a sweeper has marked this worker as
     * stalled meanwhile, or another thread has beaten; the word that the swap
     * finds says which. */
    /* Safeguard: beat_does_not_move_back */
    next = wm_word_age(word, now_ms) > 0
               ? wm_word_with_beat(wm_word_identity(word), now_ms)
               : word;
    if (wm_word_pid(word) == worker->pid && wm_word_state(word) != WM_STALLED &&
        (next == word || record_swap_beat(r, &word, next))) {
        if (wm_word_state(next) == WM_LIVE) {
            wm_worker_set_last(worker, next);
        }
        return 0;
    }
    if (wm_word_pid(word) != worker->pid) {
        return -ESTALE;
    }
    return wm_word_state(word) == WM_STALLED ? recover(worker, r, word) : 0;
}

/* A caller's time may be that much older than the last beat without a look at
 * the clock. One that seems much older may be far ahead: a beat has not all of
 * its bits. */
#define STALE_MS 1000

/* Nearly every beat finds its worker LIVE, and in time. It takes one load, or
 * one swap if a millisecond has passed since the last beat. The swap is from
 * the word that this process remembers: the processor need not wait for the
 * line to compare with what it last stored there itself. The compiler puts it
 * into both of its callers, so that neither calls anything but the clock. Ages
 * stay in the high bits, where one comparison tells whether a beat moves, and
 * not by too much: 0 less 1 is more than any limit, and so is a negative age.
 */
static inline int beat_at(struct wm_worker *worker, uint64_t now_ms)
{
    struct wm_record *r = wm_worker_record(worker);
    uint64_t word = wm_worker_last(worker);
    const uint64_t next = wm_word_with_beat(worker->live, now_ms);
    const uint64_t age = wm_high_ms(now_ms - word);

    if (r == NULL) {
        return -ESTALE;
    }
    if (-age <= wm_high_ms(STALE_MS)) {
        if (record_own_word(r) == word) {
            return 0;
        }
    } else if (age - 1 < worker->limit && record_swap_beat(r, &word, next)) {
        wm_worker_set_last(worker, next);
        return 0;
    }
    return beat_unusually(worker, r, now_ms);
}

int wm_beat_at(struct wm_worker *worker, uint64_t now_ms)
{
    WM_REQUIRE(worker);
    return beat_at(worker, now_ms);
}

int wm_beat(struct wm_worker *worker)
{
    WM_REQUIRE(worker);
    return beat_at(worker, wm_clock_ms(CLOCK_MONOTONIC_COARSE));
}
