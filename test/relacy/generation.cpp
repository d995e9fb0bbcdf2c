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

/* A field as it is found, of generation 1 and of generation 3. */
struct field_of {
    uint64_t found, old, fresh;
};

static field_of look(unsigned i, const wm_generation_record *g)
{
    return i == 0   ? field_of{generation_id_acquire(g), 1, 3}
           : i == 1 ? field_of{wm_ident_pid(generation_master_acquire(g)), 4, 1}
           : i == 2 ? field_of{generation_begun_at_acquire(g) > 5000, 0, 1}
           : i == 3 ? field_of{generation_reason_acquire(g), 9, 1}
           : i == 4
               ? field_of{wm_deaths_count(generation_deaths_acquire(g)), 9, 0}
           : i == 5 ? field_of{generation_replaced_acquire(g), 9, 0}
           : i == 6 ? field_of{generation_joined_acquire(g), 9, 0}
           : i == 7 ? field_of{generation_expected_acquire(g), 9, 0}
                    : field_of{generation_retired_acquire(g), 9, 0};
}

/* [F] Generation 3 takes the record of 1. */
struct fields_are_of_one_life : world {
    void before() { has_begun(WM_GENERATION_GONE); }

    void thread(unsigned i)
    {
        if (i == 0) {
            RL_ASSERT(claim(own(), 3, 1, true));
            return;
        }
        const unsigned which = rl::rand(9);
        uint64_t word = generation_word_acquire(&generations[1]);
        const field_of f = look(which, &generations[1]);

        if (generation_word_acquire(&generations[1]) == word &&
            is_begun(word)) {
            RL_ASSERT(
                f.found ==
                (wm_gen_state(word) == WM_GENERATION_GONE ? f.old : f.fresh));
        }
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
