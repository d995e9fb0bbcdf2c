/* SPDX-License-Identifier: Apache-2.0 */

/* Options, and handles: how many a process gets, and how readers find a node.
 * Which processes take part in its segment, and when that is unlinked. The next
 * life, and a process that takes the node over, are in node_lives.c. */

#include "inherit.h"
#include "segment_directory.h"
#include "share.h"

#include <pthread.h>
#include <sys/file.h>

static struct wm_node *node; /* in a forked child as well */

DIRECTORY_TEST(bad_options_are_refused_and_nothing_made)
{
    struct wm_node_options good = node_options("a"), bad[5];

    for (size_t i = 0; i < COUNT(bad); i++) {
        bad[i] = good;
    }
    bad[0].size = sizeof(good) - 8;
    bad[1].instance = NULL;
    bad[2].instance = "a/b";
    bad[3].flags = 4;
    bad[4].mode = 01600;
    node = NULL;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(wm_node_attach(&bad[i], &node), -EINVAL);
    }
    assert_int_equal(wm_node_attach(NULL, &node), -EINVAL);
    assert_int_equal(wm_node_attach(&good, NULL), -EINVAL);
    assert_int_equal(directory_files(), 0);
    assert_null(node);
}

DIRECTORY_TEST(options_that_are_not_given_have_defaults)
{
    struct wm_node_options o = node_options("a");
    struct stat st;

    o.capacity = o.log_entries = 0;
    assert_ok(wm_node_attach(&o, &node));
    assert_int_equal(node_info(node).capacity, 1024);
    assert_int_equal(node->segment.geometry.log_entries, 1024);
    assert_ok(stat(directory_path(node_info(node).name), &st));
    assert_int_equal(st.st_mode & 07777, 0600);
    wm_node_release(node);
}

DIRECTORY_TEST(a_directory_that_cannot_be_used_is_told)
{
    struct wm_node_options o = node_options("a");

    o.directory = program_path();
    assert_int_equal(wm_node_attach(&o, &node), -ENOTDIR);
    o.directory = directory_path("none");
    assert_int_equal(wm_node_attach(&o, &node), -ENOENT);
    o.flags = WM_NODE_ANONYMOUS;
    assert_ok(wm_node_attach(&o, &node));
    assert_int_equal(node_info(node).anonymous, ENOENT);
    assert_string_equal(node_info(node).name, "");
    wm_node_release(node);
}

/* By whatever name, and wherever the process goes, until it has given back each
 * attach. */
DIRECTORY_TEST(an_instance_has_one_handle_in_each_directory)
{
    struct wm_node_options o = node_options("a");
    struct wm_node *same, *other;

    assert_ok(chdir(test_directory));
    assert_ok(mkdir("other", 0700));
    node = node_attach("a");
    o.directory = "other/..";
    assert_ok(wm_node_attach(&o, &same));
    assert_ptr_equal(node, same);
    o.directory = "other";
    assert_ok(wm_node_attach(&o, &other));
    assert_ptr_not_equal(node, other);
    assert_ok(chdir("/"));
    wm_node_release(other);
    assert_int_equal(directory_files(), 2); /* the other directory, and ours */
    assert_ok(rmdir(directory_path("other")));
    wm_node_release(same);
    assert_int_equal(directory_files(), 1);
    assert_int_equal(node_begin(node), 1);
    wm_node_release(node);
    assert_int_equal(directory_files(), 0);
    assert_int_equal(wm_node_release(node), -EINVAL);
}

/* A server that has another name or directory for it goes on in its node. */
DIRECTORY_TEST(a_process_has_one_node_of_a_tag)
{
    struct wm_node_options o = node_options("a");
    struct wm_node *same, *other;

    o.tag = 1;
    assert_ok(wm_node_attach(&o, &node));
    o.instance = "b";
    o.directory = "/nowhere";
    assert_ok(wm_node_attach(&o, &same));
    assert_ptr_equal(node, same);
    assert_string_equal(node_info(same).instance, "a");
    o = node_options("a");
    o.tag = 2;
    assert_ok(wm_node_attach(&o, &other));
    assert_ptr_not_equal(node, other);
    wm_node_release(other);
    o.tag = 0;
    assert_ok(wm_node_attach(&o, &other));
    assert_ptr_equal(node, other);
    for (int i = 0; i < 3; i++) {
        assert_ok(wm_node_release(node));
    }
    assert_int_equal(directory_files(), 0);
}

static void *attaches_cancelled(UNUSED void *argument)
{
    pthread_cancel(pthread_self());
    node = node_attach("a");
    return NULL;
}

DIRECTORY_TEST(a_thread_that_is_cancelled_leaves_no_mutex)
{
    pthread_t thread;

    node = NULL;
    assert_ok(pthread_create(&thread, NULL, attaches_cancelled, NULL));
    assert_ok(pthread_join(thread, NULL));
    assert_ptr_equal(node_attach("a"), node);
    wm_node_release(node);
    wm_node_release(node);
}

/* As http and stream Lua have it: each has init and workers of its own. */
DIRECTORY_TEST(two_instances_in_one_process_do_not_mix)
{
    struct wm_node *n[] = {node_attach("a-http"), node_attach("a-stream")};
    struct wm_counts counts;

    for (int i = 0; i < 2; i++) {
        uint32_t reason;
        uint64_t id;

        /* Not a reload, although this process has begun one before. */
        assert_ok(wm_generation_begin(n[i], &id, &reason));
        assert_int_equal(id, 1);
        assert_int_equal(reason, WM_REASON_START);
        assert_null(wm_node_worker(n[1]));
        assert_ok(node_join(n[i]));
    }
    for (int i = 0; i < 2; i++) {
        wm_generation_counts(n[i], 1, &counts);
        assert_int_equal(counts.mine, 1);
        node_leave(n[i]);
        wm_node_release(n[i]);
        assert_int_equal(directory_files(), 1 - i);
    }
}

DIRECTORY_TEST(what_is_not_named_as_a_segment_is_not_unlinked)
{
    static const char *const others[] = {"other", "wm.other", NULL};

    for (size_t i = 0; i < COUNT(others); i++) {
        assert_int_equal(wm_node_unlink(others[i], test_directory), -EINVAL);
    }
}

static void expect_found(const char *asked, const char *instance,
                         const char *name)
{
    struct wm_node *reader;

    assert_ok(wm_node_open(asked, test_directory, &reader));
    assert_string_equal(node_info(reader).instance, instance);
    assert_string_equal(node_info(reader).name, name);
    assert_int_equal(node_info(reader).read_only, 1);
    assert_ok(wm_node_release(reader));
    assert_int_equal(wm_node_release(reader), -EINVAL);
}

DIRECTORY_TEST(a_reader_finds_the_living_among_the_dead)
{
    struct wm_node *reader;

    expect_found("a", "a", segment_leave_dead("a")); /* there is no other */
    node = node_attach("b");
    segment_leave_dead("b");
    expect_found("b", "b", node_info(node).name);
    wm_node_release(node);
    assert_int_equal(wm_node_open("c", test_directory, &reader), -ENOENT);
    assert_int_equal(wm_node_open(NULL, test_directory, &reader), -EINVAL);
}

static void make_strangers(const char *name)
{
    test_as_two_users();
    assert_ok(chown(directory_path(name), NOBODY, NOBODY));
}

/* Any user may make a file of that name, and it may be live. */
DIRECTORY_TEST(a_reader_finds_no_strangers_segment_but_by_its_file)
{
    struct wm_node *reader;

    node = node_attach("a");
    make_strangers(node_info(node).name);
    assert_int_equal(wm_node_open("a", test_directory, &reader), -EPERM);
    expect_found(node_info(node).name, "a", node_info(node).name);
    expect_found("a", "a", segment_leave_dead("a"));
    wm_node_release(node);
}

static int nobody_finds(const void *name)
{
    HOLDS(setuid(NOBODY) == 0);
    expect_found("a", "a", name);
    return 0;
}

/* Though it is the younger one. */
DIRECTORY_TEST(roots_living_segment_is_found_if_ones_own_does_not_live)
{
    struct wm_node_options o = node_options("a");

    assert_ok(segment_create("a"));
    make_strangers(test_segment.name);
    o.mode = 0644;
    assert_ok(wm_node_attach(&o, &node));
    assert_ok(chmod(test_directory, 0755));
    assert_check(nobody_finds, test_segment.name);
    wm_segment_close(&test_segment);
    assert_check(nobody_finds, node_info(node).name);
    wm_node_release(node);
}

static struct wm_segment *const segment = &test_segment;

static int use(const char *name)
{
    struct stat st;

    return wm_segment_use(test_directory, name, &st);
}

/* The name stays when the segment is closed. */
static const char *create(void)
{
    assert_ok(segment_create("a"));
    return segment->name;
}

/* A process that holds the lock while it asks who takes part, or -1: it lets go
 * when somebody waits for it. */
static int asker = -1;
static int waits;                 /* how often somebody waited */
static const char *asker_unlinks; /* before it lets go, or NULL */

int nanosleep(UNUSED const struct timespec *time, UNUSED struct timespec *left)
{
    waits++;
    if (asker_unlinks != NULL) {
        unlink(directory_path(asker_unlinks));
        asker_unlinks = NULL;
    }
    if (asker >= 0) {
        close(asker);
        asker = -1;
    }
    return 0;
}

static void have_one_ask(const char *name)
{
    asker = open(directory_path(name), O_RDONLY | O_CLOEXEC);
    assert_true(asker >= 0);
    assert_ok(flock(asker, LOCK_EX | LOCK_NB));
}

static struct verdict {
    const char *name;
    bool unlink;
    int asked;
    int error;
    uint32_t capacity;
} verdict;

static bool judge(const struct wm_segment *s, int error, UNUSED void *argument)
{
    assert_int_equal(use(verdict.name), 1); /* the lock is held meanwhile */
    verdict.asked++;
    verdict.error = error;
    verdict.capacity = s == NULL ? 0 : s->geometry.capacity;
    return verdict.unlink;
}

static int unlink_if(bool agreed, const char *name)
{
    verdict = (struct verdict){.name = name, .unlink = agreed};
    return wm_segment_unlink(test_directory, name, judge, NULL);
}

/* The facts that the judge was told, and how many files there are now. */
static void expect_verdict(int error, uint32_t capacity, int files)
{
    assert_int_equal(verdict.asked, 1);
    assert_int_equal(verdict.error, error);
    assert_int_equal(verdict.capacity, capacity);
    assert_int_equal(directory_files(), files);
}

DIRECTORY_TEST(what_is_in_use_is_never_unlinked_and_nobody_waits_for_it)
{
    const char *name = create();
    struct wm_segment reader;

    waits = 0;
    assert_int_equal(use(name), 1);
    assert_int_equal(use(name), 1); /* asking takes nothing */
    assert_int_equal(unlink_if(true, name), -EBUSY);
    assert_int_equal(verdict.asked, 0);
    assert_int_equal(directory_files(), 1);
    assert_int_equal(waits, 0);
    /* A reader does not take part. */
    assert_ok(wm_segment_open(&reader, test_directory, name));
    wm_segment_close(segment);
    assert_int_equal(use(name), 0);
    wm_segment_close(&reader);
    assert_int_equal(use("wm.a.0000000000000000"), -ENOENT);
}

/* By a server that closes what it does not know, before it opens its own. */
DIRECTORY_TEST(a_descriptor_that_was_closed_is_opened_anew_and_no_other_touched)
{
    int first, second;

    node = node_attach("a");
    first = node->segment.fd;
    assert_int_equal(dup2(0, first), first);
    kill_and_reap(fork_sleeper());
    second = node->segment.fd;
    assert_true(wm_segment_is_open_on(&node->segment, second));
    assert_int_equal(dup2(0, second), second);
    wm_node_release(node);
    assert_int_equal(fcntl(first, F_GETFD), 0); /* open, not close-on-exec */
    assert_int_equal(fcntl(second, F_GETFD), 0);
    close(first);
    close(second);
}

DIRECTORY_TEST(one_that_just_asks_is_not_taken_for_a_participant)
{
    const char *name = segment_leave_dead("a");

    have_one_ask(name);
    assert_int_equal(use(name), 0);
    have_one_ask(name);
    assert_ok(unlink_if(true, name));
    assert_int_equal(directory_files(), 0);
}

DIRECTORY_TEST(what_nobody_uses_is_unlinked_under_the_lock_if_the_judge_says_so)
{
    const char *name = segment_leave_dead("a");

    assert_ok(unlink_if(false, name));
    expect_verdict(0, 3, 1);
    assert_int_equal(use(name), 0); /* its lock was given back */
    assert_ok(unlink_if(true, name));
    assert_int_equal(directory_files(), 0);
    assert_int_equal(unlink_if(true, name), -ENOENT);
}

/* A user who could plant a file would speak for us. */
DIRECTORY_TEST(another_users_is_not_ours_to_judge_even_for_root)
{
    const char *name = segment_leave_dead("a");

    make_strangers(name);
    assert_ok(unlink_if(false, name));
    expect_verdict(-EPERM, 0, 1);
    /* A lock of the stranger's costs nobody any time. */
    have_one_ask(name);
    waits = 0;
    assert_int_equal(use(name), 1);
    assert_int_equal(unlink_if(true, name), -EBUSY);
    assert_int_equal(waits, 0);
    close(asker);
    asker = -1;
}

/* Two starts at once open the same dead file. */
DIRECTORY_TEST(a_dead_segment_is_judged_once)
{
    const char *name = segment_leave_dead("a");

    have_one_ask(name);
    asker_unlinks = name;
    assert_int_equal(unlink_if(true, name), -ENOENT);
    assert_int_equal(verdict.asked, 0);
}

static bool fork_meanwhile(UNUSED const struct wm_segment *s, UNUSED int error,
                           void *child)
{
    *(pid_t *)child = fork_sleeper();
    return false;
}

DIRECTORY_TEST(a_child_forked_during_a_look_keeps_no_lock)
{
    const char *name = segment_leave_dead("a");
    pid_t child;

    assert_ok(wm_segment_unlink(test_directory, name, fork_meanwhile, &child));
    assert_int_equal(use(name), 0);
    kill_and_reap(child);
}

static int adopt(struct wm_segment *s)
{
    char *place = NULL;
    int error = wm_segment_adopt(s, test_directory, "a", 0, &place);

    assert_null(place);
    return error;
}

static int adopts_elsewhere(UNUSED const void *argument)
{
    struct wm_node_options o = node_options("a");
    struct wm_node *n;

    o.flags = WM_NODE_ADOPT | WM_NODE_ANONYMOUS;
    o.directory = "/nowhere";
    HOLDS(wm_node_attach(&o, &n) == 0);
    HOLDS(!node_info(n).adopted && node_info(n).not_adopted == ENOENT);
    return wm_node_release(n);
}

/* Its descriptor is such as a next binary would inherit. */
DIRECTORY_TEST(a_child_does_not_adopt_its_parents_node)
{
    node = node_attach("a");
    assert_check(adopts_elsewhere, NULL);
    wm_node_release(node);
}

/* As over exec: so many descriptors. */
static void inherit(const char *name, int count)
{
    while (count-- > 0) {
        assert_true(open(directory_path(name), O_RDONLY) >= 0);
    }
}

static void expect_adopted(uint64_t generations, bool has_name, int files)
{
    struct wm_segment s;

    assert_ok(adopt(&s));
    assert_int_equal(header_count(&s.header->next_generation), generations);
    assert_int_equal(access(directory_path(s.name), F_OK), has_name ? 0 : -1);
    assert_int_equal(directory_files(), files);
    wm_segment_close(&s);
}

DIRECTORY_TEST(an_heir_waits_for_one_that_just_asks)
{
    const char *name = segment_leave_dead("a");

    inherit(name, 1);
    have_one_ask(name);
    expect_adopted(0, true, 1);
}

/* Its last process unlinks it; or another, such as a session's end. */
DIRECTORY_TEST(an_heir_of_the_unlinked_goes_on_in_a_new_one_if_nobody_is_left)
{
    struct wm_segment s;
    const char *name = create();

    inherit(name, 5);
    assert_ok(unlink(directory_path(name)));
    header_next(&segment->header->next_generation);
    expect_adopted(1, false, 0);
    assert_ok(adopt(&s));
    wm_segment_close(segment);
    expect_adopted(1, false, 0); /* the other heir has its share */
    wm_segment_close(&s);
    expect_adopted(1, true, 1);
    /* A second heir does not go on in a third one. */
    assert_int_equal(adopt(&s), -ESTALE);
    assert_int_equal(adopt(&s), -ENOENT);
}

DIRECTORY_TEST(an_heir_stays_in_the_unlinked_where_no_new_one_can_be_made)
{
    const char *name = create();

    inherit(name, 1);
    assert_ok(unlink(directory_path(name)));
    wm_segment_close(segment);
    assert_ok(rmdir(test_directory));
    expect_adopted(0, false, 0);
    assert_ok(mkdir(test_directory, 0700));
}
