/* SPDX-License-Identifier: Apache-2.0 */

/* How generations are related.
 *
 * A master's *current* generation is its newest that was not aborted: the one
 * whose workers it starts. Usually one master makes all generations of a node,
 * and the newest one is current. In an upgrade of the binary there are two
 * masters, each with a current generation, and both may serve for an hour;
 * after a roll-back the current number is the lower one.
 *
 * All of this is a look at records that may change behind it. The answers serve
 * two purposes: to tell a callback, and to find generations that may be
 * settled. For both it is enough that an answer was true at some moment of the
 * look: the act that settles a generation swaps the word that it has judged. */

#include "kin.h"

#include "process.h"
#include "record.h"

/* States of generations, as a mask. */
enum {
    BEGUN = 1 << WM_GENERATION_BEGUN,
    ACTIVE = 1 << WM_GENERATION_ACTIVE,
    EXITED = 1 << WM_GENERATION_EXITED,
    GONE = 1 << WM_GENERATION_GONE,
};

/* The numbers that the records may hold, newest first: what is asked for is
 * mostly new. A record that is still needed keeps its generation when a later
 * number falls on it, so that of number n holds n or an older one. */
struct numbers {
    uint64_t next;
    uint64_t last;
};

static struct numbers numbers_of(const struct wm_node *node)
{
    uint64_t newest = header_count(&node->segment.header->next_generation);
    uint32_t records = node->segment.geometry.generations;

    return (struct numbers){newest,
                            newest < records ? 1 : newest - records + 1};
}

/* Reads the next record; after it, no generation above n->next is left. False:
 * it holds none. */
static bool read_next(const struct wm_node *node, struct numbers *n,
                      struct wm_generation_info *info, uint64_t *master)
{
    uint64_t number = n->next--;

    return wm_generation_read(
        node, (uint32_t)(number % node->segment.geometry.generations), info,
        NULL, master);
}

const struct wm_kin *wm_kin_of(const struct wm_node *node, uint64_t master,
                               struct wm_kin *kept)
{
    struct numbers n;

    if (master != 0 && master == kept->master) {
        return kept;
    }
    n = numbers_of(node);
    *kept = (struct wm_kin){.master = master};
    kept->is_dead = wm_master_is_dead(master);
    while (!kept->is_dead && n.next >= n.last && n.next > kept->active) {
        struct wm_generation_info info;
        uint64_t m;

        if (!read_next(node, &n, &info, &m) || m != master ||
            info.state == WM_GENERATION_ABORTED) {
            continue;
        }
        if (info.id > kept->newest) {
            kept->newest = info.id;
        }
        if (info.id > kept->active && info.spell > 0) {
            kept->active = info.id;
        }
    }
    return kept;
}

/* Whether a generation is the one whose workers this master starts, and it
 * lives. */
static bool is_current(const struct wm_node *node, uint64_t master, uint64_t id,
                       struct wm_kin *kept)
{
    return wm_kin_of(node, master, kept)->newest == id;
}

uint64_t wm_kin_youngest_master(const struct wm_node *node)
{
    uint64_t youngest = 0;

    for (uint32_t i = 0; i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t master;

        if (wm_generation_read(node, i, &info, NULL, &master) &&
            wm_ident_start(master) > youngest && !wm_master_is_dead(master)) {
            youngest = wm_ident_start(master);
        }
    }
    return youngest;
}

/* The master of a generation, or 0. */
static uint64_t master_of(const struct wm_node *node, uint64_t id)
{
    const struct wm_generation_record *g = wm_generation_find(node, id);

    return g == NULL ? 0 : generation_master_acquire(g);
}

/* Whether a generation of this master that is newer than `id` has a living
 * worker, whatever that does. */
static bool has_newer_worker(const struct wm_node *node, uint64_t master,
                             uint64_t id)
{
    uint32_t high = wm_node_high(node);

    for (uint32_t i = 0; i < high; i++) {
        const struct wm_record *r = wm_record_at(&node->segment, i);
        uint64_t word = record_word_acquire(r);
        struct wm_occupant o = wm_occupant_of(r, word);
        unsigned state = wm_word_state(word);

        if (state >= WM_JOINING && state <= WM_DRAINING && o.generation > id &&
            o.role == WM_ROLE_WORKER &&
            master_of(node, o.generation) == master &&
            !wm_occupant_is_dead(node, i, word, WM_PROOF_QUICK)) {
            return true;
        }
    }
    return false;
}

/* The last worker that leaves in order closes its generation, and the dead
 * close none: a newest generation that is ACTIVE and has no worker has lost
 * them all. */
bool wm_kin_is_superseded(const struct wm_node *node, uint64_t id)
{
    uint64_t master = master_of(node, id);
    const struct wm_kin *kin = wm_kin_of(node, master, &(struct wm_kin){0});
    const struct wm_generation_record *g =
        wm_generation_find(node, kin->active);

    return kin->active > id &&
           /* Safeguard: heirs_that_died_replace_nobody */
           (has_newer_worker(node, master, id) || g == NULL ||
            wm_gen_state(generation_word_acquire(g)) != WM_GENERATION_ACTIVE);
}

uint64_t wm_generation_successor(const struct wm_node *node, uint64_t id,
                                 bool ending)
{
    const struct wm_generation_record *g = wm_generation_find(node, id);
    uint64_t own = g == NULL ? 0 : generation_master_acquire(g);
    unsigned state =
        g == NULL ? 0u : 1u << wm_gen_state(generation_word_acquire(g));
    struct numbers n = numbers_of(node);
    struct wm_kin kept = {0};
    uint64_t newer = 0, other = 0;

    /* In an upgrade both serve, and neither takes over from the other yet. */
    ending = (state & (EXITED | GONE | (ending ? ACTIVE : 0u))) != 0;
    while (n.next >= n.last && n.next > (ending ? other : id)) {
        struct wm_generation_info info;
        uint64_t master;

        if (!read_next(node, &n, &info, &master) ||
            info.state == WM_GENERATION_ABORTED) {
            continue;
        }
        if (info.id > id && (newer == 0 || newer > info.id) &&
            (info.state == WM_GENERATION_ACTIVE
                 ? !wm_kin_of(node, master, &kept)->is_dead
                 : info.state == WM_GENERATION_BEGUN &&
                       is_current(node, master, info.id, &kept))) {
            newer = info.id;
        } else if (info.id < id && ending && master != own && info.id > other &&
                   is_current(node, master, info.id, &kept)) {
            other = info.id;
        }
    }
    return newer != 0 ? newer : other;
}

bool wm_generation_has_older(const struct wm_node *node, uint64_t id)
{
    uint64_t first = header_count(&node->segment.header->first_active);

    if (first != 0 && first < id) {
        return true;
    }
    for (uint32_t i = 0; i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t master;

        if (wm_generation_read(node, i, &info, NULL, &master) && info.id < id &&
            info.state != WM_GENERATION_ABORTED) {
            return true;
        }
    }
    return false;
}

bool wm_generation_rolled_back(const struct wm_node *node, uint64_t id)
{
    const struct wm_generation_record *g = wm_generation_find(node, id);

    for (uint32_t i = 0; g != NULL && i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t master;

        if (wm_generation_read(node, i, &info, NULL, &master) && info.id > id &&
            master != generation_master_acquire(g)) {
            return true;
        }
    }
    return false;
}

/* The starts of a generation, as the records show them. */
struct starts {
    bool joining; /* a worker has joined, and has not started yet */
    bool room;    /* for one more */
};

static struct starts look_at_starts(const struct wm_node *node, uint64_t id)
{
    uint32_t high = wm_node_high(node);
    struct starts s = {.room = high < node->segment.geometry.capacity};

    for (uint32_t i = 0; i < high && !s.joining; i++) {
        const struct wm_record *r = wm_record_at(&node->segment, i);
        uint64_t word = record_word_acquire(r);
        unsigned state = wm_word_state(word);
        struct wm_occupant o;

        s.room = s.room || state == WM_FREE;
        if (state != WM_JOINING) {
            continue;
        }
        o = wm_occupant_of(r, word);
        s.joining = o.generation == id && o.role == WM_ROLE_WORKER &&
                    !wm_occupant_is_dead(node, i, word, WM_PROOF_QUICK);
    }
    return s;
}

/* Whether workers of this generation have still to start: one has joined and
 * not started, or fewer have joined in this spell than they expect to be. In a
 * full table these cannot join before older ones have left. */
static bool is_starting(const struct wm_node *node,
                        const struct wm_generation_info *info)
{
    const struct wm_generation_record *g = wm_generation_find(node, info->id);
    struct starts s = look_at_starts(node, info->id);
    uint32_t joined;

    if (g == NULL || s.joining || !s.room) {
        return g != NULL && s.joining;
    }
    joined = generation_joined_acquire(g);
    return !wm_is_tagged(joined, info->spell) ||
           wm_joined_count(joined) < generation_expected_acquire(g);
}

/* Whether the generation of this record is current, and in one of these states,
 * a mask. */
static bool is_current_in(const struct wm_node *node, uint32_t index,
                          uint32_t states, struct wm_kin *kept,
                          struct wm_generation_info *info)
{
    uint64_t master;

    return wm_generation_read(node, index, info, NULL, &master) &&
           (states & 1u << info->state) != 0 &&
           is_current(node, master, info->id, kept);
}

/* Looks at the current generation of each living master, and not at the
 * successor alone: in a reload upon a reload that one's workers leave as well,
 * and those of the newest have to serve. A master whose workers have all left
 * may be told to start some again, and this looks the same as one that will
 * be told to end. */
int wm_starts_awaited(const struct wm_node *node, uint64_t id)
{
    WM_REQUIRE(node);
    struct wm_generation_info info;
    struct wm_kin kept = {0};
    uint32_t used = wm_generations_used(node);
    bool serves = wm_node_usable(node) == -EUCLEAN;

    for (uint32_t i = 0; !serves && i < used; i++) {
        if (is_current_in(node, i, BEGUN, &kept, &info) && info.id != id &&
            look_at_starts(node, info.id).room) {
            return 1;
        }
    }
    for (uint32_t i = 0; !serves && i < used; i++) {
        if (is_current_in(node, i, ACTIVE, &kept, &info) && info.id != id) {
            if (is_starting(node, &info)) {
                return 1;
            }
            serves = true;
        }
    }
    for (uint32_t i = 0; !serves && i < used; i++) {
        if (is_current_in(node, i, EXITED | GONE, &kept, &info) &&
            info.id != id) {
            return 2;
        }
    }
    return 0;
}
