/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's record: claimed, beaten in, judged, reaped, claimed again. */

#include "world.hpp"

#include "join.c"
#include "record.c"
#define is_dead proven_dead
#include "sweep.c"
#undef is_dead

/* [A, B] All that is read of a record between two looks that find the same
 * occupant is that one's. */
struct facts_are_of_one_occupant : world {
    void before() { has_joined(3, 0, WM_DRAINING); }

    void thread(unsigned i)
    {
        const struct wm_record *r = &records[0];
        const unsigned fact = i == 0 ? 0 : rl::rand(10);
        uint64_t word, found[10];
        bool is_new;

        if (i == 0) {
            RL_ASSERT(join_first() == 0);
            return;
        }
        word = record_word_acquire(r);
        switch (fact) {
        case 0:
            found[0] = record_generation_acquire(r);
            break;
        case 1:
            found[1] = record_join_acquire(r);
            break;
        case 2:
            found[2] = record_role_acquire(r);
            break;
        case 3:
            found[3] = record_overdue_ms_acquire(r);
            break;
        case 4:
            found[4] = record_joined_at_acquire(r) > 5000;
            break;
        case 5:
            found[5] = record_cold_ident_acquire(&colds[0]);
            break;
        case 6:
            found[6] = record_cold_spell_acquire(&colds[0]);
            break;
        case 7:
            found[7] = wm_stalls_join(record_stalls_acquire(r));
            break;
        case 8:
            found[8] = record_untold_acquire(r);
            break;
        case 9:
            found[9] = record_cold_given_acquire(&colds[0]) >> 32;
            break;
        }
        if (wm_word_identity(record_word_acquire(r)) !=
                wm_word_identity(word) ||
            wm_word_state(word) < WM_JOINING) {
            return;
        }
        is_new = wm_word_pid(word) == 1;
        const uint64_t is[2][10] = {
            {1, 3, 0, 1003, 0, wm_ident(3, 1), 1, 3, 3, 3},
            {2, 5, 1, 2000, 1, wm_ident(1, 1), 0, 5, 5, 5}};
        RL_ASSERT(found[fact] == is[is_new][fact]);
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
