/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* WM_TESTS='a_dead*' runs the tests of that name alone, in any program that
 * the tests are in. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void filter(void)
{
    const char *names = getenv("WM_TESTS");

    if (names != NULL) {
        cmocka_set_test_filter(names);
    }
}
