/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The library asks for the time between two of its steps; here a test answers,
 * and does meanwhile what another thread, a signal or a pause might do. */

#include "scene.h"

#include "log.h"
#include "node.h"
#include "process.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void (*meanwhile)(void); /* once, before the next answer */
static uint64_t asleep_ms;      /* that the machine pretends to have been */
static uint64_t pause_ms;       /* that pass with each answer */
static uint64_t passed_ms;
static time_t shift;          /* of all clocks, s */
static const char *proc_stat; /* what /proc says of anybody */

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
    ts->tv_sec += (time_t)(ms / 1000) + shift;
    return result;
}

/* The only files that are opened meanwhile are those in /proc. */
int open(const char *path, int flags, ...)
{
    va_list rest;
    int fd;

    if (proc_stat != NULL) {
        fd = memfd_create("stat", MFD_CLOEXEC);
        assert_int_equal(pwrite(fd, proc_stat, strlen(proc_stat), 0),
                         strlen(proc_stat));
        return fd;
    }
    va_start(rest, flags);
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags,
                      flags & O_CREAT ? va_arg(rest, mode_t) : 0);
    va_end(rest);
    return fd;
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

    beating = scene_own_worker(s, scene_begin(s));
    word = atomic_load(&r->word);
    atomic_store(&r->word, wm_word_with_state(word, WM_STALLED));
    meanwhile = beat_meanwhile; /* it has seen STALLED by then */
    assert_int_equal(wm_beat_at(beating, wm_word_beat(word) + 1), 0);
    assert_int_equal(other_beat, WM_RECOVERED);
    assert_int_equal(wm_word_state(atomic_load(&r->word)), WM_LIVE);
    assert_int_equal((uint32_t)atomic_load(&s->node->segment.records[0].stalls),
                     1);
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

    beating = scene_own_worker(s, scene_begin(s));
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

static struct actor *holder, *successor;

static long act_lock_as_successor(struct actor *self, long purpose)
{
    return wm_lock_try(self->scene->node, (uint32_t)purpose, 0);
}

static void pass_the_lock_on(void)
{
    assert_int_equal(actor_do(holder, act_unlock, 0), 0);
    assert_int_equal(actor_do(successor, act_lock_as_successor, 7), 0);
}

static void a_lock_that_passes_on_meanwhile_is_one_holders(void **state)
{
    struct scene *s = *state;
    struct wm_lock_holder seen;

    holder = scene_actor(s);
    successor = scene_actor(s);
    assert_int_equal(actor_do(holder, act_lock, 0), 0);
    meanwhile = pass_the_lock_on; /* it has seen the pid by then */
    wm_lock_inspect(s->node, &seen);
    assert_null(meanwhile);
    assert_int_equal(seen.pid, successor->pid);
    assert_int_equal(seen.purpose, 7);
    assert_int_equal(seen.sequence, 2);
}

/* ------------------------------------------------------- edges of the clock */

/* Sets all clocks, in ms since boot. */
static void set_clocks(uint64_t ms)
{
    shift = 0;
    shift = (time_t)(ms / 1000) - (time_t)(wm_now() / 1000);
}

static int reset_clocks(void **state)
{
    shift = 0;
    proc_stat = NULL;
    return scene_teardown(state);
}

#define LIMIT (UINT64_C(1) << WM_BEAT_BITS) /* of a beat: 17 years */

static void a_life_is_led_just_after_boot_and_after_17_years(void **state)
{
    static const uint64_t times[] = {0, LIMIT - 1000, LIMIT, LIMIT + 1000};
    struct scene *s = *state;

    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
        struct wm_counts counts;
        struct wm_worker *worker;

        set_clocks(times[i]);
        s->node->joined = false;
        worker = scene_own_worker(s, scene_begin(s));
        assert_int_equal(wm_tick(worker, 1), 0);
        assert_int_equal(wm_sweep(s->node, worker), 0);
        assert_int_equal(wm_lock_acquire(s->node, NULL), 0);
        assert_int_equal(wm_worker_exit_counts(worker, &counts), 0);
        assert_int_equal(counts.mine, 1);
        assert_int_equal(wm_lock_release(s->node), 0);
        assert_int_equal(wm_worker_leave(worker), 0);
    }
}

static void a_beat_over_the_limit_is_no_stall(void **state)
{
    struct scene *s = *state;
    struct wm_record *r = &s->node->segment.records[0];

    set_clocks(LIMIT - 2000);
    beating = scene_own_worker(s, scene_begin(s));
    atomic_store(&r->overdue_ms, 60000);
    set_clocks(LIMIT + 2000);
    assert_int_equal(wm_sweep(s->node, NULL), 0);
    assert_int_equal(wm_beat(beating), 0);
    assert_true(wm_word_beat(atomic_load(&r->word)) < 60000);
    assert_int_equal(wm_sweep(s->node, NULL), 0);
    assert_int_equal(wm_worker_leave(beating), 0);
}

static void after_17_years_a_living_claimant_is_not_called_dead(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);
    const uint64_t ident = wm_ident((uint32_t)a->pid, 0);
    char text[200];
    uint64_t now;

    set_clocks(LIMIT + 60000);
    now = wm_now();
    snprintf(text, sizeof(text),
             "1 (x) S 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 %llu 0",
             (unsigned long long)((now - 10000) *
                                  (uint64_t)sysconf(_SC_CLK_TCK) / 1000));
    proc_stat = text;
    assert_false(wm_process_dead(ident, wm_word_beat(now), WM_PROOF_FULL));
    /* One that claimed before this process began is another. */
    assert_true(
        wm_process_dead(ident, wm_word_beat(now - 20000), WM_PROOF_FULL));
}

static void after_17_years_a_signature_still_keeps_the_lock(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);
    int result = 0;

    set_clocks(LIMIT + 60000);
    for (int i = 0; i < 1000 && result != -EBUSY; i++) {
        s->node->segment.header->lock.next =
            wm_word(0, (uint32_t)a->pid, wm_now());
        result = wm_lock_try(s->node, 0, 0);
        wm_lock_release(s->node);
    }
    assert_int_equal(result, -EBUSY);
}

/* Reads the log with the patience of an hour, when the clock shows so much
 * more than it should. */
static int read_after(struct scene *s, time_t seconds, uint32_t *count)
{
    struct wm_log_entry list[8];
    uint64_t since = 0;
    int result;

    shift = seconds;
    result = wm_log_read_within(s->node, &since, list, 8, count, NULL, 3600000);
    shift = 0;
    return result;
}

static void a_writer_that_died_holds_readers_up_for_a_while(void **state)
{
    struct scene *s = *state;
    struct wm_log_entry list[8];
    uint64_t since = 0, missed;
    uint32_t count;

    scene_begin(s);
    atomic_fetch_add(&s->node->segment.header->log_next, 2); /* two died */
    scene_begin(s);
    assert_int_equal(read_after(s, 1800, &count), WM_UNSETTLED);
    assert_int_equal(count, 1);
    assert_int_equal(read_after(s, 3601, &count), 0);
    assert_int_equal(count, 2);

    shift = 1; /* of which it takes no more */
    assert_int_equal(wm_log_read(s->node, &since, list, 8, &count, &missed), 0);
    assert_int_equal(count, 2);
    assert_int_equal(missed, 2);
}

/* Else nothing would be told until the clock came to where it was. */
static void a_clock_that_was_set_back_holds_no_reader_up(void **state)
{
    struct scene *s = *state;
    uint32_t count;

    scene_begin(s);
    atomic_fetch_add(&s->node->segment.header->log_next, 1);
    scene_begin(s);
    assert_int_equal(read_after(s, -1800, &count), WM_UNSETTLED);
    assert_int_equal(read_after(s, -7200, &count), 0);
    assert_int_equal(count, 2);
}

#define EDGE_TEST(name)                                                        \
    cmocka_unit_test_setup_teardown(name, scene_setup, reset_clocks)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(the_second_of_two_beats_out_of_a_stall_is_no_failure),
        SCENE_TEST(a_beat_whose_record_is_anothers_by_then_is_told),
        SCENE_TEST(a_pause_of_the_judge_kills_no_living_claimant),
        SCENE_TEST(a_lock_that_passes_on_meanwhile_is_one_holders),
        EDGE_TEST(a_life_is_led_just_after_boot_and_after_17_years),
        EDGE_TEST(a_beat_over_the_limit_is_no_stall),
        EDGE_TEST(after_17_years_a_living_claimant_is_not_called_dead),
        EDGE_TEST(after_17_years_a_signature_still_keeps_the_lock),
        EDGE_TEST(a_writer_that_died_holds_readers_up_for_a_while),
        EDGE_TEST(a_clock_that_was_set_back_holds_no_reader_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
