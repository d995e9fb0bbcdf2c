/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Nodes in a process: the registry, fork, attach and open.
 *
 * A reload loads a fresh configuration into a process that lives on. So the
 * process keeps a registry: a process that attaches to an instance again gets
 * the handle that is there. The library is never unloaded for the same reason.
 * Each attach is given back once. A child inherits the attaches of its master
 * with their count, and gives them back for itself. */

#include "node.h"

#include "directory.h"
#include "inherit.h"
#include "postmortem.h"
#include "process.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_CAPACITY 1024u
#define DEFAULT_LOG 1024u

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t registry_once = PTHREAD_ONCE_INIT;
static struct wm_node *registry;
static uint64_t forker; /* ident of the process that is about to fork */
static bool is_heir;    /* came by exec, and has not forked yet */

static void before_fork(void)
{
    pthread_mutex_lock(&registry_mutex);
    forker = wm_self_ident();
    for (struct wm_node *n = registry; n != NULL; n = n->next) {
        wm_segment_keep_private(&n->segment, n->directory);
    }
    /* A server forks once it is set up, so it has adopted its nodes by now. */
    if (is_heir) {
        is_heir = false;
        wm_segment_disown();
    }
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
        n->joined = false;
        n->forker = forker;
        memset(&n->postmortem, 0, sizeof(n->postmortem));
    }
    pthread_mutex_unlock(&registry_mutex);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static struct wm_node *find(const char *instance)
{
    struct wm_node *n = registry;

    while (n != NULL && strcmp(n->instance, instance) != 0) {
        n = n->next;
    }
    return n;
}

static struct wm_node *allocate(const char *instance, const char *directory)
{
    struct wm_node *n = calloc(1, sizeof(*n));

    if (n == NULL) {
        return NULL;
    }
    n->directory = strdup(directory);
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

void wm_node_discard(struct wm_node *n)
{
    wm_segment_close(&n->segment);
    free(n->directory);
    free(n);
}

static void tidy_one(const char *name, void *argument)
{
    struct wm_node *n = argument;

    switch (wm_segment_unlink(n->directory, name, wm_postmortem_judge,
                              &n->postmortem)) {
    case -EACCES:
        n->postmortem.foreign++;
        break;
    case -EBADMSG: /* a symbolic link: not followed, not touched */
        n->postmortem.damaged++;
        break;
    default:
        break;
    }
}

static int acquire_segment(struct wm_node *n,
                           const struct wm_node_options *options)
{
    struct wm_geometry geometry = wm_geometry(
        options->capacity == 0 ? DEFAULT_CAPACITY : options->capacity,
        options->log_entries == 0 ? DEFAULT_LOG : options->log_entries);
    uint32_t mode = options->mode == 0 ? 0600 : options->mode;
    int error;

    if ((options->flags & WM_NODE_ADOPT) != 0) {
        is_heir = true;
        error = wm_segment_adopt(&n->segment, n->directory, n->instance);
        if (error == 0) {
            n->adopted = true;
            return 0;
        }
        n->not_adopted = -error;
    }
    error = wm_segment_create(&n->segment, n->directory, n->instance, geometry,
                              mode);
    if (error == 0) {
        wm_segment_list(n->directory, n->instance, tidy_one, n);
    } else if ((options->flags & WM_NODE_ANONYMOUS) != 0) {
        n->anonymous = -error;
        error = wm_segment_create_anonymous(&n->segment, n->instance, geometry);
    }
    return error;
}

static int attach_new(const struct wm_node_options *options,
                      struct wm_node **node)
{
    const char *directory =
        options->directory == NULL ? WM_DIRECTORY : options->directory;
    struct wm_node *n = allocate(options->instance, directory);
    int error = n == NULL ? -ENOMEM : acquire_segment(n, options);

    if (error == 0) {
        n->next = registry;
        registry = n;
        *node = n;
    } else if (n != NULL) {
        wm_node_discard(n);
    }
    return error;
}

/* Reads the caller's options; -EINVAL, -E2BIG. */
static int read_options(struct wm_node_options *own,
                        const struct wm_node_options *theirs)
{
    int error =
        theirs == NULL
            ? -EINVAL
            : wm_sized_read(own, sizeof(*own),
                            WM_LEAST(wm_node_options, reserved), theirs);

    if (error != 0) {
        return error;
    }
    return (own->flags & ~(WM_NODE_ADOPT | WM_NODE_ANONYMOUS)) != 0 ||
                   !wm_instance_valid(own->instance) ||
                   own->capacity > WM_CAPACITY_MAX ||
                   own->log_entries > WM_LOG_MAX || (own->mode & ~0777u) != 0 ||
                   own->reserved != 0
               ? -EINVAL
               : 0;
}

int wm_node_attach(const struct wm_node_options *options, struct wm_node **node)
{
    struct wm_node_options own = {0};
    struct wm_node *n;
    int error = node == NULL ? -EINVAL : read_options(&own, options);

    if (error != 0) {
        return error;
    }
    pthread_once(&registry_once, watch_forks);
    pthread_mutex_lock(&registry_mutex);
    n = find(own.instance);
    if (n != NULL) {
        n->references++;
        wm_segment_keep_private(&n->segment, n->directory);
        *node = n;
    } else {
        error = attach_new(&own, node);
    }
    pthread_mutex_unlock(&registry_mutex);
    return error;
}

/* The pids of another pid namespace mean nothing here, and a dead segment's mean
 * nothing anywhere: that one can be read all the same. */
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

int wm_node_open(const char *name, const char *directory, struct wm_node **node)
{
    char found[WM_NAME_SIZE];
    struct wm_node *n;
    int error, not_found = -ENOENT;

    if (name == NULL || node == NULL) {
        return -EINVAL;
    }
    if (directory == NULL) {
        directory = WM_DIRECTORY;
    }
    if (wm_instance_valid(name)) {
        not_found = wm_directory_find(directory, name, found);
    }
    n = allocate("", directory);
    if (n == NULL) {
        return -ENOMEM;
    }
    error = open_segment(&n->segment, directory, not_found == 0 ? found : name);
    if (error != 0) {
        wm_node_discard(n);
        return error == -ENOENT && not_found != 0 ? not_found : error;
    }
    /* Safeguard: checked_copy_is_used */
    memcpy(n->instance,
           n->segment.constants + offsetof(struct wm_segment_header, instance),
           WM_INSTANCE_SIZE);
    *node = n;
    return 0;
}

int wm_node_bequeath(struct wm_node *node)
{
    WM_REQUIRE(node);
    if (!wm_node_writable(node)) {
        return -EROFS;
    }
    if (node->joined) {
        return WM_IS_WORKER;
    }
    wm_segment_keep_private(&node->segment, node->directory);
    return wm_segment_bequeath(&node->segment);
}

static void unregister(struct wm_node *node)
{
    struct wm_node **at = &registry;

    while (*at != NULL && *at != node) {
        at = &(*at)->next;
    }
    if (*at == node) {
        *at = node->next;
    }
}

bool wm_node_give_reference(struct wm_node *node)
{
    bool last;

    pthread_mutex_lock(&registry_mutex);
    last = --node->references == 0;
    if (last) {
        unregister(node);
    }
    pthread_mutex_unlock(&registry_mutex);
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
