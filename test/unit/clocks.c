/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The library asks for the time between two of its steps; here a test answers,
 * and does meanwhile what another thread, a signal or a pause might do. */

#include "scene.h"

#include "node.h"
#include "process.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void (*meanwhile)(void); /* once, before the next answer */
static uint64_t asleep_ms;      /* that the machine pretends to have been */
static uint64_t pause_ms;       /* that pass with each answer */
static uint64_t passed_ms;

int clock_gettime(clockid_t id, struct timespec *ts)
{
    void (*act)(void) = meanwhile;
    int result;
    uint64_t ms = passed_ms + (id == CLOCK_BOOTTIME ? asleep_ms : 0);

    meanwhile = NULL;
    if (act != NULL) {
        act();
    }
    passed_ms += pause_ms;
    result = (int)syscall(SYS_clock_gettime, id, ts);
    ts->tv_sec += (time_t)(ms / 1000);
    return result;
}

static struct wm_worker *own(struct scene *s)
{
    const struct wm_join_options options = {.size = sizeof(options),
                                            .overdue_ms = SCENE_NEVER};
    struct wm_worker *worker;
    struct wm_counts counts;

    assert_int_equal(wm_worker_join(s->node, scene_begin(s), &options, &worker),
                     0);
    assert_int_equal(wm_worker_start(worker, &counts), 0);
    return worker;
}

static struct wm_worker *beating;
static int other_beat;

static void beat_meanwhile(void)
{
    other_beat = wm_beat(beating);
}

static void the_second_of_two_beats_out_of_a_stall_is_no_failure(void **state)
{
    struct scene *s = *state;
    struct wm_record *r = &s->node->segment.records[0];
    uint64_t word;

    beating = own(s);
    word = atomic_load(&r->word);
    atomic_store(&r->word, wm_word_with_state(word, WM_STALLED));
    meanwhile = beat_meanwhile; /* it has seen STALLED by then */
    assert_int_equal(wm_beat_at(beating, wm_word_beat(word) + 1), 0);
    assert_int_equal(other_beat, WM_RECOVERED);
    assert_int_equal(wm_word_state(atomic_load(&r->word)), WM_LIVE);
    assert_int_equal(atomic_load(&s->node->segment.records[0].stalls), 1);
    assert_int_equal(wm_worker_leave(beating), 0);
}

static void lose_the_record(void)
{
    atomic_store(&wm_worker_record(beating)->word, wm_word(WM_LIVE, 1, 9));
}

static void a_beat_whose_record_is_anothers_by_then_is_told(void **state)
{
    struct scene *s = *state;
    struct wm_record *r = &s->node->segment.records[0];
    uint64_t word;

    beating = own(s);
    word = atomic_load(&r->word);
    atomic_store(&r->word, wm_word_with_state(word, WM_STALLED));
    meanwhile = lose_the_record;
    assert_int_equal(wm_beat_at(beating, wm_word_beat(word) + 1), -ESTALE);
    assert_true(atomic_load(&r->word) == wm_word(WM_LIVE, 1, 9));
    atomic_store(&r->word, 0);
}

/* Judged by the clock alone: a claimant whose start time is not known. The
 * machine was once asleep, and the judge is stopped between two looks at the
 * clock. */
static void a_pause_of_the_judge_kills_no_living_claimant(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);
    const uint32_t pid = (uint32_t)a->pid;
    const uint64_t start_ms = wm_ident_start(wm_process_ident(pid)) * 1000 /
                              (uint64_t)sysconf(_SC_CLK_TCK);

    asleep_ms = 2000;
    assert_true(start_ms > asleep_ms + 1000);
    assert_false(wm_process_dead(wm_ident(pid, 0), start_ms - asleep_ms + 5,
                                 WM_PROOF_FULL));
    /* One that claimed long before this process began is another. */
    assert_true(wm_process_dead(wm_ident(pid, 0), start_ms - asleep_ms - 500,
                                WM_PROOF_FULL));
    pause_ms = 1000;
    assert_false(wm_process_dead(wm_ident(pid, 0), start_ms - asleep_ms + 5,
                                 WM_PROOF_FULL));
    asleep_ms = pause_ms = passed_ms = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(the_second_of_two_beats_out_of_a_stall_is_no_failure),
        SCENE_TEST(a_beat_whose_record_is_anothers_by_then_is_told),
        SCENE_TEST(a_pause_of_the_judge_kills_no_living_claimant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
