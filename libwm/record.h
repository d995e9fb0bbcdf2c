/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's record: how it is read, and what others need of its worker. */

#ifndef WM_RECORD_H
#define WM_RECORD_H

#include "node.h"
#include "process.h"
#include "record_fields.h"

/* The occupant of a record, as one look found it. */
struct wm_occupant {
    uint64_t word;
    uint64_t generation;
    uint64_t join;
    uint32_t role;
};

/* Loads the fields beside a word that was loaded before. The caller decides
 * afterwards whether word and fields belong together: by a swap from that very
 * word, or by wm_occupant_is_whole(). record.c argues why. */
static inline struct wm_occupant wm_occupant_of(const struct wm_record *r,
                                                uint64_t word)
{
    struct wm_occupant o;

    o.word = word;
    o.generation = record_generation_acquire(r);
    o.join = record_join_acquire(r);
    o.role = record_role_acquire(r);
    return o;
}

/* Whether the record still has the occupant that was found, in that state. */
static inline bool wm_occupant_is_whole(const struct wm_record *r,
                                        const struct wm_occupant *o)
{
    return wm_word_identity(record_word_acquire(r)) ==
           wm_word_identity(o->word);
}

/* Whether this is the state of a worker whose process ended before it left. */
static inline bool wm_state_is_crash(unsigned state)
{
    return state == WM_CRASHED || state == WM_CRASHED_DRAINING;
}

/* Whether the process of this word is proven dead. */
bool wm_occupant_is_dead(const struct wm_node *node, uint32_t slot,
                         uint64_t word, enum wm_proof proof);

/* The clocks of two processes, one fine and one coarse, are closer. */
#define WM_CLOCKS_APART_MS 1000

/* Whether the beat lies further ahead of `now` than its worker may be silent.
 * If so, and if `now` is the clock's time, no clock has made it, and it proves
 * nothing. */
static inline bool wm_beat_leads(uint64_t word, uint64_t now, uint32_t ms)
{
    return wm_word_age(word, now) < -((int64_t)ms + WM_CLOCKS_APART_MS);
}

/* The same where `now` may be from before a pause of the caller, while the
 * worker beat on: such a beat is held against the clock once more, which is
 * then read after the beat was. */
static inline bool wm_beat_is_ahead(uint64_t word, uint64_t now, uint32_t ms)
{
    return __builtin_expect(wm_beat_leads(word, now, ms), 0) &&
           /* Safeguard: pause_puts_no_beat_ahead */
           wm_beat_leads(word, wm_now(), ms);
}

/* Whether a worker that may be silent for `ms` has not beaten for longer. */
static inline bool wm_beat_is_overdue(uint64_t word, uint64_t now, uint32_t ms)
{
    /* Safeguard: beat_far_ahead_proves_nothing */
    return wm_word_overdue(word, now, ms) || wm_beat_is_ahead(word, now, ms);
}

#define WM_DEFAULT_OVERDUE_MS 15000u

/* A worker without a limit is never stalled. But once it has been silent for
 * the usual time, its pid may be another process's, and its crash has expired
 * as any other's; and a beat that moves by more is compared with the clock. */
static inline uint32_t wm_limit_ms(uint32_t overdue_ms)
{
    /* Safeguard: one_without_a_limit_expires_too */
    return overdue_ms != UINT32_MAX ? overdue_ms : WM_DEFAULT_OVERDUE_MS;
}

/* Whether the worker of a record has not beaten for longer than that. */
static inline bool wm_record_is_overdue(const struct wm_record *r,
                                        uint64_t word, uint64_t now)
{
    return wm_beat_is_overdue(word, now,
                              wm_limit_ms(record_overdue_ms_acquire(r)));
}

/* The worker's own change of state, with a beat: to LIVE (not out of DRAINING),
 * to DRAINING, or to FREE. Returns 0; 1 if it was in that state already;
 * -ECHILD; -ESTALE. */
int wm_record_change_state(struct wm_worker *worker, unsigned state);

#endif
