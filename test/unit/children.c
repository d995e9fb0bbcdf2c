/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What the tests rest on: a child never goes on with its parent's tests. */

#include "test.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void say_nothing(void)
{
    const struct rlimit none = {0, 0};
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    setrlimit(RLIMIT_CORE, &none);
    dup2(fd, 1);
    dup2(fd, 2);
}

TEST(a_failed_assertion_ends_a_child)
{
    pid_t pid = fork_child();

    if (pid == 0) {
        say_nothing();
        assert_true(false);
        _exit(0);
    }
    assert_int_equal(child_status(pid), -SIGABRT);
}
