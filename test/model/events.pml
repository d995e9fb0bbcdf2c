/* SPDX-License-Identifier: Apache-2.0 */

/* Each event of a worker is told once: a crash and a stall are owed by the mark
 * of a sweeper, taken by another mark, then given out; a worker asks for the
 * recoveries that it may tell (sweep.c, worker.c).
 *
 * One record, claimed by two processes, one after the other, or twice by one.
 * Its occupant is marked as stalled, recovers, drains, leaves, stays, or dies
 * anywhere; the other may take it from one that drains, as in a full table. Two
 * survivors sweep and take. Either may go on no more, wherever it is, as if it
 * had died; in the check of liveness, the first does die. If the record is
 * used again, the second takes all its steps at once.
 *
 * An owed event goes with its worker: a stall that nobody took before its
 * worker left, or crashed, is owed no more.
 *
 * Left out: the lock, which lets one survivor take at a time; time, which is up
 * at any moment; the beat in the word, so that words are equal more often than
 * they can be; the role, which lies beside the generation; that a crash which
 * has expired makes room untold. Stalls are counted modulo 8.
 *
 * check once: -DJOINS=1 -DSTALLS=2 -DASKS=0 -DDIES=0
 * check reused: -DJOINS=2 -DSTALLS=2 -DASKS=0 -DDIES=0
 * check recovered: -DJOINS=2 -DSTALLS=1 -DASKS=1 -DDIES=0
 * check I4_crash_is_taken: -DJOINS=1 -DSTALLS=1 -DASKS=0 -DDIES=1 */

#include "common.inc"

/* state:3 | pid:2 */
#define WORD(state, pid) ((state) << 2 | (pid))
#define STATE(w) ((w) >> 2)
#define PID(w) ((w) & 3)

/* join:2 | stalls that a worker came back from:3 */
#define STALLS_OF(join, n) ((join) << 3 | ((n) & 7))
#define COUNTED(s) ((s) & 7)
#define COUNTER(s) ((s) >> 3)

/* join:2 | stalls told:3 | crash told:1 */
#define GIVEN(join, stalls, crash) ((join) << 4 | (stalls) << 1 | (crash))
#define STALLS_TOLD(g) ((g) >> 1 & 7)
#define CRASH_TOLD(g) ((g) & 1)
#define IS_OF(g, join) ((g) >> 4 == (join))

/* The record. Generation and spell are the join number, so that they tell whose
 * they are. */
byte word, join, generation, spell, stalls, given;

/* Workers have the pids 1 and 2. */
#define SURVIVOR 3
bool alive[4] = true;
byte joins, ended;

/* By join number: what was marked and nobody has taken, or was told of yet. */
byte pid_of[JOINS + 1], stalls_owed[JOINS + 1], stalls_untold[JOINS + 1];
bool crash_owed[JOINS + 1], crash_untold[JOINS + 1], entered[JOINS + 1];
byte stalled;

hidden byte told_of_one_occupant, I4_stall_told_once, I4_crash_told_once,
    I4_stall_not_lost, I4_crash_not_lost, recovery_after_its_stall;

/* ---------------------------------------------------------------- worker */

inline publish() {
    d_step {
        joins++;
        mine = joins;
        recoveries = 0;
        pid_of[mine] = me;
        join = mine
    }
    generation = mine;
    spell = 0;
    stalls = STALLS_OF(mine, 0);
    /* Weaker by 1: stalls_of_the_former (reused: I4_stall_not_lost) */
    given = GIVEN(mine, 0, 0);
    word = WORD(JOINING, me);
    d_step { spell = mine; entered[mine] = true }
}

inline count_recovery() {
    d_step {
        WHEN(COUNTER(stalls) == mine,
            stalls = STALLS_OF(COUNTER(stalls), COUNTED(stalls) + 1))
    }
}

/* Another thread may drain before it is counted. */
inline recover() {
    d_step { word == WORD(STALLED, me); word = WORD(LIVE, me) }
    if
    :: d_step { word == WORD(LIVE, me); word = WORD(DRAINING, me) }
    :: true
    fi;
    count_recovery()
}

#define IS_MINE (COUNTER(counted) == mine && IS_OF(told, mine))

inline wm_worker_recoveries() {
    counted = stalls;
    told = given;
    d_step {
        if
        :: !IS_MINE -> back = recoveries
        :: IS_MINE && ((counted - STALLS_TOLD(told)) & 7) < 4 ->
            back = STALLS_TOLD(told)
            /* Weaker by 1: recovery_of_the_untold (recovered:
                            recovery_after_its_stall):
            back = COUNTED(counted) */
        :: else -> back = COUNTED(counted)
        fi;
        back = (back - recoveries) & 7;
        recoveries = recoveries + back;
        CHECK(recovery_after_its_stall,
              back == 0 || recoveries <= STALLS_TOLD(told));
        counted = 0;
        back = 0;
        told = 0
    }
}

proctype worker(byte me)
{
    byte mine, counted, back, told, recoveries;

    {
        do
        :: d_step {
               joins < JOINS && me <= joins + 1 &&
               (word == FREE || (STATE(word) == DRAINING && PID(word) != me));
               word = WORD(CLAIMED, me)
           }
           publish();
           do
           :: d_step { word == WORD(JOINING, me); word = WORD(LIVE, me) }
           :: recover()
           :: ASKS -> wm_worker_recoveries()
           :: d_step {      /* out of STALLED it recovers first */
                  word == WORD(JOINING, me) || word == WORD(LIVE, me);
                  word = WORD(DRAINING, me)
              }
           :: d_step { PID(word) == me; word = FREE } break
           :: PID(word) != me -> break
           :: true -> goto stays
           od
        :: joins > 0 -> break
        od;
stays:  skip
    } unless { !alive[me] };
    d_step {
        mine = 0; counted = 0; back = 0; told = 0; recoveries = 0;
        ended++
    }
}

/* ----------------------------------------------------------------- sweep */

#define DEAD (!alive[PID(word)])

inline sweep_record() {
    if
    :: d_step {
           DEAD && STATE(word) >= JOINING && STATE(word) <= DRAINING;
           word = WORD(CRASHED, PID(word));
           crash_owed[join] = true;
           crash_untold[join] = true
       }
    :: d_step {
           DEAD && STATE(word) == CLAIMED;
           word = FREE
       }
    :: d_step {
           STATE(word) == LIVE && stalled < STALLS;
           stalled++;
           word = WORD(STALLED, PID(word));
           stalls_owed[join]++;
           stalls_untold[join]++
       }
    :: d_step { STATE(word) == CRASHED; seen = word }
       old = given;
       d_step {
           WHEN(!CRASH_TOLD(old) || !IS_OF(old, join), seen = 0);
           /* Weaker by 1: forgets_the_untold (reused: I4_crash_not_lost) */
           old = 0
       }
       d_step { WHEN(word == seen, word = FREE); seen = 0 }
    :: true
    fi
}

/* ---------------------------------------------------------------- events */

#define OWED(w) \
    ((stalls_seen + (STATE(w) == STALLED) - STALLS_TOLD(old)) & 7)
#define OWES_STALL(w) \
    (OWED(w) > 0 && OWED(w) < 4 && STATE(w) >= LIVE && STATE(w) <= DRAINING)
#define STAYS(w) \
    (STATE(w) >= LIVE && STATE(w) <= DRAINING && alive[PID(w)])

/* kind: the state that is to be told of, 0 if none. If one finds nothing, once
 * the workers are done, it has missed nothing. */
inline owed_kind() {
    d_step { old = given; over = !DIES && ended == 2 }
    stalls_seen = COUNTED(stalls);
    d_step {
        seen = word;
        if
        :: STATE(seen) == CRASHED ->
        /* Weaker by 1: crash_after_the_stalls (I4_crash_is_taken):
        :: STATE(seen) == CRASHED && OWED(seen) == 0 -> */
            kind = (CRASH_TOLD(old) -> 0 : CRASHED)
        :: OWES_STALL(seen) -> kind = STALLED
        :: else
        fi;
        if
        :: kind == 0 ->
            WHEN(over && seen == word,
                 CHECK(I4_crash_not_lost,
                       !crash_owed[1] && !crash_owed[JOINS]);
                 CHECK(I4_stall_not_lost,
                       !STAYS(seen) || stalls_owed[join] == 0));
            old = 0
        :: else -> e_pid = PID(seen)
        fi;
        seen = 0; stalls_seen = 0; over = false
    }
}

inline mark_as_given() {
    d_step {
        ok = given == old;
        /* Weaker by 1: mark_without_join (reused: I4_stall_told_once):
        ok = (given & 15) == (old & 15); */
        if
        :: ok && kind == CRASHED -> given = old | 1; crash_owed[e_join] = false
        /* Weaker by 1: crash_is_not_noted (once: I4_crash_told_once):
        :: ok && kind == CRASHED -> crash_owed[e_join] = false */
        :: ok && kind == STALLED -> given = old + 2; stalls_owed[e_join]--
        :: else
        fi
    }
}

inline callback() {
    d_step {
        CHECK(told_of_one_occupant, fits);
        if
        :: kind == CRASHED ->
            CHECK(I4_crash_told_once, crash_untold[e_join]);
            crash_untold[e_join] = false
        :: else ->
            CHECK(I4_stall_told_once, stalls_untold[e_join] > 0);
            stalls_untold[e_join]--
        fi
    }
}

inline forget_event() {
    d_step {
        kind = 0; old = 0; ok = false; over = false; fits = false;
        e_generation = 0; e_join = 0; e_pid = 0;
        seen = 0; stalls_seen = 0
    }
}

inline take_of_record() {
    owed_kind();
    WHEN(kind != 0,
        e_generation = generation;
        d_step {
            e_join = join;
            fits = e_generation == e_join && e_pid == pid_of[e_join];
            e_generation = 0;
            e_pid = 0
        }
        fits = fits && spell == (entered[e_join] -> e_join : 0);
        ok = STATE(word) >= JOINING;
        /* Weaker by 1: no_second_look (reused: told_of_one_occupant):
        ok = true; */
        WHEN(ok, mark_as_given());
        WHEN(ok, callback());
        forget_event())
}

/* at_once: so that the other finds it done. */
proctype survivor(byte me; bool at_once)
{
    byte seen, stalls_seen, kind, old, e_join, e_generation, e_pid;
    bool ok, over, fits;

    {
end:    do
        :: !at_once -> sweep_record(); take_of_record()
        :: atomic { at_once -> sweep_record(); take_of_record() }
        od
    } unless { !alive[me] };
    forget_event()
}

/* A process without a record has nothing to die with. */
AT_ANY_TIME(kernel,
    :: d_step { word != FREE && alive[PID(word)]; alive[PID(word)] = false }
    :: DIES && alive[SURVIVOR] -> alive[SURVIVOR] = false
)

init
{
    atomic {
        run worker(1);
        run worker(2);
        run survivor(SURVIVOR, false);
        run survivor(0, JOINS > 1)
    }
}

#define CRASH_OWED (STATE(word) == CRASHED && crash_owed[join])

ltl I4_crash_is_taken { [] (CRASH_OWED -> <> !CRASH_OWED) }
