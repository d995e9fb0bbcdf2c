/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Any bytes in a segment, to all that reads one: an error or a bounded answer,
 * no more.
 *
 * An input is a head of eight bytes and then the segment from its first byte.
 * Once it is a file that a reader opens, and once the memory of a node that
 * this process takes part in, as a broken worker would leave it. Unless the
 * head says otherwise, the constants in its header are made good: else hardly
 * any input would get past the first check.
 *
 * With WM_FUZZ_SCRIBBLE, a second thread writes into it meanwhile. With
 * WM_FUZZ_SEEDS, the first inputs are written to that directory instead. */

#include "generation.h"
#include "layout.h"
#include "log.h"
#include "node.h"
#include "process.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define CAPACITY 4u
#define LOG 4u
#define FILE_NAME "wm.fuzz.0123456789abcdef"
#define DEAD_NAME "wm.dead.0123456789abcdef"
#define SCRIBBLES 3000
#define ASKED 16
#define TAKES 64 /* of what may be owed a million times */

/* Stand-ins in a record's pid: a process that is told by its number would be
 * another at each run. */
#define PID_OWN 2u
#define PID_PARENT 3u

/* What an input begins with. */
struct head {
    uint8_t raw;    /* 1: its constants stay as they are; 2: it is cut short */
    uint8_t former; /* 7 modulo 8: it is also a former life's segment */
    uint8_t begin;  /* odd: the writer begins a generation, too; 2: and waits */
    uint8_t step;   /* the first of the writer's acts */
    uint32_t seed;  /* of the second thread */
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __real_kill(pid_t pid, int number);
int __wrap_kill(pid_t pid, int number);
bool __real_wm_process_dead(uint64_t ident, uint64_t claimed_ms,
                            enum wm_proof proof);
bool __wrap_wm_process_dead(uint64_t ident, uint64_t claimed_ms,
                            enum wm_proof proof);

static const char *directory;
static struct wm_geometry geometry;
static int file = -1;
static unsigned char *file_memory;
static struct wm_node *node;    /* that this process takes part in */
static struct wm_node pristine; /* as it was after joining */
static unsigned char *image;    /* the segment then */
static unsigned asked;          /* the kernel, of processes, in this input */

/* Asserts that hold with NDEBUG, too. */
static void hold(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

/* A process that is named in a segment is asked, and never harmed. */
int __wrap_kill(pid_t pid, int number)
{
    hold(number == 0 && pid > 0, "no process is signalled");
    return __real_kill(pid, number);
}

/* The kernel is asked about the first few of an input; of the rest this knows
 * enough, at a hundredth of the time. */
bool __wrap_wm_process_dead(uint64_t ident, uint64_t claimed_ms,
                            enum wm_proof proof)
{
    const pid_t pid = (pid_t)wm_ident_pid(ident);

    if (asked < ASKED) {
        asked++;
        return __real_wm_process_dead(ident, claimed_ms, proof);
    }
    return pid != 1 && pid != getpid() && pid != getppid();
}

/* -------------------------------------------------------------- scribbling */

static struct {
    bool on;
    sem_t go, done;
    unsigned char *at;
    uint64_t seed;
} scribbler;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A number that means something, or any. */
static uint64_t a_value(uint64_t r)
{
    const uint64_t *words = (const uint64_t *)(void *)image;

    switch (r >> 60) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return r >> 32 & 7;
    case 3:
    case 4:
    case 5:
        return words[r % (geometry.size / 8)];
    case 6:
        return wm_word(r >> 57 & 7, wm_ident_pid(wm_self_ident()), wm_now());
    case 7:
        return wm_gen_word(r >> 57 & 7, r >> 20 & 3, r >> 22 & 3, r & 0xffff);
    default:
        return r;
    }
}

static void *scribble_on(void *unused)
{
    for (;;) {
        sem_wait(&scribbler.go);
        for (int i = 0; i < SCRIBBLES; i++) {
            const uint64_t r = next_random(&scribbler.seed);
            /* Mostly not the constants: they end all. */
            const size_t first = r >> 40 & 63 ? WM_CONSTANTS : 0;
            const size_t at = first + r % (geometry.size - first);

            *(volatile uint64_t *)(void *)&scribbler.at[at & ~(size_t)7] =
                a_value(next_random(&scribbler.seed));
        }
        sem_post(&scribbler.done);
    }
    return unused;
}

static void begin_scribbling(unsigned char *at, const struct head *head)
{
    if (scribbler.on) {
        scribbler.at = at;
        scribbler.seed = head->seed | UINT64_C(1) << 40;
        sem_post(&scribbler.go);
    }
}

static void end_scribbling(void)
{
    if (scribbler.on) {
        sem_wait(&scribbler.done);
    }
}

/* ----------------------------------------------------------------- reading */

/* Lists of exactly this room lie on the heap: one entry too many is seen. */
static void look_at_workers(const struct wm_node *n, uint32_t room)
{
    const uint32_t capacity = n->segment.geometry.capacity;
    struct wm_worker_info *list = malloc((room + !room) * sizeof(*list));
    uint32_t count = 0;
    const int result = wm_snapshot(n, list, sizeof(*list), room, &count);

    hold(count <= room && count <= capacity, "a snapshot fits its list");
    hold(result == 0 || result == WM_UNSETTLED || result == -ENOSPC,
         "a snapshot's result");
    for (uint32_t i = 0; i < count; i++) {
        hold(list[i].slot < capacity && list[i].state >= WM_JOINING &&
                 list[i].state <= WM_CRASHED && list[i].pid >= 0,
             "a worker is one");
    }
    free(list);
}

static void look_at_generations(const struct wm_node *n, uint32_t room)
{
    struct wm_generation_info *list = malloc((room + !room) * sizeof(*list));
    struct wm_counts counts;
    uint32_t count = 0;
    const int result = wm_generations(n, list, sizeof(*list), room, &count);

    hold((result == 0 && count <= room) || (result == -ENOSPC && count > room),
         "generations fit their list");
    for (uint32_t i = 0; i < (count < room ? count : room); i++) {
        wm_generation_counts(n, list[i].id, &counts);
        hold(counts.mine >= 0 &&
                 counts.mine <= (int32_t)n->segment.geometry.capacity,
             "no more workers than records");
    }
    free(list);
}

static void look_at_log(const struct wm_node *n, uint64_t since, uint32_t room)
{
    struct wm_log_entry *list = malloc((room + !room) * sizeof(*list));
    uint64_t missed;
    uint32_t count;
    int result;

    hold(wm_log_read_within(n, &since, list, sizeof(*list), room, &count,
                            &missed, 0) == 0,
         "a log without patience");
    result = wm_log_read(n, &since, list, sizeof(*list), room, &count, &missed);
    hold(result == 0 || result == WM_UNSETTLED, "a log");
    hold(count <= room, "entries fit their list");
    free(list);
}

static void look(const struct wm_node *n)
{
    const uint32_t capacity = n->segment.geometry.capacity;
    struct wm_node_info info = {.size = sizeof(info)};
    struct wm_lock_holder holder = {.size = sizeof(holder)};
    struct wm_leader leader = {.size = sizeof(leader)};
    struct wm_counts counts;

    wm_node_describe(n, &info);
    hold(strnlen(info.instance, WM_INSTANCE_SIZE) < WM_INSTANCE_SIZE, "a name");
    look_at_workers(n, capacity);
    look_at_workers(n, capacity / 2);
    look_at_generations(n, n->segment.geometry.generations);
    look_at_generations(n, 1);
    wm_generation_counts(n, 0, &counts);
    wm_generation_counts(n, UINT64_MAX, &counts);
    look_at_log(n, 0, 8);
    look_at_log(n, UINT64_MAX - 2, 1);
    hold(wm_events_owed(n, ~0u) >= 0, "a number of events");
    wm_leader_inspect(n, &leader);
    hold(leader.slot == WM_NO_SLOT || leader.slot < capacity, "a slot");
    wm_lock_inspect(n, &holder);
    wm_wake(n);
    wm_wait(n, wm_epoch(n) + 1, 1);
}

static void read_file(void)
{
    struct wm_node *reader;
    const int error = wm_node_open(FILE_NAME, directory, &reader);

    if (error == 0) {
        look(reader);
        hold(wm_sweep(reader, NULL) == 0, "a reader sweeps nothing");
        wm_node_release(reader);
    } else {
        hold(error < 0, "an error is negative");
    }
}

/* A former life of a node that begins. */
static void be_a_former_life(const uint8_t *bytes, size_t size)
{
    const struct wm_node_options options = {.size = sizeof(options),
                                            .instance = "dead",
                                            .directory = directory,
                                            .capacity = 1,
                                            .log_entries = 1};
    struct wm_node *next;
    char path[200];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", directory, DEAD_NAME);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    hold(fd >= 0 && write(fd, bytes, size) == (ssize_t)size, "a file");
    close(fd);
    hold(wm_node_attach(&options, &next) == 0, "a node begins");
    hold(access(path, F_OK) != 0, "what was damaged or dead is gone");
    wm_node_release(next);
}

/* ----------------------------------------------------------------- writing */

static void count_event(const struct wm_event *event, void *count)
{
    hold(event->kind >= WM_EVENT_MASTER_EXIT &&
             event->kind <= WM_EVENT_STALLED &&
             (event->kind == WM_EVENT_MASTER_EXIT ? event->slot == WM_NO_SLOT
                                                  : event->slot < CAPACITY),
         "an event");
    ++*(uint32_t *)count;
}

static void act_sweep(struct wm_worker *w)
{
    uint32_t count = 0;

    wm_sweep(node, NULL);
    wm_sweep(node, w);
    wm_events_give(node, w, count_event, &count);
    hold(count <= CAPACITY + geometry.generations, "a sweep's events");
}

static void act_take(struct wm_worker *w)
{
    struct wm_event event = {.size = sizeof(event)};
    uint64_t ids[] = {0, 1, 2, w->generation, UINT64_MAX};

    for (int i = 0; i < TAKES && wm_event_take(node, ~0u, &event) == 1; i++) {
    }
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        wm_generation_close(node, ids[i]);
        wm_generation_abandon(node, ids[i]);
        for (int k = 0;
             k < TAKES && wm_generation_take_exit(node, ids[i], NULL) == 1;
             k++) {
        }
    }
}

static void act_live(struct wm_worker *w)
{
    struct wm_counts counts;
    struct wm_leader leader = {.size = sizeof(leader)};

    wm_tick(w, 1000);
    wm_beat(w);
    wm_worker_start(w, &counts);
    wm_worker_recoveries(w);
    wm_leader_stand(w, &leader);
    hold(leader.slot == WM_NO_SLOT || leader.slot < CAPACITY, "a slot");
    wm_worker_has_record(w);
    wm_worker_exit_counts(w, &counts);
}

static bool may_wait;

static void act_lock(struct wm_worker *w)
{
    const struct wm_lock_options brief = {
        .size = sizeof(brief), .hold_ms = 1, .wait_ms = 1};

    (void)w;
    if (wm_lock_try(node, 0, 1) >= 0) {
        wm_lock_release(node);
    }
    if (may_wait && wm_lock_acquire(node, &brief) >= 0) {
        hold(wm_lock_acquire(node, &brief) == -EDEADLK ||
                 wm_lock_acquire(node, &brief) == -EUCLEAN,
             "it is had once");
        wm_lock_release(node);
    }
}

static void act_leave(struct wm_worker *w)
{
    const struct wm_join_options join = {.size = sizeof(join)};
    struct wm_worker *again;

    wm_worker_drain(w);
    wm_worker_leave(w);
    if (wm_worker_join(node, 1, &join, &again) == 0) {
        hold(again->slot < CAPACITY, "a slot");
        wm_worker_leave(again);
    }
}

static void begin_generation(void)
{
    uint64_t id;

    node->joined = false;
    wm_generation_begin(node, &id, NULL);
    node->joined = true;
}

static void act(const struct head *head)
{
    static void (*const acts[])(struct wm_worker *) = {
        act_sweep, act_take, act_live, act_lock, act_leave};
    const size_t number = sizeof(acts) / sizeof(*acts);

    may_wait = (head->begin & 2) != 0;
    if (head->begin & 1) {
        begin_generation();
    }
    for (size_t i = 0; i < number; i++) {
        acts[(head->step + i) % number](&node->worker);
    }
}

/* ------------------------------------------------------------------ inputs */

static uint64_t with_pid(uint64_t word, unsigned shift)
{
    const uint64_t pid = word >> shift & wm_low(UINT64_MAX, WM_PID_BITS);
    const uint64_t is = pid == PID_OWN      ? (uint64_t)getpid()
                        : pid == PID_PARENT ? (uint64_t)getppid()
                                            : pid;

    return (word & ~(wm_low(UINT64_MAX, WM_PID_BITS) << shift)) | is << shift;
}

/* Puts pids in place of the stand-ins. */
static void fill_in_pids(unsigned char *bytes)
{
    struct wm_segment_header *h = (void *)bytes;
    struct wm_record *r = (void *)(bytes + geometry.records);
    struct wm_record_cold *c = (void *)(bytes + geometry.colds);
    struct wm_generation_record *g =
        (void *)(bytes + geometry.generation_records);

    h->lock.word = with_pid(h->lock.word, 42);
    for (uint32_t i = 0; i < CAPACITY; i++) {
        r[i].word = with_pid(r[i].word, WM_BEAT_BITS);
        c[i].ident = with_pid(c[i].ident, 42);
    }
    for (uint32_t i = 0; i < geometry.generations; i++) {
        g[i].master = with_pid(g[i].master, 42);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(WM_LINE) unsigned char bytes[16384];
    struct head head = {0};
    size_t length;

    if (size < sizeof(head) || geometry.size > sizeof(bytes)) {
        return -1;
    }
    asked = 0;
    memcpy(&head, data, sizeof(head));
    size -= sizeof(head);
    length = size < geometry.size ? size : geometry.size;
    memset(bytes, 0, geometry.size);
    memcpy(bytes, data + sizeof(head), length);
    fill_in_pids(bytes);
    if ((head.raw & 1) == 0) {
        memcpy(bytes, image, WM_CONSTANTS);
    }
    /* Cut short under the thread that writes, it would be that one's end. */
    if ((head.raw & 2) == 0 || scribbler.on) {
        length = geometry.size;
    }
    hold(pwrite(file, bytes, length, 0) == (ssize_t)length &&
             ftruncate(file, (off_t)length) == 0,
         "a file");
    begin_scribbling(file_memory, &head);
    read_file();
    end_scribbling();
    if (head.former % 8 == 7) {
        be_a_former_life(bytes, length);
    }

    *node = pristine;
    memcpy(node->segment.header, bytes, geometry.size);
    begin_scribbling((unsigned char *)node->segment.header, &head);
    look(node);
    act(&head);
    end_scribbling();
    return 0;
}

/* ------------------------------------------------------------------- seeds */

static uint64_t stale_word(unsigned state, uint32_t pid)
{
    return wm_word(state, pid, wm_now() - 20000);
}

static void seed_of(const char *name, const unsigned char *bytes, size_t size,
                    struct head head)
{
    char path[200];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", getenv("WM_FUZZ_SEEDS"), name);
    f = fopen(path, "wb");
    hold(f != NULL && fwrite(&head, sizeof(head), 1, f) == 1 &&
             fwrite(bytes, size, 1, f) == 1 && fclose(f) == 0,
         "a seed is written");
}

/* A worker of generation 1 in each state, and the generation in each. */
static void write_seeds(void)
{
    static const uint32_t pids[] = {PID_OWN, PID_PARENT, 1,
                                    (UINT32_C(1) << WM_PID_BITS) - 1};
    unsigned char *bytes = aligned_alloc(WM_LINE, geometry.size);
    struct wm_segment_header *h = (void *)bytes;
    struct wm_record *r = (void *)(bytes + geometry.records);
    struct wm_record_cold *c = (void *)(bytes + geometry.colds);
    struct wm_generation_record *g =
        (void *)(bytes + geometry.generation_records);
    char name[40];

    for (unsigned state = WM_CLAIMED; state <= WM_CRASHED; state++) {
        memcpy(bytes, image, geometry.size);
        memset(bytes, 0, WM_CONSTANTS); /* made good when it is run */
        h->next_generation = 2;
        h->next_join = h->high = CAPACITY;
        h->lock.word = (uint64_t)pids[state % 4] << 42 | 5;
        h->leader.word = wm_leader_word(3, wm_leader_of_join(state % 4 + 1));
        for (uint32_t i = 0; i < CAPACITY; i++) {
            r[i].word = stale_word(i == 0 ? WM_LIVE : state, pids[i]);
            r[i].join = i + 1;
            r[i].generation = 1 + i / 2;
            r[i].overdue_ms = 15000;
            r[i].stalls = i;
            c[i].ident = wm_ident(pids[i], 0);
            c[i].given = wm_given(i + 1, 0, false);
        }
        g[1].id = 1;
        g[1].word = wm_gen_word(state % 6, 2, 0, 9);
        g[2].id = 2;
        g[2].word = wm_gen_word(WM_GENERATION_ACTIVE, 1, 0, 3);
        g[1].master =
            wm_ident(state % 2 ? PID_OWN : wm_low(UINT64_MAX, WM_PID_BITS), 0);
        g[2].master = wm_ident(PID_PARENT, 0);
        snprintf(name, sizeof(name), "state-%u", state);
        seed_of(name, bytes, geometry.size,
                (struct head){.former = 7, .begin = state % 2, .seed = 1});
    }
    seed_of("cut-short", bytes, 2000, (struct head){.raw = 2, .former = 7});
    free(bytes);
}

/* ------------------------------------------------------------------- setup */

static void take_part(void)
{
    const struct wm_node_options options = {.size = sizeof(options),
                                            .instance = "fuzz",
                                            .directory = directory,
                                            .capacity = CAPACITY,
                                            .log_entries = LOG};
    const struct wm_join_options join = {.size = sizeof(join)};
    struct wm_worker *worker;
    uint64_t id;

    hold(wm_node_attach(&options, &node) == 0 &&
             wm_generation_begin(node, &id, NULL) == 0 &&
             wm_worker_join(node, id, &join, &worker) == 0,
         "a node to fuzz");
    pristine = *node;
    geometry = node->segment.geometry;
    image = malloc(geometry.size);
    memcpy(image, node->segment.header, geometry.size);
}

static void make_file(void)
{
    char path[200];

    snprintf(path, sizeof(path), "%s/%s", directory, FILE_NAME);
    file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    hold(file >= 0 && ftruncate(file, (off_t)geometry.size) == 0, "a file");
    file_memory =
        mmap(NULL, geometry.size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    hold(file_memory != MAP_FAILED, "a mapping");
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    pthread_t thread;

    (void)argc;
    (void)argv;
    directory = getenv("WM_FUZZ_DIRECTORY");
    hold(directory != NULL, "WM_FUZZ_DIRECTORY names a directory");
    take_part();
    if (getenv("WM_FUZZ_SEEDS") != NULL) {
        write_seeds();
        exit(0);
    }
    make_file();
    scribbler.on = getenv("WM_FUZZ_SCRIBBLE") != NULL;
    if (scribbler.on) {
        sem_init(&scribbler.go, 0, 0);
        sem_init(&scribbler.done, 0, 0);
        hold(pthread_create(&thread, NULL, scribble_on, NULL) == 0, "a thread");
    }
    return 0;
}
