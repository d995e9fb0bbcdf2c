/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A run: the others are set, a process is forked and stops before it acts; and
 * what its end comes to. */

#include "stepping.h"

#include "process.h"

#include <sys/mman.h>

struct run run, second;
static char where[160];

void must(bool holds, const char *claim)
{
    if (!holds) {
        fail_msg("%s: %s", where, claim);
    }
}

void at_moment(const char *what, struct moment m)
{
    snprintf(where, sizeof(where),
             "%s, %s after call %u, change %u, instruction %u",
             run.operation->name, what, m.call, m.change, m.own);
}

unsigned run_state(pid_t pid)
{
    const struct wm_record *r = record_of(pid);

    return r == NULL ? WM_FREE : state_at(slot_of(r));
}

bool is_worker_state(unsigned state)
{
    return state >= WM_JOINING && state <= WM_STALLED;
}

bool has_ended(uint32_t pid)
{
    char state = process_state((pid_t)pid);

    return state == 0 || state == 'Z' || state == 'X';
}

void run_expect_crash(struct run *r, pid_t pid)
{
    if (is_worker_state(run_state(pid))) {
        r->ended[r->ends++ % LEDGER_SIZE] = record_of(pid)->join;
    }
}

void run_set_back(pid_t pid, uint32_t overdue_ms)
{
    uint32_t slot = slot_of(record_of(pid));

    set_overdue(slot, overdue_ms);
    set_back(slot, LATE_MS);
}

/* ------------------------------------------------------------- the stepped */

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
    for (int i = 0; r->operation->prepare[i] != NULL; i++) {
        r->operation->prepare[i](&r->self, r->id);
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

void fork_stepped(struct run *r, int number)
{
    r->self.seen = &ledger->seen[number];
    r->self.seen->leader.size = sizeof(r->self.seen->leader);
    r->result = &ledger->result[number];
    step_fork(&r->stepped, prepare, act, depart, r);
    if (record_of(r->stepped.pid) != NULL) {
        run_set_back(r->stepped.pid, NEVER_OVERDUE);
    }
    if (r->operation->ready != NULL) {
        r->operation->ready(r);
    }
    if (number == 0) {
        turn_clocks(); /* after all that others do to them */
    }
    step_watch(&r->stepped, header(), node->segment.geometry.size);
    step_watch(&r->stepped, ledger, sizeof(*ledger));
}

void begin_run(const struct operation *operation, uint32_t capacity)
{
    memset(&run, 0, sizeof(run));
    assert_ok(node_set_up_with(capacity));
    ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(ledger != MAP_FAILED);
    run.operation = operation;
    run.id = begin();
    assert_int_equal(run.id, 1);
    run.sibling = new_worker(1);
    process_leave(new_worker(1));
    if (operation->set != NULL) {
        operation->set(&run);
    }
    fork_stepped(&run, 0);
}

int end_run(UNUSED void **state)
{
    step_clear(&second.stepped);
    step_clear(&run.stepped);
    if (node != NULL) {
        node_tear_down(NULL);
        munmap(ledger, sizeof(*ledger));
    }
    return 0;
}
