/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Death, and a pause, at every instruction that makes a segment or gives it
 * up. What others can see of these are files and their locks, which only
 * system calls change, and the header while it is filled. After each, and
 * whatever came of it, the next life of the instance is told all there is to
 * tell, once, and no file stays behind. */

#include "place.h"
#include "step.h"

#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_SIZE 128
#define INSTANCE "files"
#define MOMENTS 256

struct deed {
    const char *name;
    step_fn *prepare;
    step_fn *act;
    uint32_t exits; /* to be told to the next life */
};

/* In memory that the child shares. */
static struct result {
    int error;
    char name[NAME_SIZE]; /* of the file that it takes part in */
} *result;

static struct stepped victim;
static struct moment moments[MOMENTS];
static struct wm_node *node; /* the child's */
static void *file;           /* the child's file, mapped by the test */

/* -------------------------------------------------------------- the child */

static int attach(struct wm_node **n)
{
    const struct wm_node_options options = {.size = sizeof(options),
                                            .instance = INSTANCE,
                                            .directory = place_directory,
                                            .capacity = 2,
                                            .log_entries = 8};

    return wm_node_attach(&options, n);
}

static void nothing(void *unused)
{
    (void)unused;
}

static void make(void *unused)
{
    struct wm_node_info info = {.size = sizeof(info)};

    (void)unused;
    result->error = attach(&node);
    if (result->error == 0) {
        wm_node_describe(node, &info);
        snprintf(result->name, sizeof(result->name), "%s", info.name);
    }
}

static void live(void *unused)
{
    const struct wm_join_options options = {.size = sizeof(options)};
    struct wm_worker *worker;
    struct wm_counts counts;
    uint64_t id = 0;

    make(unused);
    wm_generation_begin(node, &id, NULL);
    wm_worker_join(node, id, &options, &worker);
    wm_worker_start(worker, &counts);
}

static void release(void *unused)
{
    (void)unused;
    result->name[0] = '\0';
    wm_node_release(node);
    node = NULL;
}

static void depart(void *unused)
{
    if (node != NULL) {
        release(unused);
    }
}

static const struct deed deeds[] = {
    {"making_a_segment", nothing, make, 0},
    {"giving_up_a_clean_segment", make, release, 0},
    {"giving_up_a_segment_with_an_end_to_tell", live, release, 1},
};

/* --------------------------------------------------------------- the test */

static void find_name(const struct wm_node_entry *entry, void *name)
{
    snprintf(name, NAME_SIZE, "%s", entry->name);
}

/* Maps the child's file as soon as it has its size. */
static void look_for_file(void)
{
    char name[NAME_SIZE] = "";
    struct stat st;
    int fd;

    if (file != NULL ||
        wm_node_list(INSTANCE, place_directory, find_name, name) != 0 ||
        name[0] == '\0') {
        return;
    }
    fd = open(place_path(name), O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 &&
        st.st_size >= (off_t)sizeof(struct wm_segment_header)) {
        file = mmap(NULL, sizeof(struct wm_segment_header), PROT_READ,
                    MAP_SHARED, fd, 0);
        assert_true(file != MAP_FAILED);
        step_watch(&victim, file, sizeof(struct wm_segment_header));
    }
    close(fd);
}

static void begin(const struct deed *d)
{
    memset(result, 0, sizeof(*result));
    step_fork(&victim, d->prepare, d->act, depart, NULL);
    look_for_file();
}

static void clear(void)
{
    step_clear(&victim);
    if (file != NULL) {
        munmap(file, sizeof(struct wm_segment_header));
        file = NULL;
    }
}

static void to_moment(struct moment m)
{
    assert_true(step_to(&victim, (struct moment){.call = m.call}));
    look_for_file();
    assert_true(step_to(&victim, m));
}

static uint32_t walk(const struct deed *d)
{
    enum step_kind kind;
    uint32_t n = 0;

    begin(d);
    moments[n++] = victim.at;
    while ((kind = step_once(&victim)) != STEP_DONE) {
        if (kind == STEP_CALL) {
            look_for_file();
        }
        if (kind == STEP_CALL || kind == STEP_CHANGE) {
            step_note(&victim);
            assert_true(n < MOMENTS);
            moments[n++] = victim.at;
        }
    }
    clear();
    return n;
}

static bool is_there(const char *name)
{
    struct stat st;

    return stat(place_path(name), &st) == 0;
}

/* A life of the instance: adds what it is told. */
static void next_life(uint32_t *exits)
{
    struct wm_node_info info = {.size = sizeof(info)};
    struct wm_node *n;

    assert_int_equal(attach(&n), 0);
    wm_node_describe(n, &info);
    *exits += info.postmortem.exits_owed;
    assert_true(is_there(info.name));
    assert_int_equal(wm_node_release(n), 0);
    assert_false(is_there(info.name));
}

/* A reader finds a whole segment, or none. */
static void check_reader(const struct wm_node_entry *entry, void *unused)
{
    struct wm_node *n;
    int error = wm_node_open(entry->name, place_directory, &n);

    (void)unused;
    assert_true(error == 0 || error == -EBADMSG || error == -ENODATA);
    if (error == 0) {
        wm_node_release(n);
    }
}

static void kill_at(const struct deed *d, struct moment m, bool zombie)
{
    uint32_t exits = 0;

    begin(d);
    to_moment(m);
    step_kill(&victim);
    if (!zombie) {
        step_reap(&victim);
    }
    assert_in_range(place_files(), 0, 1);
    wm_node_list(INSTANCE, place_directory, check_reader, NULL);
    next_life(&exits);
    assert_int_equal(place_files(), 0);
    assert_int_equal(exits, d->exits);
    clear();
}

static void pause_at(const struct deed *d, struct moment m)
{
    uint32_t exits = 0;

    begin(d);
    to_moment(m);
    next_life(&exits);
    step_resume(&victim);
    step_finish(&victim);
    assert_int_equal(result->error, 0);
    /* I9: nobody else has unlinked what it takes part in. */
    assert_true(result->name[0] == '\0' || is_there(result->name));
    step_depart(&victim);
    next_life(&exits);
    assert_int_equal(place_files(), 0);
    assert_int_equal(exits, d->exits);
    clear();
}

static void can_be_killed_and_paused(void **state)
{
    const struct deed *d = *state;
    uint32_t exits = 0, n;

    next_life(&exits); /* what a process does once is done before */
    n = walk(d);
    next_life(&exits);
    print_message("# %s: killed and paused after %u instructions\n", d->name,
                  n);
    for (uint32_t i = 0; i < n; i++) {
        kill_at(d, moments[i], i % 2 == 1);
        pause_at(d, moments[i]);
    }
}

static int setup(void **state)
{
    result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return result == MAP_FAILED ? -1 : place_setup(state);
}

static int teardown(void **state)
{
    clear();
    munmap(result, sizeof(*result));
    return place_teardown(state);
}

int main(void)
{
    struct CMUnitTest tests[sizeof(deeds) / sizeof(*deeds)];
    const size_t n = sizeof(deeds) / sizeof(*deeds);
    static char names[sizeof(deeds) / sizeof(*deeds)][96];

    if (!step_is_allowed()) {
        puts("# ptrace is not allowed here");
        return 77;
    }
    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "%s_can_be_killed_and_paused",
                 deeds[i].name);
        tests[i] =
            (struct CMUnitTest){.name = names[i],
                                .test_func = can_be_killed_and_paused,
                                .setup_func = setup,
                                .teardown_func = teardown,
                                .initial_state = (void *)(uintptr_t)&deeds[i]};
    }
    return _cmocka_run_group_tests("stepping_files", tests, n, NULL, NULL);
}
