/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* libwm: which workers of a multi-process server are running, in which
 * generation, and how each one ended.
 *
 * Terms.
 *
 *   node        one server: a master and the workers that it forks, over all
 *               reloads and upgrades of the binary. Its state lies in a
 *               segment of shared memory.
 *   instance    the name of a server; each of its lives is a node of its own.
 *   generation  one life of the configuration: a start, a reload, an upgrade.
 *               It has a number, its id, which counts up over the node's life.
 *   spell       the time in which a generation has workers without a break. If
 *               all its workers end and a later one joins, a new spell begins.
 *   worker      a process that has joined a generation.
 *   helper      a worker that is visible, but counted nowhere.
 *   slot        the number of a worker's record, 0 to capacity - 1.
 *   join        the number of one joining, unique in the node's life.
 *   beat        a sign of life, which a worker gives of itself.
 *   sweep       a look at all records, which marks the dead and the overdue.
 *   event       what is given to a callback. An event is owed until a process
 *               takes it; that process then gives it to its callback.
 *   lead, term  one worker of the node leads; each lead has a term of its own.
 *   epoch       a number that is another after each change in the node.
 *
 * The usual flow:
 *
 *     master                              worker (after fork)
 *     wm_node_attach                      wm_worker_join
 *     wm_generation_begin                 wm_start_run
 *     fork ...                            wm_beat ... wm_tick ...
 *                                         wm_events_give ...
 *                                         wm_exit_run
 *     wm_generation_abandon               wm_worker_leave
 *     wm_node_release                     wm_node_release
 *
 * Results. A function returns 0 on success, a negative errno on failure, or,
 * where the caller must know more, a condition (enum wm_condition), which is
 * positive and larger than any count. These return something else:
 *
 *   yes or no (1, 0)  wm_worker_has_record, wm_worker_recovery_take
 *   1, 0 or an error  wm_event_take, wm_generation_take_exit, wm_start_next,
 *                     wm_exit_next, wm_leader_stand
 *   a count, or 0     wm_sweep, wm_events_owed, wm_events_give, wm_wake,
 *                     wm_worker_recoveries
 *   a value           wm_version, wm_now, wm_epoch, wm_worker_slot,
 *                     wm_worker_generation, wm_worker_spell
 *
 * wm_strerror() has a sentence for each error and condition. Times are
 * milliseconds of CLOCK_MONOTONIC unless a name says otherwise.
 *
 * Two errors are the same everywhere. -EROFS: the handle is wm_node_open()'s,
 * which reads only. -EUCLEAN: a broken process has written over the head of the
 * segment, and nothing that lies there is believed any more; restart the
 * server. A function that changes something returns them, and changes nothing;
 * one that returns a count returns 0. Two kinds of function do not check for
 * -EUCLEAN: a heartbeat, which touches the worker's own record alone, and what
 * gives something back (wm_worker_leave, wm_lock_release, wm_node_release). A
 * function that only looks works with either kind of handle, and tells what
 * lies there.
 *
 * Sizes. A struct that a caller fills in or has filled in carries its own size
 * in `size`, and a list has the size of its elements as an argument: set it to
 * sizeof. So a program goes on working with a later library whose structs are
 * longer. A size is at least the first version's, and at most 4,096 (-EINVAL).
 * Of a struct that is read, what a shorter one lacks has its default; what a
 * longer one has beyond the library's must be 0 (-E2BIG). Of a struct that is
 * filled in, the library fills in what fits, and 0 beyond what it knows. A
 * field that is called `reserved` must be 0. struct wm_counts and struct
 * wm_lock_hold do not grow; struct wm_node_entry, which the library hands out,
 * grows at its end.
 *
 * Processes. A handle belongs to the process that made it. A child inherits
 * its parent's handles: the node's stays good, the worker's does not (the
 * record is its parent's). pthread_atfork keeps that straight; children made
 * in another way than fork() must not use inherited handles.
 *
 * Caller. Any process that has attached may call, unless a function says whose
 * act it is. A handle must not be NULL; a build without NDEBUG says which
 * function was given one, and aborts.
 *
 * Threads. Functions that take a `const struct wm_node *` may be called by
 * any thread at any time, those of a `const struct wm_worker *` once it has
 * joined, and so may wm_beat(), wm_beat_at(), wm_lock_hold_note(), wm_now(),
 * wm_version(), wm_strerror(). The others change the handle: one thread at a
 * time for each node. None may be called after the release that ends the
 * handle.
 *
 * Signals. wm_beat(), wm_beat_at(), wm_now(), wm_worker_has_record() and
 * wm_strerror() are async-signal-safe, the rest are not.
 *
 * Progress classes named below: *wait-free* (a bounded number of steps,
 * whatever others do), *lock-free* (some caller always finishes), *blocking*.
 *
 * What may run against what, over all threads and processes of a node: `yes`
 * for any two, `others'` for acts of different workers.
 *
 *                       1    2        3    4    5    6
 *   1 beats             yes  yes      yes  yes  yes  yes
 *   2 a worker's acts   yes  others'  yes  yes  yes  yes
 *   3 sweep, events     yes  yes      yes  yes  yes  yes
 *   4 generation acts   yes  yes      yes  yes  yes  yes
 *   5 looks             yes  yes      yes  yes  yes  yes
 *   6 lock, leader      yes  yes      yes  yes  yes  yes
 *
 * A worker's acts are join, start, exit, drain and leave; beats may run beside
 * them from when the join has returned.
 *
 * protocol.md, beside the library's sources, argues why. */

#ifndef WM_H
#define WM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WM_VERSION_MAJOR 1
#define WM_VERSION_MINOR 0

/* Conditions: what a successful call tells beside success. No count that this
 * library returns comes near them. */
enum wm_condition {
    /* wm_lock_acquire, wm_lock_try: taken over from a dead holder; wm_beat: the
     * worker had been marked stalled. */
    WM_RECOVERED = 0x40000001,
    /* wm_generation_begin: this process is a worker, and nothing has begun. */
    WM_IS_WORKER,
    /* wm_generation_close, wm_generation_abandon: this call did it. */
    WM_CLOSED,
    /* What was read kept changing, or still does. */
    WM_UNSETTLED
};

struct wm_node;
struct wm_worker;

/* Of a worker's record. */
enum wm_state {
    WM_FREE,
    WM_CLAIMED,
    WM_JOINING,
    WM_LIVE,
    WM_STALLED,
    WM_DRAINING,
    WM_CRASHED
};

/* Of a generation: BEGUN has no worker yet, EXITED none any more, ABORTED never
 * had one. */
enum wm_generation_state {
    WM_GENERATION_NONE,
    WM_GENERATION_CLAIMED,
    WM_GENERATION_BEGUN,
    WM_GENERATION_ACTIVE,
    WM_GENERATION_EXITED,
    WM_GENERATION_ABORTED
};

/* What a worker is there for. */
enum wm_role {
    WM_ROLE_WORKER,
    WM_ROLE_HELPER /* visible, but counted nowhere */
};

/* Why something begins or ends. */
enum wm_reason {
    WM_REASON_NONE,
    WM_REASON_START,
    WM_REASON_RELOAD,
    WM_REASON_UPGRADE,
    WM_REASON_RESPAWN,
    WM_REASON_ROLLBACK,
    WM_REASON_STOP,
    WM_REASON_CRASH
};

/* The library's version, `major << 16 | minor`. Wait-free. */
uint32_t wm_version(void);

/* A sentence for a result of this library. The string is constant.
 * error: what a function returned, negative or positive. Wait-free. */
const char *wm_strerror(int error);

/* ------------------------------------------------------------------ node */

/* Take over the node whose descriptor the former binary left open. */
#define WM_NODE_ADOPT 1u
/* Where no file can be made in the directory, use anonymous memory. */
#define WM_NODE_ANONYMOUS 2u

/* What wm_node_attach() makes or takes over. */
struct wm_node_options {
    uint32_t size;         /* sizeof(struct wm_node_options) */
    uint32_t flags;        /* WM_NODE_* */
    const char *instance;  /* 1 to 63 of [A-Za-z0-9_.-], not first a dot */
    const char *directory; /* NULL: /dev/shm */
    uint32_t capacity;     /* workers, 1 to 65,535; 0: 1,024 */
    uint32_t mode;         /* of the file; 0: 0600 */
    uint32_t log_entries;  /* of the event log, to 1,048,576; 0: 1,024 */
    uint32_t reserved;     /* 0 */
};

/* What the dead segments of earlier lives of the same instance told, when this
 * process attached. They are gone by now, all but foreign ones. */
struct wm_postmortem {
    uint32_t size;       /* in: sizeof(struct wm_postmortem) */
    uint32_t segments;   /* how many there were */
    uint32_t workers;    /* had not left, and whose end was given to nobody */
    uint32_t exits_owed; /* generations whose end was given to nobody */
    uint32_t damaged;    /* files of that name that are no segments */
    uint32_t foreign;    /* another user's, left alone */
    int32_t pid;         /* of one of those workers, 0 if none */
    uint32_t reserved;
    uint64_t generation; /* the newest */
};

/* What wm_node_describe() tells. */
struct wm_node_info {
    uint32_t size; /* in: sizeof(struct wm_node_info) */
    uint32_t capacity;
    const char *instance;
    const char *name;    /* of the file in its directory, "" if anonymous */
    int32_t anonymous;   /* 0, or the errno that forbade a file */
    int32_t not_adopted; /* 0, or the errno that forbade WM_NODE_ADOPT */
    uint32_t adopted;    /* 1: came with the binary upgrade */
    uint32_t read_only;  /* 1: opened with wm_node_open */
    uint64_t generation; /* number of the newest, 0 if there is none yet */
    uint64_t dropped;    /* draining or crashed ones that made room */
    uint64_t exits_lost; /* ends owed whose record was needed */
};

/* Takes part in a node. Finds the one of this instance that this process takes
 * part in already (itself, or through the parent that forked it); else, with
 * WM_NODE_ADOPT, the one whose descriptor was inherited over exec; else makes
 * a new one, and tidies up what dead ones of the same instance and owner left
 * behind.
 * options: see there; those of a node that was found are ignored. node: out.
 * Returns 0; -EINVAL for bad options; -ENOMEM; -ENOSPC where the directory is
 * full; what open(2) said of the directory. Where the inherited node cannot be
 * used, say for another ABI, a new one is made, and wm_node_describe() tells.
 * To be called by the master, before it forks. Each attach wants one
 * wm_node_release. Blocking (file system). */
int wm_node_attach(const struct wm_node_options *options,
                   struct wm_node **node);

/* Opens a segment for reading, without taking part: nothing that a reader does
 * is seen by the node.
 * name: of the file, or of the instance: then a live segment is opened if there
 * is one. directory: NULL for /dev/shm. node: out; it serves all functions
 * that take a `const struct wm_node *`.
 * Returns 0; -EINVAL; -ENOENT; -EACCES: may not be read; -EPERM: neither the
 * caller's nor root's; -ENOTSUP: more users may write to it than when it was
 * made; -EBADMSG: no segment; -ENODATA: cut short; -EPROTO: another ABI;
 * -EUCLEAN: damaged; -EXDEV: its pids are of another pid namespace; -ENOMEM;
 * -EMFILE. Any process. Blocking (file system). */
int wm_node_open(const char *name, const char *directory,
                 struct wm_node **node);

/* A segment in a directory. */
struct wm_node_entry {
    const char *name; /* of the file; wm_node_open takes it */
    int32_t live;     /* 1: somebody takes part; 0: nobody, or see error */
    int32_t error;    /* 0, or why it cannot be told, a negative errno: what
                         open(2) said; -EBADMSG: a symbolic link */
};

/* The function that wm_node_list() calls for a segment. */
typedef void wm_node_entry_fn(const struct wm_node_entry *entry,
                              void *argument);

/* Tells of each segment of an instance, NULL for all, in no order.
 * directory: NULL for /dev/shm. tell: called for each; what it is given lives
 * until it returns. argument: handed on.
 * Returns 0, or what opendir(3) said. Any process. Blocking (file system). */
int wm_node_list(const char *instance, const char *directory,
                 wm_node_entry_fn *tell, void *argument);

/* Unlinks a segment that nobody takes part in, told or untold.
 * name: of its file. directory: NULL for /dev/shm.
 * Returns 0; -EBUSY: somebody takes part; -EPERM: another user's, and the
 * caller is not root; -EINVAL: no name of a segment; -EBADMSG: a symbolic link;
 * -ENOENT; -EACCES; what unlink(2) said. Any process. Blocking (file
 * system). */
int wm_node_unlink(const char *name, const char *directory);

/* Gives back one attach or open. With the last one the handle is dead, this
 * process takes part no more, and the segment is unlinked if nobody else takes
 * part and there is nothing to tell: no generation with workers, no end and no
 * crash that is owed. A worker record or the lock that this process still has
 * is given back first. A forked child has its parent's count and gives it back
 * for itself.
 * Returns 0. Blocking (file system). */
int wm_node_release(struct wm_node *node);

/* Facts of a node.
 * info: size in, the rest out; the strings live as long as the handle.
 * Returns 0; -EINVAL: the size. Wait-free. */
int wm_node_describe(const struct wm_node *node, struct wm_node_info *info);

/* What dead segments told when this process attached; nothing where it opened
 * the node, inherited it or adopted it.
 * postmortem: size in, the rest out.
 * Returns 0; -EINVAL: the size. Wait-free. */
int wm_node_postmortem(const struct wm_node *node,
                       struct wm_postmortem *postmortem);

/* ------------------------------------------------------------ generation */

/* Begins a generation in the calling process, its master.
 * id: out, counts up from 1 over the node's life, seldom skipping. reason:
 * out, WM_REASON_START, _RELOAD or _UPGRADE; may be NULL.
 * Returns 0; WM_IS_WORKER where the process is a worker itself (id is then its
 * own generation's, reason WM_REASON_NONE, and nothing has begun); -ENOBUFS:
 * every record is that of a generation with workers; -EROFS; -EUCLEAN.
 * Lock-free; asks the kernel about masters. */
int wm_generation_begin(struct wm_node *node, uint64_t *id, uint32_t *reason);

/* Says that the configuration of a generation is gone from this process. If no
 * worker can come of it any more, the generation is aborted, as if it had never
 * been: this process began it last, has not forked since, and none has joined.
 * In every other case nothing happens here; a sweep aborts a generation without
 * workers once a newer one of the same master has one.
 * Returns WM_CLOSED if it was aborted; 0 if not; -EROFS; -EUCLEAN.
 * Lock-free. */
int wm_generation_abandon(struct wm_node *node, uint64_t id);

/* Closes a generation that nobody is left of: one without a worker that is
 * joining, live, or stalled with its process alive. To be called under the
 * lock by a worker that has drained.
 * Returns WM_CLOSED if this call closed it: its end is then owed, see
 * wm_generation_take_exit; 0 if it has workers, was closed before, or is
 * forgotten; -EROFS. Lock-free; asks the kernel about workers that seem to be
 * there. */
int wm_generation_close(struct wm_node *node, uint64_t id);

/* Takes one end of the generation that is owed, for the caller to give out.
 * To be called under the lock.
 * spell: out, which one; may be NULL.
 * Returns 1, or 0 if none is owed. Lock-free. */
int wm_generation_take_exit(struct wm_node *node, uint64_t id, uint32_t *spell);

/* What wm_generations() tells of each. */
struct wm_generation_info {
    uint64_t id;    /* its number, from 1 */
    uint32_t state; /* enum wm_generation_state */
    uint32_t reason;
    uint32_t spell; /* how often it has had its first worker */
    uint32_t exits_given;
    int32_t master;    /* pid */
    uint32_t deaths;   /* workers that crashed */
    uint64_t begun_at; /* ms */
};

/* Lists the generations that are remembered, oldest first.
 * list, element: the entries, and sizeof(*list). room: entries in `list`; the
 * node's capacity and 64 more are enough. count: out, how many there are.
 * Returns 0; -ENOSPC: more than room, some are listed; -EINVAL: the size.
 * Wait-free. */
int wm_generations(const struct wm_node *node, struct wm_generation_info *list,
                   uint32_t element, uint32_t room, uint32_t *count);

/* ---------------------------------------------------------------- worker */

/* How a worker joins. */
struct wm_join_options {
    uint32_t size;       /* sizeof(struct wm_join_options) */
    uint32_t role;       /* enum wm_role */
    uint32_t overdue_ms; /* without a beat for so long: stalled; 0: 15,000 */
    uint32_t expected;   /* workers of the generation; 0: unknown */
};

/* Joins the calling process to generation id. The worker is JOINING then, so
 * that no other takes itself for the last. A process has one worker in each
 * node; a process that has joined begins no generation there any more.
 * worker: out; the handle is the node's, and ends with it.
 * Returns 0; -EINVAL; -EALREADY: is one already; -ENOBUFS: the table is full
 * of the living, and of crashes that nobody has taken (wm_event_take);
 * -ESTALE: the generation is forgotten; -EROFS. Lock-free. */
int wm_worker_join(struct wm_node *node, uint64_t id,
                   const struct wm_join_options *options,
                   struct wm_worker **worker);

/* This process's worker of the node, NULL if it has none. Wait-free. */
struct wm_worker *wm_node_worker(const struct wm_node *node);

/* How many are running, as the caller's callbacks see it. This struct does not
 * grow. */
struct wm_counts {
    int32_t previous; /* n_prev; -1: there is none */
    int32_t mine;     /* n_mine */
    int32_t next;     /* n_next; -1: there is none */
    uint32_t reason;  /* enum wm_reason */
    uint32_t spell;
    uint32_t unsettled; /* 1: kept changing, the last look is reported */
    uint32_t reserved[2];
};

/* JOINING to LIVE: when its turn has come (under the lock), or when it gave up
 * waiting. Sweeps first.
 * counts: out, what its start callback is to see.
 * Returns 0; -ECHILD: left, or a forked child; -ESTALE: has drained, or lost
 * its record; -EUCLEAN. The worker's own act. Lock-free; asks the kernel about
 * each worker. */
int wm_worker_start(struct wm_worker *worker, struct wm_counts *counts);

/* What its exit callback is to see: `mine` is 1 for the last one; a helper is
 * not counted, and sees how many there are. Sweeps first, beats, and changes no
 * state.
 * Returns 0; -ECHILD; -ESTALE: has drained, or lost its record; -EUCLEAN. The
 * worker's own act. Lock-free. */
int wm_worker_exit_counts(struct wm_worker *worker, struct wm_counts *counts);

/* To DRAINING: serves old connections, is counted no more, leads no more.
 * Returns 0, also the second time; -ECHILD; -ESTALE; -EUCLEAN. The worker's own
 * act. Lock-free. */
int wm_worker_drain(struct wm_worker *worker);

/* Gives the record back. The handle is dead then.
 * Returns 0; -ECHILD; -ESTALE: it made room for another already. The worker's
 * own act. Lock-free. */
int wm_worker_leave(struct wm_worker *worker);

/* Heartbeat: the coarse clock and one CAS on the worker's own line.
 * Returns 0; WM_RECOVERED: had been marked stalled, is live again; -ESTALE:
 * the record is not this worker's any more, or a forked child uses it. Any
 * thread of the worker. Async-signal-safe. Wait-free. */
int wm_beat(struct wm_worker *worker);

/* The same at a time that the caller has at hand.
 * now_ms: CLOCK_MONOTONIC, ms. A time not newer than the last beat's changes
 * nothing. Returns, and is safe, as wm_beat. Wait-free. */
int wm_beat_at(struct wm_worker *worker, uint64_t now_ms);

/* The clock of all times here: CLOCK_MONOTONIC in ms, a few ms coarse.
 * Async-signal-safe. Wait-free. */
uint64_t wm_now(void);

/* How many recoveries of this worker are owed: stalls that it came back from,
 * each of which was given to somebody as WM_EVENT_STALLED. The worker's own
 * act. Wait-free. */
uint32_t wm_worker_recoveries(const struct wm_worker *worker);

/* Takes one of these for the caller to give.
 * Returns 1, or 0 if none is owed. The worker's own act. Wait-free. */
int wm_worker_recovery_take(struct wm_worker *worker);

/* 1 while the handle is this process's and its record is held, else 0. Any
 * thread. Async-signal-safe. Wait-free. */
int wm_worker_has_record(const struct wm_worker *worker);

/* Of the joining that the handle stands for, also when it has left: the slot,
 * a small number, unique among all that hold a record (0 to capacity - 1);
 * the generation; and its spell, counted from 1. Wait-free. */
uint32_t wm_worker_slot(const struct wm_worker *worker);
uint64_t wm_worker_generation(const struct wm_worker *worker);
uint32_t wm_worker_spell(const struct wm_worker *worker);

/* --------------------------------------------------------------- sweeping */

/* The timer's work: beats; and, if the sweep of this interval is not done by
 * another worker yet, sweeps. It looks only at workers that have not beaten in
 * the interval, so that a death or a stall is noticed within two.
 * interval_ms: between two sweeps of the node, and two ticks of a worker.
 * Returns as wm_beat. The worker's own act. Lock-free. */
int wm_tick(struct wm_worker *worker, uint32_t interval_ms);

/* Looks at every record: marks the dead and the overdue, frees what is done
 * with, settles generations that nobody is left of. A crash or stall that it
 * marks is owed to somebody, see wm_event_take; a crashed one keeps its record
 * until it was taken.
 * self: the caller's worker, or NULL.
 * Returns how many records or generations it changed. Lock-free; asks the
 * kernel about each worker, some microseconds each. */
int wm_sweep(struct wm_node *node, struct wm_worker *self);

/* What is given to callbacks. The first three are owed to the survivors, and
 * given by any one of them; the others are a worker's own. */
enum wm_event_kind {
    WM_EVENT_MASTER_EXIT = 1, /* a generation that nobody is left of */
    WM_EVENT_CRASHED,         /* a worker's process ended before it left */
    WM_EVENT_STALLED,         /* a worker does not beat */
    WM_EVENT_WORKER_START,    /* from wm_start_next() */
    WM_EVENT_RECOVERED,       /* from wm_exit_next(): back from a stall */
    WM_EVENT_WORKER_EXIT,     /* from wm_exit_next() */
    WM_EVENT_DRAINED          /* from wm_exit_next(): leads no more */
};

/* A bit mask of all kinds, as the functions below take them:
 * 1 << enum wm_event_kind. */
#define WM_EVENTS_ALL UINT32_MAX

/* An event that is given. */
struct wm_event {
    uint32_t size; /* in: sizeof(struct wm_event) */
    uint32_t kind; /* enum wm_event_kind */
    uint64_t generation;
    uint64_t join; /* 0: it is of no worker */
    int32_t pid;   /* of the worker, or of the generation's master */
    uint32_t slot; /* WM_NO_SLOT: it is of no worker */
    uint32_t role; /* enum wm_role */
    uint32_t spell;
    struct wm_counts counts; /* of WORKER_START and WORKER_EXIT; of others 0:
                                wm_generation_counts() tells */
};

/* The function that is given an event, under the lock. */
typedef void wm_event_fn(const struct wm_event *event, void *argument);

/* How many events of these kinds are owed: of each worker one at a time, of a
 * generation each of its ends.
 * kinds: bit mask, 1 << enum wm_event_kind. Wait-free. */
int wm_events_owed(const struct wm_node *node, uint32_t kinds);

/* Takes one owed event, which the caller then gives. It is marked first, so
 * that it is given at most once. To be called under the lock, so that events
 * are given one at a time.
 * kinds: as above. event: size in, the rest out.
 * Returns 1, or 0 if none is owed; -EINVAL: the size; -EROFS; -EUCLEAN.
 * Lock-free. */
int wm_event_take(struct wm_node *node, uint32_t kinds, struct wm_event *event);

/* Sweeps; then, if the lock is free, takes all that is owed and gives it to
 * the function, under the lock.
 * self: the caller's worker, or NULL. give: NULL takes and tells nobody: for
 * those who read the event log, or do not want to know. argument: handed on.
 * Returns how many events were taken. Waits for no lock. */
int wm_events_give(struct wm_node *node, struct wm_worker *self,
                   wm_event_fn *give, void *argument);

/* ---------------------------------------------------------------- looking */

/* Who is running, as the callbacks of generation id's master would see it.
 * counts: out. Returns 0, or WM_UNSETTLED: it kept changing, the last look is
 * told. Wait-free (bounded looks). */
int wm_generation_counts(const struct wm_node *node, uint64_t id,
                         struct wm_counts *counts);

/* What a snapshot tells of each worker. */
struct wm_worker_info {
    uint64_t generation;
    uint64_t join;      /* number of this joining, unique in the node's life */
    uint64_t joined_at; /* ms */
    uint64_t beat_at;   /* ms, of the last beat */
    int32_t pid;
    uint32_t slot;
    uint32_t state; /* enum wm_state */
    uint32_t role;  /* enum wm_role */
    uint32_t overdue_ms;
    uint32_t stalls; /* that it came back from */
};

/* All records in use, by slot, as they were at one moment.
 * list, element: the entries, and sizeof(*list). room: entries in `list`, which
 * should be the node's capacity. count: out, entries written.
 * Returns 0; WM_UNSETTLED: two looks never agreed, the last is in the list;
 * -ENOSPC: more than room; -EINVAL: the size. Wait-free (bounded looks). */
int wm_snapshot(const struct wm_node *node, struct wm_worker_info *list,
                uint32_t element, uint32_t room, uint32_t *count);

/* ----------------------------------------------------------------- leader */

/* Which worker leads. */
struct wm_leader {
    uint32_t size; /* in: sizeof(struct wm_leader) */
    uint32_t term; /* grows with each lead: a fencing token. 0: none yet */
    uint64_t generation; /* of the leader's worker; 0: nobody leads now */
    uint64_t join;
    int32_t pid;
    uint32_t slot; /* WM_NO_SLOT: nobody leads now */
    uint32_t mine; /* 1: the caller's worker leads */
    uint32_t reserved;
};

/* Asks who leads, and stands for the lead. Take the newest generation that has
 * live workers: if none of these leads, and the caller's worker is one of them,
 * it leads from now on, with the next term. At most one worker ever holds a
 * term. The answer was true at one moment of the call; a worker that may be
 * stopped after it asked hands the term along to whatever it writes to.
 * leader: size in, the rest out.
 * Returns 1 if the caller's worker leads, 0 if not; -ECHILD; -EINVAL: the size;
 * -EUCLEAN. The worker's own act. Wait-free; a few loads while the leader
 * stands, else it reads all records. */
int wm_leader_stand(struct wm_worker *worker, struct wm_leader *leader);

/* The same question without standing, by any process.
 * leader: size in, the rest out. Returns 0; -EINVAL: the size. Wait-free. */
int wm_leader_inspect(const struct wm_node *node, struct wm_leader *leader);

/* -------------------------------------------------------------- event log */

/* What the event log tells of. */
enum wm_log_kind {
    WM_LOG_GENERATION_BEGUN = 1,
    WM_LOG_GENERATION_ACTIVE,
    WM_LOG_GENERATION_ABORTED,
    WM_LOG_GENERATION_EXITED,
    WM_LOG_WORKER_JOINED,
    WM_LOG_WORKER_LIVE,
    WM_LOG_WORKER_STALLED,
    WM_LOG_WORKER_RECOVERED,
    WM_LOG_WORKER_DRAINING,
    WM_LOG_WORKER_LEFT,
    WM_LOG_WORKER_CRASHED,
    WM_LOG_LEADER,
    WM_LOG_LEADER_LOST,
    WM_LOG_LOCK_RECOVERED,
    WM_LOG_WORKER_FORGOTTEN /* crashed, and its record is free again */
};

/* In wm_log_entry.slot: it is of no worker. */
#define WM_NO_SLOT UINT32_MAX

/* A line of the event log. */
struct wm_log_entry {
    uint64_t number; /* counts up from 1 */
    uint64_t time;   /* CLOCK_REALTIME, ms */
    uint64_t generation;
    uint64_t value; /* workers: join number; leader: term; generations: spell;
                       lock: pid of the dead holder */
    int32_t pid;    /* of the worker, of a generation's master, of the process
                       that recovered the lock */
    uint32_t slot;  /* WM_NO_SLOT if it is not a worker's */
    uint32_t kind;  /* enum wm_log_kind */
    uint32_t reserved;
};

/* Reads the event log, a ring in the segment that outlives the processes.
 * since: in, the number read last (0: from the oldest there is); out, the
 * number that this call came to. list, element: the entries, and sizeof(*list).
 * room: entries in `list`. count: out, entries written, oldest first. missed:
 * out, numbers in between whose entries are overwritten, or were not finished
 * within a second, as their writer died or was stopped; may be NULL. An
 * unfinished entry with none finished after it is left to a later call.
 * Returns 0; WM_UNSETTLED: one entry is still being written, and finished ones
 * behind it wait for a later call, which tells them within a second; -EINVAL:
 * the size. Wait-free. */
int wm_log_read(const struct wm_node *node, uint64_t *since,
                struct wm_log_entry *list, uint32_t element, uint32_t room,
                uint32_t *count, uint64_t *missed);

/* A number that is another after each change: a worker that joins, starts,
 * stalls, recovers, drains, leaves, crashes or is forgotten, a generation, a
 * leader. Not after a beat, nor when something owed was given. Wait-free. */
uint32_t wm_epoch(const struct wm_node *node);

/* Sleeps until the epoch is not this one. A process that takes the epoch, then
 * looks, then waits, misses no change. It may return early.
 * timeout_ms: 0 for none.
 * Returns 0; -ETIMEDOUT; -EINTR: a signal. Any process, also with a handle
 * that reads. Blocking. */
int wm_wait(const struct wm_node *node, uint32_t epoch, uint32_t timeout_ms);

/* Wakes all threads that sleep in wm_wait() on the node, in every process; they
 * return 0 as if early. Nothing is written, so that a handle that reads will
 * do. It does not wake a thread that is about to sleep. To stop such a thread,
 * set a flag that it checks before it sleeps, and call this until the thread
 * has answered.
 * Returns how many were asleep. Any process, any thread. Wait-free (one system
 * call). */
int wm_wake(const struct wm_node *node);

/* ------------------------------------------------------------------- lock */

/* The lifecycle lock orders callbacks: one at a time over the node. A dead
 * holder's lock passes on; a living one's never does. It is not needed for
 * any change of state, and a heartbeat never touches it. */

/* How to wait for the lock. */
struct wm_lock_options {
    uint32_t size;    /* sizeof(struct wm_lock_options) */
    uint32_t purpose; /* the caller's own number, for wm_lock_inspect */
    uint32_t hold_ms; /* give up when one holder is past this; 0: never */
    uint32_t wait_ms; /* give up after waiting for so long; 0: never */
};

/* Waits for the lock asleep, beating meanwhile. It is the process's, not the
 * thread's.
 * options: NULL for no limits.
 * Returns 0; WM_RECOVERED: the former holder died with it; -ETIMEDOUT: one of
 * the limits; -EDEADLK: this process holds it; -EINVAL; -EROFS. Blocking. */
int wm_lock_acquire(struct wm_node *node,
                    const struct wm_lock_options *options);

/* Tries once.
 * purpose: the caller's own number, for wm_lock_inspect. queue: non-zero
 * announces that the caller will try again within 50 ms, and keeps sleepers
 * from overtaking it.
 * Returns 0; WM_RECOVERED; -EBUSY; -EINPROGRESS: the same, and of those that
 * queue the caller is the next, so that it should try again soon; -EDEADLK;
 * -EROFS. Lock-free. */
int wm_lock_try(struct wm_node *node, uint32_t purpose, int queue);

/* Releases it, after a beat.
 * Returns 0; -EPERM: this process does not have it; -EROFS. Wait-free. */
int wm_lock_release(struct wm_node *node);

/* One holding of the lock, for callers whose thread may be ended under them: a
 * cleanup handler gives back just this one. This struct does not grow. */
struct wm_lock_hold {
    struct wm_node *node;
    uint64_t word;
};

/* Notes the holding that this process has now. hold: out. Wait-free. */
void wm_lock_hold_note(struct wm_node *node, struct wm_lock_hold *hold);

/* Releases the lock if that holding has not ended yet.
 * hold: a struct wm_lock_hold; its node must not be released yet. Wait-free. */
void wm_lock_hold_release(void *hold);

/* What wm_lock_inspect() tells. */
struct wm_lock_holder {
    uint32_t size;       /* in: sizeof(struct wm_lock_holder) */
    int32_t pid;         /* 0: free */
    uint64_t generation; /* of its worker, 0 if none */
    uint64_t held_ms;    /* for how long; 0 until the holder has said */
    uint32_t purpose;    /* as given by the holder, 0 until it has said */
    uint32_t sequence;   /* differs with each acquisition, modulo 2^24 */
    uint32_t own;        /* 1: this process has it */
    uint32_t reserved;
};

/* Tells which process has the lock.
 * holder: size in, the rest out. Returns 0; -EINVAL: the size. Wait-free. */
int wm_lock_inspect(const struct wm_node *node, struct wm_lock_holder *holder);

/* -------------------------------------------------------- start and exit */

/* A worker's start and exit, one step at a time. Each is a begin, and a next
 * that returns what is to be given to a callback, one event a call, until there
 * is none. What has to happen between two callbacks happens in next. The caller
 * gives each event before it asks for the next one, in its own way: it may
 * yield to an event loop meanwhile. wm_start_run() and wm_exit_run() do all of
 * it for a caller that has a function to give.
 *
 * kinds: a bit mask, 1 << enum wm_event_kind, of what the caller can give. The
 * caller has the lock from before the begin until next has returned 0. A caller
 * that could not get the lock passes 0: the worker changes its state all the
 * same, and nothing is given. */

/* Begins the start of a worker that has joined; also once more, where nothing
 * was given: a start is given once.
 * kinds: see above; of WM_EVENT_WORKER_START.
 * Returns 0; -ECHILD: left, or a forked child; -ESTALE: its exit has begun. The
 * worker's own act. Wait-free. */
int wm_start_begin(struct wm_worker *worker, uint32_t kinds);

/* Makes the worker LIVE, as wm_worker_start() does, and returns its start.
 * event: size in; out, WM_EVENT_WORKER_START with its counts.
 * Returns 1: give this event; 0: done; -ECHILD; -ESTALE: has drained, or lost
 * its record; -EINVAL: the size. The worker's own act. Lock-free; asks the
 * kernel about each worker. */
int wm_start_next(struct wm_worker *worker, struct wm_event *event);

/* Waits for the lock, starts the worker, gives its start, releases the lock.
 * lock: as wm_lock_acquire(). give: called with the start; may be NULL.
 * argument: handed on.
 * Returns 0; -ETIMEDOUT: the lock was not to be had, the worker is LIVE and its
 * start was not given; -EDEADLK: this process has the lock, nothing was done;
 * -ECHILD; -ESTALE; -EINVAL; -EROFS; -EUCLEAN. The worker's own act.
 * Blocking. */
int wm_start_run(struct wm_worker *worker, const struct wm_lock_options *lock,
                 wm_event_fn *give, void *argument);

/* Begins a worker's exit; also once more, after one that was cut short: what
 * was given is not given again.
 * kinds: see above; of all but WM_EVENT_WORKER_START. Events of other
 * workers whose kind is left out stay owed; an exit that is left out is not
 * given any more.
 * Returns 0; -ECHILD: left, or a forked child. The worker's own act.
 * Wait-free. */
int wm_exit_begin(struct wm_worker *worker, uint32_t kinds);

/* Does what comes next of a worker's exit, and returns what is to be given, in
 * this order: what is owed of others (they may have no other survivor); each
 * recovery of its own; WM_EVENT_WORKER_EXIT, whose counts.mine is 1 for the
 * last (a helper counts itself in, and is never the last); then the worker
 * drains, and its generation is closed if nobody is left of it:
 * WM_EVENT_DRAINED; what its exit has found of others; each end of its
 * generation that is owed, WM_EVENT_MASTER_EXIT.
 * event: size in, the rest out.
 * Returns 1: give this event; 0: done; WM_CLOSED: done, and the end of its
 * generation, which this worker has closed, stays owed to another;
 * -ECHILD; -EINVAL: the size; -EUCLEAN. The worker's own act. Lock-free; asks
 * the kernel about each worker. */
int wm_exit_next(struct wm_worker *worker, struct wm_event *event);

/* Waits for the lock, gives all of a worker's exit, releases the lock. The
 * worker is DRAINING then; wm_worker_leave() is an act of its own, at the end
 * of the process.
 * lock: as wm_lock_acquire(). give: called with each event; NULL takes and
 * gives to nobody. argument: handed on.
 * Returns 0; -ETIMEDOUT: the lock was not to be had, the worker has drained and
 * nothing was given; -EDEADLK: this process has the lock, nothing was done;
 * -ECHILD; -EINVAL; -EROFS; -EUCLEAN. The worker's own act. Blocking. */
int wm_exit_run(struct wm_worker *worker, const struct wm_lock_options *lock,
                wm_event_fn *give, void *argument);

#ifdef __cplusplus
}
#endif

#endif
