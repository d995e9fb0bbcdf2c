/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The life of a generation: begun, entered, closed, told, aborted, come back,
 * and its record used again by another (generation.c).
 *
 * One record of a generation, used for two, one after the other. Workers join
 * the one or the other, drain, close, and take the end; the first ones die
 * anywhere. Survivors of other generations close in the same way, so that there
 * are none. Who began it ends it at any moment, as a failed start does, and
 * begins the second once nothing of the first is needed.
 *
 * Left out: the steps of a worker's record (here a worker has one of its own,
 * claimed and published in one step), the lock and the counts, except where the
 * check `last` asks who is told to be the last; there the count is of one
 * moment (count.pml) and the lock passes on from the dead (lock.pml). Versions
 * count modulo 16, more than all changes there are.
 *
 * check close: -DWORKERS=3
 * check last: -DWORKERS=3 -DLAST */

#define NONE 0
#define CLAIMED 1
#define BEGUN 2
#define ACTIVE 3
#define EXITED 4
#define ABORTED 5

#define JOINING 2
#define LIVE 3
#define DRAINING 5

#define CHECK(name, holds) name = (holds); assert(name)

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
bool alive[WORKERS + 1];

/* Who has entered and not drained; ends of each generation. */
bool entered[WORKERS + 1];
byte closed[3], taken[3];
byte done;

hidden byte I4_end_taken_once, I4_no_end_lost, I5_not_over_its_workers,
    drained_means_exited, I6_one_last;

#define IN(w) (entered[w] && alive[w])
#define I5 CHECK(I5_not_over_its_workers, OPEN(word) || \
                 !(IN(1) || IN(2) || IN(WORKERS)))

inline has_worker(w) {
    if
#ifdef MUTANT_drain_after_the_look
    :: w != me && state[w] != 0 && state[w] != DRAINING && gen[w] == which &&
       alive[w] -> busy = true
#else
    :: state[w] != 0 && state[w] != DRAINING && gen[w] == which && alive[w] ->
        busy = true
#endif
    :: else
    fi
}

inline look() {
    busy = false;
    has_worker(1);
    has_worker(2);
    has_worker(WORKERS)
}

inline word_is_of() {
#ifdef MUTANT_id_before_the_word /* close: I4_end_taken_once */
    d_step { ok = id == which }
    seen = word;
    ok = ok && STATE(seen) >= BEGUN
#else
    seen = word;
    ok = STATE(seen) >= BEGUN && id == which
#endif
}

inline wm_generation_close() {
    do
    ::
#ifdef MUTANT_look_before_the_word /* close: I5_not_over_its_workers */
        look();
        word_is_of();
#else
        word_is_of();
        if
        :: ok && OPEN(seen) -> look()
        :: else
        fi;
#endif
        if
        :: ok && OPEN(seen) && !busy ->
            d_step {
#ifdef MUTANT_close_blindly /* close: I4_end_taken_once */
                ok = true;
#else
                ok = word == seen;
#endif
                if
                :: ok ->
                    word = WORD(EXITED, SPELL(seen), TOLD(seen), VERSION(seen));
                    closed[which]++;
                    I5
                :: else
                fi
            }
            if
            :: ok -> break
            :: else
            fi
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
            d_step {
#ifdef MUTANT_take_blindly /* close: I4_end_taken_once */
                ok = true;
#else
                ok = word == seen;
#endif
                if
                :: ok ->
                    word = WORD(STATE(seen), SPELL(seen), TOLD(seen) + 1,
                                VERSION(seen));
                    taken[which]++;
                    CHECK(I4_end_taken_once, taken[which] <= closed[which])
                :: else
                fi
            }
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
        d_step {
            ok = word == seen;
            if
            :: ok && OPEN(seen) ->
#ifdef MUTANT_no_version /* close: I5_not_over_its_workers */
                word = seen;
#else
                word = WORD(ACTIVE, SPELL(seen), TOLD(seen), VERSION(seen) + 1);
#endif
                entered[me] = state[me] != 0
            :: ok && !OPEN(seen) ->
                word = WORD(ACTIVE, SPELL(seen) + 1, TOLD(seen),
                            VERSION(seen) + 1);
                entered[me] = state[me] != 0
            :: else
            fi
        }
        if
        :: ok -> break
        :: else -> word_is_of()
        fi
    od;
    seen = 0
}

#ifdef LAST
/* Told to be the last: at which joining, of how many. */
byte joined, joined_at[WORKERS + 1], told_at[3];
bool told;
byte holder;

inline wm_lock_acquire() {
#ifndef MUTANT_exits_without_the_lock /* last: drained_means_exited */
    atomic { holder == 0 || !alive[holder] -> holder = me }
#else
    skip
#endif
}

/* n_mine of an exit: with those that join, without those that died. */
inline wm_worker_exit_counts() {
    d_step {
        count = 0;
        w = 1;
        do
        :: w <= WORKERS ->
            if
#ifdef MUTANT_joining_not_counted /* last: I6_one_last */
            :: state[w] == LIVE && gen[w] == which && alive[w] -> count++
#else
            :: state[w] != 0 && state[w] != DRAINING && gen[w] == which &&
               alive[w] -> count++
#endif
            :: else
            fi;
            w++
        :: else -> break
        od;
        w = 0;
        if
        :: count == 1 ->
            told = true;
            CHECK(I6_one_last, told_at[which] == 0 ||
                               joined_at[me] > told_at[which]);
            told_at[which] = joined
        :: else
        fi;
        count = 0
    }
}
#endif

proctype worker(byte me; byte which)
{
    short seen;
    bool ok, busy;
#ifdef LAST
    byte count, w;
#endif

    {
#ifdef MUTANT_enter_before_joining /* close: I5_not_over_its_workers */
        wm_generation_enter();
        d_step { state[me] = JOINING; gen[me] = which; entered[me] = ok; I5 }
#else
        d_step {
            state[me] = JOINING;
            gen[me] = which;
#ifdef LAST
            joined++;
            joined_at[me] = joined
#endif
        }
        wm_generation_enter();
#endif
        if
        :: !ok -> state[me] = 0; goto gone
        :: else
        fi;
        ok = false;
        state[me] = LIVE;
#ifdef LAST
        wm_lock_acquire();
        wm_worker_exit_counts();
#endif
#ifdef MUTANT_drain_after_the_look /* close: drained_means_exited */
        entered[me] = false;
        wm_generation_close();
        state[me] = DRAINING;
#else
        d_step { state[me] = DRAINING; entered[me] = false }
        wm_generation_close();
#endif
        wm_generation_take_exit();
#ifdef LAST
        d_step {
            if
            :: holder == me -> holder = 0
            :: else
            fi
        }
#endif
        state[me] = 0;
gone:   skip
    } unless {
        !alive[me]
    };
    d_step { seen = 0; ok = false; busy = false; done++ }
}

#ifndef LAST
/* Ends the first, if nobody came; begins the second, if it may. */
active proctype master()
{
    short seen;

    if
    :: true ->
        seen = word;
        if
        :: STATE(seen) == BEGUN ->
            d_step {
                if
#ifdef MUTANT_abort_blindly /* close: I4_no_end_lost */
                :: true ->
#else
                :: word == seen ->
#endif
                    word = WORD(ABORTED, 0, 0, VERSION(seen));
                    I5
                :: else
                fi
            }
        :: else
        fi
    :: true
    fi;
    do
    :: seen = word;
        if
        :: STATE(seen) >= EXITED && !OWED(seen) ->
            d_step {
                if
                :: word == seen ->
                    word = WORD(CLAIMED, 0, 0, VERSION(seen) + 1)
                :: else -> seen = 0
                fi
            }
        :: else -> seen = 0
        fi;
        if
        :: seen != 0 ->
            id = 2;
#ifdef MUTANT_version_begins_anew /* close: drained_means_exited */
            word = WORD(BEGUN, 0, 0, 0);
#else
            word = WORD(BEGUN, 0, 0, VERSION(seen) + 2);
#endif
            run worker(3, 2);
            break
        :: else
        fi
    :: done++; break
    od;
    seen = 0;
    done++
}
#endif

active proctype kernel()
{
end:
    do
    :: alive[1] -> alive[1] = false
    od
}

init
{
    short seen;
    bool ok, busy;
    byte me, which;

    atomic {
        word = WORD(BEGUN, 0, 0, 0);
        id = 1;
        alive[1] = true;
        alive[2] = true;
        alive[3] = true;
        run worker(1, 1);
        run worker(2, 1)
#ifdef LAST
        ; run worker(3, 1); done = 1
#endif
    }
    done == 4;
    which = id;
#ifdef LAST
    CHECK(drained_means_exited, !alive[1] || (STATE(word) == EXITED && told));
#else
    CHECK(drained_means_exited, !alive[1] || !OPEN(word));
#endif
    wm_generation_close();
    wm_generation_take_exit();
    CHECK(I4_no_end_lost, !OPEN(word) && taken[1] == closed[1] &&
                          taken[2] == closed[2])
}
