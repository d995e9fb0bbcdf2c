/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What a broken worker writes into the segment: whoever takes part notices, or
 * is told wrong numbers within bounds. test/fuzz has the bytes that nobody
 * thought of. */

#include "scene.h"

#include "log.h"
#include "node.h"
#include "process.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct wm_segment_header *header(struct scene *s)
{
    return s->node->segment.header;
}

/* ----------------------------------------------------- a whole segment lost */

static void expect_nothing_is_done(struct scene *s, struct wm_worker *worker)
{
    const struct wm_join_options join = {.size = sizeof(join)};
    const uint64_t g = wm_worker_generation(worker);
    struct wm_worker *other;
    struct wm_event event;
    uint64_t id;

    assert_int_equal(wm_tick(worker, 1000), -EUCLEAN);
    assert_int_equal(wm_lock_try(s->node, 0, 0), -EUCLEAN);
    assert_int_equal(wm_lock_acquire(s->node, NULL), -EUCLEAN);
    assert_int_equal(wm_sweep(s->node, worker), 0);
    assert_int_equal(wm_events_give(s->node, worker, NULL, NULL), 0);
    assert_int_equal(wm_events_owed(s->node, ~0u), 0);
    assert_int_equal(wm_event_take(s->node, ~0u, &event), 0);
    assert_int_equal(wm_generation_close(s->node, g), -EUCLEAN);
    assert_int_equal(wm_generation_take_exit(s->node, g, NULL), 0);
    wm_worker_leave(worker);
    assert_int_equal(wm_worker_join(s->node, g, &join, &other), -EUCLEAN);
    s->node->joined = false;
    assert_int_equal(wm_generation_begin(s->node, &id, NULL), -EUCLEAN);
    assert_int_equal(wm_generation_abandon(s->node, g), 0);
}

/* With an end owed a million times, which is not told even once. */
static void a_segment_that_was_written_over_is_noticed_by_all(void **state)
{
    static const int fill[] = {0, 0xff, 0x5a};
    struct scene *s = *state;
    const size_t size = s->node->segment.geometry.size;

    for (size_t i = 0; i < sizeof(fill) / sizeof(*fill); i++) {
        struct wm_worker *worker;
        void *kept = malloc(size);

        if (kept == NULL) {
            abort();
        }
        s->node->joined = false;
        worker = scene_own_worker(s, scene_begin(s));
        memcpy(kept, header(s), size);
        memset(header(s), fill[i], size);
        expect_nothing_is_done(s, worker);
        memcpy(header(s), kept, size);
        free(kept);
    }
}

/* Each of them alone: that of a page, of a line, of a byte. */
static void any_byte_of_the_constants_tells(void **state)
{
    struct scene *s = *state;
    struct wm_worker *worker = scene_own_worker(s, scene_begin(s));
    unsigned char *bytes = (unsigned char *)header(s);

    for (size_t i = 0; i < WM_CONSTANTS; i++) {
        bytes[i] ^= 1;
        assert_int_equal(wm_tick(worker, 1000), -EUCLEAN);
        bytes[i] ^= 1;
    }
    assert_int_equal(wm_tick(worker, 1000), 0);
    /* What lies behind them may change at any time. */
    bytes[WM_CONSTANTS] ^= 1;
    assert_int_equal(wm_tick(worker, 1000), 0);
}

static void a_reader_is_given_what_is_there_within_bounds(void **state)
{
    struct scene *s = *state;
    struct wm_worker_info list[8];
    struct wm_node *reader;
    struct wm_node_info info = {.size = sizeof(info)};
    struct wm_counts counts;
    uint32_t count;

    assert_int_equal(wm_node_open(s->instance, NULL, &reader), 0);
    memset(header(s), 0xff, s->node->segment.geometry.size);
    wm_node_describe(reader, &info);
    assert_string_equal(info.instance, s->instance);
    assert_int_equal(info.capacity, 8);
    assert_int_equal(wm_snapshot(reader, list, 8, &count), 0);
    assert_true(count <= 8);
    wm_generation_counts(reader, 1, &counts);
    assert_true(counts.mine >= 0 && counts.mine <= 8);
    wm_node_release(reader);
}

/* ------------------------------------------ a header that changes meanwhile */

static const struct scene *changing;

void *__real_memchr(const void *text, int c, size_t size);
void *__wrap_memchr(const void *text, int c, size_t size);

/* The library looks whether the name has an end; then it has none any more, in
 * the whole page. */
void *__wrap_memchr(const void *text, int c, size_t size)
{
    void *found = __real_memchr(text, c, size);

    if (changing != NULL) {
        memset(changing->node->segment.header, 'a', 4096);
        changing = NULL;
    }
    return found;
}

static void what_was_checked_is_not_read_again(void **state)
{
    struct scene *s = *state;
    struct wm_node *reader;
    struct wm_node_info info = {.size = sizeof(info)};

    assert_true(s->node->segment.geometry.size > 4096);
    changing = s;
    assert_int_equal(wm_node_open(s->node->segment.name, NULL, &reader), 0);
    assert_null(changing);
    wm_node_describe(reader, &info);
    assert_string_equal(info.instance, s->instance);
    wm_node_release(reader);
}

/* ------------------------------------------------------- wrong, but bounded */

static void count_given(const struct wm_event *event, void *count)
{
    (void)event;
    ++*(int *)count;
}

static void a_sweep_gives_no_more_events_than_there_are_records(void **state)
{
    struct scene *s = *state;
    const struct wm_geometry *g = &s->node->segment.geometry;
    struct wm_generation_record *r =
        &s->node->segment.generations[scene_begin(s)];
    int given = 0;

    /* A million ends, none of which was. */
    atomic_store(&r->word, wm_gen_word(WM_GENERATION_EXITED, 0, 1, 7));
    assert_int_equal(wm_events_give(s->node, NULL, count_given, &given),
                     g->capacity + g->generations);
    assert_int_equal(given, g->capacity + g->generations);
}

/* The last entry alone is whole, and each before it is missed because of it: to
 * be found once, not again for each. By the square of the log it would take
 * hours; the alarm ends what takes a minute. */
static void a_long_log_of_garbage_is_read_in_one_go(void **state)
{
    const struct wm_node_options options = {.size = sizeof(options),
                                            .instance = "test-garbage",
                                            .capacity = 1,
                                            .log_entries = WM_LOG_MAX};
    struct wm_log_entry entry;
    uint64_t since = 0, missed, id;
    struct wm_node *node;
    uint32_t count;

    (void)state;
    assert_int_equal(wm_node_attach(&options, &node), 0);
    atomic_store(&node->segment.header->log_next, WM_LOG_MAX - 1);
    assert_int_equal(wm_generation_begin(node, &id, NULL), 0);
    alarm(60);
    assert_int_equal(
        wm_log_read_within(node, &since, &entry, 1, &count, &missed, 0), 0);
    alarm(0);
    assert_int_equal(count, 1);
    assert_int_equal(entry.number, WM_LOG_MAX);
    assert_int_equal(missed, WM_LOG_MAX - 1);
    wm_generation_abandon(node, id);
    wm_node_release(node);
}

/* As many as there is room for, each of the same master. */
static void make_up_generations(struct wm_node *node, uint64_t id)
{
    const uint64_t number = 1000000; /* not what the first place wants */

    for (uint32_t i = 0; i < node->segment.geometry.generations; i++) {
        struct wm_generation_record *g = &node->segment.generations[i];

        if (i != id) {
            atomic_store(&g->word, wm_gen_word(WM_GENERATION_BEGUN, 1, 1, 1));
            atomic_store(&g->id, number + i);
            atomic_store(&g->master, wm_self_ident());
        }
    }
    atomic_store(&node->segment.header->next_generation, number);
}

/* To look for the others of each one's master would take minutes; the alarm
 * ends what takes one. */
static void garbage_for_generations_is_gone_through_once(void **state)
{
    const struct wm_node_options options = {.size = sizeof(options),
                                            .instance = "test-garbage",
                                            .capacity = WM_CAPACITY_MAX};
    const struct wm_join_options of_worker = {.size = sizeof(of_worker)};
    struct wm_counts counts;
    struct wm_worker *worker;
    struct wm_node *node;
    uint64_t id;

    (void)state;
    assert_int_equal(wm_node_attach(&options, &node), 0);
    assert_int_equal(wm_generation_begin(node, &id, NULL), 0);
    assert_int_equal(wm_worker_join(node, id, &of_worker, &worker), 0);
    assert_int_equal(wm_worker_start(worker, &counts), 0);
    alarm(60);
    for (int i = 0; i < 10; i++) {
        make_up_generations(node, id);
        wm_generation_counts(node, id, &counts);
        wm_sweep(node, worker);
    }
    alarm(0);
    assert_int_equal(counts.mine, 1);
    assert_int_equal(wm_worker_leave(worker), 0);
    assert_int_equal(wm_generation_close(node, id), WM_CLOSED);
    assert_int_equal(wm_generation_take_exit(node, id, NULL), 1);
    assert_int_equal(wm_node_release(node), 0);
}

/* All bits set, there is no number after the newest. */
static void a_log_at_the_last_number_is_read_to_its_end(void **state)
{
    struct scene *s = *state;
    uint64_t since = UINT64_MAX - 3, missed;
    struct wm_log_entry entry;
    uint32_t count;

    memset(header(s), 0xff, s->node->segment.geometry.size);
    alarm(60);
    assert_int_equal(wm_log_read(s->node, &since, &entry, 1, &count, &missed),
                     0);
    alarm(0);
    assert_int_equal(count, 0);
    assert_true(since == UINT64_MAX - 3);
}

/* It is a hint, and a number from the segment. */
static void a_leaders_slot_is_looked_at_within_bounds(void **state)
{
    struct scene *s = *state;
    struct wm_worker *worker = scene_own_worker(s, scene_begin(s));
    struct wm_leader leader;

    assert_int_equal(wm_leader_stand(worker, &leader), 1);
    atomic_store(&header(s)->leader.slot, UINT32_MAX);
    wm_leader_inspect(s->node, &leader);
    assert_int_equal(leader.slot, 0);
    assert_int_equal(wm_worker_leave(worker), 0);
}

/* 0 says "none" wherever a generation is named. */
static void no_generation_has_the_number_0(void **state)
{
    struct scene *s = *state;
    uint64_t id;

    atomic_store(&header(s)->next_generation, UINT64_MAX);
    assert_int_equal(wm_generation_begin(s->node, &id, NULL), 0);
    assert_int_equal(id, 1);
}

/* Marks hold the low half of a join number alone. */
static void a_join_number_past_32_bits_is_one_workers(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct wm_event event;
    struct wm_leader leader;

    atomic_store(&header(s)->next_join, UINT32_MAX - UINT64_C(2));
    for (int i = 0; i < 4; i++) { /* 2^32 - 2 to 2^32 + 1 */
        const uint64_t join = UINT32_MAX - UINT64_C(1) + (unsigned)i;
        struct actor *a = scene_worker(s, g);

        assert_int_equal(actor_do(a, act_lead, 0), 1);
        wm_leader_inspect(s->node, &leader);
        assert_int_equal(leader.join, join);
        actor_kill(a);
        assert_true(wm_sweep(s->node, NULL) >= 1);
        assert_int_equal(scene_take(s, 1u << WM_EVENT_CRASHED, &event),
                         WM_EVENT_CRASHED);
        assert_int_equal(event.join, join);
        assert_int_equal(scene_take(s, 1u << WM_EVENT_CRASHED, &event), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(a_segment_that_was_written_over_is_noticed_by_all),
        SCENE_TEST(any_byte_of_the_constants_tells),
        SCENE_TEST(a_reader_is_given_what_is_there_within_bounds),
        SCENE_TEST(what_was_checked_is_not_read_again),
        SCENE_TEST(a_sweep_gives_no_more_events_than_there_are_records),
        cmocka_unit_test(a_long_log_of_garbage_is_read_in_one_go),
        cmocka_unit_test(garbage_for_generations_is_gone_through_once),
        SCENE_TEST(a_log_at_the_last_number_is_read_to_its_end),
        SCENE_TEST(a_leaders_slot_is_looked_at_within_bounds),
        SCENE_TEST(no_generation_has_the_number_0),
        SCENE_TEST(a_join_number_past_32_bits_is_one_workers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
