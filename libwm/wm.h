/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* libwm: which workers of a multi-process server are running, in which
 * generation, and how each one ended.
 *
 * A *node* is one server: a master and the workers that it forks, over all
 * reloads. Its state lies in a *segment* of shared memory with one record for
 * each worker and one for each *generation*, which is one life of the
 * configuration: a start, a reload, an upgrade of the binary. The usual flow:
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
 * Results. Functions return 0 on success, a negative errno on failure, and a
 * positive WM_* condition where there is something that the caller must know;
 * wm_strerror() has a sentence for each. Times are milliseconds of
 * CLOCK_MONOTONIC unless a name says otherwise.
 *
 * Processes. A handle belongs to the process that made it. A child inherits
 * its parent's handles: the node's stays good, the worker's does not (the
 * record is its parent's). pthread_atfork keeps that straight; children made
 * in another way than fork() must not use inherited handles.
 *
 * Who may call. Any process that has attached, unless a function says whose
 * act it is. Handles of wm_node_open() read; what would change something
 * returns -EROFS there, or 0 where it returns what it has done: nothing. It
 * does nothing either, with -EUCLEAN or 0, where a broken process has written
 * over the head of the segment: wm_tick(), wm_lock_acquire(), wm_lock_try(),
 * wm_worker_join(), wm_generation_begin() and wm_generation_close() say so.
 * Then restart the server; what only looks is told what lies there.
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
 * What may run against what, over all threads and processes of a node:
 *
 *                     beat  join/leave/drain  sweep  counts/snapshot  lock
 *   beat, same worker  yes   no                yes    yes              yes
 *   join/leave/drain   yes   yes (others')     yes    yes              yes
 *   sweep              yes   yes               yes    yes              yes
 *   generation_*       yes   yes               yes    yes              yes
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

/* What wm_node_attach() is to make or take over. */
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

/* What the dead segments of earlier lives of the same instance told. They are
 * gone by now, all but foreign ones. */
struct wm_postmortem {
    uint32_t segments;   /* how many there were */
    uint32_t workers;    /* had not left, and nobody was told of their end */
    uint32_t exits_owed; /* generations whose end nobody was told of */
    uint32_t damaged;    /* files of that name that are no segments */
    uint32_t foreign;    /* another user's, left alone */
    int32_t pid;         /* of one of those workers, 0 if none */
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
    struct wm_postmortem postmortem;
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
 * name: of the file, or of the instance (then a live one is taken where there
 * is one). directory: NULL for /dev/shm. node: out; it serves all functions
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

/* Who is told of a segment by wm_node_list(). */
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
 * Wait-free. */
void wm_node_describe(const struct wm_node *node, struct wm_node_info *info);

/* ------------------------------------------------------------ generation */

/* Begins a generation in the calling process, its master.
 * id: out, counts up from 1 over the node's life, seldom skipping. reason:
 * out, WM_REASON_START, _RELOAD or _UPGRADE; may be NULL.
 * Returns 0; WM_IS_WORKER where the process is a worker itself (id is then its own
 * generation's, reason WM_REASON_NONE, and nothing has begun); -ENOBUFS: every
 * record is that of a generation with workers; -EROFS. Lock-free; asks the
 * kernel about masters. */
int wm_generation_begin(struct wm_node *node, uint64_t *id, uint32_t *reason);

/* The configuration of a generation is gone from this process. Where that
 * means that it will never have a worker (it is the newest that this process
 * began, which has not forked since, and none joined) it is aborted, as if it
 * had never been; else nothing happens, and one that was superseded is aborted
 * by a sweep when the newer one has a worker.
 * Returns WM_CLOSED if it was aborted, else 0. Lock-free. */
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
    uint64_t id;
    uint32_t state; /* enum wm_generation_state */
    uint32_t reason;
    uint32_t spell; /* how often it has had its first worker */
    uint32_t exits_given;
    int32_t master;    /* pid */
    uint32_t deaths;   /* workers that crashed */
    uint64_t begun_at; /* ms */
};

/* Lists the generations that are remembered, oldest first.
 * room: entries in `list`; the node's capacity and 64 more are enough. count:
 * out, how many there are.
 * Returns 0; -ENOSPC: more than room, some are listed. Wait-free. */
int wm_generations(const struct wm_node *node, struct wm_generation_info *list,
                   uint32_t room, uint32_t *count);

/* ---------------------------------------------------------------- worker */

/* How a worker joins. */
struct wm_join_options {
    uint32_t size;       /* sizeof(struct wm_join_options) */
    uint32_t role;       /* enum wm_role */
    uint32_t overdue_ms; /* without a beat for so long: stalled; 0: 15,000 */
    uint32_t expected;   /* workers of the generation; 0: unknown */
};

/* Joins the calling process to generation id: it is JOINING, so that nobody
 * takes itself for the last. One worker for each node and process; whoever
 * joins begins no generation any more.
 * worker: out; the handle is the node's, and ends with it.
 * Returns 0; -EINVAL; -EALREADY: is one already; -ENOBUFS: the table is full
 * of the living, and of crashes that nobody has taken (wm_event_take);
 * -ESTALE: the generation is forgotten; -EROFS. Lock-free. */
int wm_worker_join(struct wm_node *node, uint64_t id,
                   const struct wm_join_options *options,
                   struct wm_worker **worker);

/* This process's worker of the node, NULL if it has none. Wait-free. */
struct wm_worker *wm_node_worker(const struct wm_node *node);

/* Who is running, as the caller's callbacks see it. */
struct wm_counts {
    int32_t previous; /* n_prev; -1: there is none */
    int32_t mine;     /* n_mine */
    int32_t next;     /* n_next; -1: there is none */
    uint32_t reason;  /* enum wm_reason */
    uint32_t spell;
    uint32_t unsettled; /* 1: kept changing, the last look is reported */
};

/* JOINING to LIVE: when its turn has come (under the lock), or when it gave up
 * waiting. Sweeps first.
 * counts: out, what its start callback is to see.
 * Returns 0; -ECHILD: left, or a forked child; -ESTALE: has drained, or lost
 * its record. The worker's own act. Lock-free; asks the kernel about each
 * worker. */
int wm_worker_start(struct wm_worker *worker, struct wm_counts *counts);

/* What its exit callback is to see: `mine` is 1 for the last one; a helper is
 * not counted, and sees how many there are. Sweeps first, beats, and changes no
 * state.
 * Returns 0; -ECHILD; -ESTALE: has drained, or lost its record. The worker's
 * own act. Lock-free. */
int wm_worker_exit_counts(struct wm_worker *worker, struct wm_counts *counts);

/* To DRAINING: serves old connections, is counted no more, leads no more.
 * Returns 0, also the second time; -ECHILD; -ESTALE. The worker's own act.
 * Lock-free. */
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

/* How many stalls this worker came back from, each of which was told to
 * somebody as WM_EVENT_STALLED, since this was last asked: the recoveries that
 * are to be told. The worker's own question. Wait-free. */
uint32_t wm_worker_recoveries(struct wm_worker *worker);

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
    WM_EVENT_WORKER_EXIT      /* from wm_exit_next() */
};

/* An event that is given. */
struct wm_event {
    uint32_t kind; /* enum wm_event_kind */
    uint32_t spell;
    uint64_t generation;
    uint64_t join;
    int32_t pid;
    uint32_t slot;
    uint32_t role; /* enum wm_role */
    uint32_t reserved;
    struct wm_counts counts; /* of WORKER_START and WORKER_EXIT; of others 0:
                                wm_generation_counts() tells */
};

/* The function that is given an event, under the lock. */
typedef void wm_event_fn(const struct wm_event *event, void *argument);

/* How many workers and generations have events of these kinds to be given out.
 * kinds: bit mask, 1 << enum wm_event_kind. Wait-free. */
int wm_events_owed(const struct wm_node *node, uint32_t kinds);

/* Takes one owed event for the caller to give out; it is marked first, so that
 * it is given at most once. To be called under the lock, so that events are
 * given one at a time.
 * kinds: as above. event: out.
 * Returns 1, or 0 if none is owed. Lock-free. */
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

/* All records in use, by slot, as they were at one moment. room: entries in
 * `list`, which should be the node's capacity; count: out, entries written.
 * Returns 0; WM_UNSETTLED: two looks never agreed, the last is given;
 * -ENOSPC: more than room. Wait-free (bounded looks). */
int wm_snapshot(const struct wm_node *node, struct wm_worker_info *list,
                uint32_t room, uint32_t *count);

/* ----------------------------------------------------------------- leader */

/* Who leads. */
struct wm_leader {
    uint64_t generation; /* of the leader's worker; 0: nobody leads now */
    uint64_t join;
    int32_t pid;
    uint32_t slot;
    uint32_t term; /* grows with each leader: a fencing token. 0: none yet */
    uint32_t mine; /* 1: the caller's worker leads */
};

/* Who leads the node. Asking is standing: where nobody leads who is live and
 * of the newest generation that has live workers, and the caller's worker is
 * both, it leads from now on, with the next term. At most one worker ever
 * holds a term. What is told was true at one moment of the call; whoever may
 * be stopped after asking hands the term along to whatever it writes to.
 * leader: out. Returns 1 if the caller's worker leads, 0 if not; -ECHILD.
 * Wait-free; a few loads while the leader stands, else it reads all records. */
int wm_leader_stand(struct wm_worker *worker, struct wm_leader *leader);

/* The same question without standing, by anybody. Wait-free. */
void wm_leader_inspect(const struct wm_node *node, struct wm_leader *leader);

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
    int32_t pid;    /* of the worker, of a generation's master, of who has
                       recovered the lock */
    uint32_t slot;  /* WM_NO_SLOT if it is not a worker's */
    uint32_t kind;  /* enum wm_log_kind */
    uint32_t reserved;
};

/* Reads the event log, a ring in the segment that outlives the processes.
 * since: in, the number read last (0: from the oldest there is); out, the
 * number that this call came to. room: entries in `list`; count: out, entries
 * written, oldest first; missed: out, numbers in between whose entries are
 * overwritten, or were not finished within a second, as their writer died or
 * was stopped; may be NULL. An unfinished entry with none finished after it is
 * left to a later call.
 * Returns 0; WM_UNSETTLED: finished ones wait behind an entry that may yet be
 * finished, for a later call; within a second it tells them. Wait-free. */
int wm_log_read(const struct wm_node *node, uint64_t *since,
                struct wm_log_entry *list, uint32_t room, uint32_t *count,
                uint64_t *missed);

/* A number that is another after each change: a worker that joins, starts,
 * stalls, recovers, drains, leaves, crashes or is forgotten, a generation, a
 * leader. Not after a beat, nor when something owed was given. Wait-free. */
uint32_t wm_epoch(const struct wm_node *node);

/* Sleeps until the epoch is not this one: take the epoch, look, then wait, and
 * no change is missed. It may return early.
 * timeout_ms: 0 for none.
 * Returns 0; -ETIMEDOUT; -EINTR: a signal. Any process, also with a handle
 * that reads. Blocking. */
int wm_wait(const struct wm_node *node, uint32_t epoch, uint32_t timeout_ms);

/* Wakes all who sleep in wm_wait() on the node, in every process; they return
 * 0 as if early. Nothing is written, so that a handle that reads will do. Who
 * is only about to sleep does not hear it: to end a thread's wait, set what it
 * looks at before it waits, then call this again until it has answered.
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

/* Releases it, after a beat. Returns 0, or -EPERM if this process has it
 * not. Wait-free. */
int wm_lock_release(struct wm_node *node);

/* One holding of the lock, for those whose thread may be ended under them: a
 * cleanup handler gives back just this one. */
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
    int32_t pid;         /* 0: free */
    uint32_t purpose;    /* as given by the holder, 0 until it has said */
    uint64_t generation; /* of its worker, 0 if none */
    uint64_t held_ms;    /* for how long; 0 until it has said */
    uint32_t sequence;   /* differs with each acquisition, modulo 2^24 */
    uint32_t own;        /* 1: this process has it */
};

/* Who has the lock. Wait-free. */
void wm_lock_inspect(const struct wm_node *node, struct wm_lock_holder *holder);

/* -------------------------------------------------------- start and exit */

/* A worker's start and exit, one step at a time. Each is a begin, and a next
 * that returns what is to be given to a callback, one event a call, until there
 * is none. What has to happen between two callbacks happens in next. The caller
 * gives each event before it asks for the next one, in its own way: it may
 * yield to an event loop meanwhile. wm_start_run() and wm_exit_run() do all of
 * it for a caller that has a function to give.
 *
 * The caller has the lock from before the begin until next has returned 0.
 * Without it the worker changes its state all the same, and nothing is given.
 */

/* Begins the start of a worker that has joined.
 * Returns 0; -ECHILD: left, or a forked child. The worker's own act.
 * Wait-free. */
int wm_start_begin(struct wm_worker *worker);

/* Makes the worker LIVE, as wm_worker_start() does, and returns its start.
 * event: out, WM_EVENT_WORKER_START with its counts.
 * Returns 1: give this event; 0: done; -ECHILD; -ESTALE: has drained, or lost
 * its record. The worker's own act. Lock-free; asks the kernel about each
 * worker. */
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
 * kinds: of the events that are owed, those that the caller can give, a bit
 * mask as for wm_event_take().
 * Returns 0; -ECHILD: left, or a forked child. The worker's own act.
 * Wait-free. */
int wm_exit_begin(struct wm_worker *worker, uint32_t kinds);

/* Does what comes next of a worker's exit, and returns what is to be given, in
 * this order: what is owed of others (they may have no other survivor); each
 * recovery of its own; WM_EVENT_WORKER_EXIT, whose counts.mine is 1 for the
 * last; then the worker drains; what its exit has found of others; then its
 * generation is closed if nobody is left of it; each end of its generation that
 * is owed.
 * event: out.
 * Returns 1: give this event; 0: done; WM_CLOSED: done without the lock, and
 * this worker was the last: the end of its generation stays owed to another;
 * -ECHILD. The worker's own act. Lock-free; asks the kernel about each
 * worker. */
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
