/* SPDX-License-Identifier: Apache-2.0 */

/* A generation: entered, closed, gone, and its record begun anew. */

#include "world.hpp"

#include "generation.c"
#include "generation_begin.c"
#include "generation_record.c"
#include "join.c"
#include "record.c"

const struct wm_kin *wm_kin_of(const struct wm_node *, uint64_t,
                               struct wm_kin *kept)
{
    return kept;
}

/* [D] */
struct of_two_that_drain_one_closes : world {
    void before()
    {
        has_begun(WM_GENERATION_ACTIVE);
        has_joined(1, 0, WM_LIVE);
        has_joined(2, 1, WM_LIVE);
    }

    void thread(unsigned)
    {
        wm_record_change_state(&own()->worker, WM_DRAINING);
        wm_generation_close(own(), 1);
    }

    void after() { RL_ASSERT(generation_state() == WM_GENERATION_EXITED); }
};
CHECK(of_two_that_drain_one_closes, 2, 3)

/* [D] */
struct of_two_that_leave_one_finds_it_gone : world {
    void before()
    {
        has_begun(WM_GENERATION_EXITED);
        has_joined(1, 0, WM_DRAINING);
        has_joined(2, 1, WM_DRAINING);
    }

    void thread(unsigned)
    {
        wm_record_change_state(&own()->worker, WM_FREE);
        wm_generation_note_gone(own(), 1);
    }

    void after() { RL_ASSERT(generation_state() == WM_GENERATION_GONE); }
};
CHECK(of_two_that_leave_one_finds_it_gone, 2, 3)

/* [E, I5] The joiner is the first ever in its slot. */
struct closer_sees_the_joiner_or_fails : world {
    void before()
    {
        has_begun(WM_GENERATION_ACTIVE);
        has_joined(2, 0, WM_LIVE);
        nodes[1].worker.pid = 1;
        nodes[1].worker.generation = 1;
        nodes[1].worker.master = wm_ident(4, 1);
    }

    void thread(unsigned i)
    {
        if (i == 0) {
            RL_ASSERT(join_as(&own()->worker, &generations[1], 0) == 0);
        } else {
            wm_record_change_state(&own()->worker, WM_DRAINING);
            wm_generation_close(own(), 1);
        }
    }

    void after()
    {
        RL_ASSERT(state_of(1) == WM_JOINING &&
                  generation_state() == WM_GENERATION_ACTIVE);
    }
};
CHECK(closer_sees_the_joiner_or_fails, 2, 2)

/* [I4] Two take the end of a spell. */
struct end_is_given_once : world {
    void before() { has_begun(WM_GENERATION_EXITED); }

    void thread(unsigned i)
    {
        told[i] = wm_generation_take_exit(own(), 1, NULL);
    }

    void after() { RL_ASSERT(told[0] + told[1] == 1); }
};
CHECK(end_is_given_once, 2, ALL)

/* [F] Generation 3 takes the record of 1. */
struct fields_are_of_one_life : world {
    void before() { has_begun(WM_GENERATION_GONE); }

    void thread(unsigned i)
    {
        const struct wm_generation_record *g = &generations[1];
        const unsigned field = i == 0 ? 0 : rl::rand(9);
        uint64_t word, found[9];
        bool is_new;

        if (i == 0) {
            RL_ASSERT(claim(own(), 3, WM_REASON_RELOAD, true));
            return;
        }
        word = generation_word_acquire(g);
        switch (field) {
        case 0:
            found[0] = generation_id_acquire(g);
            break;
        case 1:
            found[1] = generation_master_acquire(g);
            break;
        case 2:
            found[2] = generation_begun_at_acquire(g) > 5000;
            break;
        case 3:
            found[3] = generation_reason_acquire(g);
            break;
        case 4:
            found[4] = generation_deaths_acquire(g);
            break;
        case 5:
            found[5] = generation_replaced_acquire(g);
            break;
        case 6:
            found[6] = generation_joined_acquire(g);
            break;
        case 7:
            found[7] = generation_expected_acquire(g);
            break;
        case 8:
            found[8] = generation_retired_acquire(g);
            break;
        }
        if (generation_word_acquire(g) != word || !is_begun(word)) {
            return;
        }
        is_new = wm_gen_state(word) == WM_GENERATION_BEGUN;
        const uint64_t is[2][9] = {
            {1, wm_ident(4, 1), 0, 9, wm_deaths(1, 9), 9, 9, 9, 9},
            {3, wm_ident(1, 1), 1, WM_REASON_RELOAD, wm_deaths(3, 0), 0, 0, 0,
             0}};
        RL_ASSERT(found[field] == is[is_new][field]);
    }
};
CHECK(fields_are_of_one_life, 2, 3)

/* [F] What the master of a former life hands on is not that of this one. */
struct master_of_another_life_is_left : world {
    void before()
    {
        has_begun(WM_GENERATION_GONE);
        generation_set_master(&generations[1], wm_ident(1, 1));
    }

    void thread(unsigned i)
    {
        if (i == 0) {
            RL_ASSERT(claim(own(), 3, WM_REASON_RELOAD, true));
        } else {
            wm_generation_change_master(&generations[1], 1, wm_ident(1, 1),
                                        wm_ident(2, 1));
        }
    }

    void after()
    {
        RL_ASSERT(generation_master_acquire(&generations[1]) == wm_ident(1, 1));
    }
};
CHECK(master_of_another_life_is_left, 2, 3)

/* A process that takes the master's start sees what that master did. */
struct start_brings_its_master : world {
    void before()
    {
        has_begun(WM_GENERATION_BEGUN);
        nodes[1].begun = 1;
        nodes[1].begun_by = wm_ident(1, 1);
    }

    void thread(unsigned i)
    {
        if (i == 0) {
            know();
            RL_ASSERT(wm_generation_leave_start(own(), 1) == 0);
        } else if (wm_generation_take_start(own(), 1) == 1) {
            RL_ASSERT(is_known());
        }
    }
};
CHECK(start_brings_its_master, 2, ALL)
