/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A node under a name of its own, and processes that act in it one step at a
 * time, each when it is told: what interleaves is for the test to say.
 *
 * The test's own process is the master unless an actor forks the others.
 * Everything ends with the test: actors are killed, segments unlinked. */

#ifndef SCENE_H
#define SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wm.h"

#include <stdbool.h>
#include <sys/types.h>

#define SCENE_ACTORS 24

/* Never overdue, ms: also with a beat set back to when the machine booted. */
#define SCENE_NEVER UINT32_MAX

/* What an actor found, in memory that the test shares with it. */
struct board {
    struct wm_counts counts;
    struct wm_event event;
    struct wm_leader leader;
    uint64_t id;
    uint32_t number;
};

struct actor {
    struct scene *scene;
    struct actor *parent; /* NULL: the test's own process */
    struct board *board;
    pid_t pid; /* 0: none, or ended */
    int to[2];
    int from[2];
};

struct scene {
    struct wm_node *node;
    char instance[64];
    uint32_t actors;
    struct actor actor[SCENE_ACTORS];
};

/* CMocka's setup and teardown; *state is the scene, of capacity 8. */
int scene_setup(void **state);
int scene_setup_of(void **state, uint32_t capacity);
int scene_teardown(void **state);

#define SCENE_TEST(name)                                                       \
    cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

/* The same with another capacity: to be called first in a test. */
void scene_recast(struct scene *scene, uint32_t capacity);

/* How many files of this instance lie in the directory of segments. */
int scene_files(const struct scene *scene);

/* A process forked by the test, or by an actor. */
struct actor *scene_actor(struct scene *scene);
struct actor *actor_fork(struct actor *parent);

/* Has the actor call act(node, argument) and returns what that returned. */
typedef long act_fn(struct actor *self, long argument);
long actor_do(struct actor *actor, act_fn *act, long argument);

/* The same in two steps: the actor is at work between them. */
void actor_tell(struct actor *actor, act_fn *act, long argument);
long actor_hear(struct actor *actor);

/* Kills it and has it reaped. */
void actor_kill(struct actor *actor);
/* Kills it and leaves it a zombie. */
void actor_zombify(struct actor *actor);
/* Lets it end by itself, and has it reaped. */
void actor_quit(struct actor *actor);
/* Stops and continues it. */
void actor_pause(struct actor *actor);
void actor_resume(struct actor *actor);

/* Acts. Those with counts leave them on the board. */
long act_begin(struct actor *self, long unused); /* board->id */
long act_end_generation(struct actor *self, long generation);
long act_join(struct actor *self, long generation);
long act_join_helper(struct actor *self, long generation);
long act_join_overdue_soon(struct actor *self, long generation);
long act_start(struct actor *self, long unused); /* counts */
long act_exit(struct actor *self, long unused);  /* counts */
long act_drain(struct actor *self, long unused);
long act_retire(struct actor *self, long generation);
long act_take(struct actor *self, long generation); /* number: spell */
long act_leave(struct actor *self, long unused);
long act_beat(struct actor *self, long unused);
long act_sweep(struct actor *self, long unused);
long act_take_event(struct actor *self, long kinds); /* event */
long act_lead(struct actor *self, long unused);      /* leader */
long act_lock(struct actor *self, long wait_ms);
long act_unlock(struct actor *self, long unused);
long act_release(struct actor *self, long unused);

/* Joins and starts: a live worker. */
struct actor *scene_worker(struct scene *scene, uint64_t generation);

/* The same in a table of one record, of a generation begun for it: to be called
 * first in a test. */
struct actor *scene_only_worker(struct scene *scene, uint64_t *generation);

/* A live worker of the test's own process, never overdue. */
struct wm_worker *scene_own_worker(struct scene *scene, uint64_t generation);

/* Exit, drain, retire: returns n_mine, and *exits how many ends it took. */
int actor_shut_down(struct actor *actor, uint64_t generation, int *exits);

/* A generation of this process. */
uint64_t scene_begin(struct scene *scene);

/* The state of the worker with this pid, WM_FREE if it has no record. */
enum wm_state scene_state(const struct scene *scene, pid_t pid);

struct wm_generation_info scene_generation(const struct scene *scene,
                                           uint64_t id);

/* Sets its beat back, and has a sweep mark it as stalled. */
void scene_stall(struct scene *scene, const struct actor *actor);

/* Takes one event of these kinds here: its kind, or 0. */
uint32_t scene_take(struct scene *scene, uint32_t kinds,
                    struct wm_event *event);

/* R, S, T, t, Z or another, as proc(5) has it; 0: there is no such process. */
char scene_process_state(pid_t pid);

/* Ends the test if condition() is not true within some 20 s. */
void scene_await(bool (*condition)(void *), void *argument, const char *what);

#endif
