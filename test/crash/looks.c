/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What others do between two looks of one operation at the table: its parts
 * lie on several pages, and the operation is stopped where it comes to the
 * next one. */

#include "scene.h"
#include "trap.h"

#include "census.h"
#include "generation.h"

#include <sys/mman.h>
#include <unistd.h>

struct course {
    struct scene *scene;
    uint64_t generation;
    uint64_t joins;
    uint32_t slot[3]; /* the first of a page */
    uint32_t stops;   /* that are to come */
    struct actor *late;
};

static uint32_t records_a_page(void)
{
    return (uint32_t)getpagesize() / sizeof(struct wm_record);
}

static int set_up(void **state)
{
    return scene_setup_of(state, 4 * records_a_page());
}

static int tear_down(void **state)
{
    trap_clear();
    return scene_teardown(state);
}

static struct wm_record *record(const struct course *c, uint32_t slot)
{
    return &c->scene->node->segment.records[slot];
}

/* A generation, and slots on pages without the header. */
static struct course course(void **state)
{
    struct scene *s = *state;
    const struct wm_segment *g = &s->node->segment;
    const uint32_t each = records_a_page();
    struct course c = {.scene = s, .generation = scene_begin(s)};

    for (uint32_t i = 0; i < 3; i++) {
        c.slot[i] =
            (i + 1) * each - (uint32_t)(g->geometry.records / WM_LINE) % each;
    }
    atomic_store(&g->header->high, c.slot[2] + 1);
    return c;
}

/* --------------------------------------------------------------- counting */

static void come(struct course *c, uint32_t slot)
{
    struct wm_record *r = record(c, slot);

    atomic_store(&r->join, ++c->joins);
    atomic_store(&r->generation, c->generation);
    atomic_store(&r->word, wm_word(WM_LIVE, 1 + slot, 1));
}

static void go(struct course *c, uint32_t slot)
{
    atomic_store(&record(c, slot)->word, 0);
}

/* Of two, whichever is not looked at just now. */
static void move(void *argument)
{
    struct course *c = argument;
    bool is_first = atomic_load(&record(c, c->slot[0])->word) != 0;

    come(c, c->slot[is_first]);
    go(c, c->slot[!is_first]);
    if (--c->stops > 0) {
        trap_set(record(c, c->slot[is_first]), move, c);
    }
}

/* Both passes of the first pair come to where it is not any more. */
static void set_mover(struct course *c)
{
    come(c, c->slot[1]);
    c->stops = 3;
    trap_set(record(c, c->slot[1]), move, c);
}

static void who_moves_during_each_pass_is_counted(void **state)
{
    struct course c = course(state);
    struct wm_counts counts;

    set_mover(&c);
    assert_int_equal(wm_generation_counts(c.scene->node, c.generation, &counts),
                     0);
    assert_int_equal(c.stops, 0);
    assert_int_equal(counts.mine, 1);
}

static void who_moves_during_each_pass_is_listed(void **state)
{
    struct course c = course(state);
    struct wm_worker_info list[2];
    uint32_t count;

    set_mover(&c);
    assert_int_equal(wm_snapshot(c.scene->node, list, 2, &count), 0);
    assert_int_equal(c.stops, 0);
    assert_int_equal(count, 1);
}

static void set_state(struct course *c, uint32_t slot, unsigned state)
{
    atomic_store(&record(c, slot)->word, wm_word(state, 1 + slot, 1));
}

/* It is claimed anew by the same process, which has written no number yet; the
 * worker that comes before it goes has a slot that was looked at. */
static void claim_again(void *argument)
{
    struct course *c = argument;

    come(c, 0);
    set_state(c, c->slot[0], WM_CLAIMED);
}

static void live_meanwhile(void *argument)
{
    struct course *c = argument;

    set_state(c, c->slot[0], WM_LIVE);
    go(c, c->slot[1]);
    trap_set(record(c, c->slot[0]), claim_again, c);
}

static void who_is_there_between_two_claims_is_not_missed(void **state)
{
    struct course c = course(state);
    struct wm_counts counts;

    come(&c, c.slot[0]);
    set_state(&c, c.slot[0], WM_CLAIMED);
    come(&c, c.slot[1]);
    trap_set(record(&c, c.slot[1]), live_meanwhile, &c);
    wm_generation_counts(c.scene->node, c.generation, &counts);
    assert_int_equal(wm_word_state(atomic_load(&record(&c, 0)->word)), WM_LIVE);
    assert_int_equal(counts.mine, 1);
}

/* One comes and goes on all the time, so that no two passes agree; another
 * goes for good. */
static void never_settle(void *argument)
{
    struct course *c = argument;

    atomic_store(&record(c, c->slot[2])->role, WM_ROLE_HELPER);
    come(c, c->slot[2]);
    if (--c->stops == 10) {
        go(c, c->slot[1]);
    }
    if (c->stops > 0) {
        trap_set(record(c, c->slot[c->stops % 2]), never_settle, c);
    }
}

static void where_nothing_settles_nobody_is_told_to_be_the_last(void **state)
{
    struct course c = course(state);
    struct wm_counts counts;

    come(&c, c.slot[0]);
    come(&c, c.slot[1]);
    c.stops = 20; /* more than there are pairs of passes */
    trap_set(record(&c, c.slot[0]), never_settle, &c);
    wm_counts_of(c.scene->node, c.generation, WM_COUNT_EXIT, &counts);
    assert_true(c.stops < 10);
    assert_int_equal(counts.unsettled, 1);
    assert_int_equal(counts.mine, 2);
}

/* ------------------------------------------------------------ generations */

static void join_late(void *argument)
{
    const struct course *c = argument;

    assert_int_equal(actor_do(c->late, act_join, (long)c->generation), 0);
}

static void who_joins_where_the_closer_has_looked_keeps_it_open(void **state)
{
    struct course c = course(state);
    struct scene *s = c.scene;
    struct actor *last = scene_worker(s, c.generation);

    c.late = scene_actor(s);
    assert_int_equal(actor_do(last, act_drain, 0), 0);
    assert_int_equal(actor_do(last, act_leave, 0), 0);
    trap_set(record(&c, c.slot[0]), join_late, &c);
    assert_int_equal(wm_generation_close(s->node, c.generation), 0);
    assert_int_equal(scene_state(s, c.late->pid), WM_JOINING);
    assert_int_equal(scene_generation(s, c.generation).state,
                     WM_GENERATION_ACTIVE);
}

/* Its records have been settled; next it is looked whether one is spare. */
static void wait_for_the_claim(void *argument)
{
    struct course *c = argument;
    const struct wm_segment *g = &c->scene->node->segment;

    trap_set(&g->generations[g->geometry.generations / 2], join_late, c);
}

static void live(struct scene *s, uint64_t generation)
{
    struct actor *a = scene_worker(s, generation);
    int exits;

    assert_int_equal(actor_shut_down(a, generation, &exits), 1);
    assert_int_equal(exits, 1);
    assert_int_equal(actor_do(a, act_leave, 0), 0);
    actor_quit(a);
}

static void one_that_is_revived_meanwhile_keeps_its_record(void **state)
{
    struct course c = course(state);
    struct scene *s = c.scene;
    const struct wm_segment *g = &s->node->segment;
    const uint32_t count = g->geometry.generations;
    uint64_t id;

    c.late = scene_actor(s);
    live(s, c.generation);
    live(s, scene_begin(s));
    do {
        id = scene_begin(s);
        wm_generation_abandon(s->node, id);
    } while (id < c.generation + count - 1);
    trap_set(&g->generations[count - 1], wait_for_the_claim, &c);
    /* Nor is that of the next one spare, its master's current one. */
    assert_int_equal(scene_begin(s), c.generation + count + 2);
    assert_int_equal(scene_state(s, c.late->pid), WM_JOINING);
    assert_int_equal(scene_generation(s, c.generation).state,
                     WM_GENERATION_ACTIVE);
}

/* ----------------------------------------------------------------- events */

/* A stall is taken while the record of its worker, the first, changes hands. */
struct taking {
    struct scene *scene;
    uint64_t generation;
    struct actor *stalled;
    struct actor *late;
    void (*claim)(struct taking *);
    int page; /* that the taker has come to */
    int stop; /* where the record is claimed */
};

/* The taker looks at the mark on the cold line, at the hot line, the cold and
 * the hot one, and swaps the mark. */
#define PAGES 5

static struct wm_record *first_hot(const struct scene *s)
{
    return &s->node->segment.records[0];
}

static struct wm_record_cold *first_cold(const struct scene *s)
{
    return &s->node->segment.colds[0];
}

static void die(void *unused)
{
    (void)unused;
    _exit(0);
}

/* It has written its role to the hot line when it comes to the cold one. */
static long act_die_claiming(struct actor *self, long generation)
{
    trap_set(first_cold(self->scene), die, NULL);
    return act_join_helper(self, generation);
}

static void claim_and_die(struct taking *t)
{
    actor_tell(t->late, act_die_claiming, (long)t->generation);
    actor_quit(t->late);
    assert_int_equal(wm_word_state(atomic_load(&first_hot(t->scene)->word)),
                     WM_CLAIMED);
}

static void claim_and_join(struct taking *t)
{
    assert_int_equal(actor_do(t->late, act_join_helper, (long)t->generation),
                     0);
    assert_int_equal(wm_word_state(atomic_load(&first_hot(t->scene)->word)),
                     WM_JOINING);
}

static void come_to_a_page(void *argument)
{
    struct taking *t = argument;
    void *lines[] = {first_cold(t->scene), first_hot(t->scene)};

    t->page++;
    if (t->page < t->stop) {
        trap_set(lines[t->page % 2], come_to_a_page, t);
        return;
    }
    assert_int_equal(actor_do(t->stalled, act_leave, 0), 0);
    t->claim(t);
}

/* Whether it is told of, and then of the stalled worker as it was. */
static bool take_beside(struct taking *t, int stop)
{
    struct scene *s = t->scene;
    struct wm_event e;
    uint64_t join, spell;
    int pid, taken;

    t->stalled = scene_worker(s, t->generation);
    t->late = scene_actor(s);
    scene_stall(s, t->stalled);
    pid = t->stalled->pid;
    join = atomic_load(&first_hot(s)->join);
    spell = atomic_load(&first_cold(s)->spell);
    t->page = 0;
    t->stop = stop;
    trap_set(first_cold(s), come_to_a_page, t);
    taken = wm_event_take(s->node, 1u << WM_EVENT_STALLED, &e);
    assert_int_equal(t->page, stop);
    if (taken == 1) {
        assert_int_equal(e.pid, pid);
        assert_int_equal(e.join, join);
        assert_int_equal(e.spell, spell);
        assert_int_equal(e.role, WM_ROLE_WORKER);
    }
    return taken == 1;
}

static void nothing_is_told_of_two_while_the_second_claims(void **state)
{
    struct scene *s = *state;
    struct taking t = {
        .scene = s, .generation = scene_begin(s), .claim = claim_and_die};

    for (int stop = 1; stop <= PAGES; stop++) {
        take_beside(&t, stop);
        wm_sweep(s->node, NULL);
        assert_int_equal(atomic_load(&first_hot(s)->word), 0);
    }
}

static void a_stall_is_not_told_of_who_joins_meanwhile(void **state)
{
    struct scene *s = *state;
    struct taking t = {
        .scene = s, .generation = scene_begin(s), .claim = claim_and_join};

    for (int stop = 1; stop <= PAGES; stop++) {
        assert_false(take_beside(&t, stop));
        assert_int_equal(wm_given_stalls(atomic_load(&first_cold(s)->given)),
                         0);
        assert_int_equal(actor_do(t.late, act_leave, 0), 0);
    }
}

/* ----------------------------------------------------------------- leader */

/* Of the next generation, where a live worker was. */
static void claim_for_the_next(void *argument)
{
    struct wm_record *r = argument;

    atomic_store(&r->word, wm_word(WM_CLAIMED, 2, 1));
    atomic_store(&r->join, atomic_load(&r->join) + 1);
    atomic_store(&r->generation, atomic_load(&r->generation) + 1);
}

/* The word and what lies beside it are on two pages, in a view that has its
 * record where no segment has one. */
static void who_claims_for_a_newer_generation_is_not_live(void **state)
{
    struct scene *s = *state;
    const size_t page = (size_t)getpagesize();
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct wm_node view;
    struct wm_record *r =
        (void *)(pages + page - offsetof(struct wm_record, generation));
    struct wm_leader leader;

    assert_true(pages != MAP_FAILED);
    scene_own_worker(s, scene_begin(s));
    view = *s->node;
    view.worker.node = &view;
    view.segment.records = r;
    atomic_store(&s->node->segment.header->leader.slot, WM_NO_SLOT);
    atomic_store(&r->join, 1000);
    atomic_store(&r->generation, view.worker.generation);
    atomic_store(&r->word, wm_word(WM_LIVE, 1, 1));
    trap_set(&r->generation, claim_for_the_next, r);
    assert_int_equal(wm_leader_stand(&view.worker, &leader), 1);
    assert_int_equal(wm_word_state(atomic_load(&r->word)), WM_CLAIMED);
    munmap(pages, 2 * page);
}

#define LOOK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOK_TEST(who_moves_during_each_pass_is_counted),
        LOOK_TEST(who_moves_during_each_pass_is_listed),
        LOOK_TEST(who_is_there_between_two_claims_is_not_missed),
        LOOK_TEST(where_nothing_settles_nobody_is_told_to_be_the_last),
        LOOK_TEST(who_joins_where_the_closer_has_looked_keeps_it_open),
        LOOK_TEST(one_that_is_revived_meanwhile_keeps_its_record),
        LOOK_TEST(nothing_is_told_of_two_while_the_second_claims),
        LOOK_TEST(a_stall_is_not_told_of_who_joins_meanwhile),
        LOOK_TEST(who_claims_for_a_newer_generation_is_not_live),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
