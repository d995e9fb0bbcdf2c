/* SPDX-License-Identifier: Apache-2.0 */

/* The facts that a dead segment tells. Nobody takes part in it, so nothing
 * changes while it is read; but any bytes may lie there [I10]. */

#include "postmortem.h"

#include "generation_fields.h"
#include "record_fields.h"

#include <errno.h>

/* Whether a record tells of a worker that has not left, and whose end was not
 * given. */
static bool is_untold(const struct wm_segment *s, uint32_t slot, uint64_t word)
{
    const struct wm_record *r = wm_record_at(s, slot);

    if (record_role_acquire(r) != WM_ROLE_WORKER) {
        return false;
    }
    switch (wm_word_state(word)) {
    case WM_JOINING:
    case WM_LIVE:
    case WM_STALLED:
        return true;
    case WM_CRASHED:
        return !record_crash_given(r, wm_cold_at(s, slot));
    default:
        return false;
    }
}

/* Adds the facts that an unclean end has left. */
static void add_postmortem(struct wm_postmortem *p, const struct wm_segment *s)
{
    for (uint32_t i = 0; i < s->geometry.capacity; i++) {
        uint64_t word = record_word_acquire(wm_record_at(s, i));

        if (is_untold(s, i, word)) {
            p->workers++;
            p->pid = (int32_t)wm_word_pid(word);
        }
    }
    for (uint32_t i = 0; i < s->geometry.generations; i++) {
        const struct wm_generation_record *g = wm_generation_at(s, i);
        uint64_t word = generation_word_acquire(g);
        uint64_t id = generation_id_acquire(g);

        if (wm_gen_state(word) == WM_GENERATION_ACTIVE) {
            p->exits_owed++;
        }
        p->exits_owed += wm_gen_owed(word);
        if (id > p->generation) {
            p->generation = id;
        }
    }
}

/* Judges a dead segment of an earlier life: tells what it can read of it; a
 * file that is no segment goes as well, another user's file stays. */
bool wm_postmortem_judge(const struct wm_segment *segment, int error,
                         void *argument)
{
    struct wm_postmortem *p = argument;

    switch (error) {
    case 0:
        add_postmortem(p, segment);
        p->segments++;
        return true;
    case -EPROTO: /* another library's: whole, but not for us to read */
        p->segments++;
        return true;
    case -EBADMSG:
    case -ENODATA:
    case -EUCLEAN:
        p->damaged++;
        return true;
    case -EPERM:
        p->foreign++;
        return false;
    default: /* this process could not look; the next start may */
        return false;
    }
}

bool wm_postmortem_is_clean(const struct wm_segment *segment, int error,
                            void *argument)
{
    struct wm_postmortem p = {0};

    (void)argument;
    if (error != 0) {
        return false;
    }
    add_postmortem(&p, segment);
    /* Safeguard: untold_end_keeps_the_file */
    return p.exits_owed == 0 && p.workers == 0;
}
