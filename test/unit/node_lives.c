/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* One life of a node after another: when the last process unlinks its segment,
 * what a later life is told, and how the next binary takes a node over. The
 * program runs itself again, with arguments, as that binary. */

#include "segment_directory.h"

static struct wm_node *node; /* in a forked child as well */

static void release(struct wm_node *n)
{
    assert_ok(wm_node_release(n));
}

/* Another life of the instance, which ends at once; what it was told. */
static struct wm_postmortem next_life(const char *instance)
{
    struct wm_postmortem told;
    struct wm_node *n = node_attach(instance);

    told = node_postmortem(n);
    assert_int_equal(node_info(n).generation, 0);
    release(n);
    return told;
}

static void begin_node(void)
{
    node = node_attach("a");
    node_begin(node);
}

/* --------------------------------------------------------------- unlinking */

static int stop; /* closed: the other participant ends */
static pid_t participant;

static void fork_participant(void)
{
    int to[2];
    char byte;

    assert_ok(pipe(to));
    participant = fork_child();
    if (participant == 0) {
        close(to[1]);
        _exit(read(to[0], &byte, 1) == 0 ? wm_node_release(node) : 1);
    }
    close(to[0]);
    stop = to[1];
}

static void end_participant(void)
{
    close(stop);
    assert_int_equal(child_status(participant), 0);
}

DIRECTORY_TEST(the_last_process_unlinks)
{
    begin_node();
    fork_participant();
    release(node);
    assert_int_equal(directory_files(), 1);
    end_participant();
    assert_int_equal(directory_files(), 0);
}

DIRECTORY_TEST(what_nobody_was_told_of_keeps_the_segment)
{
    struct wm_postmortem told;

    begin_node();
    assert_ok(node_join(node));
    wm_worker_drain(wm_node_worker(node));
    assert_int_equal(wm_generation_close(node, 1), WM_CLOSED);
    wm_worker_leave(wm_node_worker(node));
    release(node);
    assert_int_equal(directory_files(), 1);

    told = next_life("a");
    assert_int_equal(told.segments, 1);
    assert_int_equal(told.exits_owed, 1);
    assert_int_equal(told.workers, 0);
    assert_int_equal(told.generation, 1);
    assert_int_equal(directory_files(), 0);
}

DIRECTORY_TEST(releasing_leaves_the_record_and_the_lock)
{
    struct wm_node *reader;
    struct wm_worker_info list[4];
    struct wm_lock_holder holder = {.size = sizeof(holder)};
    uint32_t n;

    begin_node();
    fork_participant();
    assert_ok(node_join(node));
    assert_ok(wm_lock_acquire(node, NULL));
    release(node);
    assert_ok(wm_node_open("a", test_directory, &reader));
    assert_ok(wm_snapshot(reader, list, sizeof(*list), 4, &n));
    assert_int_equal(n, 0);
    wm_lock_inspect(reader, &holder);
    assert_int_equal(holder.pid, 0);
    release(reader);
    end_participant();
}

/* ----------------------------------------------------------- a former life */

/* A whole life in a child that ends without a word. */
static int dies_with_a_worker(const void *instance)
{
    node = node_attach(instance);
    node_begin(node);
    return node_join(node);
}

DIRECTORY_TEST(a_dead_one_tells_who_was_there_and_is_tidied_up)
{
    struct wm_postmortem told;

    assert_check(dies_with_a_worker, "a");
    assert_check(dies_with_a_worker, "a");
    assert_check(dies_with_a_worker, "b");
    assert_int_equal(directory_files(), 2); /* the second tidied the first up */
    told = next_life("a");
    assert_int_equal(told.segments, 1);
    assert_int_equal(told.workers, 1);
    assert_int_equal(told.exits_owed, 1);
    assert_true(told.pid > 0);
    assert_int_equal(directory_files(), 1); /* b's is none of its business */
}

static int joins_as(const void *role)
{
    const struct wm_join_options options = {.size = sizeof(options),
                                            .role = *(const uint32_t *)role};
    struct wm_worker *worker;

    return wm_worker_join(node, 1, &options, &worker);
}

static int dies_with_what_was_told(const void *role)
{
    struct wm_event event = {.size = sizeof(event)};

    begin_node();
    HOLDS(run_check(joins_as, role) == 0);
    if (*(const uint32_t *)role == WM_ROLE_WORKER) {
        wm_sweep(node, NULL);
        HOLDS(wm_event_take(node, 1u << WM_EVENT_CRASHED, &event) == 1);
    }
    return 0;
}

DIRECTORY_TEST(those_told_of_and_helpers_are_not_told_again)
{
    static const uint32_t roles[] = {WM_ROLE_WORKER, WM_ROLE_HELPER};

    for (int i = 0; i < 2; i++) {
        struct wm_postmortem told;

        assert_check(dies_with_what_was_told, &roles[i]);
        told = next_life("a");
        assert_int_equal(told.segments, 1);
        assert_int_equal(told.workers, 0);
    }
}

static int joins(UNUSED const void *argument)
{
    return node_join(node);
}

DIRECTORY_TEST(a_crash_that_nobody_was_told_of_is_told_to_the_next)
{
    struct wm_postmortem told;

    begin_node();
    assert_check(joins, NULL);
    wm_sweep(node, NULL);
    assert_int_equal(wm_generation_close(node, 1), WM_CLOSED);
    assert_int_equal(wm_generation_take_exit(node, 1, NULL), 1);
    release(node);
    assert_int_equal(directory_files(), 1);
    told = next_life("a");
    assert_int_equal(told.workers, 1);
    assert_int_equal(told.exits_owed, 0);
}

DIRECTORY_TEST(a_living_one_of_the_same_instance_is_left_alone)
{
    begin_node();
    assert_ok(node_join(node));
    /* The registry knows it no more, but another process lives in it. */
    fork_participant();
    node_leave(node);
    release(node);
    assert_int_equal(next_life("a").segments, 0);
    assert_int_equal(directory_files(), 1);
    end_participant();
    assert_int_equal(directory_files(), 0);
}

DIRECTORY_TEST(damaged_files_and_links_are_counted_not_believed)
{
    struct wm_postmortem told;

    assert_ok(
        mknod(directory_path("wm.a.0123456789abcdef"), S_IFREG | 0600, 0));
    assert_ok(symlink("/etc/passwd", directory_path("wm.a.0123456789abcded")));
    told = next_life("a");
    assert_int_equal(told.damaged, 2);
    assert_int_equal(told.foreign, 0);
    assert_int_equal(told.segments, 0);
    assert_int_equal(directory_files(), 1); /* the link */
}

/* A segment as a draft before 1.0 made it, without features and strides: the
 * last join and the last generation lie where those are today. */
static void leave_draft(uint64_t generation)
{
    const uint64_t words[512] = {
        [0] = WM_MAGIC,    [1] = WM_ABI | UINT64_C(512) << 32,
        [2] = 4096,        [3] = 4 | UINT64_C(68) << 32,
        [8] = 'a',         [16] = 1,
        [17] = generation, [18] = generation,
    };
    FILE *f = fopen(directory_path("wm.a.0123456789abcdef"), "w");

    assert_non_null(f);
    assert_int_equal(fwrite(words, sizeof(words), 1, f), 1);
    assert_ok(fclose(f));
}

DIRECTORY_TEST(a_drafts_segment_is_counted_not_read_and_goes)
{
    for (uint64_t generation = 0; generation < 2; generation++) {
        struct wm_postmortem told;

        leave_draft(generation);
        told = next_life("a");
        assert_int_equal(told.segments, generation);    /* another ABI's */
        assert_int_equal(told.damaged, 1 - generation); /* contradictory */
        assert_int_equal(told.workers + told.exits_owed, 0);
        assert_int_equal(told.generation, 0);
        assert_int_equal(directory_files(), 0);
    }
}

/* --------------------------------------------------------- the next binary */

/* Descriptors of this process that are open on segments. */
static int open_segments(void)
{
    char path[64], target[200];
    int n = 0;

    for (int fd = 3; fd < 64; fd++) {
        ssize_t length;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        length = readlink(path, target, sizeof(target) - 1);
        target[length < 0 ? 0 : length] = '\0';
        n += strstr(target, "/wm.") != NULL;
    }
    return n;
}

/* The program that was exec'd: takes the node over, or makes a fresh one. */
static int next_binary(const char *directory, const char *adopts)
{
    const bool adopted = strcmp(adopts, "adopts") == 0;
    struct wm_node_options o = node_options("a");
    struct wm_node_info info;
    uint32_t reason;
    uint64_t id;

    o.directory = directory;
    o.flags = WM_NODE_ADOPT;
    HOLDS(wm_node_attach(&o, &node) == 0);
    info = node_info(node);
    HOLDS(info.adopted == adopted);
    HOLDS(info.not_adopted == (strcmp(adopts, "is newer") == 0 ? EPROTO : 0));
    HOLDS((fcntl(node->segment.fd, F_GETFD) & FD_CLOEXEC) != 0);
    HOLDS(open_segments() == 1); /* no share in one that it does not use */
    HOLDS(wm_generation_begin(node, &id, &reason) == 0);
    HOLDS(id == (adopted ? 2u : 1u));
    HOLDS(reason == (adopted ? WM_REASON_UPGRADE : WM_REASON_START));
    /* The same process does not take it for an upgrade twice. */
    HOLDS(wm_generation_begin(node, &id, &reason) == 0);
    HOLDS(reason == WM_REASON_RELOAD);
    return wm_node_release(node);
}

static int execs_next_binary(const void *adopts)
{
    execl(program_path(), "test-node_lives", "next", test_directory, adopts,
          (char *)NULL);
    return 127;
}

/* Its node has seen generations up to that one, and ends. */
static void expect_end_after(uint64_t newest)
{
    assert_int_equal(node_info(node).generation, newest);
    assert_int_equal(directory_files(), 1);
    release(node);
    assert_int_equal(directory_files(), 0);
}

DIRECTORY_TEST(the_next_binary_takes_the_node_over)
{
    begin_node();
    assert_check(execs_next_binary, "adopts");
    expect_end_after(3);
}

/* The former binary's node goes on without it, and without its share. */
DIRECTORY_TEST(a_binary_of_another_abi_begins_a_node_of_its_own)
{
    begin_node();
    node->segment.header->abi++;
    assert_check(execs_next_binary, "is newer");
    node->segment.header->abi--;
    expect_end_after(1);
}

DIRECTORY_TEST(what_a_worker_execs_is_a_stranger)
{
    begin_node();
    assert_ok(node_join(node));
    assert_check(execs_next_binary, "is a stranger");
    node_leave(node);
    expect_end_after(1);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "next") == 0) {
        return next_binary(argv[2], argv[3]);
    }
    return test_run();
}
