/* SPDX-License-Identifier: Apache-2.0 */

/* Death, and a pause, around every system call that makes a segment or gives it
 * up, and at some instructions between, more where the header is filled. Other
 * processes see only the header, and files and their locks, which system calls
 * alone change. After each death and pause, the next life of the instance is
 * told all there is to tell, once, and no file stays behind. */

#include "segment_directory.h"
#include "step.h"

#include <sys/mman.h>

#define INSTANCE "files"

struct operation {
    const char *name;
    step_fn *prepare;
    step_fn *act;
    uint32_t exits; /* to be told to the next life */
};

/* The file that the child takes part in; in memory that it shares. */
static char *used;

static struct stepped stepped;
static struct wm_node *node; /* the child's */

static void make(UNUSED void *argument)
{
    node = node_attach(INSTANCE);
    memcpy(used, node_info(node).name, WM_NAME_SIZE);
}

static void live(void *argument)
{
    make(argument);
    node_begin(node);
    node_join(node);
}

static void release(UNUSED void *argument)
{
    used[0] = '\0';
    if (node != NULL) {
        wm_node_release(node);
        node = NULL;
    }
}

static const struct operation operations[] = {
    {"making_a_segment_can_be_killed_and_paused", NULL, make, 0},
    {"giving_up_a_clean_segment_can_be_killed_and_paused", make, release, 0},
    {"giving_up_a_segment_with_an_end_to_tell_can_be_killed_and_paused", live,
     release, 1},
};

static void begin(const struct operation *o)
{
    used[0] = '\0';
    step_fork(&stepped, o->prepare, o->act, release, NULL);
}

static bool is_there(const char *name)
{
    return access(directory_path(name), F_OK) == 0;
}

/* A life of the instance: what it is told. */
static uint32_t next_life(void)
{
    struct wm_node *n = node_attach(INSTANCE);
    struct wm_postmortem told = node_postmortem(n);
    char name[WM_NAME_SIZE]; /* the handle's own goes with it */

    memcpy(name, node_info(n).name, sizeof(name));
    assert_true(is_there(name));
    assert_ok(wm_node_release(n));
    assert_false(is_there(name));
    return told.exits_owed;
}

/* All lives after it have been told all of it, and leave nothing. */
static void expect_end(const struct operation *o, uint32_t exits)
{
    assert_int_equal(directory_files(), 0);
    assert_int_equal(exits, o->exits);
    step_clear(&stepped);
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
    begin(o);
    assert_true(step_to(&stepped, m));
    step_kill(&stepped, zombie);
    assert_in_range(directory_files(), 0, 1);
    wm_node_list(INSTANCE, test_directory, check_reader, NULL);
    expect_end(o, next_life());
}

static void pause_at(const struct operation *o, struct moment m)
{
    uint32_t exits;

    begin(o);
    assert_true(step_to(&stepped, m));
    exits = next_life();
    step_resume(&stepped);
    step_finish(&stepped);
    /* I9: nobody else has unlinked what it takes part in. */
    assert_true(used[0] == '\0' || is_there(used));
    step_depart(&stepped);
    expect_end(o, exits + next_life());
}

static void can_be_killed_and_paused(void **state)
{
    const struct operation *o = *state;

    next_life(); /* what a process does once is done before */
    begin(o);
    step_through(&stepped, true, NULL);
    step_clear(&stepped);
    next_life();
    for (uint32_t i = 0; i < step_trail_length; i++) {
        if (step_is_chosen(i) || (o->act == make && i % 4 == 0)) {
            kill_at(o, step_trail[i], i % 2 == 1);
            pause_at(o, step_trail[i]);
        }
    }
}

static int set_up(void **state)
{
    used = mmap(NULL, WM_NAME_SIZE, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return used == MAP_FAILED ? -1 : directory_set_up(state);
}

static int tear_down(void **state)
{
    step_clear(&stepped);
    munmap(used, WM_NAME_SIZE);
    return directory_tear_down(state);
}

TEST_EACH(set_up, tear_down, operations, can_be_killed_and_paused)
