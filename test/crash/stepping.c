/* SPDX-License-Identifier: Apache-2.0 */

/* Death, and a pause, at every instruction of every operation.
 *
 * An operation is stepped through once, and each step that anybody else can
 * see is checked: a system call that returned, or another byte in the segment.
 * After an instruction that does neither, the others find what they found
 * after the one before, so that a death there is no other death. At each of
 * the rest it is run anew and killed; what was told must be what was owed.
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

#include "clock.h"

#include <sys/mman.h>

#define LASTS 53 /* visible steps of a second process: most have fewer */

static struct run run, second; /* that is on; in it, the other of a pair */
static char where[160];

void must(bool holds, const char *claim)
{
    if (!holds) {
        fail_msg("%s: %s", where, claim);
    }
}

/* The place where the test is, for a claim that fails. */
static void at_moment(const char *what, struct moment m)
{
    snprintf(where, sizeof(where),
             "%s, %s after call %u, change %u, instruction %u",
             run.operation->name, what, m.call, m.change, m.own);
}

/* ------------------------------------------------------------- the stepped */

static void prepare(void *argument)
{
    struct run *r = argument;

    for (int i = 0; r->operation->prepare[i] != NULL; i++) {
        r->operation->prepare[i](&r->self, r->id);
    }
    /* The kernel's goes on by its ticks: of two beats the second would be
     * another change in one run, if a tick came between them, and no change in
     * the next. This one goes on at each look. */
    fake_clock = (struct clock){.frozen_ms = wm_now(), .pause_ms = 1};
}

static void act(void *argument)
{
    struct run *r = argument;

    ledger->result[r == &second] = r->operation->act(&r->self, r->id);
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
static void turn_clocks(void)
{
    header()->lock.holder_since = 1;
    for (uint32_t i = 0; i < node->segment.geometry.capacity; i++) {
        record(i)->joined_at = 1;
        if (word_at(i) == 0) {
            record(i)->generation = 99;
            record(i)->role = WM_ROLE_HELPER;
            record(i)->stalls = 7;
            cold(i)->spell = 9;
        }
    }
}

static void fork_stepped(struct run *r)
{
    r->self.seen->leader.size = sizeof(r->self.seen->leader);
    step_fork(&r->stepped, prepare, act, depart, r);
    if (record_of(r->stepped.pid) != NULL) {
        run_set_back(r->stepped.pid, NEVER_OVERDUE, LATE_MS);
    }
    if (r->operation->ready != NULL) {
        r->operation->ready(r);
    }
}

static void watch(struct stepped *s)
{
    step_watch(s, header(), wm_segment_size(&node->segment));
    step_watch(s, ledger, sizeof(*ledger));
}

/* A node, its others, and the process that is stepped; and a second one, unless
 * that is NULL, which has a record more unless both want the same. */
static void begin_run(const struct operation *o, const struct operation *other)
{
    bool wants_same =
        other == NULL || (other->set != NULL && other->prepare[0] == NULL);

    memset(ledger, 0, sizeof(*ledger));
    assert_ok(node_set_up_with(wants_same ? 4 : 5));
    run = (struct run){.operation = o, .id = begin(), .self.seen = shared};
    run.sibling = new_worker(1);
    process_leave(new_worker(1));
    if (o->set != NULL) {
        o->set(&run);
    }
    fork_stepped(&run);
    turn_clocks(); /* after all that others do to them */
    if (other != NULL) {
        second = (struct run){.operation = other,
                              .id = run.id,
                              .self.seen = processes[PROCESSES - 1].seen,
                              .sibling = run.sibling,
                              .other = run.other};
        fork_stepped(&second);
        watch(&second.stepped);
    }
    watch(&run.stepped);
}

/* CMocka's teardown: none of it is left. */
static int end_run(UNUSED void **state)
{
    step_clear(&second.stepped);
    step_clear(&run.stepped);
    if (node != NULL) {
        node_tear_down(NULL);
    }
    return 0;
}

/* --------------------------------------------------------------- stepping */

static void step_to_moment(const char *what, struct moment m)
{
    at_moment(what, m);
    must(step_to(&run.stepped, m), "each run comes to the same moments");
}

static uint64_t entries;

static void check_visible(struct stepped *s)
{
    at_moment("stepped", s->at);
    entries += check_step(s);
    must(header()->log_next <= entries,
         "an entry in the log comes after its change");
}

/* Events that were marked as given, and are not in the ledger. */
static uint32_t count_lost(uint32_t marked, uint32_t told)
{
    const uint32_t lost = marked - (ledger->count - told);

    must(lost <= 1, "I4: an event is marked before it is given, one by one");
    return lost;
}

/* The others find what came of it, when it was killed or is over. */
static void look_after(void)
{
    check_swept();
    if (run.operation->after != NULL) {
        run.operation->after(&run);
    }
    others_tell();
}

static void kill_at(struct moment m, uint32_t number)
{
    uint32_t lost, given = ledger_marks(), told = ledger->count;

    step_to_moment("killed", m); /* which was checked when it was stepped */
    run_expect_crash(&run, run.stepped.pid);
    step_kill(&run.stepped, number % 2 == 1);
    lost = count_lost(ledger_marks() - given, told);
    sweep();
    look_after();
    others_end(&run, lost, 1);
}

/* ---------------------------------------------------------------- pausing */

static void finish(void)
{
    long result;

    step_finish(&run.stepped);
    result = ledger->result[0];
    must(result >= 0 || result == -ESTALE || result == -ENOBUFS ||
             result == -EBUSY || result == -EINPROGRESS,
         "it goes on, or fails as it may");
}

static void leave_and_tell(void)
{
    const pid_t pid = run.stepped.pid;

    look_after();
    step_depart(&run.stepped);
    must(record_of(pid) == NULL, "it leaves as others do");
    sweep();
    others_tell();
}

/* At each second moment another has the lock when it goes on, if it may, and
 * another waits for it, as those do that have joined. */
static void pause_at(struct moment m, uint32_t number)
{
    bool hold = number % 2 == 0;
    struct process *late;
    uint32_t workers;

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
    leave_and_tell();
    run.stalls = ledger_stalls(0) - run.untold;
    others_end(&run, 0, 0);
}

/* ------------------------------------------------------------------ pairs */

static uint32_t marked, marks;

/* A joiner wipes off the marks of a former occupant. */
static void check_beside(struct stepped *s)
{
    at_moment("stepped beside another", s->at);
    check_step(s);
    marked += ledger_marks() > marks;
    marks = ledger_marks();
}

/* Whether what others do for the first, if anything, serves the second. */
static bool can_be_second(const struct operation *o,
                          const struct operation *other)
{
    return (other->set == NULL || other->set == o->set) &&
           (other->ready == NULL || other->ready == o->ready);
}

static void pair_at(struct moment m, uint32_t number)
{
    uint32_t lost, stalls, told;
    bool is_over;

    step_to_moment("stopped beside another", m);
    marked = 0;
    marks = ledger_marks();
    told = ledger->count;
    is_over = step_some(&second.stepped, number % LASTS, check_beside);
    lost = count_lost(marked, told);
    run.untold = ledger_untold(second.stepped.pid);
    if (is_over) {
        step_depart(&second.stepped);
    } else {
        run_expect_crash(&run, second.stepped.pid);
        step_kill(&second.stepped, false);
    }
    at_moment(second.operation->name, m);
    step_resume(&run.stepped);
    finish();
    sweep();
    leave_and_tell();
    stalls = ledger_stalls(0);
    run.stalls = (stalls > run.stalls ? stalls : run.stalls) - run.untold;
    others_end(&run, lost, 1);
}

/* ------------------------------------------------------------------ tests */

/* How an operation is interrupted; the moment's number chooses between ways. */
static void (*interrupt)(struct moment m, uint32_t number);

static uint32_t number;

static void interrupt_beside(const struct operation *o,
                             const struct operation *other)
{
    const bool all =
        interrupt == pause_at && (o->is_short || getenv("WM_STEPPING") != NULL);

    begin_run(o, other);
    entries = header()->log_next;
    step_through(&run.stepped, interrupt != kill_at, check_visible);
    must(header()->log_next == entries,
         "each change makes its entry in the log, and nothing else does");
    end_run(NULL);
    for (uint32_t i = 0; i < step_trail_length; i++) {
        if (all || step_is_chosen(i)) {
            begin_run(o, other);
            interrupt(step_trail[i], interrupt == pair_at ? number++ : i);
            end_run(NULL);
        }
    }
}

static void can_be_interrupted(void **state)
{
    number = 0;
    if (interrupt != pair_at) {
        interrupt_beside(*state, NULL);
        return;
    }
    for (size_t i = 0; i < operation_count; i++) {
        if (can_be_second(*state, &operations[i])) {
            interrupt_beside(*state, &operations[i]);
        }
    }
}

int main(int argc, char **argv)
{
    static char names[64][96];
    const char *how = argc > 1 ? argv[1] : "";

    interrupt = strcmp(how, "killed") == 0   ? kill_at
                : strcmp(how, "paused") == 0 ? pause_at
                : strcmp(how, "paired") == 0 ? pair_at
                                             : NULL;
    if (interrupt == NULL) {
        fprintf(stderr, "usage: %s killed|paused|paired [TESTS]\n", argv[0]);
        return 2;
    }
    ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(ledger != MAP_FAILED);
    for (size_t i = 0; i < operation_count; i++) {
        snprintf(names[i], sizeof(names[i]), "%s_can_be_%s", operations[i].name,
                 how);
        test_add(names[i], can_be_interrupted, NULL, end_run, &operations[i]);
    }
    if (argc > 2) {
        setenv("WM_TESTS", argv[2], 0);
    }
    return test_run();
}
