/* SPDX-License-Identifier: Apache-2.0 */

/* The lead: taken by a worker that stands, and seen by others. */

#include "world.hpp"

#include "leader.c"
#include "record.c"

static struct wm_leader stand_for(struct wm_node *node)
{
    struct wm_leader leader = {.size = sizeof(leader)};

    wm_leader_stand(&node->worker, &leader);
    return leader;
}

/* [L] Nobody drains: a leader that is named is found LIVE. */
struct leader_is_live : world {
    void before() { has_joined(1, 0, WM_JOINING); }

    void thread(unsigned i)
    {
        struct wm_leader leader = {.size = sizeof(leader)};

        if (i == 0) {
            RL_ASSERT(wm_record_change_state(&own()->worker, WM_LIVE) == 0);
            RL_ASSERT(stand_for(own()).mine == 1);
            return;
        }
        wm_leader_inspect(own(), &leader);
        RL_ASSERT(leader.term == 0 || (leader.join == 1 && leader.pid == 1));
    }
};
CHECK(leader_is_live, 2, 2)

/* [I11] Two stand, and one of them drains. */
struct term_is_held_once : world {
    struct wm_leader told[2];

    void before()
    {
        has_joined(1, 0, WM_LIVE);
        has_joined(2, 1, WM_LIVE);
    }

    void thread(unsigned i)
    {
        told[i] = stand_for(own());
        if (i == 0) {
            wm_record_change_state(&own()->worker, WM_DRAINING);
            wm_leader_resign(&own()->worker);
        } else if (told[1].mine == 0) {
            told[1] = stand_for(own());
        }
    }

    void after()
    {
        RL_ASSERT(told[0].mine + told[1].mine >= 1);
        RL_ASSERT(told[0].mine + told[1].mine < 2 ||
                  told[0].term != told[1].term);
    }
};
CHECK(term_is_held_once, 2, 2)
