/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What crosses the public interface: structs by their size, options that this
 * library does not know, handles that are none. test/consumer runs two versions
 * with each other. */

#include "inside.h"

#include <sys/resource.h>

/* As a later header has it. */
struct longer_options {
    struct wm_node_options is;
    uint64_t unknown[4];
};

static struct wm_node_options options_of(uint32_t size)
{
    return (struct wm_node_options){.size = size, .instance = test_instance};
}

static void assert_attach(const struct wm_node_options *options, int error)
{
    struct wm_node *n = NULL;

    assert_int_equal(wm_node_attach(options, &n), error);
    if (error == 0) {
        assert_ok(wm_node_release(n));
    }
}

EMPTY_NODE_TEST(options_of_a_later_header_are_taken_as_far_as_they_are_known)
{
    struct longer_options longer = {.is = options_of(sizeof(longer))};

    assert_attach(&longer.is, 0);
    longer.unknown[3] = 1;
    assert_attach(&longer.is, -E2BIG);
}

EMPTY_NODE_TEST(options_that_are_too_short_or_reserved_are_refused)
{
    struct wm_node_options options = options_of(sizeof(options) - 8);

    assert_attach(&options, -EINVAL);
    options = options_of(0);
    assert_attach(&options, -EINVAL);
    options = options_of(sizeof(options));
    options.reserved = 1;
    assert_attach(&options, -EINVAL);
    assert_attach(NULL, -EINVAL);
}

NODE_TEST(a_join_and_a_wait_for_the_lock_know_their_options_sizes)
{
    struct {
        struct wm_join_options is;
        uint32_t unknown;
    } join = {.is = {.size = sizeof(join)}, .unknown = 1};
    struct {
        struct wm_lock_options is;
        uint32_t unknown;
    } lock = {.is = {.size = sizeof(lock)}, .unknown = 1};
    struct wm_worker *w;

    assert_int_equal(wm_worker_join(node, generation, &join.is, &w), -E2BIG);
    join.is.size = 8;
    assert_int_equal(wm_worker_join(node, generation, &join.is, &w), -EINVAL);
    join.is.size = sizeof(join.is);
    assert_int_equal(wm_worker_join(node, generation, &join.is, NULL), -EINVAL);
    assert_int_equal(wm_lock_acquire(node, &lock.is), -E2BIG);
    lock.is.size = 4;
    assert_int_equal(wm_lock_acquire(node, &lock.is), -EINVAL);
    lock.is.size = sizeof(lock.is);
    assert_ok(wm_lock_acquire(node, &lock.is));
}

/* Nobody's struct is that long: its size was not set. */
NODE_TEST(a_size_that_is_none_is_refused)
{
    const uint32_t none = 0xa5a5a5a5;
    struct wm_lock_options lock = {.size = none};
    struct wm_lock_holder holder = {.size = none};
    struct wm_node_info info = {.size = none};
    struct wm_event event = {.size = none};

    assert_int_equal(wm_lock_acquire(node, &lock), -EINVAL);
    assert_int_equal(wm_lock_inspect(node, &holder), -EINVAL);
    assert_int_equal(wm_node_describe(node, &info), -EINVAL);
    assert_int_equal(wm_event_take(node, WM_EVENTS_ALL, &event), -EINVAL);
}

NODE_TEST(a_list_is_written_by_the_size_of_the_callers_elements)
{
    struct {
        struct wm_worker_info is;
        unsigned char more[24];
    } list[3];
    uint32_t count;

    new_worker(generation);
    new_worker(generation);
    memset(list, 0xa5, sizeof(list));
    assert_ok(wm_snapshot(node, &list[0].is, sizeof(list[0]), 3, &count));
    assert_int_equal(count, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(list[i].is.state, WM_LIVE);
        assert_int_equal(list[i].is.slot, i);
        for (size_t j = 0; j < sizeof(list[i].more); j++) {
            assert_int_equal(list[i].more[j], 0); /* known by nobody here */
        }
    }
    assert_int_equal(list[2].is.pid, (int32_t)0xa5a5a5a5);
    assert_int_equal(wm_snapshot(node, &list[0].is, 8, 3, &count), -EINVAL);
    assert_int_equal(
        wm_snapshot(node, &list[0].is, UINT32_C(1) << 20, 3, &count), -EINVAL);
}

NODE_TEST(generations_are_listed_oldest_first_in_elements_of_any_size)
{
    struct {
        struct wm_generation_info is;
        uint64_t more;
    } list[16];
    uint32_t count;

    for (int i = 0; i < 8; i++) {
        begin();
    }
    assert_ok(wm_generations(node, &list[0].is, sizeof(list[0]), 16, &count));
    assert_true(count > 1);
    for (uint32_t i = 1; i < count; i++) {
        assert_true(list[i - 1].is.id < list[i].is.id);
    }
}

/* The number of a long-lived generation comes again at the end of the table. */
NODE_TEST(an_old_generation_that_is_still_there_is_listed_first)
{
    struct wm_generation_info list[128];
    uint32_t count;

    new_worker(generation);
    for (uint32_t i = 0; i < 80; i++) {
        begin();
    }
    assert_ok(wm_generations(node, list, sizeof(*list), 128, &count));
    assert_int_equal(list[0].id, generation);
    for (uint32_t i = 1; i < count; i++) {
        assert_true(list[i - 1].id < list[i].id);
    }
}

/* ------------------------------------------------------------ no handle */

#ifndef NDEBUG

/* What a child says that is given no handle. */
static void says(void (*misuse)(void), char *text, size_t size)
{
    const struct rlimit none = {0, 0};
    int said[2], status;
    ssize_t n;
    pid_t pid;

    assert_ok(pipe(said));
    pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &none);
        dup2(said[1], 2);
        misuse();
        _exit(0);
    }
    close(said[1]);
    n = read(said[0], text, size - 1);
    text[n > 0 ? n : 0] = '\0';
    close(said[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void release_none(void)
{
    wm_node_release(NULL);
}

static void beat_none(void)
{
    wm_beat(NULL);
}

static void lock_none(void)
{
    wm_lock_acquire(NULL, NULL);
}

TEST(a_missing_handle_is_named_with_the_function_that_got_it)
{
    static const struct {
        void (*misuse)(void);
        const char *name;
    } table[] = {{release_none, "wm_node_release"},
                 {beat_none, "wm_beat"},
                 {lock_none, "wm_lock_acquire"}};
    char text[256];

    for (size_t i = 0; i < COUNT(table); i++) {
        says(table[i].misuse, text, sizeof(text));
        assert_non_null(strstr(text, table[i].name));
        assert_non_null(strstr(text, "NULL"));
    }
}

#endif
