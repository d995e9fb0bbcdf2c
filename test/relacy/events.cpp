/* SPDX-License-Identifier: Apache-2.0 */

/* Events that are owed to survivors: of stalls, and of crashes. */

#include "world.hpp"

#include "events.c"
#include "join.c"
#include "record.c"

static int take(struct wm_node *node, struct wm_event *event)
{
    event->size = sizeof(*event);
    return wm_event_take(node, ~0u, event);
}

/* [H] Of a worker that has stalled once and recovers. */
struct stall_is_given_once : world {
    struct wm_event event;

    void before() { has_joined(1, 0, WM_STALLED); }

    void thread(unsigned i)
    {
        if (i == 0) {
            RL_ASSERT(wm_beat(&own()->worker) == WM_RECOVERED);
            return;
        }
        told[0] += take(own(), &event);
        told[0] += take(own(), &event);
        RL_ASSERT(told[0] <= 1);
    }

    void after() { RL_ASSERT(told[0] + take(own(), &event) == 1); }
};
CHECK(stall_is_given_once, 2, 3)

/* [G] While another process joins in the record of a crashed one. */
struct crash_is_of_one_occupant : world {
    void before()
    {
        has_joined(3, 0, WM_CRASHED);
        now_ms += 10000;
    }

    void thread(unsigned i)
    {
        struct wm_event event;

        if (i == 0) {
            RL_ASSERT(join_first() == 0);
        } else if (take(own(), &event) == 1) {
            RL_ASSERT(event.kind == WM_EVENT_CRASHED && event.pid == 3 &&
                      event.join == 3 && event.generation == 1 &&
                      event.spell == 1 && event.role == WM_ROLE_WORKER);
        }
    }
};
CHECK(crash_is_of_one_occupant, 2, 2)

/* [I4] Two take, of a crash that a third process owes. */
struct crash_is_given_once : world {
    void before() { has_joined(3, 0, WM_CRASHED); }

    void thread(unsigned i)
    {
        struct wm_event event;

        told[i] = take(own(), &event);
    }

    void after() { RL_ASSERT(told[0] + told[1] == 1); }
};
CHECK(crash_is_given_once, 2, 3)
