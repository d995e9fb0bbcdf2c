/* SPDX-License-Identifier: Apache-2.0 */

/* Nodes in a process: handles, the registry, fork.
 *
 * A reload loads a fresh configuration into a process that lives on. So the
 * process keeps a registry: a process that attaches to an instance again gets
 * the handle that is there. The library is never unloaded for the same reason.
 * Each attach is given back once. A child inherits the attaches of its master
 * with their count, and gives them back for itself. */

#include "node.h"

#include "inherit.h"
#include "process.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct wm_node *registry;
static uint64_t forker; /* ident of the process that is about to fork */

void wm_registry_keep_private(void)
{
    for (struct wm_node *n = registry; n != NULL; n = n->next) {
        wm_segment_keep_private(&n->segment, n->directory);
    }
}

/* Whether a pid means the same to this process as to those that wrote it. A
 * process may have forked this one into a new pid namespace. If /proc does not
 * tell, a first process there can know so much: to getppid(2), a parent in
 * another namespace is no process. */
static bool shares_pids(const struct wm_node *node)
{
    uint64_t its = wm_segment_namespace(&node->segment);
    uint64_t own = wm_self_namespace();

    return its != 0 && own != 0 ? its == own
                                : node->forker == 0 || getppid() != 0;
}

static void before_fork(void)
{
    int cancel = wm_cancel_forbid();

    pthread_mutex_lock(&registry_mutex);
    forker = wm_self_ident();
    wm_registry_keep_private();
    /* A server forks once it is set up, so it has adopted its nodes by now. */
    wm_segment_disown();
    wm_cancel_allow(cancel);
}

static void after_fork_in_parent(void)
{
    for (struct wm_node *n = registry; n != NULL; n = n->next) {
        wm_node_set_forked(n, true);
    }
    pthread_mutex_unlock(&registry_mutex);
}

/* The child takes part in the node, but the worker and the lock are its
 * parent's. nginx execs its next binary from a child of the master, and only
 * there the descriptor is to be inherited. A child of a worker may exec
 * anything, and is no next binary. */
static void after_fork_in_child(void)
{
    /* Safeguard: child_signs_with_its_own_pid */
    wm_self_forget();
    for (struct wm_node *n = registry; n != NULL; n = n->next) {
        n->of_worker = n->of_worker || n->joined;
        /* Safeguard: workers_children_inherit_nothing */
        if (!n->of_worker) {
            wm_segment_bequeath(&n->segment);
        }
        /* Safeguard: child_has_no_record_and_no_lock */
        wm_worker_set_record(&n->worker, NULL);
        wm_node_set_held(n, 0);
        wm_node_set_swept_at(n, 0);
        n->joined = false;
        n->forker = forker;
        n->foreign_pids = !shares_pids(n);
        memset(&n->postmortem, 0, sizeof(n->postmortem));
    }
    pthread_mutex_unlock(&registry_mutex);
}

/* A directory's own name, which a change of the working directory leaves as it
 * is; NULL without memory. */
static char *full_name(const char *directory)
{
    char *full = realpath(directory, NULL);

    return full != NULL ? full : strdup(directory);
}

struct wm_node *wm_node_allocate(const char *instance, const char *directory)
{
    struct wm_node *n = calloc(1, sizeof(*n));

    if (n == NULL) {
        return NULL;
    }
    n->directory = full_name(directory);
    if (n->directory == NULL) {
        free(n);
        return NULL;
    }
    memcpy(n->instance, instance, strnlen(instance, WM_INSTANCE_SIZE - 1));
    n->references = 1;
    n->worker.node = n;
    n->segment.fd = -1;
    return n;
}

void wm_node_name_by_segment(struct wm_node *n)
{
    /* Safeguard: checked_copy_is_used */
    memcpy(n->instance,
           n->segment.constants + offsetof(struct wm_segment_header, instance),
           WM_INSTANCE_SIZE);
}

void wm_node_discard(struct wm_node *n)
{
    wm_segment_close(&n->segment);
    free(n->directory);
    free(n->asked);
    free(n);
}

/* As the library is loaded: a reader has the registry as well, and the pid that
 * a process knows of itself. */
__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void wm_registry_lock(void)
{
    pthread_mutex_lock(&registry_mutex);
}

void wm_registry_unlock(void)
{
    pthread_mutex_unlock(&registry_mutex);
}

void wm_registry_add(struct wm_node *node)
{
    node->foreign_pids = !shares_pids(node);
    node->next = registry;
    registry = node;
}

/* With a tag, the directory may be another one by now, as the name may. */
static bool is_of(const struct wm_node *n, const char *instance,
                  const char *directory, uint32_t tag)
{
    /* A child in a new pid namespace makes a node of its own. */
    return wm_node_writable(n) && !n->foreign_pids &&
           wm_segment_is_asked_for(&n->segment, instance, tag) &&
           ((tag != 0 && n->segment.geometry.tag != 0) ||
            strcmp(n->directory, directory) == 0 ||
            (n->asked != NULL && strcmp(n->asked, directory) == 0));
}

struct wm_node *wm_registry_share(const char *instance, const char *directory,
                                  uint32_t tag)
{
    char *full = full_name(directory);
    struct wm_node *n = NULL;

    wm_registry_lock();
    if (full != NULL) {
        for (n = registry; n != NULL && !is_of(n, instance, full, tag);) {
            n = n->next;
        }
    }
    if (n != NULL) {
        n->references++;
        wm_segment_keep_private(&n->segment, n->directory);
    }
    wm_registry_unlock();
    free(full);
    return n;
}

int wm_node_bequeath(struct wm_node *node)
{
    WM_REQUIRE(node);
    int error;

    if (!wm_node_writable(node)) {
        return -EROFS;
    }
    if (node->joined || node->of_worker) {
        return WM_IS_WORKER;
    }
    if (wm_node_held(node) != 0) {
        return -EDEADLK;
    }
    wm_registry_lock();
    wm_segment_keep_private(&node->segment, node->directory);
    error = wm_segment_bequeath(&node->segment);
    wm_registry_unlock();
    return error;
}

/* The place of a handle in the registry. One that was given back is in none,
 * and is not looked into. */
static struct wm_node **place_of(const struct wm_node *node)
{
    struct wm_node **at = &registry;

    while (*at != NULL && *at != node) {
        at = &(*at)->next;
    }
    return at;
}

int wm_node_references(const struct wm_node *node)
{
    int references;

    wm_registry_lock();
    references = *place_of(node) == NULL ? -EINVAL : (int)node->references;
    wm_registry_unlock();
    return references;
}

bool wm_node_give_reference(struct wm_node *node)
{
    bool last;

    wm_registry_lock();
    last = --node->references == 0;
    if (last) {
        *place_of(node) = node->next;
        wm_segment_close(&node->segment);
    }
    wm_registry_unlock();
    return last;
}

int wm_node_describe(const struct wm_node *node, struct wm_node_info *info)
{
    WM_REQUIRE(node);

    const struct wm_segment_header *h = node->segment.header;
    const struct wm_node_info own = {
        .capacity = node->segment.geometry.capacity,
        .instance = node->instance,
        .name = node->segment.name,
        .anonymous = node->anonymous,
        .not_adopted = node->not_adopted,
        .adopted = node->adopted,
        .read_only = !wm_node_writable(node),
        .generation = header_count(&h->next_generation),
        .dropped = header_count(&h->dropped),
        .exits_lost = header_count(&h->exits_lost),
        .directory = node->directory,
        .mode = wm_segment_mode(&node->segment),
        .log_entries = node->segment.geometry.log_entries,
    };
    int error = wm_sized_check(info, WM_LEAST(wm_node_info, exits_lost));

    if (error == 0) {
        wm_sized_write(info, &own, sizeof(own));
    }
    return error;
}

int wm_node_postmortem(const struct wm_node *node,
                       struct wm_postmortem *postmortem)
{
    WM_REQUIRE(node);

    int error = wm_sized_check(postmortem, WM_LEAST(wm_postmortem, generation));

    if (error == 0) {
        wm_sized_write(postmortem, &node->postmortem, sizeof(node->postmortem));
    }
    return error;
}

struct wm_worker *wm_node_worker(const struct wm_node *node)
{
    WM_REQUIRE(node);
    return wm_worker_record_acquire(&node->worker) == NULL
               ? NULL
               : (struct wm_worker *)&node->worker;
}
