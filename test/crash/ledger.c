/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Who was told what, against what the segment owes: nothing is told twice,
 * nothing that is owed is lost, and the log has an entry for each change. */

#include "stepping.h"

#include "log.h"

struct ledger *ledger;

void ledger_note(const struct wm_event *event, UNUSED void *unused)
{
    /* In this order: a death in between has told nobody. */
    ledger->event[ledger->count % LEDGER_SIZE] = *event;
    ledger->count++;
}

void ledger_note_end(uint64_t id, uint32_t spell)
{
    const struct wm_event e = {
        .kind = WM_EVENT_MASTER_EXIT, .generation = id, .spell = spell};

    ledger_note(&e, NULL);
}

struct wm_segment segment_at(const void *memory)
{
    struct wm_segment s = {.geometry = node->segment.geometry};
    char *at = (char *)(uintptr_t)memory;

    s.header = (void *)at;
    s.records = (void *)(at + s.geometry.records);
    s.colds = (void *)(at + s.geometry.colds);
    s.generations = (void *)(at + s.geometry.generation_records);
    return s;
}

uint32_t ledger_marks(const void *memory)
{
    const struct wm_segment s = segment_at(memory);
    uint32_t n = 0;

    for (uint32_t i = 0; i < s.geometry.capacity; i++) {
        uint64_t given = s.colds[i].given;

        n += (uint32_t)(given & 1) + wm_given_stalls(given);
    }
    for (uint32_t i = 0; i < s.geometry.generations; i++) {
        uint64_t word = s.generations[i].word;

        n += wm_gen_state(word) >= WM_GENERATION_BEGUN ? wm_gen_given(word) : 0;
    }
    return n;
}

/* --------------------------------------------------------- what was told */

/* Crashes that were told, of one joining or, with 0, of all. */
static uint32_t crashes(uint64_t join)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < ledger->count; i++) {
        const struct wm_event *e = &ledger->event[i];

        n += e->kind == WM_EVENT_CRASHED && (join == 0 || e->join == join);
    }
    return n;
}

static bool is_same(const struct wm_event *x, const struct wm_event *y)
{
    return x->kind == y->kind && x->kind != WM_EVENT_STALLED &&
           (x->kind == WM_EVENT_CRASHED
                ? x->join == y->join
                : x->generation == y->generation && x->spell == y->spell);
}

static uint32_t spells_that_ended(void)
{
    struct wm_generation_info list[256];
    uint32_t count, n = 0;

    assert_ok(wm_generations(node, list, sizeof(*list), 256, &count));
    for (uint32_t i = 0; i < count; i++) {
        must(list[i].state != WM_GENERATION_ACTIVE,
             "a generation ends with its last worker");
        must(list[i].state != WM_GENERATION_BEGUN ||
                 !has_ended((uint32_t)list[i].master),
             "one that a dead master has begun is aborted");
        n += list[i].spell;
    }
    return n;
}

void ledger_check(const struct run *r, uint32_t lost)
{
    must(ledger->count <= LEDGER_SIZE, "no more is told than there is");
    for (uint32_t i = 0; i < ledger->count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            must(!is_same(&ledger->event[i], &ledger->event[j]),
                 "I4: nothing is told twice");
        }
    }
    for (uint32_t i = 0; i < r->ends; i++) {
        must(crashes(r->ended[i]) + lost >= 1, "each crash is told");
    }
    must(crashes(0) <= r->ends, "I3: nobody is told of a crash that was none");
    must(ledger->count + lost == r->ends + r->stalls + spells_that_ended(),
         "all that is owed is told once");
    must(wm_events_owed(node, ~0u) == 0, "nothing stays owed");
}

/* ------------------------------------------------------------------ the log */

static struct wm_log_entry entries[256];

/* Reads all that is whole; returns the number of the last. */
static uint64_t read_log(uint32_t *count, uint64_t *missed)
{
    uint64_t since = 0;

    *missed = 0;
    wm_log_read_within(node, &since, entries, sizeof(*entries), COUNT(entries),
                       count, missed, 0);
    return since;
}

void ledger_check_log(uint32_t unfinished)
{
    uint64_t terms[COUNT(entries)], missed;
    uint32_t count, n = 0;
    const uint64_t last = read_log(&count, &missed);

    must(missed <= unfinished, "an entry is missed only if its writer died");
    must(count + missed == last && last == header()->log_next,
         "each number of the log has its entry");
    /* Not in order: a worker that took the lead makes its entry later. */
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].kind != WM_LOG_LEADER) {
            continue;
        }
        terms[n++] = entries[i].value;
        must(entries[i].value <= wm_leader_term(header()->leader.word),
             "I11: terms grow");
        for (uint32_t j = 0; j + 1 < n; j++) {
            must(terms[j] != entries[i].value,
                 "I11: each leader has a term of its own");
        }
    }
}

uint32_t ledger_stalls(uint64_t join)
{
    uint64_t missed;
    uint32_t count, n = 0;

    read_log(&count, &missed);
    for (uint32_t i = 0; i < count; i++) {
        n += entries[i].kind == WM_LOG_WORKER_STALLED &&
             (join == 0 || entries[i].value == join);
    }
    return n;
}

uint32_t ledger_untold(pid_t pid)
{
    const struct wm_record *r = record_of(pid);

    if (r == NULL || state_at(slot_of(r)) < WM_JOINING) {
        return 0; /* a record that is claimed shows its former occupant */
    }
    return ledger_stalls(r->join) - wm_given_stalls(cold(slot_of(r))->given);
}

void ledger_check_stalls(void)
{
    for (uint32_t i = 0; i < node->segment.geometry.capacity; i++) {
        unsigned state = state_at(i);

        must(state < WM_JOINING || state > WM_DRAINING ||
                 stalls_at(i) + (state == WM_STALLED) ==
                     ledger_stalls(record(i)->join),
             "a worker counts each stall that it comes back from");
    }
}
