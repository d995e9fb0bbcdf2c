/* SPDX-License-Identifier: Apache-2.0 */

/* Counts and snapshots, while workers come and go. */

#define WM_PAIRS 2
#include "world.hpp"

#include "census.c"
#define describe describe_record
#include "join.c"
#include "record.c"
#include "snapshot.c"
#undef describe

/* Process 1 turns LIVE before process 3 leaves, behind a pass: there is always
 * one. */
struct settled_count_misses_nobody : world {
    void before()
    {
        has_joined(1, 0, WM_JOINING);
        has_joined(3, 1, WM_LIVE);
    }

    void thread(unsigned i)
    {
        struct wm_counts counts;

        if (i == 0) {
            wm_record_change_state(&own()->worker, WM_LIVE);
            pids[0] = 3;
            wm_record_change_state(&own()->worker, WM_FREE);
            return;
        }
        wm_counts_of(own(), 1, WM_COUNT_MASTER, &counts);
        RL_ASSERT(counts.unsettled || counts.mine >= 1);
    }
};
CHECK(settled_count_misses_nobody, 2, 2)

/* Process 1 takes the record of process 3, which has drained. */
struct settled_snapshot_is_of_one_moment : world {
    void before() { has_joined(3, 0, WM_DRAINING); }

    void thread(unsigned i)
    {
        struct wm_worker_info list[SLOTS];
        uint32_t count;

        if (i == 0) {
            RL_ASSERT(join_first() == 0);
        } else if (wm_snapshot(own(), list, sizeof(*list), SLOTS, &count) ==
                       0 &&
                   count == 1) {
            const bool is_new = list[0].pid == 1;

            RL_ASSERT(list[0].join == (is_new ? 5 : 3) &&
                      list[0].generation == (is_new ? 2 : 1) &&
                      list[0].role == (is_new ? WM_ROLE_HELPER : 0) &&
                      list[0].overdue_ms == (is_new ? 2000 : 1003) &&
                      (list[0].joined_at > 5000) == is_new);
        }
    }
};
CHECK(settled_snapshot_is_of_one_moment, 2, 2)
