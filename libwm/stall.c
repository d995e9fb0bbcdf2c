/* SPDX-License-Identifier: Apache-2.0 */

/* A stall is a fact of a record's age: the worker is LIVE, and has not beaten
 * for longer than it may be silent. So a reader finds it as well as a sweeper
 * does, also where no process sweeps: a lone worker that hangs marks nobody.
 *
 * Some workers have no chance to beat, and are not judged by time:
 *
 * - The holder of the lock runs a callback. It beats before it releases the
 *   lock. The holder is looked up before the records are, so that a holder
 *   which releases meanwhile has beaten.
 * - A worker that leaves, since its own master has replaced its generation,
 *   serves what it has, and may have no timer any more to beat in. If all that
 *   were to replace it have died, it does not leave.
 * - If the whole machine was stopped, no worker could beat. The process that
 *   finds this out says since when the machine is awake, and a worker's silence
 *   counts from then.
 *
 * The process that finds this out was late itself, and finds that all others
 * are. That may be wrong: all the others may hang. So it says so only once in
 * each silence: if nobody has beaten since it was said last, nothing shows that
 * the machine was stopped again. */

#include "stall.h"

#include "holder.h"
#include "kin.h"

struct wm_judge wm_judge_begin(const struct wm_node *node)
{
    /* The clock first: a judge that is stopped in between finds no beat older
     * than it was before the holder took the lock. */
    struct wm_judge j = {.node = node, .now = wm_now()};

    j.holder = wm_holder_pid(node);
    j.awake = header_awake_since(node->segment.header);
    return j;
}

/* Whether the machine has been awake for so long. A time ahead of the clock is
 * garbage, and older than any. */
static bool was_awake_for(const struct wm_judge *j, uint32_t ms)
{
    return j->now - j->awake > ms;
}

/* Many workers are of one generation, so the last answer is kept: it costs a
 * look at all generations, and at a process. */
static bool leaves(struct wm_judge *j, uint64_t generation)
{
    if (generation != j->asked) {
        j->asked = generation;
        j->leaves = wm_kin_is_superseded(j->node, generation);
    }
    return j->leaves;
}

bool wm_judge_finds_stall(struct wm_judge *j, uint64_t word,
                          uint32_t overdue_ms, uint64_t generation)
{
    return overdue_ms != UINT32_MAX &&
           wm_beat_is_overdue(word, j->now, overdue_ms) &&
           /* Safeguard: silence_counts_from_when_the_machine_woke */
           was_awake_for(j, overdue_ms) &&
           /* Safeguard: holder_is_not_judged_by_time */
           wm_word_pid(word) != j->holder &&
           /* Safeguard: leaving_worker_is_not_judged_by_time */
           !leaves(j, generation);
}

void wm_judge_note_awake(const struct wm_judge *j, const struct wm_record *own)
{
    bool is_news = j->awake == 0 || j->awake > j->now;

    for (uint32_t i = 0; i < wm_node_high(j->node); i++) {
        const struct wm_record *r = wm_record_at(&j->node->segment, i);
        uint64_t word = record_word_acquire(r);

        if (wm_word_state(word) != WM_LIVE &&
            wm_word_state(word) != WM_STALLED) {
            continue;
        }
        if (r != own && !wm_record_is_overdue(r, word, j->now)) {
            return; /* it could beat */
        }
        is_news = is_news || wm_word_age(word, j->awake) < 0;
    }
    /* Safeguard: silence_is_excused_once */
    if (is_news) {
        header_set_awake_since(j->node->segment.header, j->now);
    }
}
