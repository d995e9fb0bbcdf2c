/* SPDX-License-Identifier: Apache-2.0 */

/* The checks of a program, and a small segment for them, in which each of
 * relacy's threads acts as a process. */

#ifndef WM_RELACY_WORLD_HPP
#define WM_RELACY_WORLD_HPP

#include "atomics.hpp"

#include "generation.h"
#include "log.h"
#include "record.h"

enum {
    PROCESSES = 4,
    SLOTS = 2,
    GENERATIONS = 2,
    ENTRIES = 2
};

extern uint32_t pids[PROCESSES]; /* as which process each thread acts */
extern bool is_dead_pid[PROCESSES + 1];

/* All of this is made anew for each interleaving. */
struct world {
    struct wm_segment_header header {
    };
    struct wm_record records[SLOTS]{};
    struct wm_record_cold colds[SLOTS]{};
    struct wm_generation_record generations[GENERATIONS]{};
    struct wm_log_record ring[ENTRIES]{};
    struct wm_node nodes[PROCESSES + 1]{};
    int told[2]{}; /* what the threads were told */

    world();
    virtual ~world() = default;

    virtual void before() {}
    virtual void thread(unsigned i) = 0;
    virtual void after() {}

    struct wm_node *own();
    unsigned state_of(uint32_t slot);
    unsigned generation_state();

    /* A process has joined. Its pid is the number of its join as well. */
    void has_joined(uint32_t pid, uint32_t slot, unsigned state);

    /* A process of generation 2 joins as a helper, where the first slot alone
     * can make room: with join number PROCESSES + 1. */
    int join_first();

    /* Generation 1 has had a spell, under process 4. */
    void has_begun(unsigned state);
};

struct check {
    const char *name;
    unsigned threads;
    int switches; /* ALL: without a bound */
    world *(*make)(void *at);
};

enum {
    ALL = -1,
    ROOM = 1 << 15
};

template <typename T>
world *make(void *at)
{
    RL_VERIFY(sizeof(T) <= ROOM);
    return ::new (at) T;
}

#define CHECK(name, threads, switches)                                         \
    {                                                                          \
        #name, threads, switches, make<name>                                   \
    }

int run(int argc, char **argv, const std::vector<check> &checks);

#endif
