/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The bytes of a segment: where protocol.md says they are, its example read
 * with the layout's own functions, and words that give back what was packed
 * into them, up to the limits. */

#include "layout.h"
#include "generation.h"
#include "segment.h"
#include "test.h"
#include "word.h"

#define SPELL_MAX ((UINT32_C(1) << WM_SPELL_BITS) - 1)
#define PID_MAX ((UINT32_C(1) << 22) - 1)
#define BEAT_MAX ((UINT64_C(1) << 39) - 1)
#define EXAMPLE_SIZE 71424

/* ------------------------------------------------------------------ places */

struct place {
    const char *what;
    size_t is, should;
};

#define SIZE(type, should)                                                     \
    {                                                                          \
        #type, sizeof(struct type), should                                     \
    }
#define AT(type, field, should)                                                \
    {                                                                          \
        #type "." #field, offsetof(struct type, field), should                 \
    }

static const struct place places[] = {
    AT(wm_segment_header, magic, 0),
    AT(wm_segment_header, abi, 8),
    AT(wm_segment_header, header_size, 12),
    AT(wm_segment_header, size, 16),
    AT(wm_segment_header, capacity, 24),
    AT(wm_segment_header, generations, 28),
    AT(wm_segment_header, pid_namespace, 32),
    AT(wm_segment_header, created, 40),
    AT(wm_segment_header, log_entries, 48),
    AT(wm_segment_header, instance, 64),
    AT(wm_segment_header, compatible, 128),
    AT(wm_segment_header, incompatible, 136),
    AT(wm_segment_header, record_stride, 144),
    AT(wm_segment_header, cold_stride, 148),
    AT(wm_segment_header, generation_stride, 152),
    AT(wm_segment_header, log_stride, 156),
    AT(wm_segment_header, next_join, 192),
    AT(wm_segment_header, next_generation, 200),
    AT(wm_segment_header, first_active, 208),
    AT(wm_segment_header, dropped, 216),
    AT(wm_segment_header, exits_lost, 224),
    AT(wm_segment_header, high, 232),
    AT(wm_segment_header, next_sweep, 384),
    AT(wm_segment_header, lock, 448),
    AT(wm_segment_header, lock.next, 456),
    AT(wm_segment_header, lock.wake, 464),
    AT(wm_segment_header, lock.holder_sequence, 512),
    AT(wm_segment_header, lock.holder_since, 520),
    AT(wm_segment_header, lock.holder_generation, 528),
    AT(wm_segment_header, lock.holder_purpose, 536),
    AT(wm_segment_header, leader, 576),
    AT(wm_segment_header, leader.slot, 584),
    AT(wm_segment_header, log_next, 640),
    AT(wm_record, word, 0),
    AT(wm_record, generation, 8),
    AT(wm_record, join, 16),
    AT(wm_record, role, 24),
    AT(wm_record, overdue_ms, 28),
    AT(wm_record, joined_at, 32),
    AT(wm_record, stalls, 40),
    AT(wm_record_cold, ident, 0),
    AT(wm_record_cold, spell, 8),
    AT(wm_record_cold, given, 16),
    AT(wm_generation_record, word, 0),
    AT(wm_generation_record, id, 8),
    AT(wm_generation_record, master, 16),
    AT(wm_generation_record, begun_at, 24),
    AT(wm_generation_record, reason, 32),
    AT(wm_generation_record, deaths, 36),
    AT(wm_generation_record, replaced, 40),
    AT(wm_generation_record, joined, 44),
    AT(wm_log_record, check, 0),
    AT(wm_log_record, time, 8),
    AT(wm_log_record, generation, 16),
    AT(wm_log_record, value, 24),
    AT(wm_log_record, subject, 32),
    AT(wm_log_record, kind, 40),
    SIZE(wm_segment_header, 768),
    SIZE(wm_record, 64),
    SIZE(wm_record_cold, 128),
    SIZE(wm_generation_record, 64),
    SIZE(wm_log_record, 64)};

TEST(each_field_lies_as_documented)
{
    for (size_t i = 0; i < COUNT(places); i++) {
        if (places[i].is != places[i].should) {
            fail_msg("%s is %zu, not %zu", places[i].what, places[i].is,
                     places[i].should);
        }
    }
}

TEST(the_arrays_follow_each_other_in_whole_lines)
{
    static const uint32_t capacities[] = {1, 2, 1024, 65534, 65535};
    static const uint32_t logs[] = {1, 1024, 1048576};

    for (size_t i = 0; i < COUNT(capacities); i++) {
        for (size_t j = 0; j < COUNT(logs); j++) {
            const size_t c = capacities[i], l = logs[j];
            const struct wm_geometry g = wm_geometry(capacities[i], logs[j]);

            assert_int_equal(g.capacity, c);
            assert_int_equal(g.generations, c + 64);
            assert_int_equal(g.log_entries, l);
            assert_int_equal(g.records, 768);
            assert_int_equal(g.colds, 768 + 64 * c);
            assert_int_equal(g.generation_records, 768 + 192 * c);
            assert_int_equal(g.log, 768 + 192 * c + 64 * (c + 64));
            assert_int_equal(g.size, g.log + 64 * l);
            assert_int_equal(g.size % WM_LINE, 0);
        }
    }
}

TEST(a_thousand_workers_take_what_is_documented)
{
    assert_int_equal(wm_geometry(1024, 1024).size, 332544);
    assert_int_equal(wm_geometry(4, 1024).size, EXAMPLE_SIZE);
}

/* ------------------------------------------------------------ the example */

/* Puts the words of protocol.md's hex example where they say they lie;
 * returns how many lines there were. */
static int read_example(unsigned char *segment)
{
    const char *root = getenv("WM_SOURCE_ROOT");
    char path[4096], line[256], after[8];
    unsigned long long first, second;
    unsigned offset;
    int lines = 0;
    FILE *f;

    if (root == NULL) {
        fail_msg("WM_SOURCE_ROOT names no project: run it by meson test");
    }
    snprintf(path, sizeof(path), "%s/libwm/protocol.md", root);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "    %3x  %16llx %16llx%1[ \n]", &offset, &first,
                   &second, after) == 4 &&
            strspn(line + 4, "0123456789abcdef") == 3 &&
            offset + 16 <= EXAMPLE_SIZE) {
            const uint64_t words[] = {first, second};

            memcpy(segment + offset, words, sizeof(words));
            lines++;
        }
    }
    fclose(f);
    return lines;
}

TEST(the_documented_example_is_what_the_layout_reads)
{
    static _Alignas(WM_LINE) unsigned char bytes[EXAMPLE_SIZE];
    const struct wm_segment_header *h = (void *)bytes;
    const struct wm_geometry g = wm_geometry(4, 1024);
    const struct wm_record *r = (void *)(bytes + g.records);
    const struct wm_record_cold *cold = (void *)(bytes + g.colds);
    const struct wm_generation_record *generation =
        (void *)(bytes + g.generation_records);
    uint64_t word;

    assert_int_equal(read_example(bytes), 14);

    assert_true(h->magic == WM_MAGIC);
    assert_int_equal(h->abi, WM_ABI);
    assert_int_equal(h->header_size, sizeof(*h));
    assert_int_equal(h->size, g.size);
    assert_int_equal(h->capacity, g.capacity);
    assert_int_equal(h->generations, g.generations);
    assert_int_equal(h->log_entries, g.log_entries);
    assert_string_equal(h->instance, "demo");
    assert_int_equal(h->record_stride, g.record_stride);
    assert_int_equal(h->cold_stride, g.cold_stride);
    assert_int_equal(h->generation_stride, g.generation_stride);
    assert_int_equal(h->log_stride, g.log_stride);
    assert_int_equal(h->next_join, 1);
    assert_int_equal(h->next_generation, 1);
    assert_int_equal(h->high, 1);
    assert_int_equal(h->log_next, 4);

    word = r[0].word;
    assert_int_equal(wm_word_state(word), WM_LIVE);
    assert_int_equal(wm_word_pid(word), 27817);
    assert_int_equal(wm_word_beat(word), 14396327);
    assert_true(word == wm_word(WM_LIVE, 27817, 14396327));
    assert_int_equal(r[0].generation, 1);
    assert_int_equal(r[0].join, 1);
    assert_int_equal(r[0].role, WM_ROLE_WORKER);
    assert_int_equal(r[0].overdue_ms, 15000);

    /* Generation 1 lies at 1 modulo 68, hence in the second record. */
    assert_int_equal(wm_ident_pid(cold[0].ident), 27817);
    assert_true(wm_ident_start(cold[0].ident) != 0);
    assert_int_equal(r[0].joined_at, 14396327);
    assert_int_equal(wm_gen_state(generation[1].word), WM_GENERATION_ACTIVE);
    assert_int_equal(wm_gen_spell(generation[1].word), 1);
    assert_int_equal(wm_gen_given(generation[1].word), 0);
    assert_int_equal(generation[1].id, 1);
}

TEST(the_magic_shows_text_conversions)
{
    const uint64_t magic = WM_MAGIC;

    assert_memory_equal(&magic, "libwm\r\n\x1a", 8);
}

/* ------------------------------------------------------------------ words */

TEST(a_workers_word_gives_back_what_it_holds)
{
    static const uint32_t pids[] = {0, 1, 2, 4194303 - 1, PID_MAX};
    static const uint64_t beats[] = {0, 1, BEAT_MAX / 2, BEAT_MAX};

    for (unsigned s = 0; s < 8; s++) {
        for (size_t p = 0; p < COUNT(pids); p++) {
            for (size_t b = 0; b < COUNT(beats); b++) {
                const uint64_t word = wm_word(s, pids[p], beats[b]);

                assert_int_equal(wm_word_state(word), s);
                assert_int_equal(wm_word_pid(word), pids[p]);
                assert_true(wm_word_beat(word) == beats[b]);
            }
        }
    }
    assert_true(wm_word(7, PID_MAX, BEAT_MAX) == UINT64_MAX);
}

TEST(a_word_too_wide_spoils_no_neighbour)
{
    const uint64_t word = wm_word(WM_LIVE, UINT32_MAX, UINT64_MAX);
    const uint64_t ident = wm_ident(1, UINT64_MAX);

    assert_int_equal(wm_word_state(word), WM_LIVE);
    assert_int_equal(wm_word_pid(word), PID_MAX);
    assert_int_equal(wm_word_pid(wm_word(0, 5, BEAT_MAX + 1)), 5);
    assert_int_equal(wm_word_beat(wm_word(0, 5, BEAT_MAX + 1)), 0);
    assert_int_equal(wm_ident_pid(ident), 1);
    assert_int_equal(wm_ident_pid(wm_ident(UINT32_MAX, 0)), PID_MAX);
    assert_int_equal(wm_gen_given(wm_gen_word(0, 0, 5, UINT32_MAX)), 5);
    assert_int_equal(wm_gen_spell(wm_gen_word(0, 5, UINT32_MAX, 0)), 5);
    assert_int_equal(wm_gen_state(wm_gen_word(5, UINT32_MAX, 0, 0)), 5);
}

TEST(a_new_state_leaves_pid_and_beat)
{
    const uint64_t word = wm_word(7, PID_MAX, BEAT_MAX);

    for (unsigned s = 0; s < 8; s++) {
        assert_true(wm_word_with_state(word, s) ==
                    wm_word(s, PID_MAX, BEAT_MAX));
        assert_true(wm_word_with_state(0, s) == wm_word(s, 0, 0));
    }
}

TEST(the_identity_of_a_word_lacks_the_beat_alone)
{
    assert_true(wm_word_identity(wm_word(5, PID_MAX, BEAT_MAX)) ==
                wm_word(5, PID_MAX, 0));
    assert_true(wm_word_identity(wm_word(0, 0, BEAT_MAX)) == 0);
}

TEST(an_ident_gives_back_what_it_holds)
{
    const uint64_t start_max = (UINT64_C(1) << 42) - 1;

    assert_int_equal(wm_ident_pid(wm_ident(PID_MAX, start_max)), PID_MAX);
    assert_true(wm_ident_start(wm_ident(PID_MAX, start_max)) == start_max);
    assert_int_equal(wm_ident_pid(wm_ident(PID_MAX, 0)), PID_MAX);
    assert_int_equal(wm_ident_start(wm_ident(PID_MAX, 0)), 0);
    assert_int_equal(wm_ident_pid(wm_ident(0, start_max)), 0);
    assert_true(wm_ident(PID_MAX, start_max) == UINT64_MAX);
}

TEST(a_generations_word_gives_back_what_it_holds)
{
    static const uint32_t values[] = {0, 1, SPELL_MAX - 1, SPELL_MAX};

    for (unsigned s = 0; s < 8; s++) {
        for (unsigned i = 0; i < 4 * 4 * 4; i++) {
            const uint32_t spell = values[i % 4], given = values[i / 4 % 4],
                           version = values[i / 16];
            const uint64_t word = wm_gen_word(s, spell, given, version);

            assert_int_equal(wm_gen_state(word), s);
            assert_int_equal(wm_gen_spell(word), spell);
            assert_int_equal(wm_gen_given(word), given);
            assert_int_equal(wm_gen_version(word), version);
        }
    }
    assert_true(wm_gen_word(7, SPELL_MAX, SPELL_MAX,
                            ((1u << WM_VERSION_BITS) - 1)) == UINT64_MAX);
}

TEST(a_claimed_generation_names_its_claimant)
{
    const uint32_t pid = (UINT32_C(1) << 22) - 1;
    const uint64_t word = wm_gen_claimed(WM_GENERATION_CLAIMED, pid,
                                         ((1u << WM_VERSION_BITS) - 1) + 3);

    assert_int_equal(wm_gen_state(word), WM_GENERATION_CLAIMED);
    assert_int_equal(wm_gen_claimant(word), pid);
    assert_int_equal(wm_gen_version(word), 2);
}

TEST(an_age_is_right_over_the_wrap_of_the_beat)
{
    const uint64_t end = UINT64_C(1) << 39;

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
    /* A spell one past the last is 0: nothing of it reaches the state. */
    assert_true(wm_gen_word(over, last + 1, 0, 0) ==
                wm_gen_word(over, 0, 0, 0));
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
