/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Those around the one that is stepped: survivors of its death, and those who
 * go on while it is stopped. They find what it left. What they cannot do ends
 * the test. */

#include "stepping.h"

static bool is_all_told(void)
{
    wm_events_give(node, NULL, ledger_note, NULL);
    return wm_events_owed(node, ~0u) == 0;
}

/* The dead may have signed for the next turn at the lock. */
void others_tell(void)
{
    await(is_all_told());
}

/* A worker that has joined, or NULL where there is no room. */
static struct process *join_if_room(uint64_t id)
{
    struct process *p = new_process();
    long error = call(p, do_join, id);

    if (error == 0) {
        return p;
    }
    must(error == -ENOBUFS, "a worker joins where there is room");
    process_quit(p);
    return NULL;
}

bool others_start(struct process *p)
{
    if (p != NULL) {
        assert_ok(call(p, do_start, 0));
    }
    return p != NULL;
}

static bool is_worker(const struct process *p)
{
    return p->pid != 0 && is_worker_state(run_state(p->pid));
}

uint32_t others_workers(void)
{
    const struct process *p;
    uint32_t n = 0;

    for (uint32_t i = 0; (p = process_at(i)) != NULL; i++) {
        n += is_worker(p);
    }
    return n;
}

int others_shut_down(struct process *p, uint64_t id)
{
    int exits, mine;

    assert_true(call(p, do_lock, 20000) >= 0);
    mine = shut_down(p, id, &exits);
    must(exits <= 1, "no end waits for another");
    if (exits == 1) {
        ledger_note_end(id, p->seen->number);
    }
    assert_ok(call(p, do_unlock, 0));
    process_depart(p);
    return mine;
}

/* Each slot that no living worker has can be taken, and then no more. The first
 * is for the stepped's generation, which ends only with a worker that says so:
 * its master lives. */
static void fill_all(const struct run *r)
{
    uint32_t workers = others_workers();
    uint64_t id = r->id;

    while (others_start(join_if_room(id))) {
        workers++;
        id = 1;
    }
    must(workers == r->capacity, "no slot is lost for good");
}

/* All workers leave; of each generation one is told that it is the last. */
static void end_all(void)
{
    uint32_t lasts[8] = {0};
    struct process *p;

    for (uint32_t i = 0; (p = process_at(i)) != NULL; i++) {
        if (is_worker(p)) {
            uint64_t id = record_of(p->pid)->generation;

            lasts[id % 8] += others_shut_down(p, id) == 1;
            must(lasts[id % 8] <= 1, "I6: one worker is told that it is last");
        } else if (p->pid != 0 && run_state(p->pid) == WM_DRAINING) {
            call(p, do_leave, 0);
        }
    }
    must(lasts[1] == 1, "I6: the last worker is told so");
    others_tell();
}

void others_end(struct run *r, uint32_t lost, uint32_t unfinished)
{
    fill_all(r);
    check_swept();
    end_all();
    check_swept();
    ledger_check(r, lost);
    ledger_check_log(unfinished);
    must(node_files() == 1, "I9: the segment is there while it is used");
}

/* Marked as stalled, if a sweep may do that: its beat is old enough as soon as
 * it may be. The word is not touched here. */
static void stall_if_live(pid_t pid)
{
    struct wm_record *r = record_of(pid);
    unsigned state = run_state(pid), after;

    if (r != NULL && state >= WM_JOINING) {
        set_overdue(slot_of(r), LATE_MS / 2);
        sweep();
        set_overdue(slot_of(r), NEVER_OVERDUE);
    }
    after = run_state(pid);
    must(after == state || (state == WM_LIVE && after == WM_STALLED),
         "I2: a process that is stopped keeps its record");
}

/* The sibling leaves, and its record is there for another. A stall that nobody
 * was told of by then goes with it. */
static void leave(struct run *r)
{
    uint32_t slot = slot_of(record_of(r->sibling->pid));

    r->untold = stalls_at(slot) - wm_given_stalls(cold(slot)->given);
    process_leave(r->sibling);
    r->sibling = NULL;
}

struct process *others_go_on(struct run *r, bool stay)
{
    struct process *comers[3] = {NULL};

    stall_if_live(r->stepped.pid);
    wm_events_give(node, NULL, ledger_note, NULL);
    if (r->sibling != NULL) {
        call(r->sibling, do_beat, 0);
        if (!stay) {
            leave(r);
        }
    }
    comers[0] = join_if_room(1);
    if (r->self.seen->id != 0) {
        comers[1] = join_if_room(r->self.seen->id); /* which may be aborted */
        others_start(comers[1]);
    }
    comers[2] = join_if_room(begin());
    others_start(comers[2]);
    for (int i = 0; i < 3; i++) {
        if (comers[i] != NULL && is_worker(comers[i])) {
            call(comers[i], do_stand, 0);
        }
    }
    check_swept();
    return comers[0];
}
