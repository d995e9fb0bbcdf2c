/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Actors are told what to do through a pipe and answer through another. All
 * pipes are made before the first fork, so that any actor can fork another. */

#include "scene.h"

#include "layout.h"
#include "node.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY "/dev/shm"
#define PATIENCE_MS 20000

struct order {
    act_fn *act;
    long argument;
};

void scene_await(bool (*condition)(void *), void *argument, const char *what)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int ms = 0; ms < PATIENCE_MS; ms++) {
        if (condition(argument)) {
            return;
        }
        nanosleep(&pause, NULL);
    }
    fail_msg("timed out waiting for %s", what);
}

/* ---------------------------------------------------------------- actors */

static void serve(struct actor *self)
{
    struct order order;

    while (read(self->to[0], &order, sizeof(order)) == sizeof(order)) {
        long result = order.act(self, order.argument);

        if (write(self->from[1], &result, sizeof(result)) != sizeof(result)) {
            _exit(2);
        }
    }
    _exit(0);
}

/* In the process that is to be the parent. */
static pid_t fork_actor(struct actor *a)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(3);
        }
        a->pid = getpid();
        /* Only its own writing end keeps a pipe of orders open. */
        for (int i = 0; i < SCENE_ACTORS; i++) {
            close(a->scene->actor[i].to[1]);
        }
        serve(a);
    }
    return pid;
}

static struct actor *next_actor(struct scene *scene, struct actor *parent)
{
    struct actor *a = &scene->actor[scene->actors];

    assert_true(scene->actors < SCENE_ACTORS);
    scene->actors++;
    a->parent = parent;
    return a;
}

struct actor *scene_actor(struct scene *scene)
{
    struct actor *a = next_actor(scene, NULL);

    a->pid = fork_actor(a);
    assert_true(a->pid > 0);
    return a;
}

/* The child of an actor outlives it: it is a server's worker. */
static long act_fork(struct actor *self, long index)
{
    struct actor *a = &self->scene->actor[index];
    pid_t pid = fork();

    if (pid == 0) {
        a->pid = getpid();
        serve(a);
    }
    return pid;
}

struct actor *actor_fork(struct actor *parent)
{
    struct actor *a = next_actor(parent->scene, parent);

    a->pid = (pid_t)actor_do(parent, act_fork, a - a->scene->actor);
    assert_true(a->pid > 0);
    return a;
}

void actor_tell(struct actor *actor, act_fn *act, long argument)
{
    const struct order order = {act, argument};

    assert_int_equal(write(actor->to[1], &order, sizeof(order)), sizeof(order));
}

long actor_hear(struct actor *actor)
{
    long result = 0;

    assert_int_equal(read(actor->from[0], &result, sizeof(result)),
                     sizeof(result));
    return result;
}

long actor_do(struct actor *actor, act_fn *act, long argument)
{
    actor_tell(actor, act, argument);
    return actor_hear(actor);
}

static long act_reap(struct actor *self, long pid)
{
    (void)self;
    return waitpid((pid_t)pid, NULL, 0) == pid ? 0 : -errno;
}

/* What a killed actor did not read, or nobody has heard: not for the next. */
static void drain(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte[64];

    while (poll(&p, 1, 0) == 1 && read(fd, byte, sizeof(byte)) > 0) {
    }
}

static void reap(struct actor *a)
{
    if (a->parent != NULL && a->parent->pid != 0) {
        assert_int_equal(actor_do(a->parent, act_reap, a->pid), 0);
    } else {
        assert_int_equal(waitpid(a->pid, NULL, 0), a->pid);
    }
    a->pid = 0;
    drain(a->to[0]);
    drain(a->from[0]);
}

void actor_kill(struct actor *actor)
{
    kill(actor->pid, SIGKILL);
    reap(actor);
}

/* What /proc/PID/stat says behind the command: "" if there is no such
 * process. */
static const char *process_stat(pid_t pid, char *text, size_t size)
{
    char path[40];
    FILE *f;
    size_t n;
    const char *at;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    if (f == NULL) {
        return "";
    }
    n = fread(text, 1, size - 1, f);
    fclose(f);
    text[n] = '\0';
    at = strrchr(text, ')');
    return at == NULL || at[1] != ' ' ? "" : at + 2;
}

char scene_process_state(pid_t pid)
{
    char text[512];

    return *process_stat(pid, text, sizeof(text));
}

static bool is_stopped(void *argument)
{
    return scene_process_state(((struct actor *)argument)->pid) == 'T';
}

/* The state is the first thread's. While another thread is not gone yet (a
 * sanitizer has one of its own), the process is not dead: fields 3 and 20. */
static bool is_zombie(void *argument)
{
    char text[512];
    long threads = 0;
    const char *stat =
        process_stat(((struct actor *)argument)->pid, text, sizeof(text));

    sscanf(stat,
           "%*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
           "%*s %*s %*s %ld",
           &threads);
    return *stat == 'Z' && threads == 1;
}

/* Not every actor is our child, to be waited for. */
void actor_zombify(struct actor *actor)
{
    kill(actor->pid, SIGKILL);
    scene_await(is_zombie, actor, "a process to end");
}

static long act_end(struct actor *self, long unused)
{
    (void)self;
    (void)unused;
    _exit(0);
}

void actor_quit(struct actor *actor)
{
    actor_tell(actor, act_end, 0);
    reap(actor);
}

void actor_pause(struct actor *actor)
{
    kill(actor->pid, SIGSTOP);
    scene_await(is_stopped, actor, "a process to stop");
}

void actor_resume(struct actor *actor)
{
    kill(actor->pid, SIGCONT);
}

/* ----------------------------------------------------------------- scene */

static void remove_files(const struct scene *scene, int *count, bool remove)
{
    char path[300];
    const struct dirent *entry;
    size_t n = strlen(scene->instance);
    DIR *dir = opendir(DIRECTORY);

    *count = 0;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, "wm.", 3) == 0 &&
            strncmp(entry->d_name + 3, scene->instance, n) == 0 &&
            entry->d_name[3 + n] == '.') {
            ++*count;
            snprintf(path, sizeof(path), DIRECTORY "/%s", entry->d_name);
            if (remove) {
                unlink(path);
            }
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

int scene_files(const struct scene *scene)
{
    int count;

    remove_files(scene, &count, false);
    return count;
}

static int attach(struct scene *scene, uint32_t capacity)
{
    const struct wm_node_options options = {.size = sizeof(options),
                                            .instance = scene->instance,
                                            .capacity = capacity,
                                            .log_entries = 256};

    return wm_node_attach(&options, &scene->node);
}

int scene_setup_of(void **state, uint32_t capacity)
{
    static unsigned number;
    struct scene *scene = calloc(1, sizeof(*scene));
    struct board *boards =
        mmap(NULL, SCENE_ACTORS * sizeof(struct board), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    *state = scene;
    if (scene == NULL || boards == MAP_FAILED) {
        return -1;
    }
    /* The workers of a killed actor become our children. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    snprintf(scene->instance, sizeof(scene->instance), "test-%d-%u",
             (int)getpid(), number++);
    for (int i = 0; i < SCENE_ACTORS; i++) {
        scene->actor[i].scene = scene;
        scene->actor[i].board = &boards[i];
        if (pipe(scene->actor[i].to) != 0 || pipe(scene->actor[i].from) != 0) {
            return -1;
        }
    }
    return attach(scene, capacity);
}

int scene_setup(void **state)
{
    return scene_setup_of(state, 8);
}

int scene_teardown(void **state)
{
    struct scene *scene = *state;
    int count;

    for (int i = 0; i < SCENE_ACTORS; i++) {
        struct actor *a = &scene->actor[i];

        if (a->pid > 0) {
            kill(a->pid, SIGKILL);
        }
        close(a->to[0]);
        close(a->to[1]);
        close(a->from[0]);
        close(a->from[1]);
    }
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
    }
    if (scene->node != NULL) {
        wm_node_release(scene->node);
    }
    remove_files(scene, &count, true);
    munmap(scene->actor[0].board, SCENE_ACTORS * sizeof(struct board));
    free(scene);
    return 0;
}

void scene_recast(struct scene *scene, uint32_t capacity)
{
    assert_int_equal(wm_node_release(scene->node), 0);
    assert_int_equal(attach(scene, capacity), 0);
}

/* ------------------------------------------------------------------ acts */

static struct wm_worker *worker_of(struct actor *self)
{
    return wm_node_worker(self->scene->node);
}

long act_begin(struct actor *self, long unused)
{
    (void)unused;
    return wm_generation_begin(self->scene->node, &self->board->id,
                               &self->board->number);
}

long act_end_generation(struct actor *self, long generation)
{
    return wm_generation_abandon(self->scene->node, (uint64_t)generation);
}

static long join_as(struct actor *self, long generation, uint32_t role,
                    uint32_t overdue_ms)
{
    const struct wm_join_options options = {
        .size = sizeof(options), .role = role, .overdue_ms = overdue_ms};
    struct wm_worker *worker;

    return wm_worker_join(self->scene->node, (uint64_t)generation, &options,
                          &worker);
}

long act_join(struct actor *self, long generation)
{
    return join_as(self, generation, WM_ROLE_WORKER, SCENE_NEVER);
}

long act_join_helper(struct actor *self, long generation)
{
    return join_as(self, generation, WM_ROLE_HELPER, SCENE_NEVER);
}

long act_join_overdue_soon(struct actor *self, long generation)
{
    return join_as(self, generation, WM_ROLE_WORKER, 1);
}

long act_start(struct actor *self, long unused)
{
    (void)unused;
    return wm_worker_start(worker_of(self), &self->board->counts);
}

long act_exit(struct actor *self, long unused)
{
    (void)unused;
    return wm_worker_exit_counts(worker_of(self), &self->board->counts);
}

long act_drain(struct actor *self, long unused)
{
    (void)unused;
    return wm_worker_drain(worker_of(self));
}

long act_retire(struct actor *self, long generation)
{
    return wm_generation_close(self->scene->node, (uint64_t)generation);
}

long act_take(struct actor *self, long generation)
{
    return wm_generation_take_exit(self->scene->node, (uint64_t)generation,
                                   &self->board->number);
}

long act_leave(struct actor *self, long unused)
{
    (void)unused;
    return wm_worker_leave(worker_of(self));
}

long act_beat(struct actor *self, long unused)
{
    (void)unused;
    return wm_beat(worker_of(self));
}

long act_sweep(struct actor *self, long unused)
{
    (void)unused;
    return wm_sweep(self->scene->node, worker_of(self));
}

long act_take_event(struct actor *self, long kinds)
{
    return wm_event_take(self->scene->node, (uint32_t)kinds,
                         &self->board->event);
}

long act_lead(struct actor *self, long unused)
{
    (void)unused;
    return wm_leader_stand(worker_of(self), &self->board->leader);
}

long act_lock(struct actor *self, long wait_ms)
{
    const struct wm_lock_options options = {
        .size = sizeof(options), .purpose = 1, .wait_ms = (uint32_t)wait_ms};

    return wm_lock_acquire(self->scene->node, &options);
}

long act_unlock(struct actor *self, long unused)
{
    (void)unused;
    return wm_lock_release(self->scene->node);
}

long act_release(struct actor *self, long unused)
{
    (void)unused;
    return wm_node_release(self->scene->node);
}

struct actor *scene_worker(struct scene *scene, uint64_t generation)
{
    struct actor *a = scene_actor(scene);

    assert_int_equal(actor_do(a, act_join, (long)generation), 0);
    assert_int_equal(actor_do(a, act_start, 0), 0);
    return a;
}

struct actor *scene_only_worker(struct scene *scene, uint64_t *generation)
{
    scene_recast(scene, 1);
    *generation = scene_begin(scene);
    return scene_worker(scene, *generation);
}

struct wm_worker *scene_own_worker(struct scene *scene, uint64_t generation)
{
    const struct wm_join_options options = {.size = sizeof(options),
                                            .overdue_ms = SCENE_NEVER};
    struct wm_worker *worker;
    struct wm_counts counts;

    assert_int_equal(wm_worker_join(scene->node, generation, &options, &worker),
                     0);
    assert_int_equal(wm_worker_start(worker, &counts), 0);
    return worker;
}

int actor_shut_down(struct actor *actor, uint64_t generation, int *exits)
{
    assert_int_equal(actor_do(actor, act_exit, 0), 0);
    assert_int_equal(actor_do(actor, act_drain, 0), 0);
    actor_do(actor, act_retire, (long)generation);
    *exits = 0;
    while (actor_do(actor, act_take, (long)generation) == 1) {
        ++*exits;
    }
    return actor->board->counts.mine;
}

/* --------------------------------------------------------------- looking */

uint64_t scene_begin(struct scene *scene)
{
    uint64_t id = 0;

    assert_int_equal(wm_generation_begin(scene->node, &id, NULL), 0);
    return id;
}

enum wm_state scene_state(const struct scene *scene, pid_t pid)
{
    struct wm_worker_info list[64];
    uint32_t count = 0;

    assert_int_equal(wm_snapshot(scene->node, list, 64, &count), 0);
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].pid == pid) {
            return (enum wm_state)list[i].state;
        }
    }
    return WM_FREE;
}

void scene_stall(struct scene *scene, const struct actor *actor)
{
    const uint32_t pid = (uint32_t)actor->pid;
    struct wm_record *r = scene->node->segment.records;

    while (wm_word_pid(atomic_load(&r->word)) != pid) {
        r++;
    }
    atomic_store(&r->overdue_ms, 1);
    atomic_store(&r->word, wm_word(WM_LIVE, pid, 1));
    wm_sweep(scene->node, NULL);
    assert_int_equal(scene_state(scene, actor->pid), WM_STALLED);
    atomic_store(&r->overdue_ms, SCENE_NEVER);
}

struct wm_generation_info scene_generation(const struct scene *scene,
                                           uint64_t id)
{
    struct wm_generation_info list[256] = {{0}}, none = {0};
    uint32_t count = 0;

    wm_generations(scene->node, list, 256, &count);
    for (uint32_t i = 0; i < count && i < 256; i++) {
        if (list[i].id == id) {
            return list[i];
        }
    }
    return none;
}

uint32_t scene_take(struct scene *scene, uint32_t kinds, struct wm_event *event)
{
    struct wm_event any;

    if (event == NULL) {
        event = &any;
    }
    return wm_event_take(scene->node, kinds, event) == 1 ? event->kind : 0;
}
