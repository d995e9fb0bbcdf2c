/* SPDX-License-Identifier: Apache-2.0 */

/* The machine, or another user of it, is in the way: links, no /proc.
 * The other such tests are beside the code that they test, in test/unit;
 * libwm/security.md names all. */

#include "process.h"
#include "segment_directory.h"
#include "share.h"

#include <sys/mount.h>

#define INSTANCE "test-hostile"
#define FORMER "wm." INSTANCE ".0123456789abcdef"

static struct wm_node *node;

/* Another user may give any file of ours the name of a segment. */
static const struct link {
    const char *name;
    int (*make)(const char *path, const char *name);
    int error;
    bool goes; /* with a start */
} links[] = {
    {"a_hard_link_costs_the_file_nothing", link, -ENODATA, true},
    {"a_symbolic_link_is_not_followed", symlink, -EBADMSG, false},
};

/* A start counts it, and does not touch the file. */
static void costs_nothing(void **state)
{
    const struct link *l = *state;
    char path[400], text[20] = "";
    struct wm_node *reader;
    struct stat st;
    int fd;

    snprintf(path, sizeof(path), "%s", directory_path("file"));
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "precious", 8), 8);
    assert_ok(fchmod(fd, 0640));
    assert_ok(l->make(path, directory_path(FORMER)));
    assert_int_equal(wm_node_open(FORMER, test_directory, &reader), l->error);
    if (!l->goes) {
        assert_int_equal(wm_node_unlink(FORMER, test_directory), l->error);
    }
    node = node_attach(INSTANCE);
    assert_int_equal(node_postmortem(node).damaged, 1);
    assert_ok(wm_node_release(node));
    assert_int_equal(pread(fd, text, sizeof(text), 0), 8);
    assert_string_equal(text, "precious");
    assert_ok(fstat(fd, &st));
    close(fd);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(access(directory_path(FORMER), F_OK), l->goes ? -1 : 0);
}
TEST_EACH(directory_set_up, directory_tear_down, links, costs_nothing)

/* Its own name for our segment keeps the file, and nothing else: it is dead
 * when we are, and the next start takes that name away, too. */
DIRECTORY_TEST(a_second_name_of_a_segment_is_no_second_life)
{
    char own[400];
    struct stat st;

    node = node_attach(INSTANCE);
    snprintf(own, sizeof(own), "%s", directory_path(node->segment.name));
    assert_ok(link(own, directory_path(FORMER)));
    assert_int_equal(wm_segment_use(test_directory, FORMER, &st), 1);
    assert_ok(wm_node_release(node));
    assert_int_equal(wm_segment_use(test_directory, FORMER, &st), 0);
    node = node_attach(INSTANCE);
    assert_int_equal(node_postmortem(node).damaged, 0);
    assert_int_equal(directory_files(), 1);
    assert_ok(wm_node_release(node));
}

static bool hide_proc(void)
{
    return enter_mount_namespace() &&
           mount("tmpfs", "/proc", "tmpfs", 0, NULL) == 0;
}

static bool is_dead(uint64_t ident)
{
    return wm_process_dead(ident, 0, WM_PROOF_FULL);
}

CHILD_TEST_WITH(NULL, NULL, "no mount namespace for us here",
                without_proc_the_living_are_not_called_dead)
{
    uint64_t ident[3]; /* of a living process, a zombie, one that is gone */
    pid_t pid[3];

    for (int i = 0; i < 3; i++) {
        pid[i] = fork_sleeper();
        ident[i] = wm_process_ident((uint32_t)pid[i]);
    }
    kill_unreaped(pid[1]);
    kill_and_reap(pid[2]);
    if (!hide_proc()) {
        return CHECK_IMPOSSIBLE;
    }
    HOLDS(access("/proc/self", F_OK) != 0);
    HOLDS(!is_dead(ident[0]) && is_dead(ident[1]) && is_dead(ident[2]));
    /* An unseen process proves nothing. */
    HOLDS(!is_dead(ident[0] + 1));
    return 0;
}

/* A server that cannot see /proc begins, is joined, and ends. */
CHILD_TEST_WITH(directory_set_up, directory_tear_down,
                "no mount namespace for us here",
                without_proc_a_life_is_led_and_leaves_nothing)
{
    struct wm_counts counts;

    if (!hide_proc()) {
        return CHECK_IMPOSSIBLE;
    }
    wm_self_forget();
    node = node_attach(INSTANCE);
    node_begin(node);
    HOLDS(node_join(node) == 0);
    HOLDS(wm_tick(wm_node_worker(node), 1) == 0);
    HOLDS(wm_worker_exit_counts(wm_node_worker(node), &counts) == 0);
    HOLDS(counts.mine == 1);
    node_leave(node);
    HOLDS(wm_node_release(node) == 0);
    HOLDS(directory_files() == 0); /* an end that is owed would keep it */
    return 0;
}

static int dies_as_a_worker(UNUSED const void *argument)
{
    node = node_attach(INSTANCE);
    node_begin(node);
    return node_join(node);
}

CHILD_TEST_WITH(directory_set_up, directory_tear_down,
                "no mount namespace for us here",
                the_dead_that_fill_the_directory_are_told_of_and_make_room)
{
    struct wm_node_options o = node_options(INSTANCE);

    if (!enter_mount_namespace() ||
        mount("tmpfs", test_directory, "tmpfs", 0, "size=12k") != 0) {
        return CHECK_IMPOSSIBLE; /* there is room for one segment */
    }
    for (; o.flags <= WM_NODE_ANONYMOUS; o.flags += WM_NODE_ANONYMOUS) {
        HOLDS(run_check(dies_as_a_worker, NULL) == 0);
        HOLDS(wm_node_attach(&o, &node) == 0);
        HOLDS(node_postmortem(node).workers == 1);
        HOLDS(directory_files() == 1 && node_info(node).anonymous == 0);
        HOLDS(wm_node_release(node) == 0);
    }
    return 0;
}
