/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The operations. What others need to have done before is done by processes
 * of their own; only a clock is turned by writing to a record. */

#include "operations.h"

#include "log.h"
#include "process.h"

#include <signal.h>

struct wm_record *play_record(const struct play *p, pid_t pid)
{
    const struct wm_segment *s = &p->scene->node->segment;

    for (uint32_t i = 0; i < s->geometry.capacity; i++) {
        uint64_t word = atomic_load(&s->records[i].word);

        if (word != 0 && wm_word_pid(word) == (uint32_t)pid) {
            return &s->records[i];
        }
    }
    return NULL;
}

unsigned play_state(const struct play *p, pid_t pid)
{
    const struct wm_record *r = play_record(p, pid);

    return r == NULL ? WM_FREE : wm_word_state(atomic_load(&r->word));
}

void book_note(const struct wm_event *event, void *book)
{
    struct book *b = book;

    /* In this order: a death in between has told nobody. */
    b->event[b->count % BOOK_SIZE] = *event;
    b->count++;
}

void play_expect_crash(struct play *p, pid_t pid)
{
    unsigned state = play_state(p, pid);

    if (state >= WM_JOINING && state <= WM_STALLED) {
        p->ended[p->ends++ % BOOK_SIZE] =
            atomic_load(&play_record(p, pid)->join);
    }
}

void play_bury(struct play *p, struct actor *actor)
{
    play_expect_crash(p, actor->pid);
    actor_kill(actor);
}

void play_set_back(struct play *p, pid_t pid, uint32_t overdue_ms)
{
    struct wm_record *r = play_record(p, pid);

    atomic_store(&r->overdue_ms, overdue_ms);
    atomic_store(&r->word, atomic_load(&r->word) - PLAY_LATE_MS);
}

/* A worker's end as it should be; what it takes is told. */
static void shut_down(struct play *p, struct actor *a)
{
    int exits;

    assert_true(actor_do(a, act_lock, 20000) >= 0);
    actor_shut_down(a, 1, &exits);
    if (exits == 1) {
        const struct wm_event e = {.kind = WM_EVENT_MASTER_EXIT,
                                   .generation = 1,
                                   .spell = a->board->number};
        book_note(&e, p->book);
    }
    assert_int_equal(actor_do(a, act_unlock, 0), 0);
    assert_int_equal(actor_do(a, act_leave, 0), 0);
    actor_quit(a);
}

/* ------------------------------------------------------------ the victim */

static void join(struct play *p)
{
    const struct wm_join_options options = {.size = sizeof(options),
                                            .overdue_ms = SCENE_NEVER};
    struct wm_worker *worker;

    p->answer->result =
        wm_worker_join(p->scene->node, p->generation, &options, &worker);
}

static struct wm_worker *own(const struct play *p)
{
    return wm_node_worker(p->scene->node);
}

static void live(struct play *p)
{
    struct wm_counts counts;

    join(p);
    wm_worker_start(own(p), &counts);
}

static void lead(struct play *p)
{
    struct wm_leader leader;

    live(p);
    wm_leader_stand(own(p), &leader);
}

static void drained(struct play *p)
{
    live(p);
    wm_worker_drain(own(p));
}

static void begin(struct play *p)
{
    wm_generation_begin(p->scene->node, &p->answer->id, NULL);
}

/* ------------------------------------------------------- joining, beating */

static long do_join(struct play *p)
{
    join(p);
    return p->answer->result;
}

static void set_nobody(struct play *p)
{
    shut_down(p, p->sibling);
    p->sibling = NULL;
}

/* Its end is there to be taken. */
static void set_owed_end(struct play *p)
{
    struct actor *a = p->sibling;

    assert_int_equal(actor_do(a, act_drain, 0), 0);
    assert_int_equal(actor_do(a, act_retire, 1), WM_CLOSED);
    assert_int_equal(actor_do(a, act_leave, 0), 0);
    actor_quit(a);
    p->sibling = NULL;
}

static void set_next(struct play *p)
{
    scene_worker(p->scene, 1);
}

/* Another generation waits for its first worker. */
static void set_begun(struct play *p)
{
    p->generation = scene_begin(p->scene);
}

/* Nobody waits for one any more. */
static void set_aborted(struct play *p)
{
    set_begun(p);
    assert_int_equal(wm_generation_abandon(p->scene->node, p->generation),
                     WM_CLOSED);
}

/* One record is left. */
static void set_crowd(struct play *p)
{
    scene_worker(p->scene, 1);
    scene_worker(p->scene, 1);
}

/* Who is draining makes room. */
static void set_full(struct play *p)
{
    p->other = scene_worker(p->scene, 1);
    scene_worker(p->scene, 1);
    scene_worker(p->scene, 1);
    assert_int_equal(actor_do(p->other, act_drain, 0), 0);
}

/* All are of the living, but for a crash that nobody was told of. */
static void set_packed(struct play *p)
{
    struct actor *dead = scene_worker(p->scene, 1);

    set_crowd(p);
    play_bury(p, dead);
}

static long do_start(struct play *p)
{
    return wm_worker_start(own(p), &p->answer->counts);
}

static long do_beat(struct play *p)
{
    return wm_beat(own(p));
}

static void ready_stalled(struct play *p)
{
    atomic_store(&play_record(p, p->victim.pid)->overdue_ms, 1);
    wm_sweep(p->scene->node, NULL);
    atomic_store(&play_record(p, p->victim.pid)->overdue_ms, SCENE_NEVER);
    assert_int_equal(scene_state(p->scene, p->victim.pid), WM_STALLED);
}

static long do_drain(struct play *p)
{
    return wm_worker_drain(own(p));
}

static long do_leave(struct play *p)
{
    return wm_worker_leave(own(p));
}

/* ------------------------------------------------- sweeping, giving, lock */

/* One dead that was live, one that was draining, one stalled. */
static void set_ends(struct play *p)
{
    struct actor *dead = scene_worker(p->scene, 1);
    struct actor *drained = scene_worker(p->scene, 1);

    assert_int_equal(actor_do(drained, act_drain, 0), 0);
    play_bury(p, dead);
    play_bury(p, drained);
    play_set_back(p, p->sibling->pid, 1000);
    p->stalls = 1;
}

/* A claim that got no further, and a crash that was told. */
static void set_remains(struct play *p)
{
    struct actor *told = scene_worker(p->scene, 1);
    struct actor *claimant = scene_actor(p->scene);
    struct wm_segment *s = &p->scene->node->segment;
    pid_t pid = claimant->pid;

    play_set_back(p, told->pid, 1000);
    play_bury(p, told);
    wm_sweep(p->scene->node, NULL);
    wm_events_give(p->scene->node, NULL, book_note, p->book);
    actor_kill(claimant);
    atomic_store(&s->header->high, 3);
    atomic_store(&s->records[2].word,
                 wm_word(WM_CLAIMED, (uint32_t)pid, wm_now()));
}

/* A master and its worker are dead: their generation is to be closed. */
static void set_orphans(struct play *p)
{
    struct actor *master = scene_actor(p->scene), *worker;

    assert_int_equal(actor_do(master, act_begin, 0), 0);
    worker = actor_fork(master);
    assert_int_equal(actor_do(worker, act_join, (long)master->board->id), 0);
    assert_int_equal(actor_do(worker, act_start, 0), 0);
    play_bury(p, worker);
    actor_kill(master);
}

static void set_owed(struct play *p)
{
    set_orphans(p);
    play_set_back(p, p->sibling->pid, 1000);
    p->stalls = 1;
    wm_sweep(p->scene->node, NULL);
}

/* A stall that was told, and that goes on. */
static void set_told(struct play *p)
{
    play_set_back(p, p->sibling->pid, 1000);
    p->stalls = 1;
    wm_events_give(p->scene->node, NULL, book_note, p->book);
    assert_int_equal(scene_state(p->scene, p->sibling->pid), WM_STALLED);
}

/* The sibling goes on, and comes back from its stall. */
static void after_stall(struct play *p)
{
    if (p->sibling != NULL) {
        atomic_store(&play_record(p, p->sibling->pid)->overdue_ms, SCENE_NEVER);
        actor_do(p->sibling, act_beat, 0);
    }
}

static long do_sweep(struct play *p)
{
    return wm_sweep(p->scene->node, own(p));
}

static long do_give(struct play *p)
{
    return wm_events_give(p->scene->node, own(p), book_note, p->book);
}

/* Where there is none to take. */
static long do_take(struct play *p)
{
    struct wm_event e;
    long result = wm_event_take(p->scene->node, 1u << WM_EVENT_STALLED, &e);

    if (result == 1) {
        book_note(&e, p->book);
    }
    return result;
}

static long do_lock(struct play *p)
{
    long result = wm_lock_acquire(p->scene->node, NULL);

    wm_lock_release(p->scene->node);
    return result;
}

static long do_try(struct play *p)
{
    long result = wm_lock_try(p->scene->node, 1, 1);

    wm_lock_release(p->scene->node);
    return result;
}

static void set_dead_holder(struct play *p)
{
    struct actor *holder = scene_actor(p->scene);

    assert_int_equal(actor_do(holder, act_lock, 0), 0);
    actor_kill(holder);
}

static void set_holder(struct play *p)
{
    p->other = scene_actor(p->scene);
    assert_int_equal(actor_do(p->other, act_lock, 0), 0);
}

static void after_holder(struct play *p)
{
    assert_int_equal(actor_do(p->other, act_unlock, 0), 0);
}

static long do_append(struct play *p)
{
    wm_log_worker(own(p), WM_LOG_WORKER_LIVE);
    return 0;
}

static void set_dead_leader(struct play *p)
{
    assert_int_equal(actor_do(p->sibling, act_lead, 0), 1);
    play_bury(p, p->sibling);
    p->sibling = NULL;
}

static long do_lead(struct play *p)
{
    struct wm_leader leader;

    return wm_leader_stand(own(p), &leader);
}

/* ------------------------------------------------------------ generations */

static long do_begin(struct play *p)
{
    return wm_generation_begin(p->scene->node, &p->answer->id, NULL);
}

static long do_abort(struct play *p)
{
    return wm_generation_abandon(p->scene->node, p->answer->id);
}

/* A record that a dead claimant left is taken when its number comes round. */
static void after_begin(struct play *p)
{
    struct wm_segment *s = &p->scene->node->segment;
    uint32_t count = s->geometry.generations;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t id = 0;

        wm_generation_begin(p->scene->node, &id, NULL);
        wm_generation_abandon(p->scene->node, id);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t word = atomic_load(&s->generations[i].word);

        assert_true(wm_gen_state(word) != WM_GENERATION_CLAIMED ||
                    kill((pid_t)wm_gen_claimant(word), 0) == 0);
    }
}

static void ready_last(struct play *p)
{
    if (p->sibling != NULL) {
        set_nobody(p);
    }
}

/* The whole end of the last worker, as a server's worker goes through it. */
static long do_end(struct play *p)
{
    struct wm_node *node = p->scene->node;
    struct wm_event e = {.kind = WM_EVENT_MASTER_EXIT, .generation = 1};
    long result = wm_lock_acquire(node, NULL);

    wm_worker_exit_counts(own(p), &p->answer->counts);
    wm_worker_drain(own(p));
    wm_generation_close(node, 1);
    while (wm_generation_take_exit(node, 1, &e.spell) == 1) {
        book_note(&e, p->book);
    }
    wm_lock_release(node);
    wm_worker_leave(own(p));
    return result;
}

const struct operation operations[] = {
    {.name = "join", .act = do_join},
    {.name = "join_of_a_generation_that_had_ended",
     .set = set_nobody,
     .act = do_join},
    {.name = "join_of_a_generation_whose_end_is_owed",
     .set = set_owed_end,
     .act = do_join},
    {.name = "join_that_activates_a_generation",
     .set = set_begun,
     .act = do_join},
    {.name = "join_that_revives_a_generation",
     .set = set_aborted,
     .act = do_join},
    {.name = "join_into_a_full_table", .set = set_full, .act = do_join},
    {.name = "join_that_finds_no_room", .set = set_packed, .act = do_join},
    {.name = "join_into_a_slot_never_used", .set = set_next, .act = do_join},
    {.name = "start", .prepare = join, .act = do_start},
    {.name = "beat", .prepare = live, .act = do_beat},
    {.name = "beat_out_of_a_stall",
     .prepare = live,
     .ready = ready_stalled,
     .act = do_beat},
    {.name = "drain_of_a_leader", .prepare = lead, .act = do_drain},
    {.name = "drain_out_of_a_stall_where_room_is_wanted",
     .set = set_crowd,
     .prepare = live,
     .ready = ready_stalled,
     .act = do_drain},
    {.name = "leave", .prepare = live, .act = do_leave},
    {.name = "leave_where_room_is_wanted",
     .set = set_crowd,
     .prepare = drained,
     .act = do_leave},
    {.name = "sweep_of_dead_and_stalled",
     .set = set_ends,
     .prepare = join,
     .act = do_sweep,
     .after = after_stall},
    {.name = "sweep_of_remains",
     .set = set_remains,
     .prepare = join,
     .act = do_sweep},
    {.name = "sweep_of_an_orphaned_generation",
     .set = set_orphans,
     .prepare = join,
     .act = do_sweep},
    {.name = "giving_of_all_that_is_owed",
     .set = set_owed,
     .prepare = live,
     .act = do_give,
     .after = after_stall},
    {.name = "taking_of_a_stall_that_was_told",
     .set = set_told,
     .prepare = live,
     .act = do_take,
     .after = after_stall,
     .is_short = true},
    {.name = "lock", .prepare = live, .act = do_lock},
    {.name = "lock_after_a_dead_holder",
     .set = set_dead_holder,
     .prepare = live,
     .act = do_lock},
    {.name = "try_at_a_held_lock",
     .set = set_holder,
     .prepare = live,
     .act = do_try,
     .after = after_holder},
    {.name = "entry_in_the_log",
     .prepare = live,
     .act = do_append,
     .entries = 1},
    {.name = "lead_after_a_dead_leader",
     .set = set_dead_leader,
     .prepare = live,
     .act = do_lead},
    {.name = "begin_of_a_generation", .act = do_begin, .after = after_begin},
    {.name = "abort_of_a_generation", .prepare = begin, .act = do_abort},
    {.name = "end_of_a_generation",
     .prepare = live,
     .ready = ready_last,
     .act = do_end},
};
const size_t operation_count = sizeof(operations) / sizeof(*operations);
