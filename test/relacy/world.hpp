/* SPDX-License-Identifier: Apache-2.0 */

/* The checks of a program, and a small segment for them, in which each of
 * relacy's threads acts as a process. */

#ifndef WM_RELACY_WORLD_HPP
#define WM_RELACY_WORLD_HPP

#include "atomics.hpp"

#include "generation.h"
#include "log.h"
#include "record.h"

constexpr uint32_t PROCESSES = 4, SLOTS = 2, GENERATIONS = 2, ENTRIES = 2;

extern uint32_t pids[PROCESSES]; /* as which process each thread acts */
extern bool is_dead_pid[PROCESSES + 1];

/* All of this is made anew for each interleaving. */
struct world {
    wm_segment_header header{};
    wm_record records[SLOTS]{};
    wm_record_cold colds[SLOTS]{};
    wm_generation_record generations[GENERATIONS]{};
    wm_log_record ring[ENTRIES]{};
    wm_node nodes[PROCESSES + 1]{};
    int told[2]{};          /* what the threads were told */
    _Atomic(uint32_t) fact; /* what one of them knows or counts */

    world();
    virtual ~world() = default;

    virtual void before() {}
    virtual void thread(unsigned i) = 0;
    virtual void after() {}

    wm_node *own() { return &nodes[pids[rl::thread_index()]]; }
    void know() { fact.store(1, rl::mo_relaxed, $); }
    bool is_known() { return fact.load(rl::mo_relaxed, $) == 1; }
    unsigned state_of(uint32_t slot)
    {
        return wm_word_state(record_word_acquire(&records[slot]));
    }
    unsigned generation_state()
    {
        return wm_gen_state(generation_word_acquire(&generations[1]));
    }

    /* A process has joined. Its pid is the number of its join as well. */
    void has_joined(uint32_t pid, uint32_t slot, unsigned state);

    /* A process of generation 2 joins as a helper, where the first slot alone
     * can make room: with join number PROCESSES + 1. */
    int join_first();

    /* Generation 1 has had a spell, under process 4. */
    void has_begun(unsigned state);
};

constexpr int ALL = -1, ROOM = 1 << 15;

struct check {
    const char *name;
    unsigned threads; /* 2 or 3 */
    int switches;     /* ALL: without a bound */
    world *(*make)(void *at);
    check *next;
};

int add_check(check *c);

template <typename T>
world *make(void *at)
{
    RL_VERIFY(sizeof(T) <= ROOM);
    return ::new (at) T;
}

/* Stands behind the struct of a check. */
#define CHECK(name, threads, switches)                                         \
    static check check_##name = {#name, threads, switches, make<name>};        \
    static int number_##name = add_check(&check_##name);

#endif
