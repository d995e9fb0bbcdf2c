/* SPDX-License-Identifier: Apache-2.0 */

/* The event log: its epoch, and what a checksum brings with it. */

#include "world.hpp"

#include "log.c"

/* [N] A process that sees the epoch sees the change that it was counted for. */
struct epoch_brings_the_change : world {
    void thread(unsigned i)
    {
        if (i == 0) {
            know();
            wm_log_append(own(), WM_LOG_WORKER_LIVE, 1, 2, 3, 0);
        } else if (wm_epoch(own()) == 1) {
            RL_ASSERT(is_known());
        }
    }
};
CHECK(epoch_brings_the_change, 2, ALL)

/* [M] A process that sees a checksum sees the entry, at the first look. */
struct checksum_brings_the_entry : world {
    void thread(unsigned i)
    {
        uint64_t field[WM_LOG_FIELDS], check;

        if (i == 0) {
            wm_log_append(own(), WM_LOG_WORKER_LIVE, 1, 2, 3, 0);
            return;
        }
        check = log_read(wm_log_at(&own()->segment, 1), field);
        RL_ASSERT(check == 0 || check == checksum(1, field));
    }
};
CHECK(checksum_brings_the_entry, 2, ALL)

/* [M] An entry that is told is of one writer, though two write to its place:
 * the ring goes round, and the first of them is slow. */
struct entry_is_of_one_writer : world {
    void before()
    {
        for (uint32_t pid = 1; pid <= PROCESSES; pid++) {
            nodes[pid].segment.geometry.log_entries = 1;
        }
    }

    void thread(unsigned i)
    {
        struct wm_log_entry entry;

        if (i < 2) {
            wm_log_append(own(), WM_LOG_WORKER_LIVE, 7 + i, 7 + i, 7 + i, 0);
            return;
        }
        for (uint64_t number = 1; number <= 2; number++) {
            if (read_entry(own(), number, &entry)) {
                RL_ASSERT(entry.generation == entry.value &&
                          entry.value == (uint32_t)entry.pid);
            }
        }
    }
};
CHECK(entry_is_of_one_writer, 3, 1)
