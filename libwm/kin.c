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

/* The newest generation of this master that was not aborted; with `active`,
 * the newest that has or had workers. 0: none. */
uint64_t wm_kin_newest(const struct wm_node *node, uint64_t master, bool active)
{
    uint64_t newest = 0;

    for (uint32_t i = 0; i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t m;

        if (wm_generation_read(node, i, &info, NULL, &m) && m == master &&
            info.state != WM_GENERATION_ABORTED && info.id > newest &&
            (!active || info.spell > 0)) {
            newest = info.id;
        }
    }
    return newest;
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
    uint64_t newest = master == 0 ? 0 : wm_kin_newest(node, master, true);
    const struct wm_generation_record *g = wm_generation_find(node, newest);

    return newest > id && !wm_master_is_dead(master) &&
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
    uint64_t newer = 0, other = 0;

    /* In an upgrade both serve, and neither takes over from the other yet. */
    ending = (state & (EXITED | GONE | (ending ? ACTIVE : 0u))) != 0;
    for (uint32_t i = 0; i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t master;
        bool current;

        if (!wm_generation_read(node, i, &info, NULL, &master) ||
            info.id == id || info.state == WM_GENERATION_ABORTED ||
            (info.id > id && ((EXITED | GONE) & 1u << info.state) != 0)) {
            continue;
        }
        if (info.id > id ? newer != 0 && newer < info.id
                         : !ending || master == own || other > info.id) {
            continue; /* no better than the one that is known */
        }
        current = wm_kin_newest(node, master, false) == info.id;
        if (info.id > id) {
            if ((info.state == WM_GENERATION_ACTIVE ||
                 (info.state == WM_GENERATION_BEGUN && current)) &&
                !wm_master_is_dead(master)) {
                newer = info.id;
            }
        } else if (current && !wm_master_is_dead(master)) {
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

/* A master and its current generation. Many records have the same master, so
 * the last answer is kept. */
struct current {
    uint64_t master;
    uint64_t id;
};

/* Whether the generation of this record, in one of these states (a mask), is
 * the one whose workers a living master starts. */
static bool is_current(const struct wm_node *node, uint32_t index,
                       uint32_t states, struct current *current,
                       struct wm_generation_info *info)
{
    uint64_t master;

    if (!wm_generation_read(node, index, info, NULL, &master) ||
        (states & 1u << info->state) == 0) {
        return false;
    }
    if (master != current->master) {
        current->master = master;
        current->id = wm_kin_newest(node, master, false);
    }
    return current->id == info->id && !wm_master_is_dead(master);
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
    struct current current = {0};
    uint32_t used = wm_generations_used(node);
    bool serves = wm_node_usable(node) == -EUCLEAN;

    for (uint32_t i = 0; !serves && i < used; i++) {
        if (is_current(node, i, BEGUN, &current, &info) && info.id != id &&
            look_at_starts(node, info.id).room) {
            return 1;
        }
    }
    for (uint32_t i = 0; !serves && i < used; i++) {
        if (is_current(node, i, ACTIVE, &current, &info) && info.id != id) {
            if (is_starting(node, &info)) {
                return 1;
            }
            serves = true;
        }
    }
    for (uint32_t i = 0; !serves && i < used; i++) {
        if (is_current(node, i, EXITED | GONE, &current, &info) &&
            info.id != id) {
            return 2;
        }
    }
    return 0;
}
