/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A sentence for each result: for those that the headers name one of its own,
 * and something to print for any other number. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wm.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* Whatever wm.h and wm_monitor.h say that a function returns. */
static const int results[] = {
    0,         WM_RECOVERED, WM_IS_WORKER, WM_CLOSED, WM_UNSETTLED, -EACCES,
    -EALREADY, -EBADMSG,     -EBUSY,       -ECHILD,   -EDEADLK,     -EINVAL,
    -ENOBUFS,  -ENOENT,      -ENOSPC,      -EPERM,    -EPROTO,      -EROFS,
    -ESTALE,   -ETIMEDOUT,   -EXDEV,       -ENOMEM,   -EMFILE,      -EAGAIN,
    -ESRCH,    -EINPROGRESS,
};

#define RESULTS (sizeof(results) / sizeof(*results))

static void each_named_result_has_a_sentence_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < RESULTS; i++) {
        assert_non_null(wm_strerror(results[i]));
        assert_string_not_equal(wm_strerror(results[i]), wm_strerror(-4000));
        assert_string_not_equal(wm_strerror(results[i]), wm_strerror(4000));
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(wm_strerror(results[i]),
                                    wm_strerror(results[j]));
        }
    }
}

static void a_sentence_is_one_line_of_print(void **state)
{
    (void)state;
    for (size_t i = 0; i < RESULTS; i++) {
        const char *s = wm_strerror(results[i]);

        assert_in_range(strlen(s), 5, 100);
        for (; *s != '\0'; s++) {
            assert_in_range(*s, ' ', '~');
        }
    }
}

static void any_number_has_a_sentence(void **state)
{
    (void)state;
    for (int error = -5000; error <= 5000; error++) {
        assert_non_null(wm_strerror(error));
        assert_true(wm_strerror(error)[0] != '\0');
    }
}

static void the_extreme_numbers_have_one_as_well(void **state)
{
    (void)state;
    assert_string_equal(wm_strerror(INT_MAX), wm_strerror(4000));
    assert_string_equal(wm_strerror(INT_MIN + 1), wm_strerror(-4000));
    assert_string_equal(wm_strerror(INT_MIN), wm_strerror(-4000));
}

static void a_condition_is_not_taken_for_an_errno(void **state)
{
    (void)state;
    assert_string_not_equal(wm_strerror(WM_RECOVERED), wm_strerror(-EPERM));
    assert_string_not_equal(wm_strerror(WM_IS_WORKER), wm_strerror(-ENOENT));
    assert_string_equal(wm_strerror(EINVAL), wm_strerror(4000));
}

static void the_version_is_the_headers(void **state)
{
    (void)state;
    assert_int_equal(wm_version() >> 16, WM_VERSION_MAJOR);
    assert_int_equal(wm_version() & 0xffff, WM_VERSION_MINOR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_named_result_has_a_sentence_of_its_own),
        cmocka_unit_test(a_sentence_is_one_line_of_print),
        cmocka_unit_test(any_number_has_a_sentence),
        cmocka_unit_test(the_extreme_numbers_have_one_as_well),
        cmocka_unit_test(a_condition_is_not_taken_for_an_errno),
        cmocka_unit_test(the_version_is_the_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
