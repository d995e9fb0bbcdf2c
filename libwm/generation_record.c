/* SPDX-License-Identifier: Apache-2.0 */

/* A generation's record: found, read, listed.
 *
 * The record of generation g lies at g modulo the number of records, and has
 * many lives. Let W be the load of its word, I that of its id, and C the swap
 * with which the next life begins:
 *
 *     reader:     W ......... I ......... decision
 *     next life:        C     id, fields, word
 *
 * 1. A life's id is stored before its word, with release [F]. So if I returns
 *    the id that the reader wants, and W returned a word that is BEGUN or
 *    later, that word is of this life or of an earlier one.
 * 2. If it is of an earlier one, it is gone by now: this life's C has replaced
 *    it before this life's id was stored.
 * 3. A word never comes again, as its version counts on over all lives. Hence a
 *    swap from the very word that W returned changes this life, or fails. A
 *    reader that does not swap loads the word once more. */

#include "generation_record.h"

#include "log.h"
#include "process.h"

#define LOOKS 8 /* at a record that keeps changing */

static bool is_begun(uint64_t word)
{
    return wm_gen_state(word) >= WM_GENERATION_BEGUN &&
           wm_gen_state(word) <= WM_GENERATION_GONE;
}

bool wm_generation_word_is_of(const struct wm_generation_record *record,
                              uint64_t word, uint64_t id)
{
    /* Safeguard: id_tells_whose_the_word_is */
    return is_begun(word) && generation_id_acquire(record) == id;
}

struct wm_generation_record *wm_generation_find(const struct wm_node *node,
                                                uint64_t id)
{
    uint32_t index = (uint32_t)(id % node->segment.geometry.generations);
    struct wm_generation_record *g = wm_generation_at(&node->segment, index);

    return id != 0 &&
                   wm_generation_word_is_of(g, generation_word_acquire(g), id)
               ? g
               : NULL;
}

uint32_t wm_generations_used(const struct wm_node *node)
{
    uint64_t newest = header_count(&node->segment.header->next_generation);
    uint32_t count = node->segment.geometry.generations;

    return newest < count ? (uint32_t)newest + 1 : count;
}

void wm_generation_change_master(struct wm_generation_record *record,
                                 uint64_t id, uint64_t from, uint64_t to)
{
    if (generation_swap_master(record, from, to) &&
        !wm_generation_word_is_of(record, generation_word_acquire(record),
                                  id)) {
        /* Its own master had the former ident, too. */
        generation_swap_master(record, to, from);
    }
}

/* Whether there are more deaths than that. Both count on and on. */
static bool lacks(const struct wm_generation_record *record, uint32_t replaced)
{
    uint32_t deaths = wm_deaths_count(generation_deaths_relaxed(record));

    return (int32_t)(deaths - replaced) > 0;
}

bool wm_generation_lacks(const struct wm_generation_record *record)
{
    return lacks(record, generation_replaced_relaxed(record));
}

bool wm_generation_replace(struct wm_generation_record *record)
{
    uint32_t replaced;

    do {
        replaced = generation_replaced_relaxed(record);
        if (!lacks(record, replaced)) {
            return false;
        }
    } while (!generation_swap_replaced(record, replaced, replaced + 1));
    return true;
}

bool wm_master_is_dead(uint64_t master)
{
    return wm_process_dead(master, 0, WM_PROOF_FULL);
}

void wm_generation_log(const struct wm_node *node, enum wm_log_kind kind,
                       uint64_t id, uint64_t word, uint64_t master)
{
    wm_log_append(node, kind, id, wm_gen_spell(word), wm_ident_pid(master),
                  WM_NO_SLOT);
}

bool wm_generation_read(const struct wm_node *node, uint32_t index,
                        struct wm_generation_info *info, uint64_t *word,
                        uint64_t *master)
{
    const struct wm_generation_record *g =
        wm_generation_at(&node->segment, index);
    uint64_t before, after = generation_word_acquire(g);

    /* The looks are bounded: if the record changes at each of them, workers
     * join in a storm, and joins leave these fields alone. */
    for (int look = 0; look < LOOKS; look++) {
        before = after;
        if (!is_begun(before)) {
            return false;
        }
        info->id = generation_id_acquire(g);
        *master = generation_master_acquire(g);
        info->reason = generation_reason_acquire(g);
        info->deaths = wm_deaths_count(generation_deaths_acquire(g));
        info->begun_at = generation_begun_at_acquire(g);
        after = generation_word_acquire(g);
        if (after == before) {
            break;
        }
    }

    if (index != info->id % node->segment.geometry.generations) {
        return false; /* scribbled over */
    }
    info->state = wm_gen_state(before);
    info->spell = wm_gen_spell(before);
    info->exits_given = wm_gen_given(before);
    info->master = (int32_t)wm_ident_pid(*master);
    if (word != NULL) {
        *word = before;
    }
    return true;
}

/* The caller's list. Its elements may be shorter or longer than ours; the id
 * comes first in each. */
struct heap {
    char *list;
    uint32_t element;
};

static uint64_t id_at(const struct heap *h, uint32_t i)
{
    uint64_t id;

    memcpy(&id, h->list + (size_t)i * h->element, sizeof(id));
    return id;
}

static void exchange(const struct heap *h, uint32_t i, uint32_t j)
{
    char *a = h->list + (size_t)i * h->element;
    char *b = h->list + (size_t)j * h->element;

    for (uint32_t at = 0; at < h->element; at++) {
        char byte = a[at];

        a[at] = b[at];
        b[at] = byte;
    }
}

/* Lets the entry at `top` sink below greater ones, in a heap of n. */
static void sink(const struct heap *h, uint32_t top, uint32_t n)
{
    uint32_t child;

    while ((child = 2 * top + 1) < n) {
        if (child + 1 < n && id_at(h, child + 1) > id_at(h, child)) {
            child++;
        }
        if (id_at(h, child) <= id_at(h, top)) {
            break;
        }
        exchange(h, top, child);
        top = child;
    }
}

/* A heap sort: it takes no memory, which qsort(3) may want, and its steps are
 * bounded whatever lies in the segment. */
static void sort_by_id(const struct heap *h, uint32_t n)
{
    for (uint32_t top = n / 2; top-- > 0;) {
        sink(h, top, n);
    }
    while (n > 1) {
        exchange(h, 0, --n);
        sink(h, 0, n);
    }
}

int wm_generations(const struct wm_node *node, struct wm_generation_info *list,
                   uint32_t element, uint32_t room, uint32_t *count)
{
    WM_REQUIRE(node);

    const struct heap h = {(char *)list, element};
    uint32_t n = 0;
    int error =
        wm_element_check(element, WM_LEAST(wm_generation_info, begun_at));

    if (error != 0) {
        return error;
    }
    for (uint32_t i = 0; i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t master;

        if (!wm_generation_read(node, i, &info, NULL, &master)) {
            continue;
        }
        if (n < room) {
            wm_element_write(wm_element_at(list, element, n), element, &info,
                             sizeof(info));
        }
        n++;
    }
    sort_by_id(&h, n < room ? n : room);
    *count = n;
    return n > room ? -ENOSPC : 0;
}
