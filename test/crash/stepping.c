/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Death, and a pause, at every instruction of every operation.
 *
 * An operation is stepped through once, and each step that anybody else can
 * see is checked: a system call that returned, or another byte in the segment.
 * After an instruction that does neither, the others find what they found
 * after the one before, so that a death there is no other death. At each of
 * the rest the operation is run anew and killed; then the books must balance.
 *
 * A pause is another one after each instruction, for what was loaded before it
 * is old after it. Libc and the kernel's clock load nothing of the segment, so
 * those of the program are left. With WM_STEPPING=all the operation is stopped
 * at each of them, which takes a quarter of an hour; else around each step that
 * others can see, when all that it rests on is loaded, and at some between.
 *
 * Of a pair, the first is paused like that, and a second process is stepped
 * through its own operation, to its end, its death, or where it waits. It is
 * one that nobody needs to prepare, or that the same prepares. */

#include "books.h"
#include "invariants.h"
#include "others.h"

#include "process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CAPACITY 4
#define MOMENTS 4096
#define WAITING 64 /* system calls: whoever makes more waits for somebody */
#define LASTS 53   /* visible steps of a second process: most have fewer */
#define STRIDE 64  /* between pauses, where not all are wanted */

static struct play play;   /* the one that is on */
static struct play second; /* in it, the other of a pair */
static bool is_thorough;

/* ------------------------------------------------------------ a play's run */

static void prepare(void *argument)
{
    struct play *p = argument;

    wm_self_ident(); /* reads /proc once in each process */
    if (p->operation->prepare != NULL) {
        p->operation->prepare(p);
    }
}

static void act(void *argument)
{
    struct play *p = argument;

    p->answer->result = p->operation->act(p);
}

/* A worker's end, if it is one and nobody was quicker. */
static void depart(void *argument)
{
    struct play *p = argument;
    struct wm_worker *worker = wm_node_worker(p->scene->node);

    wm_lock_release(p->scene->node);
    if (worker != NULL) {
        wm_worker_drain(worker);
        wm_worker_leave(worker);
    }
}

static struct actor *worker_that_left(struct scene *s)
{
    struct actor *a = scene_worker(s, 1);

    assert_int_equal(actor_do(a, act_drain, 0), 0);
    assert_int_equal(actor_do(a, act_leave, 0), 0);
    actor_quit(a);
    return a;
}

/* Each run is to meet the same changes: whatever it writes is not there yet. */
static void turn_clocks(struct play *p)
{
    struct wm_segment *s = &p->scene->node->segment;

    atomic_store(&s->header->lock.holder_since, 1);
    for (uint32_t i = 0; i < p->capacity; i++) {
        struct wm_record *r = &s->records[i];

        atomic_store(&r->joined_at, 1);
        if (atomic_load(&r->word) == 0) {
            atomic_store(&r->generation, 99);
            atomic_store(&r->role, WM_ROLE_HELPER);
            atomic_store(&r->stalls, 7);
            atomic_store(&s->colds[i].spell, 9);
        }
    }
    if (play_record(p, p->victim.pid) != NULL) {
        play_set_back(p, p->victim.pid, SCENE_NEVER);
    }
}

static void begin(const struct operation *operation, uint32_t capacity)
{
    struct play *p = &play;

    memset(p, 0, sizeof(*p));
    assert_int_equal(scene_setup_of((void **)(void *)&p->scene, capacity), 0);
    p->operation = operation;
    p->book = mmap(NULL, sizeof(*p->book), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(p->book != MAP_FAILED);
    p->answer = &p->book->answer[0];
    p->capacity = capacity;
    p->generation = scene_begin(p->scene);
    assert_int_equal(p->generation, 1);
    p->sibling = scene_worker(p->scene, 1);
    worker_that_left(p->scene);
    if (operation->set != NULL) {
        operation->set(p);
    }
    step_fork(&p->victim, prepare, act, depart, p);
    turn_clocks(p);
    if (operation->ready != NULL) {
        operation->ready(p);
    }
    step_watch(&p->victim, p->scene->node->segment.header,
               p->scene->node->segment.geometry.size);
    step_watch(&p->victim, p->book, sizeof(*p->book));
}

static int end(void **state)
{
    struct play *p = &play;
    int error = 0;

    (void)state;
    step_clear(&second.victim);
    step_clear(&p->victim);
    if (p->scene != NULL) {
        error = scene_teardown((void **)(void *)&p->scene);
        munmap(p->book, sizeof(*p->book));
    }
    memset(p, 0, sizeof(*p));
    return error;
}

/* --------------------------------------------------------------- stepping */

static void at_moment(const struct play *p, const char *what, struct moment m)
{
    snprintf(invariants_where, sizeof(invariants_where),
             "%s, %s after call %u, change %u, instruction %u",
             p->operation->name, what, m.call, m.change, m.own);
}

struct trail {
    struct moment moment[MOMENTS];
    uint32_t count;
    uint64_t steps;
};

static void note_moment(struct trail *t, struct moment m)
{
    assert_true(t->count < MOMENTS);
    t->moment[t->count++] = m;
}

/* Steps through the whole of it, and checks each step. The trail is of those
 * that others can see; with quiet, of all that are the program's own. */
static void walk(struct play *p, struct trail *t, bool quiet)
{
    struct stepped *v = &p->victim;
    const struct step_area *a = &v->area[0];
    struct wm_node *node = p->scene->node;
    uint64_t entries =
        atomic_load(&node->segment.header->log_next) + p->operation->entries;
    enum step_kind kind;

    t->count = 0;
    note_moment(t, v->at);
    while ((kind = step_once(v)) != STEP_DONE) {
        if (kind == STEP_CHANGE || kind == STEP_CALL) {
            at_moment(p, "stepped", v->at);
            entries += check_step(node, a->copy, a->memory, (uint32_t)v->pid);
            must(atomic_load(&node->segment.header->log_next) <= entries,
                 "an entry in the log comes after its change");
            step_note(v);
            note_moment(t, v->at);
        } else if (quiet && kind == STEP_QUIET) {
            note_moment(t, v->at);
        }
    }
    must(atomic_load(&node->segment.header->log_next) == entries,
         "each change makes its entry in the log, and nothing else does");
    t->steps = v->steps;
}

/* Every other time a zombie is left, as by a master that is busy. */
static void kill_at(const struct operation *o, struct moment m, bool zombie)
{
    struct play *p = &play;
    const struct wm_segment *s;
    uint32_t given, count, lost;

    begin(o, CAPACITY);
    s = &p->scene->node->segment;
    at_moment(p, "killed", m);
    given = books_marks(s, s->header);
    count = p->book->count;
    must(step_to(&p->victim, m), "each run comes to the same moments");
    check_moment(p->scene->node);
    play_expect_crash(p, p->victim.pid);
    step_kill(&p->victim);
    if (!zombie) {
        step_reap(&p->victim);
    }
    lost = books_marks(s, s->header) - given - (p->book->count - count);
    must(lost <= 1, "I4: an event is marked before it is given, one by one");
    wm_sweep(p->scene->node, NULL);
    check_swept(p->scene->node);
    if (o->after != NULL) {
        o->after(p);
    }
    others_tell(p);
    others_end(p, lost, 1);
    assert_int_equal(end(NULL), 0);
}

static void can_be_killed(void **state)
{
    const struct operation *o = *state;
    static struct trail t;

    begin(o, CAPACITY);
    walk(&play, &t, false);
    assert_int_equal(end(NULL), 0);
    print_message("# %s: %llu instructions, killed after %u of them\n", o->name,
                  (unsigned long long)t.steps, t.count);
    for (uint32_t i = 0; i < t.count; i++) {
        kill_at(o, t.moment[i], i % 2 == 1);
    }
}

/* ---------------------------------------------------------------- pausing */

static bool is_answer(long result)
{
    return result >= 0 || result == -ESTALE || result == -ENOBUFS ||
           result == -EBUSY || result == -EINPROGRESS;
}

static long act_try(struct actor *self, long unused)
{
    (void)unused;
    return wm_lock_try(self->scene->node, 1, 0);
}

/* hold: another has the lock when it goes on, if it may, and another waits for
 * it, as those do that have joined. */
static void pause_at(const struct operation *o, struct moment m, bool hold)
{
    struct play *p = &play;
    struct actor *late;
    uint32_t workers;

    begin(o, CAPACITY);
    at_moment(p, "stopped", m);
    must(step_to(&p->victim, m), "each run comes to the same moments");
    late = others_go_on(p, hold);
    if (!hold) {
        others_start(late);
    }
    workers = others_workers(p);
    hold = hold && p->sibling != NULL && actor_do(p->sibling, act_try, 0) >= 0;
    step_resume(&p->victim);
    must(!hold || actor_do(p->sibling, act_unlock, 0) == 0,
         "I8: a lock that is held is not taken");
    step_finish(&p->victim);
    must(is_answer(p->answer->result), "it goes on, or fails as it may");
    check_swept(p->scene->node);
    must(others_workers(p) == workers, "I2: nobody lost a record to it");
    others_start(late); /* no harm the second time */
    books_check_stalls(p);
    if (o->after != NULL) {
        o->after(p);
    }
    others_tell(p);
    step_depart(&p->victim);
    must(play_record(p, p->victim.pid) == NULL, "it leaves as others do");
    wm_sweep(p->scene->node, NULL);
    others_tell(p);
    p->stalls = books_stalls(p, 0) - p->untold;
    others_end(p, 0, 0);
    assert_int_equal(end(NULL), 0);
}

/* Whether this moment is worth a pause where not all are. */
static bool is_chosen(const struct trail *t, uint32_t i)
{
    return i + 1 == t->count || t->moment[i].own == 0 ||
           t->moment[i + 1].own == 0 || i % STRIDE == 0;
}

static void can_be_paused(void **state)
{
    const struct operation *o = *state;
    static struct trail t;
    uint32_t count = 0;

    begin(o, CAPACITY);
    walk(&play, &t, true);
    assert_int_equal(end(NULL), 0);
    for (uint32_t i = 0; i < t.count; i++) {
        if (is_thorough || o->is_short || is_chosen(&t, i)) {
            pause_at(o, t.moment[i], i % 2 == 0);
            count++;
        }
    }
    print_message(
        "# %s: %llu instructions, %u of the program, paused after %u\n",
        o->name, (unsigned long long)t.steps, t.count, count);
}

/* ------------------------------------------------------------------ pairs */

/* Steps through the operation of a second process, to its visible step number
 * `last`, or until it waits for what the first one has. False: it is not over;
 * and *lost is what it has marked as given, and given to nobody. */
static bool step_second(struct play *p, uint32_t last, uint32_t *lost)
{
    struct stepped *v = &p->victim;
    const struct step_area *a = &v->area[0];
    const struct wm_segment *s = &p->scene->node->segment;
    uint32_t marked = 0, count = p->book->count;
    enum step_kind kind;

    while (last > 0 && v->at.call < WAITING &&
           (kind = step_once(v)) != STEP_DONE) {
        if (kind == STEP_CHANGE || kind == STEP_CALL) {
            at_moment(p, "stepped beside another", v->at);
            check_step(p->scene->node, a->copy, a->memory, (uint32_t)v->pid);
            /* Who joins wipes off the marks of a former occupant. */
            marked += books_marks(s, a->memory) > books_marks(s, a->copy);
            step_note(v);
            last--;
        }
    }
    *lost = marked - (p->book->count - count);
    must(*lost <= 1, "I4: an event is marked before it is given, one by one");
    return last > 0 && v->at.call < WAITING;
}

/* Whether what others do for the first, if anything, serves the second. */
static bool can_be_second(const struct operation *o,
                          const struct operation *other)
{
    return (other->set == NULL || other->set == o->set) &&
           (other->ready == NULL || other->ready == o->ready);
}

static void begin_pair(const struct operation *o, const struct operation *other)
{
    struct play *p = &play, *q = &second;
    bool wants_same = other->set != NULL && other->prepare == NULL;

    /* A record more, but where both want the same one. */
    begin(o, wants_same ? CAPACITY : CAPACITY + 1);
    *q = *p;
    q->operation = other;
    q->answer = &p->book->answer[1];
    memset(&q->victim, 0, sizeof(q->victim));
    step_fork(&q->victim, prepare, act, depart, q);
    if (play_record(q, q->victim.pid) != NULL) {
        play_set_back(q, q->victim.pid, SCENE_NEVER);
    }
    if (other->ready != NULL) {
        other->ready(q);
    }
    step_note(&p->victim);
}

/* The first is stopped at a moment; the second is stepped, and is over or dead
 * when the first goes on. */
static void pair_at(const struct operation *o, struct moment m,
                    const struct operation *other, uint32_t last)
{
    struct play *p = &play, *q = &second;
    uint32_t lost, marked;
    bool is_over;

    begin_pair(o, other);
    at_moment(p, "stopped beside another", m);
    must(step_to(&p->victim, m), "each run comes to the same moments");
    step_watch(&q->victim, p->scene->node->segment.header,
               p->scene->node->segment.geometry.size);
    step_watch(&q->victim, p->book, sizeof(*p->book));
    is_over = step_second(q, last, &lost);
    p->untold = books_untold(q, q->victim.pid);
    if (is_over) {
        step_depart(&q->victim);
    } else {
        play_expect_crash(p, q->victim.pid);
        step_kill(&q->victim);
        step_reap(&q->victim);
    }
    step_resume(&p->victim);
    step_finish(&p->victim);
    at_moment(p, other->name, m);
    must(is_answer(p->answer->result), "it goes on, or fails as it may");
    wm_sweep(p->scene->node, NULL);
    check_swept(p->scene->node);
    if (o->after != NULL) {
        o->after(p);
    }
    others_tell(p);
    step_depart(&p->victim);
    wm_sweep(p->scene->node, NULL);
    others_tell(p);
    marked = books_stalls(p, 0);
    p->stalls = (marked > p->stalls ? marked : p->stalls) - p->untold;
    others_end(p, lost, 1);
    assert_int_equal(end(NULL), 0);
}

static void can_be_paired(void **state)
{
    const struct operation *o = *state;
    static struct trail t;
    uint32_t count = 0;

    for (size_t j = 0; j < operation_count; j++) {
        if (!can_be_second(o, &operations[j])) {
            continue;
        }
        begin_pair(o, &operations[j]);
        walk(&play, &t, true);
        assert_int_equal(end(NULL), 0);
        for (uint32_t i = 0; i < t.count; i++) {
            if (is_chosen(&t, i)) {
                pair_at(o, t.moment[i], &operations[j], count++ % LASTS);
            }
        }
    }
    print_message("# %s: beside others at %u moments\n", o->name, count);
}

/* ------------------------------------------------------------------ tests */

static struct CMUnitTest tests[64];
static char names[64][96];

static size_t add(size_t n, const struct operation *o, const char *how,
                  CMUnitTestFunction test)
{
    snprintf(names[n], sizeof(names[n]), "%s_can_be_%s", o->name, how);
    tests[n] = (struct CMUnitTest){.name = names[n],
                                   .test_func = test,
                                   .teardown_func = end,
                                   .initial_state = (void *)(uintptr_t)o};
    return n + 1;
}

int main(int argc, char **argv)
{
    const char *mode = getenv("WM_STEPPING");
    const char *how = argc > 1 ? argv[1] : "killed";
    CMUnitTestFunction test = strcmp(how, "paused") == 0   ? can_be_paused
                              : strcmp(how, "paired") == 0 ? can_be_paired
                                                           : can_be_killed;
    size_t n = 0;

    is_thorough = mode != NULL && strcmp(mode, "all") == 0;
    if (!step_is_allowed()) {
        puts("# ptrace is not allowed here");
        return 77;
    }
    for (size_t i = 0; i < operation_count; i++) {
        n = add(n, &operations[i], how, test);
    }
    if (argc > 2) {
        cmocka_set_test_filter(argv[2]); /* with wildcards */
    }
    return _cmocka_run_group_tests("stepping", tests, n, NULL, NULL);
}
