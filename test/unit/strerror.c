/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A sentence for each result: for those that the headers name one of its own,
 * and something to print for any other number. */

#include "test.h"
#include "wm.h"

#include <limits.h>

/* Whatever wm.h and wm_monitor.h say that a function returns. */
static const int results[] = {
    0,         WM_RECOVERED, WM_IS_WORKER, WM_CLOSED, WM_UNSETTLED, -EACCES,
    -EALREADY, -EBADMSG,     -EBUSY,       -ECHILD,   -EDEADLK,     -EINVAL,
    -ENOBUFS,  -ENOENT,      -ENOSPC,      -EPERM,    -EPROTO,      -EROFS,
    -ESTALE,   -ETIMEDOUT,   -EXDEV,       -ENOMEM,   -EMFILE,      -EAGAIN,
    -ESRCH,    -EINPROGRESS,
};

TEST(each_named_result_has_a_sentence_of_its_own)
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
}

TEST(any_number_has_a_sentence)
{
    for (int error = -5000; error <= 5000; error++) {
        assert_true(wm_strerror(error)[0] != '\0');
    }
    assert_string_equal(wm_strerror(INT_MAX), wm_strerror(4000));
    assert_string_equal(wm_strerror(INT_MIN + 1), wm_strerror(-4000));
    assert_string_equal(wm_strerror(INT_MIN), wm_strerror(-4000));
}

TEST(a_condition_is_not_taken_for_an_errno)
{
    assert_string_not_equal(wm_strerror(WM_RECOVERED), wm_strerror(-EPERM));
    assert_string_not_equal(wm_strerror(WM_IS_WORKER), wm_strerror(-ENOENT));
    assert_string_equal(wm_strerror(EINVAL), wm_strerror(4000));
}

TEST(the_version_is_the_headers)
{
    assert_int_equal(wm_version() >> 16, WM_VERSION_MAJOR);
    assert_int_equal(wm_version() & 0xffff, WM_VERSION_MINOR);
}
