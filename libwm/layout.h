/* SPDX-License-Identifier: Apache-2.0 */

/* The bytes of a segment. A table for each struct says which processes write
 * and read each field, and whether a stale value may be read. protocol.md
 * argues why the protocol on these bytes is right; the accessors of a field say
 * the order of each access.
 *
 * Every field that can change after the segment was made is an _Atomic. No
 * pointer and no libc object is stored: a broken worker may scribble over all
 * of this, and must do no worse to the others than to show them wrong numbers.
 *
 * The segment may be another minor version's, with longer structs: strides and
 * the header's size are in the constants, and wm_*_at() go by them. A field
 * that is added later lies behind those of today or in a reserved place. It
 * carries the number of the joining (or generation) that wrote it, so a reader
 * can tell that an older version left it alone. */

#ifndef WM_LAYOUT_H
#define WM_LAYOUT_H

#include "wm.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WM_MAGIC UINT64_C(0x1a0a0d6d7762696c) /* "libwm\r\n\x1a" */
#define WM_ABI 1 /* of the format; minor versions differ in features */
#define WM_LINE 64

#define WM_INSTANCE_SIZE 64 /* with the closing NUL */
#define WM_CAPACITY_MAX 65535u
#define WM_GENERATIONS_SPARE 64u /* records beyond one for each worker */
#define WM_LOG_MAX 1048576u

/* The hot line of a record, one for each worker. Counts and snapshots read
 * nothing else.
 *
 *   field       written by                 read by        stale?
 *   word        its worker, sweepers; CAS  all            no: a swap decides
 *   generation  its joiner                 all            told by word and join
 *   join        its joiner, first          all            told by the word
 *   role        its joiner                 all            told by word and join
 *   overdue_ms  its joiner                 sweepers       told by word and join
 *   joined_at   its joiner                 snapshots      told by word and join
 *   stalls      its worker; CAS            event takers   yes: an event later
 *   untold      its joiner, its worker     counts         told by word and join
 *
 * join is unique over the node's life. untold is the join number until the
 * worker's start is given. "Told by": the reader finds out from that field that
 * the value belongs to another occupant. */
struct wm_record {
    _Alignas(WM_LINE) _Atomic(uint64_t) word;
    _Atomic(uint64_t) generation;
    _Atomic(uint64_t) join;
    _Atomic(uint32_t) role;
    _Atomic(uint32_t) overdue_ms;
    _Atomic(uint64_t) joined_at; /* CLOCK_MONOTONIC, ms */
    _Atomic(uint64_t) stalls;
    _Atomic(uint64_t) untold;
    uint64_t reserved;
};

#define WM_TEXT_WORDS 7

/* The cold lines of a record.
 *
 *   field       written by                 read by        stale?
 *   ident       its joiner                 sweepers       told by the pid
 *   spell       its joiner, when entered   event takers   yes: 0 until then
 *   given       its joiner, last; takers,  event takers   no: a swap decides
 *               CAS
 *   drained_at  its joiner, its worker     all            told by the word
 *   end         its joiner; witnesses,     all            told by itself
 *               CAS
 *   report      its joiner, its worker     all            told by itself
 *   note        its joiner, its worker;    all            no: a swap decides
 *               CAS
 *   text        its worker                 all            told by note
 */
struct wm_record_cold {
    _Alignas(WM_LINE) _Atomic(uint64_t) ident; /* of this very claim */
    _Atomic(uint64_t) spell;
    _Atomic(uint64_t) given;
    _Atomic(uint64_t) drained_at; /* CLOCK_MONOTONIC, ms; 0: it has not */
    _Atomic(uint64_t) end;
    _Atomic(uint64_t) report;
    uint64_t reserved_life[2];
    _Alignas(WM_LINE) _Atomic(uint64_t) note;
    _Atomic(uint64_t) text[WM_TEXT_WORDS]; /* of the note */
};

/* One generation. The record of generation g lies at g modulo the number of
 * records, so that a late joiner finds it, or finds that it is gone.
 *
 *   field       written by                 read by        stale?
 *   word        all; CAS                   all            no: a swap decides
 *   id          its beginner               all            told by the word
 *   master      its beginner, its first    all            yes: the beginner's
 *               joiner; before that also                  for a moment
 *               a fork of the beginner
 *   begun_at    its beginner               lists          told by the word
 *   reason      its beginner               starts, lists  told by the word
 *   deaths      sweepers; CAS              lists, names   yes: a name
 *   replaced    starts, under the lock     names          yes: a name
 *   joined      joiners; CAS               joiners, exits no: a swap decides
 *   expected    joiners; all the same      exits          yes: a courtesy
 *   retired     its workers; starts        starts         yes: a name
 *   start_owed  its beginner; takers, CAS  its workers    no: a swap decides
 *
 * Only the names of starts and ends depend on deaths, replaced and retired.
 * retired are the workers that left by themselves and are not replaced yet.
 * start_owed is the id if the start callback of the master is left to the
 * workers, else 0. */
struct wm_generation_record {
    _Alignas(WM_LINE) _Atomic(uint64_t) word;
    _Atomic(uint64_t) id;
    _Atomic(uint64_t) master;   /* a process, as ident */
    _Atomic(uint64_t) begun_at; /* CLOCK_MONOTONIC, ms */
    _Atomic(uint32_t) reason;
    _Atomic(uint32_t) deaths;
    _Atomic(uint32_t) replaced; /* starts that made up for a death */
    _Atomic(uint32_t) joined;
    _Atomic(uint32_t) expected;
    _Atomic(uint32_t) retired;
    _Atomic(uint64_t) start_owed;
};

#define WM_PROBERS 2 /* of those that wait for the lock */

/* The lifecycle lock.
 *
 *   field       written by                 read by        stale?
 *   word        contenders; CAS            all            no: a swap decides
 *   next        pollers; CAS               contenders     yes: a courtesy
 *   wake        releases; a futex          sleepers       no: the kernel looks
 *   wake_starts releases; a futex          starts         no: the kernel looks
 *   start       starts that wait; CAS      contenders     yes: a courtesy
 *   probers     waiters; CAS               waiters        yes: a courtesy
 *   row         holders: starts in a row   contenders     yes: a courtesy
 *   holder_*    the holder, the sequence   all            told by the sequence
 *               last                                      and the word
 */
struct wm_lock_area {
    _Alignas(WM_LINE) _Atomic(uint64_t) word;
    _Atomic(uint64_t) next;
    _Atomic(uint32_t) wake;
    _Atomic(uint32_t) wake_starts;
    _Atomic(uint64_t) start;
    _Atomic(uint64_t) probers[WM_PROBERS];
    uint64_t reserved_probers[2];
    _Alignas(WM_LINE) _Atomic(uint64_t) holder_sequence;
    _Atomic(uint64_t) holder_since;
    _Atomic(uint64_t) holder_generation;
    _Atomic(uint32_t) holder_purpose;
    _Atomic(uint32_t) row;
};

/* The lead.
 *
 *   field       written by                 read by        stale?
 *   word        the worker that takes or   all            no: a swap decides
 *               gives up the lead; CAS
 *   slot        the worker that leads      all            yes: a hint, told by
 *                                                         the record's join
 */
struct wm_leader_area {
    _Alignas(WM_LINE) _Atomic(uint64_t) word;
    _Atomic(uint32_t) slot;
    uint32_t reserved;
};

/* One entry of the event log. A writer takes a number, writes the fields, then
 * their checksum with that number; a reader believes what the checksum proves.
 * So a writer that dies, or one that sleeps while the ring goes round once,
 * spoils one entry, and misleads no reader.
 *
 *   field       written by                 read by        stale?
 *   check       the entry's writer, last   all            told by itself
 *   the rest    the entry's writer         all            told by check
 */
struct wm_log_record {
    _Alignas(WM_LINE) _Atomic(uint64_t) check;
    _Atomic(uint64_t) time; /* CLOCK_REALTIME, ms */
    _Atomic(uint64_t) generation;
    _Atomic(uint64_t) value;
    _Atomic(uint64_t) subject; /* pid:32 | slot:32 */
    _Atomic(uint64_t) kind;
    uint64_t reserved[2];
};

/* The features that this library knows: bits in the constants, which say how a
 * segment is made. A library refuses a segment with an incompatible bit that it
 * does not know; such a compatible bit does not concern it. A process goes by
 * the segment's bits, and not by its own version. */
#define WM_FEATURES_COMPATIBLE UINT64_C(0)
#define WM_FEATURES_INCOMPATIBLE UINT64_C(0)

/* The header.
 *
 *   field            written by               read by     stale?
 *   next_join        joiners; a count         joiners     no: a number is taken
 *   next_generation  beginners; a count       all         yes: a moment old
 *   first_active     first joiners; CAS       counts      yes: a moment old
 *   dropped          joiners in a full table  tools       yes: a total
 *   exits_lost       beginners                tools       yes: a total
 *   high             joiners, before a claim  all         no: an order [I]
 *   free_from        joiners, leavers,        joiners     yes: a longer search
 *                    sweepers of all; CAS
 *   next_sweep       ticks; CAS               ticks       no: a swap decides
 *   awake_since      sweepers that were late  judges      yes: a moment old
 *   looked_at        sweepers of all          starts,     yes: a look too many
 *                                             exits
 *   log_next         writers of the log       all         yes: an older epoch
 *   successor        heirs, under the         heirs       no: the file's lock
 *                    file's exclusive lock
 *
 * The magic is stored last, and all before next_join never changes after it. */
struct wm_segment_header {
    _Alignas(WM_LINE) _Atomic(uint64_t) magic;
    uint32_t abi;
    uint32_t header_size;
    uint64_t size;
    uint32_t capacity;
    uint32_t generations;
    uint64_t pid_namespace; /* inode of /proc/self/ns/pid, 0 if unknown */
    uint64_t created;       /* CLOCK_REALTIME, ms */
    uint32_t log_entries;
    uint32_t mode; /* of the file, as it was made */
    uint32_t tag;  /* what the process that made it has it for; 0: not said */
    uint32_t reserved0;

    char instance[WM_INSTANCE_SIZE];

    uint64_t compatible; /* features */
    uint64_t incompatible;
    uint32_t record_stride; /* bytes from one to the next */
    uint32_t cold_stride;
    uint32_t generation_stride;
    uint32_t log_stride;
    uint64_t reserved1[4];

    /* Rarely written. */
    _Alignas(WM_LINE) _Atomic(uint64_t) next_join;
    _Atomic(uint64_t) next_generation;
    _Atomic(uint64_t) first_active; /* least id that ever had a worker */
    _Atomic(uint64_t) dropped;      /* draining or crashed that made room */
    _Atomic(uint64_t) exits_lost;   /* owed exits whose record was reused */
    _Atomic(uint32_t) high;         /* no slot from here on was ever used */
    _Atomic(uint32_t) free_from;    /* a slot with none free below, it seems */
    uint64_t reserved3[2];
    uint64_t reserved_totals[16];

    /* When the next sweep is due, ms: a CAS on it elects the sweeper. */
    _Alignas(WM_LINE) _Atomic(uint64_t) next_sweep;
    _Atomic(uint64_t) awake_since; /* ms: no worker is judged from before */
    _Atomic(uint64_t) looked_at;   /* ms: the kernel was asked about all */
    uint64_t reserved4[5];

    struct wm_lock_area lock;
    struct wm_leader_area leader;

    /* Numbers of the event log that were taken; its low half is a futex. */
    _Alignas(WM_LINE) _Atomic(uint64_t) log_next;
    uint64_t reserved5[7];

    _Atomic(uint64_t) successor; /* the process that goes on in another one */
    uint64_t reserved_succession[7];
};

/* The sizes of the first version, which every segment has at least. */
#define WM_HEADER_LEAST 768u
#define WM_RECORD_LEAST 64u
#define WM_COLD_LEAST 128u
#define WM_GENERATION_LEAST 64u
#define WM_LOG_LEAST 64u
/* No version goes beyond this. */
#define WM_STRIDE_MOST 4096u

static_assert(sizeof(struct wm_record) >= WM_RECORD_LEAST, "a line a worker");
static_assert(sizeof(struct wm_record_cold) >= WM_COLD_LEAST, "two cold lines");
static_assert(sizeof(struct wm_generation_record) >= WM_GENERATION_LEAST,
              "a line a generation");
static_assert(sizeof(struct wm_log_record) >= WM_LOG_LEAST, "a line an entry");
static_assert(sizeof(struct wm_segment_header) >= WM_HEADER_LEAST, "header");
static_assert(offsetof(struct wm_segment_header, instance) == WM_LINE,
              "instance follows the constants");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
              "atomics in shared memory must not hide a lock");

/* How much of the header never changes. */
#define WM_CONSTANTS offsetof(struct wm_segment_header, next_join)

/* How a segment is made: numbers, strides, and what follows from them. */
struct wm_geometry {
    uint32_t tag;
    uint32_t capacity;
    uint32_t generations;
    uint32_t log_entries;
    uint32_t header_size;
    uint32_t record_stride;
    uint32_t cold_stride;
    uint32_t generation_stride;
    uint32_t log_stride;
    uint64_t records; /* byte offsets of the four arrays */
    uint64_t colds;
    uint64_t generation_records;
    uint64_t log;
    uint64_t size; /* the whole: 5 GB at most, which may be too much to map */
};

/* Fills in the offsets and the size. They do not overflow within the bounds of
 * a checked header; the caller checks whether the process can map so much. */
static inline void wm_geometry_lay_out(struct wm_geometry *g)
{
    g->generations = g->capacity + WM_GENERATIONS_SPARE;
    g->records = g->header_size;
    g->colds = g->records + (uint64_t)g->capacity * g->record_stride;
    g->generation_records = g->colds + (uint64_t)g->capacity * g->cold_stride;
    g->log =
        g->generation_records + (uint64_t)g->generations * g->generation_stride;
    g->size = g->log + (uint64_t)g->log_entries * g->log_stride;
}

/* The geometry of a segment that this library makes. */
static inline struct wm_geometry wm_geometry(uint32_t capacity,
                                             uint32_t log_entries)
{
    struct wm_geometry g = {
        .capacity = capacity,
        .log_entries = log_entries,
        .header_size = sizeof(struct wm_segment_header),
        .record_stride = sizeof(struct wm_record),
        .cold_stride = sizeof(struct wm_record_cold),
        .generation_stride = sizeof(struct wm_generation_record),
        .log_stride = sizeof(struct wm_log_record),
    };

    wm_geometry_lay_out(&g);
    return g;
}

#endif
