/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's record: claimed, beaten in, judged, reaped, claimed again. */

#include "world.hpp"

#include "join.c"
#include "record.c"
#define is_dead proven_dead
#include "sweep.c"
#undef is_dead

/* A fact of a record as it is found, of process 3 and of process 1. */
struct fact_of {
    uint64_t found, old, fresh;
};

static fact_of look(unsigned i, const wm_record *r, const wm_record_cold *c)
{
    return i == 0   ? fact_of{record_generation_acquire(r), 1, 2}
           : i == 1 ? fact_of{record_join_acquire(r), 3, 5}
           : i == 2 ? fact_of{record_role_acquire(r), 0, 1}
           : i == 3 ? fact_of{record_overdue_ms_acquire(r), 1003, 2000}
           : i == 4 ? fact_of{record_joined_at_acquire(r) > 5000, 0, 1}
           : i == 5 ? fact_of{record_stalls_acquire(r) >> 32, 3, 5}
           : i == 6 ? fact_of{record_untold_acquire(r), 3, 5}
           : i == 7 ? fact_of{wm_ident_pid(record_cold_ident_acquire(c)), 3, 1}
           : i == 8 ? fact_of{record_cold_spell_acquire(c), 1, 0}
           : i == 9 ? fact_of{record_cold_drained_at_acquire(c), 3, 0}
                    : fact_of{record_cold_given_acquire(c) >> 32, 3, 5};
}

/* [A, B] All that is read of a record between two looks that find the same
 * occupant is that one's. */
struct facts_are_of_one_occupant : world {
    void before() { has_joined(3, 0, WM_DRAINING); }

    void thread(unsigned i)
    {
        if (i == 0) {
            RL_ASSERT(join_first() == 0);
            return;
        }
        const unsigned which = rl::rand(11);
        uint64_t word = record_word_acquire(&records[0]);
        const fact_of f = look(which, &records[0], &colds[0]);

        if (wm_word_identity(record_word_acquire(&records[0])) ==
                wm_word_identity(word) &&
            wm_word_state(word) >= WM_JOINING) {
            RL_ASSERT(f.found == (wm_word_pid(word) == 3 ? f.old : f.fresh));
        }
    }
};
CHECK(facts_are_of_one_occupant, 2, 3)

/* [C] Who finds a mark, or replaces it, sees what its sweeper saw. */
struct mark_brings_what_it_rests_on : world {
    void before() { has_joined(2, 0, WM_LIVE); }

    void thread(unsigned i)
    {
        struct sweep s = {.node = own()};
        bool looks = i == 1 && rl::rand(2), found;

        if (i == 0) {
            uint64_t word = record_word_acquire(&records[0]);

            know();
            mark(&s, 0, word, wm_word_with_state(word, WM_STALLED),
                 WM_LOG_WORKER_STALLED);
            return;
        }
        found = looks ? wm_word_state(record_word_acquire(&records[0])) ==
                            WM_STALLED
                      : wm_beat(&own()->worker) == WM_RECOVERED;
        RL_ASSERT(!found || is_known());
    }

    void after()
    {
        uint64_t stalls = record_stalls_acquire(&records[0]);

        RL_ASSERT(wm_stalls_count(stalls) <= 1 &&
                  (wm_stalls_count(stalls) == 0 || state_of(0) == WM_LIVE));
    }
};
CHECK(mark_brings_what_it_rests_on, 2, ALL)

/* [I3] A death is marked once, by a sweep or by the parent, and the record is
 * one process's again. */
struct record_passes_on_once : world {
    int marks{}, joins[2]{};

    void before()
    {
        has_joined(3, 0, WM_LIVE);
        is_dead_pid[3] = true;
        now_ms += 10000;
    }

    void thread(unsigned i)
    {
        marks += i == 0 ? wm_worker_reaped(own(), 3, 0) : wm_sweep(own(), NULL);
        joins[i] = join_first();
    }

    void after()
    {
        const struct wm_record *r = &records[0];
        unsigned winner = joins[0] == 0 ? 0 : 1;

        RL_ASSERT(marks == 1 && joins[winner] == 0 && joins[!winner] != 0);
        RL_ASSERT(wm_word_pid(record_word_acquire(r)) == winner + 1 &&
                  record_join_acquire(r) == nodes[winner + 1].worker.join);
    }
};
CHECK(record_passes_on_once, 2, 1)
