/* SPDX-License-Identifier: Apache-2.0 */

#include "test.h"

#include <fnmatch.h>
#include <glob.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define PATIENCE_MS 20000

static struct CMUnitTest tests[128];
static size_t test_count;

void test_add(const char *name, CMUnitTestFunction test,
              CMFixtureFunction set_up, CMFixtureFunction tear_down,
              const void *initial_state)
{
    if (test_count == COUNT(tests)) {
        abort();
    }
    tests[test_count++] = (struct CMUnitTest){name, test, set_up, tear_down,
                                              (void *)(uintptr_t)initial_state};
}

/* cmocka looks at this when an assertion fails: 1 is to abort, else it jumps
 * back to the loop over the tests. */
static char in_a_child[] = "CMOCKA_TEST_ABORT=0";

/* A child that jumped back would run all the tests that follow, whose children
 * may fail as well: their number doubles with each test. */
static void abort_on_failure(void)
{
    in_a_child[sizeof(in_a_child) - 2] = '1';
}

int test_run(void)
{
    const char *wanted = getenv("WM_TESTS");
    size_t count = 0;

    for (size_t i = 0; i < test_count; i++) {
        if (wanted == NULL || fnmatch(wanted, tests[i].name, 0) == 0) {
            tests[count++] = tests[i];
        }
    }
    if (count == 0) {
        fprintf(stderr, "no test matches %s\n", wanted);
        return 1;
    }
    if (putenv(in_a_child) != 0 ||
        pthread_atfork(NULL, NULL, abort_on_failure) != 0) {
        abort();
    }
    return _cmocka_run_group_tests("tests", tests, count, NULL, NULL);
}

/* For a program that has no main() of its own. */
__attribute__((weak)) int main(void)
{
    return test_run();
}

void test_skip_named(const char *test, const char *why)
{
    print_message("# %s: %s%s\n", test, why,
                  getenv("WM_MAY_SKIP") != NULL ? ", allowed in CI" : "");
    skip();
}

void await_again(int tries, const char *condition)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    if (tries == PATIENCE_MS) {
        fail_msg("timed out waiting for %s", condition);
    }
    nanosleep(&pause, NULL);
}

char process_state(pid_t pid)
{
    char line[128], state = 0;
    FILE *f;

    snprintf(line, sizeof(line), "/proc/%d/status", (int)pid);
    f = fopen(line, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        sscanf(line, "State: %c", &state);
    }
    if (f != NULL) {
        fclose(f);
    }
    return state;
}

int files_matching(const char *pattern, bool remove_them)
{
    glob_t files;
    size_t count;

    glob(pattern, remove_them ? GLOB_PERIOD : 0, NULL, &files);
    count = files.gl_pathc;
    for (size_t i = 0; remove_them && i < count; i++) {
        remove(files.gl_pathv[i]); /* "." and ".." refuse */
    }
    globfree(&files);
    return (int)count;
}

const char *program_path(void)
{
    static char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    assert_true(n > 0);
    path[n] = '\0';
    return path;
}

pid_t fork_child(void)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent && getppid() != 0) {
            _exit(3); /* it has ended; 0: it is in another namespace */
        }
        return 0;
    }
    assert_true(pid > 0);
    return pid;
}

pid_t fork_sleeper(void)
{
    pid_t pid = fork_child();

    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    return pid;
}

void kill_unreaped(pid_t pid)
{
    siginfo_t info;

    kill(pid, SIGKILL);
    assert_ok(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
}

void kill_and_reap(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int child_status(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -status;
}

int run_check(check_fn *check, const void *argument)
{
    pid_t pid = fork_child();

    if (pid == 0) {
        _exit(check(argument));
    }
    return child_status(pid);
}

void assert_or_skip_named(const char *test, int result, const char *why)
{
    if (result == CHECK_IMPOSSIBLE) {
        test_skip_named(test, why);
    }
    assert_int_equal(result, 0);
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = write(fd, text, strlen(text));

    close(fd);
    return n > 0;
}

bool enter_mount_namespace(void)
{
    const unsigned uid = getuid(), gid = getgid();
    char map[64];

    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {
        snprintf(map, sizeof(map), "%u %u 1", uid, uid);
        write_text("/proc/self/setgroups", "deny");
        if (!write_text("/proc/self/uid_map", map)) {
            return false;
        }
        snprintf(map, sizeof(map), "%u %u 1", gid, gid);
        write_text("/proc/self/gid_map", map);
    } else if (unshare(CLONE_NEWNS) != 0) {
        return false;
    }
    return mount("", "/", "", MS_REC | MS_PRIVATE, NULL) == 0;
}

/* The hard limit stays: valgrind knows no other. */
int limit_descriptors(unsigned first)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = first;
    return setrlimit(RLIMIT_NOFILE, &limit);
}
