/* SPDX-License-Identifier: Apache-2.0 */

/* The calls of processes that are told to, lives that consist of these calls,
 * and the test's view of the node. */

#include "processes.h"

static struct wm_worker *own(void)
{
    return wm_node_worker(node);
}

CALL(do_begin, wm_generation_begin(node, &self->seen->id, &self->seen->number))
CALL(do_abandon, wm_generation_abandon(node, argument))
CALL(do_join, join_with(argument, .overdue_ms = NEVER_OVERDUE))
CALL(do_join_helper,
     join_with(argument, .role = WM_ROLE_HELPER, .overdue_ms = NEVER_OVERDUE))
CALL(do_start, wm_worker_start(own(), &self->seen->counts))
CALL(do_exit, wm_worker_exit_counts(own(), &self->seen->counts))
CALL(do_drain, wm_worker_drain(own()))
CALL(do_close, wm_generation_close(node, argument))
CALL(do_take_exit, wm_generation_take_exit(node, argument, &self->seen->number))
CALL(do_leave, wm_worker_leave(own()))
CALL(do_beat, wm_beat(own()))
CALL(do_sweep, wm_sweep(node, own()))
CALL(do_take_event, wm_event_take(node, (uint32_t)argument, &self->seen->event))
CALL(do_stand, wm_leader_stand(own(), &self->seen->leader))
CALL(do_lock, lock_with(.purpose = 1, .wait_ms = (uint32_t)argument))
CALL(do_try, wm_lock_try(node, 2, (int)argument))
CALL(do_unlock, wm_lock_release(node))
CALL(do_release, wm_node_release(node))

long do_attach(struct process *self, uint64_t capacity)
{
    long error = node_return((uint32_t)capacity);

    return error != 0 ? error : do_begin(self, 0);
}

long do_live(struct process *self, uint64_t capacity)
{
    long error = do_attach(self, capacity);

    error = error != 0 ? error : do_join(self, self->seen->id);
    return error != 0 ? error : do_start(self, 0);
}

static struct process *start(struct process *p, call_fn *join, uint64_t id)
{
    assert_ok(call(p, join, id));
    assert_ok(call(p, do_start, 0));
    return p;
}

struct process *new_worker(uint64_t id)
{
    return start(new_process(), do_join, id);
}

struct process *new_worker_of(struct process *master, uint64_t id)
{
    return start(process_fork(master), do_join, id);
}

struct process *new_helper(uint64_t id)
{
    return start(new_process(), do_join_helper, id);
}

struct process *new_only_worker(void)
{
    node_restart(1);
    return new_worker(generation);
}

struct wm_worker *own_worker(uint64_t id)
{
    struct wm_counts counts;

    assert_ok(join_with(id, .overdue_ms = NEVER_OVERDUE));
    assert_ok(wm_worker_start(own(), &counts));
    return own();
}

int shut_down(struct process *p, uint64_t id, int *exits)
{
    assert_ok(call(p, do_exit, 0));
    assert_ok(call(p, do_drain, 0));
    call(p, do_close, id);
    *exits = 0;
    while (call(p, do_take_exit, id) == 1) {
        ++*exits;
    }
    return p->seen->counts.mine;
}

void shut_down_last(struct process *p, uint64_t id)
{
    int exits;

    assert_int_equal(shut_down(p, id, &exits), 1);
    assert_int_equal(exits, 1);
}

void close_untaken(struct process *p, uint64_t id)
{
    assert_ok(call(p, do_drain, 0));
    assert_int_equal(call(p, do_close, id), WM_CLOSED);
}

void process_depart(struct process *p)
{
    assert_ok(call(p, do_leave, 0));
    process_quit(p);
}

void process_leave(struct process *p)
{
    assert_ok(call(p, do_drain, 0));
    process_depart(p);
}

uint64_t begin(void)
{
    uint64_t id = 0;

    assert_ok(wm_generation_begin(node, &id, NULL));
    return id;
}

enum wm_state state_of(pid_t pid)
{
    struct wm_worker_info list[64];
    uint32_t count;

    assert_ok(wm_snapshot(node, list, sizeof(*list), COUNT(list), &count));
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].pid == pid) {
            return (enum wm_state)list[i].state;
        }
    }
    return WM_FREE;
}

struct wm_generation_info generation_of(uint64_t id)
{
    struct wm_generation_info list[256];
    uint32_t count = 0;

    wm_generations(node, list, sizeof(*list), COUNT(list), &count);
    for (uint32_t i = 0; i < count && i < COUNT(list); i++) {
        if (list[i].id == id) {
            return list[i];
        }
    }
    return (struct wm_generation_info){0};
}

struct wm_counts counts_of(uint64_t id)
{
    struct wm_counts counts;

    assert_true(wm_generation_counts(node, id, &counts) >= 0);
    return counts;
}

struct wm_leader leader_now(void)
{
    struct wm_leader leader = {.size = sizeof(leader)};

    assert_ok(wm_leader_inspect(node, &leader));
    return leader;
}

void assert_generation(uint64_t id, enum wm_generation_state state,
                       uint32_t spell)
{
    assert_int_equal(generation_of(id).state, state);
    assert_int_equal(generation_of(id).spell, spell);
}

/* As often as it need be to know who is late. */
int sweep(void)
{
    node->swept_at = UINT64_MAX;
    return wm_sweep(node, NULL);
}

struct wm_event take(uint32_t kinds)
{
    struct wm_event event = {.size = sizeof(event)};

    assert_int_equal(wm_event_take(node, kinds, &event), 1);
    return event;
}

void assert_none_to_take(uint32_t kinds)
{
    struct wm_event event = {.size = sizeof(event)};

    assert_int_equal(wm_event_take(node, kinds, &event), 0);
}

int check_refused(struct wm_node *n, uint64_t id, int why)
{
    const struct wm_join_options join = {.size = sizeof(join)};
    struct wm_event event = {.size = sizeof(event)};
    struct wm_worker *w;

    HOLDS(wm_sweep(n, NULL) == 0);
    HOLDS(wm_events_give(n, NULL, NULL, NULL) == 0);
    HOLDS(wm_event_take(n, ~0u, &event) == why);
    HOLDS(wm_lock_try(n, 0, 1) == why);
    HOLDS(wm_lock_acquire(n, NULL) == why);
    HOLDS(wm_generation_close(n, id) == why);
    HOLDS(wm_generation_take_exit(n, id, NULL) == why);
    HOLDS(wm_generation_abandon(n, id) == why);
    HOLDS(wm_worker_join(n, id, &join, &w) == why);
    HOLDS(wm_generation_begin(n, &id, NULL) == why);
    return 0;
}

struct wm_node *open_reader(void)
{
    struct wm_node *reader = NULL;

    assert_ok(wm_node_open(test_instance, NULL, &reader));
    return reader;
}
