/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a worker's record: claimed, published, beaten, marked as stalled
 * or crashed, drained, left, reaped, and claimed again (worker.c, sweep.c,
 * process.c).
 *
 * One record, and two processes that join it, beat, drain and leave in any
 * order, and die anywhere. In the check `room` they run at once; in `reused`
 * the second begins when the first is dead, with the same pid. A sweeper looks
 * and marks step by step; in `reused` another is beside it, which judges in one
 * step and marks in the next. If liveness is asked for, one joins, and of
 * two sweepers one survives, which has the pid of the dead.
 *
 * Time is a few ticks: a beat of an earlier one is overdue, and in the last all
 * are. A pid comes again in a later tick than that of its former life.
 *
 * Left out: that a process joins twice; other records, so that the table is
 * full where this one is taken; stalls told, and the steps of telling a crash
 * (here it is one); what spares a worker a stall, which are the lock's holder
 * and a sweeper's own lateness; that a sweep passes over the fresh; a start
 * time that is not to be seen. The clock is read with the swap. A process is a
 * number here, which is its start time and its join number, too.
 *
 * check room: -DSECOND=3
 * check reused: -DSECOND=2
 * check I7_dead_are_reaped: -DSECOND=0 */

#include "common.inc"

#define TICKS 2

/* state:3 | pid:2 | beat:2 */
#define WORD(state, pid, beat) ((state) << 4 | (pid) << 2 | (beat))
#define STATE(w) ((w) >> 4)
#define PID(w) ((w) >> 2 & 3)
#define BEAT(w) ((w) & 3)
#define WITH_STATE(w, state) ((state) << 4 | ((w) & 15))
#define GIVEN(join, crash) ((join) << 1 | (crash))

/* Processes 1 and 2 have one pid, and 3 and 4 have others. */
#define PID_OF(p) ((p) < 3 -> 1 : (p) - 1)

/* The record: its word, and who it says that it is of. */
byte word, join, ident, given;

/* The kernel's: who lives; the time; when process 2 began. */
bool alive[5];
byte now, began;

/* Whose the record is. */
byte occupant;

hidden byte I1_only_as_drawn, I2_the_living_keep_theirs,
    I3_crashed_after_its_end, I3_crashed_once, I7_a_look_finds_the_dead,
    crash_is_told_first, no_stall_is_overlooked, only_the_overdue_stall,
    identity_is_the_occupants, two_tries_are_enough;

/* The time as it is written. */
#define STAMP (now == TICKS -> TICKS - 1 : now)

/* The process that has a pid, or 0. */
#define HAS(pid) \
    ((pid) == 1 -> (alive[2] -> 2 : alive[1]) : (alive[3] -> 3 : 0))

/* The states that may follow one. */
#define BIT(state) (1 << (state))
#define NEXT(state) \
    ((state) == FREE -> BIT(CLAIMED) : \
    ((state) == CLAIMED -> BIT(JOINING) | BIT(FREE) : \
    ((state) == DRAINING -> \
        BIT(DRAINING) | BIT(CRASHED) | BIT(FREE) | BIT(CLAIMED) : \
    ((state) == CRASHED -> BIT(FREE) | BIT(CLAIMED) : \
    BIT(LIVE) | BIT(CRASHED) | BIT(FREE) | \
    ((state) == LIVE -> BIT(STALLED) | BIT(DRAINING) : \
    ((state) == JOINING -> BIT(JOINING) | BIT(DRAINING) : 0))))))

/* The word becomes another, by this process's hand. */
inline become(to) {
    CHECK(I3_crashed_after_its_end, STATE(to) != CRASHED || !alive[occupant]);
    CHECK(I3_crashed_once, STATE(to) != CRASHED || STATE(word) != CRASHED);
    CHECK(I2_the_living_keep_theirs,
          occupant == me || !alive[occupant] || STATE(to) == STALLED ||
          (STATE(word) == DRAINING && STATE(to) == CLAIMED));
    CHECK(crash_is_told_first,
          STATE(word) != CRASHED || given == GIVEN(occupant, 1));
    CHECK(no_stall_is_overlooked,
          STATE(word) != STALLED || STATE(to) != LIVE ||
          STATE(seen) == STALLED);
    CHECK(only_the_overdue_stall, STATE(to) != STALLED || BEAT(word) < now);
    CHECK(I1_only_as_drawn,
          (NEXT(STATE(word)) >> STATE(to) & 1) &&
          (occupant == me || STATE(to) == FREE || STATE(to) == CLAIMED ||
           to == WITH_STATE(word, STATE(to))));
    WHEN(STATE(to) == FREE, occupant = 0);
    WHEN(STATE(to) == CLAIMED, occupant = me);
    word = to
}

/* --------------------------------------------------- what sweepers do to it */

inline look(by_this) {
    /* Weaker by 0: own_pid_passed_over (I7_dead_are_reaped):
    PID(word) != PID_OF(me) && */
    by_this && STATE(word) != FREE &&
    !(STATE(word) == CRASHED && BEAT(word) >= now) ->
    seen = word;
    overdue = BEAT(seen) < now
}

/* While it beats, a pid is taken for nobody else's, but for the sweeper's. */
#define IS_QUICK (STATE(seen) == LIVE && !overdue && PID(seen) != PID_OF(me))

/* By what the kernel says now. */
inline wm_process_dead() {
    dead = HAS(PID(seen)) == 0;
    WHEN(!dead && !IS_QUICK,
    /* Weaker by 1: pid_alone (reused: I7_a_look_finds_the_dead): WHEN(false, */
        dead = (id != 0 -> HAS(PID(seen)) != id :
                           HAS(PID(seen)) == 2 && began > BEAT(seen)));
    CHECK(I7_a_look_finds_the_dead, SECOND == 0 ||
          dead || IS_QUICK || word != seen || alive[occupant])
}

/* id: of the record's cold line, its `ident`, or what was told of a crash. */
inline judge() {
    if
    :: STATE(seen) == CRASHED ->
        to = FREE;
        seen = (id == GIVEN(join, 1) -> seen : 0)
    :: else ->
        WHEN(PID(seen) != PID_OF(id) || STATE(seen) == CLAIMED, id = 0);
        wm_process_dead();
        if
        :: dead ->
            to = (STATE(seen) == CLAIMED -> FREE : WITH_STATE(seen, CRASHED))
        :: !dead && STATE(seen) == LIVE && overdue ->
            to = WITH_STATE(seen, STALLED)
        :: else -> seen = 0
        fi
    fi;
    id = 0; dead = false; overdue = false
}

#define COLD(w) (STATE(w) == CRASHED -> given : ident)
#define IS_OCCUPANTS(j) \
    (occupant == 0 || STATE(seen) == CLAIMED || (j) == occupant)

inline mark() {
    d_step {
        /* Weaker by 0: mark_from_a_stale_look (room: only_the_overdue_stall):
        WHEN(WITH_STATE(word, 0) != WITH_STATE(seen, 0) &&
             PID(word) == PID(seen) && STATE(word) == STATE(seen),
             to = (to == FREE -> FREE : WITH_STATE(word, STATE(to)));
             seen = word); */
        WHEN(word == seen,
        /* Weaker by 1: mark_blindly (reused: I1_only_as_drawn): WHEN(true, */
        /* Weaker by 1: mark_again (reused: I3_crashed_once):
        WHEN(word == seen || (STATE(word) == CRASHED && word == to), */
            CHECK(identity_is_the_occupants, IS_OCCUPANTS(j));
            become(to));
        seen = 0; to = 0; j = 0
    }
}

proctype sweeper(byte me; bool at_once)
{
    byte seen, to, id, j;
    bool dead, overdue;

end_unborn:
    alive[me];
    {
end:    do
        :: d_step { look(!at_once) }
           id = COLD(seen);
           d_step { judge() }
           WHEN(seen != 0, j = join; mark())
        :: d_step { look(at_once); id = COLD(seen); judge();
                    j = (seen == 0 -> 0 : join) }
           WHEN(seen != 0, mark())
        od
    } unless { !alive[me] };
    d_step { seen = 0; to = 0; id = 0; j = 0; dead = false; overdue = false }
}

/* Crashes are told. */
AT_ANY_TIME(teller,
    :: d_step {
           STATE(word) == CRASHED && given == GIVEN(join, 0) ->
           given = GIVEN(join, 1)
       }
)

/* ------------------------------------------------------ a worker's own acts */

#define IS_MINE(w) (PID(w) == PID_OF(me))

/* Waits for room. The former occupant is logged. */
inline claim_any() {
end_no_room:
    do
    :: d_step {
           STATE(word) == FREE || STATE(word) == DRAINING ||
           (STATE(word) == CRASHED && given == GIVEN(join, 1)) ->
           /* Weaker by 1: evict_untold (room: crash_is_told_first):
           STATE(word) == CRASHED -> */
           seen = word
       }
       j = join;
       d_step {
           if
           :: word == seen ->
               CHECK(identity_is_the_occupants, IS_OCCUPANTS(j));
               seen = WORD(CLAIMED, PID_OF(me), STAMP);
               become(seen)
           :: else -> seen = 0
           fi;
           j = 0
       }
       WHEN(seen != 0, break)
    od
}

inline publish() {
    join = me;
    /* Weaker by 1: join_after_the_word (room: identity_is_the_occupants) */
    d_step { ident = me; given = GIVEN(me, 0) }
    /* Weaker by 1: ident_after_the_word (reused: I3_crashed_after_its_end) */
    d_step {
        CHECK(I2_the_living_keep_theirs, word == seen);
        become(WITH_STATE(seen, JOINING));
        seen = 0
    }
    /* Weaker by 0: join_after_the_word: ; join = me */
    /* Weaker by 0: ident_after_the_word: ; ident = me; given = GIVEN(me, 0) */
}

/* Out of STALLED it recovers before it drains. */
#define AFTER(w, state) \
    (STATE(w) == STALLED && (state) != FREE -> LIVE : (state))

/* Each act begins with a look: seen is 0 if there is nothing to do, and to is
 * the state that shall be. */
inline wm_beat() {
    d_step {
        seen = word;
        if
        :: IS_MINE(seen) && (STATE(seen) == STALLED || BEAT(seen) < STAMP) ->
            to = AFTER(seen, STATE(seen))
        :: else -> seen = 0
        fi
    }
}

inline change_state(state) {
    d_step {
        seen = word;
        if
        :: IS_MINE(seen) &&
        /* Weaker by 1: whose_is_not_asked (room: I2_the_living_keep_theirs):
        :: STATE(seen) >= JOINING && STATE(seen) <= DRAINING && */
           STATE(seen) != state &&
           !(STATE(seen) == DRAINING && state == LIVE) ->
            to = AFTER(seen, state)
        :: else -> seen = 0
        fi
    }
}

#define MY_WORD (to == FREE -> 0 : WORD(to, PID_OF(me), STAMP))

/* A swap that fails has met a stall, or the record is not ours any more. */
inline swap() {
    d_step {
        if
        :: word == seen ->
        /* Weaker by 1: beat_blindly (reused: no_stall_is_overlooked):
        :: word == seen || to == STATE(seen) -> */
            become(MY_WORD);
            seen = 0; to = 0
        :: else ->
            seen = (IS_MINE(word) -> word : 0);
            /* Weaker by 1: try_again_from_the_old (room: two_tries_are_enough):
            seen = (IS_MINE(word) -> seen : 0); */
            to = (seen == 0 -> 0 : AFTER(seen, to))
        fi
    }
    d_step {
        WHEN(seen != 0,
            CHECK(two_tries_are_enough, word == seen);
            become(MY_WORD);
            seen = 0; to = 0)
    }
}

proctype worker(byte me)
{
    byte seen, to, j;

end_unborn:
    alive[me];
    {
        claim_any();
        publish();
        do
        :: if
           :: wm_beat()
           :: change_state(LIVE)
           :: change_state(DRAINING)
           :: change_state(FREE)
           fi;
           WHEN(seen != 0, swap())
        od
    } unless { !alive[me] };
    d_step { seen = 0; to = 0; j = 0 }
}

/* ------------------------------------------------------------- the kernel */

AT_ANY_TIME(clock, :: d_step { now < TICKS -> now++ })

AT_ANY_TIME(kernel,
    :: d_step { alive[1] -> alive[1] = false }
    :: d_step { SECOND != 0 && alive[2] -> alive[2] = false }
    :: d_step { alive[3] -> alive[3] = false }
    :: d_step { SECOND == 0 && alive[2] && alive[4] -> alive[4] = false }
    :: d_step {
           alive[4] && !alive[1] && began == 0 && now < TICKS - 1 ->
           now++;
           began = now;
           alive[2] = true
       }
)

init
{
    atomic {
        alive[1] = true;
        alive[4] = true;
        alive[3] = SECOND == 3;
        run sweeper(4, false);
        run worker(1);
        WHEN(SECOND == 0, run sweeper(2, false));
        WHEN(SECOND != 0, run worker(SECOND));
        WHEN(SECOND == 2, run sweeper(4, true))
    }
}

#define DEAD (occupant != 0 && !alive[occupant])

ltl I7_dead_are_reaped { [] (DEAD -> <> !DEAD) }
