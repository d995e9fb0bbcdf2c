/* SPDX-License-Identifier: Apache-2.0 */

/* The bytes of a segment: where protocol.md says they are, and words that give
 * back what was packed into them, up to the limits. */

#include "layout.h"
#include "segment.h"
#include "test.h"
#include "word.h"

#define SPELL_MAX ((UINT32_C(1) << WM_SPELL_BITS) - 1)
#define VERSION_MAX ((UINT32_C(1) << WM_VERSION_BITS) - 1)
#define PID_MAX ((UINT32_C(1) << 22) - 1)
#define BEAT_MAX ((UINT64_C(1) << 39) - 1)
#define START_MAX ((UINT64_C(1) << 42) - 1)

/* What protocol.md's example shows. Generation 1 lies at 1 modulo 68, hence in
 * the second record. */
static const struct {
    struct wm_segment_header header;
    struct wm_record records[4];
    struct wm_record_cold colds[4];
    struct wm_generation_record generations[68];
} example = {
    .header = {.magic = WM_MAGIC,
               .abi = WM_ABI,
               .header_size = sizeof(struct wm_segment_header),
               .size = 71424,
               .capacity = 4,
               .generations = 68,
               .log_entries = 1024,
               .mode = 0600,
               .instance = "demo",
               .record_stride = sizeof(struct wm_record),
               .cold_stride = sizeof(struct wm_record_cold),
               .generation_stride = sizeof(struct wm_generation_record),
               .log_stride = sizeof(struct wm_log_record),
               .next_join = 1,
               .next_generation = 1,
               .high = 1,
               .free_from = 1,
               .log_next = 4},
    .records[0] = {.word = (uint64_t)WM_LIVE << 61 | UINT64_C(27817) << 39 |
                           14396327,
                   .generation = 1,
                   .join = 1,
                   .role = WM_ROLE_WORKER,
                   .overdue_ms = 15000,
                   .joined_at = 14396327,
                   .stalls = UINT64_C(1) << 32},
    .colds[0] = {.ident = UINT64_C(27817) << 42 | 0x15f790, .spell = 1},
    .generations[1] = {.word = (uint64_t)WM_GENERATION_ACTIVE << 61 |
                               UINT64_C(1) << 41 | 1,
                       .id = 1},
};

/* Compares a line of words; returns whether it was one. */
static bool compare_line(const char *line)
{
    unsigned long long words[2];
    unsigned offset;
    char after[8];

    if (sscanf(line, "    %3x  %16llx %16llx%1[ \n]", &offset, &words[0],
               &words[1], after) != 4 ||
        strspn(line + 4, "0123456789abcdef") != 3) {
        return false;
    }
    assert_in_range(offset, 0, sizeof(example) - sizeof(words));
    if (memcmp((const char *)&example + offset, words, sizeof(words)) != 0) {
        fail_msg("the layout differs from %s", line);
    }
    return true;
}

TEST(the_documented_example_is_what_the_layout_says)
{
    const char *root = getenv("WM_SOURCE_ROOT");
    char path[4096], line[256];
    int lines = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/libwm/protocol.md", root);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        lines += compare_line(line);
    }
    fclose(f);
    assert_int_equal(lines, 14);
}

/* Places where the example is 0, or equal to its neighbour. */
#define AT(type, field, place)                                                 \
    static_assert(offsetof(struct type, field) == (place), #type "." #field)

AT(wm_segment_header, pid_namespace, 32);
AT(wm_segment_header, created, 40);
AT(wm_segment_header, compatible, 128);
AT(wm_segment_header, incompatible, 136);
AT(wm_segment_header, generation_stride, 152);
AT(wm_segment_header, log_stride, 156);
AT(wm_segment_header, next_generation, 200);
AT(wm_segment_header, first_active, 208);
AT(wm_segment_header, dropped, 216);
AT(wm_segment_header, exits_lost, 224);
AT(wm_segment_header, next_sweep, 384);
AT(wm_segment_header, looked_at, 400);
AT(wm_segment_header, lock, 448);
AT(wm_segment_header, lock.next, 456);
AT(wm_segment_header, lock.wake, 464);
AT(wm_segment_header, lock.probers, 480);
AT(wm_segment_header, lock.holder_sequence, 512);
AT(wm_segment_header, lock.holder_since, 520);
AT(wm_segment_header, lock.holder_generation, 528);
AT(wm_segment_header, lock.holder_purpose, 536);
AT(wm_segment_header, leader, 576);
AT(wm_segment_header, leader.slot, 584);
AT(wm_record, join, 16);
AT(wm_record, role, 24);
AT(wm_record_cold, given, 16);
AT(wm_generation_record, master, 16);
AT(wm_generation_record, begun_at, 24);
AT(wm_generation_record, reason, 32);
AT(wm_generation_record, deaths, 36);
AT(wm_generation_record, replaced, 40);
AT(wm_generation_record, joined, 44);
AT(wm_log_record, check, 0);
AT(wm_log_record, time, 8);
AT(wm_log_record, generation, 16);
AT(wm_log_record, value, 24);
AT(wm_log_record, subject, 32);
AT(wm_log_record, kind, 40);

TEST(the_arrays_follow_each_other_in_whole_lines)
{
    for (size_t i = 0; i < 4; i++) {
        const uint32_t c = i % 2 == 0 ? 1 : 65535;
        const uint32_t l = i < 2 ? 1 : 1048576;
        const struct wm_geometry g = wm_geometry(c, l);

        assert_int_equal(g.generations, c + 64);
        assert_int_equal(g.records, 768);
        assert_int_equal(g.colds, 768 + 64 * c);
        assert_int_equal(g.generation_records, 768 + 192 * c);
        assert_int_equal(g.log, 768 + 192 * c + 64 * (c + 64));
        assert_int_equal(g.size, g.log + 64 * (size_t)l);
    }
}

/* Fields are ored together, so that each alone, as wide as it can be given,
 * says that it comes back and spoils no neighbour. */

static void expect_word(uint64_t word, unsigned state, uint32_t pid,
                        uint64_t beat)
{
    assert_int_equal(wm_word_state(word), state);
    assert_int_equal(wm_word_pid(word), pid);
    assert_int_equal(wm_word_beat(word), beat);
}

TEST(a_word_gives_back_what_it_holds_and_no_more)
{
    expect_word(wm_word(7, 0, 0), 7, 0, 0);
    expect_word(wm_word(0, UINT32_MAX, 0), 0, PID_MAX, 0);
    expect_word(wm_word(0, 0, UINT64_MAX), 0, 0, BEAT_MAX);
    expect_word(wm_word(WM_LIVE, 1, BEAT_MAX + 3), WM_LIVE, 1, 2);
    assert_true(wm_word(7, PID_MAX, BEAT_MAX) == UINT64_MAX);
    expect_word(wm_word_identity(UINT64_MAX), 7, PID_MAX, 0);
    for (unsigned s = 0; s < 8; s++) {
        expect_word(wm_word_with_state(UINT64_MAX, s), s, PID_MAX, BEAT_MAX);
        expect_word(wm_word_with_state(0, s), s, 0, 0);
    }
}

TEST(an_ident_gives_back_what_it_holds_and_no_more)
{
    assert_int_equal(wm_ident_pid(wm_ident(UINT32_MAX, 0)), PID_MAX);
    assert_int_equal(wm_ident_start(wm_ident(UINT32_MAX, 0)), 0);
    assert_int_equal(wm_ident_pid(wm_ident(1, UINT64_MAX)), 1);
    assert_int_equal(wm_ident_start(wm_ident(1, UINT64_MAX)), START_MAX);
    assert_true(wm_ident(PID_MAX, START_MAX) == UINT64_MAX);
}

static void expect_generation(uint64_t word, unsigned state, uint32_t spell,
                              uint32_t given, uint32_t version)
{
    assert_int_equal(wm_gen_state(word), state);
    assert_int_equal(wm_gen_spell(word), spell);
    assert_int_equal(wm_gen_given(word), given);
    assert_int_equal(wm_gen_version(word), version);
}

TEST(a_generations_word_gives_back_what_it_holds_and_no_more)
{
    const uint64_t claimed =
        wm_gen_claimed(WM_GENERATION_CLAIMED, PID_MAX, VERSION_MAX + 3);

    expect_generation(wm_gen_word(7, 0, 0, 0), 7, 0, 0, 0);
    expect_generation(wm_gen_word(0, UINT32_MAX, 0, 0), 0, SPELL_MAX, 0, 0);
    expect_generation(wm_gen_word(0, 0, UINT32_MAX, 0), 0, 0, SPELL_MAX, 0);
    expect_generation(wm_gen_word(0, 0, 0, UINT32_MAX), 0, 0, 0, VERSION_MAX);
    expect_generation(wm_gen_word(1, SPELL_MAX + 3, 4, 5), 1, 2, 4, 5);
    assert_true(wm_gen_word(7, SPELL_MAX, SPELL_MAX, VERSION_MAX) ==
                UINT64_MAX);
    assert_int_equal(wm_gen_state(claimed), WM_GENERATION_CLAIMED);
    assert_int_equal(wm_gen_claimant(claimed), PID_MAX);
    assert_int_equal(wm_gen_version(claimed), 2);
}

TEST(an_age_is_right_over_the_wrap_of_the_beat)
{
    const uint64_t end = BEAT_MAX + 1;

    assert_true(wm_beat_at_full(wm_word_beat(end + 5), end + 7) == end + 5);
    assert_true(wm_beat_at_full(wm_word_beat(end - 5), end + 7) > end + 7);
    assert_true(wm_word_age(wm_word(WM_LIVE, 1, 1000), 1000) == 0);
    assert_true(wm_word_age(wm_word(WM_LIVE, 1, 1000), 1500) == 500);
    assert_true(wm_word_age(wm_word(WM_LIVE, 1, 1500), 1000) == -500);
    assert_true(wm_word_age(wm_word(WM_LIVE, 1, end - 5), end + 7) == 12);
    assert_true(wm_word_age(wm_word(WM_LIVE, 1, end + 7), end - 5) == -12);
}

TEST(ends_owed_outlive_the_wrap_of_the_spell)
{
    const unsigned active = WM_GENERATION_ACTIVE, over = WM_GENERATION_EXITED;
    const uint32_t last = SPELL_MAX;
    const struct {
        unsigned state;
        uint32_t spell, given, owed; /* opened and over, less those given */
    } table[] = {{active, 1, 0, 0},     {over, 1, 0, 1},
                 {over, 3, 1, 2},       {over, last, last, 0},
                 {active, 0, last, 0},  {over, 0, last, 1},
                 {over, 2, last - 1, 4}};

    for (size_t i = 0; i < COUNT(table); i++) {
        const uint64_t word =
            wm_gen_word(table[i].state, table[i].spell, table[i].given, 9);

        assert_int_equal(wm_gen_owed(word), table[i].owed);
    }
}

TEST(a_leaders_word_names_somebody_or_nobody)
{
    const uint64_t word = wm_leader_word(UINT32_MAX, 1);

    assert_true(wm_leader_term(word) == UINT32_MAX);
    assert_int_equal(wm_leader_who(word), 1);
    assert_int_equal(wm_leader_term(wm_leader_word(1, UINT32_MAX)), 1);
    /* Joins are told apart, and none looks like nobody. */
    for (uint64_t join = UINT32_MAX - 1; join < UINT32_MAX + UINT64_C(3);
         join++) {
        assert_int_not_equal(wm_leader_of_join(join), 0);
        assert_int_not_equal(wm_leader_of_join(join),
                             wm_leader_of_join(join + 1));
    }
    assert_int_not_equal(wm_leader_of_join(0), 0);
}
