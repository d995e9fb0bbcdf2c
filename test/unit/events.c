/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Events are owed, then given: once, by whoever comes, whatever dies. */

#include "scene.h"

#include "layout.h"
#include "log.h"
#include "node.h"

#include <errno.h>

#define CRASHED (1u << WM_EVENT_CRASHED)
#define STALLED (1u << WM_EVENT_STALLED)
#define MASTER_EXIT (1u << WM_EVENT_MASTER_EXIT)

static struct wm_record *record(struct scene *s, uint32_t slot)
{
    return &s->node->segment.records[slot];
}

static void a_crash_is_owed_once_and_says_whose(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);
    pid_t pid = a->pid;
    struct wm_event e;

    actor_kill(a);
    assert_int_equal(wm_events_owed(s->node, ~0u), 0);
    wm_sweep(s->node, NULL);
    assert_int_equal(wm_events_owed(s->node, ~0u), 1);
    assert_int_equal(wm_events_owed(s->node, MASTER_EXIT | STALLED), 0);
    assert_int_equal(scene_take(s, MASTER_EXIT | STALLED, NULL), 0);
    assert_int_equal(scene_take(s, CRASHED, &e), WM_EVENT_CRASHED);
    assert_int_equal(e.pid, pid);
    assert_int_equal(e.generation, g);
    assert_int_equal(e.slot, 0);
    assert_int_equal(e.join, 1);
    assert_int_equal(e.spell, 1);
    assert_int_equal(scene_take(s, ~0u, NULL), 0);
}

static void a_crash_is_kept_until_it_was_told_and_has_expired(void **state)
{
    struct scene *s = *state;
    struct wm_log_entry entry;
    uint64_t since, g = scene_begin(s);
    uint32_t count;
    struct actor *a = scene_worker(s, g);

    actor_kill(a);
    wm_sweep(s->node, NULL);
    atomic_store(&record(s, 0)->word,
                 wm_word_with_state(wm_word(0, 77, 1), WM_CRASHED));
    atomic_store(&record(s, 0)->overdue_ms, 1);
    assert_int_equal(wm_sweep(s->node, NULL), 0); /* expired, not told */
    assert_int_equal(scene_take(s, CRASHED, NULL), WM_EVENT_CRASHED);
    atomic_store(&record(s, 0)->overdue_ms, UINT32_MAX);
    assert_int_equal(wm_sweep(s->node, NULL), 0); /* told, not expired */
    atomic_store(&record(s, 0)->overdue_ms, 1);
    since = wm_epoch(s->node);
    assert_int_equal(wm_sweep(s->node, NULL), 1);
    assert_int_equal(atomic_load(&record(s, 0)->word), 0);
    /* Who looks on is woken. */
    wm_log_read(s->node, &since, &entry, 1, &count, NULL);
    assert_int_equal(count, 1);
    assert_int_equal(entry.kind, WM_LOG_WORKER_FORGOTTEN);
    assert_int_equal(entry.slot, 0);
    assert_int_equal(entry.value, 1);
}

/* A tick that sweeps. */
static void tick(struct scene *s, struct wm_worker *own, uint32_t interval_ms)
{
    atomic_store(&s->node->segment.header->next_sweep, 0);
    assert_int_equal(wm_tick(own, interval_ms), 0);
}

static void an_intervals_sweep_believes_the_beats_of_the_interval(void **state)
{
    enum {
        MINUTE = 60 * 1000
    };
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *fresh = scene_worker(s, g), *old = scene_worker(s, g),
                 *ahead = scene_worker(s, g), *late = scene_worker(s, g);
    struct wm_worker *own = scene_own_worker(s, g);

    actor_kill(fresh);
    actor_kill(old);
    actor_kill(ahead);
    atomic_fetch_sub(&record(s, 1)->word, MINUTE + 1);
    atomic_fetch_add(&record(s, 2)->word, UINT64_C(2) * MINUTE);
    /* This one lives. */
    atomic_store(&record(s, 3)->overdue_ms, 1);
    atomic_fetch_sub(&record(s, 3)->word, MINUTE + 1);

    tick(s, own, MINUTE);
    assert_int_equal(wm_word_state(record(s, 0)->word), WM_LIVE);
    assert_int_equal(wm_word_state(record(s, 1)->word), WM_CRASHED);
    assert_int_equal(wm_word_state(record(s, 2)->word), WM_CRASHED);
    assert_int_equal(scene_state(s, late->pid), WM_STALLED);
    /* In the second interval it has not beaten. */
    atomic_fetch_sub(&record(s, 0)->word, MINUTE);
    tick(s, own, MINUTE);
    assert_int_equal(wm_word_state(record(s, 0)->word), WM_CRASHED);
}

static void a_crash_in_each_state_before_it_drains_is_owed(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *joining = scene_actor(s), *live, *stalled;

    actor_do(joining, act_join, (long)g);
    live = scene_worker(s, g);
    stalled = scene_worker(s, g);
    scene_stall(s, stalled);
    actor_kill(joining);
    actor_kill(live);
    actor_kill(stalled);
    wm_sweep(s->node, NULL);
    assert_int_equal(wm_events_owed(s->node, CRASHED), 3);
    assert_int_equal(wm_events_owed(s->node, STALLED), 0);
}

static void a_stall_is_told_once_and_then_its_recovery_counts(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);
    struct wm_event e;

    scene_stall(s, a);
    assert_int_equal(scene_take(s, STALLED, &e), WM_EVENT_STALLED);
    assert_int_equal(e.pid, a->pid);
    assert_int_equal(scene_take(s, STALLED, NULL), 0);
    assert_int_equal(actor_do(a, act_beat, 0), WM_RECOVERED);
    assert_int_equal(scene_take(s, STALLED, NULL), 0);
    /* Twice before anybody tells it. */
    scene_stall(s, a);
    assert_int_equal(actor_do(a, act_beat, 0), WM_RECOVERED);
    scene_stall(s, a);
    assert_int_equal(wm_events_owed(s->node, STALLED), 1);
    assert_int_equal(scene_take(s, STALLED, NULL), WM_EVENT_STALLED);
    assert_int_equal(scene_take(s, STALLED, NULL), WM_EVENT_STALLED);
    assert_int_equal(scene_take(s, STALLED, NULL), 0);
    assert_int_equal(actor_do(a, act_beat, 0), WM_RECOVERED);
    assert_int_equal(scene_take(s, STALLED, NULL), 0);
}

static long act_recoveries(struct actor *self, long unused)
{
    (void)unused;
    return wm_worker_recoveries(wm_node_worker(self->scene->node));
}

static void who_drains_out_of_a_stall_has_recovered_from_it(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g);

    scene_stall(s, a);
    assert_int_equal(actor_do(a, act_drain, 0), 0);
    assert_int_equal(actor_do(a, act_recoveries, 0), 0); /* not told yet */
    assert_int_equal(scene_take(s, STALLED, NULL), WM_EVENT_STALLED);
    assert_int_equal(scene_take(s, STALLED, NULL), 0);
    assert_int_equal(actor_do(a, act_recoveries, 0), 1);
    assert_int_equal(actor_do(a, act_recoveries, 0), 0);
}

static void who_lost_its_record_has_nothing_to_recover_from(void **state)
{
    struct scene *s = *state;
    struct actor *a;
    uint64_t g;

    a = scene_only_worker(s, &g);
    scene_stall(s, a);
    assert_int_equal(scene_take(s, STALLED, NULL), WM_EVENT_STALLED);
    assert_int_equal(actor_do(a, act_beat, 0), WM_RECOVERED);
    assert_int_equal(actor_do(a, act_recoveries, 0), 1);
    actor_do(a, act_drain, 0);
    /* Another takes the only record, and has not written all of it. */
    atomic_store(&s->node->segment.records[0].word,
                 wm_word(WM_CLAIMED, (uint32_t)getpid(), wm_now()));
    atomic_store(&s->node->segment.records[0].stalls, wm_stalls(2, 0));
    assert_int_equal(actor_do(a, act_recoveries, 0), 0);
}

/* It cannot tell whether it was late, as all may have been. */
static void who_lost_its_record_calls_nobody_stalled(void **state)
{
    struct scene *s = *state;
    struct wm_worker *own;
    struct wm_record *r;
    struct actor *a;
    uint64_t g;

    scene_recast(s, 2);
    g = scene_begin(s);
    own = scene_own_worker(s, g);
    a = scene_worker(s, g);
    assert_int_equal(wm_worker_drain(own), 0);
    scene_worker(s, g); /* takes its record */
    r = &s->node->segment.records[1];
    atomic_store(&r->overdue_ms, 1000);
    atomic_store(&r->word, atomic_load(&r->word) - 5000);
    assert_int_equal(wm_sweep(s->node, own), 0);
    assert_int_equal(scene_state(s, a->pid), WM_LIVE);
    assert_int_equal(wm_sweep(s->node, NULL), 1);
    assert_int_equal(scene_state(s, a->pid), WM_STALLED);
}

static void a_crash_that_makes_room_is_logged_as_forgotten(void **state)
{
    struct scene *s = *state;
    struct wm_log_entry list[16];
    uint64_t since = 0, g;
    uint32_t count, epoch, told = 0;
    struct actor *a;
    pid_t pid;

    a = scene_only_worker(s, &g);
    pid = a->pid;
    actor_kill(a);
    wm_sweep(s->node, NULL);
    assert_int_equal(scene_take(s, CRASHED, NULL), WM_EVENT_CRASHED);
    epoch = wm_epoch(s->node);
    scene_worker(s, g);
    assert_true(wm_epoch(s->node) > epoch);
    wm_log_read(s->node, &since, list, 16, &count, NULL);
    for (uint32_t i = 0; i < count; i++) {
        told += list[i].kind == WM_LOG_WORKER_FORGOTTEN && list[i].pid == pid &&
                list[i].value == 1;
    }
    assert_int_equal(told, 1);
}

static void who_lost_its_record_finds_the_next_one_dead_in_it(void **state)
{
    struct scene *s = *state;
    struct actor *a;
    uint64_t g;

    a = scene_only_worker(s, &g);
    actor_do(a, act_drain, 0);
    actor_kill(scene_worker(s, g)); /* took the only record */
    assert_true(actor_do(a, act_sweep, 0) >= 1);
    assert_int_equal(scene_take(s, CRASHED, NULL), WM_EVENT_CRASHED);
}

static void a_helpers_crash_says_so_and_is_no_workers_death(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *helper = scene_actor(s), *a;
    struct wm_event e;

    assert_int_equal(actor_do(helper, act_join_helper, (long)g), 0);
    assert_int_equal(actor_do(helper, act_start, 0), 0);
    actor_kill(helper);
    a = scene_worker(s, g);
    assert_int_equal(a->board->counts.reason, WM_REASON_START);
    assert_int_equal(scene_take(s, CRASHED, &e), WM_EVENT_CRASHED);
    assert_int_equal(e.role, WM_ROLE_HELPER);
    assert_int_equal(scene_generation(s, g).deaths, 0);
    actor_kill(a);
    wm_sweep(s->node, NULL);
    assert_int_equal(scene_take(s, CRASHED, &e), WM_EVENT_CRASHED);
    assert_int_equal(e.role, WM_ROLE_WORKER);
}

static void a_helpers_start_makes_up_for_no_death(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *helper = scene_actor(s);

    scene_worker(s, g);
    actor_kill(scene_worker(s, g));
    wm_sweep(s->node, NULL);
    assert_int_equal(actor_do(helper, act_join_helper, (long)g), 0);
    assert_int_equal(actor_do(helper, act_start, 0), 0);
    assert_int_equal(helper->board->counts.reason, WM_REASON_START);
    assert_int_equal(scene_worker(s, g)->board->counts.reason,
                     WM_REASON_RESPAWN);
}

static void a_sweep_without_a_callback_lets_crashes_go(void **state)
{
    struct scene *s = *state;
    uint64_t g;

    scene_recast(s, 1);
    g = scene_begin(s);
    for (int i = 0; i < 5; i++) {
        actor_kill(scene_worker(s, g)); /* would not find room */
        assert_int_equal(wm_events_give(s->node, NULL, NULL, NULL), 1);
    }
}

static void a_mark_does_not_fall_on_a_later_occupant(void **state)
{
    struct scene *s = *state;
    struct actor *a, *b;
    uint64_t g;

    a = scene_only_worker(s, &g);
    actor_kill(a);
    wm_sweep(s->node, NULL);
    assert_int_equal(scene_take(s, CRASHED, NULL), WM_EVENT_CRASHED);
    b = scene_worker(s, g);
    actor_kill(b);
    wm_sweep(s->node, NULL);
    assert_int_equal(scene_take(s, CRASHED, NULL), WM_EVENT_CRASHED);
    assert_int_equal(scene_take(s, CRASHED, NULL), 0);
}

static long act_take_all(struct actor *self, long kinds)
{
    struct wm_event e;
    long n = 0;

    for (int i = 0; i < 50; i++) {
        n += wm_event_take(self->scene->node, (uint32_t)kinds, &e);
    }
    return n;
}

static void of_many_that_take_one_gets_each(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *taker[4], *victim[4];

    for (int i = 0; i < 4; i++) {
        taker[i] = scene_actor(s);
    }
    for (int round = 0; round < 30; round++) {
        long taken = 0;

        s->actors = 4;
        for (int i = 0; i < 4; i++) {
            victim[i] = scene_worker(s, g);
        }
        for (int i = 0; i < 4; i++) {
            actor_kill(victim[i]);
        }
        wm_sweep(s->node, NULL);
        for (int i = 0; i < 4; i++) {
            actor_tell(taker[i], act_take_all, CRASHED);
        }
        for (int i = 0; i < 4; i++) {
            taken += actor_hear(taker[i]);
        }
        assert_int_equal(taken, 4);
        for (uint32_t i = 0; i < 8; i++) {
            atomic_store(&record(s, i)->word, 0);
        }
    }
}

static void what_a_dead_giver_left_is_given_by_the_next(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *victim = scene_worker(s, g), *giver = scene_worker(s, g);

    actor_kill(victim);
    actor_do(giver, act_sweep, 0);
    assert_int_equal(actor_do(giver, act_lock, 0), 0);
    actor_kill(giver); /* it had found it and was about to tell */
    assert_int_equal(wm_lock_try(s->node, 0, 0), WM_RECOVERED);
    assert_int_equal(scene_take(s, CRASHED, NULL), WM_EVENT_CRASHED);
    wm_lock_release(s->node);
}

struct told {
    int count;
    struct wm_node *node;
    bool locked;
};

static void tell(const struct wm_event *event, void *argument)
{
    struct told *told = argument;
    struct wm_lock_holder holder;

    (void)event;
    wm_lock_inspect(told->node, &holder);
    told->locked = holder.own == 1;
    told->count++;
}

static void a_sweep_with_a_callback_gives_under_the_lock(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_actor(s);
    struct told told = {.node = s->node};

    actor_kill(a);
    assert_int_equal(actor_do(b, act_lock, 0), 0);
    assert_int_equal(wm_events_give(s->node, NULL, tell, &told), 0);
    assert_int_equal(told.count, 0); /* the lock is held: it stays owed */
    assert_int_equal(actor_do(b, act_unlock, 0), 0);
    assert_int_equal(wm_events_give(s->node, NULL, tell, &told), 1);
    assert_int_equal(told.count, 1);
    assert_true(told.locked);
    assert_int_equal(wm_events_give(s->node, NULL, tell, &told), 0);
}

static void
an_end_of_each_spell_is_given_once_and_the_oldest_first(void **state)
{
    struct scene *s = *state;
    uint64_t g = scene_begin(s);
    struct wm_event e;

    for (int i = 0; i < 2; i++) {
        struct actor *a = scene_worker(s, g);

        actor_do(a, act_drain, 0);
        actor_do(a, act_retire, (long)g);
        actor_kill(a);
    }
    assert_int_equal(wm_events_owed(s->node, MASTER_EXIT), 2);
    assert_int_equal(scene_take(s, MASTER_EXIT, &e), WM_EVENT_MASTER_EXIT);
    assert_int_equal(e.spell, 1);
    assert_int_equal(scene_take(s, MASTER_EXIT, &e), WM_EVENT_MASTER_EXIT);
    assert_int_equal(e.spell, 2);
    assert_int_equal(scene_take(s, MASTER_EXIT, &e), 0);
}

/* ------------------------------------------------------------------- log */

static uint32_t read_log(struct scene *s, struct wm_log_entry *list,
                         uint32_t room, uint64_t *since, uint64_t *missed)
{
    uint32_t count = 0;

    assert_int_equal(wm_log_read(s->node, since, list, room, &count, missed),
                     0);
    return count;
}

static void the_log_tells_a_life_in_order(void **state)
{
    static const uint32_t expected[] = {
        WM_LOG_GENERATION_BEGUN,
        WM_LOG_WORKER_JOINED,
        WM_LOG_GENERATION_ACTIVE,
        WM_LOG_WORKER_LIVE,
        WM_LOG_LEADER,
        WM_LOG_WORKER_STALLED,
        WM_LOG_WORKER_RECOVERED,
        WM_LOG_LEADER_LOST,
        WM_LOG_WORKER_DRAINING,
        WM_LOG_GENERATION_EXITED,
        WM_LOG_WORKER_LEFT,
        WM_LOG_GENERATION_BEGUN,
        WM_LOG_GENERATION_ABORTED,
        WM_LOG_LOCK_RECOVERED,
    };
    struct scene *s = *state;
    struct wm_log_entry list[32];
    uint64_t since = 0, missed, g = scene_begin(s);
    struct actor *a = scene_worker(s, g), *b = scene_actor(s);
    uint32_t n = sizeof(expected) / sizeof(*expected);

    actor_do(a, act_lead, 0);
    scene_stall(s, a);
    actor_do(a, act_beat, 0);
    actor_do(a, act_drain, 0);
    actor_do(a, act_retire, (long)g);
    actor_do(a, act_leave, 0);
    wm_generation_abandon(s->node, scene_begin(s));
    actor_do(b, act_lock, 0);
    actor_kill(b);
    assert_int_equal(wm_lock_acquire(s->node, NULL), WM_RECOVERED);
    wm_lock_release(s->node);

    assert_int_equal(read_log(s, list, 32, &since, &missed), n);
    assert_int_equal(since, n);
    assert_int_equal(missed, 0);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(list[i].number, i + 1);
        assert_int_equal(list[i].kind, expected[i]);
    }
    assert_int_equal(list[1].pid, a->pid);
    assert_int_equal(list[1].slot, 0);
    assert_int_equal(list[1].value, 1); /* join number */
    assert_int_equal(list[4].value, 1); /* term */
    assert_int_equal(list[0].slot, WM_NO_SLOT);
    assert_int_equal(read_log(s, list, 32, &since, &missed), 0);
}

static void the_log_tells_how_many_were_missed(void **state)
{
    struct scene *s = *state;
    struct wm_log_entry list[300];
    uint64_t since = 0, missed;

    for (int i = 0; i < 150; i++) { /* two entries each; 256 fit */
        wm_generation_abandon(s->node, scene_begin(s));
    }
    assert_int_equal(read_log(s, list, 10, &since, &missed), 10);
    assert_int_equal(missed, 44);
    assert_int_equal(list[0].number, 45);
    assert_int_equal(since, 54);
    assert_int_equal(read_log(s, list, 300, &since, &missed), 246);
    assert_int_equal(missed, 0);
    since = 1000; /* of another life */
    assert_int_equal(read_log(s, list, 300, &since, &missed), 0);
    assert_int_equal(since, 300);
}

/* As read_log() when all that is there is old. */
static uint32_t read_old_log(struct scene *s, struct wm_log_entry *list,
                             uint32_t room, uint64_t *since, uint64_t *missed)
{
    uint32_t count = 0;

    assert_int_equal(
        wm_log_read_within(s->node, since, list, room, &count, missed, 0), 0);
    return count;
}

static void a_writer_that_died_loses_its_own_entry_only(void **state)
{
    struct scene *s = *state;
    struct wm_log_entry list[8];
    uint64_t since = 0, missed;

    scene_begin(s);
    atomic_fetch_add(&s->node->segment.header->log_next, 1); /* and died */
    scene_begin(s);
    assert_int_equal(read_old_log(s, list, 8, &since, &missed), 2);
    assert_int_equal(missed, 1);
    assert_int_equal(list[1].number, 3);
}

static void a_slow_writers_entry_is_told_in_its_place(void **state)
{
    struct scene *s = *state;
    struct wm_log_entry list[8];
    uint64_t since = 0, missed;
    uint32_t count;

    for (int i = 0; i < 4; i++) {
        scene_begin(s);
    }
    atomic_fetch_xor(&s->node->segment.log[2].check, 2);
    assert_int_equal(
        wm_log_read_within(s->node, &since, list, 8, &count, &missed, 3600000),
        WM_UNSETTLED);
    assert_int_equal(count, 1);
    assert_int_equal(since, 1);
    assert_int_equal(missed, 0);
    atomic_fetch_xor(&s->node->segment.log[2].check, 2);
    assert_int_equal(read_log(s, list, 8, &since, &missed), 3);
    assert_int_equal(list[0].number, 2);
    assert_int_equal(missed, 0);
}

/* What the round before left there is whole, but of another number. */
static void
an_entry_of_the_round_before_is_not_taken_for_a_new_one(void **state)
{
    struct scene *s = *state;
    struct wm_log_entry list[8];
    uint64_t since = 256, missed;

    for (int i = 0; i < 128; i++) { /* two entries each; 256 fit */
        wm_generation_abandon(s->node, scene_begin(s));
    }
    atomic_fetch_add(&s->node->segment.header->log_next, 1); /* and died */
    assert_int_equal(read_log(s, list, 8, &since, &missed), 0);
    scene_begin(s);
    assert_int_equal(read_old_log(s, list, 8, &since, &missed), 1);
    assert_int_equal(list[0].number, 258);
    assert_int_equal(missed, 1);
}

static void a_spoilt_entry_is_not_believed(void **state)
{
    struct scene *s = *state;
    struct wm_log_entry list[8];
    uint64_t since = 0, missed;

    scene_begin(s);
    atomic_store(&s->node->segment.log[1].value, 99);
    assert_int_equal(read_log(s, list, 8, &since, &missed), 0);
    assert_int_equal(missed, 0); /* it may be written just now */
    assert_int_equal(since, 0);
    scene_begin(s);
    assert_int_equal(read_old_log(s, list, 8, &since, &missed), 1);
    assert_int_equal(missed, 1);
    assert_int_equal(since, 2);
}

static long act_fill_the_log(struct actor *self, long rounds)
{
    uint64_t id;

    for (long i = 0; i < rounds; i++) {
        if (wm_generation_begin(self->scene->node, &id, NULL) != 0 ||
            wm_generation_abandon(self->scene->node, id) != WM_CLOSED) {
            return -1;
        }
    }
    return 0;
}

static void what_is_read_while_it_is_written_is_whole(void **state)
{
    struct scene *s = *state;
    struct actor *a[3];
    struct wm_log_entry list[64];
    uint64_t since = 0, missed, sum = 0, last = 0;

    for (int i = 0; i < 3; i++) {
        a[i] = scene_actor(s);
        actor_tell(a[i], act_fill_the_log, 2000);
    }
    while (last < 12000) {
        uint32_t n;
        int result = wm_log_read(s->node, &since, list, 64, &n, &missed);

        assert_true(result == 0 || result == WM_UNSETTLED);
        for (uint32_t i = 0; i < n; i++) {
            assert_true(list[i].number > last);
            last = list[i].number;
            assert_true(list[i].kind == WM_LOG_GENERATION_BEGUN ||
                        list[i].kind == WM_LOG_GENERATION_ABORTED);
            assert_true(list[i].pid == a[0]->pid || list[i].pid == a[1]->pid ||
                        list[i].pid == a[2]->pid);
        }
        sum += n + missed;
        assert_int_equal(sum, since);
        if (n == 0 && since == 12000) {
            break;
        }
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(actor_hear(a[i]), 0);
    }
}

/* No more are written in a round than there is room for. */
static void who_follows_while_others_write_misses_nothing(void **state)
{
    struct scene *s = *state;
    struct actor *a[8];
    struct wm_log_entry list[64];
    uint64_t since = 0, missed, last = 0;
    uint32_t n;

    for (int i = 0; i < 8; i++) {
        a[i] = scene_actor(s);
    }
    for (uint64_t round = 1; round <= 50; round++) {
        for (int i = 0; i < 8; i++) {
            actor_tell(a[i], act_fill_the_log, 15);
        }
        while (since < round * 240) {
            wm_log_read_within(s->node, &since, list, 64, &n, &missed, 3600000);
            assert_int_equal(missed, 0);
            for (uint32_t i = 0; i < n; i++) {
                assert_int_equal(list[i].number, ++last);
            }
        }
        for (int i = 0; i < 8; i++) {
            assert_int_equal(actor_hear(a[i]), 0);
        }
    }
}

/* ------------------------------------------------------------------- epoch */

static void every_change_makes_another_epoch_and_a_beat_does_not(void **state)
{
    struct scene *s = *state;
    uint64_t g;
    struct actor *a;
    uint32_t epoch = wm_epoch(s->node);

#define CHANGES(act)                                                           \
    act;                                                                       \
    assert_int_not_equal(wm_epoch(s->node), epoch);                            \
    epoch = wm_epoch(s->node)

    CHANGES(g = scene_begin(s));
    a = scene_actor(s);
    CHANGES(actor_do(a, act_join, (long)g));
    CHANGES(actor_do(a, act_start, 0));
    CHANGES(actor_do(a, act_lead, 0));
    actor_do(a, act_beat, 0);
    actor_do(a, act_sweep, 0);
    assert_int_equal(wm_epoch(s->node), epoch);
    CHANGES(scene_stall(s, a));
    CHANGES(actor_do(a, act_beat, 0));
    CHANGES(actor_do(a, act_drain, 0));
    CHANGES(actor_do(a, act_retire, (long)g));
    CHANGES(actor_do(a, act_leave, 0));
#undef CHANGES
}

static long act_wait(struct actor *self, long epoch)
{
    int result;

    do {
        result = wm_wait(self->scene->node, (uint32_t)epoch, 0);
    } while (result == 0 && wm_epoch(self->scene->node) == (uint32_t)epoch);
    return result;
}

static void who_waits_for_another_epoch_is_woken(void **state)
{
    struct scene *s = *state;
    struct actor *waiter[2] = {scene_actor(s), scene_actor(s)};
    uint32_t epoch = wm_epoch(s->node);

    assert_int_equal(wm_wait(s->node, epoch, 1), -ETIMEDOUT);
    assert_int_equal(wm_wait(s->node, epoch - 1, 0), 0);
    actor_tell(waiter[0], act_wait, epoch);
    actor_tell(waiter[1], act_wait, epoch);
    scene_begin(s);
    assert_int_equal(actor_hear(waiter[0]), 0);
    assert_int_equal(actor_hear(waiter[1]), 0);
}

static void a_reader_waits_as_well(void **state)
{
    struct scene *s = *state;
    struct wm_node *reader;

    assert_int_equal(wm_node_open(s->instance, NULL, &reader), 0);
    assert_int_equal(wm_wait(reader, wm_epoch(reader), 1), -ETIMEDOUT);
    assert_int_equal(wm_wait(reader, wm_epoch(reader) - 1, 0), 0);
    assert_int_equal(wm_node_release(reader), 0);
}

static long act_sleep(struct actor *self, long epoch)
{
    return wm_wait(self->scene->node, (uint32_t)epoch, 0);
}

struct alarm {
    const struct wm_node *node;
    int woken;
};

static bool both_are_woken(void *argument)
{
    struct alarm *a = argument;

    a->woken += wm_wake(a->node);
    return a->woken == 2;
}

static void who_waits_is_woken_without_a_change_also_by_a_reader(void **state)
{
    struct scene *s = *state;
    struct actor *waiter[2] = {scene_actor(s), scene_actor(s)};
    uint32_t epoch = wm_epoch(s->node);
    struct wm_node *reader;
    struct alarm alarm = {0};

    assert_int_equal(wm_node_open(s->instance, NULL, &reader), 0);
    assert_int_equal(wm_wake(reader), 0);
    actor_tell(waiter[0], act_sleep, epoch);
    actor_tell(waiter[1], act_sleep, epoch);
    alarm.node = reader;
    scene_await(both_are_woken, &alarm, "two sleepers to be woken");
    assert_int_equal(actor_hear(waiter[0]), 0);
    assert_int_equal(actor_hear(waiter[1]), 0);
    assert_int_equal(wm_epoch(s->node), epoch);
    assert_int_equal(wm_node_release(reader), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(a_crash_is_owed_once_and_says_whose),
        SCENE_TEST(a_crash_is_kept_until_it_was_told_and_has_expired),
        SCENE_TEST(an_intervals_sweep_believes_the_beats_of_the_interval),
        SCENE_TEST(a_crash_in_each_state_before_it_drains_is_owed),
        SCENE_TEST(a_helpers_crash_says_so_and_is_no_workers_death),
        SCENE_TEST(a_stall_is_told_once_and_then_its_recovery_counts),
        SCENE_TEST(who_drains_out_of_a_stall_has_recovered_from_it),
        SCENE_TEST(who_lost_its_record_has_nothing_to_recover_from),
        SCENE_TEST(who_lost_its_record_finds_the_next_one_dead_in_it),
        SCENE_TEST(who_lost_its_record_calls_nobody_stalled),
        SCENE_TEST(a_crash_that_makes_room_is_logged_as_forgotten),
        SCENE_TEST(a_mark_does_not_fall_on_a_later_occupant),
        SCENE_TEST(of_many_that_take_one_gets_each),
        SCENE_TEST(what_a_dead_giver_left_is_given_by_the_next),
        SCENE_TEST(a_sweep_with_a_callback_gives_under_the_lock),
        SCENE_TEST(a_helpers_start_makes_up_for_no_death),
        SCENE_TEST(a_sweep_without_a_callback_lets_crashes_go),
        SCENE_TEST(an_end_of_each_spell_is_given_once_and_the_oldest_first),
        SCENE_TEST(the_log_tells_a_life_in_order),
        SCENE_TEST(the_log_tells_how_many_were_missed),
        SCENE_TEST(a_writer_that_died_loses_its_own_entry_only),
        SCENE_TEST(a_slow_writers_entry_is_told_in_its_place),
        SCENE_TEST(an_entry_of_the_round_before_is_not_taken_for_a_new_one),
        SCENE_TEST(a_spoilt_entry_is_not_believed),
        SCENE_TEST(what_is_read_while_it_is_written_is_whole),
        SCENE_TEST(who_follows_while_others_write_misses_nothing),
        SCENE_TEST(every_change_makes_another_epoch_and_a_beat_does_not),
        SCENE_TEST(who_waits_for_another_epoch_is_woken),
        SCENE_TEST(a_reader_waits_as_well),
        SCENE_TEST(who_waits_is_woken_without_a_change_also_by_a_reader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
