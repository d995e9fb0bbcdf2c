/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* One worker of the node leads.
 *
 * The leader's word holds a term and the join number of its worker. Only a
 * worker itself takes the lead, by a swap from the word that it has judged,
 * with the next term: so no two workers ever hold one term, and a worker that
 * finds its own number in the word while it was live just before had the lead
 * at that moment. A join number never comes again, so that whoever gets the
 * slot of a former leader does not inherit its lead.
 *
 * A leader is good while its record is LIVE and no live worker is of a newer
 * generation; a word that names any other worker is there to be taken. */

#include "leader.h"

#include "log.h"
#include "record.h"

#define ROUNDS 8 /* while the lead keeps passing on */

/* The records as one election sees them. */
struct poll {
    uint64_t newest; /* generation with live workers */
    uint64_t generation;
    uint64_t join; /* of the leader, 0 if it is not live */
    uint32_t pid;
    uint32_t slot;
};

/* Looks at one record; returns whether it is the live one of this leader. */
static bool look(const struct wm_node *node, uint32_t slot, uint32_t leader,
                 struct poll *p)
{
    const struct wm_record *r = wm_record_at(&node->segment, slot);
    struct wm_occupant o = wm_occupant_of(r, record_word_acquire(r));

    if (wm_word_state(o.word) != WM_LIVE || o.role != WM_ROLE_WORKER ||
        !wm_occupant_is_whole(r, &o)) {
        return false;
    }
    if (o.generation > p->newest) {
        p->newest = o.generation;
    }
    if (wm_leader_of_join(o.join) != leader) {
        return false;
    }
    p->generation = o.generation;
    p->join = o.join;
    p->pid = wm_word_pid(o.word);
    p->slot = slot;
    return true;
}

static void look_at_all(const struct wm_node *node, uint32_t leader,
                        struct poll *p)
{
    uint32_t high = wm_node_high(node);

    *p = (struct poll){0};
    for (uint32_t i = 0; i < high; i++) {
        look(node, i, leader, p);
    }
}

/* The leader where it was last seen. */
static bool look_at_hint(const struct wm_node *node, uint32_t leader,
                         struct poll *p)
{
    uint32_t slot = leader_slot(&node->segment.header->leader);

    *p = (struct poll){0};
    return slot < node->segment.geometry.capacity &&
           look(node, slot, leader, p);
}

static uint64_t load_word(const struct wm_node *node)
{
    return leader_word_acquire(&node->segment.header->leader);
}

static void describe(struct wm_leader *leader, uint64_t word,
                     const struct poll *p)
{
    *leader = (struct wm_leader){
        .generation = p->generation,
        .join = p->join,
        .pid = (int32_t)p->pid,
        .slot = p->join == 0 ? WM_NO_SLOT : p->slot,
        .term = wm_leader_term(word),
    };
}

static bool is_live(const struct wm_worker *w)
{
    const struct wm_record *r = wm_worker_record(w);
    uint64_t word;

    if (r == NULL) {
        return false;
    }
    word = record_word_acquire(r); /* before the leader's word [L] */
    return wm_word_state(word) == WM_LIVE && wm_word_pid(word) == w->pid;
}

static void describe_own(const struct wm_worker *w, struct wm_leader *leader,
                         uint64_t word)
{
    *leader = (struct wm_leader){
        .generation = w->generation,
        .join = w->join,
        .pid = (int32_t)w->pid,
        .slot = w->slot,
        .term = wm_leader_term(word),
        .mine = 1,
    };
}

/* The swap is from the word that was judged: nobody has led in between. */
static bool take_the_lead(struct wm_worker *w, uint64_t *word)
{
    struct wm_leader_area *area = &w->node->segment.header->leader;
    uint64_t mine =
        wm_leader_word(wm_leader_term(*word) + 1, wm_leader_of_join(w->join));

    if (!leader_swap(area, word, mine)) {
        return false;
    }
    *word = mine;
    leader_set_slot(area, w->slot);
    wm_log_append(w->node, WM_LOG_LEADER, w->generation, wm_leader_term(mine),
                  w->pid, w->slot);
    return true;
}

/* Whether the lead is not this worker's to take. */
static bool is_led(const struct wm_worker *w, bool live, uint32_t leader,
                   struct poll *p)
{
    if (look_at_hint(w->node, leader, p) && p->generation >= w->generation) {
        return true;
    }
    look_at_all(w->node, leader, p);
    return !live || w->role != WM_ROLE_WORKER || w->generation < p->newest ||
           (p->join != 0 && p->generation >= p->newest);
}

int wm_leader_stand(struct wm_worker *worker, struct wm_leader *leader)
{
    const struct wm_node *node = worker->node;

    *leader = (struct wm_leader){.slot = WM_NO_SLOT};
    if (wm_worker_record(worker) == NULL) {
        return -ECHILD;
    }
    /* Each round that does not end has met another's swap; after some, the
     * answer is whoever won. */
    for (int round = 0; round < ROUNDS; round++) {
        /* First the state, then the word: if we are named there, we were
         * live and leading at that moment. */
        bool live = is_live(worker);
        uint64_t word = load_word(node);
        struct poll p;

        if (live && wm_leader_who(word) == wm_leader_of_join(worker->join)) {
            describe_own(worker, leader, word);
            return 1;
        }
        if (is_led(worker, live, wm_leader_who(word), &p)) {
            if (load_word(node) == word) {
                describe(leader, word, &p);
                return 0;
            }
        } else if (take_the_lead(worker, &word)) {
            describe_own(worker, leader, word);
            return 1;
        }
    }
    wm_leader_inspect(node, leader);
    return (int)leader->mine;
}

void wm_leader_inspect(const struct wm_node *node, struct wm_leader *leader)
{
    struct poll p;
    uint64_t word;
    int round = 0;

    /* Who was named before the look may have led again after another. */
    do {
        word = load_word(node);
        if (!look_at_hint(node, wm_leader_who(word), &p)) {
            look_at_all(node, wm_leader_who(word), &p);
        }
    } while (load_word(node) != word && ++round < ROUNDS);
    describe(leader, word, &p);
    leader->mine = p.join != 0 && wm_worker_record(&node->worker) != NULL &&
                   node->worker.join == p.join;
}

void wm_leader_resign(struct wm_worker *worker)
{
    struct wm_leader_area *area = &worker->node->segment.header->leader;
    uint64_t word = load_word(worker->node);

    if (worker->join != 0 &&
        wm_leader_who(word) == wm_leader_of_join(worker->join) &&
        leader_swap(area, &word, wm_leader_word(wm_leader_term(word), 0))) {
        wm_log_append(worker->node, WM_LOG_LEADER_LOST, worker->generation,
                      wm_leader_term(word), worker->pid, worker->slot);
    }
}
