/* SPDX-License-Identifier: Apache-2.0 */

/* The lifecycle lock, its holder's description, its probers and sleepers. */

#include "world.hpp"

#include "holder.c"
#undef LOOKS
#include "lock.c"
#include "probe.c"
#include "record.c"
#include "turn.c"

/* As the kernel does it: a sleep looks at the newest value, in one step with
 * falling asleep. It ends when somebody wakes the sleeper, and not before. */
static bool sleeps[PROCESSES], nobody_wakes;

int wm_futex_wait(const void *word, uint32_t value, uint64_t)
{
    const unsigned self = rl::thread_index();

    sleeps[self] =
        ((zero_atomic<uint32_t> *)word)->fetch_add(0, rl::mo_relaxed, $) ==
        value;
    while (sleeps[self]) {
        RL_ASSERT(!nobody_wakes);
        rl::yield(1, $);
    }
    return 0;
}

int wm_futex_wake(const void *, int count)
{
    int woken = 0;

    for (bool &sleeper : sleeps) {
        woken += sleeper && woken < count;
        sleeper = sleeper && woken > count;
    }
    return woken;
}

/* [J, I8] Whoever has the lock finds what was done under it. */
struct lock_orders_what_is_done_under_it : world {
    void thread(unsigned i)
    {
        for (int tries = 0; tries < 2; tries++) {
            if (wm_lock_try(own(), WM_PURPOSE_WORKER_START, 0) < 0) {
                continue;
            }
            uint32_t n = atomic_load_explicit(&fact, memory_order_relaxed);

            atomic_store_explicit(&fact, n + 1, memory_order_relaxed);
            told[i]++;
            RL_ASSERT(wm_lock_release(own()) == 0);
        }
    }

    void after()
    {
        RL_ASSERT((int)atomic_load_explicit(&fact, memory_order_relaxed) ==
                  told[0] + told[1]);
    }
};
CHECK(lock_orders_what_is_done_under_it, 2, 2)

/* [I8] The lock of a dead process passes on to one of two. */
struct dead_holders_lock_passes_on_once : world {
    void before()
    {
        is_dead_pid[4] = true;
        atomic_store_explicit(&header.lock.word,
                              wm_lock_word(wm_ident(4, 1), 1),
                              memory_order_relaxed);
    }

    void thread(unsigned i)
    {
        told[i] = wm_lock_try(own(), WM_PURPOSE_WORKER_EXIT, 0) >= 0;
    }

    void after() { RL_ASSERT(told[0] + told[1] == 1); }
};
CHECK(dead_holders_lock_passes_on_once, 2, 3)

/* [K] The generation tells which of two holders is described, of which the
 * first one is dead, and had the lock for long. */
struct description_is_the_holders : world {
    void before()
    {
        nodes[4].begun = pids[0] = pids[1] = 4;
        RL_ASSERT(wm_lock_try(own(), 4, 0) == 0);
        is_dead_pid[4] = true;
        now_ms += 10000;
        nodes[1].begun = pids[0] = 1;
        pids[1] = 2;
    }

    void thread(unsigned i)
    {
        struct wm_lock_holder holder = {.size = sizeof(holder)};

        if (i == 0) {
            RL_ASSERT(wm_lock_try(own(), 1, 0) == WM_RECOVERED);
            return;
        }
        wm_lock_inspect(own(), &holder);
        /* Its holder may not have described itself yet. */
        RL_ASSERT(holder.generation == 0 ||
                  (holder.generation == (uint64_t)holder.pid &&
                   holder.purpose == (uint32_t)holder.pid &&
                   (holder.held_ms >= 10000) == (holder.pid == 4)));
    }
};
CHECK(description_is_the_holders, 2, 3)

/* One that judges by time looks first who has the lock. If that is not the
 * worker any more, it has beaten. */
struct holder_has_beaten_when_it_is_judged : world {
    void before()
    {
        has_joined(1, 0, WM_LIVE);
        pids[0] = pids[1] = 1;
        RL_ASSERT(wm_lock_try(own(), WM_PURPOSE_WORKER_START, 0) == 0);
        pids[1] = 2;
        now_ms += 1000;
    }

    void thread(unsigned i)
    {
        if (i == 0) {
            RL_ASSERT(wm_lock_release(own()) == 0);
        } else if (wm_holder_pid(own()) == 0) {
            RL_ASSERT(wm_word_beat(record_word_acquire(&records[0])) > 6000);
        }
    }
};
CHECK(holder_has_beaten_when_it_is_judged, 2, ALL)

/* [J] One that sleeps, and would not wake by itself, gets the lock. */
struct sleeper_gets_the_lock : world {
    void before()
    {
        memset(sleeps, 0, sizeof(sleeps));
        nobody_wakes = false;
        pids[0] = pids[1] = 1;
        RL_ASSERT(wm_lock_try(own(), WM_PURPOSE_WORKER_EXIT, 0) == 0);
        pids[1] = 2;
    }

    void thread(unsigned i)
    {
        if (i == 0) {
            RL_ASSERT(wm_lock_release(own()) == 0);
            nobody_wakes = true;
        } else {
            RL_ASSERT(wm_lock_acquire(own(), NULL) >= 0);
        }
    }
};
CHECK(sleeper_gets_the_lock, 2, 3)
