/* SPDX-License-Identifier: Apache-2.0 */

/* What protocol.md says of a segment, as far as its bytes tell: steps are
 * checked one by one, between two states of it, and so are the moments that
 * they lead to. The numbers are protocol.md's. */

#include "stepping.h"

#include "note.h"
#include "record.h"

#define BIT(state) (1u << (state))

/* The step that is checked: the segment before and after it, and whose it is.
 * Of a moment, `after` alone. */
static struct wm_segment before, after;
static uint32_t self;

/* --------------------------------------------------------------- records */

static bool may_make_room(uint32_t slot, unsigned state)
{
    for (uint32_t i = 0; i < before.geometry.capacity; i++) {
        if (before.records[i].word == 0) {
            return false; /* there is a free one */
        }
    }
    return state == WM_DRAINING ||
           (wm_state_is_crash(state) &&
            record_crash_given(&before.records[slot], &before.colds[slot]));
}

/* All that a worker may do to its own word. */
static bool is_own_step(uint64_t from, uint64_t to)
{
    static const unsigned next[] = {
        [WM_CLAIMED] = BIT(WM_JOINING),
        [WM_JOINING] =
            BIT(WM_JOINING) | BIT(WM_LIVE) | BIT(WM_DRAINING) | BIT(WM_FREE),
        [WM_LIVE] = BIT(WM_LIVE) | BIT(WM_DRAINING) | BIT(WM_FREE),
        [WM_STALLED] = BIT(WM_LIVE) | BIT(WM_FREE),
        [WM_DRAINING] = BIT(WM_DRAINING) | BIT(WM_FREE),
        [WM_CRASHED_DRAINING] = 0,
    };

    return (next[wm_word_state(from)] & BIT(wm_word_state(to))) != 0 &&
           (to == 0 ||
            (wm_word_pid(to) == wm_word_pid(from) &&
             /* A claim's time is of another clock, which may be ahead. */
             (wm_word_state(from) == WM_CLAIMED ||
              wm_word_age(from, to) >= 0)));
}

/* All that anybody may do to another's. */
static bool is_sweep(uint32_t slot, uint64_t from, uint64_t to)
{
    unsigned state = wm_word_state(from);
    bool dead = has_ended(wm_word_pid(from));

    if (to == 0) {
        return wm_state_is_crash(state)
                   ? record_crash_given(&before.records[slot],
                                        &before.colds[slot])
                   : dead && state == WM_CLAIMED;
    }
    if (to == wm_word_with_state(from, WM_STALLED)) {
        return state == WM_LIVE;
    }
    return dead && (state == WM_DRAINING
                        ? to == wm_word_with_state(from, WM_CRASHED_DRAINING)
                        : to == wm_word_with_state(from, WM_CRASHED) &&
                              is_worker_state(state));
}

static void check_word(uint32_t slot)
{
    uint64_t from = before.records[slot].word;
    uint64_t to = after.records[slot].word;
    unsigned state = wm_word_state(from);

    if (from == to) {
        return;
    }
    if (wm_word_state(to) == WM_CLAIMED) {
        must(wm_word_pid(to) == self, "I1: a claimant names itself");
        must(state == WM_FREE || may_make_room(slot, state),
             "I2: only a record that is nobody's is claimed");
    } else if (from != 0 && wm_word_pid(from) == self) {
        must(is_own_step(from, to), "I1: a worker steps as protocol.md says");
    } else {
        must(is_sweep(slot, from, to),
             "I2, I3: another's record changes by proof alone");
    }
}

/* The fields beside the word: the claimant's between CLAIMED and JOINING. */
static void check_fields(uint32_t slot)
{
    const struct wm_record *x = &before.records[slot];
    const struct wm_record *y = &after.records[slot];
    const struct wm_record_cold *c = &before.colds[slot];
    const struct wm_record_cold *d = &after.colds[slot];
    uint64_t given = c->given, mark = d->given;
    unsigned state = wm_word_state(x->word);
    bool own = x->word != 0 && wm_word_pid(x->word) == self;

    if (own && state == WM_CLAIMED) {
        bool others = memcmp(&x->generation, &y->generation, 8) != 0 ||
                      memcmp(&x->role, &y->role, 24) != 0 ||
                      memcmp(c, d, sizeof(*c)) != 0;

        must(!others || x->join == after.header->next_join,
             "a joiner writes its number before any other field");
        return;
    }
    must(memcmp(&x->generation, &y->generation, 32) == 0 &&
             c->ident == d->ident,
         "a record changes hands only while it is claimed");
    must(c->spell == d->spell || (own && state == WM_JOINING),
         "a worker notes its spell while it is joining");
    must(x->stalls == y->stalls ||
             (own && x->stalls + 1 == y->stalls && state != WM_STALLED),
         "a worker counts a recovery after its swap");
    must(mark == given || mark == given + 2 ||
             (mark == (given | 1) && wm_state_is_crash(state)),
         "I4: one event is marked as given at a time");
    must(c->drained_at == d->drained_at || (own && is_worker_state(state)),
         "a worker says when it drains before it does");
}

/* The note beside the word, of which the worker alone writes the text. */
static void check_note(uint32_t slot)
{
    const struct wm_record_cold *c = &before.colds[slot];
    const struct wm_record_cold *d = &after.colds[slot];
    char text[WM_NOTE_SIZE];

    must(memcmp((const void *)c->text, (const void *)d->text,
                sizeof(c->text)) == 0 ||
             wm_note_is_open(c->note),
         "a text changes while its note is open");
    wm_note_read(d, after.records[slot].join, text);
    must(text[0] == '\0' || strcmp(text, noted[0]) == 0 ||
             strcmp(text, noted[1]) == 0,
         "a note is read whole");
}

/* Entries of the log that a change of the word wants. */
static uint32_t entries_of_word(uint32_t slot)
{
    unsigned was = wm_word_state(before.records[slot].word);
    unsigned is = wm_word_state(after.records[slot].word);

    if (was == is || is == WM_CLAIMED) {
        return was == WM_DRAINING && is == WM_CLAIMED;
    }
    if (was == WM_CLAIMED && is == WM_FREE) {
        return 0;
    }
    return was == WM_STALLED && is == WM_DRAINING ? 2 : 1;
}

/* ----------------------------------------------------------- generations */

static bool has_workers(const struct wm_segment *s, uint64_t id, bool entered)
{
    for (uint32_t i = 0; i < s->geometry.capacity; i++) {
        const struct wm_record *r = &s->records[i];
        uint64_t word = r->word;
        unsigned state = wm_word_state(word);

        if ((state == WM_LIVE || state == WM_STALLED ||
             (state == WM_JOINING && (!entered || s->colds[i].spell != 0))) &&
            r->generation == id && r->role == WM_ROLE_WORKER &&
            !has_ended(wm_word_pid(word))) {
            return true;
        }
    }
    return false;
}

/* Only the state is another; the version is not. */
static bool is_end(uint64_t from, uint64_t to, unsigned state)
{
    return wm_gen_state(from) == state &&
           to == wm_gen_with_state(from, wm_gen_state(to));
}

static bool is_in_use(const struct wm_segment *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->geometry.capacity; i++) {
        unsigned state = wm_word_state(s->records[i].word);

        if (state >= WM_JOINING && state <= WM_DRAINING &&
            s->records[i].generation == id &&
            s->records[i].role == WM_ROLE_WORKER) {
            return true;
        }
    }
    return false;
}

/* The stepper's own record before the step, if it is in this state. */
static const struct wm_record *own_record(unsigned state)
{
    for (uint32_t i = 0; i < before.geometry.capacity; i++) {
        uint64_t word = before.records[i].word;

        if (wm_word_state(word) == state && wm_word_pid(word) == self) {
            return &before.records[i];
        }
    }
    return NULL;
}

/* Each check of a change returns how many entries of the log it wants. */
static uint32_t check_generation(uint32_t index)
{
    const struct wm_generation_record *g = &before.generations[index];
    const struct wm_generation_record *h = &after.generations[index];
    const struct wm_record *joining = own_record(WM_JOINING);
    uint64_t from = g->word, to = h->word;
    unsigned was = wm_gen_state(from), is = wm_gen_state(to);

    if (from == to) {
        must(
            (g->id == h->id && g->begun_at == h->begun_at &&
             g->reason == h->reason) ||
                (was == WM_GENERATION_CLAIMED && wm_gen_claimant(from) == self),
            "a generation is described while it is claimed");
        return 0;
    }
    if (wm_gen_owed(from) > 0 &&
        to == wm_gen_word(was, wm_gen_spell(from), wm_gen_given(from) + 1,
                          wm_gen_version(from))) {
        return 0; /* an end is taken */
    }
    switch (is) {
    case WM_GENERATION_CLAIMED:
        must(wm_gen_claimant(to) == self &&
                 wm_gen_version(to) ==
                     wm_low(wm_gen_version(from) + 1, WM_VERSION_BITS) &&
                 was != WM_GENERATION_ACTIVE &&
                 (was != WM_GENERATION_CLAIMED ||
                  has_ended(wm_gen_claimant(from))),
             "only a spare record is claimed");
        return 0;
    case WM_GENERATION_BEGUN:
        must(was == WM_GENERATION_CLAIMED && wm_gen_claimant(from) == self &&
                 to == wm_gen_word(is, 0, 0, wm_gen_version(from) + 1),
             "a generation begins without spells");
        return 1;
    case WM_GENERATION_ACTIVE:
        must(was >= WM_GENERATION_BEGUN &&
                 to == wm_gen_word(is, wm_gen_spell(from) + (was != is),
                                   wm_gen_given(from),
                                   wm_gen_version(from) + 1),
             "each entry is another word");
        must(joining != NULL && joining->generation == g->id,
             "I5: a worker enters its generation when it can be seen");
        return was != is;
    case WM_GENERATION_EXITED:
        must(is_end(from, to, WM_GENERATION_ACTIVE) &&
                 !has_workers(&before, g->id, false),
             "I5: nobody is left when a generation is closed");
        return 1;
    case WM_GENERATION_GONE:
        must(is_end(from, to, WM_GENERATION_EXITED) &&
                 !is_in_use(&before, g->id),
             "a generation is gone with its last worker");
        return 1;
    default:
        must(is == WM_GENERATION_ABORTED &&
                 is_end(from, to, WM_GENERATION_BEGUN),
             "I4: a generation ends, or an end of it is taken, as it may");
        return 1;
    }
}

/* ------------------------------------------------- lock, leader and header */

static uint32_t check_lock(void)
{
    const struct wm_lock_area *b = &before.header->lock;
    const struct wm_lock_area *a = &after.header->lock;
    uint32_t was = wm_lock_pid_of(b->word), is = wm_lock_pid_of(a->word);
    uint32_t number = wm_lock_sequence(b->word), next = (number + 1) & 0xffffff;

    must((b->holder_sequence == a->holder_sequence &&
          b->holder_since == a->holder_since) ||
             was == self,
         "only its holder signs the lock");
    if (b->word == a->word) {
        return 0;
    }
    if (is == 0) {
        must(was == self && wm_lock_sequence(a->word) == number,
             "I8: its holder gives the lock back, and leaves its number");
        return 0;
    }
    must(is == self && (was == 0 || has_ended(was)) &&
             wm_lock_sequence(a->word) == next,
         "I8: a lock that is free, or the dead's, is taken with a new number");
    return was != 0;
}

static uint32_t check_leader(void)
{
    uint64_t from = before.header->leader.word, to = after.header->leader.word;
    const struct wm_record *live = own_record(WM_LIVE);

    if (from == to) {
        return 0;
    }
    if (wm_leader_who(to) == 0) {
        must(wm_leader_term(to) == wm_leader_term(from),
             "I11: a leader that resigns leaves its term");
        return 1;
    }
    must(wm_leader_term(to) == wm_leader_term(from) + 1 && live != NULL &&
             wm_leader_who(to) == wm_leader_of_join(live->join),
         "I11: a live worker takes the lead for itself, with the next term");
    return 1;
}

static void check_header(void)
{
    const struct wm_segment_header *b = before.header, *a = after.header;

    must(memcmp(b, a, offsetof(struct wm_segment_header, next_join)) == 0,
         "what a segment says of itself never changes");
    must(a->next_join - b->next_join <= 1 &&
             a->next_generation - b->next_generation <= 1 &&
             a->log_next - b->log_next <= 1,
         "numbers are taken one by one");
    must(a->high >= b->high, "the high mark only rises");
}

/* ------------------------------------------------------------------- whole */

static void check_record_now(uint32_t slot)
{
    const struct wm_record *r = &after.records[slot];
    uint64_t word = r->word;

    must(word == 0 || slot < after.header->high,
         "the high mark is above all that is claimed");
    must((word == 0) == (wm_word_pid(word) == 0),
         "I1: a word has a state and a pid, or is 0");
    if (wm_word_state(word) <= WM_CLAIMED) {
        return;
    }
    must(wm_is_of_join(after.colds[slot].given, r->join),
         "I4: what was given is noted of who is there");
    must(r->join != 0 && r->join <= after.header->next_join,
         "a join number is one that was taken");
    for (uint32_t j = 0; j < slot; j++) {
        must(after.records[j].join != r->join, "a join number is unique");
    }
}

static void check_generation_now(uint32_t index)
{
    uint64_t word = after.generations[index].word;
    uint64_t id = after.generations[index].id;
    unsigned state = wm_gen_state(word);

    if (state < WM_GENERATION_BEGUN) {
        return;
    }
    must(id % after.geometry.generations == index && id != 0 &&
             id <= after.header->next_generation,
         "a generation lies where its number falls");
    must(wm_gen_owed(word) <= wm_gen_spell(word),
         "I4: no more ends are given than there were spells");
    must(state < WM_GENERATION_EXITED || !has_workers(&after, id, true),
         "I5: no generation is closed over a worker that entered it");
}

static void check_moment(void)
{
    after = node->segment;
    for (uint32_t i = 0; i < after.geometry.capacity; i++) {
        check_record_now(i);
    }
    for (uint32_t i = 0; i < after.geometry.generations; i++) {
        check_generation_now(i);
    }
}

uint32_t check_step(const struct stepped *s)
{
    char *const copy = s->area[0].copy;
    uint32_t entries = 0;

    after = before = node->segment;
    before.header = (void *)copy;
    before.records = (void *)(copy + before.geometry.records);
    before.colds = (void *)(copy + before.geometry.colds);
    before.generations = (void *)(copy + before.geometry.generation_records);
    self = (uint32_t)s->pid;
    check_header();
    for (uint32_t i = 0; i < after.geometry.capacity; i++) {
        check_word(i);
        check_fields(i);
        check_note(i);
        entries += entries_of_word(i);
    }
    for (uint32_t i = 0; i < after.geometry.generations; i++) {
        entries += check_generation(i);
    }
    entries += check_lock() + check_leader();
    check_moment();
    return entries;
}

void check_swept(void)
{
    check_moment();
    for (uint32_t i = 0; i < after.geometry.capacity; i++) {
        must(word_at(i) == 0 || wm_state_is_crash(state_at(i)) ||
                 !has_ended(wm_word_pid(word_at(i))),
             "I7: a sweep leaves no record to the dead");
    }
    for (uint32_t i = 0; i < after.geometry.generations; i++) {
        const struct wm_generation_record *g = &after.generations[i];

        must(wm_gen_state(g->word) != WM_GENERATION_EXITED ||
                 is_in_use(&after, g->id),
             "a sweep finds the generations that are gone");
    }
}
