/* SPDX-License-Identifier: Apache-2.0 */

/* A directory of segments of a test's own, in /dev/shm, where real ones are.
 * For the one source of a program. */

#pragma once

#include "test.h"

#include "node.h"

static char test_directory[64]; /* of the test that runs */

/* A segment as a participant has it, which ends with its test. */
static struct wm_segment test_segment;

/* The path of a file there; the next call writes over it. */
static inline const char *directory_path(const char *name)
{
    static char path[400];

    snprintf(path, sizeof(path), "%s/%s", test_directory, name);
    return path;
}

/* How many files are there, hidden ones aside. */
static inline int directory_files(void)
{
    return files_matching(directory_path("*"), false);
}

/* CMocka's setup and teardown: an empty directory, and none. */
static inline int directory_set_up(UNUSED void **state)
{
    memset(&test_segment, 0, sizeof(test_segment));
    test_segment.fd = -1;
    snprintf(test_directory, sizeof(test_directory),
             "/dev/shm/wm.test-%d.XXXXXX", getpid());
    return mkdtemp(test_directory) == NULL ? -1 : 0;
}

static inline int directory_tear_down(UNUSED void **state)
{
    wm_segment_close(&test_segment);
    files_matching(directory_path("*"), true);
    return rmdir(test_directory);
}

#define DIRECTORY_TEST(name)                                                   \
    TEST_WITH(directory_set_up, directory_tear_down, name)

/* Makes it; or makes one that nobody takes part in, and returns its name. */
static inline int segment_create(const char *instance)
{
    return wm_segment_create(&test_segment, test_directory, instance,
                             wm_geometry(3, 5), 0600);
}

static inline const char *segment_leave_dead(const char *instance)
{
    static char name[WM_NAME_SIZE];

    assert_ok(segment_create(instance));
    memcpy(name, test_segment.name, sizeof(name));
    wm_segment_close(&test_segment);
    return name;
}

/* A node there, of capacity 4. */
static inline struct wm_node_options node_options(const char *instance)
{
    return (struct wm_node_options){.size = sizeof(struct wm_node_options),
                                    .instance = instance,
                                    .directory = test_directory,
                                    .capacity = 4,
                                    .log_entries = 16};
}

static inline struct wm_node *node_attach(const char *instance)
{
    const struct wm_node_options options = node_options(instance);
    struct wm_node *node = NULL;

    assert_ok(wm_node_attach(&options, &node));
    return node;
}

static inline struct wm_postmortem node_postmortem(const struct wm_node *node)
{
    struct wm_postmortem told = {.size = sizeof(told)};

    assert_ok(wm_node_postmortem(node, &told));
    return told;
}

static inline struct wm_node_info node_info(const struct wm_node *node)
{
    struct wm_node_info info = {.size = sizeof(info)};

    wm_node_describe(node, &info);
    return info;
}

/* This process begins a generation; joins the first and starts, 0 if it can;
 * or exits and leaves. */
static inline uint64_t node_begin(struct wm_node *node)
{
    uint64_t id = 0;

    assert_ok(wm_generation_begin(node, &id, NULL));
    return id;
}

static inline int node_join(struct wm_node *node)
{
    const struct wm_join_options options = {.size = sizeof(options)};
    struct wm_worker *worker = NULL;
    int error = wm_worker_join(node, 1, &options, &worker);

    return error != 0 ? error : wm_start_run(worker, NULL, NULL, NULL);
}

static inline void node_leave(struct wm_node *node)
{
    assert_ok(wm_exit_run(wm_node_worker(node), NULL, NULL, NULL));
    assert_ok(wm_worker_leave(wm_node_worker(node)));
}
