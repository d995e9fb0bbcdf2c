/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The sentences: whatever wm.h says that a function returns has one of its
 * own, and whatever else comes along is answered all the same. */

#include "wm.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Named in wm.h. */
static const int results[] = {
    0,       WM_RECOVERED, WM_SAME,    WM_CLOSED, WM_UNSETTLED, -EINVAL,
    -ENOENT, -ENOSPC,      -EROFS,     -EACCES,   -EPERM,       -EBADMSG,
    -EPROTO, -EXDEV,       -ENOBUFS,   -EALREADY, -ESTALE,      -ECHILD,
    -EBUSY,  -EDEADLK,     -ETIMEDOUT,
};

/* Named nowhere. */
static const int unknown[] = {
    5, 6, 1000, INT_MAX, -ENOTTY, -EHOSTUNREACH, -100000, -INT_MAX};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void zero_is_success(void **state)
{
    (void)state;
    assert_string_equal(wm_strerror(0), "success");
}

static void each_result_has_a_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(results); i++) {
        const char *text = wm_strerror(results[i]);

        assert_non_null(text);
        assert_true(strlen(text) > 0);
        assert_null(strchr(text, '\n'));
    }
}

static void no_two_results_share_a_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(results); i++) {
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(wm_strerror(results[i]),
                                    wm_strerror(results[j]));
        }
    }
}

static void unknown_results_are_answered_and_not_mistaken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(unknown); i++) {
        const char *text = wm_strerror(unknown[i]);

        assert_non_null(text);
        assert_true(strlen(text) > 0);
        for (size_t j = 0; j < COUNT(results); j++) {
            assert_string_not_equal(text, wm_strerror(results[j]));
        }
    }
}

static void an_errno_with_the_wrong_sign_is_no_error_s_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(results); i++) {
        if (results[i] < 0) {
            assert_string_not_equal(wm_strerror(-results[i]),
                                    wm_strerror(results[i]));
        }
    }
}

static void a_sentence_stays_where_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(results); i++) {
        const char *text = wm_strerror(results[i]);

        wm_strerror(-EINVAL);
        assert_ptr_equal(wm_strerror(results[i]), text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_is_success),
        cmocka_unit_test(each_result_has_a_sentence),
        cmocka_unit_test(no_two_results_share_a_sentence),
        cmocka_unit_test(unknown_results_are_answered_and_not_mistaken),
        cmocka_unit_test(an_errno_with_the_wrong_sign_is_no_error_s_sentence),
        cmocka_unit_test(a_sentence_stays_where_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
