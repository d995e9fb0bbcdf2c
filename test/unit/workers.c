/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* One worker's record: joined, beating, judged, drained, left, taken over. */

#include "place.h"
#include "scene.h"

#include "layout.h"
#include "node.h"
#include "process.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

static struct wm_record *record(struct scene *s, uint32_t slot)
{
    return &s->node->segment.records[slot];
}

static uint64_t word(struct scene *s, uint32_t slot)
{
    return atomic_load(&record(s, slot)->word);
}

static long act_slot(struct actor *self, long unused)
{
    (void)unused;
    return wm_worker_slot(wm_node_worker(self->scene->node));
}

static void it_goes_through_its_states_in_order(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_actor(s);

    assert_int_equal(actor_do(a, act_join, (long)g), 0);
    assert_int_equal(scene_state(s, a->pid), WM_JOINING);
    assert_int_equal(actor_do(a, act_join, (long)g), -EALREADY);
    assert_int_equal(actor_do(a, act_start, 0), 0);
    assert_int_equal(scene_state(s, a->pid), WM_LIVE);
    assert_int_equal(actor_do(a, act_beat, 0), 0);
    assert_int_equal(actor_do(a, act_exit, 0), 0);
    assert_int_equal(scene_state(s, a->pid), WM_LIVE);
    assert_int_equal(actor_do(a, act_drain, 0), 0);
    assert_int_equal(scene_state(s, a->pid), WM_DRAINING);
    assert_int_equal(actor_do(a, act_leave, 0), 0);
    assert_int_equal(scene_state(s, a->pid), WM_FREE);
    assert_int_equal(actor_do(a, act_join, (long)g), 0);
}

/* Uses the parent's worker in a child: 0 if it is refused everywhere. */
static long act_use_it_in_a_child(struct actor *self, long generation)
{
    struct wm_worker *parents = wm_node_worker(self->scene->node);
    struct wm_counts c;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        int bad = wm_node_worker(self->scene->node) != NULL;

        bad |= (wm_beat(parents) != -ESTALE) << 1;
        bad |= (wm_worker_start(parents, &c) != -ECHILD) << 2;
        bad |= (wm_worker_drain(parents) != -ECHILD) << 3;
        bad |= (wm_worker_leave(parents) != -ECHILD) << 4;
        bad |= (wm_lock_release(self->scene->node) != -EPERM) << 5;
        bad |= (act_join(self, generation) != 0) << 6;
        bad |= (act_leave(self, 0) != 0) << 7;
        _exit(bad);
    }
    return waitpid(pid, &status, 0) == pid ? status : -1;
}

static void who_has_drained_starts_no_more(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);

    assert_int_equal(actor_do(a, act_start, 0), 0); /* changes nothing */
    assert_int_equal(actor_do(a, act_drain, 0), 0);
    assert_int_equal(actor_do(a, act_retire, (long)g), WM_CLOSED);
    assert_int_equal(actor_do(a, act_drain, 0), 0);
    assert_int_equal(actor_do(a, act_start, 0), -ESTALE);
    assert_int_equal(scene_state(s, a->pid), WM_DRAINING);
}

/* It would be told of the one that is left, and that one as well. */
static void who_has_drained_is_not_told_that_it_is_the_last(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_worker(s, g);

    assert_int_equal(actor_do(a, act_drain, 0), 0);
    assert_int_equal(actor_do(a, act_exit, 0), -ESTALE);
    assert_int_equal(actor_do(b, act_exit, 0), 0);
    assert_int_equal(b->board->counts.mine, 1);
}

static void a_forked_child_has_none_and_may_join_itself(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);

    assert_int_equal(actor_do(a, act_use_it_in_a_child, (long)g), 0);
    assert_int_equal(actor_do(a, act_beat, 0), 0);
    assert_int_equal(scene_state(s, a->pid), WM_LIVE);
}

static void a_beat_never_moves_back(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s), later = wm_now() + 5000;
    struct wm_join_options options = {.size = sizeof(options)};
    struct wm_counts c;
    struct wm_worker *w;

    assert_int_equal(wm_worker_join(s->node, g, &options, &w), 0);
    assert_int_equal(wm_worker_start(w, &c), 0);
    assert_int_equal(wm_beat_at(w, later), 0);
    assert_int_equal(wm_word_beat(word(s, 0)), later);
    assert_int_equal(wm_beat_at(w, later - 1), 0);
    assert_int_equal(wm_word_beat(word(s, 0)), later);
    assert_int_equal(wm_beat_at(w, later + 1), 0);
    assert_int_equal(wm_word_beat(word(s, 0)), later + 1);
    wm_worker_drain(w);
    wm_generation_close(s->node, g);
    wm_generation_take_exit(s->node, g, NULL);
}

static bool is_stalled(void *argument)
{
    struct actor *a = argument;

    wm_sweep(a->scene->node, NULL);
    return scene_state(a->scene, a->pid) == WM_STALLED;
}

static void an_overdue_one_is_stalled_and_comes_back_by_its_beat(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_actor(s);

    actor_do(a, act_join_overdue_soon, (long)g);
    actor_do(a, act_start, 0);
    scene_await(is_stalled, a, "a stall");
    assert_int_equal(actor_do(a, act_beat, 0), WM_RECOVERED);
    assert_int_equal(wm_word_state(word(s, 0)), WM_LIVE);
}

static void who_is_joining_or_draining_is_not_judged_by_time(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_actor(s), *b = scene_actor(s);

    actor_do(a, act_join_overdue_soon, (long)g);
    actor_do(b, act_join_overdue_soon, (long)g);
    actor_do(b, act_start, 0);
    actor_do(b, act_drain, 0);
    /* As long ago as can be: their beats are set back. */
    atomic_store(&record(s, 0)->word, wm_word(WM_JOINING, (uint32_t)a->pid, 0));
    atomic_store(&record(s, 1)->word,
                 wm_word(WM_DRAINING, (uint32_t)b->pid, 0));
    assert_int_equal(wm_sweep(s->node, NULL), 0);
}

static void the_holder_of_the_lock_is_not_judged_by_time(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_actor(s);

    actor_do(a, act_join_overdue_soon, (long)g);
    actor_do(a, act_start, 0);
    assert_int_equal(actor_do(a, act_lock, 0), 0);
    atomic_store(&record(s, 0)->word, wm_word(WM_LIVE, (uint32_t)a->pid, 1));
    assert_int_equal(wm_sweep(s->node, NULL), 0);
    /* And has beaten before it is released. */
    assert_int_equal(actor_do(a, act_unlock, 0), 0);
    assert_true(wm_word_beat(word(s, 0)) > 1);
}

static long act_sweep_when_late(struct actor *self, long unused)
{
    struct wm_worker *w = wm_node_worker(self->scene->node);
    struct wm_record *r = wm_worker_record(w);

    (void)unused;
    atomic_store(&r->word, wm_word(WM_LIVE, w->pid, 1));
    return wm_sweep(self->scene->node, w);
}

static void a_sweeper_that_is_late_itself_marks_nobody(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_actor(s);

    actor_do(b, act_join_overdue_soon, (long)g);
    actor_do(b, act_start, 0);
    atomic_store(&record(s, 1)->word, wm_word(WM_LIVE, (uint32_t)b->pid, 1));
    /* The sweeper's deadline is an hour after its beat: move that, too. */
    atomic_store(&record(s, 0)->overdue_ms, 1);
    assert_int_equal(actor_do(a, act_sweep_when_late, 0), 0);
    assert_int_equal(scene_state(s, b->pid), WM_LIVE);
    atomic_store(&record(s, 0)->overdue_ms, SCENE_NEVER);
    actor_do(a, act_beat, 0);
    assert_int_equal(actor_do(a, act_sweep, 0), 1);
    assert_int_equal(scene_state(s, b->pid), WM_STALLED);
}

/* What runs first after the machine stood still may be a beat, which hides
 * how late it comes from the sweep after it. */
static void a_late_beat_makes_the_next_sweep_patient(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_actor(s);

    actor_do(b, act_join_overdue_soon, (long)g);
    actor_do(b, act_start, 0);
    atomic_store(&record(s, 1)->word, wm_word(WM_LIVE, (uint32_t)b->pid, 1));
    atomic_store(&record(s, 0)->word, wm_word(WM_LIVE, (uint32_t)a->pid, 1));
    atomic_store(&record(s, 0)->overdue_ms, 1);
    assert_int_equal(actor_do(a, act_beat, 0), 0);
    atomic_store(&record(s, 0)->overdue_ms, SCENE_NEVER);
    assert_int_equal(actor_do(a, act_sweep, 0), 0);
    assert_int_equal(scene_state(s, b->pid), WM_LIVE);
    assert_int_equal(actor_do(a, act_sweep, 0), 1); /* one round only */
    assert_int_equal(scene_state(s, b->pid), WM_STALLED);
}

static void a_sweepers_mark_fails_if_the_worker_beat_meanwhile(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);
    uint64_t seen = wm_word(WM_LIVE, (uint32_t)a->pid, 1);

    atomic_store(&record(s, 0)->word, seen);
    assert_int_equal(actor_do(a, act_beat, 0), 0);
    /* What a sweeper does that has judged `seen`. */
    assert_false(atomic_compare_exchange_strong(
        &record(s, 0)->word, &seen, wm_word_with_state(seen, WM_STALLED)));
}

static void the_killed_and_the_zombie_are_found(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_worker(s, g);
    pid_t pid = a->pid;

    actor_kill(a);
    actor_zombify(b);
    assert_int_equal(wm_sweep(s->node, NULL), 2);
    assert_int_equal(scene_state(s, pid), WM_CRASHED);
    assert_int_equal(scene_state(s, b->pid), WM_CRASHED);
    assert_int_equal(wm_sweep(s->node, NULL), 0);
}

static void a_paused_process_is_not_dead(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);

    actor_pause(a);
    assert_int_equal(wm_sweep(s->node, NULL), 0);
    actor_resume(a);
    assert_int_equal(actor_do(a, act_beat, 0), 0);
}

static void a_pid_that_is_another_process_now_is_dead(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);
    _Atomic uint64_t *ident = &s->node->segment.colds[0].ident;
    uint64_t true_ident = atomic_load(ident);

    /* A quick look, if there is one, cannot see it while the worker seems to
     * beat; when it is overdue, the start time decides. */
    atomic_store(ident,
                 wm_ident((uint32_t)a->pid, wm_ident_start(true_ident) - 1));
    if (place_has_pidfd()) {
        assert_int_equal(wm_sweep(s->node, NULL), 0);
    }
    atomic_store(&record(s, 0)->word, wm_word(WM_LIVE, (uint32_t)a->pid, 1));
    atomic_store(&record(s, 0)->overdue_ms, 1);
    assert_int_equal(wm_sweep(s->node, NULL), 1);
    assert_int_equal(wm_word_state(word(s, 0)), WM_CRASHED);
}

/* Where pids are few, one worker's is soon another's. */
static long act_inherit_a_pid(struct actor *self, long generation)
{
    struct scene *s = self->scene;

    atomic_store(&record(s, 0)->word, wm_word(WM_LIVE, (uint32_t)getpid(), 5));
    atomic_store(&s->node->segment.colds[0].ident,
                 wm_ident((uint32_t)getpid(), 7));
    act_join(self, generation);
    act_start(self, 0);
    return act_exit(self, 0);
}

static void a_worker_with_the_pid_of_a_dead_one_finds_it_dead(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);

    actor_kill(a);
    a = scene_actor(s);
    assert_int_equal(actor_do(a, act_inherit_a_pid, (long)g), 0);
    assert_int_equal(a->board->counts.mine, 1);
    assert_int_equal(wm_events_owed(s->node, 1u << WM_EVENT_CRASHED), 1);
}

static void a_former_occupants_start_time_proves_nothing(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_actor(s);

    /* Published, but with the line of the one before: another pid's ident. */
    assert_int_equal(actor_do(a, act_join, (long)g), 0);
    atomic_store(&s->node->segment.colds[0].ident,
                 wm_ident((uint32_t)a->pid + 1, 1));
    wm_sweep(s->node, NULL);
    assert_int_equal(wm_word_state(word(s, 0)), WM_JOINING);
}

static void a_dead_claim_is_freed_and_owes_nothing(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);
    uint32_t pid = (uint32_t)a->pid;

    scene_begin(s);
    atomic_store(&s->node->segment.header->high, 1);
    atomic_store(&record(s, 0)->word, wm_word(WM_CLAIMED, pid, wm_now()));
    assert_int_equal(wm_sweep(s->node, NULL), 0);
    actor_kill(a);
    assert_int_equal(wm_sweep(s->node, NULL), 1);
    assert_int_equal(word(s, 0), 0);
    assert_int_equal(wm_events_owed(s->node, ~0u), 0);
}

/* A former occupant had the claimant's pid. */
static void a_claim_is_not_judged_by_a_former_start_time(void **state)
{
    struct scene *s = *state;
    uint32_t pid = (uint32_t)scene_actor(s)->pid;

    scene_begin(s);
    atomic_store(&s->node->segment.header->high, 1);
    atomic_store(&s->node->segment.colds[0].ident, wm_ident(pid, 1));
    atomic_store(&record(s, 0)->word, wm_word(WM_CLAIMED, pid, wm_now()));
    assert_int_equal(wm_sweep(s->node, NULL), 0);
    assert_int_equal(wm_word_state(word(s, 0)), WM_CLAIMED);
}

static void a_claim_whose_pid_began_later_is_dead(void **state)
{
    struct scene *s = *state;
    struct actor *a = scene_actor(s);

    scene_begin(s);
    atomic_store(&s->node->segment.header->high, 1);
    /* Claimed at 1 ms after boot by a process that began long after it. */
    atomic_store(&record(s, 0)->word, wm_word(WM_CLAIMED, (uint32_t)a->pid, 1));
    assert_int_equal(wm_sweep(s->node, NULL), 1);
    assert_int_equal(word(s, 0), 0);
}

static void who_dies_draining_is_no_crash(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);

    actor_do(a, act_drain, 0);
    actor_kill(a);
    assert_int_equal(wm_sweep(s->node, NULL), 1);
    assert_int_equal(word(s, 0), 0);
    assert_int_equal(wm_events_owed(s->node, 1u << WM_EVENT_CRASHED), 0);
}

static void a_full_table_of_the_living_refuses(void **state)
{
    struct scene *s = *state;
    struct actor *a, *b;
    uint64_t g;

    a = scene_only_worker(s, &g);
    b = scene_actor(s);
    assert_int_equal(actor_do(b, act_join, (long)g), -ENOBUFS);
    assert_int_equal(actor_do(a, act_beat, 0), 0);
    actor_do(a, act_drain, 0);
    actor_do(a, act_leave, 0);
    assert_int_equal(actor_do(b, act_join, (long)g), 0);
}

static void the_oldest_that_drains_makes_room(void **state)
{
    struct scene *s = *state;
    struct actor *a, *b, *c;
    uint64_t g;

    scene_recast(s, 2);
    g = scene_begin(s);
    c = scene_worker(s, g);
    b = scene_worker(s, g);
    actor_do(c, act_leave, 0);
    a = scene_worker(s, g); /* in the first slot, but joined last */
    actor_do(a, act_drain, 0);
    actor_do(b, act_drain, 0);
    c = scene_worker(s, g);
    assert_int_equal(actor_do(c, act_slot, 0), 1);
    assert_int_equal(scene_state(s, a->pid), WM_DRAINING);
    /* It does nothing to its successor. */
    assert_int_equal(actor_do(b, act_beat, 0), -ESTALE);
    assert_int_equal(actor_do(b, act_leave, 0), -ESTALE);
    assert_int_equal(scene_state(s, c->pid), WM_LIVE);
    assert_int_equal(atomic_load(&s->node->segment.header->dropped), 1);
}

/* All choose the same one; whoever loses it takes the next. */
static void many_that_join_at_once_find_room_for_each(void **state)
{
    struct scene *s = *state;

    for (int round = 0; round < 20; round++) {
        struct actor *old[8], *young[8];
        uint64_t g;

        s->actors = 0;
        scene_recast(s, 8);
        g = scene_begin(s);
        for (int i = 0; i < 8; i++) {
            old[i] = scene_worker(s, g);
            actor_do(old[i], act_drain, 0);
        }
        for (int i = 0; i < 8; i++) {
            young[i] = scene_actor(s);
        }
        for (int i = 0; i < 8; i++) {
            actor_tell(young[i], act_join, (long)g);
        }
        for (int i = 0; i < 8; i++) {
            assert_int_equal(actor_hear(young[i]), 0);
        }
        for (int i = 0; i < 8; i++) {
            actor_kill(old[i]);
            actor_kill(young[i]);
        }
    }
}

static void a_crash_makes_room_only_when_it_was_told(void **state)
{
    struct scene *s = *state;
    struct actor *a, *b;
    uint64_t g;

    a = scene_only_worker(s, &g);
    actor_kill(a);
    b = scene_actor(s);
    assert_int_equal(actor_do(b, act_join, (long)g), -ENOBUFS);
    assert_int_equal(wm_word_state(word(s, 0)), WM_CRASHED);
    assert_int_equal(scene_take(s, 1u << WM_EVENT_CRASHED, NULL),
                     WM_EVENT_CRASHED);
    assert_int_equal(actor_do(b, act_join, (long)g), 0);
}

static void slots_are_unique_among_the_living(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s), used = 0;
    struct actor *a[8];

    for (int i = 0; i < 8; i++) {
        a[i] = scene_actor(s);
    }
    for (int i = 0; i < 8; i++) {
        actor_tell(a[i], act_join, (long)g);
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(actor_hear(a[i]), 0);
        used |= UINT64_C(1) << actor_do(a[i], act_slot, 0);
    }
    assert_int_equal(used, 0xff);
}

static void the_smallest_and_the_largest_table_work(void **state)
{
    struct scene *s = *state;
    static const uint32_t capacity[] = {1, 65535};

    for (int i = 0; i < 2; i++) {
        struct actor *a;
        uint64_t g;
        int exits;

        scene_recast(s, capacity[i]);
        g = scene_begin(s);
        a = scene_worker(s, g);
        assert_int_equal(actor_shut_down(a, g, &exits), 1);
        assert_int_equal(exits, 1);
        actor_do(a, act_leave, 0);
        actor_quit(a);
    }
}

/* Sweeps until told otherwise by the number on the board. */
static long act_sweep_many(struct actor *self, long rounds)
{
    long changed = 0;

    for (long i = 0; i < rounds; i++) {
        changed += wm_sweep(self->scene->node, NULL);
    }
    return changed;
}

static void of_many_sweepers_one_marks_a_death(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a[4];

    for (int i = 0; i < 4; i++) {
        a[i] = scene_actor(s);
    }
    for (int round = 0; round < 20; round++) {
        struct actor *victim;
        long changed = 0;
        struct wm_event e;

        s->actors = 4;
        victim = scene_worker(s, g);
        actor_kill(victim);
        for (int i = 0; i < 4; i++) {
            actor_tell(a[i], act_sweep_many, 5);
        }
        for (int i = 0; i < 4; i++) {
            changed += actor_hear(a[i]);
        }
        assert_int_equal(changed, 1);
        assert_int_equal(scene_generation(s, g).deaths, round + 1);
        assert_int_equal(scene_take(s, 1u << WM_EVENT_CRASHED, &e),
                         WM_EVENT_CRASHED);
        assert_int_equal(scene_take(s, 1u << WM_EVENT_CRASHED, NULL), 0);
        atomic_store(&record(s, e.slot)->word, 0);
    }
}

static void a_reader_may_change_nothing(void **state)
{
    struct scene *s = *state;
    const struct wm_join_options options = {.size = sizeof(options)};
    struct wm_node *reader;
    struct wm_worker *w;
    struct wm_event e;
    uint64_t g = scene_begin(s), id;

    assert_int_equal(wm_node_open(s->instance, NULL, &reader), 0);
    assert_int_equal(wm_worker_join(reader, g, &options, &w), -EROFS);
    assert_int_equal(wm_generation_begin(reader, &id, NULL), -EROFS);
    assert_int_equal(wm_generation_close(reader, g), -EROFS);
    assert_int_equal(wm_lock_acquire(reader, NULL), -EROFS);
    assert_int_equal(wm_lock_try(reader, 0, 1), -EROFS);
    assert_int_equal(wm_sweep(reader, NULL), 0);
    assert_int_equal(wm_event_take(reader, ~0u, &e), 0);
    assert_int_equal(wm_generation_take_exit(reader, g, NULL), 0);
    assert_int_equal(wm_node_release(reader), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(it_goes_through_its_states_in_order),
        SCENE_TEST(who_has_drained_starts_no_more),
        SCENE_TEST(who_has_drained_is_not_told_that_it_is_the_last),
        SCENE_TEST(a_forked_child_has_none_and_may_join_itself),
        SCENE_TEST(a_beat_never_moves_back),
        SCENE_TEST(an_overdue_one_is_stalled_and_comes_back_by_its_beat),
        SCENE_TEST(who_is_joining_or_draining_is_not_judged_by_time),
        SCENE_TEST(the_holder_of_the_lock_is_not_judged_by_time),
        SCENE_TEST(a_sweeper_that_is_late_itself_marks_nobody),
        SCENE_TEST(a_late_beat_makes_the_next_sweep_patient),
        SCENE_TEST(a_sweepers_mark_fails_if_the_worker_beat_meanwhile),
        SCENE_TEST(the_killed_and_the_zombie_are_found),
        SCENE_TEST(a_paused_process_is_not_dead),
        SCENE_TEST(a_pid_that_is_another_process_now_is_dead),
        SCENE_TEST(a_worker_with_the_pid_of_a_dead_one_finds_it_dead),
        SCENE_TEST(a_former_occupants_start_time_proves_nothing),
        SCENE_TEST(a_dead_claim_is_freed_and_owes_nothing),
        SCENE_TEST(a_claim_is_not_judged_by_a_former_start_time),
        SCENE_TEST(a_claim_whose_pid_began_later_is_dead),
        SCENE_TEST(who_dies_draining_is_no_crash),
        SCENE_TEST(a_full_table_of_the_living_refuses),
        SCENE_TEST(the_oldest_that_drains_makes_room),
        SCENE_TEST(many_that_join_at_once_find_room_for_each),
        SCENE_TEST(a_crash_makes_room_only_when_it_was_told),
        SCENE_TEST(slots_are_unique_among_the_living),
        SCENE_TEST(the_smallest_and_the_largest_table_work),
        SCENE_TEST(of_many_sweepers_one_marks_a_death),
        SCENE_TEST(a_reader_may_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
