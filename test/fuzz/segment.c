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
 * With WM_FUZZ_SCRIBBLE, a second thread writes into it meanwhile. */

#include "fuzz.h"

#include "process.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#define LOG 4u
#define FILE_NAME "wm.fuzz.0123456789abcdef"
#define DEAD_NAME "wm.dead.0123456789abcdef"
#define SCRIBBLES 3000
#define ASKED 16

/* Stand-ins in a record's pid: a process that is told by its number would be
 * another at each run. */
#define PID_OWN 2u
#define PID_PARENT 3u

int __real_kill(pid_t pid, int number);
bool __real_wm_process_dead(uint64_t ident, uint64_t claimed_ms,
                            enum wm_proof proof);

static const char *directory;
static struct wm_geometry geometry;
static int file = -1;
static unsigned char *file_memory;
static struct wm_node *node;    /* that this process takes part in */
static struct wm_node pristine; /* as it was after joining */
static unsigned char *image;    /* the segment then */
static unsigned asked;          /* the kernel, of processes, in this input */

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

/* -------------------------------------------------------------- scribbling */

static struct {
    bool on;
    pthread_t thread;
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

static void *scribble(void *unused)
{
    for (int i = 0; i < SCRIBBLES; i++) {
        const uint64_t r = next_random(&scribbler.seed);
        /* Mostly not the constants: they end all. */
        const size_t first = r >> 40 & 63 ? WM_CONSTANTS : 0;
        const size_t at = first + r % (geometry.size - first);

        *(volatile uint64_t *)(void *)&scribbler.at[at & ~(size_t)7] =
            a_value(next_random(&scribbler.seed));
    }
    return unused;
}

static void begin_scribbling(unsigned char *at, const struct head *head)
{
    if (scribbler.on) {
        scribbler.at = at;
        scribbler.seed = head->seed | UINT64_C(1) << 40;
        HOLD(pthread_create(&scribbler.thread, NULL, scribble, NULL) == 0);
    }
}

static void end_scribbling(void)
{
    if (scribbler.on) {
        HOLD(pthread_join(scribbler.thread, NULL) == 0);
    }
}

/* ------------------------------------------------------------------ inputs */

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
    HOLD(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
    HOLD(wm_node_attach(&options, &next) == 0);
    HOLD(access(path, F_OK) != 0);
    wm_node_release(next);
}

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
    HOLD(pwrite(file, bytes, length, 0) == (ssize_t)length &&
         ftruncate(file, (off_t)length) == 0);
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
    act(node, &head);
    end_scribbling();
    return 0;
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

    HOLD(wm_node_attach(&options, &node) == 0 &&
         wm_generation_begin(node, &id, NULL) == 0 &&
         wm_worker_join(node, id, &join, &worker) == 0);
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
    HOLD(file >= 0 && ftruncate(file, (off_t)geometry.size) == 0);
    file_memory =
        mmap(NULL, geometry.size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    HOLD(file_memory != MAP_FAILED);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    directory = getenv("WM_FUZZ_DIRECTORY");
    HOLD(directory != NULL);
    take_part();
    make_file();
    scribbler.on = getenv("WM_FUZZ_SCRIBBLE") != NULL;
    return 0;
}
