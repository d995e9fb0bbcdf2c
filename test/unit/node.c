/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Options, and handles: how many a process gets, and how readers find a node.
 * When a segment goes, what comes after it and who takes it over is in
 * node_lives.c. */

#include "segment_directory.h"

static struct wm_node *node; /* in a forked child as well */

static void release(struct wm_node *n)
{
    assert_ok(wm_node_release(n));
}

DIRECTORY_TEST(bad_options_are_refused_and_nothing_made)
{
    struct wm_node_options good = node_options("a"), bad[12];

    for (size_t i = 0; i < COUNT(bad); i++) {
        bad[i] = good;
    }
    bad[0].size = 0;
    bad[1].size = 4;
    bad[2].size = sizeof(good) - 8;
    bad[3].size = 0xa5a5a5a5; /* nobody's is that long: it was not set */
    bad[4].instance = NULL;
    bad[5].instance = "";
    bad[6].instance = "a/b";
    bad[7].flags = 4;
    bad[8].capacity = 65536;
    bad[9].mode = 01600;
    bad[10].log_entries = 1048577;
    bad[11].reserved = 1;
    node = NULL;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(wm_node_attach(&bad[i], &node), -EINVAL);
    }
    assert_int_equal(wm_node_attach(NULL, &node), -EINVAL);
    assert_int_equal(wm_node_attach(&good, NULL), -EINVAL);
    assert_int_equal(directory_files(), 0);
    assert_null(node);
}

DIRECTORY_TEST(options_that_are_not_given_or_not_known_have_defaults)
{
    struct {
        struct wm_node_options is;
        uint64_t unknown[4]; /* of a later header */
    } longer = {.is = node_options("a")};
    struct stat st;

    longer.is.size = sizeof(longer);
    longer.is.capacity = longer.is.log_entries = 0;
    assert_ok(wm_node_attach(&longer.is, &node));
    assert_int_equal(node_info(node).capacity, 1024);
    assert_int_equal(node->segment.geometry.log_entries, 1024);
    assert_ok(stat(directory_path(node_info(node).name), &st));
    assert_int_equal(st.st_mode & 07777, 0600);
    release(node);
    longer.unknown[3] = 1;
    assert_int_equal(wm_node_attach(&longer.is, &node), -E2BIG);
}

DIRECTORY_TEST(a_directory_that_cannot_be_used_is_told)
{
    struct wm_node_options o = node_options("a");

    assert_ok(mknod(directory_path("file"), S_IFREG | 0600, 0));
    o.directory = directory_path("file");
    assert_int_equal(wm_node_attach(&o, &node), -ENOTDIR);
    o.directory = directory_path("none");
    assert_int_equal(wm_node_attach(&o, &node), -ENOENT);
    o.flags = WM_NODE_ANONYMOUS;
    assert_ok(wm_node_attach(&o, &node));
    assert_int_equal(node_info(node).anonymous, ENOENT);
    assert_string_equal(node_info(node).name, "");
    release(node);
    assert_int_equal(directory_files(), 1);
}

DIRECTORY_TEST(an_instance_has_one_handle_in_a_process)
{
    node = node_attach("a");
    assert_ptr_equal(node, node_attach("a"));
    assert_int_equal(directory_files(), 1);
    release(node);
    assert_int_equal(directory_files(), 1);
    assert_int_equal(node_begin(node), 1);
    release(node);
    assert_int_equal(directory_files(), 0);
}

/* As http and stream Lua have it: each has init and workers of its own. */
DIRECTORY_TEST(two_instances_in_one_process_do_not_mix)
{
    struct wm_node *n[] = {node_attach("a-http"), node_attach("a-stream")};
    struct wm_counts counts;

    assert_ptr_not_equal(n[0], n[1]);
    assert_int_equal(directory_files(), 2);
    for (int i = 0; i < 2; i++) {
        uint32_t reason;
        uint64_t id;

        /* Not a reload, although this process has begun one before. */
        assert_ok(wm_generation_begin(n[i], &id, &reason));
        assert_int_equal(id, 1);
        assert_int_equal(reason, WM_REASON_START);
        assert_null(wm_node_worker(n[1]));
        assert_ok(node_join(n[i]));
        assert_ok(wm_lock_acquire(n[i], NULL)); /* a lock a node */
    }
    for (int i = 0; i < 2; i++) {
        wm_generation_counts(n[i], 1, &counts);
        assert_int_equal(counts.mine, 1);
        node_leave(n[i]);
        release(n[i]);
        assert_int_equal(directory_files(), 1 - i);
    }
}

/* -------------------------------------------------- the living and the dead */

DIRECTORY_TEST(the_dead_may_be_unlinked_and_nothing_else)
{
    const char *dead = segment_leave_dead("a");
    struct wm_node_info info;

    node = node_attach("b");
    info = node_info(node);
    assert_ok(mknod(directory_path("other"), S_IFREG | 0600, 0));
    const struct {
        const char *name;
        int error;
    } table[] = {{info.name, -EBUSY},   {dead, 0},
                 {dead, -ENOENT},       {"other", -EINVAL},
                 {"wm.other", -EINVAL}, {"wm.../a.0123456789abcdef", -ENOENT},
                 {NULL, -EINVAL}};

    for (size_t i = 0; i < COUNT(table); i++) {
        assert_int_equal(wm_node_unlink(table[i].name, test_directory),
                         table[i].error);
    }
    assert_int_equal(directory_files(), 2);
    release(node);
}

static void expect_found(const char *instance, const char *name)
{
    struct wm_node *reader;

    assert_ok(wm_node_open(instance, test_directory, &reader));
    assert_string_equal(node_info(reader).instance, instance);
    assert_string_equal(node_info(reader).name, name);
    assert_int_equal(node_info(reader).read_only, 1);
    release(reader);
}

DIRECTORY_TEST(a_reader_finds_the_living_among_the_dead)
{
    struct wm_node *reader;

    expect_found("a", segment_leave_dead("a")); /* there is no other */
    node = node_attach("b");
    segment_leave_dead("b");
    expect_found("b", node_info(node).name);
    release(node);
    assert_int_equal(wm_node_open("c", test_directory, &reader), -ENOENT);
    assert_int_equal(wm_node_open(NULL, test_directory, &reader), -EINVAL);
}
