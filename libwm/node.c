/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Nodes in a process: the registry, what a fork changes, and the end.
 *
 * A reload loads a fresh configuration into a process that lives on, so the
 * process keeps a registry: who attaches to an instance again gets the handle
 * that is there. The library is never unloaded for the same reason. Each
 * attach is given back once; what a master attached is inherited by its
 * children with the count, and each gives it back for itself.
 *
 * Unlinking is not a matter of who is the master: whoever gives up its last
 * share tries, and succeeds only if nobody else takes part and there is
 * nothing to tell to a later life. */

#include "node.h"

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

static void set_cloexec(const struct wm_node *node, int flag)
{
    if (node->segment.fd >= 0) {
        fcntl(node->segment.fd, F_SETFD, flag);
    }
}

static void before_fork(void)
{
    pthread_mutex_lock(&registry_mutex);
    forker = wm_self_ident();
    for (struct wm_node *n = registry; n != NULL; n = n->next) {
        set_cloexec(n, FD_CLOEXEC);
    }
    /* Whatever is to be adopted has been: a server forks when it is set up. */
    if (is_heir) {
        is_heir = false;
        wm_segment_disown();
    }
}

static void after_fork_in_parent(void)
{
    for (struct wm_node *n = registry; n != NULL; n = n->next) {
        /* Relaxed: read by who calls, in whatever thread. */
        atomic_store_explicit(&n->forked, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&registry_mutex);
}

/* The child takes part in the node, but the worker and the lock are its
 * parent's. nginx execs its next binary from a child of the master: there, and
 * only there, the descriptor is to be inherited. What a worker forks may exec
 * anything, and is no next binary. */
static void after_fork_in_child(void)
{
    wm_self_forget();
    for (struct wm_node *n = registry; n != NULL; n = n->next) {
        n->of_worker = n->of_worker || n->joined;
        if (!n->of_worker) {
            set_cloexec(n, 0);
        }
        atomic_store_explicit(&n->worker.record, NULL, memory_order_relaxed);
        atomic_store_explicit(&n->held, 0, memory_order_relaxed);
        n->joined = false;
        n->forker = forker;
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

static void discard(struct wm_node *n)
{
    wm_segment_close(&n->segment);
    free(n->directory);
    free(n);
}

/* Whether a record tells of a worker that has not left, and whose end nobody
 * was told of. */
static bool is_untold(const struct wm_segment *s, uint32_t slot, uint64_t word)
{
    const struct wm_record *r = &s->records[slot];

    if (atomic_load_explicit(&r->role, memory_order_acquire) !=
        WM_ROLE_WORKER) {
        return false;
    }
    switch (wm_word_state(word)) {
    case WM_JOINING:
    case WM_LIVE:
    case WM_STALLED:
        return true;
    case WM_CRASHED:
        return !wm_crash_given(r, &s->colds[slot]);
    default:
        return false;
    }
}

/* What an unclean end left to tell. */
static void add_postmortem(struct wm_postmortem *p, const struct wm_segment *s)
{
    for (uint32_t i = 0; i < s->geometry.capacity; i++) {
        uint64_t word =
            atomic_load_explicit(&s->records[i].word, memory_order_acquire);

        if (is_untold(s, i, word)) {
            p->workers++;
            p->pid = (int32_t)wm_word_pid(word);
        }
    }
    for (uint32_t i = 0; i < s->geometry.generations; i++) {
        const struct wm_generation_record *g = &s->generations[i];
        uint64_t word = atomic_load_explicit(&g->word, memory_order_acquire);
        uint64_t id = atomic_load_explicit(&g->id, memory_order_relaxed);

        if (wm_gen_state(word) == WM_GENERATION_ACTIVE) {
            p->exits_owed++;
        }
        p->exits_owed += wm_gen_owed(word);
        if (id > p->generation) {
            p->generation = id;
        }
    }
}

/* Judges a dead segment of an earlier life: what can be read is told, what is
 * no segment goes as well, what is another's stays. */
static bool bury(const struct wm_segment *segment, int error, void *argument)
{
    struct wm_postmortem *p = argument;

    switch (error) {
    case 0:
        add_postmortem(p, segment);
        p->segments++;
        return true;
    case -EPROTO: /* another library's, or another pid namespace's: */
    case -EXDEV:  /* whole, but not for us to read */
        p->segments++;
        return true;
    case -EBADMSG:
    case -ENODATA:
    case -EUCLEAN:
        p->damaged++;
        return true;
    case -EPERM:
        p->foreign++;
        return false;
    default: /* we could not look: the next start may */
        return false;
    }
}

static void tidy_one(const char *name, void *argument)
{
    struct wm_node *n = argument;

    switch (wm_segment_unlink(n->directory, name, bury, &n->postmortem)) {
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
        error = wm_segment_adopt(&n->segment, n->instance);
        if (error == 0) {
            n->adopted = true;
            return 0;
        }
        n->not_adopted = error == -ENOENT ? 0 : -error;
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
        discard(n);
    }
    return error;
}

int wm_node_attach(const struct wm_node_options *options, struct wm_node **node)
{
    struct wm_node *n;
    int error = 0;

    if (options == NULL || node == NULL || options->size < sizeof(*options) ||
        (options->flags & ~(WM_NODE_ADOPT | WM_NODE_ANONYMOUS)) != 0 ||
        !wm_instance_valid(options->instance) ||
        options->capacity > WM_CAPACITY_MAX ||
        options->log_entries > WM_LOG_MAX || (options->mode & ~0777u) != 0) {
        return -EINVAL;
    }

    pthread_once(&registry_once, watch_forks);
    pthread_mutex_lock(&registry_mutex);
    n = find(options->instance);
    if (n != NULL) {
        n->references++;
        set_cloexec(n, FD_CLOEXEC);
        *node = n;
    } else {
        error = attach_new(options, node);
    }
    pthread_mutex_unlock(&registry_mutex);
    return error;
}

struct visit {
    const char *directory;
    wm_node_entry_fn *tell;
    void *argument;
};

static void visit_one(const char *name, void *argument)
{
    const struct visit *v = argument;
    struct wm_node_entry entry = {.name = name};
    int use = wm_segment_use(v->directory, name);

    entry.live = use == 1;
    entry.error = use < 0 ? use : 0;
    v->tell(&entry, v->argument);
}

int wm_node_list(const char *instance, const char *directory,
                 wm_node_entry_fn *tell, void *argument)
{
    struct visit v = {directory == NULL ? WM_DIRECTORY : directory, tell,
                      argument};

    return wm_segment_list(v.directory, instance, visit_one, &v);
}

/* Whoever asks for it by name means it: root may mean another user's, too. */
static bool is_asked_to_go(const struct wm_segment *segment, int error,
                           void *argument)
{
    int *result = argument;

    (void)segment;
    *result = error == -EPERM && geteuid() != 0 ? -EPERM : 0;
    return *result == 0;
}

int wm_node_unlink(const char *name, const char *directory)
{
    int error, result = 0;

    if (name == NULL || !wm_segment_name_valid(name)) {
        return -EINVAL;
    }
    error = wm_segment_unlink(directory == NULL ? WM_DIRECTORY : directory,
                              name, is_asked_to_go, &result);
    return error != 0 ? error : result;
}

struct choice {
    const char *directory;
    char name[WM_NAME_SIZE];
    bool live;
};

/* Prefers a live segment to a dead one. */
static void choose(const char *name, void *argument)
{
    struct choice *c = argument;
    bool live = wm_segment_use(c->directory, name) == 1;

    if (c->name[0] == '\0' || (live && !c->live)) {
        memcpy(c->name, name, strlen(name) + 1);
        c->live = live;
    }
}

int wm_node_open(const char *name, const char *directory, struct wm_node **node)
{
    struct choice c = {.live = false};
    struct wm_node *n;
    int error;

    if (name == NULL || node == NULL) {
        return -EINVAL;
    }
    c.directory = directory == NULL ? WM_DIRECTORY : directory;
    if (wm_instance_valid(name)) {
        wm_segment_list(c.directory, name, choose, &c);
    }
    n = allocate("", c.directory);
    if (n == NULL) {
        return -ENOMEM;
    }
    error = wm_segment_open(&n->segment, c.directory,
                            c.name[0] != '\0' ? c.name : name);
    if (error != 0) {
        discard(n);
        return error;
    }
    memcpy(n->instance,
           n->segment.constants + offsetof(struct wm_segment_header, instance),
           WM_INSTANCE_SIZE);
    *node = n;
    return 0;
}

static bool is_clean(const struct wm_segment *segment, int error,
                     void *argument)
{
    struct wm_postmortem p = {0};

    (void)argument;
    if (error != 0) {
        return false;
    }
    add_postmortem(&p, segment);
    return p.exits_owed == 0 && p.workers == 0;
}

/* Whoever asks whether the segment is in use is granted a share for a moment
 * where it was, and cannot be told from a participant then. So being refused is
 * worth a second try, for those who are likely to be the last: a worker's
 * master outlives it. */
static void try_unlink(const struct wm_node *n)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    int attempts = n->joined ? 1 : 3;

    while (wm_segment_unlink(n->directory, n->segment.name, is_clean, NULL) ==
               -EBUSY &&
           --attempts > 0) {
        nanosleep(&pause, NULL);
    }
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

int wm_node_release(struct wm_node *node)
{
    bool last;

    pthread_mutex_lock(&registry_mutex);
    last = --node->references == 0;
    if (last) {
        unregister(node);
    }
    pthread_mutex_unlock(&registry_mutex);
    if (!last) {
        return 0;
    }

    if (wm_worker_record(&node->worker) != NULL) {
        wm_worker_leave(&node->worker);
    }
    if (atomic_load_explicit(&node->held, memory_order_relaxed) != 0) {
        wm_lock_release(node);
    }
    if (wm_node_writable(node) && node->segment.name[0] != '\0') {
        wm_segment_close(&node->segment);
        try_unlink(node);
    }
    discard(node);
    return 0;
}

void wm_node_describe(const struct wm_node *node, struct wm_node_info *info)
{
    const struct wm_segment_header *h = node->segment.header;
    struct wm_node_info i = {
        .size = info->size,
        .capacity = node->segment.geometry.capacity,
        .instance = node->instance,
        .name = node->segment.name,
        .anonymous = node->anonymous,
        .not_adopted = node->not_adopted,
        .adopted = node->adopted,
        .read_only = !wm_node_writable(node),
        .generation =
            atomic_load_explicit(&h->next_generation, memory_order_relaxed),
        .dropped = atomic_load_explicit(&h->dropped, memory_order_relaxed),
        .exits_lost =
            atomic_load_explicit(&h->exits_lost, memory_order_relaxed),
        .postmortem = node->postmortem,
    };

    memcpy(info, &i, info->size < sizeof(i) ? info->size : sizeof(i));
}

struct wm_worker *wm_node_worker(const struct wm_node *node)
{
    return wm_worker_record(&node->worker) == NULL
               ? NULL
               : (struct wm_worker *)&node->worker;
}
