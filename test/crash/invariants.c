/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Steps are checked one by one, between two states of the segment, and so are
 * the moments that they lead to. The numbers are protocol.md's. */

#include "invariants.h"

#include "inside.h"
#include "record_fields.h"

#include <poll.h>
#include <sys/syscall.h>

#define BIT(state) (1u << (state))
#define LOCK_PID(word) ((uint32_t)((word) >> 42))
#define LOCK_SEQUENCE(word) ((uint32_t)(word)&0xffffffu)

char invariants_where[160];

/* A segment, or a copy of one. */
struct view {
    const struct wm_segment_header *header;
    const struct wm_record *records;
    const struct wm_record_cold *colds;
    const struct wm_generation_record *generations;
    uint32_t capacity;
    uint32_t count; /* of generation records */
};

void must(bool holds, const char *claim)
{
    if (!holds) {
        fail_msg("%s: %s", invariants_where, claim);
    }
}

bool has_ended(uint32_t pid)
{
    struct pollfd p = {.events = POLLIN};
    int n;

    p.fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (p.fd < 0) {
        return errno == ESRCH;
    }
    n = poll(&p, 1, 0);
    close(p.fd);
    return n == 1;
}

static struct view view_of(const void *memory)
{
    const char *at = memory;
    const struct wm_geometry *g = &node->segment.geometry;

    return (struct view){
        .header = memory,
        .records = (const void *)(at + g->records),
        .colds = (const void *)(at + g->colds),
        .generations = (const void *)(at + g->generation_records),
        .capacity = g->capacity,
        .count = g->generations,
    };
}

/* --------------------------------------------------------------- records */

static bool has_free(const struct view *v)
{
    for (uint32_t i = 0; i < v->capacity; i++) {
        if (v->records[i].word == 0) {
            return true;
        }
    }
    return false;
}

static bool may_make_room(const struct view *v, uint32_t slot, unsigned state)
{
    return !has_free(v) &&
           (state == WM_DRAINING ||
            (state == WM_CRASHED &&
             record_crash_given(&v->records[slot], &v->colds[slot])));
}

/* What a worker may do to its own word. */
static bool is_own_step(uint64_t from, uint64_t to)
{
    static const unsigned next[] = {
        [WM_CLAIMED] = BIT(WM_JOINING),
        [WM_JOINING] =
            BIT(WM_JOINING) | BIT(WM_LIVE) | BIT(WM_DRAINING) | BIT(WM_FREE),
        [WM_LIVE] = BIT(WM_LIVE) | BIT(WM_DRAINING) | BIT(WM_FREE),
        [WM_STALLED] = BIT(WM_LIVE) | BIT(WM_FREE),
        [WM_DRAINING] = BIT(WM_DRAINING) | BIT(WM_FREE),
        [WM_CRASHED] = 0,
    };

    return (next[wm_word_state(from)] & BIT(wm_word_state(to))) != 0 &&
           (to == 0 || wm_word_pid(to) == wm_word_pid(from)) &&
           /* A claim's time is of another clock, which may be ahead. */
           (to == 0 || wm_word_state(from) == WM_CLAIMED ||
            wm_word_age(from, to) >= 0);
}

/* What anybody may do to another's. */
static bool is_sweep(const struct view *v, uint32_t slot, uint64_t from,
                     uint64_t to)
{
    unsigned state = wm_word_state(from);
    bool dead = has_ended(wm_word_pid(from));

    if (to == 0) {
        return state == WM_CRASHED
                   ? record_crash_given(&v->records[slot], &v->colds[slot])
                   : dead && (state == WM_CLAIMED || state == WM_DRAINING);
    }
    if (to == wm_word_with_state(from, WM_STALLED)) {
        return state == WM_LIVE;
    }
    return to == wm_word_with_state(from, WM_CRASHED) && dead &&
           state >= WM_JOINING && state <= WM_STALLED;
}

static void check_word(const struct view *b, const struct view *a,
                       uint32_t slot, uint32_t pid)
{
    uint64_t from = b->records[slot].word;
    uint64_t to = a->records[slot].word;
    unsigned state = wm_word_state(from);

    if (from == to) {
        return;
    }
    if (wm_word_state(to) == WM_CLAIMED) {
        must(wm_word_pid(to) == pid, "I1: a claimant names itself");
        must(state == WM_FREE || may_make_room(b, slot, state),
             "I2: only a record that is nobody's is claimed");
    } else if (from != 0 && wm_word_pid(from) == pid) {
        must(is_own_step(from, to), "I1: a worker steps as protocol.md says");
    } else {
        must(is_sweep(b, slot, from, to),
             "I2, I3: another's record changes by proof alone");
    }
}

/* The fields beside the word: the claimant's between CLAIMED and JOINING. */
static void check_fields(const struct view *b, const struct view *a,
                         uint32_t slot, uint32_t pid)
{
    const struct wm_record *x = &b->records[slot], *y = &a->records[slot];
    const struct wm_record_cold *c = &b->colds[slot], *d = &a->colds[slot];
    uint64_t word = x->word, given = c->given;
    uint64_t mark = d->given;
    bool own = word != 0 && wm_word_pid(word) == pid;

    if (own && wm_word_state(word) == WM_CLAIMED) {
        bool others = memcmp(&x->generation, &y->generation, 8) != 0 ||
                      memcmp(&x->role, &y->role, 24) != 0 ||
                      memcmp(c, d, sizeof(*c)) != 0;

        must(!others || x->join == a->header->next_join,
             "a joiner writes its number before any other field");
        return;
    }
    must(memcmp(&x->generation, &y->generation, 32) == 0 &&
             c->ident == d->ident,
         "a record changes hands only while it is claimed");
    must(c->spell == d->spell || (own && wm_word_state(word) == WM_JOINING),
         "a worker notes its spell while it is joining");
    must(x->stalls == y->stalls || (own && x->stalls + 1 == y->stalls &&
                                    wm_word_state(word) != WM_STALLED),
         "a worker counts a recovery after its swap");
    must(mark == given || mark == given + 2 ||
             (mark == (given | 1) && wm_word_state(word) == WM_CRASHED),
         "I4: one event is marked as given at a time");
}

/* Entries of the log that a change of the word wants. */
static uint32_t entries_of_word(uint64_t from, uint64_t to)
{
    unsigned was = wm_word_state(from), is = wm_word_state(to);

    if (was == is || is == WM_CLAIMED) {
        return was == WM_DRAINING && is == WM_CLAIMED;
    }
    if (was == WM_CLAIMED && is == WM_FREE) {
        return 0;
    }
    return was == WM_STALLED && is == WM_DRAINING ? 2 : 1;
}

static uint32_t check_records(const struct view *b, const struct view *a,
                              uint32_t pid)
{
    uint32_t entries = 0;

    for (uint32_t i = 0; i < a->capacity; i++) {
        check_word(b, a, i, pid);
        check_fields(b, a, i, pid);
        entries += entries_of_word(b->records[i].word, a->records[i].word);
    }
    return entries;
}

/* ----------------------------------------------------------- generations */

static bool has_workers(const struct view *v, uint64_t id, bool entered)
{
    for (uint32_t i = 0; i < v->capacity; i++) {
        const struct wm_record *r = &v->records[i];
        uint64_t word = r->word;
        unsigned state = wm_word_state(word);

        if ((state == WM_LIVE || state == WM_STALLED ||
             (state == WM_JOINING && (!entered || v->colds[i].spell != 0))) &&
            r->generation == id && r->role == WM_ROLE_WORKER &&
            !has_ended(wm_word_pid(word))) {
            return true;
        }
    }
    return false;
}

/* With all the rest of the word the same, its version included. */
static bool only_state(uint64_t from, uint64_t to)
{
    return wm_gen_spell(from) == wm_gen_spell(to) &&
           wm_gen_given(from) == wm_gen_given(to) &&
           wm_gen_version(from) == wm_gen_version(to);
}

static bool is_next_version(uint64_t from, uint64_t to)
{
    return wm_gen_version(to) ==
           wm_low(wm_gen_version(from) + 1, WM_VERSION_BITS);
}

static bool is_claim(uint64_t from, uint64_t to, uint32_t pid)
{
    return wm_gen_claimant(to) == pid && is_next_version(from, to) &&
           wm_gen_state(from) != WM_GENERATION_ACTIVE &&
           (wm_gen_state(from) != WM_GENERATION_CLAIMED ||
            has_ended(wm_gen_claimant(from)));
}

static bool is_entry(uint64_t from, uint64_t to)
{
    bool opened = wm_gen_state(from) != WM_GENERATION_ACTIVE;

    return wm_gen_state(from) >= WM_GENERATION_BEGUN &&
           is_next_version(from, to) &&
           wm_gen_given(from) == wm_gen_given(to) &&
           wm_gen_spell(to) == wm_gen_spell(from) + opened;
}

static bool is_taking(uint64_t from, uint64_t to)
{
    return wm_gen_state(from) == wm_gen_state(to) && wm_gen_owed(from) > 0 &&
           wm_gen_given(to) == wm_gen_given(from) + 1 &&
           wm_gen_spell(to) == wm_gen_spell(from) &&
           wm_gen_version(to) == wm_gen_version(from);
}

static bool is_joining(const struct view *v, uint32_t pid, uint64_t id)
{
    for (uint32_t i = 0; i < v->capacity; i++) {
        uint64_t word = v->records[i].word;

        if (wm_word_state(word) == WM_JOINING && wm_word_pid(word) == pid &&
            v->records[i].generation == id) {
            return true;
        }
    }
    return false;
}

static uint32_t check_generation(const struct view *b, const struct view *a,
                                 uint32_t index, uint32_t pid)
{
    const struct wm_generation_record *g = &b->generations[index];
    const struct wm_generation_record *h = &a->generations[index];
    uint64_t from = g->word, to = h->word;
    unsigned was = wm_gen_state(from), is = wm_gen_state(to);

    if (from == to) {
        must((g->id == h->id && g->begun_at == h->begun_at &&
              g->reason == h->reason) ||
                 (was == WM_GENERATION_CLAIMED && wm_gen_claimant(from) == pid),
             "a generation is described while it is claimed");
        return 0;
    }
    if (is_taking(from, to)) {
        return 0;
    }
    switch (is) {
    case WM_GENERATION_CLAIMED:
        must(is_claim(from, to, pid), "only a spare record is claimed");
        return 0;
    case WM_GENERATION_BEGUN:
        must(was == WM_GENERATION_CLAIMED && is_next_version(from, to) &&
                 wm_gen_claimant(from) == pid && wm_gen_spell(to) == 0 &&
                 wm_gen_given(to) == 0,
             "a generation begins without spells");
        return 1;
    case WM_GENERATION_ACTIVE:
        must(is_entry(from, to), "each entry is another word");
        must(is_joining(b, pid, g->id),
             "I5: a worker enters its generation when it can be seen");
        return was != is;
    case WM_GENERATION_EXITED:
        must(was == WM_GENERATION_ACTIVE && only_state(from, to) &&
                 !has_workers(b, g->id, false),
             "I5: nobody is left when a generation is closed");
        return 1;
    default:
        must(is == WM_GENERATION_ABORTED && was == WM_GENERATION_BEGUN &&
                 only_state(from, to),
             "I4: a generation ends, or an end of it is taken, as it may");
        return 1;
    }
}

/* ------------------------------------------------------- lock and leader */

static uint32_t check_lock(const struct wm_lock_area *b,
                           const struct wm_lock_area *a, uint32_t pid)
{
    uint64_t from = b->word, to = a->word;
    uint32_t was = LOCK_PID(from), is = LOCK_PID(to);

    must((b->holder_sequence == a->holder_sequence &&
          b->holder_since == a->holder_since) ||
             was == pid,
         "only its holder signs the lock");
    if (from == to) {
        return 0;
    }
    if (is == 0) {
        must(was == pid && LOCK_SEQUENCE(from) == LOCK_SEQUENCE(to),
             "I8: its holder gives the lock back, and leaves its number");
        return 0;
    }
    must(is == pid && (was == 0 || has_ended(was)) &&
             LOCK_SEQUENCE(to) == ((LOCK_SEQUENCE(from) + 1) & 0xffffffu),
         "I8: a lock that is free, or the dead's, is taken with a new number");
    return was != 0;
}

static uint32_t own_number(const struct view *v, uint32_t pid)
{
    for (uint32_t i = 0; i < v->capacity; i++) {
        uint64_t word = v->records[i].word;

        if (wm_word_state(word) == WM_LIVE && wm_word_pid(word) == pid) {
            return wm_leader_of_join(v->records[i].join);
        }
    }
    return 0;
}

static uint32_t check_leader(const struct view *b, const struct view *a,
                             uint32_t pid)
{
    uint64_t from = b->header->leader.word;
    uint64_t to = a->header->leader.word;

    if (from == to) {
        return 0;
    }
    if (wm_leader_who(to) == 0) {
        must(wm_leader_term(to) == wm_leader_term(from),
             "I11: a leader that resigns leaves its term");
        return 1;
    }
    must(wm_leader_term(to) == wm_leader_term(from) + 1 &&
             wm_leader_who(to) == own_number(b, pid),
         "I11: a live worker takes the lead for itself, with the next term");
    return 1;
}

/* ------------------------------------------------------------------ whole */

static void check_header(const struct wm_segment_header *b,
                         const struct wm_segment_header *a)
{
    must(memcmp(b, a, offsetof(struct wm_segment_header, next_join)) == 0,
         "what a segment says of itself never changes");
    must(a->next_join - b->next_join <= 1 &&
             a->next_generation - b->next_generation <= 1 &&
             a->log_next - b->log_next <= 1,
         "numbers are taken one by one");
    must(a->high >= b->high, "the high mark only rises");
}

static void check_view(const struct view *v)
{
    uint64_t joins = v->header->next_join;

    for (uint32_t i = 0; i < v->capacity; i++) {
        uint64_t word = v->records[i].word;

        must(word == 0 || i < v->header->high,
             "the high mark is above all that is claimed");
        must(wm_word_state(word) <= WM_CRASHED &&
                 (word == 0) == (wm_word_pid(word) == 0),
             "I1: a word has a state and a pid, or is 0");
        must(wm_word_state(word) <= WM_CLAIMED ||
                 wm_is_of_join(v->colds[i].given, v->records[i].join),
             "I4: what was given is noted of who is there");
        for (uint32_t j = 0; j <= i && wm_word_state(word) > WM_CLAIMED; j++) {
            uint64_t join = v->records[i].join;

            must(join != 0 && join <= joins &&
                     (i == j || v->records[j].join != join),
                 "a join number is unique");
        }
    }
    for (uint32_t i = 0; i < v->count; i++) {
        uint64_t word = v->generations[i].word;
        uint64_t id = v->generations[i].id;

        if (wm_gen_state(word) < WM_GENERATION_BEGUN) {
            continue;
        }
        must(id % v->count == i && id != 0 && id <= v->header->next_generation,
             "a generation lies where its number falls");
        must(wm_gen_owed(word) <= wm_gen_spell(word),
             "I4: no more ends are given than there were spells");
        must((wm_gen_state(word) != WM_GENERATION_EXITED &&
              wm_gen_state(word) != WM_GENERATION_ABORTED) ||
                 !has_workers(v, id, true),
             "I5: no generation is closed over a worker that entered it");
    }
}

uint32_t check_step(const void *before, const void *after, uint32_t pid)
{
    struct view b = view_of(before), a = view_of(after);
    uint32_t entries = 0;

    check_header(b.header, a.header);
    entries += check_records(&b, &a, pid);
    for (uint32_t i = 0; i < a.count; i++) {
        entries += check_generation(&b, &a, i, pid);
    }
    entries += check_lock(&b.header->lock, &a.header->lock, pid);
    entries += check_leader(&b, &a, pid);
    check_view(&a);
    return entries;
}

void check_moment(void)
{
    struct view v = view_of(node->segment.header);

    check_view(&v);
}

void check_swept(void)
{
    check_moment();
    for (uint32_t i = 0; i < node->segment.geometry.capacity; i++) {
        uint64_t word = node->segment.records[i].word;

        must(word == 0 || wm_word_state(word) == WM_CRASHED ||
                 !has_ended(wm_word_pid(word)),
             "I7: a sweep leaves no record to the dead");
    }
}
