/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Death, and a pause, at every instruction of every operation.
 *
 * An operation is stepped through once, and each step that anybody else can
 * see is checked: a system call that returned, or another byte in the segment.
 * After an instruction that does neither, the others find what they found
 * after the one before, so that a death there is no other death. At each of
 * the rest the operation is run anew and killed; then what was told must be
 * what was owed.
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

#include "invariants.h"
#include "others.h"

#include "process.h"

#define CAPACITY 4
#define MOMENTS 8192
#define WAITING 64 /* system calls: one that makes more waits for another */
#define LASTS 53   /* visible steps of a second process: most have fewer */
#define STRIDE 64  /* between pauses, where not all are wanted */

static struct run run;    /* the one that is on */
static struct run second; /* in it, the other of a pair */
static bool is_thorough;

/* ------------------------------------------------------------------- a run */

/* Of a process that is stepped; 0: it has the kernel's clock. */
static uint64_t own_now;

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);

/* Its coarse clock goes on by a millisecond at each look. The kernel's goes on
 * by its ticks: of two beats the second would be another change in one run, if
 * a tick came between them, and no change in the next. */
int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
    if (own_now == 0 || id != CLOCK_MONOTONIC_COARSE) {
        return __real_clock_gettime(id, ts);
    }
    own_now++;
    ts->tv_sec = (time_t)(own_now / 1000);
    ts->tv_nsec = (long)(own_now % 1000) * 1000000;
    return 0;
}

static void prepare(void *argument)
{
    struct run *r = argument;

    wm_self_ident(); /* reads /proc once in each process */
    if (r->operation->prepare != NULL) {
        r->operation->prepare(r);
    }
    own_now = wm_now();
}

static void act(void *argument)
{
    struct run *r = argument;

    *r->result = r->operation->act(&r->self, r->id);
}

/* A worker's end, if it is one and nobody was quicker. */
static void depart(UNUSED void *argument)
{
    struct wm_worker *worker = wm_node_worker(node);

    wm_lock_release(node);
    if (worker != NULL) {
        wm_worker_drain(worker);
        wm_worker_leave(worker);
    }
}

/* Each run is to meet the same changes: what it writes is not there yet. */
static void turn_clocks(const struct run *r)
{
    header()->lock.holder_since = 1;
    for (uint32_t i = 0; i < r->capacity; i++) {
        record(i)->joined_at = 1;
        if (word_at(i) == 0) {
            record(i)->generation = 99;
            record(i)->role = WM_ROLE_HELPER;
            record(i)->stalls = 7;
            cold(i)->spell = 9;
        }
    }
}

/* Forks the process that is stepped, when the others are set. */
static void fork_stepped(struct run *r, int number)
{
    r->self.seen = &ledger->seen[number];
    r->result = &ledger->result[number];
    step_fork(&r->stepped, prepare, act, depart, r);
    if (record_of(r->stepped.pid) != NULL) {
        run_set_back(r->stepped.pid, NEVER_OVERDUE);
    }
    if (r->operation->ready != NULL) {
        r->operation->ready(r);
    }
    if (number == 0) {
        turn_clocks(r); /* after all that others do to them */
    }
}

static void watch_stepped(struct run *r)
{
    step_watch(&r->stepped, header(), node->segment.geometry.size);
    step_watch(&r->stepped, ledger, sizeof(*ledger));
}

static void begin_run(const struct operation *operation, uint32_t capacity)
{
    memset(&run, 0, sizeof(run));
    assert_ok(node_set_up_with(capacity));
    ledger_open();
    run.operation = operation;
    run.capacity = capacity;
    run.id = begin();
    assert_int_equal(run.id, 1);
    run.sibling = new_worker(1);
    process_leave(new_worker(1));
    if (operation->set != NULL) {
        operation->set(&run);
    }
    fork_stepped(&run, 0);
    watch_stepped(&run);
}

static int end_run(UNUSED void **state)
{
    step_clear(&second.stepped);
    step_clear(&run.stepped);
    if (node != NULL) {
        node_tear_down(NULL);
        ledger_close();
    }
    return 0;
}

/* The others find what came of it, when it was killed or is over. */
static void look_after(struct run *r)
{
    check_swept();
    if (r->operation->after != NULL) {
        r->operation->after(r);
    }
    others_tell();
}

/* --------------------------------------------------------------- stepping */

static void at_moment(const char *what, struct moment m)
{
    snprintf(invariants_where, sizeof(invariants_where),
             "%s, %s after call %u, change %u, instruction %u",
             run.operation->name, what, m.call, m.change, m.own);
}

static void step_to_moment(const char *what, struct moment m)
{
    at_moment(what, m);
    must(step_to(&run.stepped, m), "each run comes to the same moments");
}

static struct trail {
    struct moment moment[MOMENTS];
    uint32_t count;
    uint64_t steps;
} trail;

static void note_moment(void)
{
    assert_true(trail.count < MOMENTS);
    trail.moment[trail.count++] = run.stepped.at;
}

/* One visible step of a process is checked; the entries in the log that it
 * wants. */
static uint32_t check_visible_step(struct stepped *s)
{
    const struct step_area *a = &s->area[0];

    return check_step(a->copy, a->memory, (uint32_t)s->pid);
}

/* Steps through the whole of it, and checks each step. The trail is of those
 * that others can see; with quiet, of all that are the program's own. */
static void walk(bool quiet)
{
    struct stepped *s = &run.stepped;
    uint64_t entries = header()->log_next + run.operation->entries;
    enum step_kind kind;

    trail.count = 0;
    note_moment();
    while ((kind = step_once(s)) != STEP_DONE) {
        if (kind == STEP_CHANGE || kind == STEP_CALL) {
            at_moment("stepped", s->at);
            entries += check_visible_step(s);
            must(header()->log_next <= entries,
                 "an entry in the log comes after its change");
            step_note(s);
            note_moment();
        } else if (quiet && kind == STEP_QUIET) {
            note_moment();
        }
    }
    must(header()->log_next == entries,
         "each change makes its entry in the log, and nothing else does");
    trail.steps = s->steps;
    end_run(NULL);
}

/* Every other time a zombie is left, as by a master that is busy. */
static void kill_at(const struct operation *o, struct moment m, bool zombie)
{
    uint32_t given, count, lost;

    begin_run(o, CAPACITY);
    given = ledger_marks(header());
    count = ledger->count;
    step_to_moment("killed", m);
    check_moment();
    run_expect_crash(&run, run.stepped.pid);
    step_kill(&run.stepped);
    if (!zombie) {
        step_reap(&run.stepped);
    }
    lost = ledger_marks(header()) - given - (ledger->count - count);
    must(lost <= 1, "I4: an event is marked before it is given, one by one");
    sweep();
    look_after(&run);
    others_end(&run, lost, 1);
    end_run(NULL);
}

static void can_be_killed(void **state)
{
    const struct operation *o = *state;

    begin_run(o, CAPACITY);
    walk(false);
    print_message("# %s: %llu instructions, killed after %u of them\n", o->name,
                  (unsigned long long)trail.steps, trail.count);
    for (uint32_t i = 0; i < trail.count; i++) {
        kill_at(o, trail.moment[i], i % 2 == 1);
    }
}

/* ---------------------------------------------------------------- pausing */

static void finish(void)
{
    step_resume(&run.stepped);
    step_finish(&run.stepped);
}

static void must_be_answered(void)
{
    const long result = *run.result;

    must(result >= 0 || result == -ESTALE || result == -ENOBUFS ||
             result == -EBUSY || result == -EINPROGRESS,
         "it goes on, or fails as it may");
}

/* hold: another has the lock when it goes on, if it may, and another waits for
 * it, as those do that have joined. */
static void pause_at(const struct operation *o, struct moment m, bool hold)
{
    struct process *late;
    uint32_t workers;
    pid_t pid;

    begin_run(o, CAPACITY);
    pid = run.stepped.pid;
    step_to_moment("stopped", m);
    late = others_go_on(&run, hold);
    if (!hold) {
        others_start(late);
    }
    workers = others_workers();
    hold = hold && run.sibling != NULL && call(run.sibling, do_try, 0) >= 0;
    step_resume(&run.stepped);
    must(!hold || call(run.sibling, do_unlock, 0) == 0,
         "I8: a lock that is held is not taken");
    step_finish(&run.stepped);
    must_be_answered();
    check_swept();
    must(others_workers() == workers, "I2: nobody lost a record to it");
    others_start(late); /* no harm the second time */
    ledger_check_stalls();
    look_after(&run);
    step_depart(&run.stepped);
    must(record_of(pid) == NULL, "it leaves as others do");
    sweep();
    others_tell();
    run.stalls = ledger_stalls(0) - run.untold;
    others_end(&run, 0, 0);
    end_run(NULL);
}

/* Whether this moment is worth a pause where not all are. */
static bool is_chosen(uint32_t i)
{
    return i + 1 == trail.count || trail.moment[i].own == 0 ||
           trail.moment[i + 1].own == 0 || i % STRIDE == 0;
}

static void can_be_paused(void **state)
{
    const struct operation *o = *state;
    uint32_t count = 0;

    begin_run(o, CAPACITY);
    walk(true);
    for (uint32_t i = 0; i < trail.count; i++) {
        if (is_thorough || o->is_short || is_chosen(i)) {
            pause_at(o, trail.moment[i], i % 2 == 0);
            count++;
        }
    }
    print_message(
        "# %s: %llu instructions, %u of the program, paused after %u\n",
        o->name, (unsigned long long)trail.steps, trail.count, count);
}

/* ------------------------------------------------------------------ pairs */

/* Steps through the operation of the second process, to its visible step number
 * `last`, or until it waits for what the first one has. False: it is not over;
 * and *lost is what it has marked as given, and given to nobody. */
static bool step_second(uint32_t last, uint32_t *lost)
{
    struct stepped *s = &second.stepped;
    const struct step_area *a = &s->area[0];
    uint32_t marked = 0, count = ledger->count;
    enum step_kind kind;

    while (last > 0 && s->at.call < WAITING &&
           (kind = step_once(s)) != STEP_DONE) {
        if (kind == STEP_CHANGE || kind == STEP_CALL) {
            at_moment("stepped beside another", s->at);
            check_visible_step(s);
            /* A joiner wipes off the marks of a former occupant. */
            marked += ledger_marks(a->memory) > ledger_marks(a->copy);
            step_note(s);
            last--;
        }
    }
    *lost = marked - (ledger->count - count);
    must(*lost <= 1, "I4: an event is marked before it is given, one by one");
    return last > 0 && s->at.call < WAITING;
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
    bool wants_same = other->set != NULL && other->prepare == NULL;

    /* A record more, but where both want the same one. */
    begin_run(o, wants_same ? CAPACITY : CAPACITY + 1);
    second = run;
    second.operation = other;
    memset(&second.stepped, 0, sizeof(second.stepped));
    fork_stepped(&second, 1);
    step_note(&run.stepped);
}

/* The first is stopped at a moment; the second is stepped, and is over or dead
 * when the first goes on. */
static void pair_at(const struct operation *o, struct moment m,
                    const struct operation *other, uint32_t last)
{
    uint32_t lost, marked;
    bool is_over;

    begin_pair(o, other);
    step_to_moment("stopped beside another", m);
    watch_stepped(&second);
    is_over = step_second(last, &lost);
    run.untold = ledger_untold(second.stepped.pid);
    if (is_over) {
        step_depart(&second.stepped);
    } else {
        run_expect_crash(&run, second.stepped.pid);
        step_kill(&second.stepped);
        step_reap(&second.stepped);
    }
    finish();
    at_moment(other->name, m);
    must_be_answered();
    sweep();
    look_after(&run);
    step_depart(&run.stepped);
    sweep();
    others_tell();
    marked = ledger_stalls(0);
    run.stalls = (marked > run.stalls ? marked : run.stalls) - run.untold;
    others_end(&run, lost, 1);
    end_run(NULL);
}

static void can_be_paired(void **state)
{
    const struct operation *o = *state;
    uint32_t count = 0;

    for (size_t j = 0; j < operation_count; j++) {
        if (!can_be_second(o, &operations[j])) {
            continue;
        }
        begin_pair(o, &operations[j]);
        walk(true);
        for (uint32_t i = 0; i < trail.count; i++) {
            if (is_chosen(i)) {
                pair_at(o, trail.moment[i], &operations[j], count++ % LASTS);
            }
        }
    }
    print_message("# %s: beside others at %u moments\n", o->name, count);
}

/* ------------------------------------------------------------------ tests */

int main(int argc, char **argv)
{
    static char names[64][96];
    const char *mode = getenv("WM_STEPPING");
    const char *how = argc > 1 ? argv[1] : "killed";
    CMUnitTestFunction test = strcmp(how, "paused") == 0   ? can_be_paused
                              : strcmp(how, "paired") == 0 ? can_be_paired
                                                           : can_be_killed;

    is_thorough = mode != NULL && strcmp(mode, "all") == 0;
    if (!step_is_allowed()) {
        puts("# ptrace is not allowed here");
        return 77;
    }
    for (size_t i = 0; i < operation_count; i++) {
        snprintf(names[i], sizeof(names[i]), "%s_can_be_%s", operations[i].name,
                 how);
        test_add(names[i], test, NULL, end_run, &operations[i]);
    }
    if (argc > 2) {
        cmocka_set_test_filter(argv[2]); /* with wildcards */
    }
    return test_run();
}
