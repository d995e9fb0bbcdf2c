/* SPDX-License-Identifier: Apache-2.0 */

/* Snapshots: all records in use, as they were at one moment (digest.h). The
 * first pass of a pair fills the caller's list in, and the second proves it. A
 * further call looks at one worker more closely. */

#include "digest.h"
#include "end.h"
#include "note.h"
#include "stall.h"

/* Whether a record has a worker. */
static inline bool has_worker(uint64_t word)
{
    return wm_word_state(word) >= WM_JOINING;
}

/* All that is written here is loaded after the number and the word of this
 * pass, and before those of the next. */
static inline void describe(const struct wm_record *r, uint64_t word,
                            uint64_t join, uint32_t slot,
                            struct wm_worker_info *info)
{
    *info = (struct wm_worker_info){
        .generation = record_generation_acquire(r),
        .join = join,
        .joined_at = record_joined_at_acquire(r),
        .beat_at = wm_word_beat(word),
        .pid = (int32_t)wm_word_pid(word),
        .slot = slot,
        .state = wm_word_state(word),
        .role = record_role_acquire(r),
        .overdue_ms = record_overdue_ms_acquire(r),
        .stalls = wm_stalls_count(record_stalls_acquire(r)),
    };
}

/* The caller's list, by the size of its elements. */
struct list {
    void *at;
    uint32_t element;
    uint32_t room;
    uint32_t count; /* written */
    bool full;      /* there was no room for one more */
    bool has_late;  /* a worker that may be stalled */
};

/* Whether a worker may be stalled: its beat is overdue, or ahead of what a
 * clock can be. One comparison, for the loop below; modulo a beat's width. */
static inline bool is_late(const struct wm_worker_info *info, uint64_t word,
                           uint64_t now)
{
    const uint64_t ahead = (uint64_t)info->overdue_ms + WM_CLOCKS_APART_MS;

    return ((now + ahead - word) & WM_BEAT_MASK) > ahead + info->overdue_ms;
}

static inline void swap(uint64_t *a, uint64_t *b)
{
    uint64_t c = *a;

    *a = *b;
    *b = c;
}

/* A first pass that writes into the list, which then holds the findings of the
 * last such pass. All that the loop needs is in variables, so that it need not
 * load them again after each atomic.
 *
 * is_ours: the caller is of this very version, so its elements are written in
 * place. Inlined with each of the two. */
__attribute__((always_inline)) static inline struct wm_digest
list_pass(const struct wm_node *node, struct list *l, uint64_t now,
          bool is_ours)
{
    const size_t stride = node->segment.geometry.record_stride;
    const struct wm_record *r = node->segment.records;
    const uint32_t high = wm_node_high(node), element = l->element;
    struct wm_worker_info other;
    char *at = l->at, *const end = wm_element_at(l->at, element, l->room);
    uint64_t half = 0, other_half = 0; /* of the digest, in turn */
    bool has_late = false;

    l->full = false;
    for (uint32_t i = 0; i < high; i++, r = wm_record_after(r, stride)) {
        struct wm_worker_info *info = is_ours ? (void *)at : &other;
        uint64_t join = record_join_acquire(r);
        uint64_t word = record_word_acquire(r);

        wm_fold(&half, word, join);
        swap(&half, &other_half);
        if (!has_worker(word)) {
            continue;
        }
        if (__builtin_expect(at == end, 0)) {
            l->full = true;
            continue;
        }
        describe(r, word, join, i, info);
        has_late |= is_late(info, word, now);
        if (!is_ours) {
            wm_element_write(at, element, info, sizeof(other));
        }
        at += is_ours ? sizeof(*info) : element;
    }
    l->count = (uint32_t)((size_t)(at - (char *)l->at) / element);
    l->has_late = has_late;
    if (high % 2 != 0) {
        swap(&half, &other_half);
    }
    return (struct wm_digest){{half, other_half}};
}

/* Calls workers stalled that are, also if no sweeper has marked them. Elements
 * of another version's size need not be aligned. */
static void tell_stalls(const struct list *l, struct wm_judge *judge)
{
    struct wm_worker_info info;
    const size_t known = wm_lesser(sizeof(info), l->element);

    for (uint32_t i = 0; i < l->count; i++) {
        void *at = wm_element_at(l->at, l->element, i);

        memcpy(&info, at, known);
        if (info.state == WM_LIVE &&
            wm_judge_finds_stall(
                judge, wm_word(WM_LIVE, (uint32_t)info.pid, info.beat_at),
                info.overdue_ms, info.generation)) {
            info.state = WM_STALLED;
            memcpy(at, &info, known);
        }
    }
}

/* The first pass of a pair fills the list in, and the second proves it. All
 * that is read of a record beside its word is read between J1 and J2 of the
 * argument above. */
int wm_snapshot(const struct wm_node *node, struct wm_worker_info *list,
                uint32_t element, uint32_t room, uint32_t *count)
{
    WM_REQUIRE(node);

    struct wm_judge judge = wm_judge_begin(node);
    struct list l = {.at = list, .element = element, .room = room};
    struct wm_digest first, second;
    uint64_t now = 0; /* the first pair takes every claim for a young one */
    int pair = 0;
    int error = wm_element_check(element, WM_LEAST(wm_worker_info, stalls));

    if (error != 0) {
        return error;
    }
    for (;;) {
        first = element == sizeof(struct wm_worker_info)
                    ? list_pass(node, &l, judge.now, true)
                    : list_pass(node, &l, judge.now, false);
        second = wm_digest_pass(node, wm_fold_join_last, now);
        if (wm_digest_is_same(&second, &first) || ++pair == WM_PAIRS) {
            break;
        }
        now = wm_now();
    }
    *count = l.count;
    if (l.has_late) {
        tell_stalls(&l, &judge);
    }
    if (l.full) {
        return -ENOSPC;
    }
    return wm_digest_is_same(&second, &first) ? 0 : WM_UNSETTLED;
}

/* Whether the record is of this joining. */
static bool is_of(const struct wm_record *r, uint64_t join)
{
    return has_worker(record_word_acquire(r)) && record_join_acquire(r) == join;
}

/* The join number is stored first, and so is loaded last as well: if it is the
 * same, so is the worker [A]. */
int wm_worker_inspect(const struct wm_node *node, uint32_t slot, uint64_t join,
                      struct wm_worker_detail *detail)
{
    WM_REQUIRE(node);

    struct wm_worker_detail own = {.size = sizeof(own)};
    int error = wm_sized_check(detail, WM_LEAST(wm_worker_detail, note));
    const struct wm_record_cold *c;
    const struct wm_record *r;
    uint64_t word;

    if (error == 0 && slot >= node->segment.geometry.capacity) {
        error = -EINVAL;
    }
    if (error != 0) {
        return error;
    }
    r = wm_record_at(&node->segment, slot);
    c = wm_cold_at(&node->segment, slot);
    if (!is_of(r, join)) {
        return -ESTALE;
    }
    word = record_word_acquire(r);
    if (wm_word_state(word) == WM_DRAINING ||
        wm_word_state(word) == WM_CRASHED_DRAINING) {
        own.drained_at = record_cold_drained_at_acquire(c);
    }
    own.ended = wm_end_told(wm_end_known(c, join, word),
                            wm_state_is_crash(wm_word_state(word)));
    wm_note_read(c, join, own.note);
    /* Safeguard: details_are_of_this_joining */
    if (!is_of(r, join)) {
        return -ESTALE;
    }
    wm_sized_write(detail, &own, sizeof(own));
    return 0;
}
