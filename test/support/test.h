/* SPDX-License-Identifier: Apache-2.0 */

/* What each C test needs: a test is a function that registers itself, and its
 * name is its claim. WM_TESTS='a_dead*' runs the tests of that name alone. */

#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* TEST(name) { ... } is a test without a fixture; a file whose tests have one
 * defines another macro by the first of these. */
#define TEST_WITH(set_up, tear_down, name)                                     \
    static void name(void **state);                                            \
    __attribute__((constructor)) static void add_##name(void)                  \
    {                                                                          \
        test_add(#name, name, set_up, tear_down, NULL);                        \
    }                                                                          \
    static void name(UNUSED void **state)
#define TEST(name) TEST_WITH(NULL, NULL, name)

/* Each row of a table is a test: its first member is its name, and test() finds
 * it in *state. */
#define TEST_EACH(set_up, tear_down, rows, test)                               \
    __attribute__((constructor)) static void add_##rows(void)                  \
    {                                                                          \
        for (size_t i = 0; i < COUNT(rows); i++) {                             \
            test_add(rows[i].name, test, set_up, tear_down, &rows[i]);         \
        }                                                                      \
    }

void test_add(const char *name, CMUnitTestFunction test,
              CMFixtureFunction set_up, CMFixtureFunction tear_down,
              const void *initial_state);

/* Runs the tests, and fails if none has that name; returns what main() is to
 * return. A program without one of its own has one that does nothing else. */
int test_run(void);

/* A short function of a test, for a table or for later. */
#define ACT(name, parameters, ...)                                             \
    static void name parameters                                                \
    {                                                                          \
        __VA_ARGS__;                                                           \
    }

#define assert_ok(result) assert_int_equal(result, 0)

/* Skips the test, saying why: a failure in CI, unless WM_MAY_SKIP is set. */
#define test_skip(why) test_skip_named(__func__, why)
void test_skip_named(const char *test, const char *why);

/* The other of two users; only root can be either, else the test is skipped. */
#define NOBODY 65534
#define test_as_two_users()                                                    \
    if (getuid() != 0) {                                                       \
        test_skip("only root can be two users");                               \
    }

/* Waits for this, with a look each ms, and ends the test after some 20 s. */
#define await(condition)                                                       \
    for (int tries_ = 0; !(condition); tries_++) {                             \
        await_again(tries_, #condition);                                       \
    }
void await_again(int tries, const char *condition);

/* R, S, T, t, Z or another, as proc(5) has it; 0: there is no such process. */
char process_state(pid_t pid);

/* Counts the files that glob(7) finds; or also hidden ones, and removes all. */
int files_matching(const char *pattern, bool remove_them);

/* The path of this program, to exec it: /proc/self/exe may be valgrind's. */
const char *program_path(void);

/* For what only a process of its own can see or do: a function that returns 0
 * if all of it holds, and CHECK_IMPOSSIBLE where the machine forbids a look. */
typedef int check_fn(const void *argument);
#define CHECK_IMPOSSIBLE 77

/* In a check: ends it unless this is true. */
#define HOLDS(condition)                                                       \
    if (!(condition)) {                                                        \
        fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                \
        return 1;                                                              \
    }

/* Forks a child that is killed if its parent ends: 0 in the child. */
pid_t fork_child(void);

/* One that sleeps until it is killed; kills a child: a zombie, or reaped. */
pid_t fork_sleeper(void);
void kill_unreaped(pid_t pid);
void kill_and_reap(pid_t pid);

/* Waits for its end: its exit status, or -status if a signal ended it. */
int child_status(pid_t pid);

/* Runs a check in a child and returns what it returned. */
int run_check(check_fn *check, const void *argument);
#define assert_check(check, argument) assert_ok(run_check(check, argument))

/* A test all of which is such a check; why: it may not be possible. */
#define CHILD_TEST_WITH(set_up, tear_down, why, name)                          \
    static int check_##name(const void *argument);                             \
    TEST_WITH(set_up, tear_down, name)                                         \
    {                                                                          \
        assert_or_skip(run_check(check_##name, NULL), why);                    \
    }                                                                          \
    static int check_##name(UNUSED const void *argument)

/* Ends the test unless a check held; skips it if it could not look. */
#define assert_or_skip(result, why) assert_or_skip_named(__func__, result, why)
void assert_or_skip_named(const char *test, int result, const char *why);

/* In a check: leaves for a new mount namespace, as any user where the kernel
 * lets users have some, else as root. No mount is seen outside. */
bool enter_mount_namespace(void);

/* In a check: no descriptor from this number on; 0 if that can be had. */
int limit_descriptors(unsigned first);
