/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Who leads, by terms (leader.c), and what a term is good for: a resource that
 * refuses writes of an older term than it has seen.
 *
 * Two slots, two workers, the second of a newer generation, who may come to the
 * slot that the first has left. Each asks, twice, and drains at any moment; the
 * first may be marked as stalled once, come back, or die. Where liveness is
 * asked for they ask for ever: terms need no bound, since a leader is followed
 * only when it has come to something. In the check of looks neither asks, and
 * one without a record looks at theirs.
 *
 * Left out: the proof of death and the steps of a record (here a slot changes
 * hands as there, number and generation before the word says LIVE), the hint
 * (it saves looks; a stale one is a stale look), the log.
 *
 * check term: -DASKS=2
 * check looks: -DASKS=0 -DONLOOKER
 * check somebody_leads: */

#define WORKERS 2
#define SLOTS 2
#define TERMS 12

#define FREE 0
#define CLAIMED 2
#define LIVE 3
#define STALLED 4
#define DRAINING 5

#define CHECK(name, holds) name = (holds); assert(name)
#define GENERATION(w) ((w) == 2 -> 2 : 1)
#ifdef MUTANT_who_is_the_slot /* term: I11_one_leader_a_term */
#define WHO(w) (slot_of[w] + 1)
#define WHO_AT(s, join) ((s) + 1)
#else
#define WHO(w) (w)
#define WHO_AT(s, join) (join)
#endif

/* The records: state and, as its pid, the worker; its number, which is the
 * worker's; its generation. */
byte word[SLOTS], join[SLOTS], generation[SLOTS];
byte slot_of[WORKERS + 1];
bool alive[WORKERS + 1];

/* The leader's word. */
byte term, who;

/* Who took a term; what the resource has seen. */
byte leader_of[TERMS], written_term;

hidden byte I11_one_leader_a_term, I11_terms_grow, writes_are_in_order,
    seen_of_one_occupant;

#define WORD(state, w) ((state) << 2 | (w))
#define STATE(word) ((word) >> 2)
#define OF(word) ((word) & 3)
#define LIVES_AT(s) (STATE(word[s]) == LIVE && alive[OF(word[s])])
#define GOOD_AT(s) (LIVES_AT(s) && WHO(OF(word[s])) == who)
#define NEWER_AT(s, other) (LIVES_AT(s) && generation[s] > generation[other])

inline look(s) {
    seen = word[s];
    if
    :: STATE(seen) == LIVE ->
        g = generation[s];
        j = join[s];
        d_step {
            if
#ifdef MUTANT_no_second_look /* looks: seen_of_one_occupant */
            :: true ->
#else
            :: word[s] == seen ->
#endif
                CHECK(seen_of_one_occupant,
                      j == OF(seen) && g == GENERATION(OF(seen)));
                newest = (g > newest -> g : newest);
                found = (WHO_AT(s, j) == his -> g : found)
            :: else
            fi;
            g = 0; j = 0
        }
    :: else
    fi;
    seen = 0
}

inline take_the_lead() {
    d_step {
        if
#ifdef MUTANT_take_blindly /* term: I11_one_leader_a_term or I11_terms_grow */
        :: true ->
#else
        :: term == t && who == his ->
#endif
            CHECK(I11_terms_grow, t >= term);
#ifdef MUTANT_same_term /* term: I11_one_leader_a_term */
            term = t;
#else
            term = t + 1;
#endif
            assert(term < TERMS);
            who = WHO(me);
            CHECK(I11_one_leader_a_term,
                  leader_of[term] == 0 || leader_of[term] == me);
            leader_of[term] = me;
            t = term;
            leads = true
        :: else
        fi
    }
}

/* What a leader does, and may do late: the term goes with it. */
inline write() {
    d_step {
#ifdef MUTANT_no_fencing /* term: writes_are_in_order */
        if
        :: true ->
#else
        if
        :: t >= written_term ->
#endif
            CHECK(writes_are_in_order, t >= written_term);
            written_term = t
        :: else
        fi
    }
}

inline wm_leader_stand() {
    live = STATE(word[my]) == LIVE && OF(word[my]) == me;
    d_step {
        t = term;
        his = who;
        leads = live && his == WHO(me);
        if
        :: leads -> CHECK(I11_one_leader_a_term, leader_of[t] == me)
        :: else
        fi
    }
    if
    :: !leads && live ->
        look(0);
        look(1);
        if
#ifdef MUTANT_follows_nobody_named /* somebody_leads */
        :: GENERATION(me) < newest || his != 0
#else
        :: GENERATION(me) < newest || (found != 0 && found >= newest)
#endif
        :: else -> take_the_lead()
        fi
    :: else
    fi;
    d_step { newest = 0; found = 0; his = 0; live = false }
    if
    :: leads -> write()
    :: else
    fi;
    d_step { leads = false; t = 0 }
}

inline wm_leader_resign() {
    d_step { t = term; his = who }
    if
    :: his == WHO(me) ->
        d_step {
            if
#ifdef MUTANT_resign_blindly /* term: I11_terms_grow */
            :: true ->
#else
            :: term == t && who == his ->
#endif
                CHECK(I11_terms_grow, t >= term);
                who = 0;
#ifdef MUTANT_resign_without_term /* term: I11_one_leader_a_term */
                term = 0
#else
                term = t
#endif
            :: else
            fi
        }
    :: else
    fi
}

proctype worker(byte me)
{
    byte my, seen, g, j, t, his, newest, found, asks;
    bool live, leads;

    {
        do
        :: d_step {
               word[0] == FREE;
               word[0] = WORD(CLAIMED, me); my = 0
           } break
        :: d_step {
               word[1] == FREE;
               word[1] = WORD(CLAIMED, me); my = 1
           } break
        od;
        slot_of[me] = my;
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
    } unless {
        !alive[me]
    };
    d_step {
        my = 0; asks = 0; seen = 0; g = 0; j = 0; t = 0; his = 0;
        newest = 0; found = 0;
        live = false; leads = false
    }
end: skip
}

/* Marks the dead, and the first worker, once, as stalled. */
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

active proctype sweeper()
{
    bool stalled;

end:
    do
    :: sweep_record(0)
    :: sweep_record(1)
    od
}

#ifdef ONLOOKER
active proctype wm_leader_inspect()
{
    byte seen, g, j, his, newest, found;

    his = who;
    look(0);
    look(1);
    d_step { his = 0; newest = 0; found = 0 }
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
    atomic {
        alive[1] = true;
        alive[2] = true;
        run worker(1);
        run worker(2)
    }
}

/* While there are live workers, the leader is one of them, and of the newest
 * generation that has any. */
ltl somebody_leads {
    [] <> ((!LIVES_AT(0) && !LIVES_AT(1)) ||
           (GOOD_AT(0) && !NEWER_AT(1, 0)) || (GOOD_AT(1) && !NEWER_AT(0, 1)))
}
