/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

#include "ledger.h"

#include "invariants.h"
#include "log.h"

#include <sys/mman.h>

struct ledger *ledger;

void ledger_open(void)
{
    ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(ledger != MAP_FAILED);
}

void ledger_close(void)
{
    munmap(ledger, sizeof(*ledger));
}

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

uint32_t ledger_marks(const void *memory)
{
    const struct wm_geometry *size = &node->segment.geometry;
    const char *at = memory;
    const struct wm_record_cold *c = (const void *)(at + size->colds);
    const struct wm_generation_record *g =
        (const void *)(at + size->generation_records);
    uint32_t n = 0;

    for (uint32_t i = 0; i < size->capacity; i++) {
        uint64_t given = c[i].given;

        n += (uint32_t)(given & 1) + wm_given_stalls(given);
    }
    for (uint32_t i = 0; i < size->generations; i++) {
        uint64_t word = g[i].word;

        n += wm_gen_state(word) >= WM_GENERATION_BEGUN ? wm_gen_given(word) : 0;
    }
    return n;
}

/* --------------------------------------------------------- what was told */

/* Crashes that were told, of one joining or, with 0, of all. */
static uint32_t crashes(uint64_t join)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < ledger->count && i < LEDGER_SIZE; i++) {
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

void ledger_check(uint32_t owed, const uint64_t *ended, uint32_t ends,
                  uint32_t lost)
{
    must(ledger->count <= LEDGER_SIZE, "no more is told than there is");
    for (uint32_t i = 0; i < ledger->count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            must(!is_same(&ledger->event[i], &ledger->event[j]),
                 "I4: nothing is told twice");
        }
    }
    for (uint32_t i = 0; i < ends; i++) {
        must(crashes(ended[i]) + lost >= 1, "each crash is told");
    }
    must(crashes(0) <= ends, "I3: nobody is told of a crash that was none");
    must(ledger->count + lost == owed + spells_that_ended(),
         "all that is owed is told once");
    must(wm_events_owed(node, ~0u) == 0, "nothing stays owed");
}

/* ------------------------------------------------------------------ the log */

/* Only an entry that its writer's death left unfinished is missing. */
void ledger_check_log(uint32_t unfinished)
{
    struct wm_log_entry list[256];
    uint64_t since = 0, missed = 0;
    uint32_t count;

    wm_log_read_within(node, &since, list, sizeof(*list), 256, &count, &missed,
                       0);
    must(missed <= unfinished, "an entry is missed only if its writer died");
    must(count + missed == since && since == header()->log_next,
         "each number of the log has its entry");
    /* Not in order: a worker that took the lead makes its entry later. */
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].kind != WM_LOG_LEADER) {
            continue;
        }
        must(list[i].value <= wm_leader_term(header()->leader.word),
             "I11: terms grow");
        for (uint32_t j = 0; j < i; j++) {
            must(list[j].kind != WM_LOG_LEADER ||
                     list[i].value != list[j].value,
                 "I11: each leader has a term of its own");
        }
    }
}

uint32_t ledger_stalls(uint64_t join)
{
    struct wm_log_entry list[256];
    uint64_t since = 0;
    uint32_t count, n = 0;

    wm_log_read_within(node, &since, list, sizeof(*list), 256, &count, NULL, 0);
    for (uint32_t i = 0; i < count; i++) {
        n += list[i].kind == WM_LOG_WORKER_STALLED &&
             (join == 0 || list[i].value == join);
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
