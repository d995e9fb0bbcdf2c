/* SPDX-License-Identifier: Apache-2.0 */

/* Counting: what two passes agree on was so at one moment between (census.c).
 *
 * Two slots; three workers, of two generations, that join one of them if there
 * is room and leave it; a counter, who reads what lies beside the word in the
 * second pass, as for counts, and in the first, as for the list of workers.
 *
 * A claim is early if its joiner found the slot unclaimed, and then read the
 * clock, before the counter read it.
 *
 * Two workers, of which the first joins twice, in the check of that name: who
 * leaves a slot and claims it again shows its former number beside CLAIMED and
 * its pid, as while it claimed it first.
 *
 * Left out: JOINING, which is as CLAIMED here; that pairs of passes are
 * repeated (one that does not agree says nothing); the digest: what goes into
 * it stands here; deaths, which change a record by a sweeper's hand as leaving
 * does by the worker's own.
 *
 * check settled: -DWORKERS=3 -DLIVES=1
 * check twice: -DWORKERS=2 -DLIVES=2 */

#include "common.inc"

#define SLOTS 2

#define GENERATION(w) (1 + ((w) & 1))
#define JOIN(w) (lives << 2 | (w))

/* The word's state and pid, and what lies beside it. */
byte state[SLOTS], holder[SLOTS], join[SLOTS], generation[SLOTS];
bool early[SLOTS];
#define WORD(s) (state[s] << 2 | holder[s])
bool begun; /* the counter has read the clock */

/* The true counts between the passes: live workers of each generation. */
byte between[3];

hidden byte settled_was_so;

inline mark(from, to) {
    SWAP(state[s] == from && holder[s] == me,
        state[s] = to;
        early[s] = false)
}

/* Joins, in either slot, if there is room; leaves at once, or drains. */
inline live_once() {
    if
    :: d_step { lives--; s = 0 }
    :: d_step { lives--; s = 1 }
    fi;
    d_step {
        found = WORD(s);
        ok = state[s] == FREE || state[s] == DRAINING;
        is_early = ok && !begun
#if WORKERS == 2
    }
    d_step {
#endif
        ok = ok && WORD(s) == found;
        WHEN(ok,
            state[s] = CLAIMED;
            holder[s] = me;
            early[s] = is_early);
        found = 0;
        is_early = false
    }
    WHEN(ok,
        join[s] = JOIN(me);
        generation[s] = GENERATION(me);
        mark(CLAIMED, LIVE);
        if
        :: me == 1 -> mark(LIVE, STALLED); mark(STALLED, LIVE)
        :: me == 1 -> mark(LIVE, DRAINING)
        :: true
        fi;
        d_step { WHEN(holder[s] == me, state[s] = FREE; holder[s] = 0) })
}

proctype worker(byte me; byte lives)
{
    byte s, found;
    bool ok, is_early;

    do
    :: lives > 0 -> live_once()
    :: else -> break
    od
}

#define COUNTS(st) ((st) == LIVE || (st) == STALLED)
#define IS_IN(s, g) (COUNTS(state[s]) && GENERATION(holder[s]) == g)
#define STATE(w) ((w) >> 2)

inline first_pass(s) {
    j[s] = join[s];
    word[s] = WORD(s);
    g = generation[s];
    /* Weaker by 3: same_order (settled: settled_was_so):
    word[s] = WORD(s);
    g = generation[s];
    j[s] = join[s]; */
    d_step {
        WHEN(COUNTS(STATE(word[s])), list[g]++);
        g = 0
    }
}

inline second_pass(s) {
    now = WORD(s);
    g = generation[s];
    d_step {
        jn = join[s];
        same = same && now == word[s] && jn == j[s] &&
               (STATE(now) != CLAIMED || early[s]);
        /* Weaker by 1: claimed_agrees (twice: settled_was_so):
               true; */
        WHEN(COUNTS(STATE(now)), tally[g]++);
        g = 0; jn = 0; now = 0
    }
}

active proctype census()
{
    byte j[SLOTS], word[SLOTS], g, jn, now, tally[3], list[3];
    bool same = true;

    begun = true;
    first_pass(0);
    first_pass(1);
    d_step {
        between[1] = IS_IN(0, 1) + IS_IN(1, 1);
        between[2] = IS_IN(0, 2) + IS_IN(1, 2)
    }
    second_pass(0);
    second_pass(1);
    WHEN(same,
         CHECK(settled_was_so,
               tally[1] == between[1] && tally[2] == between[2] &&
               list[1] == between[1] && list[2] == between[2]))
}

init
{
    atomic {
        run worker(1, LIVES);
        run worker(2, 1);
        WHEN(WORKERS == 3, run worker(3, 1))
    }
}
