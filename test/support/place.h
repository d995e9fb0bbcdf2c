/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* A directory of segments of a test's own, and children that check what only
 * a process of their kind can see. */

#ifndef PLACE_H
#define PLACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>

/* What a check answers where the machine does not let it look. */
#define PLACE_IMPOSSIBLE 77

/* In a check: ends it unless this is true. */
#define HOLDS(condition)                                                       \
    if (!(condition)) {                                                        \
        fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                \
        return 1;                                                              \
    }

extern char place_directory[64]; /* of the test that runs */

/* CMocka's setup and teardown: an empty directory, and none. */
int place_setup(void **state);
int place_teardown(void **state);

/* How many files are there, hidden ones aside. */
int place_files(void);

/* The path of a file there; the next call writes over it. */
const char *place_path(const char *name);

/* The path of this program, to exec it: /proc/self/exe is that of valgrind,
 * where that runs it. */
const char *place_program(void);

/* Runs a check in a child: 0 if all of it holds. */
int place_run(int (*check)(const void *), const void *argument);

/* Whether there is pidfd_open(): not in an old kernel, nor in valgrind. */
bool place_has_pidfd(void);

/* Ends the test unless a check held; skips it, saying why, if it could not
 * look. */
void place_judge(const char *test, int result, const char *why);

/* Skips the test, saying why: a failure in CI, unless WM_MAY_SKIP is set. */
void place_skip(const char *test, const char *why);

#endif
