/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A monitor under load: a node that churns, dies and is born again, readers
 * that look all the time, subscribers that come and go, forks in between.
 *
 * Every view proves itself: each worker's overdue time is made from its pid,
 * lists are in order, numbers count up. Freed memory is overwritten, so that a
 * view or a subscriber that is used after its end does not look like one, and
 * the sanitizers see it in their own way. The work is bounded by the node's: so
 * many lives, so many joins in each. The moments are random. */

#include "processes.h"
#include "watch.h"

#include <malloc.h>
#include <sched.h>
#include <stdatomic.h>

#define LIVES 6
#define WORKERS 2
#define JOINS 600 /* of each worker in a life */
#define FORKS 10  /* in a life */
#define READERS 2
#define OWNERS 2      /* threads that have subscribers */
#define SUBSCRIBERS 4 /* that each has at a time */
#define LEAVERS 50    /* of each that leave by themselves */

#define OVERDUE(pid) ((uint32_t)(pid) + 1000000)
#define MAGIC UINT32_C(0x67756573)
#define LEFT UINT32_C(0x6c656674)

static struct wm_monitor *monitor;
static atomic_int wrong;
static atomic_bool over;      /* this life */
static atomic_ullong looks;   /* of readers */
static atomic_ullong answers; /* of subscribers */

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* ------------------------------------------------------------ the churn */

static long do_churn(UNUSED struct process *self, uint64_t id)
{
    const struct wm_join_options options = {.size = sizeof(options),
                                            .overdue_ms = OVERDUE(getpid())};

    for (int i = 0; i < JOINS; i++) {
        struct wm_worker *w;
        struct wm_counts c;
        struct wm_leader leader = {.size = sizeof(leader)};

        if (wm_worker_join(node, id, &options, &w) != 0 ||
            wm_worker_start(w, &c) != 0 || wm_leader_stand(w, &leader) < 0 ||
            wm_worker_drain(w) != 0) {
            return -1;
        }
        wm_generation_close(node, id);
        if (wm_worker_leave(w) != 0) {
            return -1;
        }
    }
    return 0;
}

/* All ends are taken, so that the node leaves nothing behind. */
static long do_end_well(struct process *self, uint64_t id)
{
    wm_events_give(node, NULL, NULL, NULL);
    while (do_take_exit(self, id) == 1) {
    }
    return do_release(self, 0);
}

/* ------------------------------------------------------------ the readers */

static int check(const struct wm_view *v)
{
    int bad = watch_check(v);

    for (uint32_t i = 0; i < v->worker_count; i++) {
        const struct wm_worker_info *w = &v->workers[i];

        /* A claim that is being written, or a record changing hands in an
         * unsettled look, may show any two. */
        bad += v->unsettled == 0 && w->state != WM_CLAIMED &&
               w->overdue_ms != OVERDUE(w->pid);
    }
    return bad + (v->worker_count > 8);
}

static void *look(UNUSED void *argument)
{
    uint64_t last = 0;

    while (!over) {
        const struct wm_view *v = wm_monitor_view_begin(monitor), *nested;

        wrong += check(v) + (v->number < last);
        last = v->number;
        nested = wm_monitor_view_begin(monitor);
        wrong += check(nested) + (nested->number < last);
        wm_monitor_view_end(nested);
        wrong += check(v) + (v->number != last);
        wm_monitor_view_end(v);
        looks++;
        sched_yield();
    }
    return NULL;
}

/* -------------------------------------------------------- the subscribers */

struct subscriber {
    struct wm_subscription *subscription;
    _Atomic uint32_t magic;
    uint32_t leaves_after; /* calls; 0: is unsubscribed */
    uint64_t last;
    struct subscriber *next;
};

static void answer(const struct wm_view *before, const struct wm_view *now,
                   void *argument)
{
    struct subscriber *g = argument;

    wrong += g->magic != MAGIC;
    wrong += check(before) + check(now) + (now->number != before->number + 1) +
             (g->last != 0 && before->number != g->last);
    g->last = now->number;
    answers++;
    if (g->leaves_after > 0 && --g->leaves_after == 0) {
        g->magic = LEFT;
        wrong += wm_monitor_unsubscribe(g->subscription) != 0;
    }
}

static struct subscriber *subscribe(uint32_t leaves_after)
{
    struct subscriber *g = calloc(1, sizeof(*g));

    if (g == NULL) {
        abort();
    }
    g->magic = MAGIC;
    g->leaves_after = leaves_after;
    if (wm_monitor_subscribe(monitor, answer, g, &g->subscription) != 0) {
        wrong++;
    }
    return g;
}

/* Nobody calls it any more: its memory goes at once. */
static void unsubscribe(struct subscriber *g)
{
    wrong += wm_monitor_unsubscribe(g->subscription) != 0;
    free(g);
}

struct owner {
    pthread_t thread;
    uint32_t seed;
    int leavers;
    struct subscriber *left; /* or not: freed when the monitor is gone */
};

static void *come_and_go(void *argument)
{
    struct owner *h = argument;
    struct subscriber *subscriber[SUBSCRIBERS] = {NULL};

    while (!over) {
        struct subscriber **g =
            &subscriber[next_random(&h->seed) % SUBSCRIBERS];

        if (*g != NULL) {
            unsubscribe(*g);
            *g = NULL;
        } else if (next_random(&h->seed) % 4 != 0) {
            *g = subscribe(0);
        } else if (h->leavers < LEAVERS) {
            struct subscriber *leaver =
                subscribe(1 + next_random(&h->seed) % 3);

            h->leavers++;
            leaver->next = h->left;
            h->left = leaver;
        }
        sched_yield();
    }
    for (int i = 0; i < SUBSCRIBERS; i++) {
        if (subscriber[i] != NULL) {
            unsubscribe(subscriber[i]);
        }
    }
    return NULL;
}

/* --------------------------------------------------------------- the life */

static int looks_and_destroys(UNUSED const void *argument)
{
    const struct wm_view *v = wm_monitor_view_begin(monitor);
    int bad = check(v);

    alarm(60); /* rather than a hang */
    wm_monitor_view_end(v);
    return bad != 0 || wm_monitor_destroy(monitor) != 0;
}

/* Dies at a random moment, or comes to an end. */
static void live(struct watch *w, struct process *master, bool dies,
                 uint32_t *seed)
{
    struct process *worker[WORKERS];
    uint64_t calls = answers;

    assert_ok(call(master, do_attach, 8));
    for (int i = 0; i < WORKERS; i++) {
        worker[i] = process_fork(master);
        call_begin(worker[i], do_churn, 1);
    }
    watch_await(w, watch_live, 1);
    for (int i = 0; i < FORKS; i++) {
        assert_check(looks_and_destroys, NULL);
    }
    if (dies) {
        calls += next_random(seed) % 200;
        for (uint64_t i = 0; i < 2000 && answers < calls; i++) {
            sched_yield();
        }
        for (int i = 0; i < WORKERS; i++) {
            process_kill(worker[i]);
        }
        process_kill(master);
        watch_await(w, watch_error, -ESRCH);
        return;
    }
    for (int i = 0; i < WORKERS; i++) {
        assert_ok(call_end(worker[i]));
        process_quit(worker[i]);
    }
    assert_ok(call(master, do_end_well, 1));
    /* A look for segments every 2 ms may have kept this life from unlinking
     * its own, or the dead one before it: the next does. */
    watch_await(w, watch_live, 0);
}

EMPTY_NODE_TEST(readers_subscribers_and_forks_over_a_node_that_churns)
{
    const char *given = getenv("WM_SEED");
    uint32_t seed =
        given != NULL ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)wm_now();
    struct process *master[LIVES];
    pthread_t reader[READERS];
    struct owner owner[OWNERS] = {{.leavers = 0}};
    struct watch w;

    print_message("# WM_SEED=%u\n", seed);
    seed |= 1; /* 0 stays 0 */
    node_give_up();
    for (int i = 0; i < LIVES; i++) {
        master[i] = new_process(); /* before there are threads */
    }
    watch_begin(&w, test_instance, NULL, 2);
    monitor = w.monitor;
    for (int i = 0; i < LIVES; i++) {
        over = false;
        for (int k = 0; k < READERS; k++) {
            assert_ok(pthread_create(&reader[k], NULL, look, NULL));
        }
        for (int k = 0; k < OWNERS; k++) {
            owner[k].seed = next_random(&seed) | 1;
            assert_ok(
                pthread_create(&owner[k].thread, NULL, come_and_go, &owner[k]));
        }
        live(&w, master[i], i % 2 == 0, &seed);
        over = true;
        for (int k = 0; k < READERS; k++) {
            pthread_join(reader[k], NULL);
        }
        for (int k = 0; k < OWNERS; k++) {
            pthread_join(owner[k].thread, NULL);
        }
    }
    print_message("# %llu looks, %llu views, %llu calls\n", looks,
                  (unsigned long long)watch_number(&w), answers);
    watch_end(&w);
    for (int k = 0; k < OWNERS; k++) {
        while (owner[k].left != NULL) {
            struct subscriber *g = owner[k].left;

            owner[k].left = g->next;
            free(g);
        }
    }
    assert_int_equal(wrong, 0);
    assert_true(looks > 0 && answers > 0);
}

int main(void)
{
    mallopt(M_PERTURB, 0xa5); /* what is freed is overwritten */
    return test_run();
}
