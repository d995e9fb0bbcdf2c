/* SPDX-License-Identifier: Apache-2.0 */

/* Who leads, by terms (leader.c).
 *
 * Two slots, two workers, young at first, the second of a newer generation or
 * of the same, who may come to the slot that the first has left. Each asks,
 * twice, and drains at any moment; the first may be marked as stalled once,
 * come back, or die. For liveness they ask for ever: terms need no bound, as a
 * leader is followed only when it has come to something. In the check of looks
 * neither asks, and one without a record looks at theirs.
 *
 * Left out: the proof of death and the steps of a record (here a slot changes
 * hands as there, number and generation before the word says LIVE), the hint
 * (it saves looks; a stale one is a stale look), the log.
 *
 * check term: -DASKS=2 -DSECOND=2
 * check looks: -DASKS=0 -DSECOND=2 -DONLOOKER
 * check somebody_leads: -DSECOND=2
 * check one_of_equals_leads: -DSECOND=1 */

#include "common.inc"

#define SLOTS 2
#define TERMS 12

#define GENERATION(w) ((w) == 2 -> SECOND : 1)

/* The records: state and, as its pid, the worker; its number, which is the
 * worker's; its generation. */
byte word[SLOTS], join[SLOTS], generation[SLOTS];
bool alive[3] = true, young[3] = true;

/* The leader's word. */
byte term, who;

/* The taker of each term. */
byte leader_of[TERMS];

hidden byte I11_one_leader_a_term, I11_terms_grow, seen_of_one_occupant;

#define WORD(state, w) ((state) << 2 | (w))
#define STATE(word) ((word) >> 2)
#define OF(word) ((word) & 3)
#define LIVES_AT(s) (STATE(word[s]) == LIVE && alive[OF(word[s])])
#define GOOD_AT(s) (LIVES_AT(s) && OF(word[s]) == who)
#define NEWER_AT(s, other) (LIVES_AT(s) && generation[s] > generation[other])

inline look(s) {
    seen = word[s];
    WHEN(STATE(seen) == LIVE,
        g = generation[s];
        j = join[s];
        d_step {
            WHEN(word[s] == seen,
            /* Weaker by 1: no_second_look (looks: seen_of_one_occupant):
            WHEN(true, */
                CHECK(seen_of_one_occupant,
                      j == OF(seen) && g == GENERATION(OF(seen)));
                newest = (g > newest -> g : newest);
                settled = (!young[OF(seen)] && g > settled -> g : settled);
                found = (j == his -> g : found));
            g = 0; j = 0
        });
    seen = 0
}

inline take_the_lead() {
    d_step {
        WHEN(term == t && who == his,
            CHECK(I11_terms_grow, t >= term);
            term = t + 1;
            assert(term < TERMS);
            who = me;
            CHECK(I11_one_leader_a_term,
                  leader_of[term] == 0 || leader_of[term] == me);
            leader_of[term] = me;
            t = term;
            leads = true)
    }
}

inline wm_leader_stand() {
    live = STATE(word[my]) == LIVE && OF(word[my]) == me;
    d_step {
        t = term;
        his = who;
        leads = live && his == me;
        WHEN(leads, CHECK(I11_one_leader_a_term, leader_of[t] == me))
    }
    WHEN(!leads && live,
        look(0);
        look(1);
        if
        :: GENERATION(me) < newest || (found != 0 && found >= newest) ||
           (settled >= newest && young[me])
        /* Weaker by 1: waits_for_the_settled (one_of_equals_leads):
           settled >= newest */
        /* Weaker by 2: follows_nobody_named (somebody_leads):
        :: GENERATION(me) < newest || his != 0 */
        :: else -> take_the_lead()
        fi);
    d_step {
        newest = 0; settled = 0; found = 0; his = 0; t = 0;
        live = false; leads = false
    }
}

inline wm_leader_resign() {
    d_step { t = term; his = who }
    WHEN(his == me, d_step {
        WHEN(term == t && who == his,
        /* Weaker by 1: resign_blindly (term: I11_terms_grow): WHEN(true, */
            CHECK(I11_terms_grow, t >= term);
            who = 0;
            term = t)
            /* Weaker by 1: resign_without_term (term: I11_one_leader_a_term):
            term = 0) */
    })
}

proctype worker(byte me)
{
    byte my, seen, g, j, t, his, newest, settled, found, asks;
    bool live, leads;

    {
        do
        :: d_step { word[0] == FREE; word[0] = WORD(CLAIMED, me); my = 0 } break
        :: d_step { word[1] == FREE; word[1] = WORD(CLAIMED, me); my = 1 } break
        od;
        join[my] = me;
        generation[my] = GENERATION(me);
        word[my] = WORD(LIVE, me);
        do
#ifdef ASKS
        :: asks < ASKS -> asks++; wm_leader_stand()
#else
        :: wm_leader_stand()
#endif
        :: d_step { word[my] == WORD(STALLED, me); word[my] = WORD(LIVE, me) }
        :: d_step {
               STATE(word[my]) != DRAINING && OF(word[my]) == me;
               word[my] = WORD(DRAINING, me)
           }
           wm_leader_resign()
        :: d_step { word[my] == WORD(DRAINING, me); word[my] = FREE } break
        :: STATE(word[my]) == DRAINING || OF(word[my]) != me -> break
        od;
        skip
    } unless { !alive[me] };
    d_step {
        my = 0; asks = 0; seen = 0; g = 0; j = 0; t = 0; his = 0;
        newest = 0; settled = 0; found = 0;
        live = false; leads = false
    }
end: skip
}

/* Marks the dead, and the first worker, once, as stalled. */
bool stalled;

inline sweep_record(s) {
    atomic {
        if
        :: word[s] != FREE && !alive[OF(word[s])] -> word[s] = FREE
        :: word[s] == WORD(LIVE, 1) && !stalled ->
            stalled = true;
            word[s] = WORD(STALLED, 1)
        fi
    }
}

AT_ANY_TIME(sweeper, :: sweep_record(0) :: sweep_record(1))

#ifdef ONLOOKER
active proctype wm_leader_inspect()
{
    byte seen, g, j, his, newest, settled, found;

    his = who;
    look(0);
    look(1);
    d_step { his = 0; newest = 0; settled = 0; found = 0 }
}
#endif

AT_ANY_TIME(kernel, :: alive[1] -> alive[1] = false)

AT_ANY_TIME(clock,
    :: young[1] -> young[1] = false
    :: young[2] -> young[2] = false
)

init
{
    atomic {
        run worker(1);
        run worker(2)
    }
}

/* If any worker lives, one of the newest generation that has some leads. */
#define IS_LED \
    ((!LIVES_AT(0) && !LIVES_AT(1)) || (GOOD_AT(0) && !NEWER_AT(1, 0)) || \
     (GOOD_AT(1) && !NEWER_AT(0, 1)))

ltl somebody_leads { [] <> IS_LED }
ltl one_of_equals_leads { [] <> IS_LED }
