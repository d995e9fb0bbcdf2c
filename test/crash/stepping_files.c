/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Death, and a pause, at every instruction that makes a segment or gives it
 * up. Others can see of these only files and their locks, which only
 * system calls change, and the header while it is filled. After each, and
 * whatever came of it, the next life of the instance is told all there is to
 * tell, once, and no file stays behind. */

#include "segment_directory.h"
#include "step.h"

#include <sys/mman.h>

#define INSTANCE "files"
#define MOMENTS 256
#define HEADER sizeof(struct wm_segment_header)

struct operation {
    const char *name;
    step_fn *prepare;
    step_fn *act;
    uint32_t exits; /* to be told to the next life */
};

/* In memory that the child shares. */
static struct result {
    int error;
    char name[WM_NAME_SIZE]; /* of the file that it takes part in */
} *result;

static struct stepped stepped;
static struct wm_node *node; /* the child's */
static void *file;           /* the child's file, mapped by the test */

/* --------------------------------------------------------------- the child */

static void nothing(UNUSED void *argument) {}

static void make(UNUSED void *argument)
{
    const struct wm_node_options options = node_options(INSTANCE);

    result->error = wm_node_attach(&options, &node);
    if (result->error == 0) {
        memcpy(result->name, node_info(node).name, WM_NAME_SIZE);
    }
}

static void live(void *argument)
{
    make(argument);
    node_begin(node);
    node_join(node);
}

static void release(UNUSED void *argument)
{
    result->name[0] = '\0';
    if (node != NULL) {
        wm_node_release(node);
        node = NULL;
    }
}

static const struct operation operations[] = {
    {"making_a_segment_can_be_killed_and_paused", nothing, make, 0},
    {"giving_up_a_clean_segment_can_be_killed_and_paused", make, release, 0},
    {"giving_up_a_segment_with_an_end_to_tell_can_be_killed_and_paused", live,
     release, 1},
};

/* ---------------------------------------------------------------- the test */

/* Maps the child's file as soon as it has its size. */
static void map_file(const struct wm_node_entry *entry, UNUSED void *argument)
{
    int fd = open(directory_path(entry->name), O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= (off_t)HEADER) {
        file = mmap(NULL, HEADER, PROT_READ, MAP_SHARED, fd, 0);
        assert_true(file != MAP_FAILED);
        step_watch(&stepped, file, HEADER);
    }
    close(fd);
}

static void look_for_file(void)
{
    if (file == NULL) {
        wm_node_list(INSTANCE, test_directory, map_file, NULL);
    }
}

static void begin(const struct operation *o)
{
    memset(result, 0, sizeof(*result));
    step_fork(&stepped, o->prepare, o->act, release, NULL);
    look_for_file();
}

static void begin_at(const struct operation *o, struct moment m)
{
    begin(o);
    assert_true(step_to(&stepped, (struct moment){.call = m.call}));
    look_for_file();
    assert_true(step_to(&stepped, m));
}

static void clear(void)
{
    step_clear(&stepped);
    if (file != NULL) {
        munmap(file, HEADER);
        file = NULL;
    }
}

static uint32_t walk(const struct operation *o, struct moment *moments)
{
    enum step_kind kind;
    uint32_t n = 0;

    begin(o);
    moments[n++] = stepped.at;
    while ((kind = step_once(&stepped)) != STEP_DONE) {
        if (kind == STEP_CALL) {
            look_for_file();
        }
        if (is_visible(kind)) {
            step_note(&stepped);
            assert_true(n < MOMENTS);
            moments[n++] = stepped.at;
        }
    }
    clear();
    return n;
}

static bool is_there(const char *name)
{
    return access(directory_path(name), F_OK) == 0;
}

/* A life of the instance: what it is told. */
static uint32_t next_life(void)
{
    struct wm_node *n = node_attach(INSTANCE);
    struct wm_node_info info = node_info(n);
    struct wm_postmortem told = node_postmortem(n);

    assert_true(is_there(info.name));
    assert_ok(wm_node_release(n));
    assert_false(is_there(info.name));
    return told.exits_owed;
}

/* All lives after it have been told all of it, and leave nothing. */
static void expect_end(const struct operation *o, uint32_t exits)
{
    assert_int_equal(directory_files(), 0);
    assert_int_equal(exits, o->exits);
    clear();
}

/* A reader finds a whole segment, or none. */
static void check_reader(const struct wm_node_entry *entry,
                         UNUSED void *argument)
{
    struct wm_node *n;
    int error = wm_node_open(entry->name, test_directory, &n);

    assert_true(error == 0 || error == -EBADMSG || error == -ENODATA);
    if (error == 0) {
        wm_node_release(n);
    }
}

static void kill_at(const struct operation *o, struct moment m, bool zombie)
{
    begin_at(o, m);
    step_kill(&stepped, zombie);
    assert_in_range(directory_files(), 0, 1);
    wm_node_list(INSTANCE, test_directory, check_reader, NULL);
    expect_end(o, next_life());
}

static void pause_at(const struct operation *o, struct moment m)
{
    uint32_t exits;

    begin_at(o, m);
    exits = next_life();
    step_resume(&stepped);
    step_finish(&stepped);
    assert_int_equal(result->error, 0);
    /* I9: nobody else has unlinked what it takes part in. */
    assert_true(result->name[0] == '\0' || is_there(result->name));
    step_depart(&stepped);
    expect_end(o, exits + next_life());
}

static void can_be_killed_and_paused(void **state)
{
    const struct operation *o = *state;
    struct moment moments[MOMENTS];
    uint32_t n;

    next_life(); /* what a process does once is done before */
    n = walk(o, moments);
    next_life();
    for (uint32_t i = 0; i < n; i++) {
        kill_at(o, moments[i], i % 2 == 1);
        pause_at(o, moments[i]);
    }
    print_message("# killed and paused after %u instructions\n", n);
}

static int tear_down(void **state)
{
    clear();
    return directory_tear_down(state);
}

int main(void)
{
    result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(result != MAP_FAILED);
    for (size_t i = 0; i < COUNT(operations); i++) {
        test_add(operations[i].name, can_be_killed_and_paused, directory_set_up,
                 tear_down, &operations[i]);
    }
    return step_run();
}
