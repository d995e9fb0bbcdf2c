/* SPDX-License-Identifier: Apache-2.0 */

/* Every packed word of the segment, and the functions that pack and unpack it.
 * Shifts and masks of packed words stand here and nowhere else.
 *
 *   record      state:3 | pid:22 | time of last beat in ms:39
 *   process     pid:22 | start time in clock ticks:42
 *   stalls      join:32 | stalls that the worker came back from:32
 *   given       join:32 | stalls given:31 | crash given:1
 *   end         join:32 | code:16 | witness:8 | cause:8
 *   report      join:16 | time in ms:39 | signal:1 | code:8
 *   note        join:32 | times that its text was begun or ended:32
 *   generation  state:3 | spell:20 | ends given:20 | version:21
 *               while CLAIMED: state:3 | pid:40 | version:21
 *   deaths      id:12 | workers that crashed:20
 *   joined      spell:12 | workers that entered in it:20
 *   lock        pid:22 | start time:18 | sequence:24
 *   turns       as a record, of state 0
 *   leader      term:32 | who:32
 *   subject     pid:32 | slot:32
 *
 * A field that holds less than all of a number holds its low bits. protocol.md
 * says for each why they are enough. */

#ifndef WM_WORD_H
#define WM_WORD_H

#include "wm.h"

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t wm_low(uint64_t number, unsigned bits)
{
    return number & (UINT64_MAX >> (64 - bits));
}

/* ---------------------------------------------------------------- record */

/* The pid's width is the kernel's own limit (PID_MAX_LIMIT is 2^22). */
#define WM_PID_BITS 22
#define WM_BEAT_BITS 39
#define WM_BEAT_MASK ((UINT64_C(1) << WM_BEAT_BITS) - 1)

static inline uint64_t wm_word(unsigned state, uint32_t pid, uint64_t beat)
{
    return (uint64_t)state << 61 | wm_low(pid, WM_PID_BITS) << WM_BEAT_BITS |
           (beat & WM_BEAT_MASK);
}

static inline unsigned wm_word_state(uint64_t word)
{
    return (unsigned)(word >> 61);
}

static inline uint32_t wm_word_pid(uint64_t word)
{
    return (uint32_t)wm_low(word >> WM_BEAT_BITS, WM_PID_BITS);
}

static inline uint64_t wm_word_beat(uint64_t word)
{
    return word & WM_BEAT_MASK;
}

/* The word without the beat: state and pid. */
static inline uint64_t wm_word_identity(uint64_t word)
{
    return word & ~WM_BEAT_MASK;
}

static inline uint64_t wm_word_with_state(uint64_t word, unsigned state)
{
    return (word & (UINT64_MAX >> 3)) | (uint64_t)state << 61;
}

/* identity: a word whose beat is 0. */
static inline uint64_t wm_word_with_beat(uint64_t identity, uint64_t beat)
{
    return identity | (beat & WM_BEAT_MASK);
}

/* A time as the high bits of a number have it. */
static inline uint64_t wm_high_ms(uint64_t ms)
{
    return ms << (64 - WM_BEAT_BITS);
}

/* How long ago the beat was at `now`, in ms; negative if it is newer. The beat
 * is cut to its bits, so that only a difference of less than 8 years counts. */
static inline int64_t wm_word_age(uint64_t word, uint64_t now)
{
    return (int64_t)wm_high_ms(now - word) >> (64 - WM_BEAT_BITS);
}

/* Whether no beat has come for longer than `ms`. */
static inline bool wm_word_overdue(uint64_t word, uint64_t now, uint32_t ms)
{
    return wm_word_age(word, now) > (int64_t)ms;
}

/* Whether the beat lies in the `span` ms that end with `latest`. */
static inline bool wm_word_beat_within(uint64_t word, uint64_t latest,
                                       uint64_t span)
{
    return ((latest - word) & WM_BEAT_MASK) < span;
}

/* The full time that a beat was cut from. A beat from before the cut bits last
 * changed comes out as a time after `now`. */
static inline uint64_t wm_beat_at_full(uint64_t beat, uint64_t now)
{
    return beat + (now & ~WM_BEAT_MASK);
}

/* State, pid and join number of a record folded into one number, as a digit
 * of a count's digest. State and pid are its low bits: multiplying carries a
 * difference up, and never down. */
static inline uint64_t wm_word_digit(uint64_t word, uint64_t join)
{
    return (word >> WM_BEAT_BITS) + (join << (64 - WM_BEAT_BITS));
}

/* --------------------------------------------------------------- process */

#define WM_START_BITS 42

/* start: 0 where unknown. */
static inline uint64_t wm_ident(uint32_t pid, uint64_t start)
{
    return wm_low(pid, WM_PID_BITS) << WM_START_BITS |
           wm_low(start, WM_START_BITS);
}

static inline uint32_t wm_ident_pid(uint64_t ident)
{
    return (uint32_t)(ident >> WM_START_BITS);
}

static inline uint64_t wm_ident_start(uint64_t ident)
{
    return wm_low(ident, WM_START_BITS);
}

/* -------------------------------------------------- of one joining, marked */

/* Marks and counts that outlive a look carry the join number that they are
 * for, so that none falls on a later occupant of the record. */
static inline bool wm_is_of_join(uint64_t value, uint64_t join)
{
    return value >> 32 == wm_low(join, 32);
}

static inline uint64_t wm_stalls(uint64_t join, uint32_t stalls)
{
    return join << 32 | stalls;
}

static inline uint32_t wm_stalls_count(uint64_t stalls)
{
    return (uint32_t)stalls;
}

/* The join number's low bits, from which another such count can be made. */
static inline uint64_t wm_stalls_join(uint64_t stalls)
{
    return stalls >> 32;
}

#define WM_GIVEN_STALLS_BITS 31

static inline uint64_t wm_given(uint64_t join, uint32_t stalls, bool crash)
{
    return join << 32 | wm_low(stalls, WM_GIVEN_STALLS_BITS) << 1 | crash;
}

static inline uint32_t wm_given_stalls(uint64_t given)
{
    return (uint32_t)wm_low(given >> 1, WM_GIVEN_STALLS_BITS);
}

static inline bool wm_given_crash(uint64_t given)
{
    return (given & 1) != 0;
}

static inline uint64_t wm_given_and_crash(uint64_t given)
{
    return given | 1;
}

static inline uint64_t wm_given_and_stall(uint64_t given)
{
    return given + 2;
}

/* How many stalls lie between two counts, as far as they fit into `given`. */
static inline uint32_t wm_stalls_between(uint32_t from, uint32_t to)
{
    return (uint32_t)wm_low(to - from, WM_GIVEN_STALLS_BITS);
}

/* Whether the count `stalls` is not behind `given`'s, in their circle. */
static inline bool wm_stalls_reach(uint32_t stalls, uint32_t given)
{
    return wm_stalls_between(given, stalls) < UINT32_C(1)
                                                  << (WM_GIVEN_STALLS_BITS - 1);
}

/* The end of a process; 0: nobody has said it. The log has it without the
 * join number, above the kind of an entry. */
static inline uint32_t wm_end_bits(uint32_t cause, uint32_t witness,
                                   uint32_t code)
{
    return code << 16 | witness << 8 | cause;
}

static inline uint32_t wm_end_cause(uint32_t end)
{
    return end & 0xff;
}

static inline uint32_t wm_end_witness(uint32_t end)
{
    return end >> 8 & 0xff;
}

static inline uint32_t wm_end_code(uint32_t end)
{
    return end >> 16;
}

static inline uint64_t wm_end_word(uint64_t join, uint32_t end)
{
    return join << 32 | end;
}

static inline uint64_t wm_log_kind_word(uint32_t kind, uint32_t end)
{
    return (uint64_t)end << 32 | kind;
}

static inline uint32_t wm_log_kind_end(uint64_t kind)
{
    return (uint32_t)(kind >> 32);
}

/* A worker's own word on its end, as that comes. */
static inline uint64_t wm_report(uint64_t join, uint64_t ms, uint32_t cause,
                                 uint32_t code)
{
    return join << 48 | (ms & WM_BEAT_MASK) << 9 |
           (uint64_t)(cause == WM_CAUSE_SIGNAL) << 8 | (code & 0xff);
}

/* Whether it is of this joining, and newer than the beat in the word. */
static inline bool wm_report_holds(uint64_t report, uint64_t join,
                                   uint64_t word)
{
    return report != 0 && report >> 48 == wm_low(join, 16) &&
           wm_word_age(word, report >> 9 & WM_BEAT_MASK) >= 0;
}

static inline uint32_t wm_report_end(uint64_t report)
{
    return wm_end_bits((report & 0x100) != 0 ? WM_CAUSE_SIGNAL : WM_CAUSE_EXIT,
                       WM_WITNESS_SELF, report & 0xff);
}

/* The count is odd while the text is being written, and 0 if it never was. */
static inline uint64_t wm_note_word(uint64_t join, uint32_t count)
{
    return join << 32 | count;
}

static inline bool wm_note_is_open(uint64_t note)
{
    return (note & 1) != 0;
}

static inline bool wm_note_is_blank(uint64_t note)
{
    return (uint32_t)note == 0;
}

/* One that a former worker's thread has open, also for those that follow. */
static inline uint64_t wm_note_inherited(uint64_t join)
{
    return wm_note_word(join, UINT32_MAX);
}

static inline bool wm_note_is_inherited(uint64_t note)
{
    return (uint32_t)note == UINT32_MAX;
}

/* The note when its text is next begun or ended. */
static inline uint64_t wm_note_next(uint64_t note)
{
    return (note & ~(uint64_t)UINT32_MAX) | (uint32_t)(note + 1);
}

/* ------------------------------------------------------------ generation */

/* Ends owed follow from the word: every spell that was opened and is not open
 * now, less those given. The version counts on with each worker that enters
 * and over all lives of the record, so that a swap from an older look fails. */
#define WM_SPELL_BITS 20
#define WM_VERSION_BITS 21

static inline uint64_t wm_gen_word(unsigned state, uint32_t spell,
                                   uint32_t given, uint32_t version)
{
    return (uint64_t)state << 61 |
           wm_low(spell, WM_SPELL_BITS) << (WM_SPELL_BITS + WM_VERSION_BITS) |
           wm_low(given, WM_SPELL_BITS) << WM_VERSION_BITS |
           wm_low(version, WM_VERSION_BITS);
}

static inline uint64_t wm_gen_claimed(unsigned state, uint32_t pid,
                                      uint32_t version)
{
    return (uint64_t)state << 61 | (uint64_t)pid << WM_VERSION_BITS |
           wm_low(version, WM_VERSION_BITS);
}

static inline unsigned wm_gen_state(uint64_t word)
{
    return (unsigned)(word >> 61);
}

static inline uint32_t wm_gen_spell(uint64_t word)
{
    return (uint32_t)wm_low(word >> (WM_SPELL_BITS + WM_VERSION_BITS),
                            WM_SPELL_BITS);
}

static inline uint32_t wm_gen_given(uint64_t word)
{
    return (uint32_t)wm_low(word >> WM_VERSION_BITS, WM_SPELL_BITS);
}

static inline uint32_t wm_gen_version(uint64_t word)
{
    return (uint32_t)wm_low(word, WM_VERSION_BITS);
}

static inline uint32_t wm_gen_claimant(uint64_t word)
{
    return (uint32_t)wm_low(word >> WM_VERSION_BITS, WM_PID_BITS);
}

static inline uint64_t wm_gen_with_state(uint64_t word, unsigned state)
{
    return wm_gen_word(state, wm_gen_spell(word), wm_gen_given(word),
                       wm_gen_version(word));
}

/* Spells are counted in a circle of their bits. */
static inline uint32_t wm_spell(uint32_t spell)
{
    return (uint32_t)wm_low(spell, WM_SPELL_BITS);
}

/* Ends of spells that are over and were not given. */
static inline uint32_t wm_gen_owed(uint64_t word)
{
    uint32_t open = wm_gen_state(word) == WM_GENERATION_ACTIVE;

    if (wm_gen_state(word) < WM_GENERATION_BEGUN) {
        return 0;
    }
    return wm_spell(wm_gen_spell(word) - open - wm_gen_given(word));
}

/* A count of 20 bits, below 12 bits of its generation's or spell's number. */
#define WM_DEATHS_BITS 20

static inline uint32_t wm_tagged(uint32_t tag, uint32_t count)
{
    return tag << WM_DEATHS_BITS | (uint32_t)wm_low(count, WM_DEATHS_BITS);
}

static inline bool wm_is_tagged(uint32_t value, uint32_t tag)
{
    return value >> WM_DEATHS_BITS == wm_low(tag, 32 - WM_DEATHS_BITS);
}

static inline uint32_t wm_deaths(uint64_t id, uint32_t count)
{
    return wm_tagged((uint32_t)id, count);
}

static inline uint32_t wm_deaths_count(uint32_t deaths)
{
    return (uint32_t)wm_low(deaths, WM_DEATHS_BITS);
}

static inline bool wm_deaths_are_of(uint32_t deaths, uint64_t id)
{
    return wm_is_tagged(deaths, (uint32_t)id);
}

/* Counts one more worker that has entered in a spell. The count begins with 1
 * if `joined` is of another spell. */
static inline uint32_t wm_joined_and_one(uint32_t joined, uint32_t spell)
{
    return wm_tagged(
        spell, wm_is_tagged(joined, spell) ? wm_deaths_count(joined) + 1 : 1);
}

static inline uint32_t wm_joined_count(uint32_t joined)
{
    return wm_deaths_count(joined);
}

/* ------------------------------------------------------------------ lock */

#define WM_LOCK_START_BITS 18
#define WM_LOCK_SEQUENCE_BITS 24

/* Not 0 for a start time that is known, since 0 means unknown. */
static inline uint64_t wm_lock_start_of(uint64_t start)
{
    uint64_t low = wm_low(start, WM_LOCK_START_BITS);

    return low == 0 && start != 0 ? 1 : low;
}

static inline uint64_t wm_lock_word(uint64_t ident, uint64_t sequence)
{
    return (uint64_t)wm_ident_pid(ident)
               << (WM_LOCK_START_BITS + WM_LOCK_SEQUENCE_BITS) |
           wm_lock_start_of(wm_ident_start(ident)) << WM_LOCK_SEQUENCE_BITS |
           wm_low(sequence, WM_LOCK_SEQUENCE_BITS);
}

/* 0: the lock is free. */
static inline uint32_t wm_lock_pid_of(uint64_t word)
{
    return (uint32_t)(word >> (WM_LOCK_START_BITS + WM_LOCK_SEQUENCE_BITS));
}

static inline uint64_t wm_lock_start(uint64_t word)
{
    return wm_low(word >> WM_LOCK_SEQUENCE_BITS, WM_LOCK_START_BITS);
}

static inline uint32_t wm_lock_sequence(uint64_t word)
{
    return (uint32_t)wm_low(word, WM_LOCK_SEQUENCE_BITS);
}

/* The word of a lock that this holding has given back. */
static inline uint64_t wm_lock_freed(uint64_t word)
{
    return wm_lock_sequence(word);
}

/* ---------------------------------------------------------------- leader */

static inline uint64_t wm_leader_word(uint32_t term, uint32_t who)
{
    return (uint64_t)term << 32 | who;
}

static inline uint32_t wm_leader_term(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* 0: nobody. */
static inline uint32_t wm_leader_who(uint64_t word)
{
    return (uint32_t)word;
}

/* Never 0; it comes again only after 2^32 - 1 joins. */
static inline uint32_t wm_leader_of_join(uint64_t join)
{
    return (uint32_t)(join % UINT32_MAX) + 1;
}

/* ------------------------------------------------------------- event log */

static inline uint64_t wm_subject(uint32_t pid, uint32_t slot)
{
    return (uint64_t)pid << 32 | slot;
}

static inline uint32_t wm_subject_pid(uint64_t subject)
{
    return (uint32_t)(subject >> 32);
}

static inline uint32_t wm_subject_slot(uint64_t subject)
{
    return (uint32_t)subject;
}

#endif
