/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a generation: begun, entered, closed, aborted, come back; and
 * which of its workers is the last. */

#include "inside.h"

NODE_TEST(a_failed_start_is_as_if_it_had_never_been)
{
    assert_int_equal(wm_generation_abandon(node, generation), WM_CLOSED);
    assert_generation(generation, WM_GENERATION_ABORTED, 0);
    assert_int_equal(counts_of(begin()).previous, -1);
}

/* The process that began it forks the master, closes its VM, and goes. */
static struct process *daemonize(void)
{
    struct process *parent = new_process(), *master;

    assert_ok(call(parent, do_begin, 0));
    master = process_fork(parent);
    assert_int_equal(call(parent, do_abandon, 1), 0);
    call(parent, do_release, 0);
    process_quit(parent);
    return master;
}

EMPTY_NODE_TEST(a_daemonizing_parent_aborts_nothing)
{
    struct process *master = daemonize(), *worker;

    assert_generation(1, WM_GENERATION_BEGUN, 0);
    assert_int_equal(node_files(), 1);
    worker = new_worker_of(master, 1);
    assert_int_equal(generation_of(1).master, master->pid);
    assert_int_equal(worker->seen->counts.mine, 1);
    shut_down_last(worker, 1);
}

/* A reload that fails after a command has run is as if it had never been; so is
 * the first one of a daemon, before any worker. */
EMPTY_NODE_TEST(a_fork_that_leaves_no_master_keeps_no_later_one)
{
    struct process *master = daemonize();

    assert_ok(call(master, do_begin, 0));
    assert_int_equal(generation_of(1).master, master->pid);
    assert_int_equal(counts_of(2).previous, 0);
    process_quit(process_fork(master));
    assert_int_equal(call(master, do_abandon, 2), WM_CLOSED);
    assert_generation(1, WM_GENERATION_BEGUN, 0);
}

CALL_OF(do_join_of, join_with(argument, .master = (int32_t)shared->number))

/* As where a worker is forked twice, by a tool, or by an older worker. */
EMPTY_NODE_TEST(the_first_worker_names_the_master)
{
    struct process *master = new_process(), *between, *a, *b;

    shared->number = (uint32_t)master->pid;
    assert_ok(call(master, do_begin, 0));
    between = process_fork(master);
    a = process_fork(between);
    b = process_fork(between);
    assert_ok(call(a, do_join_of, 1));
    assert_ok(call(b, do_join, 1));
    assert_int_equal(generation_of(1).master, master->pid);
    assert_ok(call(master, do_begin, 0));
    assert_int_equal(counts_of(1).next, 0);
    assert_ok(call(process_fork(a), do_join_of, 2));
    process_depart(a);
    process_depart(b);
    sweep();
    assert_generation(1, WM_GENERATION_GONE, 1);
    shared->number = (uint32_t)getpid();
    assert_int_equal(call(master, do_join_of, 2), -EPERM);
}

EMPTY_NODE_TEST(one_whose_master_died_before_any_worker_is_aborted)
{
    struct process *master = new_process();

    assert_ok(call(master, do_begin, 0));
    sweep();
    assert_generation(1, WM_GENERATION_BEGUN, 0);
    process_kill(master);
    sweep();
    assert_generation(1, WM_GENERATION_ABORTED, 0);
}

EMPTY_NODE_TEST(one_that_was_overtaken_is_aborted_and_revived_by_a_late_join)
{
    struct process *master = new_process(), *late;

    assert_ok(call(master, do_begin, 0));
    late = process_fork(master);
    assert_ok(call(master, do_begin, 0));
    assert_ok(call(process_fork(master), do_join, 2));
    sweep();
    assert_generation(1, WM_GENERATION_ABORTED, 0);
    assert_ok(call(late, do_join, 1));
    assert_generation(1, WM_GENERATION_ACTIVE, 1);
    assert_ok(call(late, do_start, 0));
    assert_int_equal(late->seen->counts.mine, 1);
    assert_int_equal(late->seen->counts.next, 0); /* one joins still */
    shut_down_last(late, 1);
}

NODE_TEST(one_that_has_a_worker_is_not_abandoned_and_its_worker_begins_none)
{
    struct process *a = new_worker(generation);

    assert_int_equal(wm_generation_abandon(node, generation), 0);
    assert_generation(generation, WM_GENERATION_ACTIVE, 1);
    assert_int_equal(call(a, do_begin, 0), WM_IS_WORKER);
    assert_int_equal(a->seen->id, generation);
    assert_int_equal(call(process_fork(a), do_begin, 0), WM_IS_WORKER);
    assert_int_equal(begin(), generation + 1);
}

NODE_TEST(each_late_sibling_opens_a_spell_whose_end_is_given_once)
{
    uint32_t spell;

    for (uint32_t i = 1; i <= 3; i++) {
        struct process *a = new_worker(generation);

        assert_int_equal(a->seen->counts.spell, i);
        assert_generation(generation, WM_GENERATION_ACTIVE, i);
        close_untaken(a, generation);
        assert_int_equal(call(a, do_close, generation), 0);
        assert_generation(generation, WM_GENERATION_EXITED, i);
        process_kill(a);
    }
    assert_int_equal(wm_events_owed(node, MASTER_EXIT), 3);
    assert_int_equal(take(MASTER_EXIT).spell, 1); /* the oldest first */
    assert_int_equal(wm_generation_take_exit(node, generation, &spell), 1);
    assert_int_equal(spell, 2);
    assert_int_equal(take(MASTER_EXIT).spell, 3);
    assert_none_to_take(MASTER_EXIT);
    assert_int_equal(wm_generation_take_exit(node, generation, &spell), 0);
}

NODE_TEST(one_is_gone_when_all_have_left_and_no_sooner)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);
    uint32_t spell = 1;

    for (int turn = 0; turn < 2; turn++) {
        assert_ok(call(a, do_drain, 0));
        assert_ok(call(a, do_leave, 0));
        assert_ok(call(b, do_drain, 0));
        assert_int_equal(call(b, do_close, generation), WM_CLOSED);
        sweep();
        assert_generation(generation, WM_GENERATION_EXITED, spell);
        if (turn == 0) {
            assert_ok(call(b, do_leave, 0));
        } else {
            process_kill(b);
            sweep();
        }
        assert_generation(generation, WM_GENERATION_GONE, spell);
        sweep();
        assert_generation(generation, WM_GENERATION_GONE, spell);
        a = new_worker(generation);
        b = new_worker(generation);
        assert_generation(generation, WM_GENERATION_ACTIVE, ++spell);
    }
}

NODE_TEST(one_that_no_sweep_has_found_dead_does_not_keep_it_open)
{
    struct process *a = new_worker(generation), *b = new_worker(generation);

    assert_ok(call(a, do_drain, 0));
    process_kill(b);
    assert_int_equal(call(a, do_close, generation), WM_CLOSED);
    assert_generation(generation, WM_GENERATION_EXITED, 1);
}

NODE_TEST(a_survivor_closes_what_its_master_has_replaced)
{
    struct process *a = new_worker(generation);
    struct wm_worker *own;
    struct wm_event event;
    uint64_t next;

    process_kill(a);
    sweep();
    assert_generation(generation, WM_GENERATION_ACTIVE, 1); /* respawns? */
    next = begin();
    sweep();
    assert_generation(generation, WM_GENERATION_ACTIVE, 1); /* or fails? */
    a = new_worker(generation);
    own = own_worker(next);
    process_kill(a);
    header()->next_sweep = 0;
    assert_ok(wm_tick(own, 3600000)); /* by its last beat it lives */
    assert_generation(generation, WM_GENERATION_ACTIVE, 1);
    sweep();
    assert_generation(generation, WM_GENERATION_GONE, 1);
    assert_int_equal(wm_events_owed(node, MASTER_EXIT), 1); /* and a crash */
    event = take(MASTER_EXIT);
    assert_int_equal(event.generation, generation);
    assert_int_equal(event.spell, 1);
    assert_int_equal(event.counts.reason, WM_REASON_CRASH);
    assert_none_to_take(MASTER_EXIT);
}

static void live(uint64_t id)
{
    struct process *a = new_worker(id);

    assert_generation(id, WM_GENERATION_ACTIVE, 1);
    assert_int_equal(generation_of(id).master, getpid());
    shut_down_last(a, id);
    assert_int_equal(a->seen->number, 1);
    assert_generation(id, WM_GENERATION_EXITED, 1);
    process_depart(a);
}

static void live_untaken(uint64_t id)
{
    struct process *a = new_worker(id);

    close_untaken(a, id);
    process_depart(a);
}

ACT(leave_open, (uint64_t id), process_depart(new_worker(id)))

static void never_join(UNUSED uint64_t id) {}

/* More than there are records, of which a table of one worker has 65. Of ends
 * that nobody takes, the oldest are lost. */
static const struct many {
    const char *name;
    void (*act)(uint64_t id);
    uint32_t ends_owed;
} many[] = {
    {"each_is_begun_entered_and_exited_and_makes_room", live, 0},
    {"ends_that_nobody_takes_do_not_stop_it_from_beginning", live_untaken, 64},
    {"one_that_is_left_open_is_closed_once_a_newer_has_workers", leave_open,
     63},
    {"those_that_never_had_a_worker_make_room", never_join, 0},
};

static void make_room(void **state)
{
    const struct many *m = *state;

    node_restart(1);
    for (int i = 0; i < 100; i++, generation = begin()) {
        assert_generation(generation, WM_GENERATION_BEGUN, 0);
        m->act(generation);
    }
    assert_int_equal(wm_events_owed(node, MASTER_EXIT), m->ends_owed);
    new_worker(generation);
    assert_generation(generation, WM_GENERATION_ACTIVE, 1);
}

NODE_TEST_EACH(many, make_room)

NODE_TEST(one_whose_worker_drains_keeps_its_record)
{
    const uint64_t first = generation;
    struct process *a = new_worker(first);

    shut_down_last(a, first);
    for (int i = 0; i < 100; i++) {
        live(begin());
    }
    assert_generation(first, WM_GENERATION_EXITED, 1);
    process_depart(a);
    assert_generation(first, WM_GENERATION_GONE, 1);
}

ACT(live_and_crash, (uint64_t id), process_kill(new_worker(id)); sweep();
    take(CRASHED))

/* A closer that was stopped between its look and its swap, while its record
 * served another generation of the same shape. */
NODE_TEST(a_closer_of_another_life_closes_nothing)
{
    struct wm_generation_record *r;
    uint64_t next, seen;

    node_restart(1);
    r = generation_record(generation);
    live_and_crash(generation);
    live_and_crash(generation);
    seen = r->word;
    assert_int_equal(wm_gen_state(seen), WM_GENERATION_ACTIVE);
    assert_int_equal(wm_generation_close(node, generation), WM_CLOSED);
    assert_int_equal(wm_generation_take_exit(node, generation, NULL), 1);
    do {
        next = begin();
    } while (generation_record(next) != r);
    for (uint32_t joins = 0; joins < 4; joins++) {
        live_and_crash(next);
        assert_true(r->word != seen);
    }
    assert_int_equal(wm_generation_close(node, generation), 0);
    assert_int_equal(wm_generation_take_exit(node, generation, NULL), 0);
    assert_generation(next, WM_GENERATION_ACTIVE, 1);
}

/* Begins, and aborts all but the last, until the next number falls on the
 * record of this one again. */
static void go_round(uint64_t id)
{
    while (id % 65 != (begin() + 1) % 65) {
        wm_generation_abandon(node, node->begun);
    }
}

NODE_TEST(one_whose_end_is_owed_keeps_its_record_while_there_is_room)
{
    struct process *a = new_only_worker();

    close_untaken(a, generation);
    process_quit(a);
    go_round(generation);
    assert_int_equal(begin(), generation + 66);
    assert_int_equal(take(~0u).kind, WM_EVENT_MASTER_EXIT);
}

/* The process may still be a master. */
EMPTY_NODE_TEST(a_forgotten_one_is_not_joined_and_that_makes_no_worker)
{
    assert_int_equal(do_join(NULL, 7), -ENOENT);
    assert_int_equal(begin(), 1);
    assert_int_equal(wm_generation_close(node, 7), 0);
    assert_int_equal(wm_generation_take_exit(node, 7, NULL), 0);
    assert_int_equal(wm_generation_take_exit(node, 0, NULL), 0);
}
