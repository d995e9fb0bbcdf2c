/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes in a segment, to all that reads one: an error, or a bounded answer.
 *
 * An input is a head of eight bytes and then the segment from its first byte.
 * Once it is a file that a reader opens, and once the memory of a node that
 * this process takes part in, as a broken worker would leave it. Unless the
 * head says otherwise, the constants in its header are made good: else hardly
 * any input would get past the first check.
 *
 * With WM_FUZZ_SCRIBBLE, a second thread writes into it meanwhile. */

#include "log.h"
#include "node.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define CAPACITY 4u /* of the node that is taken part in */
#define LOG 4u
#define FILE_NAME "wm.fuzz.0123456789abcdef"
#define DEAD_NAME "wm.dead.0123456789abcdef"
#define ASKED 16
#define TAKES 64 /* of what may be owed a million times */

/* An assertion that holds with NDEBUG, too. */
#define HOLD(condition)                                                        \
    if (!(condition)) {                                                        \
        fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                \
        abort();                                                               \
    }

/* Stand-ins in a record's pid: a real one would be another at each run. */
#define PID_OWN 2u
#define PID_PARENT 3u

/* Each input begins with this. */
static struct head {
    uint8_t raw;    /* 1: its constants stay as they are; 2: it is cut short */
    uint8_t former; /* 7 modulo 8: it is also a former life's segment */
    uint8_t begin;  /* odd: the writer begins a generation, too; 2: and waits */
    uint8_t step;   /* the first of the writer's acts */
    uint32_t seed;  /* of the second thread */
} head;

int __real_kill(pid_t pid, int number);
bool __real_wm_process_dead(uint64_t ident, uint64_t claimed_ms,
                            enum wm_proof proof);

static const char *directory;
static struct wm_geometry geometry;
static int file;
static unsigned char *file_memory;
static struct wm_node *node;    /* that this process takes part in */
static struct wm_node pristine; /* as it was after joining */
static unsigned char *image;    /* the segment then */
static unsigned asked;          /* the kernel, of processes, in this input */

/* ---------------------------------------------------------------- processes */

/* A process that is named in a segment is asked, and never harmed. */
int __wrap_kill(pid_t pid, int number)
{
    HOLD(number == 0 && pid > 0);
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

/* -------------------------------------------------------------------- looks */

/* Lists of exactly this room lie on the heap: one entry too many is seen. */
static void look_at_workers(const struct wm_node *n, uint32_t room)
{
    const uint32_t capacity = n->segment.geometry.capacity;
    struct wm_worker_info *list = malloc((room + !room) * sizeof(*list));
    uint32_t count = 0;
    const int result = wm_snapshot(n, list, sizeof(*list), room, &count);

    HOLD(count <= room && count <= capacity);
    HOLD(result == 0 || result == WM_UNSETTLED || result == -ENOSPC);
    for (uint32_t i = 0; i < count; i++) {
        HOLD(list[i].slot < capacity && list[i].state >= WM_JOINING &&
             list[i].state <= WM_CRASHED_DRAINING && list[i].pid >= 0);
    }
    free(list);
}

static void look_at_generations(const struct wm_node *n, uint32_t room)
{
    struct wm_generation_info *list = malloc((room + !room) * sizeof(*list));
    struct wm_counts counts;
    uint32_t count = 0;
    const int result = wm_generations(n, list, sizeof(*list), room, &count);

    HOLD((result == 0 && count <= room) || (result == -ENOSPC && count > room));
    for (uint32_t i = 0; i < (count < room ? count : room); i++) {
        wm_generation_counts(n, list[i].id, &counts);
        HOLD(counts.mine >= 0 &&
             counts.mine <= (int32_t)n->segment.geometry.capacity);
    }
    free(list);
}

static void look_at_log(const struct wm_node *n, uint64_t since, uint32_t room)
{
    struct wm_log_entry *list = malloc((room + !room) * sizeof(*list));
    uint64_t missed;
    uint32_t count;
    int result;

    HOLD(wm_log_read_within(n, &since, list, sizeof(*list), room, &count,
                            &missed, 0) == 0);
    result = wm_log_read(n, &since, list, sizeof(*list), room, &count, &missed);
    HOLD(result == 0 || result == WM_UNSETTLED);
    HOLD(count <= room);
    free(list);
}

/* All that reads a node. */
static void look(const struct wm_node *n)
{
    const uint32_t capacity = n->segment.geometry.capacity;
    struct wm_node_info info = {.size = sizeof(info)};
    struct wm_lock_holder holder = {.size = sizeof(holder)};
    struct wm_leader leader = {.size = sizeof(leader)};
    struct wm_counts counts;

    wm_node_describe(n, &info);
    HOLD(strnlen(info.instance, WM_INSTANCE_SIZE) < WM_INSTANCE_SIZE);
    look_at_workers(n, capacity);
    look_at_workers(n, capacity / 2);
    look_at_generations(n, n->segment.geometry.generations);
    look_at_generations(n, 1);
    wm_generation_counts(n, 0, &counts);
    wm_generation_counts(n, UINT64_MAX, &counts);
    look_at_log(n, 0, 8);
    look_at_log(n, UINT64_MAX - 2, 1);
    HOLD(wm_events_owed(n, ~0u) >= 0);
    wm_leader_inspect(n, &leader);
    HOLD(leader.slot == WM_NO_SLOT || leader.slot < capacity);
    wm_lock_inspect(n, &holder);
    wm_wake(n);
    wm_wait(n, wm_epoch(n) + 1, 1);
}

/* --------------------------------------------------------------------- acts */

static void count_event(const struct wm_event *event, void *count)
{
    HOLD(((event->kind >= WM_EVENT_MASTER_EXIT &&
           event->kind <= WM_EVENT_STALLED) ||
          event->kind == WM_EVENT_CRASHED_DRAINING) &&
         (event->kind == WM_EVENT_MASTER_EXIT ? event->slot == WM_NO_SLOT
                                              : event->slot < CAPACITY));
    ++*(uint32_t *)count;
}

static void act_sweep(struct wm_worker *w)
{
    uint32_t count = 0;

    wm_sweep(w->node, NULL);
    wm_sweep(w->node, w);
    wm_events_give(w->node, w, count_event, &count);
    HOLD(count <= CAPACITY + w->node->segment.geometry.generations);
}

static void act_take(struct wm_worker *w)
{
    struct wm_event event = {.size = sizeof(event)};
    uint64_t ids[] = {0, 1, 2, w->generation, UINT64_MAX};
    int left = TAKES;

    while (left-- > 0 && wm_event_take(w->node, ~0u, &event) == 1) {
    }
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        wm_generation_close(w->node, ids[i]);
        wm_generation_abandon(w->node, ids[i]);
        left = TAKES;
        while (left-- > 0 &&
               wm_generation_take_exit(w->node, ids[i], NULL) == 1) {
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
    HOLD(leader.slot == WM_NO_SLOT || leader.slot < CAPACITY);
    wm_worker_has_record(w);
    wm_worker_exit_counts(w, &counts);
}

static void act_lock(struct wm_worker *w)
{
    const struct wm_lock_options brief = {
        .size = sizeof(brief), .hold_ms = 1, .wait_ms = 1};

    if (wm_lock_try(w->node, 0, 1) >= 0) {
        wm_lock_release(w->node);
    }
    if ((head.begin & 2) != 0 && wm_lock_acquire(w->node, &brief) >= 0) {
        HOLD(wm_lock_acquire(w->node, &brief) == -EDEADLK ||
             wm_lock_acquire(w->node, &brief) == -EUCLEAN);
        wm_lock_release(w->node);
    }
}

static void act_leave(struct wm_worker *w)
{
    const struct wm_join_options join = {.size = sizeof(join)};
    struct wm_worker *again;

    wm_worker_drain(w);
    wm_worker_leave(w);
    if (wm_worker_join(w->node, 1, &join, &again) == 0) {
        HOLD(again->slot < CAPACITY);
        wm_worker_leave(again);
    }
}

/* All that a worker does. */
static void act(void)
{
    static void (*const acts[])(struct wm_worker *) = {
        act_sweep, act_take, act_live, act_lock, act_leave};
    const size_t number = sizeof(acts) / sizeof(*acts);
    uint64_t id;

    if (head.begin & 1) {
        node->joined = false;
        wm_generation_begin(node, &id, NULL);
        node->joined = true;
    }
    for (size_t i = 0; i < number; i++) {
        acts[(head.step + i) % number](&node->worker);
    }
}

/* -------------------------------------------------------- the second thread */

/* The bytes that the second thread writes into, or NULL. It may do so once more
 * after this has changed: the next input is any bytes as well. */
static unsigned char *_Atomic scribbled;
static _Atomic uint64_t scribbler_seed;
static bool scribbles;

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
    const uint64_t values[] = {
        UINT64_MAX * (r >> 40 & 1),
        r >> 32 & 7,
        words[r % (geometry.size / 8)],
        wm_word(r >> 57 & 7, wm_ident_pid(wm_self_ident()), wm_now()),
        wm_gen_word(r >> 57 & 7, r >> 20 & 3, r >> 22 & 3, r & 0xffff),
        r,
    };

    return values[(r >> 60) % (sizeof(values) / sizeof(*values))];
}

/* For all inputs: to start a thread takes as long as one of them. */
static void *scribble(void *unused)
{
    for (;;) {
        unsigned char *const at = scribbled;
        uint64_t state = scribbler_seed;
        const uint64_t r = next_random(&state);
        /* Mostly not the constants: they end all. */
        const size_t first = r >> 40 & 63 ? WM_CONSTANTS : 0;
        const size_t offset = first + r % (geometry.size - first);

        if (at != NULL) {
            *(volatile uint64_t *)(void *)&at[offset & ~(size_t)7] =
                a_value(next_random(&state));
            scribbler_seed = state;
        }
    }
    return unused;
}

/* ----------------------------------------------------------------- an input */

static void read_file(void)
{
    struct wm_node *reader;
    const int error = wm_node_open(FILE_NAME, directory, &reader);

    HOLD(error <= 0);
    if (error == 0) {
        look(reader);
        HOLD(wm_sweep(reader, NULL) == 0);
        wm_node_release(reader);
    }
}

/* An empty one of the directory, open. */
static int make_file(const char *name)
{
    char path[200];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    HOLD(fd >= 0);
    return fd;
}

static struct wm_node *attach(const char *instance)
{
    const struct wm_node_options options = {.size = sizeof(options),
                                            .instance = instance,
                                            .directory = directory,
                                            .capacity = CAPACITY,
                                            .log_entries = LOG};
    struct wm_node *attached;

    HOLD(wm_node_attach(&options, &attached) == 0);
    return attached;
}

/* A former life of a node that begins: damaged or dead, it is gone then. */
static void be_a_former_life(const uint8_t *bytes, size_t size)
{
    const int fd = make_file(DEAD_NAME);
    struct wm_node *next;
    struct stat st;

    HOLD(write(fd, bytes, size) == (ssize_t)size);
    next = attach("dead");
    HOLD(fstat(fd, &st) == 0 && st.st_nlink == 0);
    wm_node_release(next);
    close(fd);
}

/* Puts a pid in place of a stand-in. */
static void fill_in_pid(uint64_t *word, unsigned shift)
{
    const uint64_t pids = wm_low(UINT64_MAX, WM_PID_BITS) << shift;
    const uint64_t pid = (*word & pids) >> shift;

    if (pid == PID_OWN || pid == PID_PARENT) {
        *word &= ~pids;
        *word |= (uint64_t)(pid == PID_OWN ? getpid() : getppid()) << shift;
    }
}

static void fill_in_pids(unsigned char *bytes)
{
    struct wm_segment_header *h = (void *)bytes;
    struct wm_record *r = (void *)(bytes + geometry.records);
    struct wm_record_cold *c = (void *)(bytes + geometry.colds);
    struct wm_generation_record *g =
        (void *)(bytes + geometry.generation_records);

    fill_in_pid((uint64_t *)&h->lock.word, 42);
    for (uint32_t i = 0; i < CAPACITY; i++) {
        fill_in_pid((uint64_t *)&r[i].word, WM_BEAT_BITS);
        fill_in_pid((uint64_t *)&c[i].ident, 42);
    }
    for (uint32_t i = 0; i < geometry.generations; i++) {
        fill_in_pid((uint64_t *)&g[i].master, 42);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(WM_LINE) unsigned char bytes[16384];
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
    if ((head.raw & 2) == 0 || scribbles) {
        length = geometry.size;
    }
    HOLD(pwrite(file, bytes, length, 0) == (ssize_t)length &&
         ftruncate(file, (off_t)length) == 0);
    scribbler_seed = head.seed | UINT64_C(1) << 40;
    scribbled = file_memory;
    read_file();
    if (head.former % 8 == 7) {
        be_a_former_life(bytes, length);
    }

    *node = pristine;
    memcpy(node->segment.header, bytes, geometry.size);
    scribbled = (unsigned char *)node->segment.header;
    look(node);
    act();
    scribbled = NULL;
    return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const struct wm_join_options join = {.size = sizeof(join)};
    struct wm_worker *worker;
    pthread_t thread;
    uint64_t id;

    (void)argc;
    (void)argv;
    directory = getenv("WM_FUZZ_DIRECTORY");
    HOLD(directory != NULL);
    node = attach("fuzz");
    HOLD(wm_generation_begin(node, &id, NULL) == 0 &&
         wm_worker_join(node, id, &join, &worker) == 0);
    pristine = *node;
    geometry = node->segment.geometry;
    image = malloc(geometry.size);
    memcpy(image, node->segment.header, geometry.size);
    file = make_file(FILE_NAME);
    HOLD(ftruncate(file, (off_t)geometry.size) == 0);
    file_memory =
        mmap(NULL, geometry.size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    HOLD(file_memory != MAP_FAILED);
    scribbles = getenv("WM_FUZZ_SCRIBBLE") != NULL;
    HOLD(!scribbles || pthread_create(&thread, NULL, scribble, NULL) == 0);
    return 0;
}
