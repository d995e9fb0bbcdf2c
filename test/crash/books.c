/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The books of a play: what was told, against what the segment owes. */

#include "books.h"

#include "invariants.h"
#include "log.h"

/* Marks in the segment that something was given. */
uint32_t books_marks(const struct wm_segment *s, const void *memory)
{
    const char *at = memory;
    const struct wm_record_cold *c = (const void *)(at + s->geometry.colds);
    const struct wm_generation_record *g =
        (const void *)(at + s->geometry.generation_records);
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->geometry.capacity; i++) {
        uint64_t given = atomic_load(&c[i].given);

        n += (uint32_t)(given & 1) + wm_given_stalls(given);
    }
    for (uint32_t i = 0; i < s->geometry.generations; i++) {
        uint64_t word = atomic_load(&g[i].word);

        n += wm_gen_state(word) >= WM_GENERATION_BEGUN ? wm_gen_given(word) : 0;
    }
    return n;
}

static uint32_t told(const struct book *b, uint32_t kind, uint64_t join)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < b->count && i < BOOK_SIZE; i++) {
        n +=
            b->event[i].kind == kind && (join == 0 || b->event[i].join == join);
    }
    return n;
}

static bool is_repeated(const struct book *b, uint32_t i, uint32_t j)
{
    const struct wm_event *x = &b->event[i], *y = &b->event[j];

    return x->kind == y->kind && x->kind != WM_EVENT_STALLED &&
           (x->kind == WM_EVENT_CRASHED
                ? x->join == y->join
                : x->generation == y->generation && x->spell == y->spell);
}

static uint32_t spells_that_ended(const struct play *p)
{
    struct wm_generation_info list[256];
    uint32_t count, n = 0;

    assert_int_equal(wm_generations(p->scene->node, list, 256, &count), 0);
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

/* lost: what the dead had marked as given, and did not live to give. */
void books_check(const struct play *p, uint32_t lost)
{
    const struct book *b = p->book;
    uint32_t owed = p->ends + p->stalls + spells_that_ended(p);
    uint32_t crashes = told(b, WM_EVENT_CRASHED, 0);

    must(b->count <= BOOK_SIZE, "no more is told than there is");
    for (uint32_t i = 0; i < b->count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            must(!is_repeated(b, i, j), "I4: nothing is told twice");
        }
    }
    for (uint32_t i = 0; i < p->ends; i++) {
        must(told(b, WM_EVENT_CRASHED, p->ended[i]) + lost >= 1,
             "each crash is told");
    }
    must(crashes <= p->ends, "I3: nobody is told of a crash that was none");
    must(b->count + lost == owed, "all that is owed is told once");
    must(wm_events_owed(p->scene->node, ~0u) == 0, "nothing stays owed");
}

/* Only an entry that its writer's death left unfinished is missing. */
void books_check_log(const struct play *p, uint32_t unfinished)
{
    const struct wm_segment_header *h = p->scene->node->segment.header;
    struct wm_log_entry list[256];
    uint64_t since = 0, missed = 0;
    uint32_t count;

    wm_log_read_within(p->scene->node, &since, list, 256, &count, &missed, 0);
    must(missed <= unfinished, "an entry is missed only if its writer died");
    must(count + missed == since && since == atomic_load(&h->log_next),
         "each number of the log has its entry");
    /* Not in order: whoever took the lead makes its entry later. */
    for (uint32_t i = 0; i < count; i++) {
        must(list[i].kind != WM_LOG_LEADER ||
                 list[i].value <= wm_leader_term(atomic_load(&h->leader.word)),
             "I11: terms grow");
        for (uint32_t j = 0; j < i; j++) {
            must(list[i].kind != WM_LOG_LEADER ||
                     list[j].kind != list[i].kind ||
                     list[i].value != list[j].value,
                 "I11: each leader has a term of its own");
        }
    }
}

/* Stalls that were marked, of one joining or of all; each has its entry, since
 * nobody has died. */
uint32_t books_stalls(const struct play *p, uint64_t join)
{
    struct wm_log_entry list[256];
    uint64_t since = 0;
    uint32_t count, n = 0;

    wm_log_read_within(p->scene->node, &since, list, 256, &count, NULL, 0);
    for (uint32_t i = 0; i < count; i++) {
        n += list[i].kind == WM_LOG_WORKER_STALLED &&
             (join == 0 || list[i].value == join);
    }
    return n;
}

uint32_t books_untold(const struct play *p, pid_t pid)
{
    const struct wm_segment *s = &p->scene->node->segment;
    const struct wm_record *r = play_record(p, pid);

    if (play_state(p, pid) < WM_JOINING) {
        return 0; /* a record that is claimed shows its former occupant */
    }
    return books_stalls(p, atomic_load(&r->join)) -
           wm_given_stalls(atomic_load(&s->colds[r - s->records].given));
}

/* A stall that was marked is one that its worker counts. */
void books_check_stalls(const struct play *p)
{
    const struct wm_segment *s = &p->scene->node->segment;

    for (uint32_t i = 0; i < p->capacity; i++) {
        const struct wm_record *r = &s->records[i];
        unsigned state = wm_word_state(atomic_load(&r->word));

        must(state < WM_JOINING || state > WM_DRAINING ||
                 (uint32_t)atomic_load(&r->stalls) + (state == WM_STALLED) ==
                     books_stalls(p, atomic_load(&r->join)),
             "a worker counts each stall that it comes back from");
    }
}
