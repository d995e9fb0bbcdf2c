/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The bytes of a segment: what lies where, who writes it and who reads it.
 * protocol.md argues why the protocol on these bytes is right; this file is
 * the single place that knows their arrangement.
 *
 * Every field that can change after the segment was made is an _Atomic. No
 * pointer and no libc object is stored: a broken worker may scribble over
 * all of this, and the others must get away with wrong numbers at worst.
 *
 * Orders. An identity field of a record (generation, join, role, ...) is
 * stored with release and loaded with acquire: whoever sees a new identity
 * also sees that the word has left the state of the former occupant, so that
 * reading word, identity, word again proves that the three belong together,
 * without a fence (which ThreadSanitizer would not understand). */

#ifndef WM_LAYOUT_H
#define WM_LAYOUT_H

#include "wm.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WM_MAGIC UINT64_C(0x1a0a0d6d7762696c) /* "libwm\r\n\x1a" */
#define WM_ABI 1
#define WM_LINE 64

#define WM_INSTANCE_SIZE 64 /* with the closing NUL */
#define WM_CAPACITY_MAX 65535u
#define WM_GENERATIONS_SPARE 64u /* records beyond one for each worker */
#define WM_LOG_MAX 1048576u

/* The line that is hot: one per worker, and all that counts and snapshots
 * read.
 *
 * word        contended: the worker beats, a sweeper marks; CAS only.
 * generation  identity: the joiner, between CLAIMED and JOINING.
 * join        identity: unique over the node's life; stored before the others.
 * role, overdue_ms  identity.
 * joined_at   identity: CLOCK_MONOTONIC ms.
 * stalls      join:32 | how often the worker came back out of STALLED:32; its
 *             own count, by CAS: it may have lost the record meanwhile. */
struct wm_record {
    _Alignas(WM_LINE) _Atomic(uint64_t) word;
    _Atomic(uint64_t) generation;
    _Atomic(uint64_t) join;
    _Atomic(uint32_t) role;
    _Atomic(uint32_t) overdue_ms;
    _Atomic(uint64_t) joined_at;
    _Atomic(uint64_t) stalls;
    uint64_t reserved[2];
};

/* The line that is cold.
 *
 * ident      identity: pid and start time of this very claim.
 * spell      the joiner, after it has entered its generation.
 * given      join:32 | stalls told:31 | crash told:1; whoever gives, by CAS,
 *            so that a mark can never fall on a later occupant. */
struct wm_record_cold {
    _Alignas(WM_LINE) _Atomic(uint64_t) ident;
    _Atomic(uint64_t) spell;
    _Atomic(uint64_t) given;
    uint64_t reserved[5];
};

/* One generation. The record of generation g lies at g modulo the number of
 * records, so that a late joiner finds it, or finds that it is gone.
 *
 * word      CAS by anybody who takes part.
 * id        the beginner, before the word turns BEGUN.
 * master    the process that begins it, then the one that goes on where that
 *           one daemonizes, or that forks its workers: they all store the same
 *           value.
 * reason    the beginner.
 * begun_at  the beginner: CLOCK_MONOTONIC ms.
 * deaths    id's low bits:12 | workers that crashed:20; added by the winner of
 *           the CAS to CRASHED, by CAS: the record may be another's by then.
 * replaced  starts that made up for a death; under the lifecycle lock.
 * joined    spell:12 | workers that entered in it:20; each adds itself. Only
 *           what a start is called depends on these three. */
struct wm_generation_record {
    _Alignas(WM_LINE) _Atomic(uint64_t) word;
    _Atomic(uint64_t) id;
    _Atomic(uint64_t) master;
    _Atomic(uint64_t) begun_at;
    _Atomic(uint32_t) reason;
    _Atomic(uint32_t) deaths;
    _Atomic(uint32_t) replaced;
    _Atomic(uint32_t) joined;
    uint64_t reserved[2];
};

/* The lifecycle lock.
 *
 * word    pid:22 | start time's low bits:18 | sequence:24; pid 0 is free.
 *         CAS by every contender; the holder alone releases.
 * wake    futex: counts releases.
 * next    pid:22 | ms:39 of a contender that polls and cannot sleep here.
 * The holder record is the holder's, written after it has taken the lock, the
 * sequence last. Readers ignore it unless holder_sequence is the word's before
 * they read it, and the word is still the same after. */
struct wm_lock_area {
    _Alignas(WM_LINE) _Atomic(uint64_t) word;
    _Atomic(uint64_t) next;
    _Atomic(uint32_t) wake;
    uint32_t reserved0;
    _Alignas(WM_LINE) _Atomic(uint64_t) holder_sequence;
    _Atomic(uint64_t) holder_since;
    _Atomic(uint64_t) holder_generation;
    _Atomic(uint32_t) holder_purpose;
    uint32_t reserved1;
};

/* Who leads.
 *
 * word  term:32 | who:32, made of the leader's join number, 0 if nobody. CAS
 *       by the worker that takes the lead (term + 1) or gives it up.
 * slot  where the leader's record was last seen: a hint, checked by join. */
struct wm_leader_area {
    _Alignas(WM_LINE) _Atomic(uint64_t) word;
    _Atomic(uint32_t) slot;
    uint32_t reserved;
};

/* One entry of the event log. A writer takes a number, writes the fields, then
 * their checksum with that number; a reader believes what the checksum proves.
 * So a writer that dies, or one that sleeps while the ring goes round once,
 * spoils one entry and no reader. */
struct wm_log_record {
    _Alignas(WM_LINE) _Atomic(uint64_t) check;
    _Atomic(uint64_t) time; /* CLOCK_REALTIME, ms */
    _Atomic(uint64_t) generation;
    _Atomic(uint64_t) value;
    _Atomic(uint64_t) subject; /* pid:32 | slot:32 */
    _Atomic(uint64_t) kind;
    uint64_t reserved[2];
};

struct wm_segment_header {
    /* Never changed once magic is stored, which comes last. */
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
    uint64_t reserved0;

    char instance[WM_INSTANCE_SIZE];

    /* Rarely written, by whoever joins or begins. */
    _Alignas(WM_LINE) _Atomic(uint64_t) next_join;
    _Atomic(uint64_t) next_generation;
    _Atomic(uint64_t) first_active; /* least id that ever had a worker */
    _Atomic(uint64_t) dropped;      /* draining or crashed that made room */
    _Atomic(uint64_t) exits_lost;   /* owed exits whose record was reused */
    _Atomic(uint32_t) high;         /* no slot from here on was ever used */
    uint32_t reserved2;

    /* When the next sweep is due, ms: a CAS on it elects the sweeper. */
    _Alignas(WM_LINE) _Atomic(uint64_t) next_sweep;

    struct wm_lock_area lock;
    struct wm_leader_area leader;

    /* Numbers of the event log that were taken. */
    _Alignas(WM_LINE) _Atomic(uint64_t) log_next;
};

static_assert(sizeof(struct wm_record) == WM_LINE, "a line a worker");
static_assert(sizeof(struct wm_record_cold) == WM_LINE, "a cold line");
static_assert(sizeof(struct wm_generation_record) == WM_LINE, "a line");
static_assert(sizeof(struct wm_log_record) == WM_LINE, "a line");
static_assert(sizeof(struct wm_segment_header) == 512, "header");
static_assert(offsetof(struct wm_segment_header, instance) == WM_LINE,
              "instance follows the constants");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
              "atomics in shared memory must not hide a lock");

/* How much of the header never changes. */
#define WM_CONSTANTS offsetof(struct wm_segment_header, next_join)

/* Byte offsets of the four arrays, and the whole. */
struct wm_geometry {
    uint32_t capacity;
    uint32_t generations;
    uint32_t log_entries;
    size_t records;
    size_t colds;
    size_t generation_records;
    size_t log;
    size_t size;
};

static inline struct wm_geometry wm_geometry(uint32_t capacity,
                                             uint32_t log_entries)
{
    struct wm_geometry g;

    g.capacity = capacity;
    g.generations = capacity + WM_GENERATIONS_SPARE;
    g.log_entries = log_entries;
    g.records = sizeof(struct wm_segment_header);
    g.colds = g.records + capacity * sizeof(struct wm_record);
    g.generation_records = g.colds + capacity * sizeof(struct wm_record_cold);
    g.log = g.generation_records +
            g.generations * sizeof(struct wm_generation_record);
    g.size = g.log + log_entries * sizeof(struct wm_log_record);
    return g;
}

#endif
