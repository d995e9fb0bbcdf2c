/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

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

uint64_t wm_generation_successor(const struct wm_node *node, uint64_t id,
                                 bool ending)
{
    const struct wm_generation_record *g = wm_generation_find(node, id);
    uint64_t own = g == NULL ? 0 : generation_master_acquire(g);
    uint64_t newer = 0, other = 0;

    ending = ending && g != NULL &&
             wm_gen_state(generation_word_acquire(g)) != WM_GENERATION_BEGUN;
    for (uint32_t i = 0; i < wm_generations_used(node); i++) {
        struct wm_generation_info info;
        uint64_t master;
        bool current;

        if (!wm_generation_read(node, i, &info, NULL, &master) ||
            info.id == id || info.state == WM_GENERATION_ABORTED ||
            (info.id > id && info.state == WM_GENERATION_EXITED)) {
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
