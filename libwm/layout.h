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

/* The pid's width is the kernel's own limit (PID_MAX_LIMIT is 2^22). */
#define WM_PID_BITS 22
#define WM_BEAT_BITS 39
#define WM_PID_MASK ((UINT64_C(1) << WM_PID_BITS) - 1)
#define WM_BEAT_MASK ((UINT64_C(1) << WM_BEAT_BITS) - 1)

/* A worker's word: state:3 | pid:22 | time of last beat in ms:39. */
static inline uint64_t wm_word(unsigned state, uint32_t pid, uint64_t beat)
{
    return (uint64_t)state << 61 | (pid & WM_PID_MASK) << WM_BEAT_BITS |
           (beat & WM_BEAT_MASK);
}

static inline unsigned wm_word_state(uint64_t word)
{
    return (unsigned)(word >> 61);
}

static inline uint32_t wm_word_pid(uint64_t word)
{
    return (uint32_t)(word >> WM_BEAT_BITS & WM_PID_MASK);
}

static inline uint64_t wm_word_beat(uint64_t word)
{
    return word & WM_BEAT_MASK;
}

/* How long ago the beat was at `now`, in ms; negative if it is newer. The beat
 * is cut to its bits, so that only a difference of less than 8 years counts. */
static inline int64_t wm_word_age(uint64_t word, uint64_t now)
{
    return (int64_t)((now - word) << (64 - WM_BEAT_BITS)) >>
           (64 - WM_BEAT_BITS);
}

/* Whether no beat came for longer than that. */
static inline bool wm_word_overdue(uint64_t word, uint64_t now, uint32_t ms)
{
    return wm_word_age(word, now) > (int64_t)ms;
}

static inline uint64_t wm_word_with_state(uint64_t word, unsigned state)
{
    return (word & (UINT64_MAX >> 3)) | (uint64_t)state << 61;
}

/* The same word without the beat: what two passes of a census compare. */
static inline uint64_t wm_word_identity(uint64_t word)
{
    return word & ~WM_BEAT_MASK;
}

/* A process: pid:22 | start time in clock ticks:42, 0 where unknown. */
static inline uint64_t wm_ident(uint32_t pid, uint64_t start)
{
    return (pid & WM_PID_MASK) << 42 | (start & (UINT64_MAX >> 22));
}

static inline uint32_t wm_ident_pid(uint64_t ident)
{
    return (uint32_t)(ident >> 42);
}

static inline uint64_t wm_ident_start(uint64_t ident)
{
    return ident & (UINT64_MAX >> 22);
}

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
    _Alignas(WM_LINE) _Atomic uint64_t word;
    _Atomic uint64_t generation;
    _Atomic uint64_t join;
    _Atomic uint32_t role;
    _Atomic uint32_t overdue_ms;
    _Atomic uint64_t joined_at;
    _Atomic uint64_t stalls;
    uint64_t reserved[2];
};

/* The line that is cold.
 *
 * ident      identity: pid and start time of this very claim.
 * spell      the joiner, after it has entered its generation.
 * given      join:32 | stalls told:31 | crash told:1; whoever gives, by CAS,
 *            so that a mark can never fall on a later occupant. */
struct wm_record_cold {
    _Alignas(WM_LINE) _Atomic uint64_t ident;
    _Atomic uint64_t spell;
    _Atomic uint64_t given;
    uint64_t reserved[5];
};

/* The mark of what was told of a record: join:32 | stalls:31 | crash:1. */
static inline uint64_t wm_given(uint64_t join, uint32_t stalls, bool crash)
{
    return join << 32 | (uint64_t)(stalls & 0x7fffffffu) << 1 | crash;
}

static inline uint32_t wm_given_stalls(uint64_t given)
{
    return (uint32_t)(given >> 1 & 0x7fffffffu);
}

/* How often a worker came back out of STALLED: join:32 | stalls:32. */
static inline uint64_t wm_stalls(uint64_t join, uint32_t stalls)
{
    return join << 32 | stalls;
}

/* Whether a mark or a count is of this joining, and not of another one in the
 * slot. */
static inline bool wm_is_of_join(uint64_t value, uint64_t join)
{
    return value >> 32 == (join & 0xffffffffu);
}

/* Whether the crash of this record's occupant was told. */
static inline bool wm_crash_given(const struct wm_record *r,
                                  const struct wm_record_cold *c)
{
    uint64_t given = atomic_load_explicit(&c->given, memory_order_acquire);
    uint64_t join = atomic_load_explicit(&r->join, memory_order_acquire);

    return wm_is_of_join(given, join) && (given & 1) != 0;
}

/* A generation's word: state:3 | spell:20 | exits given:20 | version:21.
 * Exits owed follow from it: every spell that was opened and is not open now,
 * less those given. The version counts on with each worker that enters and
 * over all lives of the record, so that a CAS from an older look fails. While
 * the record is CLAIMED, the claimant's pid stands in place of the spells:
 * state:3 | pid:40 | version:21. */
#define WM_SPELL_MASK ((UINT64_C(1) << 20) - 1)
#define WM_VERSION_MASK ((UINT64_C(1) << 21) - 1)

static inline unsigned wm_gen_state(uint64_t word)
{
    return (unsigned)(word >> 61);
}

static inline uint32_t wm_gen_spell(uint64_t word)
{
    return (uint32_t)(word >> 41 & WM_SPELL_MASK);
}

static inline uint32_t wm_gen_given(uint64_t word)
{
    return (uint32_t)(word >> 21 & WM_SPELL_MASK);
}

static inline uint32_t wm_gen_version(uint64_t word)
{
    return (uint32_t)(word & WM_VERSION_MASK);
}

static inline uint64_t wm_gen_claimed(unsigned state, uint32_t pid,
                                      uint32_t version)
{
    return (uint64_t)state << 61 | (uint64_t)pid << 21 |
           (version & WM_VERSION_MASK);
}

static inline uint32_t wm_gen_claimant(uint64_t word)
{
    return (uint32_t)(word >> 21 & WM_PID_MASK);
}

static inline uint64_t wm_gen_word(unsigned state, uint32_t spell,
                                   uint32_t given, uint32_t version)
{
    return (uint64_t)state << 61 | (spell & WM_SPELL_MASK) << 41 |
           (given & WM_SPELL_MASK) << 21 | (version & WM_VERSION_MASK);
}

/* Ends of spells that are over and that nobody was told of. */
static inline uint32_t wm_gen_owed(uint64_t word)
{
    uint32_t open = wm_gen_state(word) == WM_GENERATION_ACTIVE;

    if (wm_gen_state(word) < WM_GENERATION_BEGUN) {
        return 0;
    }
    return (wm_gen_spell(word) - open - wm_gen_given(word)) & WM_SPELL_MASK;
}

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
    _Alignas(WM_LINE) _Atomic uint64_t word;
    _Atomic uint64_t id;
    _Atomic uint64_t master;
    _Atomic uint64_t begun_at;
    _Atomic uint32_t reason;
    _Atomic uint32_t deaths;
    _Atomic uint32_t replaced;
    _Atomic uint32_t joined;
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
    _Alignas(WM_LINE) _Atomic uint64_t word;
    _Atomic uint64_t next;
    _Atomic uint32_t wake;
    uint32_t reserved0;
    _Alignas(WM_LINE) _Atomic uint64_t holder_sequence;
    _Atomic uint64_t holder_since;
    _Atomic uint64_t holder_generation;
    _Atomic uint32_t holder_purpose;
    uint32_t reserved1;
};

/* Who leads.
 *
 * word  term:32 | who:32, made of the leader's join number, 0 if nobody. CAS
 *       by the worker that takes the lead (term + 1) or gives it up.
 * slot  where the leader's record was last seen: a hint, checked by join. */
struct wm_leader_area {
    _Alignas(WM_LINE) _Atomic uint64_t word;
    _Atomic uint32_t slot;
    uint32_t reserved;
};

static inline uint64_t wm_leader_word(uint32_t term, uint32_t who)
{
    return (uint64_t)term << 32 | who;
}

/* Never 0; the same again only after 2^32 - 1 joins. */
static inline uint32_t wm_leader_of_join(uint64_t join)
{
    return (uint32_t)(join % UINT32_MAX) + 1;
}

static inline uint32_t wm_leader_term(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static inline uint32_t wm_leader_who(uint64_t word)
{
    return (uint32_t)word;
}

/* One entry of the event log. A writer takes a number, writes the fields, then
 * their checksum with that number; a reader believes what the checksum proves.
 * So a writer that dies, or one that sleeps while the ring goes round once,
 * spoils one entry and no reader. */
struct wm_log_record {
    _Alignas(WM_LINE) _Atomic uint64_t check;
    _Atomic uint64_t time; /* CLOCK_REALTIME, ms */
    _Atomic uint64_t generation;
    _Atomic uint64_t value;
    _Atomic uint64_t subject; /* pid:32 | slot:32 */
    _Atomic uint64_t kind;
    uint64_t reserved[2];
};

/* Workers of a generation that crashed: id's low bits:12 | count:20. */
#define WM_DEATHS_BITS 20

static inline uint32_t wm_deaths(uint64_t id, uint32_t count)
{
    return (uint32_t)id << WM_DEATHS_BITS |
           (count & ((UINT32_C(1) << WM_DEATHS_BITS) - 1));
}

static inline uint32_t wm_deaths_count(uint32_t deaths)
{
    return deaths & ((UINT32_C(1) << WM_DEATHS_BITS) - 1);
}

struct wm_segment_header {
    /* Never changed once magic is stored, which comes last. */
    _Alignas(WM_LINE) _Atomic uint64_t magic;
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
    _Alignas(WM_LINE) _Atomic uint64_t next_join;
    _Atomic uint64_t next_generation;
    _Atomic uint64_t first_active; /* least id that ever had a worker */
    _Atomic uint64_t dropped;      /* draining or crashed that made room */
    _Atomic uint64_t exits_lost;   /* owed exits whose record was reused */
    _Atomic uint32_t high;         /* no slot from here on was ever used */
    uint32_t reserved2;

    /* When the next sweep is due, ms: a CAS on it elects the sweeper. */
    _Alignas(WM_LINE) _Atomic uint64_t next_sweep;

    struct wm_lock_area lock;
    struct wm_leader_area leader;

    /* Numbers of the event log that were taken. */
    _Alignas(WM_LINE) _Atomic uint64_t log_next;
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
