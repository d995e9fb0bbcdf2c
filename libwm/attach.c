/* SPDX-License-Identifier: Apache-2.0 */

/* Attach: how a process takes part in a node.
 *
 * One thread at a time attaches. Another one may fork meanwhile, but not while
 * a segment is mapped that is not in the registry yet: the child could not give
 * it up. The look at the dead may take longer, and keeps no fork waiting. */

#include "inherit.h"
#include "node.h"
#include "postmortem.h"
#include "share.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CAPACITY 1024u
#define DEFAULT_LOG 1024u

static pthread_mutex_t attach_mutex = PTHREAD_MUTEX_INITIALIZER;

/* The thread that attached is not in the child. */
static void after_fork_in_child(void)
{
    pthread_mutex_init(&attach_mutex, NULL);
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, after_fork_in_child);
}

/* The node's own file, or another life's, or a stranger's. */
static void note_living(struct wm_node *n, const char *name)
{
    struct stat st;

    n->postmortem.living += strcmp(name, n->segment.name) != 0 &&
                            wm_segment_use(n->directory, name, &st) == 1 &&
                            !wm_is_strangers(&st);
}

static void tidy_one(const char *name, void *argument)
{
    struct wm_node *n = argument;

    switch (wm_segment_unlink(n->directory, name, wm_postmortem_judge,
                              &n->postmortem)) {
    case -EBUSY:
        note_living(n, name);
        break;
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

static void tidy(struct wm_node *n)
{
    wm_segment_list(n->directory, n->instance, tidy_one, n);
}

/* Maps a segment by one of the ways below, and registers the node. */
static int acquire(struct wm_node *n, const struct wm_node_options *options,
                   int way(struct wm_node *, const struct wm_node_options *))
{
    int error;

    wm_registry_lock();
    error = way(n, options);
    if (error == 0) {
        wm_registry_add(n);
    }
    wm_registry_unlock();
    return error;
}

static int adopt(struct wm_node *n, const struct wm_node_options *options)
{
    char *lies = NULL;
    int error;

    wm_registry_keep_private(); /* these did not come over exec */
    error = wm_segment_adopt(&n->segment, n->directory, n->instance,
                             options->tag, &lies);
    if (lies != NULL) {
        n->asked = n->directory;
        n->directory = lies;
    }
    if (error == 0) {
        wm_node_name_by_segment(n);
    }
    n->adopted = error == 0;
    n->not_adopted = -error;
    return error;
}

static struct wm_geometry geometry_of(const struct wm_node_options *options)
{
    struct wm_geometry g = wm_geometry(
        options->capacity == 0 ? DEFAULT_CAPACITY : options->capacity,
        options->log_entries == 0 ? DEFAULT_LOG : options->log_entries);

    g.tag = options->tag;
    return g;
}

static int create(struct wm_node *n, const struct wm_node_options *options)
{
    return wm_segment_create(&n->segment, n->directory, n->instance,
                             geometry_of(options),
                             options->mode == 0 ? 0600 : options->mode);
}

static int create_anonymous(struct wm_node *n,
                            const struct wm_node_options *options)
{
    return wm_segment_create_anonymous(&n->segment, n->instance,
                                       geometry_of(options));
}

/* If the directory is full, the dead segments may be what fills it: then they
 * are told of and unlinked first, else afterwards. */
static int acquire_segment(struct wm_node *n,
                           const struct wm_node_options *options)
{
    bool full;
    int error;

    if ((options->flags & WM_NODE_ADOPT) != 0 &&
        acquire(n, options, adopt) == 0) {
        return 0;
    }
    error = acquire(n, options, create);
    full = error == -ENOSPC || error == -EDQUOT;
    if (error == 0 || full) {
        tidy(n);
    }
    if (full) {
        error = acquire(n, options, create);
    }
    if (error != 0 && (options->flags & WM_NODE_ANONYMOUS) != 0) {
        n->anonymous = -error;
        error = acquire(n, options, create_anonymous);
    }
    return error;
}

static int attach_new(const struct wm_node_options *options,
                      struct wm_node **node)
{
    struct wm_node *n = wm_node_allocate(options->instance, options->directory);
    int error = n == NULL ? -ENOMEM : acquire_segment(n, options);

    if (error == 0) {
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
    int error = theirs == NULL
                    ? -EINVAL
                    : wm_sized_read(own, sizeof(*own),
                                    WM_LEAST(wm_node_options, tag), theirs);

    if (error != 0) {
        return error;
    }
    if (own->directory == NULL) {
        own->directory = WM_DIRECTORY;
    }
    return (own->flags & ~(WM_NODE_ADOPT | WM_NODE_ANONYMOUS)) != 0 ||
                   !wm_instance_valid(own->instance) ||
                   own->capacity > WM_CAPACITY_MAX ||
                   own->log_entries > WM_LOG_MAX || (own->mode & ~0777u) != 0
               ? -EINVAL
               : 0;
}

int wm_node_attach(const struct wm_node_options *options, struct wm_node **node)
{
    struct wm_node_options own = {0};
    struct wm_node *n;
    int error = node == NULL ? -EINVAL : read_options(&own, options);
    int cancel;

    if (error != 0) {
        return error;
    }
    cancel = wm_cancel_forbid();
    pthread_mutex_lock(&attach_mutex);
    n = wm_registry_share(own.instance, own.directory, own.tag);
    if (n != NULL) {
        *node = n;
    } else {
        error = attach_new(&own, node);
    }
    pthread_mutex_unlock(&attach_mutex);
    wm_cancel_allow(cancel);
    return error;
}
