/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Linked where a program has no main() of its own. */

#include "test.h"

int main(void)
{
    return test_run();
}
