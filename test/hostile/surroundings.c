/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Where the machine, or another user of it, is in the way: links, pids that
 * are another's by now, another pid namespace, no /proc. What is not here is
 * beside the code that it tests, in test/unit; libwm/security.md names all. */

#include "place.h"

#include "node.h"
#include "process.h"
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FORMER "wm.test-hostile.0123456789abcdef"

static struct wm_node *node;

static int begin(void)
{
    const struct wm_node_options options = {.size = sizeof(options),
                                            .instance = "test-hostile",
                                            .directory = place_directory,
                                            .capacity = 2,
                                            .log_entries = 4};

    return wm_node_attach(&options, &node);
}

static uint32_t damaged(void)
{
    struct wm_node_info info = {.size = sizeof(info)};

    wm_node_describe(node, &info);
    return info.postmortem.damaged;
}

/* ------------------------------------------------------------------- links */

static char precious[400]; /* its path */

static void make_precious(void)
{
    FILE *f;

    snprintf(precious, sizeof(precious), "%s", place_path("file"));
    f = fopen(precious, "w");
    assert_non_null(f);
    fputs("precious", f);
    fclose(f);
    assert_int_equal(chmod(precious, 0640), 0);
}

static void expect_precious(void)
{
    char text[20] = "";
    struct stat st;
    FILE *f = fopen(precious, "r");

    assert_non_null(f);
    assert_non_null(fgets(text, sizeof(text), f));
    assert_int_equal(fstat(fileno(f), &st), 0);
    fclose(f);
    assert_string_equal(text, "precious");
    assert_int_equal(st.st_mode & 07777, 0640);
}

/* Another user may give any file of ours the name of a segment: the name goes,
 * the file is not touched. */
static void a_hard_link_costs_the_file_nothing(void **state)
{
    (void)state;
    make_precious();
    assert_int_equal(link(precious, place_path(FORMER)), 0);
    assert_int_equal(begin(), 0);
    assert_int_equal(damaged(), 1);
    expect_precious();
    assert_int_equal(access(place_path(FORMER), F_OK), -1);
    wm_node_release(node);
}

static void a_symbolic_link_is_not_followed(void **state)
{
    struct wm_node *reader;

    (void)state;
    make_precious();
    assert_int_equal(symlink(precious, place_path(FORMER)), 0);
    assert_int_equal(wm_node_open(FORMER, place_directory, &reader), -EBADMSG);
    assert_int_equal(wm_node_unlink(FORMER, place_directory), -EBADMSG);
    assert_int_equal(begin(), 0);
    assert_int_equal(damaged(), 1);
    expect_precious();
    wm_node_release(node);
}

/* Its own name for our segment keeps the file, and nothing else: it is dead
 * when we are, and the next start takes that name away, too. */
static void a_second_name_of_a_segment_is_no_second_life(void **state)
{
    (void)state;
    assert_int_equal(begin(), 0);
    {
        char own[400];

        snprintf(own, sizeof(own), "%s", place_path(node->segment.name));
        assert_int_equal(link(own, place_path(FORMER)), 0);
    }
    assert_int_equal(wm_segment_use(place_directory, FORMER), 1);
    wm_node_release(node);
    assert_int_equal(wm_segment_use(place_directory, FORMER), 0);
    assert_int_equal(begin(), 0);
    assert_int_equal(damaged(), 0);
    assert_int_equal(place_files(), 1);
    wm_node_release(node);
}

/* -------------------------------------------------------------- namespaces */

static pid_t fork_sleeper(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(0);
    }
    return pid;
}

static int opens_in_another_namespace(const void *unused)
{
    struct wm_node *reader;
    int status;
    pid_t pid;

    (void)unused;
    if (unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0 &&
        unshare(CLONE_NEWPID) != 0) {
        return PLACE_IMPOSSIBLE;
    }
    pid = fork(); /* its child is the first there */
    if (pid == 0) {
        HOLDS(wm_node_open("test-hostile", place_directory, &reader) == -EXDEV);
        _exit(0);
    }
    HOLDS(waitpid(pid, &status, 0) == pid);
    return WEXITSTATUS(status);
}

static void another_pid_namespace_is_told(void **state)
{
    int result;

    (void)state;
    assert_int_equal(begin(), 0);
    /* As root, so that it is the namespace that forbids, not the mode. */
    if (getuid() != 0) {
        chmod(place_path(node->segment.name), 0644);
    }
    result = place_run(opens_in_another_namespace, NULL);
    wm_node_release(node);
    place_judge(__func__, result, "no pid namespace for us here");
}

/* A child with this pid, which must be free. */
static pid_t fork_as(pid_t pid)
{
    struct clone_args args = {.exit_signal = SIGCHLD,
                              .set_tid = (uint64_t)(uintptr_t)&pid,
                              .set_tid_size = 1};
    const pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(0);
    }
    return child;
}

static int end(pid_t pid)
{
    return kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid ? 0 : 1;
}

/* The first process of a pid namespace, with a /proc of its own. */
static int tells_a_reused_pid(void)
{
    const struct timespec two_ticks = {.tv_nsec = 20000000};
    const pid_t pid = 300;
    uint64_t first, second;

    HOLDS(mount("proc", "/proc", "proc", 0, NULL) == 0);
    HOLDS(fork_as(pid) == pid);
    first = wm_process_ident((uint32_t)pid);
    HOLDS(!wm_process_dead(first, 0, WM_PROOF_FULL));
    HOLDS(end(pid) == 0);
    HOLDS(wm_process_dead(first, 0, WM_PROOF_QUICK));
    nanosleep(&two_ticks, NULL);
    HOLDS(fork_as(pid) == pid);
    second = wm_process_ident((uint32_t)pid);
    HOLDS(wm_ident_pid(first) == wm_ident_pid(second) && first != second);
    HOLDS(!wm_process_dead(first, 0, WM_PROOF_QUICK)); /* it asks no more */
    HOLDS(wm_process_dead(first, 0, WM_PROOF_FULL));
    HOLDS(!wm_process_dead(second, 0, WM_PROOF_FULL));
    return end(pid);
}

static int reuses_a_pid(const void *unused)
{
    int status;
    pid_t pid;

    (void)unused;
    if ((syscall(SYS_clone3, NULL, 0) != 0 && errno == ENOSYS) ||
        (unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS) != 0 &&
         unshare(CLONE_NEWPID | CLONE_NEWNS) != 0)) {
        return PLACE_IMPOSSIBLE;
    }
    mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        wm_self_forget();
        _exit(tells_a_reused_pid());
    }
    HOLDS(waitpid(pid, &status, 0) == pid);
    return WEXITSTATUS(status);
}

static void a_pid_that_the_kernel_gave_again_is_another_process(void **state)
{
    (void)state;
    place_judge(__func__, place_run(reuses_a_pid, NULL),
                "no pid namespace for us here, or no pid of our choice");
}

/* -------------------------------------------------------------------- /proc */

struct cast {
    uint64_t living, zombie, gone, other;
};

static struct cast cast;

static int tells_the_dead_without_proc(const void *unused)
{
    (void)unused;
    if ((unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 &&
         unshare(CLONE_NEWNS) != 0) ||
        mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/proc", "tmpfs", 0, NULL) != 0) {
        return PLACE_IMPOSSIBLE;
    }
    HOLDS(access("/proc/self", F_OK) != 0);
    HOLDS(!wm_process_dead(cast.living, 0, WM_PROOF_FULL));
    HOLDS(wm_process_dead(cast.zombie, 0, WM_PROOF_FULL));
    HOLDS(wm_process_dead(cast.gone, 0, WM_PROOF_FULL));
    /* What cannot be seen proves nothing. */
    HOLDS(!wm_process_dead(cast.other, 0, WM_PROOF_FULL));
    return 0;
}

static void without_proc_the_living_are_not_called_dead(void **state)
{
    const pid_t living = fork_sleeper(), zombie = fork_sleeper(),
                gone = fork_sleeper();
    siginfo_t info;
    int result;

    (void)state;
    cast.living = wm_process_ident((uint32_t)living);
    cast.other = cast.living + 1;
    cast.zombie = wm_process_ident((uint32_t)zombie);
    cast.gone = wm_process_ident((uint32_t)gone);
    kill(zombie, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(end(gone), 0);
    result = place_run(tells_the_dead_without_proc, NULL);
    assert_int_equal(end(living), 0);
    assert_int_equal(waitpid(zombie, NULL, 0), zombie);
    place_judge(__func__, result, "no mount namespace for us here");
}

/* A server that cannot see /proc begins, is joined, and ends. */
static int leads_a_life_without_proc(const void *unused)
{
    const struct wm_join_options join = {.size = sizeof(join)};
    struct wm_counts counts;
    struct wm_worker *worker;
    uint64_t id;

    (void)unused;
    if ((unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 &&
         unshare(CLONE_NEWNS) != 0) ||
        mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/proc", "tmpfs", 0, NULL) != 0) {
        return PLACE_IMPOSSIBLE;
    }
    wm_self_forget();
    HOLDS(begin() == 0);
    HOLDS(wm_generation_begin(node, &id, NULL) == 0);
    HOLDS(wm_worker_join(node, id, &join, &worker) == 0);
    HOLDS(wm_lock_acquire(node, NULL) == 0);
    HOLDS(wm_worker_start(worker, &counts) == 0 && counts.mine == 1);
    HOLDS(wm_tick(worker, 1) == 0);
    HOLDS(wm_worker_exit_counts(worker, &counts) == 0 && counts.mine == 1);
    HOLDS(wm_worker_drain(worker) == 0);
    HOLDS(wm_generation_close(node, id) == WM_CLOSED);
    HOLDS(wm_generation_take_exit(node, id, NULL) == 1);
    HOLDS(wm_lock_release(node) == 0 && wm_worker_leave(worker) == 0);
    wm_node_release(node);
    HOLDS(place_files() == 0);
    return 0;
}

static void without_proc_a_life_is_led_and_leaves_nothing(void **state)
{
    (void)state;
    place_judge(__func__, place_run(leads_a_life_without_proc, NULL),
                "no mount namespace for us here");
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_hard_link_costs_the_file_nothing),
        TEST(a_symbolic_link_is_not_followed),
        TEST(a_second_name_of_a_segment_is_no_second_life),
        TEST(another_pid_namespace_is_told),
        TEST(a_pid_that_the_kernel_gave_again_is_another_process),
        TEST(without_proc_the_living_are_not_called_dead),
        TEST(without_proc_a_life_is_led_and_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
