/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A process is told what to call through a pipe and answers through another.
 * All pipes are made before the first fork, so that any process can fork
 * another. */

#include "processes.h"

#include <dirent.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define DIRECTORY "/dev/shm"

struct order {
    call_fn *function;
    uint64_t argument;
};

struct wm_node *node;
char test_instance[64];
uint64_t generation;
struct seen *shared;

static struct process processes[PROCESSES];
static uint32_t process_count;

/* --------------------------------------------------------------- processes */

static void serve(struct process *self)
{
    struct order order;

    self->pid = getpid();
    while (read(self->to[0], &order, sizeof(order)) == sizeof(order)) {
        long result = order.function(self, order.argument);

        if (write(self->from[1], &result, sizeof(result)) != sizeof(result)) {
            _exit(2);
        }
    }
    _exit(0);
}

/* One that has ended makes room for another. */
static struct process *spare_process(struct process *parent)
{
    struct process *p = processes;

    while (p < &processes[process_count] && p->pid != 0) {
        p++;
    }
    assert_true(p < &processes[PROCESSES]);
    process_count += p == &processes[process_count];
    p->parent = parent;
    memset(p->seen, 0, sizeof(*p->seen));
    p->seen->event.size = sizeof(p->seen->event);
    p->seen->leader.size = sizeof(p->seen->leader);
    return p;
}

struct process *new_process(void)
{
    struct process *p = spare_process(NULL);

    p->pid = fork_child();
    if (p->pid == 0) {
        /* Only its own writing end keeps a pipe of orders open. */
        for (int i = 0; i < PROCESSES; i++) {
            close(processes[i].to[1]);
        }
        serve(p);
    }
    return p;
}

void new_processes(struct process **p, int count)
{
    for (int i = 0; i < count; i++) {
        p[i] = new_process();
    }
}

/* A child of a process outlives it: it is a server's worker. */
static long do_fork(UNUSED struct process *self, uint64_t index)
{
    pid_t pid = fork();

    if (pid == 0) {
        serve(&processes[index]);
    }
    return pid;
}

struct process *process_fork(struct process *parent)
{
    struct process *p = spare_process(parent);

    p->pid = (pid_t)call(parent, do_fork, (uint64_t)(p - processes));
    assert_true(p->pid > 0);
    return p;
}

struct process *process_at(uint32_t index)
{
    return index < process_count ? &processes[index] : NULL;
}

void call_begin(struct process *p, call_fn *function, uint64_t argument)
{
    const struct order order = {function, argument};

    assert_int_equal(write(p->to[1], &order, sizeof(order)), sizeof(order));
}

long call_end(struct process *p)
{
    long result = 0;

    assert_int_equal(read(p->from[0], &result, sizeof(result)), sizeof(result));
    return result;
}

long call(struct process *p, call_fn *function, uint64_t argument)
{
    call_begin(p, function, argument);
    return call_end(p);
}

long call_all(struct process *const *p, int count, call_fn *function,
              uint64_t argument)
{
    long sum = 0;

    for (int i = 0; i < count; i++) {
        call_begin(p[i], function, argument);
    }
    for (int i = 0; i < count; i++) {
        long result = call_end(p[i]);

        assert_true(result >= 0);
        sum += result;
    }
    return sum;
}

static long do_reap(UNUSED struct process *self, uint64_t pid)
{
    return waitpid((pid_t)pid, NULL, 0) == (pid_t)pid ? 0 : -errno;
}

/* What a killed process did not read, or nobody has heard: not for the next. */
static void empty(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte[64];

    while (poll(&p, 1, 0) == 1 && read(fd, byte, sizeof(byte)) > 0) {
    }
}

static void reap(struct process *p)
{
    if (p->parent != NULL && p->parent->pid != 0) {
        assert_ok(call(p->parent, do_reap, (uint64_t)p->pid));
    } else {
        assert_int_equal(waitpid(p->pid, NULL, 0), p->pid);
    }
    p->pid = 0;
    empty(p->to[0]);
    empty(p->from[0]);
}

void process_kill(struct process *p)
{
    kill(p->pid, SIGKILL);
    reap(p);
}

static bool has_become_zombie(void *process)
{
    return is_zombie(((struct process *)process)->pid);
}

/* Not every process is our child, to be waited for. */
void process_zombify(struct process *p)
{
    kill(p->pid, SIGKILL);
    await(has_become_zombie, p, "a process to end");
}

static long do_end(UNUSED struct process *self, UNUSED uint64_t none)
{
    _exit(0);
}

void process_quit(struct process *p)
{
    call_begin(p, do_end, 0);
    reap(p);
}

static bool has_stopped(void *process)
{
    return process_state(((struct process *)process)->pid) == 'T';
}

void await_stop(struct process *p)
{
    await(has_stopped, p, "a process to stop");
}

void process_stop(struct process *p)
{
    kill(p->pid, SIGSTOP);
    await_stop(p);
}

void process_continue(struct process *p)
{
    kill(p->pid, SIGCONT);
}

/* -------------------------------------------------------------------- node */

/* Counts the files of this instance, and removes them. */
static int visit_files(bool remove_them)
{
    const struct dirent *entry;
    size_t n = strlen(test_instance);
    DIR *dir = opendir(DIRECTORY);
    char path[300];
    int count = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, "wm.", 3) == 0 &&
            strncmp(entry->d_name + 3, test_instance, n) == 0 &&
            entry->d_name[3 + n] == '.') {
            count++;
            snprintf(path, sizeof(path), DIRECTORY "/%s", entry->d_name);
            if (remove_them) {
                unlink(path);
            }
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return count;
}

int node_files(void)
{
    return visit_files(false);
}

int node_return(uint32_t capacity)
{
    const struct wm_node_options options = {.size = sizeof(options),
                                            .instance = test_instance,
                                            .capacity = capacity,
                                            .log_entries = 256};

    return wm_node_attach(&options, &node);
}

int node_set_up_with(uint32_t capacity)
{
    static unsigned number;
    struct seen *all =
        mmap(NULL, (PROCESSES + 1) * sizeof(*all), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (all == MAP_FAILED) {
        return -1;
    }
    /* The workers of a killed process become our children. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    snprintf(test_instance, sizeof(test_instance), "test-%d-%u", (int)getpid(),
             number++);
    generation = 0;
    process_count = 0;
    shared = &all[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        processes[i] = (struct process){.seen = &all[i]};
        if (pipe(processes[i].to) != 0 || pipe(processes[i].from) != 0) {
            return -1;
        }
    }
    return node_return(capacity);
}

int node_set_up(UNUSED void **state)
{
    return node_set_up_with(8);
}

int generation_set_up(UNUSED void **state)
{
    return node_set_up_with(8) != 0 ||
                   wm_generation_begin(node, &generation, NULL) != 0
               ? -1
               : 0;
}

int node_tear_down(UNUSED void **state)
{
    for (int i = 0; i < PROCESSES; i++) {
        struct process *p = &processes[i];

        if (p->pid > 0) {
            kill(p->pid, SIGKILL);
        }
        close(p->to[0]);
        close(p->to[1]);
        close(p->from[0]);
        close(p->from[1]);
    }
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
    }
    if (node != NULL) {
        wm_node_release(node);
        node = NULL;
    }
    visit_files(true);
    munmap(processes[0].seen, (PROCESSES + 1) * sizeof(*shared));
    return 0;
}

void node_give_up(void)
{
    assert_ok(wm_node_release(node));
    node = NULL;
}

void node_restart(uint32_t capacity)
{
    node_give_up();
    assert_ok(node_return(capacity));
    if (generation != 0) {
        generation = begin();
    }
}

/* -------------------------------------------------------- functions to call */

static struct wm_worker *own(void)
{
    return wm_node_worker(node);
}

static long join_as(uint64_t id, uint32_t role, uint32_t overdue_ms)
{
    const struct wm_join_options options = {
        .size = sizeof(options), .role = role, .overdue_ms = overdue_ms};
    struct wm_worker *worker;

    return wm_worker_join(node, id, &options, &worker);
}

static long lock_within(uint32_t wait_ms)
{
    const struct wm_lock_options options = {
        .size = sizeof(options), .purpose = 1, .wait_ms = wait_ms};

    return wm_lock_acquire(node, &options);
}

#define CALL(name, expression)                                                 \
    long do_##name(UNUSED struct process *self, UNUSED uint64_t argument)      \
    {                                                                          \
        return expression;                                                     \
    }

CALL(begin, wm_generation_begin(node, &self->seen->id, &self->seen->number))
CALL(abandon, wm_generation_abandon(node, argument))
CALL(join, join_as(argument, WM_ROLE_WORKER, NEVER_OVERDUE))
CALL(join_helper, join_as(argument, WM_ROLE_HELPER, NEVER_OVERDUE))
CALL(join_overdue, join_as(argument, WM_ROLE_WORKER, 1))
CALL(start, wm_worker_start(own(), &self->seen->counts))
CALL(exit, wm_worker_exit_counts(own(), &self->seen->counts))
CALL(drain, wm_worker_drain(own()))
CALL(close, wm_generation_close(node, argument))
CALL(take_exit, wm_generation_take_exit(node, argument, &self->seen->number))
CALL(leave, wm_worker_leave(own()))
CALL(beat, wm_beat(own()))
CALL(sweep, wm_sweep(node, own()))
CALL(take_event, wm_event_take(node, (uint32_t)argument, &self->seen->event))
CALL(stand, wm_leader_stand(own(), &self->seen->leader))
CALL(lock, lock_within((uint32_t)argument))
CALL(try, wm_lock_try(node, 2, (int)argument))
CALL(unlock, wm_lock_release(node))
CALL(release, wm_node_release(node))

long do_attach(struct process *self, uint64_t capacity)
{
    long error = node_return((uint32_t)capacity);

    return error != 0 ? error : do_begin(self, 0);
}

long do_live(struct process *self, uint64_t capacity)
{
    long error = do_attach(self, capacity);

    if (error == 0) {
        error = do_join(self, self->seen->id);
    }
    return error != 0 ? error : do_start(self, 0);
}

/* ----------------------------------------------------------------- workers */

static struct process *start(struct process *p, call_fn *join, uint64_t id)
{
    assert_ok(call(p, join, id));
    assert_ok(call(p, do_start, 0));
    return p;
}

struct process *new_worker(uint64_t id)
{
    return start(new_process(), do_join, id);
}

struct process *new_worker_of(struct process *master, uint64_t id)
{
    return start(process_fork(master), do_join, id);
}

struct process *new_helper(uint64_t id)
{
    return start(new_process(), do_join_helper, id);
}

struct process *new_only_worker(void)
{
    node_restart(1);
    return new_worker(generation);
}

struct wm_worker *own_worker(uint64_t id)
{
    struct wm_counts counts;

    assert_ok(join_as(id, WM_ROLE_WORKER, NEVER_OVERDUE));
    assert_ok(wm_worker_start(own(), &counts));
    return own();
}

int shut_down(struct process *p, uint64_t id, int *exits)
{
    assert_ok(call(p, do_exit, 0));
    assert_ok(call(p, do_drain, 0));
    call(p, do_close, id);
    *exits = 0;
    while (call(p, do_take_exit, id) == 1) {
        ++*exits;
    }
    return p->seen->counts.mine;
}

void shut_down_last(struct process *p, uint64_t id)
{
    int exits;

    assert_int_equal(shut_down(p, id, &exits), 1);
    assert_int_equal(exits, 1);
}

void close_untaken(struct process *p, uint64_t id)
{
    assert_ok(call(p, do_drain, 0));
    assert_int_equal(call(p, do_close, id), WM_CLOSED);
}

void process_depart(struct process *p)
{
    assert_ok(call(p, do_leave, 0));
    process_quit(p);
}

void process_leave(struct process *p)
{
    assert_ok(call(p, do_drain, 0));
    process_depart(p);
}

/* ----------------------------------------------------------------- looking */

uint64_t begin(void)
{
    uint64_t id = 0;

    assert_ok(wm_generation_begin(node, &id, NULL));
    return id;
}

enum wm_state state_of(pid_t pid)
{
    struct wm_worker_info list[64];
    uint32_t count = 0;

    assert_ok(wm_snapshot(node, list, sizeof(*list), COUNT(list), &count));
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].pid == pid) {
            return (enum wm_state)list[i].state;
        }
    }
    return WM_FREE;
}

struct wm_generation_info generation_of(uint64_t id)
{
    struct wm_generation_info list[256] = {{0}}, none = {0};
    uint32_t count = 0;

    wm_generations(node, list, sizeof(*list), COUNT(list), &count);
    for (uint32_t i = 0; i < count && i < COUNT(list); i++) {
        if (list[i].id == id) {
            return list[i];
        }
    }
    return none;
}

void assert_generation(uint64_t id, enum wm_generation_state state,
                       uint32_t spell)
{
    assert_int_equal(generation_of(id).state, state);
    assert_int_equal(generation_of(id).spell, spell);
}

int sweep(void)
{
    return wm_sweep(node, NULL);
}

struct wm_event take(uint32_t kinds)
{
    struct wm_event event = {.size = sizeof(event)};

    assert_int_equal(wm_event_take(node, kinds, &event), 1);
    return event;
}

void assert_none_to_take(uint32_t kinds)
{
    struct wm_event event = {.size = sizeof(event)};

    assert_int_equal(wm_event_take(node, kinds, &event), 0);
}

struct wm_node *open_reader(void)
{
    struct wm_node *reader = NULL;

    assert_ok(wm_node_open(test_instance, NULL, &reader));
    return reader;
}
