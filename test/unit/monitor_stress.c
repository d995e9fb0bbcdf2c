/* SPDX-License-Identifier: Apache-2.0 */

/* A monitor under load: a node that churns, dies and is born again, readers
 * that look all the time, subscribers that come and go, forks in between.
 *
 * Every view proves itself: pids can be, lists are in order, numbers count up.
 * Freed memory is overwritten (by meson's MALLOC_PERTURB_), so that a view or a
 * subscriber does not look like one after its end, and the sanitizers see that
 * it is used. The work is bounded by the node's: so many lives, so many joins
 * in each. The moments are random. */

#include "watch.h"

#include <pthread.h>
#include <sched.h>

#define LIVES 6
#define WORKERS 2
#define JOINS 600 /* of each worker in a life */
#define FORKS 10  /* in a life */
#define READERS 2
#define THREADS 6  /* readers, and those that have one subscriber at a time */
#define LEAVERS 20 /* of each that leave by themselves */

#define MAGIC UINT32_C(0x67756573)

static atomic_bool over;      /* this life */
static atomic_ullong looks;   /* of readers */
static atomic_ullong answers; /* of subscribers */

static long do_churn(struct process *self, uint64_t id)
{
    bool failed = false;

    for (int i = 0; i < JOINS && !failed; i++) {
        failed = do_join(self, id) != 0 || do_start(self, 0) != 0 ||
                 do_stand(self, 0) < 0 || do_drain(self, 0) != 0;
        do_close(self, id);
        failed = failed || do_leave(self, 0) != 0;
    }
    return failed;
}

/* All ends are taken, so that the node leaves nothing behind. */
static long do_end_well(struct process *self, uint64_t id)
{
    wm_events_give(node, NULL, NULL, NULL);
    while (do_take_exit(self, id) == 1) {
    }
    return do_release(self, 0);
}

static void *look(UNUSED void *argument)
{
    uint64_t last = 0;

    while (!over) {
        const struct wm_view *v = wm_monitor_view_begin(watch.monitor);
        const struct wm_view *nested;

        watch.wrong += watch_check(v) + (v->number < last);
        last = v->number;
        nested = wm_monitor_view_begin(watch.monitor);
        watch.wrong += watch_check(nested) + (nested->number < last);
        wm_monitor_view_end(nested);
        watch.wrong += watch_check(v) + (v->number != last);
        wm_monitor_view_end(v);
        looks++;
        sched_yield();
    }
    return NULL;
}

struct subscriber {
    struct wm_subscription *subscription;
    _Atomic uint32_t magic; /* while it may be called */
    uint32_t leaves_after;  /* calls; 0: is unsubscribed */
    uint64_t last;
};

/* A thread's subscribers: one that it unsubscribes, and those that leave by
 * themselves. These stay here, as no call tells when their last one is over.
 * None of them is allocated: a child has no thread that would free it. */
struct owner {
    struct subscriber present, leavers[LEAVERS];
    int leaver_count;
    unsigned seed;
};

SUBSCRIBER(answer)
{
    struct subscriber *s = argument;

    watch.wrong += s->magic != MAGIC;
    watch.wrong += watch_check(before) + watch_check(now) +
                   (now->number != before->number + 1) +
                   (s->last != 0 && before->number != s->last);
    s->last = now->number;
    answers++;
    if (s->leaves_after > 0 && --s->leaves_after == 0) {
        s->magic = 0;
        watch.wrong += wm_monitor_unsubscribe(s->subscription) != 0;
    }
}

static void subscribe(struct subscriber *s, uint32_t leaves_after)
{
    s->magic = MAGIC;
    s->leaves_after = leaves_after;
    watch.wrong +=
        wm_monitor_subscribe(watch.monitor, answer, s, &s->subscription) != 0;
}

static void *come_and_go(void *argument)
{
    struct owner *o = argument;
    struct subscriber *s = &o->present;

    while (!over) {
        s->last = 0;
        subscribe(s, 0);
        for (int i = rand_r(&o->seed) % 20; i >= 0; i--) {
            sched_yield();
        }
        /* Nobody calls it any more: its memory is overwritten. */
        watch.wrong += wm_monitor_unsubscribe(s->subscription) != 0;
        memset(s, 0xa5, sizeof(*s));
        if (o->leaver_count < LEAVERS && rand_r(&o->seed) % 4 == 0) {
            subscribe(&o->leavers[o->leaver_count++],
                      1 + (uint32_t)rand_r(&o->seed) % 3);
        }
    }
    return NULL;
}

static int looks_and_destroys(UNUSED const void *argument)
{
    const struct wm_view *v = wm_monitor_view_begin(watch.monitor);
    int bad = watch_check(v);

    alarm(60); /* rather than a hang */
    wm_monitor_view_end(v);
    return bad != 0 || wm_monitor_destroy(watch.monitor) != 0;
}

/* Dies after so many calls, or comes to an end. */
static void live(struct process *master, bool dies, unsigned calls)
{
    struct process *workers[WORKERS];
    uint64_t until = answers + calls;

    assert_ok(call(master, do_attach, 8));
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = process_fork(master);
        call_begin(workers[i], do_churn, 1);
    }
    await(watch_look().view.live == 1);
    for (int i = 0; i < FORKS; i++) {
        assert_check(looks_and_destroys, NULL);
    }
    for (int i = 0; dies && i < 2000 && answers < until; i++) {
        sched_yield();
    }
    for (int i = 0; i < WORKERS; i++) {
        if (!dies) {
            assert_ok(call_end(workers[i]));
        }
        process_kill(workers[i]);
    }
    if (dies) {
        process_kill(master);
        await(watch_look().view.error == -ESRCH);
    } else {
        assert_ok(call(master, do_end_well, 1));
        /* A look for segments every 2 ms may have kept this life from
         * unlinking its own, or the dead one before it: the next does. */
        await(watch_look().view.live == 0);
    }
}

EMPTY_NODE_TEST(readers_subscribers_and_forks_over_a_node_that_churns)
{
    static struct owner owners[THREADS];
    const char *given = getenv("WM_SEED");
    unsigned seed =
        given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)wm_now();
    struct process *masters[LIVES];
    pthread_t threads[THREADS];

    print_message("# WM_SEED=%u\n", seed);
    node_give_up();
    new_processes(masters, LIVES); /* before there are threads */
    watch_begin(2);
    for (int i = 0; i < LIVES; i++) {
        over = false;
        for (int k = 0; k < THREADS; k++) {
            owners[k].seed = (unsigned)rand_r(&seed);
            assert_ok(pthread_create(&threads[k], NULL,
                                     k < READERS ? look : come_and_go,
                                     &owners[k]));
        }
        live(masters[i], i % 2 == 0, (unsigned)rand_r(&seed) % 200);
        over = true;
        for (int k = 0; k < THREADS; k++) {
            pthread_join(threads[k], NULL);
        }
    }
    watch_end();
    assert_true(looks > 0 && answers > 0);
}
