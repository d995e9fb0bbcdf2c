/* SPDX-License-Identifier: Apache-2.0 */

/* The lifecycle lock: taken, released, taken over from the dead (lock.c).
 *
 * Three processes that poll, and die anywhere. If no wake may be lost, three
 * that live, have two turns, and sleep until they are woken. If liveness is
 * asked for, two pids, of which the first is given to two processes, one after
 * the other; the former dies anywhere, the latter does where a free lock is to
 * be taken, the second pid's lives; they sleep, or poll and sign `next`. Sleep
 * and signatures keep nobody from what polling does. Once more where a prober
 * alone asks; one place serves for the two that there are.
 *
 * Left out: the sequence, which tells holdings apart for those that watch
 * them; limits on waiting; how long 50 and 100 ms are: the time of a sleep, and
 * of a signature, may be up at any moment; the wake for a place that is free,
 * which keeps others from nothing. Wakes are counted modulo 8, more than all.
 *
 * check exclusion: -DPIDS=3 -DDIE=3 -DTURNS=0
 * check wake: -DPIDS=3 -DDIE=0 -DTURNS=2
 * check I8_passed_on: -DPIDS=2 -DDIE=1 -DTURNS=0
 * check I8_probed: -DPIDS=2 -DDIE=1 -DTURNS=0 -DPROBE
 * check free_is_taken: -DPIDS=2 -DDIE=2 -DTURNS=0 */

#include "common.inc"

#define WORD(pid) ((pid) << 2 | start[pid])
#define RUNS(w) (alive[(w) >> 2] && start[(w) >> 2] == ((w) & 3))

/* The kernel's: who lives, which process it is, who sleeps on the futex. */
bool alive[PIDS + 1], asleep[PIDS + 1];
byte start[PIDS + 1];

/* The lock's word; the pid in `next`, and whether it is fresh; releases. */
byte word, next, wake;
bool fresh;

/* The pid in the prober's place; with PROBE, `fresh` is of that one. */
byte prober;

/* Processes that believe to have it, and live. */
bool holds[PIDS + 1];

hidden byte I8_one_holder;

#ifdef PROBE
#define MAY_ASK ok
#else
#define MAY_ASK true
#endif

inline try_once() {
    seen = word;
#ifdef PROBE
    d_step {
        ok = seen != 0 && (prober == 0 || prober == me || !fresh);
        /* Weaker by 1: nobody_asks (I8_probed): ok = false; */
        WHEN(ok, prober = me; fresh = true)
    }
#endif
    if
    :: seen != 0 && !MAY_ASK -> ok = false
    :: seen != 0 && MAY_ASK -> ok = !RUNS(seen)
    /* Weaker by 1: pid_alone (I8_passed_on):
    :: seen != 0 && MAY_ASK -> ok = !alive[seen >> 2] */
    :: else -> ok = next == 0 || next == me || !fresh
    fi;
    WHEN(ok,
        SWAP(word == seen,
        /* Weaker by 1: take_blindly (exclusion: I8_one_holder): SWAP(true, */
            word = WORD(me);
            CHECK(I8_one_holder, !(holds[1] || holds[2] || holds[PIDS]));
            holds[me] = true));
    d_step {
        WHEN(ok && next == me, next = 0);
        WHEN(ok && prober == me, prober = 0);
        seen = 0
    }
}

inline wm_lock_acquire() {
    do
    :: count = wake;
        try_once();
        WHEN(ok, break);
        asleep[me] = wake == count;
        TURNS == 0 || !asleep[me];
        asleep[me] = false
    od
}

/* Polls, and signs for the next turn. */
inline wm_lock_try() {
    do
    :: try_once();
        WHEN(ok, break);
        d_step {
            WHEN(DIE < 3 && (next == 0 || next == me || !fresh),
                 next = me;
                 fresh = true)
        }
    od
}

inline wm_lock_release() {
    d_step { assert(word == WORD(me)); word = 0; holds[me] = false }
    wake = (wake + (DIE < 3)) & 7;
    /* Weaker by 1: releases_uncounted (wake: invalid end state) */
    d_step {
        if
        :: asleep[1] -> asleep[1] = false
        :: asleep[2] -> asleep[2] = false
        :: asleep[PIDS] -> asleep[PIDS] = false
        :: else
        fi
    }
}

proctype contender(byte me; byte lives)
{
    byte seen, count, turns;
    bool ok;

    do
    :: lives > 0 ->
        d_step { lives--; start[me]++; alive[me] = true }
        {
            do
            :: TURNS > 0 && turns == TURNS -> break
            :: DIE < 3 && (TURNS == 0 || turns < TURNS) ->
                turns = turns + (TURNS > 0);
                wm_lock_acquire();
                wm_lock_release();
                count = 0
#ifndef PROBE
            :: TURNS == 0 -> wm_lock_try(); wm_lock_release()
#endif
            od;
            skip
        } unless { !alive[me] };
        d_step { seen = 0; count = 0; ok = false; asleep[me] = false }
    :: else -> break
    od
}

AT_ANY_TIME(clock,
    :: fresh -> fresh = false
    /* Weaker by 1: signatures_for_ever (free_is_taken): :: fresh && false */
)

inline die(p, may) {
    d_step { may && alive[p] -> alive[p] = false; holds[p] = false }
}

AT_ANY_TIME(kernel,
    :: die(1, start[1] <= DIE)
    :: die(2, DIE == 3)
    :: die(PIDS, DIE == 3)
)

init
{
    atomic {
        run contender(1, 1 + (PIDS == 2));
        WHEN(PIDS == 3, run contender(3, 1));
        run contender(2, 1)
    }
}

ltl I8_passed_on {
    [] (word != 0 && !RUNS(word) -> <> (word == 0 || RUNS(word)))
}

ltl I8_probed { [] (word != 0 && !RUNS(word) -> <> (word == 0 || RUNS(word))) }

ltl free_is_taken { [] (word == 0 -> <> (word != 0)) }
