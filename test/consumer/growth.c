/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A program that is compiled with one version's header and run with another
 * version's library, for test_growth.py. With GROWN it is the later header's,
 * whose structs have one member more.
 *
 *     growth use      every call that takes or fills in a struct or list
 *     growth follow   a monitor, its views and its subscriber
 *
 * Each prints the library's version, and fails at the first thing that is not
 * so. */

#include <wm_monitor.h>

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOLDS(claim)                                                           \
    ((claim) ? (void)0                                                         \
             : (fprintf(stderr, "line %d: %s\n", __LINE__, #claim), exit(1)))
#define WORKERS 3

static const char *instance;

static int attach(struct wm_node **node, struct wm_node_options *options)
{
    options->size = sizeof(*options);
    options->instance = instance;
    options->directory = getenv("DIRECTORY");
    options->capacity = WORKERS + 1;
    options->log_entries = 64;
    return wm_node_attach(options, node);
}

/* A struct is filled in as far as the caller's goes, and no further. */
static void check_fence(const unsigned char *fence, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        HOLDS(fence[i] == 0xa5);
    }
}

#define CHECK_FENCE(name) check_fence((name).fence, sizeof((name).fence))
#define FENCED(type, name)                                                     \
    struct {                                                                   \
        struct type is;                                                        \
        unsigned char fence[64];                                               \
    } name;                                                                    \
    memset(&name, 0xa5, sizeof(name));                                         \
    name.is.size = sizeof(name.is)
#define FILLED(type, name, call, result)                                       \
    FENCED(type, name);                                                        \
    HOLDS((call) == (result));                                                 \
    CHECK_FENCE(name)

static void give(const struct wm_event *event, void *argument)
{
    uint32_t *kinds = argument;

    *kinds |= 1u << event->kind;
    if (event->kind == WM_EVENT_WORKER_START ||
        event->kind == WM_EVENT_WORKER_EXIT) {
        HOLDS(event->counts.mine == 1);
    }
}

static void check_facts(struct wm_node *node, struct wm_worker *worker)
{
    FILLED(wm_node_info, info, wm_node_describe(node, &info.is), 0);
    FILLED(wm_postmortem, dead, wm_node_postmortem(node, &dead.is), 0);
    FILLED(wm_leader, leader, wm_leader_stand(worker, &leader.is), 1);
    HOLDS(wm_lock_try(node, 7, 0) == 0);
    FILLED(wm_lock_holder, holder, wm_lock_inspect(node, &holder.is), 0);

    HOLDS(wm_lock_release(node) == 0);
    HOLDS(info.is.capacity == WORKERS + 1 && info.is.exits_lost == 0);
    HOLDS(dead.is.segments == 0 && dead.is.generation == 0);
    HOLDS(leader.is.mine == 1 && leader.is.term == 1);
    HOLDS(holder.is.own == 1 && holder.is.purpose == 7);
#ifdef GROWN
    HOLDS(info.is.grown == 0 && leader.is.grown == 0 && holder.is.grown == 0);
#endif
    info.is.size = 8;
    HOLDS(wm_node_describe(node, &info.is) == -EINVAL);
    holder.is.size = 0;
    HOLDS(wm_lock_inspect(node, &holder.is) == -EINVAL);
}

static void check_lists(struct wm_node *node)
{
    struct wm_worker_info workers[3];
    struct wm_generation_info generations[3];
    struct wm_log_entry entries[16];
    uint64_t since = 0;
    uint32_t count;

    memset(workers, 0xa5, sizeof(workers));
    HOLDS(wm_snapshot(node, workers, sizeof(*workers), 2, &count) == 0);
    HOLDS(count == 1 && workers[0].pid == getpid() &&
          workers[0].state == WM_LIVE);
    check_fence((unsigned char *)&workers[1], 2 * sizeof(*workers));
    memset(generations, 0xa5, sizeof(generations));
    HOLDS(wm_generations(node, generations, sizeof(*generations), 2, &count) ==
          0);
    HOLDS(count == 1 && generations[0].id == 1 &&
          generations[0].state == WM_GENERATION_ACTIVE);
    check_fence((unsigned char *)&generations[1], 2 * sizeof(*generations));
    HOLDS(wm_log_read(node, &since, entries, sizeof(*entries), 16, &count,
                      NULL) == 0);
    HOLDS(count >= 4);
    for (uint32_t i = 0; i < count; i++) {
        HOLDS(entries[i].number == i + 1);
    }
    HOLDS(wm_snapshot(node, workers, 8, 2, &count) == -EINVAL);
}

static void use(void)
{
    struct wm_node_options options = {0};
    struct wm_join_options join = {.size = sizeof(join), .expected = 1};
    struct wm_lock_options lock = {.size = sizeof(lock), .wait_ms = 60000};
    FENCED(wm_event, event);
    struct wm_node *node;
    struct wm_worker *worker;
    uint32_t given = 0, reason;
    uint64_t id;

#ifdef GROWN
    options.grown = 1;
    if (strcmp(getenv("KNOWN"), "this") == 0) {
        HOLDS(attach(&node, &options) == -E2BIG);
    }
    options.grown = 0;
#endif
    options.reserved = 1;
    HOLDS(attach(&node, &options) == -EINVAL);
    options.reserved = 0;
    HOLDS(attach(&node, &options) == 0);
    HOLDS(wm_generation_begin(node, &id, &reason) == 0);
    HOLDS(wm_worker_join(node, id, &join, &worker) == 0);
    HOLDS(wm_start_run(worker, &lock, give, &given) == 0);
    check_facts(node, worker);
    check_lists(node);
    HOLDS(wm_event_take(node, WM_EVENTS_ALL, &event.is) == 0);
    CHECK_FENCE(event);
    HOLDS(wm_exit_run(worker, &lock, give, &given) == 0);
    HOLDS(given == (1u << WM_EVENT_WORKER_START | 1u << WM_EVENT_WORKER_EXIT |
                    1u << WM_EVENT_DRAINED | 1u << WM_EVENT_MASTER_EXIT));
    HOLDS(wm_worker_leave(worker) == 0);
    HOLDS(wm_node_release(node) == 0);
}

/* A worker that lives until its parent closes the pipe. */
static pid_t work(struct wm_node *node, uint64_t id)
{
    struct wm_join_options join = {.size = sizeof(join)};
    struct wm_worker *worker;
    int ready[2];
    char byte;
    pid_t pid;

    HOLDS(pipe(ready) == 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also where a claim fails */
        HOLDS(wm_worker_join(node, id, &join, &worker) == 0);
        HOLDS(wm_start_run(worker, NULL, NULL, NULL) == 0);
        HOLDS(write(ready[1], "", 1) == 1);
        for (;;) {
            pause();
        }
    }
    HOLDS(pid > 0 && read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void end(pid_t pid)
{
    HOLDS(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

/* ----------------------------------------------------------- the monitor's */

#ifdef GROWN
#define MORE sizeof(uint64_t)
#else
#define MORE 0
#endif

/* The elements of a view are as long as the monitor's library has them. */
static void check_sizes(const struct wm_view *view)
{
    size_t more = strcmp(getenv("VIEWED"), "later") == 0 ? sizeof(uint64_t) : 0;

    HOLDS(view->worker_size == sizeof(struct wm_worker_info) - MORE + more);
    HOLDS(view->generation_size ==
          sizeof(struct wm_generation_info) - MORE + more);
}

struct expectation {
    pid_t pids[WORKERS];
    sem_t crashed; /* posted when a view has the first of them crashed */
};

/* A worker of each of three generations, by slot, and the generations. */
static void check_view(const struct wm_view *view,
                       const struct expectation *expected)
{
    check_sizes(view);
    HOLDS(view->live == 1 && view->error == 0);
    HOLDS(view->worker_count == WORKERS && view->generation_count == WORKERS);
    for (uint32_t i = 0; i < WORKERS; i++) {
        const struct wm_worker_info *worker = wm_view_worker(view, i);
        const struct wm_generation_info *g = wm_view_generation(view, i);

        HOLDS(worker->slot == i && worker->pid == expected->pids[i]);
        HOLDS(worker->generation == i + 1 && g->id == i + 1);
        HOLDS(worker->joined_at != 0 && g->master == getpid());
    }
    HOLDS(view->leader->slot == WM_NO_SLOT);
    HOLDS(strncmp(view->name, "wm.follow.", 10) == 0);
}

static void tell(const struct wm_view *before, const struct wm_view *now,
                 void *argument)
{
    struct expectation *expected = argument;

    check_view(before, expected);
    check_view(now, expected);
    HOLDS(now->number == before->number + 1);
    if (wm_view_worker(now, 0)->state == WM_CRASHED) {
        HOLDS(sem_post(&expected->crashed) == 0);
    }
}

static void check_monitor_options(struct wm_monitor_options *options)
{
    struct wm_monitor *monitor;

    options->size = sizeof(options->size);
    HOLDS(wm_monitor_create(instance, NULL, options, &monitor) == -EINVAL);
    options->size = sizeof(*options);
#ifdef GROWN
    options->grown = 1;
    if (strcmp(getenv("VIEWED"), "this") == 0) {
        HOLDS(wm_monitor_create(instance, NULL, options, &monitor) == -E2BIG);
    }
    options->grown = 0;
#endif
}

static void follow(void)
{
    struct wm_node_options options = {0};
    struct wm_monitor_options looks = {.check_ms = 1000};
    struct expectation expected;
    struct wm_subscription *subscription;
    struct wm_monitor *monitor;
    const struct wm_view *view;
    struct wm_node *node;
    uint64_t id;

    HOLDS(attach(&node, &options) == 0);
    for (int i = 0; i < WORKERS; i++) {
        HOLDS(wm_generation_begin(node, &id, NULL) == 0);
        expected.pids[i] = work(node, id);
    }
    HOLDS(sem_init(&expected.crashed, 0, 0) == 0);
    check_monitor_options(&looks);
    HOLDS(wm_monitor_create(instance, getenv("DIRECTORY"), &looks, &monitor) ==
          0);
    view = wm_monitor_view_begin(monitor);
    check_view(view, &expected);
    wm_monitor_view_end(view);
    HOLDS(wm_monitor_subscribe(monitor, tell, &expected, &subscription) == 0);
    end(expected.pids[0]);
    HOLDS(wm_sweep(node, NULL) > 0);
    HOLDS(sem_wait(&expected.crashed) == 0);
    HOLDS(wm_monitor_destroy(monitor) == 0);
    for (int i = 1; i < WORKERS; i++) {
        end(expected.pids[i]);
    }
    HOLDS(wm_node_release(node) == 0);
}

int main(int argc, char **argv)
{
    HOLDS(argc == 2);
    instance = argv[1];
    if (strcmp(instance, "use") == 0) {
        use();
    } else {
        follow();
    }
    printf("version %u.%u\n", wm_version() >> 16, wm_version() & 0xffff);
    return 0;
}
