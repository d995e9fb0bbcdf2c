/* SPDX-License-Identifier: Apache-2.0 */

/* Those around the one that is stepped: survivors of its death, and those who
 * go on while it is stopped. They find what it left, and the ledger has who was
 * told what: nothing is told twice, nothing that is owed is lost, and the log
 * has an entry for each change. If they cannot go on, the test ends. */

#include "stepping.h"

#include "log.h"

struct ledger *ledger;

void ledger_note(const struct wm_event *event, UNUSED void *unused)
{
    /* In this order: a death in between has told nobody. */
    ledger->event[ledger->count % LEDGER_SIZE] = *event;
    ledger->count++;
}

void ledger_note_end(uint64_t id, uint32_t spell)
{
    const struct wm_event e = {
        .kind = WM_EVENT_MASTER_EXIT, .generation = id, .spell = spell};

    ledger_note(&e, NULL);
}

uint32_t ledger_marks(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < node->segment.geometry.capacity; i++) {
        n += (uint32_t)(cold(i)->given & 1) + wm_given_stalls(cold(i)->given);
    }
    for (uint32_t i = 0; i < node->segment.geometry.generations; i++) {
        uint64_t word = generation_record(i)->word;

        n += wm_gen_state(word) >= WM_GENERATION_BEGUN ? wm_gen_given(word) : 0;
    }
    return n;
}

static bool is_crash(const struct wm_event *e)
{
    return e->kind == WM_EVENT_CRASHED || e->kind == WM_EVENT_CRASHED_DRAINING;
}

/* Crashes that were told, of one joining or, with 0, of all. */
static uint32_t crashes(uint64_t join)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < ledger->count; i++) {
        const struct wm_event *e = &ledger->event[i];

        n += is_crash(e) && (join == 0 || e->join == join);
    }
    return n;
}

static bool is_same(const struct wm_event *x, const struct wm_event *y)
{
    return x->kind == y->kind && x->kind != WM_EVENT_STALLED &&
           (is_crash(x)
                ? x->join == y->join
                : x->generation == y->generation && x->spell == y->spell);
}

static uint32_t spells_that_ended(void)
{
    struct wm_generation_info list[256];
    uint32_t count, n = 0;

    assert_ok(wm_generations(node, list, sizeof(*list), 256, &count));
    for (uint32_t i = 0; i < count; i++) {
        must(list[i].state != WM_GENERATION_ACTIVE,
             "a generation ends with its last worker");
        must(list[i].state != WM_GENERATION_BEGUN ||
                 !has_ended((uint32_t)list[i].master),
             "one that a dead master has begun is aborted");
        n += list[i].spell;
    }
    return n;
}

static void check_told(const struct run *r, uint32_t lost)
{
    must(ledger->count <= LEDGER_SIZE, "no more is told than there is");
    for (uint32_t i = 0; i < ledger->count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            must(!is_same(&ledger->event[i], &ledger->event[j]),
                 "I4: nothing is told twice");
        }
    }
    for (uint32_t i = 0; i < r->ends; i++) {
        must(crashes(r->ended[i]) + lost >= 1, "each crash is told");
    }
    must(crashes(0) <= r->ends, "I3: nobody is told of a crash that was none");
    must(ledger->count + lost == r->ends + r->stalls + spells_that_ended(),
         "all that is owed is told once");
    must(wm_events_owed(node, ~0u) == 0, "nothing stays owed");
}

static struct wm_log_entry entries[256];
static uint32_t entry_count; /* all that is whole, as it was read last */
static uint64_t missed;

/* Returns the number of the last. */
static uint64_t read_log(void)
{
    uint64_t since = 0;

    wm_log_read_within(node, &since, entries, sizeof(*entries), COUNT(entries),
                       &entry_count, &missed, 0);
    return since;
}

static void check_log(uint32_t unfinished)
{
    uint32_t leaders[64] = {0}; /* by term */
    const uint64_t last = read_log();

    must(missed <= unfinished, "an entry is missed only if its writer died");
    must(entry_count + missed == last && last == header()->log_next,
         "each number of the log has its entry");
    /* Not in order: a worker that took the lead makes its entry later. */
    for (uint32_t i = 0; i < entry_count; i++) {
        const uint64_t term = entries[i].value;

        if (entries[i].kind == WM_LOG_LEADER) {
            must(term <= wm_leader_term(header()->leader.word),
                 "I11: terms grow");
            must(leaders[term % COUNT(leaders)]++ == 0,
                 "I11: each leader has a term of its own");
        }
    }
}

uint32_t ledger_stalls(uint64_t join)
{
    uint32_t n = 0;

    read_log();
    for (uint32_t i = 0; i < entry_count; i++) {
        n += entries[i].kind == WM_LOG_WORKER_STALLED &&
             (join == 0 || entries[i].value == join);
    }
    return n;
}

uint32_t ledger_untold(pid_t pid)
{
    const struct wm_record *r = record_of(pid);

    if (r == NULL || state_at(slot_of(r)) < WM_JOINING) {
        return 0; /* a record that is claimed shows its former occupant */
    }
    return ledger_stalls(r->join) - wm_given_stalls(cold(slot_of(r))->given);
}

void ledger_check_stalls(void)
{
    for (uint32_t i = 0; i < node->segment.geometry.capacity; i++) {
        unsigned state = state_at(i);

        must(state < WM_JOINING || state > WM_DRAINING ||
                 stalls_at(i) + (state == WM_STALLED) ==
                     ledger_stalls(record(i)->join),
             "a worker counts each stall that it comes back from");
    }
}

/* The dead may have signed for the next turn at the lock. */
void others_tell(void)
{
    await(wm_events_give(node, NULL, ledger_note, NULL) >= 0 &&
          wm_events_owed(node, ~0u) == 0);
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
    uint32_t n = 0;

    for (uint32_t i = 0; i < PROCESSES; i++) {
        n += is_worker(&processes[i]);
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
 * is for the stepped's generation: its master lives, so a worker ends it. */
static void fill_all(const struct run *r)
{
    uint32_t workers = others_workers();
    uint64_t id = r->id;

    while (others_start(join_if_room(id))) {
        workers++;
        id = 1;
    }
    must(workers == node->segment.geometry.capacity,
         "no slot is lost for good");
}

/* All workers leave; of each generation one is told that it is the last. */
static void end_all(void)
{
    uint32_t lasts[8] = {0};

    for (uint32_t i = 0; i < PROCESSES; i++) {
        struct process *p = &processes[i];

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
    check_told(r, lost);
    check_log(unfinished);
    must(node_files() == 1, "I9: the segment is there while it is used");
}

struct process *others_go_on(struct run *r, bool stay)
{
    struct wm_record *its = record_of(r->stepped.pid);
    unsigned state = run_state(r->stepped.pid), now;
    struct process *late;
    uint32_t slot;

    /* It is stalled, if a sweep may mark that: its beat is old enough as soon
     * as it may be. The word is not touched here. */
    if (its != NULL && state >= WM_JOINING) {
        set_overdue(slot_of(its), LATE_MS / 2);
        sweep();
        set_overdue(slot_of(its), NEVER_OVERDUE);
    }
    now = run_state(r->stepped.pid);
    must(now == state || (state == WM_LIVE && now == WM_STALLED),
         "I2: a process that is stopped keeps its record");
    wm_events_give(node, NULL, ledger_note, NULL);
    if (r->sibling != NULL) {
        call(r->sibling, do_beat, 0);
        if (!stay) {
            /* A stall that nobody was told of by now goes with it. */
            slot = slot_of(record_of(r->sibling->pid));
            r->untold = stalls_at(slot) - wm_given_stalls(cold(slot)->given);
            process_leave(r->sibling);
            r->sibling = NULL;
        }
    }
    late = join_if_room(1);
    if (r->self.seen->id != 0) { /* which may be aborted */
        others_start(join_if_room(r->self.seen->id));
    }
    others_start(join_if_room(begin()));
    for (int i = 0; i < PROCESSES; i++) {
        if (is_worker(&processes[i])) {
            call(&processes[i], do_stand, 0);
        }
    }
    check_swept();
    return late;
}
