/* SPDX-License-Identifier: Apache-2.0 */

/* A node under a name of its own, and processes that call the library one step
 * at a time, each when it is told: what interleaves is for the test to say.
 *
 * The test's own process is the master unless a process forks the others. All
 * ends with the test: processes are killed, segments unlinked. */

#pragma once

#include "test.h"

#include "node.h"

#define PROCESSES 24

/* Never overdue, ms: also with a beat set back to when the machine booted. */
#define NEVER_OVERDUE UINT32_MAX

/* Kinds of events, as masks. */
#define MASTER_EXIT (1u << WM_EVENT_MASTER_EXIT)
#define CRASHED (1u << WM_EVENT_CRASHED)
#define STALLED (1u << WM_EVENT_STALLED)

/* A process's findings, in memory that it shares with the test. */
struct seen {
    struct wm_counts counts;
    struct wm_event event;
    struct wm_leader leader;
    uint64_t id;
    uint32_t number;
};

struct process {
    struct process *parent; /* NULL: the test's own process */
    struct seen *seen;
    pid_t pid; /* 0: none, or ended */
    int ours;  /* where the test tells it what to call, and hears the result */
    int its;   /* the other end */
};

extern struct process processes[PROCESSES];
extern struct wm_node *node;   /* also in each process */
extern char test_instance[64]; /* its name */
extern uint64_t generation;    /* that the fixture has begun */
extern struct seen *shared;    /* by all processes of the test */

/* CMocka's setup and teardown: a node of capacity 8. */
int node_set_up(void **state);
int node_set_up_with(uint32_t capacity);
int node_tear_down(void **state);
/* The same with a generation that this process has begun. */
int generation_set_up(void **state);

#define EMPTY_NODE_TEST(name) TEST_WITH(node_set_up, node_tear_down, name)
#define NODE_TEST(name) TEST_WITH(generation_set_up, node_tear_down, name)
#define NODE_TEST_EACH(rows, test)                                             \
    TEST_EACH(generation_set_up, node_tear_down, rows, test)

/* A fresh node with another capacity; with a generation if there was one. */
void node_restart(uint32_t capacity);
/* This process takes part no more: a child makes a life of its own. */
void node_give_up(void);
/* And again: of a node of that capacity, if there is none. */
int node_return(uint32_t capacity);
int node_files(void); /* that the instance has */

/* A process forked by the test, or by another one. */
struct process *new_process(void);
void new_processes(struct process **p, int count);
struct process *process_fork(struct process *parent);

/* Has the process call function(itself, argument), and returns its result. */
typedef long call_fn(struct process *self, uint64_t argument);
long call(struct process *p, call_fn *function, uint64_t argument);
/* Such a function, of one expression; and a static one. */
#define CALL(name, expression)                                                 \
    long name(UNUSED struct process *self, UNUSED uint64_t argument)           \
    {                                                                          \
        return expression;                                                     \
    }
#define CALL_OF static CALL

/* The same in two steps: the process is at work between them. */
void call_begin(struct process *p, call_fn *function, uint64_t argument);
long call_end(struct process *p);
/* All at once: the sum of what they returned, none of which is negative. */
long call_all(struct process *const *p, int count, call_fn *function,
              uint64_t argument);

void process_kill(struct process *p);    /* and has it reaped */
void process_zombify(struct process *p); /* the test's own child; leaves it */
void process_quit(struct process *p);    /* it ends by itself */
void process_stop(struct process *p);
void process_continue(struct process *p);
void await_stop(struct process *p); /* that it stops by itself */

/* Functions to call, and what they fill in of what the process has seen. */
call_fn do_begin;       /* id, number: the reason */
call_fn do_abandon;     /* of a generation */
call_fn do_join;        /* a generation; never overdue */
call_fn do_join_helper; /* the same as a helper */
call_fn do_start;       /* counts */
call_fn do_exit;        /* counts */
call_fn do_drain, do_leave, do_beat, do_sweep;
call_fn do_close;      /* a generation */
call_fn do_take_exit;  /* of a generation; number: the spell */
call_fn do_take_event; /* of these kinds; event */
call_fn do_stand;      /* leader */
call_fn do_lock;       /* waits for so many ms, 0: for ever */
call_fn do_try;        /* the lock; 1: queues */
call_fn do_unlock;
call_fn do_release; /* the node */
call_fn do_attach;  /* a node of that capacity, which begins; id */
call_fn do_live;    /* the same, and joins and starts */

/* This process joins, or takes the lock, with these options. */
#define join_with(id, ...)                                                     \
    wm_worker_join(node, id,                                                   \
                   &(struct wm_join_options){                                  \
                       .size = sizeof(struct wm_join_options), __VA_ARGS__},   \
                   &(struct wm_worker *){NULL})
#define lock_with(...)                                                         \
    wm_lock_acquire(node,                                                      \
                    &(struct wm_lock_options){                                 \
                        .size = sizeof(struct wm_lock_options), __VA_ARGS__})

/* Joins and starts in a new process: a live worker. */
struct process *new_worker(uint64_t id);
struct process *new_worker_of(struct process *master, uint64_t id);
struct process *new_only_worker(void); /* in a fresh table of one record */
struct process *new_helper(uint64_t id);
struct wm_worker *own_worker(uint64_t id); /* the test's own process */

/* Exit, drain, close, taking: returns n_mine; *exits: how many ends it took. */
int shut_down(struct process *p, uint64_t id, int *exits);
void shut_down_last(struct process *p, uint64_t id); /* it takes an end */
void close_untaken(struct process *p, uint64_t id);  /* the end stays owed */
void process_depart(struct process *p);              /* leaves and ends */
void process_leave(struct process *p);               /* drains before that */

uint64_t begin(void); /* of a generation, by this process */
int sweep(void);      /* without a worker */
struct wm_node *open_reader(void);

/* The state of the worker with this pid, WM_FREE if it has no record. */
enum wm_state state_of(pid_t pid);
struct wm_generation_info generation_of(uint64_t id);
struct wm_counts counts_of(uint64_t id);
struct wm_leader leader_now(void);
void assert_generation(uint64_t id, enum wm_generation_state state,
                       uint32_t spell);

/* Takes an event of these kinds, which must be there; asserts that none is. */
struct wm_event take(uint32_t kinds);
void assert_none_to_take(uint32_t kinds);

/* 0 if nothing can be changed through this handle; id: a generation. */
int check_refused(struct wm_node *n, uint64_t id, int why);
