/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A directory of segments of a test's own, in /dev/shm, where real ones are. */

#ifndef DIRECTORY_H
#define DIRECTORY_H

#include "test.h"

#include "node.h"

extern char test_directory[64]; /* of the test that runs */

/* CMocka's setup and teardown: an empty directory, and none. */
int directory_set_up(void **state);
int directory_tear_down(void **state);

#define DIRECTORY_TEST(name)                                                   \
    TEST_WITH(directory_set_up, directory_tear_down, name)

/* How many files are there, hidden ones aside. */
int directory_files(void);

/* The path of a file there; the next call writes over it. */
const char *directory_path(const char *name);

/* A segment as a participant has it, which ends with its test. */
extern struct wm_segment test_segment;

/* Makes it; or makes one that nobody takes part in, and returns its name. */
int segment_create(const char *instance);
const char *segment_leave_dead(const char *instance);

/* A node there, of capacity 4. */
struct wm_node_options node_options(const char *instance);
struct wm_node *node_attach(const char *instance);
struct wm_node_info node_info(const struct wm_node *node);
struct wm_postmortem node_postmortem(const struct wm_node *node);

/* This process begins a generation; joins the first and starts, 0 if it can;
 * or goes through a worker's end in order: drains, closes, takes, leaves. */
uint64_t node_begin(struct wm_node *node);
int node_join(struct wm_node *node);
void node_leave(struct wm_node *node);

#endif
