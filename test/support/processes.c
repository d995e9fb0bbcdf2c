/* SPDX-License-Identifier: Apache-2.0 */

/* A process is told what to call through a pair of sockets, and answers there.
 * All pairs are made before the first fork: any process can fork another. */

#include "processes.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

struct order {
    call_fn *function;
    uint64_t argument;
};

struct wm_node *node;
char test_instance[64];
uint64_t generation;
struct seen *shared;

struct process processes[PROCESSES];

static void serve(struct process *self)
{
    struct order order;

    self->pid = getpid();
    while (read(self->its, &order, sizeof(order)) == sizeof(order)) {
        long result = order.function(self, order.argument);

        if (write(self->its, &result, sizeof(result)) != sizeof(result)) {
            _exit(2);
        }
    }
    _exit(0);
}

/* One that has ended makes room for another. */
static struct process *spare_process(struct process *parent)
{
    struct process *p = processes;

    while (p->pid != 0) {
        p++;
        assert_true(p < &processes[PROCESSES]);
    }
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
        /* Those that serve end with the test: it alone has these ends. */
        for (int i = 0; i < PROCESSES; i++) {
            close(processes[i].ours);
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

void call_begin(struct process *p, call_fn *function, uint64_t argument)
{
    const struct order order = {function, argument};

    assert_int_equal(write(p->ours, &order, sizeof(order)), sizeof(order));
}

long call_end(struct process *p)
{
    long result = 0;

    assert_int_equal(read(p->ours, &result, sizeof(result)), sizeof(result));
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

CALL_OF(do_reap, waitpid((pid_t)argument, NULL, 0) > 0 ? 0 : -errno)

static void reap(struct process *p)
{
    char byte;

    if (p->parent != NULL && p->parent->pid != 0) {
        assert_ok(call(p->parent, do_reap, (uint64_t)p->pid));
    } else {
        assert_int_equal(waitpid(p->pid, NULL, 0), p->pid);
    }
    p->pid = 0;
    /* A command or an answer that nobody has read is not for the next. */
    while (recv(p->its, &byte, sizeof(byte), MSG_DONTWAIT) > 0 ||
           recv(p->ours, &byte, sizeof(byte), MSG_DONTWAIT) > 0) {
    }
}

void process_kill(struct process *p)
{
    kill(p->pid, SIGKILL);
    reap(p);
}

void process_zombify(struct process *p)
{
    kill_unreaped(p->pid);
}

CALL_OF(do_end, (_exit(0), 0))

void process_quit(struct process *p)
{
    call_begin(p, do_end, 0);
    reap(p);
}

void await_stop(struct process *p)
{
    await(process_state(p->pid) == 'T');
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

static int visit_files(bool remove_them)
{
    char pattern[100];

    snprintf(pattern, sizeof(pattern), "/dev/shm/wm.%s.*", test_instance);
    return files_matching(pattern, remove_them);
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

    assert_true(all != MAP_FAILED);
    /* The workers of a killed process become our children. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    snprintf(test_instance, sizeof(test_instance), "test-%d-%u", (int)getpid(),
             number++);
    generation = 0;
    shared = &all[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        int ends[2];

        assert_ok(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
        processes[i] =
            (struct process){.seen = &all[i], .ours = ends[0], .its = ends[1]};
    }
    return node_return(capacity);
}

int node_set_up(UNUSED void **state)
{
    return node_set_up_with(8);
}

int generation_set_up(void **state)
{
    assert_ok(node_set_up(state));
    generation = begin();
    return 0;
}

int node_tear_down(UNUSED void **state)
{
    for (int i = 0; i < PROCESSES; i++) {
        if (processes[i].pid > 0) {
            kill(processes[i].pid, SIGKILL);
        }
        close(processes[i].ours);
        close(processes[i].its);
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
