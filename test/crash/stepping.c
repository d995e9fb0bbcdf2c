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

#include "stepping.h"

#define CAPACITY 4
#define MOMENTS 8192
#define WAITING 64 /* system calls: one that makes more waits for another */
#define LASTS 53   /* visible steps of a second process: most have fewer */
#define STRIDE 64  /* between pauses, where not all are wanted */

/* --------------------------------------------------------------- stepping */

static void step_to_moment(const char *what, struct moment m)
{
    at_moment(what, m);
    must(step_to(&run.stepped, m), "each run comes to the same moments");
}

static struct moment trail[MOMENTS];
static uint32_t trail_length;

static void note_moment(void)
{
    assert_true(trail_length < MOMENTS);
    trail[trail_length++] = run.stepped.at;
}

/* Steps through the whole of it, and checks each step. The trail is of those
 * that others can see; with quiet, of all that are the program's own. */
static void walk(bool quiet)
{
    struct stepped *s = &run.stepped;
    uint64_t entries = header()->log_next + run.operation->entries;
    enum step_kind kind;

    trail_length = 0;
    note_moment();
    while ((kind = step_once(s)) != STEP_DONE) {
        if (is_visible(kind)) {
            at_moment("stepped", s->at);
            entries += check_step(s);
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
    end_run(NULL);
}

/* Events that were marked as given, and are not in the ledger. */
static uint32_t count_lost(uint32_t marked, uint32_t told)
{
    const uint32_t lost = marked - (ledger->count - told);

    must(lost <= 1, "I4: an event is marked before it is given, one by one");
    return lost;
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

static void kill_at(const struct operation *o, struct moment m, bool zombie)
{
    uint32_t given, told, lost;

    begin_run(o, CAPACITY);
    given = ledger_marks(header());
    told = ledger->count;
    step_to_moment("killed", m);
    check_moment();
    run_expect_crash(&run, run.stepped.pid);
    step_kill(&run.stepped, zombie);
    lost = count_lost(ledger_marks(header()) - given, told);
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
    for (uint32_t i = 0; i < trail_length; i++) {
        kill_at(o, trail[i], i % 2 == 1);
    }
    print_message("# %s: killed after %u instructions\n", o->name,
                  trail_length);
}

/* ---------------------------------------------------------------- pausing */

static void finish(void)
{
    long result;

    step_finish(&run.stepped);
    result = *run.result;
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
    finish();
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
    return i + 1 == trail_length || trail[i].own == 0 ||
           trail[i + 1].own == 0 || i % STRIDE == 0;
}

static void can_be_paused(void **state)
{
    const struct operation *o = *state;
    const char *mode = getenv("WM_STEPPING");
    bool all = o->is_short || (mode != NULL && strcmp(mode, "all") == 0);
    uint32_t count = 0;

    begin_run(o, CAPACITY);
    walk(true);
    for (uint32_t i = 0; i < trail_length; i++) {
        if (all || is_chosen(i)) {
            pause_at(o, trail[i], i % 2 == 0);
            count++;
        }
    }
    print_message("# %s: paused after %u of %u instructions\n", o->name, count,
                  trail_length);
}

/* ------------------------------------------------------------------ pairs */

/* Steps through the operation of the second process, to its visible step number
 * `last`, or until it waits for what the first one has. False: it is not over;
 * and *lost is what it has marked as given, and given to nobody. */
static bool step_second(uint32_t last, uint32_t *lost)
{
    struct stepped *s = &second.stepped;
    uint32_t marked = 0, told = ledger->count;
    enum step_kind kind;

    while (last > 0 && s->at.call < WAITING &&
           (kind = step_once(s)) != STEP_DONE) {
        if (is_visible(kind)) {
            at_moment("stepped beside another", s->at);
            check_step(s);
            /* A joiner wipes off the marks of a former occupant. */
            marked +=
                ledger_marks(s->area[0].memory) > ledger_marks(s->area[0].copy);
            step_note(s);
            last--;
        }
    }
    *lost = count_lost(marked, told);
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
    bool wants_same = other->set != NULL && other->prepare[0] == NULL;

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
    step_note(&second.stepped);
    is_over = step_second(last, &lost);
    run.untold = ledger_untold(second.stepped.pid);
    if (is_over) {
        step_depart(&second.stepped);
    } else {
        run_expect_crash(&run, second.stepped.pid);
        step_kill(&second.stepped, false);
    }
    at_moment(other->name, m);
    step_resume(&run.stepped);
    finish();
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
        for (uint32_t i = 0; i < trail_length; i++) {
            if (is_chosen(i)) {
                pair_at(o, trail[i], &operations[j], count++ % LASTS);
            }
        }
    }
    print_message("# %s: beside others at %u moments\n", o->name, count);
}

/* ------------------------------------------------------------------ tests */

int main(int argc, char **argv)
{
    static char names[64][96];
    const char *how = argc > 1 ? argv[1] : "killed";
    CMUnitTestFunction test = strcmp(how, "killed") == 0   ? can_be_killed
                              : strcmp(how, "paused") == 0 ? can_be_paused
                              : strcmp(how, "paired") == 0 ? can_be_paired
                                                           : NULL;

    if (test == NULL || argc > 3) {
        fprintf(stderr, "usage: %s [killed|paused|paired [TESTS]]\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < operation_count; i++) {
        snprintf(names[i], sizeof(names[i]), "%s_can_be_%s", operations[i].name,
                 how);
        test_add(names[i], test, NULL, end_run, &operations[i]);
    }
    if (argc > 2) {
        test_filter(argv[2]);
    }
    return step_run();
}
