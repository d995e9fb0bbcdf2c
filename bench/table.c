/* SPDX-License-Identifier: Apache-2.0 */

#include "table.h"

#include "layout.h"
#include "log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define AHEAD_MS UINT64_C(600000) /* ten minutes */

struct table {
    struct wm_segment_header *header;
    struct wm_geometry geometry;
    size_t size;
};

struct table *table_map(const char *path)
{
    struct table *t = calloc(1, sizeof(*t));
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (t != NULL && fd >= 0 && fstat(fd, &st) == 0) {
        t->size = (size_t)st.st_size;
        t->header =
            mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (t == NULL || t->header == NULL || t->header == MAP_FAILED) {
        free(t);
        return NULL;
    }
    t->geometry = wm_geometry(t->header->capacity, t->header->log_entries);
    return t;
}

void table_unmap(struct table *t)
{
    munmap(t->header, t->size);
    free(t);
}

static struct wm_record *record(struct table *t, uint32_t slot)
{
    char *base = (char *)t->header + t->geometry.records;

    return (struct wm_record *)(void *)base + slot;
}

static struct wm_record_cold *cold(struct table *t, uint32_t slot)
{
    char *base = (char *)t->header + t->geometry.colds;

    return (struct wm_record_cold *)(void *)base + slot;
}

void table_fill(struct table *t, uint64_t generation, uint32_t count)
{
    const uint64_t beat =
        (atomic_load(&record(t, 0)->word) + AHEAD_MS) & WM_BEAT_MASK;

    for (uint32_t i = 1; i < count; i++) {
        struct wm_record *r = record(t, i);
        struct wm_record_cold *c = cold(t, i);

        atomic_store(&r->generation, generation);
        atomic_store(&r->join, atomic_fetch_add(&t->header->next_join, 1) + 1);
        atomic_store(&r->role, WM_ROLE_WORKER);
        atomic_store(&r->overdue_ms, INT32_MAX);
        atomic_store(&c->ident, wm_ident(1, 0)); /* which always lives */
        atomic_store(&c->given, wm_given(atomic_load(&r->join), 0, false));
        atomic_store(&r->word, wm_word(WM_LIVE, 1, beat));
    }
    atomic_store(&t->header->high, count);
}

void table_crash(struct table *t)
{
    const uint32_t count = atomic_load(&t->header->high);

    for (uint32_t i = 1; i < count; i++) {
        struct wm_record *r = record(t, i);
        const uint64_t word = atomic_load(&r->word);

        atomic_store(&cold(t, i)->given,
                     wm_given(atomic_load(&r->join), 0, false));
        atomic_store(&r->word, wm_word(WM_CRASHED, 1, wm_word_beat(word)));
    }
}

void table_empty(struct table *t)
{
    for (uint32_t i = 1; i < t->geometry.capacity; i++) {
        if (wm_word_pid(atomic_load(&record(t, i)->word)) == 1) {
            atomic_store(&record(t, i)->word, 0);
        }
    }
}

void table_append(const struct wm_node *node)
{
    wm_log_append(node, WM_LOG_WORKER_LIVE, 1, 1, 1, 0);
}

void table_make_sweep_due(struct table *t)
{
    atomic_store_explicit(&t->header->next_sweep, 0, memory_order_relaxed);
}
