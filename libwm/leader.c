/* SPDX-License-Identifier: Apache-2.0 */

/* One worker of the node leads.
 *
 * Definitions. The leader's word holds a term, and a number made of the join
 * number of the worker that leads. A leader is *good* while its record is LIVE
 * and no live worker is of a newer generation. A worker is *settled* if it has
 * beaten when it had joined longer than an interval ago, and *young* as long as
 * it has joined within an interval. A worker *stands* by asking: it takes the
 * lead if it is live, if it is of the newest generation that has live workers,
 * if the word names no good leader, and if it is not young, or no live worker
 * of its generation is settled.
 *
 *     worker:   load own state .. load word W .. look at records .. swap from W
 *
 * 1. Only a worker itself puts its number into the word, by a swap from W to
 *    the next term. So no two workers ever hold one term [I11]; and if the lead
 *    passed on while a worker took its time, the swap of that worker fails.
 * 2. If W names the worker, and its own state, which was loaded before W, was
 *    LIVE, then the worker was live and leading at the moment of that load: no
 *    other process can have put its number there since [L].
 * 3. If W names another worker, and the word is still W after the look, then
 *    all that the look found of that leader was so while W stood.
 * 4. A join number never comes again, so that the next worker in the slot of a
 *    former leader does not inherit its lead.
 * 5. Only a young worker leaves a free lead to others. So the lead is free for
 *    no longer than until a worker asks that is not young. But for this rule,
 *    where one worker dies again and again, each replacement would lead, as it
 *    is the first that asks after a death.
 *
 * A leader may be stopped after it asked, while another worker takes over; then
 * its answer comes late. The term is there for this case: the leader hands it
 * along to whatever it writes to, and the receiver refuses a term that is older
 * than one it has seen. If a leader dies, another worker takes over as soon as
 * a sweep has marked the dead one. */

#include "leader.h"

#include "log.h"
#include "process.h"
#include "record.h"

#define ROUNDS 8 /* while the lead keeps passing on */

/* The records as one election sees them. */
struct poll {
    uint64_t newest;  /* generation with live workers */
    uint64_t settled; /* newest generation with settled ones */
    uint32_t interval_ms;
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
    uint64_t joined_at = record_joined_at_acquire(r);

    /* Safeguard: leader_is_live_at_both_looks */
    if (wm_word_state(o.word) != WM_LIVE || o.role != WM_ROLE_WORKER ||
        !wm_occupant_is_whole(r, &o)) {
        return false;
    }
    if (o.generation > p->newest) {
        p->newest = o.generation;
    }
    if (o.generation > p->settled &&
        wm_word_overdue(joined_at, wm_word_beat(o.word), p->interval_ms)) {
        p->settled = o.generation;
    }
    /* Safeguard: leader_is_known_by_its_join */
    if (wm_leader_of_join(o.join) != leader) {
        return false;
    }
    p->generation = o.generation;
    p->join = o.join;
    p->pid = wm_word_pid(o.word);
    p->slot = slot;
    return true;
}

/* Looks at all records for the leader, and for the newest generation that has
 * live workers. A pass does not show one moment; so a decision that rests on it
 * is a swap from the word that was loaded before. */
static void look_at_all(const struct wm_node *node, uint32_t leader,
                        uint32_t interval_ms, struct poll *p)
{
    uint32_t high = wm_node_high(node);

    *p = (struct poll){.interval_ms = interval_ms};
    for (uint32_t i = 0; i < high; i++) {
        look(node, i, leader, p);
    }
}

/* Looks for the leader where the hint says. The hint may be any number: the
 * record there counts only if it is the leader's, by its join number. */
static bool look_at_hint(const struct wm_node *node, uint32_t leader,
                         struct poll *p)
{
    uint32_t slot = leader_slot(&node->segment.header->leader);

    *p = (struct poll){0};
    /* Safeguard: hint_is_bounded */
    return slot < node->segment.geometry.capacity &&
           look(node, slot, leader, p);
}

static uint64_t load_word(const struct wm_node *node)
{
    return leader_word_acquire(&node->segment.header->leader);
}

/* Fills in what a look found between two loads of this very word. */
static void describe(struct wm_leader *leader, uint64_t word,
                     const struct poll *p)
{
    *leader = (struct wm_leader){
        .size = sizeof(*leader),
        .term = wm_leader_term(word),
        .generation = p->generation,
        .join = p->join,
        .pid = (int32_t)p->pid,
        .slot = p->join == 0 ? WM_NO_SLOT : p->slot,
    };
}

/* Whether this worker is LIVE. Its state is loaded before the leader's word:
 * conclusion 2 rests on this order. */
static bool is_live(const struct wm_worker *w)
{
    const struct wm_record *r = wm_worker_record(w);
    uint64_t word;

    if (r == NULL) {
        return false;
    }
    word = record_word_acquire(r); /* before the leader's word [L] */
    /* Safeguard: leader_looks_at_itself_first */
    return wm_word_state(word) == WM_LIVE && wm_word_pid(word) == w->pid;
}

/* If the worker itself leads, no look is needed: it is live, and named. */
static void describe_own(const struct wm_worker *w, struct wm_leader *leader,
                         uint64_t word)
{
    *leader = (struct wm_leader){
        .size = sizeof(*leader),
        .term = wm_leader_term(word),
        .generation = w->generation,
        .join = w->join,
        .pid = (int32_t)w->pid,
        .slot = w->slot,
        .mine = 1,
    };
}

/* The swap is from the word that was judged, so nobody has led in between. The
 * hint follows the swap. If the worker dies in between, an old hint stays,
 * which costs the others one look at all records. */
static bool take_the_lead(struct wm_worker *w, uint64_t *word)
{
    struct wm_leader_area *area = &w->node->segment.header->leader;
    /* Safeguard: each_lead_has_a_new_term */
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

/* Whether this worker has joined within an interval. */
static bool is_young(const struct wm_worker *w)
{
    const struct wm_record *r = wm_worker_record(w);

    return r != NULL && !wm_word_overdue(record_joined_at_acquire(r), wm_now(),
                                         w->interval_ms);
}

/* Whether this worker must not take the lead: there is a good leader, or the
 * worker may not stand, or it leaves a free lead to a settled one. If the
 * leader is live, and of the worker's own or of a newer generation, the worker
 * need not look at all records: workers of a still newer generation stand for
 * themselves. */
static bool is_led(const struct wm_worker *w, bool live, uint32_t leader,
                   struct poll *p)
{
    if (look_at_hint(w->node, leader, p) && p->generation >= w->generation) {
        return true;
    }
    look_at_all(w->node, leader, w->interval_ms, p);
    /* Safeguard: helpers_and_older_workers_do_not_lead */
    return !live || w->role != WM_ROLE_WORKER || w->generation < p->newest ||
           /* Safeguard: young_worker_leaves_the_lead_to_the_settled */
           (p->settled >= p->newest && is_young(w)) ||
           /* Safeguard: older_leader_is_replaced */
           (p->join != 0 && p->generation >= p->newest);
}

/* Asks without standing. Nothing is written, so a process that has mapped the
 * segment read-only may ask as well. If the lead passed on in each of ROUNDS
 * rounds, the answer is that of the last look. Its term is that of the word
 * before the look, so a receiver that has seen a newer term refuses it. */
static void inspect(const struct wm_node *node, struct wm_leader *leader)
{
    struct poll p;
    uint64_t word;
    int round = 0;

    /* The word is loaded again after the look: a worker that the look found may
     * have led only after another one that the word named. */
    do {
        word = load_word(node);
        if (!look_at_hint(node, wm_leader_who(word), &p)) {
            look_at_all(node, wm_leader_who(word), 0, &p);
        }
    } while (load_word(node) != word && ++round < ROUNDS);
    describe(leader, word, &p);
    /* Compared by record and pid, since another thread may be writing the
     * handle's join number. */
    leader->mine = p.join != 0 &&
                   wm_worker_record(&node->worker) ==
                       wm_record_at(&node->segment, p.slot) &&
                   p.pid == wm_ident_pid(wm_self_ident());
}

/* ROUNDS bounds the call, whatever other processes do: a round that does not
 * return has met another worker's swap. After the last round, the answer is the
 * worker that has the lead then. */
static int stand(struct wm_worker *worker, struct wm_leader *leader)
{
    const struct wm_node *node = worker->node;
    int error = wm_worker_usable(worker);

    *leader = (struct wm_leader){.size = sizeof(*leader), .slot = WM_NO_SLOT};
    if (error != 0) {
        return error;
    }
    for (int round = 0; round < ROUNDS; round++) {
        /* The state is loaded first, then the word: if the word names this
         * worker, it was live and leading at the first load. */
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
    inspect(node, leader);
    return (int)leader->mine;
}

int wm_leader_stand(struct wm_worker *worker, struct wm_leader *leader)
{
    WM_REQUIRE(worker);

    struct wm_leader own;
    int result = wm_sized_check(leader, WM_LEAST(wm_leader, reserved));

    if (result != 0) {
        return result;
    }
    if (leader->size == sizeof(own)) { /* as usual: in place */
        return stand(worker, leader);
    }
    result = stand(worker, &own);
    wm_sized_write(leader, &own, sizeof(own));
    return result;
}

int wm_leader_inspect(const struct wm_node *node, struct wm_leader *leader)
{
    WM_REQUIRE(node);

    struct wm_leader own;
    int error = wm_sized_check(leader, WM_LEAST(wm_leader, reserved));

    if (error == 0) {
        inspect(node, &own);
        wm_sized_write(leader, &own, sizeof(own));
    }
    return error;
}

/* A worker that drains or leaves gives its lead up. If another thread of the
 * process stands at the same time, the lead may stay with a worker that is not
 * LIVE any more: the next worker that asks takes it. */
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
