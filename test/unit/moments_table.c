/* SPDX-License-Identifier: Apache-2.0 */

/* Others act between two looks of one operation at the table: while it
 * counts, closes a generation, or takes a record for another one. */

#include "census.h"
#include "inside.h"
#include "moments.h"

static int stops; /* that are to come */
static struct process *late, *master, *rival;

static void before_a_look_at(uint32_t slot, moment_fn *act)
{
    BEFORE(MOMENT_LOAD, *record(slot), act);
}

static void appear(uint32_t slot)
{
    static uint64_t joins;

    set_live(slot, ++joins, generation);
}

/* Of two slots, to the one that is not looked at just now. */
static void move(void)
{
    uint32_t from = state_at(0) == WM_FREE;

    appear(!from);
    set_free(from);
    if (--stops > 0) {
        before_a_look_at(!from, move);
    }
}

static int counted(void)
{
    return counts_of(generation).mine;
}

static int listed(void)
{
    struct wm_worker_info list[8];
    uint32_t count;

    wm_snapshot(node, list, sizeof(*list), COUNT(list), &count);
    return (int)count;
}

/* Both passes of the first pair come to where the worker is not any more. */
NODE_TEST(a_worker_that_moves_during_each_pass_is_counted_and_listed)
{
    static int (*const looks[])(void) = {counted, listed};

    for (size_t i = 0; i < COUNT(looks); i++) {
        set_free(0);
        appear(1);
        stops = 3;
        before_a_look_at(1, move);
        assert_int_equal(looks[i](), 1);
        assert_int_equal(stops, 0);
    }
}

/* It is claimed anew by the same process, which has written no number yet; the
 * worker that comes before it goes has a slot that was looked at. */
ACT(claim_again, (void), appear(0); set_word(1, WM_CLAIMED, 2, wm_now()))

ACT(live_meanwhile, (void), set_state(1, WM_LIVE); set_free(2);
    before_a_look_at(1, claim_again))

NODE_TEST(a_worker_between_two_claims_is_not_missed)
{
    appear(1);
    set_state(1, WM_CLAIMED);
    appear(2);
    before_a_look_at(2, live_meanwhile);
    assert_int_equal(counts_of(generation).mine, 1);
    assert_int_equal(state_at(0), WM_LIVE);
}

/* A helper comes and goes all the time, so that no two passes agree; a worker
 * goes for good. */
static void never_settle(void)
{
    record(2)->role = WM_ROLE_HELPER;
    appear(2);
    if (--stops == 10) {
        set_free(1);
    }
    if (stops > 0) {
        before_a_look_at((uint32_t)stops % 2, never_settle);
    }
}

NODE_TEST(where_nothing_settles_nobody_is_told_to_be_the_last)
{
    struct wm_counts counts;

    appear(0);
    appear(1);
    stops = 20; /* two in each pass, and five pairs of passes */
    before_a_look_at(0, never_settle);
    wm_counts_of(node, generation, WM_COUNT_EXIT, &counts);
    assert_true(stops < 10);
    assert_int_equal(counts.unsettled, 1);
    assert_int_equal(counts.mine, 2);
}

ACT(join_late, (void), assert_ok(call(late, do_join, generation)))

/* It has joined, and its generation is as its last worker left it. */
static void assert_joined_late(void)
{
    assert_true(moment_came());
    assert_int_equal(state_of(late->pid), WM_JOINING);
    assert_int_equal(generation_of(generation).state, WM_GENERATION_ACTIVE);
}

NODE_TEST(a_join_where_the_closer_has_looked_keeps_it_open)
{
    struct process *last = new_worker(generation);

    late = new_process();
    process_leave(last);
    set_free(1); /* which the closer looks at as well */
    before_a_look_at(1, join_late);
    assert_int_equal(wm_generation_close(node, generation), 0);
    assert_joined_late();
}

static void live(uint64_t id)
{
    struct process *p = new_worker(id);

    shut_down_last(p, id);
    process_depart(p);
}

NODE_TEST(the_current_one_and_one_revived_meanwhile_keep_their_records)
{
    const uint32_t count = node->segment.geometry.generations;
    uint64_t id;

    late = new_process();
    live(generation);
    live(begin());
    do {
        id = begin();
        wm_generation_abandon(node, id);
    } while (id < generation + count - 1);
    BEFORE(MOMENT_SWAP, generation_record(generation)->word, join_late);
    /* Nor is that of the next one spare: its master may start workers again. */
    assert_int_equal(begin(), generation + count + 2);
    assert_joined_late();
}

/* Until one has the record of generation 1. */
static uint64_t begin_until_the_record_comes_again(struct process *p)
{
    do {
        assert_ok(call(p, do_begin, 0));
    } while (generation_record(p->seen->id) != generation_record(1));
    return p->seen->id;
}

static void end_its_generation(void)
{
    assert_int_equal(call(rival, do_take_event, ~0u), 1);
    process_kill(master);
    assert_int_equal(call(rival, do_close, 1), WM_CLOSED);
    assert_int_equal(call(rival, do_take_exit, 1), 1);
    begin_until_the_record_comes_again(rival);
}

EMPTY_NODE_TEST(a_death_is_counted_of_its_own_generation)
{
    node_restart(1);
    master = new_process();
    rival = new_process();
    assert_ok(call(master, do_begin, 0));
    process_kill(new_worker_of(master, 1));
    BEFORE(MOMENT_SWAP, generation_record(1)->deaths, end_its_generation);
    sweep();
    assert_true(moment_came());
    assert_int_equal(generation_of(rival->seen->id).deaths, 0);
}

static long do_begin_and_stop(struct process *self, UNUSED uint64_t none)
{
    BEFORE(MOMENT_SWAP, generation_record(1)->master, stop_here);
    return do_begin(self, 0);
}

EMPTY_NODE_TEST(a_master_that_went_on_keeps_what_it_has_begun)
{
    uint64_t id;

    node_restart(1);
    master = new_process();
    assert_ok(call(master, do_begin, 0));
    rival = process_fork(master);
    call_begin(rival, do_begin_and_stop, 0);
    await_stop(rival);
    id = begin_until_the_record_comes_again(master);
    process_continue(rival);
    assert_ok(call_end(rival));
    assert_int_equal(generation_of(id).master, master->pid);
    process_kill(rival);
    sweep();
    assert_int_equal(generation_of(id).state, WM_GENERATION_BEGUN);
}

static uint32_t loads; /* of what these records say */
static const void *records_counted;
static size_t size_counted;

static void count_load(void)
{
    loads++;
    moment_set(MOMENT_LOAD, records_counted, size_counted, count_load);
}

static void count_loads(const void *of, size_t size)
{
    records_counted = of;
    size_counted = size;
    moment_set(MOMENT_LOAD, of, size, count_load);
    loads = 0;
}

EMPTY_NODE_TEST(a_joiner_goes_on_where_the_last_one_found_room)
{
    const struct wm_join_options helper = {.size = sizeof(helper),
                                           .role = WM_ROLE_HELPER};
    struct wm_worker *own;
    struct process *p;

    node_restart(300);
    generation = begin();
    new_worker(generation);
    p = new_worker(generation);
    new_worker(generation);
    assert_int_equal(header()->free_from, 3);
    assert_ok(call(p, do_leave, 0));
    assert_int_equal(header()->free_from, 1);
    header()->free_from = 3; /* one that dies as it leaves does not say so */
    sweep();
    assert_int_equal(header()->free_from, 1);
    for (uint32_t slot = 1; slot < 299; slot++) {
        appear(slot);
    }
    header()->free_from = 299;
    count_loads(record(0), 300 * sizeof(*record(0)));
    assert_ok(wm_worker_join(node, generation, &helper, &own));
    moment_came();
    assert_int_equal(state_at(299), WM_JOINING);
    assert_true(loads < 100);
}

/* The others are those of one other master, or in turn those of two; or
 * garbage, which has the numbers of other places. */
EMPTY_NODE_TEST(each_of_many_generations_is_looked_at_once)
{
    static const enum wm_generation_state states[] = {
        WM_GENERATION_BEGUN,  WM_GENERATION_ACTIVE, WM_GENERATION_GONE,
        WM_GENERATION_ACTIVE, WM_GENERATION_GONE,   WM_GENERATION_BEGUN};
    struct wm_counts counts;

    for (uint32_t i = 0; i < COUNT(states); i++) {
        node_restart(1);
        master = new_process();
        rival = i < 3 ? master : new_process();
        for (uint64_t n = 0; n < WM_GENERATIONS_SPARE; n++) {
            assert_ok(call(n % 2 == 0 ? master : rival, do_begin, 0));
        }
        own_worker(begin());
        for (uint64_t id = 1; id <= WM_GENERATIONS_SPARE; id++) {
            generation_record(id)->word =
                wm_gen_word(states[i], states[i] != WM_GENERATION_BEGUN, 0, 1);
            generation_record(id)->id += i == 5;
        }
        count_loads(generation_record(0),
                    WM_GENERATIONS_SPARE * sizeof(*generation_record(0)));
        wm_counts_of(node, 1, WM_COUNT_EXIT, &counts);
        wm_counts_of(node, WM_GENERATIONS_SPARE + 1, WM_COUNT_EXIT, &counts);
        assert_int_equal(counts.mine, 1);
        wm_starts_awaited(node, 1);
        sweep();
        moment_came();
        assert_true(loads < 4 * 20 * WM_GENERATIONS_SPARE);
    }
}
