/* SPDX-License-Identifier: Apache-2.0 */

/* What lies below the parts that are checked: kernel and log without effect. A
 * program has the library's own function in place of one here if it checks
 * that. */

#include "world.hpp"

#include "end.h"
#include "holder.h"
#include "kin.h"
#include "note.h"
#include "stall.h"
#include "sweep.h"

uint64_t now_ms;
uint32_t pids[PROCESSES];
bool is_dead_pid[PROCESSES + 1];

template <typename T>
static T nothing()
{
    return T();
}

#define MOCK(type, ...)                                                        \
    __attribute__((weak)) type __VA_ARGS__                                     \
    {                                                                          \
        return nothing<type>();                                                \
    }

MOCK(int, wm_futex_wait(const void *, uint32_t, uint64_t))
MOCK(int, wm_futex_wake(const void *, int))
MOCK(void, wm_no_handle(const char *))
MOCK(void, wm_registry_lock())
MOCK(void, wm_registry_unlock())
MOCK(void, wm_segment_keep_private(struct wm_segment *, const char *))
MOCK(void, wm_log_append(const struct wm_node *, enum wm_log_kind, uint64_t,
                         uint64_t, uint32_t, uint32_t))
MOCK(void, wm_log_worker(const struct wm_worker *, enum wm_log_kind))
MOCK(bool, wm_generation_enter(struct wm_node *, struct wm_generation_record *,
                               struct wm_worker *))
MOCK(bool, wm_generation_has_older(const struct wm_node *, uint64_t))
MOCK(bool, wm_generation_lacks(const struct wm_generation_record *))
MOCK(bool,
     wm_generation_read(const struct wm_node *, uint32_t,
                        struct wm_generation_info *, uint64_t *, uint64_t *))
MOCK(bool, wm_generation_replace(struct wm_generation_record *))
MOCK(uint64_t, wm_generation_successor(const struct wm_node *, uint64_t, bool))
MOCK(int, wm_generation_take_exit(struct wm_node *, uint64_t, uint32_t *))
MOCK(uint32_t, wm_generations_settle(struct wm_node *, uint64_t))
MOCK(uint32_t, wm_generations_used(const struct wm_node *))
MOCK(struct wm_judge, wm_judge_begin(const struct wm_node *))
MOCK(bool,
     wm_judge_finds_stall(struct wm_judge *, uint64_t, uint32_t, uint64_t))
MOCK(void,
     wm_judge_note_awake(const struct wm_judge *, const struct wm_record *))
MOCK(int, wm_lock_release(struct wm_node *))
MOCK(int, wm_lock_try(struct wm_node *, uint32_t, int))
MOCK(uint32_t, wm_end_known(const struct wm_record_cold *, uint64_t, uint64_t))
MOCK(bool, wm_end_note(struct wm_record_cold *, uint64_t, uint32_t))
MOCK(uint32_t, wm_end_of_status(int))
MOCK(struct wm_end, wm_end_told(uint32_t, bool))
MOCK(void, wm_log_append_end(const struct wm_node *, enum wm_log_kind, uint32_t,
                             uint64_t, uint64_t, uint32_t, uint32_t))
MOCK(void, wm_note_bury(struct wm_record_cold *, uint64_t))
MOCK(void, wm_note_hand_on(struct wm_record_cold *, uint64_t, bool))
MOCK(void, wm_note_read(const struct wm_record_cold *, uint64_t, char *))
MOCK(int, wm_sweep(struct wm_node *, struct wm_worker *))
MOCK(int, wm_worker_join(struct wm_node *, uint64_t,
                         const struct wm_join_options *, struct wm_worker **))

__attribute__((weak)) struct wm_generation_record *
wm_generation_find(const struct wm_node *node, uint64_t id)
{
    return wm_generation_at(&node->segment, id % GENERATIONS);
}

uint64_t wm_self_ident()
{
    return wm_ident(pids[rl::thread_index()], 1);
}

uint64_t wm_process_ident(uint32_t pid)
{
    return wm_ident(pid, 1);
}

bool wm_process_dead(uint64_t ident, uint64_t, enum wm_proof)
{
    return is_dead_pid[wm_ident_pid(ident)];
}

uint64_t wm_now()
{
    return wm_clock_ms(CLOCK_MONOTONIC);
}

/* -------------------------------------------------------------- segment */

world::world()
{
    now_ms = 5000;
    memset(is_dead_pid, 0, sizeof(is_dead_pid));
    for (uint32_t pid = 1; pid <= PROCESSES; pid++) {
        struct wm_node *node = &nodes[pid];

        pids[pid - 1] = pid;
        node->worker.node = node;
        node->worker.interval_ms = 1000;
        node->segment.header = &header;
        node->segment.records = records;
        node->segment.colds = colds;
        node->segment.generations = generations;
        node->segment.log = ring;
        node->segment.writable = true;
        memcpy(node->segment.constants, &header, WM_CONSTANTS);
        node->segment.geometry = wm_geometry(SLOTS, ENTRIES);
        node->segment.geometry.generations = GENERATIONS;
    }
}

void world::has_joined(uint32_t pid, uint32_t slot, unsigned state)
{
    struct wm_record *r = &records[slot];
    struct wm_worker *w = &nodes[pid].worker;

    w->pid = pid;
    w->slot = slot;
    w->cold = &colds[slot];
    w->join = pid;
    w->generation = 1;
    w->live = wm_word(WM_LIVE, pid, 0);
    wm_worker_set_record(w, r);
    record_set_join(r, pid);
    record_set_generation(r, 1);
    record_set_overdue_ms(r, 1000 + pid);
    record_cold_set_ident(w->cold, wm_ident(pid, 1));
    record_set_joined_at(r, pid);
    record_cold_set_spell(w->cold, 1);
    record_cold_set_drained_at(w->cold, pid);
    record_cold_close_note(w->cold, wm_note_word(pid, 0));
    record_set_stalls(r, wm_stalls(pid, 0));
    record_set_untold(r, pid);
    record_cold_set_given(w->cold, wm_given(pid, 0, false));
    atomic_store_explicit(&r->word, wm_word(state, pid, now_ms),
                          memory_order_relaxed);
    header_raise_high(&header, slot + 1);
    atomic_store_explicit(&header.next_join, PROCESSES, memory_order_relaxed);
}

int world::join_first()
{
    struct wm_join_options options = {
        .size = sizeof(options), .role = WM_ROLE_HELPER, .overdue_ms = 2000};
    struct wm_worker *worker;

    own()->segment.geometry.capacity = 1;
    return wm_worker_join(own(), 2, &options, &worker);
}

void world::has_begun(unsigned state)
{
    struct wm_generation_record *g = &generations[1];

    atomic_store_explicit(&header.next_generation, 1, memory_order_relaxed);
    generation_set_id(g, 1);
    generation_set_master(g, wm_ident(4, 1));
    generation_set_begun_at(g, 1);
    generation_set_reason(g, 9);
    generation_set_deaths(g, wm_deaths(1, 9));
    generation_set_replaced(g, 9);
    generation_set_joined(g, 9);
    generation_set_expected(g, 9);
    generation_set_retired(g, 9);
    generation_set_word(g, wm_gen_word(state, 1, 0, 1));
}
