/* SPDX-License-Identifier: Apache-2.0 */

/* Events: the survivors are told of workers that crashed or stalled, and of
 * generations that have no worker left.
 *
 * An event is owed from the swap that marks it: a record that is CRASHED, a
 * stall, a spell that is over. The process that gives it first marks it as
 * given, by a second swap, just before its callback runs. So
 *
 * 1. no process can give an event that was given: the second swap is from the
 *    mark that was loaded before the event was read, and each mark differs
 *    from all others of that joining [I4];
 * 2. if the process that found an event dies, the event stays owed; if the
 *    process that gives it dies between the mark and the callback, it is not
 *    given, which "at most once" allows.
 *
 * If no process takes events, a crash is lost at last: once it has expired, and
 * a joiner has no other room (protocol.md, "Records").
 *
 * The mark of a record carries the join number that it is of, and the joiner
 * stores it last [G]. A process that takes an event loads the mark first:
 *
 *     taker:     given ...... stalls, word, identity, word ...... swap of given
 *     next one:        claim, stores, JOINING ... given
 *
 * If any load after `given` returns a value that the next occupant stored, then
 * the last load of the word returns CLAIMED, or `given` is the next occupant's
 * by the time of the swap, and the swap fails. */

#include "events.h"

#include "end.h"
#include "generation.h"
#include "note.h"
#include "record.h"

#include <limits.h>

/* Stalls that were not given: those that the worker came back from, and the
 * present one. `stalls` is loaded before the word: the worker leaves STALLED
 * before it counts, so a stall that it is just leaving may not be counted for a
 * moment, but is never counted twice. */
static int32_t stalls_owed(const struct wm_record *r, uint64_t given,
                           uint64_t *word)
{
    /* Safeguard: stalls_are_loaded_before_the_word */
    uint32_t stalls = wm_stalls_count(record_stalls_acquire(r));

    *word = record_word_acquire(r);
    return (int32_t)(stalls + (wm_word_state(*word) == WM_STALLED) -
                     wm_given_stalls(given));
}

/* The event that a record owes, 0 if none, and the mark that it was given. */
static uint32_t owed_kind(const struct wm_node *node, uint32_t slot,
                          uint64_t *word, uint64_t *given, uint64_t *mark)
{
    const struct wm_record *r = wm_record_at(&node->segment, slot);
    unsigned state = wm_word_state(record_word_acquire(r));
    int32_t owed;

    /* Most owe nothing, and their hot line tells. */
    if (!wm_state_is_crash(state) && state != WM_STALLED &&
        wm_stalls_count(record_stalls_acquire(r)) == 0) {
        return 0;
    }
    *given = record_cold_given_acquire(wm_cold_at(&node->segment, slot));
    owed = stalls_owed(r, *given, word);
    state = wm_word_state(*word);
    if (wm_state_is_crash(state)) {
        *mark = wm_given_and_crash(*given);
        return wm_given_crash(*given) ? 0
               : state == WM_CRASHED  ? WM_EVENT_CRASHED
                                      : WM_EVENT_CRASHED_DRAINING;
    }
    if (owed > 0 && state >= WM_LIVE && state <= WM_DRAINING) {
        *mark = wm_given_and_stall(*given);
        return WM_EVENT_STALLED;
    }
    return 0;
}

static bool is_of_kinds(uint32_t kind, uint32_t kinds)
{
    return kind != 0 && (kinds & 1u << kind) != 0;
}

static bool take_of_record(struct wm_node *node, uint32_t slot, uint32_t kinds,
                           struct wm_event *event)
{
    const struct wm_record *r = wm_record_at(&node->segment, slot);
    struct wm_record_cold *c = wm_cold_at(&node->segment, slot);
    uint64_t word, given, mark;
    uint32_t kind = owed_kind(node, slot, &word, &given, &mark);
    struct wm_occupant o;

    if (!is_of_kinds(kind, kinds)) {
        return false;
    }
    o = wm_occupant_of(r, word);
    *event = (struct wm_event){
        .size = sizeof(*event),
        .kind = kind,
        .generation = o.generation,
        .join = o.join,
        .pid = (int32_t)wm_word_pid(word),
        .slot = slot,
        .role = o.role,
        .spell = (uint32_t)record_cold_spell_acquire(c),
    };
    event->ended = wm_end_told(wm_end_known(c, o.join, word),
                               wm_state_is_crash(wm_word_state(word)));
    wm_note_read(c, o.join, event->note);
    /* While the next occupant is writing its identity, the word is CLAIMED;
     * once it has published that, `given` is its own, and the swap fails. */
    /* Safeguard: event_is_of_one_occupant */
    return wm_word_state(record_word_acquire(r)) >= WM_JOINING &&
           record_cold_swap_given(c, given, mark);
}

bool wm_event_take_end(struct wm_node *node, uint64_t id,
                       struct wm_event *event)
{
    const struct wm_generation_record *g = wm_generation_find(node, id);
    uint64_t master = g == NULL ? 0 : generation_master_acquire(g);
    uint64_t word = g == NULL ? 0 : generation_word_acquire(g);
    bool lacks = g != NULL && wm_generation_lacks(g);
    uint32_t spell;

    if (wm_generation_take_exit(node, id, &spell) <= 0) {
        return false;
    }
    *event = (struct wm_event){
        .size = sizeof(*event),
        .kind = WM_EVENT_MASTER_EXIT,
        .generation = id,
        .pid = (int32_t)wm_ident_pid(master),
        .slot = WM_NO_SLOT,
        .spell = spell,
    };
    /* Of a spell before the newest one nobody knows it any more. */
    if (lacks && spell == wm_gen_spell(word) &&
        wm_gen_state(word) != WM_GENERATION_ACTIVE) {
        event->counts.reason = WM_REASON_CRASH;
    }
    return true;
}

static bool take_of_generation(struct wm_node *node, uint32_t index,
                               struct wm_event *event)
{
    struct wm_generation_info info;
    uint64_t word, master;

    return wm_generation_read(node, index, &info, &word, &master) &&
           wm_gen_owed(word) != 0 && wm_event_take_end(node, info.id, event);
}

/* A count that is less than every condition, also if a process has
 * scribbled. */
static int as_count(uint64_t owed)
{
    return owed < INT_MAX / 2 ? (int)owed : INT_MAX / 2;
}

int wm_events_owed(const struct wm_node *node, uint32_t kinds)
{
    WM_REQUIRE(node);
    uint32_t high = wm_node_high(node);
    uint32_t count = wm_generations_used(node);
    uint64_t owed = 0;
    int error = wm_node_usable(node);

    if (error != 0 && error != -EROFS) {
        return 0;
    }
    for (uint32_t i = 0; i < high; i++) {
        uint64_t word, given, mark;

        owed += is_of_kinds(owed_kind(node, i, &word, &given, &mark), kinds);
    }
    if (!is_of_kinds(WM_EVENT_MASTER_EXIT, kinds)) {
        return as_count(owed);
    }
    for (uint32_t i = 0; i < count; i++) {
        owed += wm_gen_owed(
            generation_word_acquire(wm_generation_at(&node->segment, i)));
    }
    return as_count(owed);
}

static bool take_any(struct wm_node *node, uint32_t kinds,
                     struct wm_event *event)
{
    uint32_t high = wm_node_high(node);
    uint32_t count = wm_generations_used(node);
    uint32_t from = wm_node_taken(node);

    /* On from the record of the last event: where many owe one each, a take
     * looks at two records, and not at all from the first. */
    for (uint32_t n = 0; n < high; n++) {
        uint32_t slot = from + n < high ? from + n : (from + n) % high;

        if (take_of_record(node, slot, kinds, event)) {
            wm_node_set_taken(node, slot);
            return true;
        }
    }
    if (!is_of_kinds(WM_EVENT_MASTER_EXIT, kinds)) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (take_of_generation(node, i, event)) {
            return true;
        }
    }
    return false;
}

int wm_event_take(struct wm_node *node, uint32_t kinds, struct wm_event *event)
{
    WM_REQUIRE(node);

    struct wm_event own = {0};
    int result = wm_sized_check(event, WM_LEAST(wm_event, counts));

    if (result == 0) {
        result = wm_node_usable(node);
    }
    if (result == 0) {
        result = take_any(node, kinds, &own);
        wm_sized_write(event, &own, sizeof(own));
    }
    return result;
}

int wm_events_give(struct wm_node *node, struct wm_worker *self,
                   wm_event_fn *give, void *argument)
{
    WM_REQUIRE(node);
    const struct wm_geometry *g = &node->segment.geometry;
    /* Safeguard: events_are_bounded */
    const int most = (int)(g->capacity + g->generations);
    struct wm_event event = {.size = sizeof(event)};
    int given = 0;

    wm_sweep(node, self);
    if (wm_events_owed(node, ~0u) == 0 || wm_lock_try(node, 0, 0) < 0) {
        return 0;
    }
    /* If the node seems to owe more than that, a process has scribbled, or the
     * next sweep gives the rest. A callback may give the lock back, or fork and
     * return in the child, which does not have it. */
    /* Safeguard: mark_comes_before_the_callback */
    while (given < most && wm_node_held(node) != 0 &&
           wm_event_take(node, ~0u, &event) == 1) {
        if (give != NULL) {
            give(&event, argument);
        }
        given++;
    }
    wm_lock_release(node);
    return given;
}
