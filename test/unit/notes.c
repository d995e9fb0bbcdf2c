/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's note: the processes that read it, and what becomes of a note
 * whose writer is interrupted, stopped or killed within it. */

#include "inside.h"
#include "moments.h"

#define FULL "0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ"

static struct wm_worker *own;

/* How the worker of this slot is read. */
static struct wm_worker_detail look_at(uint32_t slot)
{
    struct wm_worker_detail detail = {.size = sizeof(detail)};

    assert_ok(wm_worker_inspect(node, slot, record(slot)->join, &detail));
    return detail;
}

static void assert_note(uint32_t slot, const char *text)
{
    assert_string_equal(look_at(slot).note, text);
}

static const struct row {
    const char *name;
    const char *put;
    const char *read;
} texts[] = {
    {"a_note_is_read_as_it_was_put", "GET /a", "GET /a"},
    {"a_note_has_56_bytes", FULL, FULL},
    {"a_longer_note_is_cut", FULL "K", FULL},
    {"bytes_of_a_note_are_kept", "\x1b[1m\xff\n", "\x1b[1m\xff\n"},
    {"an_empty_note_is_none", "", ""},
    {"no_note_is_none", NULL, ""},
};

static void test_text(void **state)
{
    const struct row *row = *state;

    own = own_worker(generation);
    assert_note(0, "");
    assert_ok(wm_note(own, "former"));
    assert_note(0, "former");
    assert_ok(wm_note(own, row->put));
    assert_note(0, row->read);
}

NODE_TEST_EACH(texts, test_text)

NODE_TEST(a_note_is_a_beat)
{
    own = own_worker(generation);
    set_state(0, WM_STALLED);
    assert_int_equal(wm_note(own, "back"), WM_RECOVERED);
    assert_int_equal(state_at(0), WM_LIVE);
    assert_note(0, "back");
}

NODE_TEST(the_next_worker_has_none_of_the_former)
{
    own = own_worker(generation);
    assert_ok(wm_note(own, "former"));
    assert_ok(wm_worker_leave(own));
    assert_int_equal(wm_note(own, "late"), -ESTALE);
    own = own_worker(generation);
    assert_note(0, "");
}

NODE_TEST(a_forked_child_puts_no_note)
{
    pid_t child;

    own = own_worker(generation);
    child = fork_child();
    if (child == 0) {
        _exit(wm_note(own, "child") != -ESTALE);
    }
    assert_ok(child_status(child));
    assert_note(0, "");
}

NODE_TEST(a_worker_is_inspected_by_its_slot_and_its_joining)
{
    struct wm_worker_detail detail = {.size = sizeof(detail)};

    own = own_worker(generation);
    assert_true(look_at(0).drained_at == 0);
    assert_int_equal(wm_worker_inspect(node, 0, record(0)->join + 1, &detail),
                     -ESTALE);
    assert_int_equal(wm_worker_inspect(node, 1, 0, &detail), -ESTALE);
    assert_int_equal(wm_worker_inspect(node, 8, 1, &detail), -EINVAL);
    assert_ok(wm_worker_drain(own));
    assert_true(look_at(0).drained_at - wm_now() + 10000 <= 10000);
    assert_ok(wm_worker_leave(own));
    assert_int_equal(wm_worker_inspect(node, 0, record(0)->join, &detail),
                     -ESTALE);
}

/* ----------------------------------------------------------------- told of */

CALL_OF(do_note, wm_note(wm_node_worker(node), "POST /b"))

NODE_TEST(those_that_are_told_of_a_death_get_its_note)
{
    struct process *p = new_worker(generation);

    assert_ok(call(p, do_note, 0));
    process_kill(p);
    sweep();
    assert_note(0, "POST /b");
    assert_string_equal(take(CRASHED).note, "POST /b");
}

NODE_TEST(those_that_are_told_of_a_stall_get_its_note)
{
    struct process *p = new_worker(generation);

    own = own_worker(generation);
    assert_ok(call(p, do_note, 0));
    stall(p);
    assert_string_equal(take(STALLED).note, "POST /b");
}

/* ------------------------------------------------------------ in the middle */

#define MIDDLE cold(0)->text[3]

static int inner;

ACT(put_another, (void), inner = wm_note(own, "another"))
ACT(put_whole, (void), assert_ok(wm_note(own, "another")))
ACT(die, (void), _exit(0))

NODE_TEST(a_note_within_a_note_is_dropped)
{
    own = own_worker(generation);
    BEFORE(MOMENT_STORE, MIDDLE, put_another);
    assert_ok(wm_note(own, "outer"));
    assert_true(moment_came());
    assert_int_equal(inner, -EBUSY);
    assert_note(0, "outer");
}

/* The other one has closed its note before this one's swap. */
NODE_TEST(of_two_that_open_a_note_one_does)
{
    own = own_worker(generation);
    BEFORE(MOMENT_SWAP, cold(0)->note, put_whole);
    assert_int_equal(wm_note(own, "late"), -EBUSY);
    assert_true(moment_came());
    assert_note(0, "another");
}

NODE_TEST(a_reader_gets_one_note)
{
    own = own_worker(generation);
    assert_ok(wm_note(own, FULL));
    BEFORE(MOMENT_LOAD, MIDDLE, put_whole);
    assert_note(0, "another");
    assert_true(moment_came());
}

ACT(leave_to_another, (void), assert_ok(wm_worker_leave(own));
    own = own_worker(generation); assert_ok(wm_worker_drain(own)))

/* Its details are neither the former worker's nor the next one's. */
NODE_TEST(one_that_leaves_while_it_is_inspected_has_left)
{
    struct wm_worker_detail detail = {.size = sizeof(detail)};

    own = own_worker(generation);
    BEFORE(MOMENT_LOAD, cold(0)->end, leave_to_another);
    assert_int_equal(wm_worker_inspect(node, 0, record(0)->join, &detail),
                     -ESTALE);
    assert_true(moment_came());
}

static long do_note_and_die(UNUSED struct process *self, UNUSED uint64_t none)
{
    BEFORE(MOMENT_STORE, MIDDLE, die);
    return wm_note(wm_node_worker(node), "half");
}

NODE_TEST(one_that_dies_within_its_note_has_none)
{
    struct process *p = new_only_worker();

    assert_ok(call(p, do_note, 0));
    call_begin(p, do_note_and_die, 0);
    process_quit(p);
    sweep();
    assert_note(0, "");
    assert_string_equal(take(CRASHED).note, "");
    own = own_worker(generation); /* in its place */
    assert_ok(wm_note(own, "next"));
    assert_note(0, "next");
}

static long do_note_slowly(UNUSED struct process *self, UNUSED uint64_t none)
{
    BEFORE(MOMENT_STORE, MIDDLE, stop_here);
    return wm_note(wm_node_worker(node), FULL);
}

/* It comes to its swap when the record is the next worker's. */
static long do_note_late(UNUSED struct process *self, UNUSED uint64_t none)
{
    BEFORE(MOMENT_SWAP, cold(0)->note, stop_here);
    return wm_note(wm_node_worker(node), FULL);
}

/* A worker that has drained, and makes room for one that joins, is stopped
 * while it puts a note. */
static struct process *stop_within(call_fn *put)
{
    struct process *p = new_only_worker();

    assert_ok(call(p, do_drain, 0));
    call_begin(p, put, 0);
    await_stop(p);
    return p;
}

NODE_TEST(a_slow_writer_spoils_no_note_of_the_next_worker)
{
    struct process *slow = stop_within(do_note_slowly);

    own = own_worker(generation);
    assert_int_equal(wm_note(own, "next"), -EBUSY);
    process_continue(slow);
    assert_ok(call_end(slow));
    assert_int_equal(wm_note(own, "next"), -EBUSY);
    assert_note(0, "");
    assert_ok(wm_worker_leave(own));
    own = own_worker(generation);
    assert_ok(wm_note(own, "third"));
    assert_note(0, "third");
}

/* The one that joined in between has died. */
NODE_TEST(a_slow_writer_spoils_no_note_of_those_that_follow)
{
    struct process *slow = stop_within(do_note_slowly), *next = new_process();

    assert_ok(call(next, do_join, generation));
    process_kill(next);
    sweep();
    take(CRASHED);
    own = own_worker(generation);
    assert_int_equal(wm_note(own, "third"), -EBUSY);
    process_continue(slow);
    assert_ok(call_end(slow));
    assert_note(0, "");
    assert_ok(wm_worker_leave(own));
    own = own_worker(generation);
    assert_ok(wm_note(own, "fourth"));
    assert_note(0, "fourth");
}

/* A sweeper frees its record, when it has been told. */
NODE_TEST(after_one_that_dies_within_its_note_others_have_notes)
{
    struct process *p = new_only_worker();

    call_begin(p, do_note_and_die, 0);
    process_quit(p);
    sweep();
    take(CRASHED);
    make_late(0);
    sweep();
    assert_int_equal(state_at(0), WM_FREE);
    own = own_worker(generation);
    assert_ok(wm_note(own, "next"));
    assert_note(0, "next");
}

NODE_TEST(a_late_writer_writes_nothing)
{
    struct process *late = stop_within(do_note_late);

    own = own_worker(generation);
    process_continue(late);
    assert_int_equal(call_end(late), -EBUSY);
    assert_ok(wm_note(own, "next"));
    assert_note(0, "next");
}
