/* SPDX-License-Identifier: Apache-2.0 */

/* All that crosses the public interface: structs by their size, options that
 * this library does not know, results and their sentences, handles that are
 * none. A node's options are in node.c; test/consumer runs two versions with
 * each other, whose structs and elements differ. */

#include "inside.h"

#include <limits.h>

NODE_TEST(structs_that_are_passed_are_known_by_their_sizes)
{
    const uint32_t none = 0xa5a5a5a5; /* longer than any: it was not set */
    struct {
        struct wm_join_options is;
        uint32_t unknown;
    } join = {.is = {.size = sizeof(join)}, .unknown = 1};
    struct {
        struct wm_lock_options is;
        uint32_t unknown;
    } lock = {.is = {.size = sizeof(lock)}, .unknown = 1};
    struct wm_node_options options[2] = {
        {.size = sizeof(options), .instance = test_instance}, {.size = 1}};
    struct wm_lock_holder holder = {.size = none};
    struct wm_node_info info = {.size = none};
    struct wm_event event = {.size = none};
    struct wm_worker *w;

    assert_int_equal(wm_worker_join(node, generation, &join.is, &w), -E2BIG);
    join.is.size = 8;
    assert_int_equal(wm_worker_join(node, generation, &join.is, &w), -EINVAL);
    join.is.size = sizeof(join.is);
    assert_int_equal(wm_worker_join(node, generation, &join.is, NULL), -EINVAL);
    join.is.reserved = 1;
    assert_int_equal(wm_worker_join(node, generation, &join.is, &w), -EINVAL);
    assert_int_equal(wm_node_attach(options, &node), -E2BIG);
    assert_int_equal(wm_lock_acquire(node, &lock.is), -E2BIG);
    lock.is.size = none;
    assert_int_equal(wm_lock_acquire(node, &lock.is), -EINVAL);
    lock.is.size = sizeof(lock.is);
    assert_ok(wm_lock_acquire(node, &lock.is));
    assert_int_equal(wm_lock_inspect(node, &holder), -EINVAL);
    assert_int_equal(wm_node_describe(node, &info), -EINVAL);
    assert_int_equal(wm_event_take(node, WM_EVENTS_ALL, &event), -EINVAL);
}

/* Fields that this library does not know are 0, bytes behind the list stay. The
 * number of a long-lived generation comes again at the end of the table. */
NODE_TEST(a_list_is_in_order_in_elements_of_any_size_and_has_room)
{
    struct {
        struct wm_generation_info is;
        uint64_t more;
    } list[128];
    const uint32_t room = COUNT(list), size = sizeof(*list);
    struct wm_worker_info worker;
    uint32_t count;

    new_worker(generation);
    for (uint32_t i = 0; i < 80; i++) {
        begin();
    }
    memset(list, 0xa5, sizeof(list));
    assert_ok(wm_generations(node, &list[0].is, size, room, &count));
    assert_in_range(count, 2, room - 1);
    assert_int_equal(list[0].is.id, generation);
    assert_int_equal(list[0].more, 0);
    for (uint32_t i = 1; i < count; i++) {
        assert_true(list[i - 1].is.id < list[i].is.id);
        assert_int_equal(list[i].more, 0);
    }
    assert_true(list[count].more == UINT64_C(0xa5a5a5a5a5a5a5a5));
    assert_int_equal(wm_generations(node, &list[0].is, 1u << 20, room, &count),
                     -EINVAL);
    /* Too small a list is an error. */
    assert_ok(wm_snapshot(node, &worker, sizeof(worker), 1, &count));
    new_worker(generation);
    assert_int_equal(wm_snapshot(node, &worker, sizeof(worker), 1, &count),
                     -ENOSPC);
}

/* Whatever wm.h and wm_monitor.h say that a function returns. */
static const int results[] = {
    0,         WM_RECOVERED, WM_IS_WORKER, WM_CLOSED, WM_UNSETTLED, -EACCES,
    -EALREADY, -EBADMSG,     -EBUSY,       -ECHILD,   -EDEADLK,     -EINVAL,
    -ENOBUFS,  -ENOENT,      -ENOSPC,      -EPERM,    -EPROTO,      -EROFS,
    -ESTALE,   -ETIMEDOUT,   -EXDEV,       -ENOMEM,   -EMFILE,      -EAGAIN,
    -ESRCH,    -EINPROGRESS,
};

TEST(each_named_result_has_a_sentence_of_its_own_and_any_number_has_one)
{
    for (size_t i = 0; i < COUNT(results); i++) {
        const char *sentence = wm_strerror(results[i]);

        assert_string_not_equal(sentence, wm_strerror(-4000));
        assert_string_not_equal(sentence, wm_strerror(4000));
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(sentence, wm_strerror(results[j]));
        }
        assert_in_range(strlen(sentence), 5, 100);
        for (; *sentence != '\0'; sentence++) {
            assert_in_range(*sentence, ' ', '~'); /* one line of print */
        }
    }
    /* A condition is not taken for an errno, nor an errno for a condition. */
    for (int error = -5000; error <= 5000; error++) {
        assert_true(wm_strerror(error)[0] != '\0');
    }
    assert_string_equal(wm_strerror(EINVAL), wm_strerror(4000));
    assert_string_equal(wm_strerror(INT_MAX), wm_strerror(4000));
    assert_string_equal(wm_strerror(INT_MIN + 1), wm_strerror(-4000));
    assert_string_equal(wm_strerror(INT_MIN), wm_strerror(-4000));
}

static int asserts_what_is_false(UNUSED const void *argument)
{
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    assert_true(false);
    return 0;
}

/* The tests rest on this: it does not go on with its parent's tests. */
TEST(a_failed_assertion_ends_a_child)
{
    assert_int_equal(run_check(asserts_what_is_false, NULL), -SIGABRT);
}
