/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The arrangement of a segment, as protocol.md tells it: its table, its worked
 * example, and words that hold several numbers, up to the limits of each. The
 * numbers here are the document's, not the compiler's. */

#include "layout.h"

#include "wm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PID_MAX ((UINT32_C(1) << 22) - 1)
#define BEAT_MAX ((UINT64_C(1) << 39) - 1)
#define START_MAX ((UINT64_C(1) << 42) - 1)
#define SPELL_MAX ((UINT32_C(1) << 20) - 1)
#define VERSION_MAX ((UINT32_C(1) << 21) - 1)

#define assert_at(type, field, offset, bytes)                                  \
    do {                                                                       \
        assert_int_equal(offsetof(type, field), offset);                       \
        assert_int_equal(sizeof(((type *)0)->field), bytes);                   \
    } while (0)

/* --------------------------------------------------------------- offsets */

static void the_header_lies_as_the_table_says(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct wm_segment_header), 512);
    assert_at(struct wm_segment_header, magic, 0, 8);
    assert_at(struct wm_segment_header, abi, 8, 4);
    assert_at(struct wm_segment_header, header_size, 12, 4);
    assert_at(struct wm_segment_header, size, 16, 8);
    assert_at(struct wm_segment_header, capacity, 24, 4);
    assert_at(struct wm_segment_header, generations, 28, 4);
    assert_at(struct wm_segment_header, pid_namespace, 32, 8);
    assert_at(struct wm_segment_header, created, 40, 8);
    assert_at(struct wm_segment_header, log_entries, 48, 4);
    assert_at(struct wm_segment_header, instance, 64, 64);
    assert_at(struct wm_segment_header, next_join, 128, 8);
    assert_at(struct wm_segment_header, next_generation, 136, 8);
    assert_at(struct wm_segment_header, first_active, 144, 8);
    assert_at(struct wm_segment_header, dropped, 152, 8);
    assert_at(struct wm_segment_header, exits_lost, 160, 8);
    assert_at(struct wm_segment_header, high, 168, 4);
    assert_at(struct wm_segment_header, next_sweep, 192, 8);
    assert_at(struct wm_segment_header, log_next, 448, 8);
}

static void the_lock_and_the_leader_have_lines_of_their_own(void **state)
{
    (void)state;
    assert_at(struct wm_segment_header, lock.word, 256, 8);
    assert_at(struct wm_segment_header, lock.next, 264, 8);
    assert_at(struct wm_segment_header, lock.wake, 272, 4);
    assert_at(struct wm_segment_header, lock.holder_sequence, 320, 8);
    assert_at(struct wm_segment_header, lock.holder_since, 328, 8);
    assert_at(struct wm_segment_header, lock.holder_generation, 336, 8);
    assert_at(struct wm_segment_header, lock.holder_purpose, 344, 4);
    assert_at(struct wm_segment_header, leader.word, 384, 8);
    assert_at(struct wm_segment_header, leader.slot, 392, 4);
}

static void a_worker_has_a_hot_and_a_cold_line(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct wm_record), 64);
    assert_at(struct wm_record, word, 0, 8);
    assert_at(struct wm_record, generation, 8, 8);
    assert_at(struct wm_record, join, 16, 8);
    assert_at(struct wm_record, role, 24, 4);
    assert_at(struct wm_record, overdue_ms, 28, 4);
    assert_int_equal(sizeof(struct wm_record_cold), 64);
    assert_at(struct wm_record_cold, ident, 0, 8);
    assert_at(struct wm_record_cold, joined_at, 8, 8);
    assert_at(struct wm_record_cold, spell, 16, 8);
    assert_at(struct wm_record_cold, stalls, 24, 8);
    assert_at(struct wm_record_cold, given, 32, 8);
}

static void a_generation_and_a_log_entry_have_a_line_each(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct wm_generation_record), 64);
    assert_at(struct wm_generation_record, word, 0, 8);
    assert_at(struct wm_generation_record, id, 8, 8);
    assert_at(struct wm_generation_record, master, 16, 8);
    assert_at(struct wm_generation_record, begun_at, 24, 8);
    assert_at(struct wm_generation_record, reason, 32, 4);
    assert_at(struct wm_generation_record, deaths, 36, 4);
    assert_at(struct wm_generation_record, replaced, 40, 4);
    assert_at(struct wm_generation_record, joined, 44, 4);
    assert_int_equal(sizeof(struct wm_log_record), 64);
    assert_at(struct wm_log_record, check, 0, 8);
    assert_at(struct wm_log_record, time, 8, 8);
    assert_at(struct wm_log_record, generation, 16, 8);
    assert_at(struct wm_log_record, value, 24, 8);
    assert_at(struct wm_log_record, subject, 32, 8);
    assert_at(struct wm_log_record, kind, 40, 8);
}

/* --------------------------------------------------------------- example */

/* The words of protocol.md's example, two a line. */
static const struct {
    size_t offset;
    uint64_t word[2];
} example[] = {
    {0x000, {0x1a0a0d6d7762696c, 0x0000020000000001}},
    {0x010, {0x0000000000011500, 0x0000004400000004}},
    {0x030, {0x0000000000000400, 0x0000000000000000}},
    {0x040, {0x000000006f6d6564, 0x0000000000000000}},
    {0x080, {0x0000000000000001, 0x0000000000000001}},
    {0x0a0, {0x0000000000000000, 0x0000000000000001}},
    {0x1c0, {0x0000000000000004, 0x0000000000000000}},
    {0x200, {0x6036548000dbaba7, 0x0000000000000001}},
    {0x210, {0x0000000000000001, 0x00003a9800000000}},
    {0x300, {0x01b2a4000015f790, 0x0000000000dbaba7}},
    {0x440, {0x6000020000000001, 0x0000000000000001}},
};

/* As much of a segment as the example shows. */
static _Alignas(WM_LINE) unsigned char bytes[0x480];

static int lay_out_example(void **state)
{
    memset(bytes, 0, sizeof(bytes));
    for (size_t i = 0; i < sizeof(example) / sizeof(example[0]); i++) {
        memcpy(bytes + example[i].offset, example[i].word, 16);
    }
    *state = bytes;
    return 0;
}

static void the_example_has_the_header_that_it_says(void **state)
{
    const struct wm_segment_header *h = *state;
    struct wm_geometry g = wm_geometry(h->capacity, h->log_entries);

    assert_true(h->magic == WM_MAGIC);
    assert_memory_equal(bytes, "libwm\r\n\x1a", 8);
    assert_int_equal(h->abi, WM_ABI);
    assert_int_equal(h->header_size, 512);
    assert_int_equal(h->header_size, sizeof(*h));
    assert_int_equal(h->size, 70912);
    assert_int_equal(h->size, g.size);
    assert_int_equal(h->capacity, 4);
    assert_int_equal(h->generations, 68);
    assert_int_equal(h->generations, g.generations);
    assert_int_equal(h->log_entries, 1024);
    assert_string_equal(h->instance, "demo");
    assert_int_equal(h->next_join, 1);
    assert_int_equal(h->next_generation, 1);
    assert_int_equal(h->high, 1);
    assert_int_equal(h->log_next, 4);
}

static void the_example_has_the_worker_that_it_says(void **state)
{
    struct wm_geometry g = wm_geometry(4, 1024);
    const unsigned char *base = *state;
    const struct wm_record *r = (const void *)(base + g.records);
    const struct wm_record_cold *c = (const void *)(base + g.colds);

    assert_int_equal(wm_word_state(r->word), WM_LIVE);
    assert_int_equal(wm_word_pid(r->word), 27817);
    assert_int_equal(wm_word_beat(r->word), 14396327);
    assert_int_equal(r->generation, 1);
    assert_int_equal(r->join, 1);
    assert_int_equal(r->role, WM_ROLE_WORKER);
    assert_int_equal(r->overdue_ms, 15000);
    assert_int_equal(wm_ident_pid(c->ident), 27817);
    assert_int_equal(wm_ident_start(c->ident), 0x15f790);
    assert_int_equal(c->joined_at, 14396327);

    assert_int_equal(wm_word(WM_LIVE, 27817, 14396327), r->word);
    assert_int_equal(wm_ident(27817, 0x15f790), c->ident);
}

static void the_example_has_the_generation_that_it_says(void **state)
{
    struct wm_geometry g = wm_geometry(4, 1024);
    const unsigned char *base = *state;
    const struct wm_generation_record *r =
        (const void *)(base + g.generation_records);

    r += 1 % g.generations;
    assert_int_equal((const unsigned char *)r - base, 0x440);
    assert_int_equal(wm_gen_state(r->word), WM_GENERATION_ACTIVE);
    assert_int_equal(wm_gen_spell(r->word), 1);
    assert_int_equal(wm_gen_given(r->word), 0);
    assert_int_equal(wm_gen_version(r->word), 1);
    assert_int_equal(r->id, 1);
    assert_int_equal(wm_gen_word(WM_GENERATION_ACTIVE, 1, 0, 1), r->word);
}

/* ----------------------------------------------------------------- words */

static void a_worker_s_word_keeps_three_numbers_apart(void **state)
{
    static const uint32_t pids[] = {0, 1, 27817, PID_MAX - 1, PID_MAX};
    static const uint64_t beats[] = {0, 1, UINT32_MAX, BEAT_MAX - 1, BEAT_MAX};

    (void)state;
    for (unsigned s = WM_FREE; s <= WM_CRASHED; s++) {
        for (int p = 0; p < 5; p++) {
            for (int b = 0; b < 5; b++) {
                uint64_t word = wm_word(s, pids[p], beats[b]);

                assert_int_equal(wm_word_state(word), s);
                assert_int_equal(wm_word_pid(word), pids[p]);
                assert_int_equal(wm_word_beat(word), beats[b]);
            }
        }
    }
    assert_int_equal(wm_word(WM_FREE, 0, 0), 0);
    assert_int_equal(wm_word(7, PID_MAX, BEAT_MAX), UINT64_MAX);
}

static void what_is_too_wide_for_a_worker_s_word_spoils_no_neighbour(void **st)
{
    uint64_t word = wm_word(WM_LIVE, PID_MAX + 1, BEAT_MAX + 1);

    (void)st;
    assert_int_equal(word, wm_word(WM_LIVE, 0, 0));
    word = wm_word(WM_CRASHED, UINT32_MAX, UINT64_MAX);
    assert_int_equal(word, wm_word(WM_CRASHED, PID_MAX, BEAT_MAX));
}

static void another_state_leaves_pid_and_beat_alone(void **state)
{
    uint64_t word;

    (void)state;
    for (unsigned from = WM_FREE; from <= WM_CRASHED; from++) {
        for (unsigned to = WM_FREE; to <= WM_CRASHED; to++) {
            word = wm_word(from, PID_MAX, BEAT_MAX);
            assert_int_equal(wm_word_with_state(word, to),
                             wm_word(to, PID_MAX, BEAT_MAX));
            word = wm_word(from, 0, 0);
            assert_int_equal(wm_word_with_state(word, to), wm_word(to, 0, 0));
        }
    }
}

static void a_word_s_identity_is_all_but_the_beat(void **state)
{
    uint64_t word = wm_word(WM_STALLED, PID_MAX, 1);

    (void)state;
    assert_int_equal(wm_word_identity(word),
                     wm_word_identity(wm_word(WM_STALLED, PID_MAX, BEAT_MAX)));
    assert_int_equal(wm_word_identity(word), wm_word(WM_STALLED, PID_MAX, 0));
    assert_true(wm_word_identity(word) !=
                wm_word_identity(wm_word(WM_LIVE, PID_MAX, 1)));
    assert_true(wm_word_identity(word) !=
                wm_word_identity(wm_word(WM_STALLED, PID_MAX - 1, 1)));
}

static void an_ident_keeps_pid_and_start_apart(void **state)
{
    static const uint32_t pids[] = {0, 1, PID_MAX};
    static const uint64_t starts[] = {0, 1, UINT32_MAX, START_MAX};

    (void)state;
    for (int p = 0; p < 3; p++) {
        for (int s = 0; s < 4; s++) {
            uint64_t ident = wm_ident(pids[p], starts[s]);

            assert_int_equal(wm_ident_pid(ident), pids[p]);
            assert_int_equal(wm_ident_start(ident), starts[s]);
        }
    }
    assert_int_equal(wm_ident(PID_MAX + 1, START_MAX + 1), 0);
    assert_int_equal(wm_ident(PID_MAX, START_MAX), UINT64_MAX);
}

static void a_generation_s_word_keeps_four_numbers_apart(void **state)
{
    static const uint32_t counts[] = {0, 1, SPELL_MAX - 1, SPELL_MAX};
    static const uint32_t versions[] = {0, 1, VERSION_MAX - 1, VERSION_MAX};

    (void)state;
    for (unsigned s = 0; s <= WM_GENERATION_ABORTED; s++) {
        for (int i = 0; i < 64; i++) {
            uint32_t spell = counts[i / 16], given = counts[i / 4 % 4];
            uint32_t version = versions[i % 4];
            uint64_t word = wm_gen_word(s, spell, given, version);

            assert_int_equal(wm_gen_state(word), s);
            assert_int_equal(wm_gen_spell(word), spell);
            assert_int_equal(wm_gen_given(word), given);
            assert_int_equal(wm_gen_version(word), version);
        }
    }
    assert_int_equal(wm_gen_word(7, SPELL_MAX, SPELL_MAX, VERSION_MAX),
                     UINT64_MAX);
}

static void a_generation_s_numbers_wrap_without_a_carry(void **state)
{
    uint64_t word =
        wm_gen_word(WM_GENERATION_EXITED, SPELL_MAX, SPELL_MAX, VERSION_MAX);

    (void)state;
    word = wm_gen_word(wm_gen_state(word), wm_gen_spell(word) + 1,
                       wm_gen_given(word), wm_gen_version(word));
    assert_int_equal(
        word, wm_gen_word(WM_GENERATION_EXITED, 0, SPELL_MAX, VERSION_MAX));
    word = wm_gen_word(wm_gen_state(word), wm_gen_spell(word),
                       wm_gen_given(word) + 1, wm_gen_version(word));
    assert_int_equal(word,
                     wm_gen_word(WM_GENERATION_EXITED, 0, 0, VERSION_MAX));
    word = wm_gen_word(wm_gen_state(word), wm_gen_spell(word),
                       wm_gen_given(word), wm_gen_version(word) + 1);
    assert_int_equal(word, wm_gen_word(WM_GENERATION_EXITED, 0, 0, 0));
    /* And differences outlast the wrap. */
    assert_int_equal((0 - SPELL_MAX) & WM_SPELL_MASK, 1);
}

static void a_leader_s_word_keeps_term_and_name_apart(void **state)
{
    static const uint32_t numbers[] = {0, 1, INT32_MAX, UINT32_MAX};

    (void)state;
    for (int i = 0; i < 16; i++) {
        uint64_t word = wm_leader_word(numbers[i / 4], numbers[i % 4]);

        assert_int_equal(wm_leader_term(word), numbers[i / 4]);
        assert_int_equal(wm_leader_who(word), numbers[i % 4]);
    }
}

static void no_join_number_makes_the_name_of_nobody(void **state)
{
    static const uint64_t edges[] = {0,
                                     UINT32_MAX,
                                     UINT64_C(1) << 32,
                                     UINT64_C(2) * UINT32_MAX,
                                     UINT64_C(1) << 33,
                                     UINT64_C(1) << 63,
                                     UINT64_MAX - 8};

    (void)state;
    for (int e = 0; e < 7; e++) {
        uint64_t first = edges[e] < 8 ? 0 : edges[e] - 8;

        for (uint64_t join = first; join < edges[e] + 8; join++) {
            assert_true(wm_leader_of_join(join) != 0);
            assert_true(wm_leader_of_join(join) != wm_leader_of_join(join + 1));
        }
    }
}

/* -------------------------------------------------------------- geometry */

static void check_geometry(uint32_t capacity, uint32_t log_entries)
{
    struct wm_geometry g = wm_geometry(capacity, log_entries);
    size_t c = capacity, l = log_entries;

    assert_int_equal(g.capacity, c);
    assert_int_equal(g.generations, c + 64);
    assert_int_equal(g.log_entries, l);

    assert_int_equal(g.records, 512);
    assert_int_equal(g.colds, 512 + 64 * c);
    assert_int_equal(g.generation_records, 512 + 128 * c);
    assert_int_equal(g.log, 512 + 128 * c + 64 * (c + 64));
    assert_int_equal(g.size, 512 + 128 * c + 64 * (c + 64) + 64 * l);

    assert_int_equal(g.records % 64, 0);
    assert_int_equal(g.colds % 64, 0);
    assert_int_equal(g.generation_records % 64, 0);
    assert_int_equal(g.log % 64, 0);

    assert_true(g.records >= sizeof(struct wm_segment_header));
    assert_true(g.colds >= g.records + c * sizeof(struct wm_record));
    assert_true(g.generation_records >=
                g.colds + c * sizeof(struct wm_record_cold));
    assert_true(g.log >=
                g.generation_records +
                    g.generations * sizeof(struct wm_generation_record));
    assert_true(g.size >= g.log + l * sizeof(struct wm_log_record));
}

static void arrays_are_aligned_and_do_not_overlap(void **state)
{
    static const uint32_t capacities[] = {1, 1024, WM_CAPACITY_MAX};
    static const uint32_t logs[] = {1, 1024, WM_LOG_MAX};

    (void)state;
    for (int i = 0; i < 9; i++) {
        check_geometry(capacities[i / 3], logs[i % 3]);
    }
}

static void the_defaults_take_266752_bytes(void **state)
{
    (void)state;
    assert_int_equal(wm_geometry(1024, 1024).size, 266752);
    assert_int_equal(WM_CAPACITY_MAX, 65535);
}

#define EXAMPLE_TEST(name) cmocka_unit_test_setup(name, lay_out_example)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_lies_as_the_table_says),
        cmocka_unit_test(the_lock_and_the_leader_have_lines_of_their_own),
        cmocka_unit_test(a_worker_has_a_hot_and_a_cold_line),
        cmocka_unit_test(a_generation_and_a_log_entry_have_a_line_each),
        EXAMPLE_TEST(the_example_has_the_header_that_it_says),
        EXAMPLE_TEST(the_example_has_the_worker_that_it_says),
        EXAMPLE_TEST(the_example_has_the_generation_that_it_says),
        cmocka_unit_test(a_worker_s_word_keeps_three_numbers_apart),
        cmocka_unit_test(
            what_is_too_wide_for_a_worker_s_word_spoils_no_neighbour),
        cmocka_unit_test(another_state_leaves_pid_and_beat_alone),
        cmocka_unit_test(a_word_s_identity_is_all_but_the_beat),
        cmocka_unit_test(an_ident_keeps_pid_and_start_apart),
        cmocka_unit_test(a_generation_s_word_keeps_four_numbers_apart),
        cmocka_unit_test(a_generation_s_numbers_wrap_without_a_carry),
        cmocka_unit_test(a_leader_s_word_keeps_term_and_name_apart),
        cmocka_unit_test(no_join_number_makes_the_name_of_nobody),
        cmocka_unit_test(arrays_are_aligned_and_do_not_overlap),
        cmocka_unit_test(the_defaults_take_266752_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
