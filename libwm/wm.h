/* SPDX-License-Identifier: Apache-2.0 */

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
 *   event       something that a callback is told of. An event is owed until a
 *               process takes it; that process then gives it to its callback.
 *   lead, term  one worker of the node leads; each lead has a term of its own.
 *   epoch       a number that differs after each change in the node.
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
 * On a reload the master begins the next generation, forks its workers, and
 * tells the old ones to end; an old one waits, in its event loop, until
 * wm_starts_awaited() is 0 before its wm_exit_run().
 *
 * Results. A function returns 0 on success, a negative errno on failure, or,
 * where the caller must know more, a condition (enum wm_condition), which is
 * positive and larger than any count. These return something else:
 *
 *   yes or no (1, 0)  wm_worker_has_record, wm_worker_recovery_take
 *   1, 0 or an error  wm_event_take, wm_generation_take_exit,
 *                     wm_generation_take_start, wm_start_next, wm_exit_next
 *                     (also WM_CLOSED), wm_leader_stand, wm_worker_reaped
 *   a count, or 0     wm_sweep, wm_events_owed, wm_events_give, wm_wake,
 *                     wm_worker_recoveries
 *   1, 2 or 0         wm_starts_awaited
 *   a value           wm_version, wm_now, wm_epoch, wm_worker_slot,
 *                     wm_worker_generation, wm_worker_spell
 *
 * wm_strerror() has a sentence for each error and condition, and functions like
 * wm_state_name() have a name for each number of an enum. Times are
 * milliseconds of CLOCK_MONOTONIC unless a name says otherwise.
 *
 * Three errors are the same everywhere, and only wm_node_open() names two of
 * them again. -EROFS: the handle came from wm_node_open(), and can only read.
 * -EUCLEAN: a broken process has written over the head of the segment, and the
 * library believes nothing that lies there any more; restart the server.
 * -EXDEV: this process was forked into another pid namespace than the node's,
 * and would take pids there for its own; attach from within the namespace. A
 * function that would change something returns such an error, and changes
 * nothing; if it returns a count, it returns 0. Two kinds of function do not
 * check for the last two: a heartbeat, which touches the worker's own record
 * alone, and a function that gives something back (wm_worker_leave,
 * wm_lock_release, wm_node_release). A function that only looks works with
 * either kind of handle, and tells what lies in the segment; but
 * wm_events_owed() returns 0 where nothing can be taken for one of these two
 * reasons.
 *
 * Sizes. A struct that the caller fills in, or has the library fill in, carries
 * its own size in `size`. A list comes with the size of its elements as an
 * argument. Set both to sizeof. So a program goes on working with a later
 * library whose structs are longer. A size is at least that of the first
 * version, and at most 4,096 (else -EINVAL). The library reads a struct that is
 * shorter than its own as if the missing fields had their defaults; if a struct
 * is longer, the bytes beyond the library's own must be 0 (else -E2BIG). When
 * the library fills a struct in, it writes the fields that fit, and 0 to the
 * bytes beyond those that it knows. A field that is called `reserved` must be
 * 0. struct wm_counts, struct wm_end and struct wm_lock_hold do not grow;
 * struct wm_node_entry, which the library hands out, grows at its end.
 *
 * Processes. A handle belongs to the process that made it. A child inherits its
 * parent's handles. That of the node stays good in the child; that of the
 * worker does not, since the record is the parent's. The library sees to this
 * with pthread_atfork(), so a child that was made in another way than fork()
 * must not use inherited handles. A worker leaves before it executes another
 * program: a program has its process's pid and start time, so the worker would
 * count as live, then as stalled, and keep a lock that it holds, until that
 * program ends. For a master there is wm_node_bequeath().
 *
 * Caller. Any process that has attached may call a function, unless the
 * function says whose act it is. A handle must not be NULL; if it is, a build
 * without NDEBUG names the function, and aborts.
 *
 * Threads. Any thread may at any time call a function that takes a `const
 * struct wm_node *`, and, once the worker has joined, one that takes a `const
 * struct wm_worker *`. The same holds for wm_beat(), wm_beat_at(), wm_note(),
 * wm_lock_hold_note(), wm_worker_reaped(), wm_now(), wm_version(),
 * wm_strerror() and the functions whose names end in _name. The other functions
 * change the handle: for each node, one thread at a time may call them. After
 * the release that ends the handle, no function may be called, but that release
 * again: it returns an error, until another handle gets the same address.
 *
 * Signals. wm_beat(), wm_beat_at(), wm_note(), wm_now(),
 * wm_worker_has_record(), wm_strerror() and the functions whose names end in
 * _name are async-signal-safe, the rest are not.
 *
 * Progress classes named below: *wait-free* (a bounded number of steps,
 * whatever others do), *lock-free* (some caller always finishes), *blocking*.
 *
 * This table says which operations may run at the same time, over all threads
 * and processes of a node: `yes`: any two may; `others'`: two may if they are
 * acts of different workers.
 *
 *                       1    2        3    4    5    6
 *   1 beats             yes  yes      yes  yes  yes  yes
 *   2 a worker's acts   yes  others'  yes  yes  yes  yes
 *   3 sweep, events     yes  yes      yes  yes  yes  yes
 *   4 generation acts   yes  yes      yes  yes  yes  yes
 *   5 looks             yes  yes      yes  yes  yes  yes
 *   6 lock, leader      yes  yes      yes  yes  yes  yes
 *
 * A worker's acts are join, start, exit, drain and leave. Beats may run beside
 * them once the join has returned.
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

/* Conditions: a call that succeeded returns one if the caller must know more
 * than that. No count that this library returns is as large. */
enum wm_condition {
    /* wm_lock_acquire, wm_lock_try: the lock was taken over from a dead holder;
     * wm_beat: the worker had been marked stalled. */
    WM_RECOVERED = 0x40000001,
    /* wm_generation_begin, wm_node_bequeath: this process is a worker, and
     * nothing has begun, nothing is left to others. */
    WM_IS_WORKER,
    /* wm_generation_close, wm_generation_abandon: this call did it;
     * wm_exit_next: the exit did it, and the end stays owed. */
    WM_CLOSED,
    /* The data kept changing while it was read, or still changes. */
    WM_UNSETTLED
};

struct wm_node;
struct wm_worker;

/* The state of a worker's record. */
enum wm_state {
    WM_FREE,     /* no worker has it */
    WM_CLAIMED,  /* a worker has taken it, and is writing its identity */
    WM_JOINING,  /* its worker has joined, and has not started yet */
    WM_LIVE,     /* its worker has started */
    WM_STALLED,  /* its worker has started, but its beat is overdue */
    WM_DRAINING, /* its worker serves old connections, and does not count */
    WM_CRASHED,  /* its worker's process ended before the worker drained */
    WM_CRASHED_DRAINING /* its worker's process ended after it had drained */
};

/* The state of a generation. */
enum wm_generation_state {
    WM_GENERATION_NONE,    /* the record has never had a generation */
    WM_GENERATION_CLAIMED, /* a master is writing the record */
    WM_GENERATION_BEGUN,   /* no worker has joined yet */
    WM_GENERATION_ACTIVE,  /* it has workers */
    WM_GENERATION_EXITED,  /* it had workers; those that are left drain */
    WM_GENERATION_ABORTED, /* it never had a worker */
    WM_GENERATION_GONE     /* as EXITED, and no worker of it is in the table */
};

/* The role that a worker joins with. */
enum wm_role {
    WM_ROLE_WORKER,
    WM_ROLE_HELPER /* visible, but counted nowhere */
};

/* The reason why something begins or ends. */
enum wm_reason {
    WM_REASON_NONE,     /* no reason is known */
    WM_REASON_START,    /* begin: the server starts */
    WM_REASON_RELOAD,   /* begin, end: another generation takes over */
    WM_REASON_UPGRADE,  /* begin: a new binary takes over */
    WM_REASON_RESPAWN,  /* begin: a worker replaces one that has ended */
    WM_REASON_ROLLBACK, /* begin: the binary before an upgrade goes on */
    WM_REASON_STOP,     /* end: no other generation takes over */
    WM_REASON_CRASH,    /* end: the last workers died before they left */
    WM_REASON_RETIRE    /* end: a worker leaves by itself, the server goes on */
};

/* The library's version, `major << 16 | minor`. Wait-free. */
uint32_t wm_version(void);

/* A sentence for a result of this library. The string is constant.
 * error: a result that a function returned, negative or positive. Wait-free. */
const char *wm_strerror(int error);

/* The name of a number, in words that tools and logs may print: the enumerator
 * without its prefix, in small letters, with hyphens. A name does not change.
 * The string is constant. "?" stands for a number that this library does not
 * know.
 * state: enum wm_state. Wait-free. */
const char *wm_state_name(uint32_t state);

/* As wm_state_name(). state: enum wm_generation_state. Wait-free. */
const char *wm_generation_state_name(uint32_t state);

/* As wm_state_name(). role: enum wm_role. Wait-free. */
const char *wm_role_name(uint32_t role);

/* As wm_state_name(). reason: enum wm_reason. Wait-free. */
const char *wm_reason_name(uint32_t reason);

/* As wm_state_name(). kind: enum wm_event_kind. Wait-free. */
const char *wm_event_name(uint32_t kind);

/* As wm_state_name(). cause: enum wm_cause. Wait-free. */
const char *wm_cause_name(uint32_t cause);

/* As wm_state_name(). witness: enum wm_witness. Wait-free. */
const char *wm_witness_name(uint32_t witness);

/* As wm_state_name(). kind: enum wm_log_kind. Wait-free. */
const char *wm_log_name(uint32_t kind);

/* As wm_state_name(). purpose: enum wm_purpose; the name of any other number is
 * known only to the program that gave it. Wait-free. */
const char *wm_purpose_name(uint32_t purpose);

/* ------------------------------------------------------------------ node */

/* Take over the node whose descriptor the former binary left open. */
#define WM_NODE_ADOPT 1u
/* Use anonymous memory if no file can be made in the directory. */
#define WM_NODE_ANONYMOUS 2u

/* The node that wm_node_attach() is to make or to take over. */
struct wm_node_options {
    uint32_t size;         /* sizeof(struct wm_node_options) */
    uint32_t flags;        /* WM_NODE_* */
    const char *instance;  /* 1 to 63 of [A-Za-z0-9_.-], no leading dot */
    const char *directory; /* NULL: /dev/shm */
    uint32_t capacity;     /* workers, 1 to 65,535; 0: 1,024 */
    uint32_t mode;         /* of the file; 0: 0600 */
    uint32_t log_entries;  /* of the event log, to 1,048,576; 0: 1,024 */
    uint32_t tag;          /* what the server has the node for, a number of its
                              choice; 0: its instance and directory tell */
};

/* The facts that this process has found when it attached: what dead segments,
 * those of earlier lives of the same instance, tell, which it has unlinked
 * since, all but those of other users; and whether the instance lives twice. */
struct wm_postmortem {
    uint32_t size;       /* in: sizeof(struct wm_postmortem) */
    uint32_t segments;   /* how many there were */
    uint32_t workers;    /* that had not left, and whose end was not given */
    uint32_t exits_owed; /* ends of generations that were not given */
    uint32_t damaged;    /* files of that name that are no segments */
    uint32_t foreign;    /* another user's, left alone */
    int32_t pid;         /* of one of those workers, 0 if none */
    uint32_t living;     /* other nodes of the instance, the caller's own and
                            root's, in which somebody takes part */
    uint64_t generation; /* the newest */
};

/* The facts of a node, as wm_node_describe() tells them. */
struct wm_node_info {
    uint32_t size; /* in: sizeof(struct wm_node_info) */
    uint32_t capacity;
    const char *instance;
    const char *name;    /* of the file in its directory, "" if anonymous */
    int32_t anonymous;   /* 0, or the errno that forbade a file; in a next
                            binary 0, since its predecessor was told */
    int32_t not_adopted; /* 0, or the errno that forbade WM_NODE_ADOPT; ENOENT:
                            no descriptor came over exec */
    uint32_t adopted;    /* 1: came with the binary upgrade */
    uint32_t read_only;  /* 1: opened with wm_node_open */
    uint64_t generation; /* number of the newest, 0 if there is none yet */
    uint64_t dropped;    /* draining or crashed workers that made room, also
                            those whose crash nobody had taken */
    uint64_t exits_lost; /* owed ends whose record was needed */
    const char *directory; /* in which the file lies */
    uint32_t mode;         /* of the file, as it was made */
    uint32_t log_entries;  /* of the event log */
};

/* Takes part in a node. If this process takes part in a node of this instance
 * in this directory already (through an attach of its own, or of the parent
 * that forked it), it gets that node. Else, with WM_NODE_ADOPT, it takes over
 * the node whose descriptor it inherited over exec, whatever directory that
 * lies in. Else it makes a new node, and unlinks the segments that dead nodes
 * of the same instance and owner left behind.
 * options: see the struct; if a node was found, they are ignored. A process has
 * one node of each tag, and its next binary takes over that of the same tag,
 * also if the options name another instance or directory by then: a server
 * whose configuration changes goes on in its node, and wm_node_describe() tells
 * which one that is. It adopts all its nodes before its first fork, which
 * closes what nobody has adopted. node: out.
 * Returns 0; -EINVAL for bad options; -ENOMEM; -ENOSPC if the directory is
 * full, also without the dead; the error of open(2) for the directory. If the
 * inherited node cannot be used, for example because its ABI is another one, a
 * new node is made, and wm_node_describe() tells why. The master calls this
 * before it forks: workers that attach each for itself, after the fork, make a
 * node each, and nobody can tell that from a server that is started again while
 * its former life still drains; wm_node_postmortem() tells of both (`living`).
 * Each attach needs one wm_node_release. Blocking (file system). */
int wm_node_attach(const struct wm_node_options *options,
                   struct wm_node **node);

/* Opens a segment for reading, without taking part. The processes of the node
 * do not notice a reader.
 * name: of the file, or of the instance; for an instance, a live segment is
 * opened before a dead one, and of these the caller's own before root's. Of
 * several, that is opened whose living master is the youngest process.
 * Another user's is opened by its file's name alone, and only by root.
 * directory: NULL for /dev/shm. node: out; it serves all functions that take a
 * `const struct wm_node *`.
 * Returns 0; -EINVAL; -ENOENT; -EACCES: may not be read; -EPERM: neither the
 * caller's nor root's; -ENOTSUP: more users may write to it than when it was
 * made; -EBADMSG: no segment; -ENODATA: cut short; -EPROTO: another ABI;
 * -EUCLEAN: damaged; -EXDEV: its node lives, and in another pid namespace;
 * -ENOMEM; -EMFILE. Any process. Blocking (file system). */
int wm_node_open(const char *name, const char *directory,
                 struct wm_node **node);

/* A segment in a directory. */
struct wm_node_entry {
    const char *name; /* of the file; wm_node_open takes it */
    int32_t live;     /* 1: somebody takes part; 0: nobody, or see error */
    int32_t error;    /* 0, or why `live` is not known, a negative errno: that
                         of open(2); -EBADMSG: a symbolic link */
    int32_t foreign;  /* 1: the file is neither the caller's nor root's; then
                         its owner can also make it seem live by a lock. 0, too,
                         if `error` says that it cannot be opened */
    int32_t reserved;
};

/* The function that wm_node_list() calls for a segment. */
typedef void wm_node_entry_fn(const struct wm_node_entry *entry,
                              void *argument);

/* Tells of each segment of an instance, in no order.
 * instance: NULL for all.
 * directory: NULL for /dev/shm. tell: called for each segment; the entry that
 * it is given lives until it returns. argument: handed on to it.
 * Returns 0, or the error of opendir(3). Any process. Blocking (file
 * system). */
int wm_node_list(const char *instance, const char *directory,
                 wm_node_entry_fn *tell, void *argument);

/* Unlinks a segment that nobody takes part in, also one that still has
 * something to tell.
 * name: of its file. directory: NULL for /dev/shm.
 * Returns 0; -EBUSY: somebody takes part; -EPERM: another user's, and the
 * caller is not root; -EINVAL: no name of a segment; -EBADMSG: a symbolic link;
 * -ENOENT; -EACCES; the error of unlink(2). Any process. Blocking (file
 * system). */
int wm_node_unlink(const char *name, const char *directory);

/* Lets the program that this process executes next take over the node. It is
 * for a server that replaces itself by execve(2): the new program attaches with
 * WM_NODE_ADOPT, and begins the node's next generation. A server that executes
 * its next binary in a forked child, as nginx does, needs no call. Call this
 * last: a fork or an attach takes it back. If the execution fails, there is
 * nothing to undo.
 * Returns 0; WM_IS_WORKER: this process is or was a worker, or was forked by
 * one, and what it executes takes part in nothing; -EDEADLK: this process holds
 * the lock, which the new program could not give back; -EBADF: something has
 * closed the segment's descriptor, and the file cannot be opened anew. Blocking
 * (file system). */
int wm_node_bequeath(struct wm_node *node);

/* Gives back one attach or open. The last one ends the handle: this process
 * takes part no more, and the segment is unlinked if nobody else takes part and
 * there is nothing to tell (no generation that is active, also one that nobody
 * has closed since its workers died; no end that is owed; no worker that has
 * not drained, and no crash of one that was not given; helpers do not count).
 * If this process still has a worker's record or the lock, it gives them back
 * first. A forked child has as many attaches as its parent had, and gives them
 * back for itself.
 * Returns 0; -EINVAL: all were given back before. Blocking (file system). */
int wm_node_release(struct wm_node *node);

/* Facts of a node.
 * info: size in, the rest out; the strings live as long as the handle.
 * Returns 0; -EINVAL: the size. Wait-free. */
int wm_node_describe(const struct wm_node *node, struct wm_node_info *info);

/* Tells what this process has found when it attached. A process that opened,
 * inherited or adopted the node has found nothing.
 * postmortem: size in, the rest out.
 * Returns 0; -EINVAL: the size. Wait-free. */
int wm_node_postmortem(const struct wm_node *node,
                       struct wm_postmortem *postmortem);

/* ------------------------------------------------------------ generation */

/* Begins a generation in the calling process, its master.
 * id: out, counts up from 1 over the node's life, and seldom skips a number.
 * reason: out, WM_REASON_START, _RELOAD or _UPGRADE; may be NULL.
 * Returns 0; WM_IS_WORKER: this process is or was a worker, or was forked by
 * one, so nothing has begun; id is that worker's generation, and reason is
 * WM_REASON_NONE;
 * -ENOBUFS: every record is that of a generation with workers. Lock-free; asks
 * the kernel about masters. */
int wm_generation_begin(struct wm_node *node, uint64_t *id, uint32_t *reason);

/* Says that the configuration of a generation is gone from this process. If the
 * generation can have no worker any more, it is aborted, as if it had never
 * been: that is so if it is the last one that this process began, if no worker
 * has joined, and if it is not the first one, of this handle or of the process
 * that it was forked with, with a fork since, which may have been that of a
 * daemon. In every other case nothing happens here; a sweep aborts a generation
 * without workers once a newer generation of the same master has a worker.
 * Returns WM_CLOSED if it was aborted; 0 if not.
 * Lock-free. */
int wm_generation_abandon(struct wm_node *node, uint64_t id);

/* Leaves the master's start callback to the workers of the generation: a master
 * that waits for the lock reaps no worker and starts none.
 * id: begun by the calling process.
 * Returns 0, or -EPERM: it was not. Called after the begin, before the first
 * fork. Lock-free. */
int wm_generation_leave_start(struct wm_node *node, uint64_t id);

/* Takes the master's start, if it was left to the workers. The caller, which
 * has the lock, then gives it: before the start or exit of any worker of the
 * generation. If nobody does, the start is not given.
 * Returns 1; 0: none is owed, or it was taken; or an error. Lock-free. */
int wm_generation_take_start(struct wm_node *node, uint64_t id);

/* Closes a generation that has no worker left: none that is joining, live, or
 * stalled with its process alive. A worker that has drained calls this, under
 * the lock.
 * Returns WM_CLOSED if this call closed it: its end is then owed, see
 * wm_generation_take_exit; 0 if it has workers, was closed before, or is
 * forgotten. Lock-free; asks the kernel about workers that seem to be there. */
int wm_generation_close(struct wm_node *node, uint64_t id);

/* Takes one owed end of the generation; the caller, which has the lock, then
 * gives it.
 * spell: out, the spell that has ended; may be NULL.
 * Returns 1, 0 if none is owed, or an error. Lock-free. */
int wm_generation_take_exit(struct wm_node *node, uint64_t id, uint32_t *spell);

/* A generation, as wm_generations() lists it. */
struct wm_generation_info {
    uint64_t id;    /* its number, from 1 */
    uint32_t state; /* enum wm_generation_state */
    uint32_t reason;
    uint32_t spell; /* spells that have begun so far */
    uint32_t exits_given;
    int32_t master;    /* pid */
    uint32_t deaths;   /* workers that crashed before they drained */
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

/* The way in which a worker joins. */
struct wm_join_options {
    uint32_t size;       /* sizeof(struct wm_join_options) */
    uint32_t role;       /* enum wm_role */
    uint32_t overdue_ms; /* stalled after so long without a beat; 0: 15,000;
                            UINT32_MAX: never */
    uint32_t expected;   /* workers of the generation; 0: unknown */
    int32_t master;      /* pid of the process that starts the generation's
                            workers; 0: the one that forked this process */
    uint32_t reserved;   /* 0 */
};

/* Joins the calling process to generation id. The worker is JOINING afterwards,
 * so that no other worker takes itself for the last one. A process has at most
 * one worker in each node; once it has joined, or found no room, it cannot
 * begin a generation there.
 * worker: out; the handle is the node's, and ends with it.
 * Returns 0; -EINVAL; -EALREADY: this process is a worker already; -ENOBUFS:
 * the table is full of living workers, and of crashes that nobody has taken
 * (wm_event_take) and which are not old enough (wm_sweep); -ENOENT: no such
 * generation has begun; -ESTALE: the generation is forgotten; -EPERM: the
 * generation has another master than `master` names. Lock-free. */
int wm_worker_join(struct wm_node *node, uint64_t id,
                   const struct wm_join_options *options,
                   struct wm_worker **worker);

/* Returns this process's worker of the node, or NULL if it has none.
 * Wait-free. */
struct wm_worker *wm_node_worker(const struct wm_node *node);

/* Counts of the workers that run, as the caller's callbacks see them. This
 * struct does not grow. */
struct wm_counts {
    int32_t previous; /* n_prev; -1: no such generation */
    int32_t mine;     /* n_mine */
    int32_t next;     /* n_next; -1: no such generation */
    uint32_t reason;  /* enum wm_reason */
    uint32_t spell;
    uint32_t unsettled; /* 1: they kept changing; these are the last look's */
    uint32_t reserved[2];
};

/* Whether the exits of generation id had better wait: another generation, whose
 * master lives and has begun none after it, still has workers to start. Old
 * workers have time; the new ones serve nobody until they have started. So an
 * exit asks this before it contends for the lock, again and again, in its event
 * loop and with a limit. A generation has workers to start until one has
 * joined, then until as many as it expects have (struct wm_join_options), and
 * none that has joined is still to start.
 * Returns 1; 0: no other generation serves, or the other one has started; 2: no
 * other generation has workers, but one that had may get some again, if its
 * master is told so (an upgrade that is taken back): wait a moment. Wait-free;
 * asks the kernel about masters, and workers that are joining. */
int wm_starts_awaited(const struct wm_node *node, uint64_t id);

/* Changes the worker from JOINING to LIVE. The worker calls this under the
 * lock, when its turn has come, or without it, when it has given up waiting.
 * Sweeps first, unless a process has looked at all workers within the last
 * second, and this one is among those that are expected, or replaces one that
 * is known to have ended: so the numbers may include some that have died
 * within that second.
 * counts: out, for the worker's start callback.
 * Returns 0; -ECHILD: the worker has left, or this is a forked child; -ESTALE:
 * the worker has drained, or lost its record. The worker's own act. Lock-free;
 * may ask the kernel about each worker. */
int wm_worker_start(struct wm_worker *worker, struct wm_counts *counts);

/* Counts for the worker's exit callback. Beats, and changes no state. Sweeps
 * first, unless a process has looked at all workers within the last second, and
 * another worker of the generation is proven to live: so the numbers may
 * include those that have died within that second, but only if this is not the
 * last.
 * counts: out; `mine` is 1 for the last worker; a helper does not count itself,
 * and sees how many workers there are.
 * Returns 0; -ECHILD; -ESTALE: the worker has drained, or lost its record. The
 * worker's own act. Lock-free. */
int wm_worker_exit_counts(struct wm_worker *worker, struct wm_counts *counts);

/* Says that the worker is about to leave by itself, and that its master will
 * replace it: its exit is then told WM_REASON_RETIRE in place of
 * WM_REASON_STOP, and the start of the next worker of its generation
 * WM_REASON_RESPAWN. Without this call the exit of a lone worker looks the same
 * as the stop of the server.
 * Returns 0, also when it is called again; -ECHILD. The worker's own act.
 * Lock-free. */
int wm_worker_retire(struct wm_worker *worker);

/* Has the worker say itself what ends it, where no parent does so: a signal for
 * a fault of its own (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP,
 * SIGSYS), or a call of exit(3) (with glibc alone). The handlers run on an
 * alternate stack, call those that were there before, with their masks, and
 * let the process end as it would have ended without them, with its core. A
 * signal that is ignored stays so. The former ones come back as the last worker
 * of the process leaves, unless the program has set others since. SIGKILL and
 * _exit(2) leave no word.
 * Returns 0, also when it is called again; -ECHILD; -ENOMEM; -ENOBUFS: eight
 * workers of this process do so. The worker's own act; it gives the calling
 * thread the stack if it has none. Lock-free, but for a lock of the process. */
int wm_worker_record_end(struct wm_worker *worker);

/* Changes the worker to DRAINING: it serves old connections, does not count any
 * more, and leads no more.
 * Returns 0, also when it is called again; -ECHILD; -ESTALE. The worker's own
 * act. Lock-free. */
int wm_worker_drain(struct wm_worker *worker);

/* Gives the worker's record back. This ends the handle.
 * Returns 0; -ECHILD; -ESTALE: the worker had made room for another already.
 * The worker's own act. Lock-free. */
int wm_worker_leave(struct wm_worker *worker);

/* Gives a heartbeat: reads the coarse clock, and, if its millisecond has no
 * beat of this worker yet, does one CAS on the worker's own line.
 * Returns 0; WM_RECOVERED: the worker had been marked stalled, and is live
 * again; -ESTALE: the record is not this worker's any more, or a forked child
 * uses the handle. Any thread of the worker. Async-signal-safe. Wait-free. */
int wm_beat(struct wm_worker *worker);

/* Gives a heartbeat at a time that the caller has at hand.
 * now_ms: CLOCK_MONOTONIC, ms. A time that is not newer than the last beat
 * changes nothing, except that a stalled worker recovers. A time that is newer
 * by more than overdue_ms (15 s if that is UINT32_MAX) counts as that of the
 * clock, if it is ahead of the clock: so microseconds, passed by mistake, are
 * as wm_beat(). A beat that has come to lie further ahead than that and a
 * second, by smaller steps, counts as overdue. Returns as wm_beat, and is as
 * safe. Wait-free. */
int wm_beat_at(struct wm_worker *worker, uint64_t now_ms);

/* The clock of all times here: CLOCK_MONOTONIC in ms, a few ms coarse.
 * Async-signal-safe. Wait-free. */
uint64_t wm_now(void);

#define WM_NOTE_MAX 56  /* bytes of a note */
#define WM_NOTE_SIZE 64 /* of a buffer for one, with a NUL behind it */

/* Says what the worker does now, for all that look at it, and for those that
 * are told if it ends or stalls meanwhile; and beats. The note holds until the
 * next one. Readers see one note, whole, or none.
 * text: a line; of one that is longer than WM_NOTE_MAX bytes, its beginning.
 * Bytes are kept as they are, so whoever shows them escapes them. NULL or "":
 * the worker has no note any more.
 * Returns as wm_beat; -EBUSY: the note is dropped, since another thread of the
 * worker, or the caller that this one interrupts, is just writing one, or a
 * thread of the record's former worker was. As safe as wm_beat.
 * Async-signal-safe. Wait-free. */
int wm_note(struct wm_worker *worker, const char *text);

/* Returns how many recoveries of this worker are owed: stalls that it came back
 * from, and that were given to a callback as WM_EVENT_STALLED. The worker's own
 * act. Wait-free. */
uint32_t wm_worker_recoveries(const struct wm_worker *worker);

/* Takes one owed recovery of this worker, which the caller then gives.
 * Returns 1, or 0 if none is owed. The worker's own act. Wait-free. */
int wm_worker_recovery_take(struct wm_worker *worker);

/* Returns 1 while the handle belongs to this process and its worker has its
 * record, else 0. Any thread. Async-signal-safe. Wait-free. */
int wm_worker_has_record(const struct wm_worker *worker);

/* Three facts of the joining that the handle stands for, also after the worker
 * has left, until the process tries to join again: its slot, a small number
 * that is unique among all workers that have a record (0 to capacity - 1); its
 * generation; and the spell, counted from 1, or 0 for a helper.
 * Wait-free. */
uint32_t wm_worker_slot(const struct wm_worker *worker);
uint64_t wm_worker_generation(const struct wm_worker *worker);
uint32_t wm_worker_spell(const struct wm_worker *worker);

/* --------------------------------------------------------------- sweeping */

/* Does the timer's work: beats, and sweeps if no other worker has done the
 * sweep of this interval yet. This sweep looks only at workers that have not
 * beaten within the interval; a death or a stall is noticed within two
 * intervals.
 * interval_ms: time between two sweeps of the node, and between two ticks of a
 * worker.
 * Returns as wm_beat. The worker's own act. Lock-free; the sweep asks the
 * kernel about these workers. */
int wm_tick(struct wm_worker *worker, uint32_t interval_ms);

/* Looks at every record: marks dead and overdue workers, frees records that are
 * not needed any more, and settles generations that have no worker left. A
 * process that was itself silent for longer than a worker may be does not mark
 * it as stalled: a worker since its last beat, a process without a record since
 * its last sweep; so the latter's first sweep marks nobody as stalled. A
 * crash or stall that it marks is owed as an event, see wm_event_take; a
 * crashed worker keeps its record until its crash was taken; once its last beat
 * is overdue_ms old (15 s if that is UINT32_MAX), only as long as the table has
 * room for those that join.
 * self: the caller's worker, or NULL.
 * Returns how many records or generations it changed. Lock-free; asks the
 * kernel about each worker, some microseconds each. */
int wm_sweep(struct wm_node *node, struct wm_worker *self);

/* Says that a process has ended, which the caller, as its parent, has just
 * reaped. If it was a worker, its end is marked and owed at once, and no other
 * process has to find it; the start that replaces it knows of it. A master that
 * reaps may tell of all that it reaps, from any thread.
 * pid, status: as waitpid(2) returned them; a process that was only stopped has
 * not ended. The status is kept as the end of the worker.
 * Returns 1 if it marks a worker; 0: the process was none, had left, or was
 * found before; -EINVAL: pid. Lock-free; asks the kernel about that process. */
int wm_worker_reaped(struct wm_node *node, int32_t pid, int status);

/* The causes of which a worker's process dies. */
enum wm_cause {
    WM_CAUSE_NONE,    /* it has not ended, or has left before */
    WM_CAUSE_UNKNOWN, /* nobody saw it; most likely it was killed by SIGKILL */
    WM_CAUSE_EXIT,    /* it ended itself, with an exit code */
    WM_CAUSE_SIGNAL,  /* a signal ended it */
    WM_CAUSE_KILLED   /* that signal was SIGKILL: the kernel says so */
};

/* The process that knows it: the later of two is the better witness. */
enum wm_witness {
    WM_WITNESS_NONE,
    WM_WITNESS_SELF,  /* the worker, as it came: wm_worker_record_end() */
    WM_WITNESS_PARENT /* it was told by waitpid(2) */
};

/* How a worker ended. */
struct wm_end {
    uint32_t cause;   /* enum wm_cause */
    uint32_t witness; /* enum wm_witness */
    uint32_t code;    /* exit code, or number of the signal */
};

/* The kinds of event. Those of other workers and of generations are owed to the
 * survivors, and any one of these gives them; the others are a worker's own. */
enum wm_event_kind {
    WM_EVENT_MASTER_EXIT = 1, /* a generation has no worker left */
    WM_EVENT_CRASHED,         /* a worker's process ended before it drained */
    WM_EVENT_STALLED,         /* a worker does not beat */
    WM_EVENT_WORKER_START,    /* from wm_start_next() */
    WM_EVENT_RECOVERED,       /* from wm_exit_next(): back from a stall */
    WM_EVENT_WORKER_EXIT,     /* from wm_exit_next() */
    WM_EVENT_DRAINED,         /* from wm_exit_next(): leads no more */
    WM_EVENT_CRASHED_DRAINING /* a worker's process ended after it had drained,
                                 before it left: it did not count any more */
};

/* A bit mask of all kinds, as the functions below take them:
 * 1 << enum wm_event_kind. */
#define WM_EVENTS_ALL UINT32_MAX

/* An event that is given. */
struct wm_event {
    uint32_t size; /* in: sizeof(struct wm_event) */
    uint32_t kind; /* enum wm_event_kind */
    uint64_t generation;
    uint64_t join; /* 0: the event is of no worker */
    int32_t pid;   /* of the worker, or of the generation's master */
    uint32_t slot; /* WM_NO_SLOT: the event is of no worker */
    uint32_t role; /* enum wm_role */
    uint32_t spell;
    struct wm_counts counts; /* of WORKER_START and WORKER_EXIT; of MASTER_EXIT
                                the reason alone, WM_REASON_CRASH if the last
                                workers died before they left; else 0, and
                                wm_generation_counts() tells */
    struct wm_end ended;     /* of the worker that crashed */
    char note[WM_NOTE_SIZE]; /* of the worker that crashed or stalled, or "" */
};

/* The function that is given an event, under the lock. If it gives the lock
 * back, it is given nothing more. */
typedef void wm_event_fn(const struct wm_event *event, void *argument);

/* Returns how many events of these kinds are owed. A worker counts as one,
 * however many it owes; a generation counts with each of its ends.
 * kinds: bit mask, 1 << enum wm_event_kind. Wait-free. */
int wm_events_owed(const struct wm_node *node, uint32_t kinds);

/* Takes one owed event, which the caller then gives. It is marked first, so
 * that it is given at most once. The caller has the lock, so that events are
 * given one at a time.
 * kinds: as above. event: size in, the rest out.
 * Returns 1, or 0 if none is owed; -EINVAL: the size.
 * Lock-free. */
int wm_event_take(struct wm_node *node, uint32_t kinds, struct wm_event *event);

/* Sweeps; then, if the lock is free, takes all owed events and gives them to
 * the function, under the lock.
 * self: the caller's worker, or NULL. give: the function; NULL takes the events
 * and gives them to nobody, for a caller that reads the event log, or does not
 * want to know. argument: handed on.
 * Returns how many events were taken. Waits for no lock. */
int wm_events_give(struct wm_node *node, struct wm_worker *self,
                   wm_event_fn *give, void *argument);

/* ---------------------------------------------------------------- looking */

/* Counts the workers that run, as the callbacks of generation id's master would
 * see them. In an upgrade both binaries may serve, and `next` of the newer
 * generation is -1 until that is over.
 * counts: out.
 * Returns 0, or WM_UNSETTLED: they kept changing, and the counts are the last
 * look's. Wait-free (bounded looks). */
int wm_generation_counts(const struct wm_node *node, uint64_t id,
                         struct wm_counts *counts);

/* A worker, as a snapshot shows it. */
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
    uint32_t stalls; /* that the worker came back from */
};

/* Lists all records in use, by slot, as they were at one moment. A worker that
 * has started is STALLED once its beat is overdue, also if no process sweeps;
 * but LIVE while it holds the lock, once its master has replaced its generation
 * by one whose workers have not all died, and once a process has found that the
 * whole machine was stopped.
 * list, element: the entries, and sizeof(*list). room: entries in `list`, which
 * should be the node's capacity. count: out, entries written.
 * Returns 0; WM_UNSETTLED: two looks never agreed, the last is in the list;
 * -ENOSPC: more than room; -EINVAL: the size. Wait-free (bounded looks). */
int wm_snapshot(const struct wm_node *node, struct wm_worker_info *list,
                uint32_t element, uint32_t room, uint32_t *count);

/* Facts of a worker beside those of a snapshot. */
struct wm_worker_detail {
    uint32_t size;           /* in: sizeof(struct wm_worker_detail) */
    struct wm_end ended;     /* if it has crashed */
    uint64_t drained_at;     /* ms; 0: it has not drained */
    char note[WM_NOTE_SIZE]; /* "": none */
};

/* Looks at one worker of a snapshot more closely.
 * slot, join: as the snapshot has them. detail: size in, the rest out.
 * Returns 0; -ESTALE: the worker has left, and may have made room for another;
 * -EINVAL: slot or size. Wait-free. */
int wm_worker_inspect(const struct wm_node *node, uint32_t slot, uint64_t join,
                      struct wm_worker_detail *detail);

/* ----------------------------------------------------------------- leader */

/* The worker that leads. */
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

/* Asks which worker leads, and stands for the lead. A worker takes it only if
 * it is live, and of the newest generation that has live workers. If none of
 * these leads, and the caller's worker is one of them, it leads from now on,
 * with the next term. But within an interval after it joined (that of its last
 * wm_tick(), else a second), it leaves a free lead to those of its generation
 * that have beaten for longer than that, if there are any. A leader of an older
 * generation leads on until a worker of the newest one takes the lead. At most
 * one worker ever holds a term. The answer was true at one moment of the call.
 * A worker may be stopped after it asked, while another takes over; so it hands
 * the term along to whatever it writes to.
 * leader: size in, the rest out.
 * Returns 1 if the caller's worker leads, 0 if not; -ECHILD; -EINVAL: the size.
 * The worker's own act. Wait-free; some loads while the leader stands, else it
 * reads all records. */
int wm_leader_stand(struct wm_worker *worker, struct wm_leader *leader);

/* Asks which worker leads, without standing. Any process.
 * leader: size in, the rest out. Returns 0; -EINVAL: the size. Wait-free. */
int wm_leader_inspect(const struct wm_node *node, struct wm_leader *leader);

/* -------------------------------------------------------------- event log */

/* The kinds of change that the event log tells of. */
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
    WM_LOG_WORKER_FORGOTTEN,   /* crashed, and its record is free again */
    WM_LOG_WORKER_DRAIN_CRASH, /* its record is CRASHED_DRAINING */
    WM_LOG_GENERATION_GONE,
    WM_LOG_WORKER_END /* how one ended that had been found dead before */
};

/* Stands for a slot where there is no worker. */
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
    struct wm_end ended; /* of the worker that crashed */
};

/* Reads the event log, a ring in the segment that outlives the processes.
 * since: in, the number that was read last (0: begin with the oldest there is);
 * out, the number that this call came to. list, element: the entries, and
 * sizeof(*list).
 * room: entries in `list`. count: out, entries written, oldest first. missed:
 * out, numbers in between whose entries are overwritten, or were not finished
 * within a second, as their writer died or was stopped; may be NULL. An
 * unfinished entry that no finished one follows is left to a later call.
 * Returns 0; WM_UNSETTLED: one entry is still being written, and finished ones
 * behind it wait for a later call, which tells them within a second; -EINVAL:
 * the size. Wait-free. */
int wm_log_read(const struct wm_node *node, uint64_t *since,
                struct wm_log_entry *list, uint32_t element, uint32_t room,
                uint32_t *count, uint64_t *missed);

/* Returns the epoch, a number that differs after each change: a worker joins,
 * starts, stalls, recovers, drains, leaves, crashes or is forgotten; a
 * generation changes, or the lead. A beat does not change it, and neither does
 * an owed event that is given. Wait-free. */
uint32_t wm_epoch(const struct wm_node *node);

/* Sleeps until the epoch differs from this one. A process that takes the epoch,
 * then looks, then waits, misses no change. It may return early.
 * timeout_ms: 0 for none.
 * Returns 0; -ETIMEDOUT; -EINTR: a signal. Any process, also with a handle that
 * only reads. Blocking. */
int wm_wait(const struct wm_node *node, uint32_t epoch, uint32_t timeout_ms);

/* Wakes all threads that sleep in wm_wait() on the node, in every process; they
 * return 0 as if early. Nothing is written, so a handle that only reads is
 * enough. It does not wake a thread that is about to sleep. To stop such a
 * thread, set a flag that it checks before it sleeps, and call this until the
 * thread has answered.
 * Returns how many were asleep. Any process, any thread. Wait-free (one system
 * call). */
int wm_wake(const struct wm_node *node);

/* ------------------------------------------------------------------- lock */

/* The lifecycle lock orders callbacks: one runs at a time over the node. A dead
 * holder's lock passes on; a living one's never does. It is not needed for any
 * change of state, and a heartbeat never touches it.
 *
 * Starts go first, those of masters and of workers (enum wm_purpose): who waits
 * for one of them has time, and they serve nobody until then. After four starts
 * in a row another contender goes first, if there is one. */

/* The purposes of the lock that have names: those of the nginx module. Any
 * program may use them. Numbers of a program's own are smaller. */
enum wm_purpose {
    WM_PURPOSE_MASTER_START = 0x10001, /* a master's start callback */
    WM_PURPOSE_WORKER_START,           /* a worker's */
    WM_PURPOSE_WORKER_EXIT,            /* a worker's exit, with all events */
    WM_PURPOSE_EVENTS,                 /* events that are owed of others */
    WM_PURPOSE_OWN_EVENTS              /* between a worker's start and exit */
};

/* The way in which to wait for the lock. */
struct wm_lock_options {
    uint32_t size;    /* sizeof(struct wm_lock_options) */
    uint32_t purpose; /* enum wm_purpose, or a number of the caller's own */
    uint32_t hold_ms; /* give up when one holder has it for longer; 0: never */
    uint32_t wait_ms; /* give up after waiting for so long; 0: never */
};

/* Waits for the lock: the thread sleeps, and wakes to beat. The lock belongs to
 * the process, not to the thread.
 * options: NULL for no limits.
 * Returns 0; WM_RECOVERED: the former holder died while it had the lock;
 * -ETIMEDOUT: one of the limits was reached; -EDEADLK: this process has the
 * lock already; -EINVAL. Blocking. */
int wm_lock_acquire(struct wm_node *node,
                    const struct wm_lock_options *options);

/* Tries once to take the lock.
 * purpose: as in struct wm_lock_options. queue: non-zero announces that the
 * caller waits, and will try again; sleepers do not overtake it.
 * Returns 0; WM_RECOVERED; -EBUSY: another process has it, or is next;
 * -EINPROGRESS: the same, and the caller is the next of those that queue, or
 * looks whether the holder lives, for all that wait: it has to try again within
 * 50 ms, while the others have time; -EDEADLK. Lock-free. */
int wm_lock_try(struct wm_node *node, uint32_t purpose, int queue);

/* Releases the lock, after a beat.
 * Returns 0; -EPERM: this process does not have it. Wait-free. */
int wm_lock_release(struct wm_node *node);

/* One holding of the lock, for a caller whose thread may be ended while the
 * lock is held: a cleanup handler gives back just this holding. This struct
 * does not grow. */
struct wm_lock_hold {
    struct wm_node *node;
    uint64_t word;
};

/* Notes the holding that this process has now. hold: out. Wait-free. */
void wm_lock_hold_note(struct wm_node *node, struct wm_lock_hold *hold);

/* Releases the lock if that holding has not ended yet.
 * hold: a struct wm_lock_hold; its node must not be released yet. Wait-free. */
void wm_lock_hold_release(void *hold);

/* The holder of the lock, as wm_lock_inspect() tells it. */
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

/* A worker's start and exit, one step at a time. Each has a begin function and
 * a next function. A call of the next function does the work that belongs
 * between two callbacks, and returns the event for the second one, until there
 * is no event left. The caller gives each event before it asks for the next
 * one, in its own way: it may yield to an event loop meanwhile. wm_start_run()
 * and wm_exit_run() do all of it for a caller that has a function to give the
 * events to.
 *
 * kinds: a bit mask, 1 << enum wm_event_kind, of the events that the caller can
 * give. The caller has the lock from before it calls the begin function until
 * the next function has returned 0. A caller that could not get the lock passes
 * 0: the worker changes its state all the same, and nothing is given. */

/* Begins the start of a worker that has joined. It may be called again; the
 * start is given only once. A worker that has waited for too long starts with
 * kinds 0, serves, and begins again once it has the lock; until then the starts
 * of others do not count it in `mine`.
 * kinds: see above; WM_EVENT_WORKER_START matters.
 * Returns 0; -ECHILD: the worker has left, or this is a forked child; -ESTALE:
 * its exit has begun. The worker's own act. Wait-free. */
int wm_start_begin(struct wm_worker *worker, uint32_t kinds);

/* Makes the worker LIVE, as wm_worker_start() does, and returns its start.
 * event: size in; out, WM_EVENT_WORKER_START with its counts.
 * Returns 1: give this event; 0: done; -ECHILD; -ESTALE: the worker's exit has
 * begun, it has drained, or lost its record; -EINVAL: the size. After an error
 * the worker has not started: a further call tries again. The worker's own act.
 * Lock-free; asks the kernel about each worker. */
int wm_start_next(struct wm_worker *worker, struct wm_event *event);

/* Waits for the lock, starts the worker, gives its start, releases the lock.
 * lock: as wm_lock_acquire(); purpose 0: WM_PURPOSE_WORKER_START. give: called
 * with the start; may be NULL. argument: handed on.
 * Returns 0; -ETIMEDOUT: a limit of the lock was reached, the worker is LIVE
 * and its start was not given, and is given by a later call; -EDEADLK: this
 * process has the lock, nothing was done; -ECHILD; -ESTALE; -EINVAL. The
 * worker's own act. Blocking. */
int wm_start_run(struct wm_worker *worker, const struct wm_lock_options *lock,
                 wm_event_fn *give, void *argument);

/* Begins a worker's exit. It may be called again after an exit that was cut
 * short: events that were given are not given again.
 * kinds: see above; all but WM_EVENT_WORKER_START matter. An event of another
 * worker stays owed if its kind is left out; the worker's own exit, if left
 * out, is never given.
 * Returns 0; -ECHILD: the worker has left, or this is a forked child. The
 * worker's own act. Wait-free. */
int wm_exit_begin(struct wm_worker *worker, uint32_t kinds);

/* Does the next step of a worker's exit, and returns the event to give, in this
 * order: each event that is owed of others (they may have no other survivor);
 * each recovery of the worker's own; WM_EVENT_WORKER_EXIT, whose counts.mine is
 * 1 for the last worker (a helper, or a worker that has drained or lost its
 * record before, counts itself in, and is never the last);
 * WM_EVENT_DRAINED, after the worker has drained, and has closed its generation
 * if that has no worker left; each event of others that its exit has found;
 * WM_EVENT_MASTER_EXIT for each owed end of its generation. In each place of
 * this order it returns at most twice the node's capacity and 64 more.
 * event: size in, the rest out.
 * Returns 1: give this event; 0: done; WM_CLOSED: done, and this worker has
 * closed its generation, whose end stays owed to another; -ECHILD; -EINVAL: the
 * size. The worker's own act. Lock-free; asks the kernel about each worker. */
int wm_exit_next(struct wm_worker *worker, struct wm_event *event);

/* Waits for the lock, gives all events of a worker's exit, releases the lock.
 * The worker is DRAINING afterwards; at the end of its process it calls
 * wm_worker_leave().
 * lock: as wm_lock_acquire(). give: called with each event; NULL takes and
 * gives to nobody. argument: handed on.
 * Returns 0; -ETIMEDOUT: a limit of the lock was reached, the worker has
 * drained and nothing was given; -EDEADLK: this process has the lock, nothing
 * was done; -ECHILD; -EINVAL. The worker's own act.
 * Blocking. */
int wm_exit_run(struct wm_worker *worker, const struct wm_lock_options *lock,
                wm_event_fn *give, void *argument);

#ifdef __cplusplus
}
#endif

#endif
