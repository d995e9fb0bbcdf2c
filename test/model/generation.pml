/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a generation: begun, entered, closed, told, aborted, come back,
 * and its record used again by another (generation.c).
 *
 * One record of a generation, used for two, one after the other. Workers join
 * the one or the other, drain, close, and take the end; the first ones die
 * anywhere. Survivors of other generations close in the same way, so that there
 * are none. The master ends it at any moment, as a failed start does, and
 * begins the second once nothing of the first is needed.
 *
 * Left out: that one which has exited is gone once no worker drains, by the
 * same argument as for a close; the steps of a worker's record (here a worker
 * has one of its own, claimed and published in one step), the lock and the
 * counts, except where the check `last` asks who is told to be the last; there
 * the count is of one moment (count.pml) and the lock passes on from the dead
 * (lock.pml). Versions count modulo 16, more than all changes there are.
 *
 * check close: -DWORKERS=3 -DLAST=0
 * check last: -DWORKERS=3 -DLAST=1
 * check last_of_two: -DWORKERS=2 -DLAST=1 */

#include "common.inc"

#define CLAIMED 1
#define BEGUN 2
#define ACTIVE 3
#define EXITED 4
#define ABORTED 5

/* state:3 | spell:2 | given:2 | version:4 */
#define WORD(state, spell, given, version) \
    ((state) << 8 | (spell) << 6 | (given) << 4 | ((version) & 15))
#define STATE(w) ((w) >> 8)
#define SPELL(w) ((w) >> 6 & 3)
#define TOLD(w) ((w) >> 4 & 3)
#define VERSION(w) ((w) & 15)
#define OPEN(w) (STATE(w) == ACTIVE)
#define OWED(w) (STATE(w) >= BEGUN && SPELL(w) - OPEN(w) - TOLD(w) > 0)

/* The generation's record. */
short word;
byte id;

/* Each worker's record: state, and of which generation. */
byte state[WORKERS + 1], gen[WORKERS + 1];
bool alive[WORKERS + 1] = true;

/* Workers that have entered and not drained; ends of each generation. */
bool entered[WORKERS + 1];
byte closed[3], taken[3];
byte done;

hidden byte I4_end_taken_once, I4_no_end_lost, I5_not_over_its_workers,
    drained_means_exited, I6_one_last;

#define IN(w) (entered[w] && alive[w])
#define I5 CHECK(I5_not_over_its_workers, OPEN(word) || \
                 !(IN(1) || IN(2) || IN(WORKERS)))

#define IS_OPEN_FOR(w) \
    (state[w] != 0 && state[w] != DRAINING && gen[w] == which && alive[w])

inline has_worker(w) {
    WHEN(IS_OPEN_FOR(w), busy = true)
    /* Weaker by 1: drain_after_the_look:
    WHEN(w != me && IS_OPEN_FOR(w), busy = true) */
}

inline look() {
    busy = false;
    has_worker(1);
    has_worker(2);
    has_worker(WORKERS)
}

inline word_is_of() {
    seen = word;
    ok = STATE(seen) >= BEGUN && id == which
    /* Weaker by 2: id_before_the_word (close: I4_end_taken_once):
    d_step { ok = id == which }
    seen = word;
    ok = ok && STATE(seen) >= BEGUN */
}

inline wm_generation_close() {
    do
    :: word_is_of();
        WHEN(ok && OPEN(seen), look());
        /* Weaker by 2: look_before_the_word (close: I5_not_over_its_workers):
    :: look();
        word_is_of(); */
        if
        :: ok && OPEN(seen) && !busy ->
            SWAP(word == seen,
                word = WORD(EXITED, SPELL(seen), TOLD(seen), VERSION(seen));
                closed[which]++;
                I5);
            WHEN(ok, break)
        :: else -> break
        fi
    od;
    seen = 0;
    d_step { ok = false; busy = false }
}

inline wm_generation_take_exit() {
    do
    :: word_is_of();
        if
        :: ok && OWED(seen) ->
            SWAP(word == seen,
                word = WORD(STATE(seen), SPELL(seen), TOLD(seen) + 1,
                            VERSION(seen));
                taken[which]++;
                CHECK(I4_end_taken_once, taken[which] <= closed[which]))
        :: else -> break
        fi
    od;
    seen = 0;
    ok = false
}

inline wm_generation_enter() {
    word_is_of();
    do
    :: !ok -> break
    :: ok ->
        SWAP(word == seen,
            word = WORD(ACTIVE, SPELL(seen) + !OPEN(seen), TOLD(seen),
                        VERSION(seen) + 1);
            entered[me] = true);
        if
        :: ok -> break
        :: else -> word_is_of()
        fi
    od;
    seen = 0
}

/* Told to be the last: at which joining, of how many. */
byte joined, joined_at[WORKERS + 1], told_at[3];
bool told;
byte holder;

inline wm_lock_acquire() {
    atomic { holder == 0 || !alive[holder] -> holder = me }
    /* Weaker by 1: exits_without_the_lock (last_of_two: drained_means_exited):
    skip */
}

/* n_mine of an exit: with those that join, without those that died. */
inline wm_worker_exit_counts() {
    d_step {
        count = 0;
        w = 1;
        do
        :: w <= WORKERS ->
            WHEN(IS_OPEN_FOR(w), count++);
            /* Weaker by 1: joining_not_counted (last: I6_one_last):
            WHEN(IS_OPEN_FOR(w) && state[w] == LIVE, count++); */
            w++
        :: else -> break
        od;
        w = 0;
        WHEN(count == 1,
             told = true;
             CHECK(I6_one_last, told_at[which] == 0 ||
                                joined_at[me] > told_at[which]);
             told_at[which] = joined);
        count = 0
    }
}

proctype worker(byte me; byte which)
{
    short seen;
    bool ok, busy;
    byte count, w;

    {
        d_step {
            state[me] = JOINING;
            gen[me] = which;
            joined = joined + LAST;
            joined_at[me] = joined
        }
        wm_generation_enter();
        WHEN(!ok, state[me] = 0; goto gone);
        ok = false;
        state[me] = LIVE;
        WHEN(LAST, wm_lock_acquire(); wm_worker_exit_counts());
        d_step { state[me] = DRAINING; entered[me] = false }
        wm_generation_close();
        /* Weaker by 2: drain_after_the_look (close: drained_means_exited):
        entered[me] = false;
        wm_generation_close();
        state[me] = DRAINING; */
        wm_generation_take_exit();
        d_step { WHEN(holder == me, holder = 0) }
        state[me] = 0;
gone:   skip
    } unless { !alive[me] };
    d_step { seen = 0; ok = false; busy = false; done++ }
}

/* Ends the first, if nobody came; begins the second, if it may. */
proctype master()
{
    short seen;
    bool ok;

    if
    :: seen = word;
        WHEN(STATE(seen) == BEGUN, d_step {
            WHEN(word == seen,
            /* Weaker by 1: abort_blindly (close: I4_no_end_lost): WHEN(true, */
                word = WORD(ABORTED, 0, 0, VERSION(seen));
                I5)
        })
    :: true
    fi;
    do
    :: seen = word;
        SWAP(STATE(seen) >= EXITED && !OWED(seen) && word == seen,
            word = WORD(CLAIMED, 0, 0, VERSION(seen) + 1));
        WHEN(ok,
            id = 2;
            word = WORD(BEGUN, 0, 0, VERSION(seen) + 2);
            run worker(3, 2);
            break)
    :: done++; break
    od;
    seen = 0;
    done++
}

AT_ANY_TIME(kernel, :: alive[1] -> alive[1] = false)

init
{
    short seen;
    bool ok, busy;
    byte me, which;

    atomic {
        word = WORD(BEGUN, 0, 0, 0);
        id = 1;
        WHEN(!LAST, run master());
        run worker(1, 1);
        run worker(2, 1);
        WHEN(LAST, done = 4 - WORKERS);
        WHEN(LAST && WORKERS == 3, run worker(3, 1))
    }
    done == 4;
    which = id;
    CHECK(drained_means_exited, !alive[1] || !OPEN(word) &&
                                (!LAST || STATE(word) == EXITED && told));
    wm_generation_close();
    wm_generation_take_exit();
    CHECK(I4_no_end_lost, !OPEN(word) && taken[1] == closed[1] &&
                          taken[2] == closed[2])
}
