/* SPDX-License-Identifier: Apache-2.0 */

/* Open: how a process gets a reader's handle, and which life it means.
 *
 * An instance may have several segments. Any user may make a file of its name,
 * so a stranger's is never meant; a live one comes before a dead one, and of
 * these the caller's own before root's. Still several may be left: workers that
 * outlived their master beside a new server; an old binary beside a new one
 * that could not take its node over. Then the life is meant whose master is the
 * youngest process of all masters that live; where that does not decide, the
 * one that was made last. */

#include "kin.h"
#include "share.h"

#include <stdlib.h>

/* How well a segment answers to the name of its instance. */
enum rank {
    RANK_STRANGERS, /* not at all */
    RANK_UNKNOWN,   /* it cannot be looked at; opening it tells why */
    RANK_ROOTS,
    RANK_OWN,
    RANK_ROOTS_LIVE,
    RANK_OWN_LIVE
};

/* The best one so far. */
struct choice {
    const char *directory;
    char name[WM_NAME_SIZE];
    enum rank rank;
    struct wm_node *node; /* NULL if it cannot be opened */
    int error;            /* why */
    uint64_t master;      /* start of its youngest living one, 0: none */
    uint64_t created;
    bool has_strangers;
};

/* The pids of another pid namespace mean nothing here. Those of a dead segment
 * mean nothing anywhere: it can be read all the same. */
static int open_segment(struct wm_segment *segment, const char *directory,
                        const char *name)
{
    int error = wm_segment_open(segment, directory, name);
    struct stat st;

    if (error == 0 && !wm_segment_is_of_namespace(segment) &&
        wm_segment_use(directory, name, &st) != 0) {
        error = -EXDEV;
    }
    return error;
}

static int open_file(const char *directory, const char *name,
                     struct wm_node **node)
{
    struct wm_node *n = wm_node_allocate("", directory);
    int error =
        n == NULL ? -ENOMEM : open_segment(&n->segment, directory, name);

    if (error == 0) {
        wm_node_name_by_segment(n);
        *node = n;
    } else if (n != NULL) {
        wm_node_discard(n);
    }
    return error;
}

static enum rank rank_of(int use, const struct stat *st)
{
    if (use < 0) {
        return RANK_UNKNOWN;
    }
    /* Safeguard: strangers_are_not_found */
    if (wm_is_strangers(st)) {
        return RANK_STRANGERS;
    }
    if (st->st_uid == geteuid()) {
        return use == 1 ? RANK_OWN_LIVE : RANK_OWN;
    }
    return use == 1 ? RANK_ROOTS_LIVE : RANK_ROOTS;
}

/* Whether this one is a better choice than the best of the same rank so far. A
 * file that cannot be opened is none. */
static bool is_younger(const struct choice *c, const struct choice *than)
{
    if (c->node == NULL || than->node == NULL) {
        return c->node != NULL;
    }
    return c->master != than->master ? c->master > than->master
                                     : c->created > than->created;
}

static void choose(const char *name, void *argument)
{
    struct choice *best = argument;
    struct choice c = *best;
    struct stat st;

    c.rank = rank_of(wm_segment_use(c.directory, name, &st), &st);
    best->has_strangers = best->has_strangers || c.rank == RANK_STRANGERS;
    if (c.rank == RANK_STRANGERS || c.rank < best->rank) {
        return;
    }
    c.node = NULL;
    c.error = open_file(c.directory, name, &c.node);
    if (c.node != NULL) {
        c.master = wm_kin_youngest_master(c.node);
        c.created = wm_segment_created(&c.node->segment);
    }
    if (c.rank > best->rank || is_younger(&c, best)) {
        struct wm_node *former = best->node;

        memcpy(c.name, name, strlen(name) + 1);
        c.has_strangers = best->has_strangers;
        *best = c;
        c.node = former;
    }
    if (c.node != NULL) {
        wm_node_discard(c.node);
    }
}

/* Opens the life of an instance that is meant. -ENOENT: there is no segment;
 * -EPERM: there are strangers' files alone. */
static int open_instance(const char *directory, const char *instance,
                         struct wm_node **node)
{
    struct choice c = {.directory = directory};

    int error = wm_segment_list(directory, instance, choose, &c);

    if (c.rank == RANK_STRANGERS && error == 0) {
        return c.has_strangers ? -EPERM : -ENOENT;
    }
    if (c.rank == RANK_STRANGERS) {
        return error;
    }
    *node = c.node;
    return c.error;
}

int wm_node_open(const char *name, const char *directory, struct wm_node **node)
{
    int error = -ENOENT, not_found = -ENOENT;

    if (name == NULL || node == NULL) {
        return -EINVAL;
    }
    if (directory == NULL) {
        directory = WM_DIRECTORY;
    }
    if (wm_instance_valid(name)) {
        error = not_found = open_instance(directory, name, node);
    }
    if (error == -ENOENT || error == -EPERM) {
        error = open_file(directory, name, node);
        error = error == -ENOENT ? not_found : error;
    }
    if (error == 0) {
        wm_registry_lock();
        wm_registry_add(*node);
        wm_registry_unlock();
    }
    return error;
}
