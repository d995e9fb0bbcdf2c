/* SPDX-License-Identifier: Apache-2.0 */

/* A broken worker writes into the segment: the others notice, or are told
 * wrong numbers within bounds. test/fuzz has the bytes that nobody thought
 * of. And a process in another pid namespace, which would do worse, may write
 * nothing. */

#include "inside.h"
#include "log.h"
#include "process.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/time.h>

/* Work by the square of a size would take hours; of the processor's time,
 * which another load is not. All tests together take seconds. */
__attribute__((constructor)) static void limit_time(void)
{
    const struct itimerval limit = {.it_value = {.tv_sec = 100}};

    setitimer(ITIMER_PROF, &limit, NULL);
}

/* With an end owed a million times, which is not told even once. */
EMPTY_NODE_TEST(a_segment_that_was_written_over_is_noticed_by_all)
{
    static const int fill[] = {0, 0xff, 0x5a};

    for (size_t i = 0; i < COUNT(fill); i++) {
        struct wm_worker *worker = own_worker(begin());
        struct wm_event event = {.size = sizeof(event)};
        struct wm_leader leader = {.size = sizeof(leader)};
        struct wm_counts counts;

        memset(header(), fill[i], wm_segment_size(&node->segment));
        assert_int_equal(wm_tick(worker, 1000), -EUCLEAN);
        assert_int_equal(wm_events_owed(node, ~0u), 0);
        assert_int_equal(wm_leader_stand(worker, &leader), -EUCLEAN);
        assert_int_equal(wm_worker_start(worker, &counts), -EUCLEAN);
        assert_ok(wm_start_begin(worker, WM_EVENTS_ALL));
        for (int k = 0; k < 2; k++) {
            assert_int_equal(wm_start_next(worker, &event), -EUCLEAN);
        }
        assert_int_equal(wm_worker_exit_counts(worker, &counts), -EUCLEAN);
        assert_int_equal(wm_worker_drain(worker), -EUCLEAN);
        assert_ok(wm_exit_begin(worker, WM_EVENTS_ALL));
        assert_int_equal(wm_exit_next(worker, &event), -EUCLEAN);
        assert_int_equal(wm_exit_run(worker, NULL, NULL, NULL), -EUCLEAN);
        wm_worker_leave(worker);
        node->joined = false;
        assert_ok(check_refused(node, 1, -EUCLEAN));
        node_restart(8);
    }
}

/* Each of them alone: that of a page, of a line, of a byte. */
NODE_TEST(any_byte_of_the_constants_tells)
{
    struct wm_worker *worker = own_worker(generation);
    unsigned char *bytes = (unsigned char *)header();
    struct wm_leader leader = {.size = sizeof(leader)};

    assert_int_equal(wm_leader_stand(worker, &leader), 1);
    for (size_t i = 0; i < WM_CONSTANTS; i++) {
        bytes[i] ^= 1;
        assert_int_equal(wm_tick(worker, 1000), -EUCLEAN);
        assert_int_equal(wm_leader_stand(worker, &leader), -EUCLEAN);
        bytes[i] ^= 1;
    }
    assert_ok(wm_tick(worker, 1000));
    /* The bytes behind them may change at any time. */
    bytes[WM_CONSTANTS] ^= 1;
    assert_ok(wm_tick(worker, 1000));
}

EMPTY_NODE_TEST(a_reader_is_given_what_is_there_within_bounds)
{
    struct wm_worker_info list[8];
    struct wm_node *reader = open_reader();
    struct wm_node_info info = {.size = sizeof(info)};
    struct wm_log_entry entry;
    struct wm_counts counts;
    uint64_t since = UINT64_MAX - 3, missed;
    uint32_t count;

    memset(header(), 0xff, wm_segment_size(&node->segment));
    wm_node_describe(reader, &info);
    assert_string_equal(info.instance, test_instance);
    assert_int_equal(info.capacity, 8);
    assert_ok(wm_snapshot(reader, list, sizeof(*list), 8, &count));
    assert_true(count <= 8);
    wm_generation_counts(reader, 1, &counts);
    assert_true(counts.mine >= 0 && counts.mine <= 8);
    /* All bits set, there is no number after the log's newest. */
    assert_ok(
        wm_log_read(reader, &since, &entry, sizeof(entry), 1, &count, &missed));
    assert_int_equal(count, 0);
    assert_true(since == UINT64_MAX - 3);
    wm_node_release(reader);
}

static bool changes;

void *__real_memchr(const void *text, int c, size_t size);
void *__wrap_memchr(const void *text, int c, size_t size);

/* The library looks whether the name has an end; then it has none any more, in
 * the whole page. */
void *__wrap_memchr(const void *text, int c, size_t size)
{
    void *found = __real_memchr(text, c, size);

    if (changes && size == WM_INSTANCE_SIZE) { /* a static libc calls it, too */
        memset(header(), 'a', 4096);
        changes = false;
    }
    return found;
}

EMPTY_NODE_TEST(what_was_checked_is_not_read_again)
{
    struct wm_node *reader;
    struct wm_node_info info = {.size = sizeof(info)};

    assert_true(node->segment.geometry.size > 4096);
    changes = true;
    assert_ok(wm_node_open(node->segment.name, NULL, &reader));
    assert_false(changes);
    wm_node_describe(reader, &info);
    assert_string_equal(info.instance, test_instance);
    wm_node_release(reader);
}

ACT(count_given, (UNUSED const struct wm_event *event, void *count),
    ++*(int *)count)

/* None of which was. */
ACT(owe_a_million_ends, (uint64_t id),
    generation_record(id)->word = wm_gen_word(WM_GENERATION_EXITED, 0, 1, 7))

NODE_TEST(a_sweep_gives_no_more_events_than_there_are_records)
{
    const int all = 8 + (int)node->segment.geometry.generations;
    int given = 0;

    owe_a_million_ends(generation);
    assert_int_equal(wm_events_give(node, NULL, count_given, &given), all);
    assert_int_equal(given, all);
}

/* More than an int holds, with a million ends of each generation. */
NODE_TEST(a_sum_of_garbage_is_a_count)
{
    node_restart(3000);
    header()->next_generation = node->segment.geometry.generations;
    for (uint64_t id = 1; id <= header()->next_generation; id++) {
        owe_a_million_ends(id);
    }
    assert_in_range(wm_events_owed(node, WM_EVENTS_ALL), 1, WM_RECOVERED - 1);
}

/* In an exit, too, which its worker waits for. */
NODE_TEST(an_exit_gives_no_more_events_than_there_are_records)
{
    const struct wm_geometry *g = &node->segment.geometry;
    struct wm_worker *w = own_worker(generation);
    int given = 0;

    /* A thousand million stalls, none of which was. */
    record(wm_worker_slot(w))->stalls =
        wm_stalls(record(wm_worker_slot(w))->join, UINT32_C(1) << 30);
    assert_ok(wm_exit_run(w, NULL, count_given, &given));
    assert_in_range(given, 2, 3 * (g->capacity + g->generations) + 3);
    /* Its end as well. */
    assert_int_equal(generation_of(generation).exits_given, 1);
}

/* The last entry alone is whole, and each before it is missed because of it: to
 * be found once, not again for each. By the square of the log it would take
 * hours. */
TEST(a_long_log_of_garbage_is_read_in_one_go)
{
    const struct wm_node_options options = {
        .size = sizeof(options),
        .instance = "test-garbage",
        .capacity = 1,
        .log_entries = WM_LOG_MAX,
    };
    struct wm_log_entry entry;
    uint64_t since = 0, missed;
    uint32_t count;

    assert_ok(wm_node_attach(&options, &node));
    header()->log_next = WM_LOG_MAX - 1;
    generation = begin();
    assert_ok(wm_log_read_within(node, &since, &entry, sizeof(entry), 1, &count,
                                 &missed, 0));
    assert_int_equal(count, 1);
    assert_int_equal(entry.number, WM_LOG_MAX);
    assert_int_equal(missed, WM_LOG_MAX - 1);
    wm_generation_abandon(node, generation);
    node_give_up();
}

/* It is a hint, and a number from the segment. */
NODE_TEST(a_leaders_slot_is_looked_at_within_bounds)
{
    struct wm_worker *worker = own_worker(generation);
    struct wm_leader leader = {.size = sizeof(leader)};

    assert_int_equal(wm_leader_stand(worker, &leader), 1);
    header()->leader.slot = UINT32_MAX;
    assert_int_equal(leader_now().slot, 0);
}

/* 0 says "none" wherever a generation is named. */
EMPTY_NODE_TEST(no_generation_has_the_number_0)
{
    header()->next_generation = UINT64_MAX;
    assert_int_equal(begin(), 1);
}

/* Marks hold the low half of a join number alone. */
NODE_TEST(a_join_number_past_32_bits_is_one_workers)
{
    uint64_t join = UINT32_MAX - UINT64_C(2);

    header()->next_join = join;
    while (++join <= UINT32_MAX + UINT64_C(2)) {
        struct process *a = new_worker(generation);

        assert_int_equal(call(a, do_stand, 0), 1);
        assert_int_equal(leader_now().join, join);
        process_kill(a);
        assert_true(sweep() >= 1);
        assert_int_equal(take(CRASHED).join, join);
        assert_none_to_take(CRASHED);
    }
}

/* The first process there, also where only its parent tells that it is. */
static int is_refused(UNUSED const void *argument)
{
    HOLDS(check_refused(node, generation, -EXDEV) == 0);
    HOLDS(mount("tmpfs", "/proc", "tmpfs", 0, NULL) == 0);
    wm_self_forget();
    return check_refused(node, generation, -EXDEV);
}

CHILD_TEST_WITH(generation_set_up, node_tear_down,
                "no pid namespace for us here",
                a_process_in_a_new_pid_namespace_can_change_nothing)
{
    return enter_mount_namespace() && unshare(CLONE_NEWPID) == 0
               ? run_check(is_refused, NULL)
               : CHECK_IMPOSSIBLE;
}
