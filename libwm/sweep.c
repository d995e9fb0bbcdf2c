/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The sweep: what a node finds out about its workers without their help, and
 * the events that follow from it.
 *
 * Each mark is a swap from the very word that was judged, so a worker that
 * beat meanwhile, or left, or was judged by another sweeper, makes it fail.
 * Marking and telling are two steps: whoever dies in between leaves an event
 * that is owed, and the next to look gives it out. */

#include "generation.h"
#include "lock.h"
#include "log.h"
#include "process.h"

/* What a sweep knows before it looks at a record. */
struct sweep {
    struct wm_node *node;
    const struct wm_record *own; /* record of the caller, or NULL */
    uint64_t now;
    uint32_t pid;    /* of the caller */
    uint32_t holder; /* of the lock: in a callback, not judged by time */
    bool patient;    /* the caller was late, as all may be, or cannot tell */
};

static bool swap(struct wm_record *r, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(
        &r->word, &from, to, memory_order_acq_rel, memory_order_relaxed);
}

/* Whether the worker is overdue, or its crash may be forgotten. */
static bool is_overdue(const struct wm_record *r, uint64_t word, uint64_t now)
{
    return wm_word_overdue(
        word, now, atomic_load_explicit(&r->overdue_ms, memory_order_acquire));
}

static bool occupant_dead(const struct sweep *s, uint32_t slot, uint64_t word,
                          bool overdue)
{
    uint32_t pid = wm_word_pid(word);
    uint64_t ident = atomic_load_explicit(&s->node->segment.colds[slot].ident,
                                          memory_order_acquire);
    /* While it beats, a pid is not another process's. Ours may be: then this
     * record is that of a worker that had it before. */
    enum wm_proof proof =
        wm_word_state(word) == WM_LIVE && !overdue && pid != s->pid
            ? WM_PROOF_QUICK
            : WM_PROOF_FULL;

    /* A start time counts only together with the pid of this very claim. */
    if (wm_ident_pid(ident) != pid || wm_word_state(word) == WM_CLAIMED) {
        ident = wm_ident(pid, 0);
    }
    return wm_process_dead(ident, wm_word_beat(word), proof);
}

static void count_death(struct wm_node *node, uint64_t generation)
{
    struct wm_generation_record *g = wm_generation_find(node, generation);
    uint32_t seen, next;

    if (g == NULL) {
        return;
    }
    seen = atomic_load_explicit(&g->deaths, memory_order_relaxed);
    do {
        next = wm_deaths(generation, wm_deaths_count(seen) + 1);
    } while (next >> WM_DEATHS_BITS == seen >> WM_DEATHS_BITS &&
             !atomic_compare_exchange_weak_explicit(&g->deaths, &seen, next,
                                                    memory_order_relaxed,
                                                    memory_order_relaxed));
}

/* Marks what the record's worker has come to, and logs it. */
static bool mark(const struct sweep *s, uint32_t slot, uint64_t word,
                 uint64_t to, enum wm_log_kind kind)
{
    struct wm_record *r = &s->node->segment.records[slot];
    uint64_t generation =
        atomic_load_explicit(&r->generation, memory_order_acquire);
    uint64_t join = atomic_load_explicit(&r->join, memory_order_acquire);
    uint32_t role = atomic_load_explicit(&r->role, memory_order_acquire);

    if (!swap(r, word, to)) {
        return false;
    }
    if (kind == WM_LOG_WORKER_CRASHED && role == WM_ROLE_WORKER) {
        count_death(s->node, generation);
    }
    wm_log_append(s->node, kind, generation, join, wm_word_pid(word), slot);
    return true;
}

static bool mark_dead(const struct sweep *s, uint32_t slot, uint64_t word)
{
    switch (wm_word_state(word)) {
    case WM_CLAIMED: /* nobody knew of it */
        return swap(&s->node->segment.records[slot], word, 0);
    case WM_DRAINING: /* it had said good-bye */
        return mark(s, slot, word, 0, WM_LOG_WORKER_LEFT);
    default:
        return mark(s, slot, word, wm_word_with_state(word, WM_CRASHED),
                    WM_LOG_WORKER_CRASHED);
    }
}

static bool sweep_record(const struct sweep *s, uint32_t slot, uint64_t word)
{
    struct wm_record *r = &s->node->segment.records[slot];
    unsigned state = wm_word_state(word);
    bool overdue;

    if (state == WM_FREE || r == s->own) {
        return false;
    }
    overdue = is_overdue(r, word, s->now);
    if (state == WM_CRASHED) {
        return overdue && wm_crash_given(r, &s->node->segment.colds[slot]) &&
               mark(s, slot, word, 0, WM_LOG_WORKER_FORGOTTEN);
    }
    if (state > WM_CRASHED) {
        return swap(r, word, 0); /* no state at all: scribbled over */
    }
    if (occupant_dead(s, slot, word, overdue)) {
        return mark_dead(s, slot, word);
    }
    return state == WM_LIVE && overdue && !s->patient &&
           wm_word_pid(word) != s->holder &&
           mark(s, slot, word, wm_word_with_state(word, WM_STALLED),
                WM_LOG_WORKER_STALLED);
}

/* All records but those of workers that have beaten within fresh_ms, and so
 * lived then; a beat as far ahead is no clock's. */
static int sweep_records(const struct sweep *s, uint32_t fresh_ms)
{
    const struct wm_record *records = s->node->segment.records;
    const uint64_t latest = s->now + fresh_ms, span = 2 * (uint64_t)fresh_ms;
    uint32_t high = wm_node_high(s->node);
    int changed = 0;

    for (uint32_t i = 0; i < high; i++) {
        uint64_t word =
            atomic_load_explicit(&records[i].word, memory_order_acquire);

        if (__builtin_expect(((latest - word) & WM_BEAT_MASK) >= span ||
                                 wm_word_state(word) != WM_LIVE,
                             0)) {
            changed += sweep_record(s, i, word);
        }
    }
    return changed;
}

/* Whether the caller, whose record this is, was itself overdue since its last
 * sweep. */
static bool was_late(struct wm_worker *self, const struct wm_record *own,
                     uint64_t now)
{
    return atomic_exchange_explicit(&self->late, false, memory_order_relaxed) ||
           is_overdue(own,
                      atomic_load_explicit(&own->word, memory_order_relaxed),
                      now);
}

static int sweep(struct wm_node *node, struct wm_worker *self,
                 uint32_t fresh_ms)
{
    struct sweep s = {.node = node, .now = wm_now()};
    int changed;

    if (wm_node_usable(node) != 0) {
        return 0;
    }
    /* Where we drained it may be another's, who may have died in it. */
    s.own = wm_worker_has_record(&node->worker)
                ? wm_worker_record(&node->worker)
                : NULL;
    s.pid = wm_ident_pid(wm_self_ident());
    s.holder = wm_lock_pid(node);
    s.patient = self != NULL && (s.own == NULL || was_late(self, s.own, s.now));
    changed = sweep_records(&s, fresh_ms);
    changed +=
        (int)wm_generations_settle(node, self == NULL ? 0 : self->generation);
    return changed;
}

int wm_sweep(struct wm_node *node, struct wm_worker *self)
{
    return sweep(node, self, 0);
}

int wm_tick(struct wm_worker *worker, uint32_t interval_ms)
{
    struct wm_node *node = worker->node;
    _Atomic uint64_t *due = &node->segment.header->next_sweep;
    uint64_t now = wm_now();
    uint64_t at = atomic_load_explicit(due, memory_order_relaxed);
    int error = wm_node_usable(node);

    if (error != 0) {
        return error;
    }
    /* Sweep before the beat, so that it sees whether we are late. A time too
     * far off is not ours to wait for: somebody scribbled. */
    if ((now >= at || at - now > 2 * (uint64_t)interval_ms) &&
        atomic_compare_exchange_strong_explicit(
            due, &at, now + (uint64_t)interval_ms * 9 / 10,
            memory_order_relaxed, memory_order_relaxed)) {
        sweep(node, worker, interval_ms);
    }
    return wm_beat_at(worker, now);
}

/* ---------------------------------------------------------------- events */

/* Stalls that were not told: those the worker came back from, and the present
 * one. `stalls` first, the word second: the worker leaves STALLED before it
 * counts, so that what is in flight is counted too low, never twice. */
static int32_t stalls_owed(const struct wm_record *r, uint64_t given,
                           uint64_t *word)
{
    uint32_t stalls =
        (uint32_t)atomic_load_explicit(&r->stalls, memory_order_acquire);

    *word = atomic_load_explicit(&r->word, memory_order_acquire);
    return (int32_t)(stalls + (wm_word_state(*word) == WM_STALLED) -
                     wm_given_stalls(given));
}

/* The event that this record owes, and the mark that it was given. */
static uint32_t owed_kind(const struct wm_node *node, uint32_t slot,
                          uint64_t *word, uint64_t *given, uint64_t *mark)
{
    const struct wm_record *r = &node->segment.records[slot];
    const struct wm_record_cold *c = &node->segment.colds[slot];
    int32_t owed;

    *given = atomic_load_explicit(&c->given, memory_order_acquire);
    owed = stalls_owed(r, *given, word);
    if (wm_word_state(*word) == WM_CRASHED) {
        *mark = *given | 1;
        return (*given & 1) == 0 ? WM_EVENT_CRASHED : 0;
    }
    if (owed > 0 && wm_word_state(*word) >= WM_LIVE &&
        wm_word_state(*word) <= WM_DRAINING) {
        *mark = *given + 2;
        return WM_EVENT_STALLED;
    }
    return 0;
}

static bool take_of_record(struct wm_node *node, uint32_t slot, uint32_t kinds,
                           struct wm_event *event)
{
    struct wm_record *r = &node->segment.records[slot];
    struct wm_record_cold *c = &node->segment.colds[slot];
    uint64_t word, given, mark;
    uint32_t kind = owed_kind(node, slot, &word, &given, &mark);

    if (kind == 0 || (kinds & 1u << kind) == 0) {
        return false;
    }
    event->kind = kind;
    event->slot = slot;
    event->pid = (int32_t)wm_word_pid(word);
    event->generation =
        atomic_load_explicit(&r->generation, memory_order_acquire);
    event->join = atomic_load_explicit(&r->join, memory_order_acquire);
    event->spell =
        (uint32_t)atomic_load_explicit(&c->spell, memory_order_acquire);
    event->role = atomic_load_explicit(&r->role, memory_order_acquire);
    /* All since the mark was loaded is of the occupant that it names: nobody
     * was writing a new identity over it by now; and if a later occupant has
     * published one, the mark has another join number, and the swap fails. */
    word = atomic_load_explicit(&r->word, memory_order_acquire);
    return wm_word_state(word) >= WM_JOINING &&
           atomic_compare_exchange_strong_explicit(&c->given, &given, mark,
                                                   memory_order_acq_rel,
                                                   memory_order_relaxed);
}

static bool take_of_generation(struct wm_node *node, uint32_t index,
                               struct wm_event *event)
{
    struct wm_generation_info info;
    uint64_t word, master;

    if (!wm_generation_read(node, index, &info, &word, &master) ||
        wm_gen_owed(word) == 0 ||
        wm_generation_take_exit(node, info.id, &event->spell) == 0) {
        return false;
    }
    event->kind = WM_EVENT_MASTER_EXIT;
    event->generation = info.id;
    event->pid = info.master;
    return true;
}

int wm_events_owed(const struct wm_node *node, uint32_t kinds)
{
    uint32_t high = wm_node_high(node);
    uint32_t count = wm_generations_used(node);
    int owed = 0;

    if (wm_node_usable(node) == -EUCLEAN) {
        return 0;
    }
    for (uint32_t i = 0; i < high; i++) {
        uint64_t word, given, mark;

        uint32_t kind = owed_kind(node, i, &word, &given, &mark);

        owed += kind != 0 && (kinds & 1u << kind) != 0;
    }
    if ((kinds & 1u << WM_EVENT_MASTER_EXIT) == 0) {
        return owed;
    }
    for (uint32_t i = 0; i < count; i++) {
        owed += (int)wm_gen_owed(atomic_load_explicit(
            &node->segment.generations[i].word, memory_order_acquire));
    }
    return owed;
}

int wm_event_take(struct wm_node *node, uint32_t kinds, struct wm_event *event)
{
    uint32_t high = wm_node_high(node);
    uint32_t count = wm_generations_used(node);

    if (wm_node_usable(node) != 0) {
        return 0;
    }
    *event = (struct wm_event){0};
    for (uint32_t i = 0; i < high; i++) {
        if (take_of_record(node, i, kinds, event)) {
            return 1;
        }
    }
    if ((kinds & 1u << WM_EVENT_MASTER_EXIT) == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (take_of_generation(node, i, event)) {
            return 1;
        }
    }
    return 0;
}

int wm_events_give(struct wm_node *node, struct wm_worker *self,
                   wm_event_fn *give, void *argument)
{
    const struct wm_geometry *g = &node->segment.geometry;
    const int most = (int)(g->capacity + g->generations);
    struct wm_event event;
    int given = 0;

    wm_sweep(node, self);
    if (wm_events_owed(node, ~0u) == 0 || wm_lock_try(node, 0, 0) < 0) {
        return 0;
    }
    /* Where it seems to owe more than that, somebody scribbled, or the next
     * sweep gives the rest. */
    while (given < most && wm_event_take(node, ~0u, &event) == 1) {
        if (give != NULL) {
            give(&event, argument);
        }
        given++;
    }
    wm_lock_release(node);
    return given;
}
