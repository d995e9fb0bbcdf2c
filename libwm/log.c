/* SPDX-License-Identifier: Apache-2.0 */

/* The event log: a ring that anybody may write to at any time.
 *
 * A writer takes a number from a counter, and the entry of that number is its
 * own. After the fields it writes a checksum over them and the number; there is
 * no other synchronisation. If a reader finds the checksum that it computes, it
 * has found the fields of one writer, and all of them. If not, the entry is
 * being written, was never finished, was overwritten, or was spoilt by a writer
 * that slept while the ring went round: the reader misses an entry, but gets no
 * wrong one.
 *
 * A reader cannot tell an entry that is being written from one that never will
 * be finished: its checksum comes last. So the reader stops before it while the
 * entry that follows is young, and a slow writer's entry is told in its place;
 * later the reader passes over it. */

#include "log.h"

#include "end.h"
#include "futex.h"
#include "process.h"

#include <errno.h>
#include <limits.h>
#include <time.h>

#define LOOKS 64 /* at an entry that is just being written */
#define PATIENCE_MS 1000

static uint64_t realtime_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

static uint64_t fold(uint64_t sum, uint64_t value)
{
    sum = (sum ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 29;
}

/* Never 0, since a fresh ring holds 0. */
static uint64_t checksum(uint64_t number, const uint64_t field[WM_LOG_FIELDS])
{
    /* Safeguard: checksum_covers_the_number */
    uint64_t sum = fold(UINT64_C(0x6c6f67), number);

    for (int i = 0; i < WM_LOG_FIELDS; i++) {
        sum = fold(sum, field[i]);
    }
    return sum | 1;
}

static struct wm_log_record *record_of(const struct wm_node *node,
                                       uint64_t number)
{
    return wm_log_at(&node->segment, number);
}

/* The epoch is the low half of the number of entries, which a futex can look
 * at. A process that changes the membership makes the entry after the change.
 * So a process that loads the epoch, looks, and then waits for another epoch
 * misses no change. */
static uint32_t *epoch_word(const struct wm_node *node)
{
    uint32_t *half = (uint32_t *)(void *)&node->segment.header->log_next;

    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? half : half + 1;
}

uint32_t wm_epoch(const struct wm_node *node)
{
    WM_REQUIRE(node);
    return (uint32_t)header_log_number_acquire(node->segment.header);
}

int wm_wait(const struct wm_node *node, uint32_t epoch, uint32_t timeout_ms)
{
    WM_REQUIRE(node);

    return wm_epoch(node) != epoch
               ? 0
               : wm_futex_wait(epoch_word(node), epoch, timeout_ms);
}

int wm_wake(const struct wm_node *node)
{
    WM_REQUIRE(node);

    return wm_futex_wake(epoch_word(node), INT_MAX);
}

void wm_log_append_end(const struct wm_node *node, enum wm_log_kind kind,
                       uint32_t end, uint64_t generation, uint64_t value,
                       uint32_t pid, uint32_t slot)
{
    uint64_t number = header_take_log_number(node->segment.header);
    const uint64_t field[WM_LOG_FIELDS] = {
        realtime_ms(),
        generation,
        value,
        wm_subject(pid, slot),
        wm_log_kind_word(kind, end),
    };

    log_write(record_of(node, number), field, checksum(number, field));
    wm_wake(node);
}

void wm_log_append(const struct wm_node *node, enum wm_log_kind kind,
                   uint64_t generation, uint64_t value, uint32_t pid,
                   uint32_t slot)
{
    wm_log_append_end(node, kind, 0, generation, value, pid, slot);
}

void wm_log_worker(const struct wm_worker *worker, enum wm_log_kind kind)
{
    wm_log_append(worker->node, kind, worker->generation, worker->join,
                  worker->pid, worker->slot);
}

/* Whether an entry of this kind tells of a process that has ended. */
static bool is_end(uint32_t kind)
{
    return kind == WM_LOG_WORKER_CRASHED || kind == WM_LOG_WORKER_DRAIN_CRASH ||
           kind == WM_LOG_WORKER_END;
}

static bool read_entry(const struct wm_node *node, uint64_t number,
                       struct wm_log_entry *entry)
{
    uint64_t field[WM_LOG_FIELDS];
    uint64_t check = log_read(record_of(node, number), field);

    /* Safeguard: checksum_is_compared */
    if (check != checksum(number, field)) {
        return false;
    }
    *entry = (struct wm_log_entry){
        .number = number,
        .time = field[0],
        .generation = field[1],
        .value = field[2],
        .pid = (int32_t)wm_subject_pid(field[3]),
        .slot = wm_subject_slot(field[3]),
        .kind = (uint32_t)field[4],
    };
    entry->ended = wm_end_told(wm_log_kind_end(field[4]), is_end(entry->kind));
    return true;
}

/* Reads an entry, with some patience if it is just being written. */
static bool await_entry(const struct wm_node *node, uint64_t number,
                        struct wm_log_entry *entry)
{
    for (int look = 0; look < LOOKS; look++) {
        if (read_entry(node, number, entry)) {
            return true;
        }
    }
    return false;
}

/* Whether the ring has come round to its place since. */
static bool is_overwritten(const struct wm_node *node, uint64_t number)
{
    uint64_t newest = header_log_number_acquire(node->segment.header);

    return newest - number >= node->segment.geometry.log_entries;
}

/* Finds the first entry after this one that is finished, if there is any. */
static bool find_next(const struct wm_node *node, uint64_t number,
                      uint64_t newest, struct wm_log_entry *next)
{
    while (number++ < newest) { /* newest may be the last number there is */
        if (read_entry(node, number, next)) {
            return true;
        }
    }
    return false;
}

/* Whether an entry is that old. An entry that lies as far ahead counts as well:
 * it is from before the clock was set back. The clock is read after the entry
 * was, so an entry is not ahead without that. */
static bool is_old(const struct wm_log_entry *entry, uint32_t ms)
{
    uint64_t age = realtime_ms() - entry->time;

    /* Safeguard: reader_waits_no_longer_than_its_patience */
    return age + ms >= 2 * (uint64_t)ms;
}

int wm_log_read_within(const struct wm_node *node, uint64_t *since,
                       struct wm_log_entry *list, uint32_t element,
                       uint32_t room, uint32_t *count, uint64_t *missed,
                       uint32_t patience_ms)
{
    uint64_t newest = header_log_number_acquire(node->segment.header);
    uint64_t entries = node->segment.geometry.log_entries;
    uint64_t number = *since, lost = 0;
    struct wm_log_entry next = {0}; /* behind a gap */
    int result = wm_element_check(element, WM_LEAST(wm_log_entry, ended));

    if (result != 0) {
        return result;
    }
    *count = 0;
    /* `since` may be of another life; the ring has no room for all numbers. */
    if (number > newest) {
        number = newest;
    } else if (newest - number > entries) {
        lost = newest - entries - number;
        number = newest - entries;
    }
    while (number < newest && *count < room) {
        struct wm_log_entry entry;

        if (await_entry(node, number + 1, &entry)) {
            wm_element_write(wm_element_at(list, element, *count), element,
                             &entry, sizeof(entry));
            (*count)++;
        } else if (is_overwritten(node, number + 1)) {
            lost++;
        } else {
            /* One search serves all gaps before the same entry. */
            if (number + 1 >= next.number &&
                !find_next(node, number + 1, newest, &next)) {
                break; /* its writer may be at it: a later call tells */
            }
            /* Safeguard: reader_waits_for_a_slow_writer */
            if (!is_old(&next, patience_ms)) {
                result = WM_UNSETTLED;
                break;
            }
            lost++;
        }
        number++;
    }
    *since = number;
    if (missed != NULL) {
        *missed = lost;
    }
    return result;
}

int wm_log_read(const struct wm_node *node, uint64_t *since,
                struct wm_log_entry *list, uint32_t element, uint32_t room,
                uint32_t *count, uint64_t *missed)
{
    WM_REQUIRE(node);
    return wm_log_read_within(node, since, list, element, room, count, missed,
                              PATIENCE_MS);
}
