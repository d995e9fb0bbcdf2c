/* SPDX-License-Identifier: Apache-2.0 */

/* The operations. All that others need to have done before is done by processes
 * of their own; only a clock is turned by writing to a record. */

#include "stepping.h"

unsigned run_state(pid_t pid)
{
    const struct wm_record *r = record_of(pid);

    return r == NULL ? WM_FREE : state_at(slot_of(r));
}

bool is_worker_state(unsigned state)
{
    return state >= WM_JOINING && state <= WM_STALLED;
}

bool has_ended(uint32_t pid)
{
    char state = process_state((pid_t)pid);

    return state == 0 || state == 'Z' || state == 'X';
}

void run_expect_crash(struct run *r, pid_t pid)
{
    unsigned state = run_state(pid);

    if (is_worker_state(state) || state == WM_DRAINING) {
        r->ended[r->ends++ % LEDGER_SIZE] = record_of(pid)->join;
    }
}

void run_set_back(pid_t pid, uint32_t overdue_ms, uint32_t ms)
{
    uint32_t slot = slot_of(record_of(pid));
    uint64_t word = word_at(slot);

    set_overdue(slot, overdue_ms);
    store_word(slot, wm_word_with_beat(wm_word_identity(word),
                                       wm_word_beat(word) - ms));
}

static void run_kill(struct run *r, struct process *p)
{
    run_expect_crash(r, p->pid);
    process_kill(p);
}

static void set_nobody(struct run *r)
{
    if (r->sibling != NULL) {
        others_shut_down(r->sibling, 1);
        r->sibling = NULL;
    }
}

/* Its end is there to be taken. */
static void set_owed_end(struct run *r)
{
    close_untaken(r->sibling, 1);
    process_depart(r->sibling);
    r->sibling = NULL;
}

/* Another generation waits for its first worker, in a slot never used. */
ACT(set_begun, (struct run * r), new_worker(1); r->id = begin())

/* One record is left. */
ACT(set_crowd, (UNUSED struct run * r), new_worker(1); new_worker(1))

/* One that is draining makes room. */
ACT(set_full, (struct run * r), set_crowd(r);
    assert_ok(call(new_worker(1), do_drain, 0)))

ACT(ready_stalled, (struct run * r),
    stall(&(struct process){.pid = r->stepped.pid}))

ACT(set_late_sibling, (struct run * r),
    run_set_back(r->sibling->pid, MINUTE_MS, 2 * MINUTE_MS);
    r->stalls = 1)

/* One dead that was live, one that was draining, one stalled. */
static void set_ends(struct run *r)
{
    struct process *dead = new_worker(1), *draining = new_worker(1);

    assert_ok(call(draining, do_drain, 0));
    run_kill(r, dead);
    run_kill(r, draining);
    set_late_sibling(r);
}

/* A claim that got no further, and a crash that was told. */
static void set_remains(struct run *r)
{
    struct process *told = new_worker(1), *claimant = new_process();
    pid_t pid = claimant->pid;

    run_set_back(told->pid, MINUTE_MS, 2 * MINUTE_MS);
    run_kill(r, told);
    sweep();
    wm_events_give(node, NULL, ledger_note, NULL);
    process_kill(claimant);
    set_word(2, WM_CLAIMED, pid, wm_now());
}

/* A master and its worker are dead: their generation is to be closed. */
static void set_orphans(struct run *r)
{
    struct process *master = new_process();

    assert_ok(call(master, do_begin, 0));
    run_kill(r, new_worker_of(master, master->seen->id));
    process_kill(master);
}

ACT(set_owed, (struct run * r), set_orphans(r); set_late_sibling(r); sweep())

/* A stall that was told, and that goes on. */
static void set_told(struct run *r)
{
    set_late_sibling(r);
    sweep();
    wm_events_give(node, NULL, ledger_note, NULL);
    assert_int_equal(run_state(r->sibling->pid), WM_STALLED);
}

/* The sibling goes on, and comes back from its stall. */
static void after_stall(struct run *r)
{
    if (r->sibling != NULL) {
        set_overdue(slot_of(record_of(r->sibling->pid)), NEVER_OVERDUE);
        call(r->sibling, do_beat, 0);
    }
}

ACT(set_holder, (struct run * r), r->other = new_process();
    assert_ok(call(r->other, do_lock, 0)))

ACT(set_dead_holder, (struct run * r), set_holder(r); process_kill(r->other))

ACT(after_holder, (struct run * r), assert_ok(call(r->other, do_unlock, 0)))

static void set_dead_leader(struct run *r)
{
    assert_int_equal(call(r->sibling, do_stand, 0), 1);
    run_kill(r, r->sibling);
    r->sibling = NULL;
}

/* A record that a dead claimant left is taken when its number comes round. */
static void after_begin(UNUSED struct run *r)
{
    const uint32_t count = node->segment.geometry.generations;

    for (uint32_t i = 0; i < count; i++) {
        wm_generation_abandon(node, begin());
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t word = generation_record(i)->word;

        assert_true(wm_gen_state(word) != WM_GENERATION_CLAIMED ||
                    kill((pid_t)wm_gen_claimant(word), 0) == 0);
    }
}

CALL_OF(give, wm_events_give(node, wm_node_worker(node), ledger_note, NULL))

CALL_OF(abandon, do_abandon(self, self->seen->id))

static long take_stall(UNUSED struct process *self, UNUSED uint64_t none)
{
    struct wm_event e = {.size = sizeof(e)};
    long result = wm_event_take(node, STALLED, &e);

    if (result == 1) {
        ledger_note(&e, NULL);
    }
    return result;
}

/* Gives the lock back, if it was taken: what the taking returned. */
static long released(long result)
{
    wm_lock_release(node);
    return result;
}

CALL_OF(lock_once, released(wm_lock_acquire(node, NULL)))

CALL_OF(try_once, released(do_try(self, 1)))

/* The whole end of the last worker, as a server's worker goes through it. */
static long end(struct process *self, UNUSED uint64_t none)
{
    long result = wm_lock_acquire(node, NULL);

    do_exit(self, 0);
    do_drain(self, 0);
    do_close(self, 1);
    while (do_take_exit(self, 1) == 1) {
        ledger_note_end(1, self->seen->number);
    }
    do_unlock(self, 0);
    do_leave(self, 0);
    return result;
}

const char *const noted[2] = {
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
};

CALL_OF(note, wm_note(wm_node_worker(node), noted[1]))
CALL_OF(do_note, wm_note(wm_node_worker(node), noted[0]))

/* All that the stepped has done before. */
#define JOINED .prepare = {do_join}
#define LIVE .prepare = {do_join, do_start}
#define LEADS .prepare = {do_join, do_start, do_stand}
#define DRAINED .prepare = {do_join, do_start, do_drain}
#define NOTED .prepare = {do_join, do_start, do_note}
#define BEGUN .prepare = {do_begin}

#define OPERATION(its_name, ...)                                               \
    {                                                                          \
        .name = #its_name, .act = __VA_ARGS__                                  \
    }

const struct operation operations[] = {
    OPERATION(join, do_join),
    OPERATION(join_of_a_generation_whose_end_is_owed, do_join,
              .set = set_owed_end),
    OPERATION(join_that_activates_a_generation, do_join, .set = set_begun),
    OPERATION(join_into_a_full_table, do_join, .set = set_full),
    OPERATION(start, do_start, JOINED),
    OPERATION(beat, do_beat, LIVE),
    OPERATION(beat_out_of_a_stall, do_beat, LIVE, .ready = ready_stalled),
    OPERATION(note, note, NOTED),
    OPERATION(note_where_room_is_wanted, note, .set = set_crowd, DRAINED),
    OPERATION(drain_of_a_leader, do_drain, LEADS),
    OPERATION(drain_out_of_a_stall_where_room_is_wanted, do_drain,
              .set = set_crowd, LIVE, .ready = ready_stalled),
    OPERATION(leave, do_leave, LIVE),
    OPERATION(leave_where_room_is_wanted, do_leave, .set = set_crowd, DRAINED),
    OPERATION(sweep_of_dead_and_stalled, do_sweep, .set = set_ends, JOINED,
              .after = after_stall),
    OPERATION(sweep_of_remains, do_sweep, .set = set_remains, JOINED),
    OPERATION(sweep_of_an_orphaned_generation, do_sweep, .set = set_orphans,
              JOINED),
    OPERATION(giving_of_all_that_is_owed, give, .set = set_owed, LIVE,
              .after = after_stall),
    OPERATION(taking_of_a_stall_that_was_told, take_stall, .set = set_told,
              LIVE, .after = after_stall, .is_short = true),
    OPERATION(lock, lock_once, LIVE),
    OPERATION(lock_after_a_dead_holder, lock_once, .set = set_dead_holder,
              LIVE),
    OPERATION(try_at_a_held_lock, try_once, .set = set_holder, LIVE,
              .after = after_holder),
    OPERATION(lead_after_a_dead_leader, do_stand, .set = set_dead_leader, LIVE),
    OPERATION(begin_of_a_generation, do_begin, .after = after_begin),
    OPERATION(abort_of_a_generation, abandon, BEGUN),
    OPERATION(end_of_a_generation, end, LIVE, .ready = set_nobody),
};
const size_t operation_count = COUNT(operations);
