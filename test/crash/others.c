/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Those around the one that is stepped: they find what it left, and go on. */

#include "others.h"

#include "books.h"
#include "invariants.h"

#include <time.h>

/* Sweeps, and tells what is owed, until it is all told: the dead may have
 * signed for the next turn at the lock. */
void others_tell(struct play *p)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct wm_node *node = p->scene->node;

    for (int ms = 0; ms < 20000; ms++) {
        wm_events_give(node, NULL, book_note, p->book);
        if (wm_events_owed(node, ~0u) == 0) {
            return;
        }
        nanosleep(&pause, NULL);
    }
    must(false, "what is owed can be told");
}

/* A worker that has joined, or NULL where there is no room. */
static struct actor *join_if_room(struct scene *s, uint64_t generation)
{
    struct actor *a = scene_actor(s);
    long error = actor_do(a, act_join, (long)generation);

    if (error == 0) {
        return a;
    }
    must(error == -ENOBUFS, "a worker joins where there is room");
    actor_quit(a);
    return NULL;
}

bool others_start(struct actor *a)
{
    if (a != NULL) {
        assert_int_equal(actor_do(a, act_start, 0), 0);
    }
    return a != NULL;
}

static bool is_worker(const struct play *p, const struct actor *a)
{
    unsigned state = a->pid == 0 ? WM_FREE : play_state(p, a->pid);

    return state >= WM_JOINING && state <= WM_STALLED;
}

uint32_t others_workers(const struct play *p)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->scene->actors; i++) {
        n += is_worker(p, &p->scene->actor[i]);
    }
    return n;
}

/* Each slot that no living worker has can be taken, and then no more. The first
 * is for the victim's generation, which ends only with a worker that says so:
 * its master lives. */
static void fill_all(struct play *p)
{
    struct scene *s = p->scene;
    uint32_t workers = others_workers(p);
    uint64_t generation = p->generation;

    while (others_start(join_if_room(s, generation))) {
        workers++;
        generation = 1;
    }
    must(workers == p->capacity, "no slot is lost for good");
}

/* The end of a worker; returns whether it is told that it is the last. */
static bool shut_down(struct play *p, struct actor *a)
{
    uint64_t generation = atomic_load(&play_record(p, a->pid)->generation);
    int exits, mine;

    assert_true(actor_do(a, act_lock, 20000) >= 0);
    mine = actor_shut_down(a, generation, &exits);
    if (exits > 0) {
        const struct wm_event e = {.kind = WM_EVENT_MASTER_EXIT,
                                   .generation = generation,
                                   .spell = a->board->number};

        must(exits == 1, "no end waits for another");
        book_note(&e, p->book);
    }
    assert_int_equal(actor_do(a, act_unlock, 0), 0);
    assert_int_equal(actor_do(a, act_leave, 0), 0);
    actor_quit(a);
    return mine == 1;
}

/* All workers leave; of each generation one is told that it is the last. */
static void end_all(struct play *p)
{
    struct scene *s = p->scene;
    uint32_t lasts[8] = {0};

    for (uint32_t i = 0; i < s->actors; i++) {
        struct actor *a = &s->actor[i];

        if (is_worker(p, a)) {
            uint64_t id = atomic_load(&play_record(p, a->pid)->generation);

            lasts[id % 8] += shut_down(p, a);
            must(lasts[id % 8] <= 1, "I6: one worker is told that it is last");
        } else if (a->pid != 0 && play_state(p, a->pid) == WM_DRAINING) {
            actor_do(a, act_leave, 0);
        }
    }
    must(lasts[1] == 1, "I6: the last worker is told so");
    others_tell(p);
}

/* What every end of a play comes to. */
void others_end(struct play *p, uint32_t lost, uint32_t unfinished)
{
    fill_all(p);
    check_swept(p->scene->node);
    end_all(p);
    check_swept(p->scene->node);
    books_check(p, lost);
    books_check_log(p, unfinished);
    must(scene_files(p->scene) == 1,
         "I9: the segment is there while it is used");
}

/* Marked as stalled, if a sweep may do that: its beat is old enough as soon as
 * it may be. The word is not touched here. */
static void stall(struct play *p)
{
    struct wm_record *r = play_record(p, p->victim.pid);
    unsigned state = play_state(p, p->victim.pid), after;

    if (r != NULL && state >= WM_JOINING) {
        atomic_store(&r->overdue_ms, PLAY_LATE_MS / 2);
        wm_sweep(p->scene->node, NULL);
        atomic_store(&r->overdue_ms, SCENE_NEVER);
    }
    after = play_state(p, p->victim.pid);
    must(after == state || (state == WM_LIVE && after == WM_STALLED),
         "I2: whoever is stopped keeps its record");
}

/* The sibling leaves, and its record is there for another. A stall that nobody
 * was told of by then goes with it. */
static void leave(struct play *p)
{
    struct actor *a = p->sibling;
    const struct wm_record *r = play_record(p, a->pid);
    const struct wm_segment *s = &p->scene->node->segment;
    uint64_t given = atomic_load(&s->colds[r - s->records].given);

    p->untold = (uint32_t)atomic_load(&r->stalls) - wm_given_stalls(given);
    actor_do(a, act_drain, 0);
    actor_do(a, act_leave, 0);
    actor_quit(a);
    p->sibling = NULL;
}

/* The others' life goes on: they sweep, tell, leave, join, reload, lead.
 * Returns a worker that has joined, and is to start later. */
struct actor *others_go_on(struct play *p, bool stay)
{
    struct scene *s = p->scene;
    uint32_t before = s->actors;
    struct actor *late;

    stall(p);
    wm_events_give(s->node, NULL, book_note, p->book);
    if (p->sibling != NULL) {
        actor_do(p->sibling, act_beat, 0);
        if (!stay) {
            leave(p);
        }
    }
    late = join_if_room(s, 1);
    if (p->answer->id != 0) {
        others_start(join_if_room(s, p->answer->id)); /* which may be aborted */
    }
    others_start(join_if_room(s, scene_begin(s)));
    for (uint32_t i = before; i < s->actors; i++) {
        if (is_worker(p, &s->actor[i])) {
            actor_do(&s->actor[i], act_lead, 0);
        }
    }
    check_swept(s->node);
    return late;
}
