/* SPDX-License-Identifier: Apache-2.0 */

/* The sweep: a process finds out about the workers without their help.
 *
 * A sweeper looks at a record, judges the word that it has loaded, and marks it
 * by a swap from that very word. Three things may happen in between:
 *
 * 1. The worker beats, drains or leaves. Its word has changed, and the mark
 *    fails: it was alive after the judgement began.
 * 2. Another sweeper marks it. The word has changed, and one of the two marks
 *    fails: a death is counted once, by the sweeper whose swap succeeded [I3].
 * 3. The sweeper dies or is stopped. Nothing has changed, and the next sweeper
 *    judges anew; or the mark is made, and the event that follows from it is
 *    owed.
 *
 * A worker is marked CRASHED only if the kernel proves the end of its process.
 * A worker is marked STALLED by time alone, as stall.c judges, which is a guess
 * that the worker itself corrects. A sweeper that was itself silent for so long
 * does not guess in that round: the whole machine may have been stopped, and
 * not only the others. A worker's silence is that of its beat; a process
 * without a record was silent since its last sweep, and at its first one it
 * cannot tell. */

#include "sweep.h"

#include "end.h"
#include "generation.h"
#include "log.h"
#include "note.h"
#include "stall.h"

#include <sys/wait.h>

#define RECENT_MS 1000 /* for so long a look at all workers is good */

/* All that a sweep knows before it looks at a record. */
struct sweep {
    struct wm_node *node;
    const struct wm_record *own; /* record of the caller, or NULL */
    struct wm_judge judge;
    uint64_t silence; /* of the caller, up to now, ms */
    uint32_t pid;     /* of the caller */
    bool has_spared;  /* a worker that is overdue, since the caller was */
};

/* While a worker beats, no other process has its pid, and three system calls
 * tell whether it has ended. A record with the sweeper's own pid is different:
 * it may be that of a worker that had the pid before. */
static bool is_dead(const struct sweep *s, uint32_t slot, uint64_t word,
                    bool overdue)
{
    enum wm_proof proof = wm_word_state(word) == WM_LIVE && !overdue &&
                                  wm_word_pid(word) != s->pid
                              ? WM_PROOF_QUICK
                              : WM_PROOF_FULL;

    /* Safeguard: death_is_proven */
    return wm_occupant_is_dead(s->node, slot, word, proof);
}

/* The generation's record may be another generation's by now. The count says
 * which generation it is of; another one's is left alone. A worker that had not
 * started leaves no gap: its replacement starts in its place. */
static void count_death(struct wm_node *node, uint64_t id, bool had_started)
{
    struct wm_generation_record *g = wm_generation_find(node, id);
    uint32_t seen;

    if (g == NULL) {
        return;
    }
    seen = generation_deaths_relaxed(g);
    while (wm_deaths_are_of(seen, id) &&
           !generation_swap_deaths(g, &seen,
                                   wm_deaths(id, wm_deaths_count(seen) + 1))) {
    }
    /* Safeguard: death_before_the_start_leaves_no_gap */
    if (!had_started) {
        wm_generation_replace(g);
    }
}

/* Swaps the record's word, and says so if it is free now. */
static bool swap(const struct sweep *s, uint32_t slot, uint64_t word,
                 uint64_t to)
{
    if (!record_swap_mark(wm_record_at(&s->node->segment, slot), &word, to)) {
        return false;
    }
    if (to == 0) {
        header_lower_free_from(s->node->segment.header, slot);
    }
    return true;
}

/* Logs a mark, with what is known of the end if it is one. */
static void log_mark(struct wm_node *node, enum wm_log_kind kind, uint32_t slot,
                     const struct wm_occupant *o)
{
    wm_log_append_end(
        node, kind,
        wm_end_known(wm_cold_at(&node->segment, slot), o->join, o->word),
        o->generation, o->join, wm_word_pid(o->word), slot);
}

/* Marks a record with its new word, and logs that. The swap is from the word
 * that was judged; so the same worker had the record during the whole look. */
static bool mark(const struct sweep *s, uint32_t slot, uint64_t word,
                 uint64_t to, enum wm_log_kind kind)
{
    struct wm_record *r = wm_record_at(&s->node->segment, slot);
    struct wm_occupant o = wm_occupant_of(r, word);

    if (!swap(s, slot, word, to)) {
        return false;
    }
    if (kind == WM_LOG_WORKER_CRASHED && o.role == WM_ROLE_WORKER) {
        count_death(s->node, o.generation, wm_word_state(o.word) != WM_JOINING);
    }
    log_mark(s->node, kind, slot, &o);
    return true;
}

static bool mark_dead(const struct sweep *s, uint32_t slot, uint64_t word)
{
    switch (wm_word_state(word)) {
    case WM_CLAIMED: /* nobody knew of it */
        return swap(s, slot, word, 0);
    case WM_DRAINING: /* it did not count any more */
        /* Safeguard: drained_death_is_told_as_such */
        return mark(s, slot, word,
                    wm_word_with_state(word, WM_CRASHED_DRAINING),
                    WM_LOG_WORKER_DRAIN_CRASH);
    default:
        return mark(s, slot, word, wm_word_with_state(word, WM_CRASHED),
                    WM_LOG_WORKER_CRASHED);
    }
}

/* Frees the record of a crash that was given, and has expired. */
static bool forget(const struct sweep *s, uint32_t slot, uint64_t word)
{
    const struct wm_record *r = wm_record_at(&s->node->segment, slot);
    struct wm_occupant o = wm_occupant_of(r, word);

    /* Else the note may be the next worker's. */
    if (wm_occupant_is_whole(r, &o)) {
        wm_note_bury(wm_cold_at(&s->node->segment, slot), o.join);
    }
    return mark(s, slot, word, 0, WM_LOG_WORKER_FORGOTTEN);
}

/* Whether a worker that is overdue is stalled. */
static bool is_stalled(struct sweep *s, const struct wm_record *r,
                       uint64_t word)
{
    uint32_t overdue_ms = record_overdue_ms_acquire(r);

    if (!wm_judge_finds_stall(&s->judge, word, overdue_ms,
                              wm_occupant_of(r, word).generation)) {
        return false;
    }
    /* Safeguard: late_sweeper_is_patient */
    if (s->silence > overdue_ms) {
        s->has_spared = true;
        return false;
    }
    return true;
}

/* Changes a record, by the word that was loaded:
 *
 *   FREE, or the caller's own       nothing
 *   CRASHED, given and expired      FREE: it may be forgotten; so may one that
 *                                   is CRASHED_DRAINING
 *   any other, process dead         as mark_dead() says
 *   LIVE, overdue, to be judged     STALLED
 *   any other                       nothing: JOINING and DRAINING workers have
 *                                   no clock to keep
 *
 * Out of line, so that the pass over fresh records is a short loop. */
__attribute__((noinline)) static bool sweep_record(struct sweep *s,
                                                   uint32_t slot, uint64_t word)
{
    struct wm_record *r = wm_record_at(&s->node->segment, slot);
    unsigned state = wm_word_state(word);
    bool overdue;

    /* Joiners find it, if its last worker could not say so. */
    if (state == WM_FREE) {
        header_lower_free_from(s->node->segment.header, slot);
        return false;
    }
    /* Safeguard: own_record_is_known_by_its_place */
    if (r == s->own) {
        return false;
    }
    overdue = wm_record_is_overdue(r, word, s->judge.now);
    if (wm_state_is_crash(state)) {
        /* Safeguard: crash_is_kept_until_it_expires */
        return overdue &&
               record_crash_given(r, wm_cold_at(&s->node->segment, slot)) &&
               forget(s, slot, word);
    }
    if (is_dead(s, slot, word, overdue)) {
        return mark_dead(s, slot, word);
    }
    /* Safeguard: time_judges_live_workers_alone */
    return state == WM_LIVE && overdue && is_stalled(s, r, word) &&
           mark(s, slot, word, wm_word_with_state(word, WM_STALLED),
                WM_LOG_WORKER_STALLED);
}

/* Sweeps all records but those of workers that have beaten within fresh_ms.
 * These lived then, and the next interval's sweep is early enough to find what
 * has happened to them since. A beat that lies further ahead is no clock's, and
 * proves nothing. */
static int sweep_records(struct sweep *s, uint32_t fresh_ms)
{
    const size_t stride = s->node->segment.geometry.record_stride;
    const struct wm_record *r = s->node->segment.records;
    const uint64_t latest = s->judge.now + fresh_ms,
                   span = 2 * (uint64_t)fresh_ms;
    uint32_t high = wm_node_high(s->node);
    int changed = 0;

    for (uint32_t i = 0; i < high; i++, r = wm_record_after(r, stride)) {
        uint64_t word = record_word_acquire(r);

        /* Safeguard: beats_are_believed_for_an_interval */
        if (__builtin_expect(!wm_word_beat_within(word, latest, span) ||
                                 wm_word_state(word) != WM_LIVE,
                             0)) {
            changed += sweep_record(s, i, word);
        }
    }
    return changed;
}

/* How long the caller has been silent, ms; UINT64_MAX: for any time. A worker
 * is silent since its last beat, or was before a late one since its last
 * sweep; one that has lost its record has sweeps alone. */
static uint64_t silence_of(const struct sweep *s, struct wm_worker *self)
{
    uint64_t now = s->judge.now, silence, since;
    int64_t age;

    if (self == NULL || s->own == NULL) {
        since = wm_node_swept_at(s->node); /* by another thread, after `now` */
        return since == 0 ? UINT64_MAX : now > since ? now - since : 0;
    }
    silence = wm_worker_take_silence(self);
    age = wm_word_age(record_own_word(s->own), now);
    return age > (int64_t)silence ? (uint64_t)age : silence;
}

int wm_sweep_stale(struct wm_node *node, struct wm_worker *self,
                   uint32_t fresh_ms)
{
    struct sweep s = {.node = node, .judge = wm_judge_begin(node)};
    int changed;

    if (wm_node_usable(node) != 0) {
        return 0;
    }
    /* A worker that has drained may have lost its record to another worker,
     * which may have died since: that record is not passed over. */
    /* Safeguard: lost_record_is_not_passed_over */
    s.own = wm_worker_has_record(&node->worker)
                ? wm_worker_record(&node->worker)
                : NULL;
    s.pid = wm_ident_pid(wm_self_ident());
    s.silence = silence_of(&s, self);
    changed = sweep_records(&s, fresh_ms);
    if (s.has_spared) {
        wm_judge_note_awake(&s.judge, s.own);
    }
    /* Safeguard: one_without_a_record_has_its_sweeps */
    if (self == NULL || s.own == NULL) {
        wm_node_set_swept_at(node, s.judge.now);
    }
    changed +=
        (int)wm_generations_settle(node, self == NULL ? 0 : self->generation);
    if (fresh_ms == 0) {
        header_set_looked_at(node->segment.header, s.judge.now);
    }
    return changed;
}

/* A time ahead of the clock is garbage. */
bool wm_sweep_is_recent(const struct wm_node *node)
{
    uint64_t at = header_looked_at(node->segment.header);

    return at != 0 && wm_now() - at <= RECENT_MS;
}

/* Notes how the worker of a record has ended, and marks it. */
static bool mark_end(const struct sweep *s, uint32_t slot, uint64_t word,
                     uint32_t end)
{
    const struct wm_record *r = wm_record_at(&s->node->segment, slot);
    struct wm_occupant o = wm_occupant_of(r, word);
    const uint64_t join = o.join;
    bool is_news;

    /* Safeguard: end_is_of_the_one_that_is_dead */
    if (!wm_occupant_is_whole(r, &o)) {
        return false;
    }
    /* Safeguard: end_comes_before_the_mark */
    is_news = wm_end_note(wm_cold_at(&s->node->segment, slot), o.join, end);
    if (mark_dead(s, slot, word)) {
        return true;
    }
    /* A sweeper has marked it meanwhile, perhaps before it knew the end. */
    o = wm_occupant_of(r, record_word_acquire(r));
    if (is_news && o.join == join && wm_state_is_crash(wm_word_state(o.word))) {
        log_mark(s->node, WM_LOG_WORKER_END, slot, &o);
    }
    return false;
}

/* Notes how a worker has ended that was found dead before: the last one that
 * had this pid. Those that are told from now on are told how. */
static void note_late(const struct sweep *s, uint32_t end)
{
    uint32_t high = wm_node_high(s->node), slot = 0;
    struct wm_occupant last = {0};

    for (uint32_t i = 0; i < high; i++) {
        const struct wm_record *r = wm_record_at(&s->node->segment, i);
        struct wm_occupant o = wm_occupant_of(r, record_word_acquire(r));

        if (wm_word_pid(o.word) == s->pid && o.join > last.join &&
            wm_state_is_crash(wm_word_state(o.word)) &&
            wm_occupant_is_whole(r, &o)) {
            last = o;
            slot = i;
        }
    }
    if (last.join != 0 &&
        wm_end_note(wm_cold_at(&s->node->segment, slot), last.join, end)) {
        log_mark(s->node, WM_LOG_WORKER_END, slot, &last);
    }
}

/* A child of the caller may be reaped once only, so that its pid was its own
 * until then. By now it may be another process's, which may have joined: so the
 * end of each worker with that pid is proven. */
int wm_worker_reaped(struct wm_node *node, int32_t pid, int status)
{
    WM_REQUIRE(node);
    struct sweep s = {.node = node, .pid = (uint32_t)pid};
    uint32_t high = wm_node_high(node);
    int error = pid <= 0 ? -EINVAL : wm_node_usable(node);
    int marked = 0;

    if (error != 0 || WIFSTOPPED(status) || WIFCONTINUED(status)) {
        return error;
    }
    for (uint32_t i = 0; i < high; i++) {
        uint64_t word = record_word_acquire(wm_record_at(&node->segment, i));
        unsigned state = wm_word_state(word);

        if (wm_word_pid(word) == s.pid && state != WM_FREE &&
            !wm_state_is_crash(state) && is_dead(&s, i, word, true)) {
            marked |= mark_end(&s, i, word, wm_end_of_status(status));
        }
    }
    if (!marked) {
        note_late(&s, wm_end_of_status(status));
    }
    return marked;
}

int wm_sweep(struct wm_node *node, struct wm_worker *self)
{
    WM_REQUIRE(node);
    return wm_sweep_stale(node, self, 0);
}
