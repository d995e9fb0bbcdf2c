/* SPDX-License-Identifier: Apache-2.0 */

/* One life of a node after another: when the last process unlinks its segment,
 * what a later life is told, and how the next binary takes a node over. The
 * program runs itself again, with arguments, as that binary. */

#include "segment_directory.h"

static struct wm_node *node; /* in a forked child as well */

static void begin_node(void)
{
    node = node_attach("a");
    node_begin(node);
}

static int is_told_of_dead(const void *n)
{
    return (int)node_postmortem(n).segments;
}

/* Another life of the instance, which ends at once; what it was told. */
static struct wm_postmortem next_life(void)
{
    struct wm_node *n = node_attach("a");
    const struct wm_postmortem told = node_postmortem(n);

    assert_int_equal(node_info(n).generation, 0);
    assert_check(is_told_of_dead, n); /* none, in its child */
    wm_node_release(n);
    return told;
}

DIRECTORY_TEST(the_last_process_unlinks_and_no_other_life_does)
{
    struct wm_postmortem told;
    siginfo_t info;
    pid_t pid;

    begin_node();
    pid = fork_child();
    if (pid == 0) {
        raise(SIGSTOP);
        _exit(wm_node_release(node));
    }
    assert_ok(waitid(P_PID, (id_t)pid, &info, WSTOPPED));
    wm_node_release(node);
    told = next_life();
    assert_int_equal(told.segments, 0);
    assert_int_equal(told.living, 1);
    assert_int_equal(directory_files(), 1);
    kill(pid, SIGCONT);
    assert_int_equal(child_status(pid), 0);
    assert_int_equal(directory_files(), 0);
    assert_int_equal(next_life().living, 0);
}

static int releases(UNUSED const void *argument)
{
    return wm_node_release(node);
}

/* A worker's record, and the lock that it holds. */
static void expect_kept(const struct wm_node *reader, bool kept)
{
    struct wm_worker_info list[4];
    struct wm_lock_holder holder = {.size = sizeof(holder)};
    uint32_t n;

    assert_ok(wm_snapshot(reader, list, sizeof(*list), 4, &n));
    assert_int_equal(n, kept);
    wm_lock_inspect(reader, &holder);
    assert_int_equal(holder.pid != 0, kept);
}

DIRECTORY_TEST(releasing_leaves_the_record_and_the_lock_but_not_in_a_child)
{
    struct wm_node *reader;

    begin_node();
    assert_ok(node_join(node));
    assert_ok(wm_lock_acquire(node, NULL));
    assert_ok(wm_node_open("a", test_directory, &reader));
    assert_check(releases, NULL);
    assert_int_equal(wm_worker_has_record(wm_node_worker(node)), 1);
    expect_kept(reader, true);
    wm_node_release(node);
    expect_kept(reader, false);
    wm_node_release(reader);
}

/* A life whose only worker dies, what it does before it dies itself, or ends by
 * a release, and what the next one is told. */
static const struct life {
    const char *what;
    bool helper, drained, tells, closes, takes, elsewhere;
    uint32_t workers, exits_owed;
} lives[] = {
    {"a worker", .workers = 1, .exits_owed = 1},
    {"one in another pid namespace", .elsewhere = true, .workers = 1,
     .exits_owed = 1},
    {"a told crash", .tells = true, .exits_owed = 1},
    {"a helper", .helper = true, .exits_owed = 1},
    {"one that had drained", .drained = true, .exits_owed = 1},
    {"an untold crash", .closes = true, .takes = true, .workers = 1},
    {"an untold end", .tells = true, .closes = true, .exits_owed = 1},
};

static int joins(UNUSED const void *argument)
{
    return node_join(node);
}

static int is_lived(const void *argument)
{
    const struct life *life = argument;
    struct wm_event event = {.size = sizeof(event)};

    begin_node();
    HOLDS(run_check(joins, NULL) == 0);
    if (life->helper) {
        node->segment.records[0].role = WM_ROLE_HELPER;
    }
    if (life->drained) {
        node->segment.records[0].word = wm_word_with_state(
            node->segment.records[0].word, WM_CRASHED_DRAINING);
    }
    if (life->tells || life->closes) {
        wm_sweep(node, NULL);
    }
    HOLDS(!life->tells ||
          wm_event_take(node, 1u << WM_EVENT_CRASHED, &event) == 1);
    if (life->elsewhere) {
        struct wm_node *reader;

        node->segment.header->pid_namespace++;
        HOLDS(wm_node_open("a", test_directory, &reader) == -EXDEV);
    }
    HOLDS(!life->closes || wm_generation_close(node, 1) == WM_CLOSED);
    HOLDS(!life->takes || wm_generation_take_exit(node, 1, NULL) == 1);
    return life->closes ? wm_node_release(node) : 0;
}

DIRECTORY_TEST(what_nobody_was_told_of_is_told_to_the_next_life)
{
    segment_leave_dead("b"); /* not theirs to tell of, nor to tidy up */
    for (size_t i = 0; i < COUNT(lives); i++) {
        struct wm_postmortem told;
        struct wm_node *reader;

        assert_check(is_lived, &lives[0]); /* the next tidies that up */
        assert_check(is_lived, &lives[i]);
        assert_int_equal(directory_files(), 2);
        assert_ok(wm_node_open("a", test_directory, &reader));
        wm_node_release(reader);
        told = next_life();
        if (told.segments != 1 || told.generation != 1 ||
            told.workers != lives[i].workers ||
            told.exits_owed != lives[i].exits_owed ||
            (told.pid > 0) != (told.workers > 0)) {
            fail_msg("%s: %u workers, %u ends are told", lives[i].what,
                     told.workers, told.exits_owed);
        }
        assert_int_equal(directory_files(), 1);
    }
}

/* Descriptors of this process that are open on segments. */
static int open_segments(void)
{
    char path[64], target[200];
    int n = 0;

    for (int fd = 3; fd < 64; fd++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        memset(target, 0, sizeof(target));
        n += readlink(path, target, sizeof(target) - 1) > 0 &&
             strstr(target, "wm.") != NULL;
    }
    return n;
}

/* The program that was exec'd: takes the node over, or makes a fresh one. */
static int next_binary(const char *instance, const char *adopts)
{
    const bool succeeds = strcmp(adopts, "succeeds") == 0;
    const bool adopted = strncmp(adopts, "is ", 3) != 0;
    struct wm_node_options o = node_options(instance);
    struct wm_node_info info;
    uint32_t reason;
    uint64_t id;
    int fd;

    o.flags = WM_NODE_ADOPT;
    HOLDS(wm_node_attach(&o, &node) == 0);
    info = node_info(node);
    fd = node->segment.fd;
    HOLDS(info.adopted == adopted);
    HOLDS(info.not_adopted == (adopted                           ? 0
                               : strcmp(adopts, "is newer") == 0 ? EPROTO
                                                                 : ENOENT));
    HOLDS(strchr(info.name, ' ') == NULL); /* no "(deleted)" behind it */
    HOLDS(!succeeds || access(directory_path(info.name), F_OK) == 0);
    HOLDS((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    HOLDS((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
    /* No share in one that it does not use, but another instance may. */
    HOLDS(open_segments() == (strcmp(adopts, "is another's") == 0 ? 2 : 1));
    HOLDS(wm_generation_begin(node, &id, &reason) == 0);
    HOLDS(id == (adopted ? 2u : 1u));
    HOLDS(reason == (adopted ? WM_REASON_UPGRADE : WM_REASON_START));
    /* The same process does not take it for an upgrade twice. */
    HOLDS(wm_generation_begin(node, &id, &reason) == 0);
    HOLDS(reason == WM_REASON_RELOAD);
    return wm_node_release(node);
}

static const char *instance; /* of the next binary */

static int execs_next_binary(const void *adopts)
{
    execl(program_path(), "test-node_lives", test_directory, instance, adopts,
          (char *)NULL);
    return 127;
}

/* This binary's node goes on, and has seen generations up to that one. */
static void expect_next_binary(const char *of, const char *adopts,
                               uint64_t newest)
{
    instance = of;
    assert_check(execs_next_binary, adopts);
    assert_int_equal(node_info(node).generation, newest);
}

static int joins_and_execs(const void *adopts)
{
    HOLDS(node_join(node) == 0);
    return execs_next_binary(adopts);
}

static int has_a_child_that_execs(const void *adopts)
{
    return run_check(execs_next_binary, adopts);
}

DIRECTORY_TEST(the_next_binary_of_its_instance_takes_the_node_over)
{
    static const char *const others[] = {"b", "aa", "a.b"};

    for (int made = 0; made < 3; made++) {
        const bool anonymous = made == 1, unlinked = made == 2;
        struct wm_node_options o = node_options("a");

        if (anonymous) {
            o.flags = WM_NODE_ANONYMOUS;
            o.directory = "/nowhere";
        }
        assert_ok(wm_node_attach(&o, &node));
        if (unlinked) {
            assert_ok(unlink(directory_path(node_info(node).name)));
        }
        node_begin(node);
        for (size_t i = 0; i < COUNT(others); i++) {
            expect_next_binary(others[i], "is another's", 1);
        }
        expect_next_binary("a", "adopts", 3);
        assert_int_equal(directory_files(), !anonymous && !unlinked);
        wm_node_release(node);
        assert_int_equal(directory_files(), 0);
    }
}

DIRECTORY_TEST(what_is_not_for_the_next_binary_is_not_taken_over)
{
    struct wm_segment_header before;

    begin_node();
    node->segment.header->abi++;
    before = *node->segment.header;
    expect_next_binary("a", "is newer", 1);
    assert_memory_equal(&before, node->segment.header, sizeof(before));
    node->segment.header->abi--;
    memcpy(node->segment.header->instance, "b", 2); /* belies its name */
    expect_next_binary("a", "is another's", 1);
    wm_node_release(node);
}

DIRECTORY_TEST(what_a_worker_or_its_child_execs_takes_part_in_nothing)
{
    begin_node();
    assert_int_equal(fcntl(node->segment.fd, F_GETFD), FD_CLOEXEC);
    instance = "a";
    assert_check(joins_and_execs, "is a worker");
    assert_ok(node_join(node));
    expect_next_binary("a", "is a worker's child", 1);
    assert_check(has_a_child_that_execs, "is a worker's grandchild");
    node_leave(node);
    expect_next_binary("a", "is the child of one that was a worker", 1);
    wm_node_release(node);
}

/* As a server that replaces itself. Its file may go meanwhile, or the program
 * that it executes looks elsewhere for new segments. */
static int replaces_itself(const void *adopts)
{
    begin_node();
    HOLDS(wm_node_bequeath(node) == 0);
    HOLDS(strcmp(adopts, "succeeds") != 0 ||
          unlink(directory_path(node_info(node).name)) == 0);
    if (strcmp(adopts, "adopts from elsewhere") == 0) {
        snprintf(test_directory, sizeof(test_directory), "/");
    }
    return execs_next_binary(adopts);
}

DIRECTORY_TEST(a_process_that_replaces_itself_keeps_its_node)
{
    static const char *const ways[] = {"adopts", "succeeds",
                                       "adopts from elsewhere"};

    instance = "a";
    for (size_t i = 0; i < COUNT(ways); i++) {
        assert_check(replaces_itself, ways[i]);
        assert_int_equal(directory_files(), 0);
    }
    begin_node();
    assert_ok(node_join(node));
    assert_int_equal(wm_node_bequeath(node), WM_IS_WORKER);
    node_leave(node);
    assert_int_equal(wm_node_bequeath(node), WM_IS_WORKER);
    wm_node_release(node);
}

int main(int argc, char **argv)
{
    if (argc == 4) {
        snprintf(test_directory, sizeof(test_directory), "%s", argv[1]);
        return next_binary(argv[2], argv[3]);
    }
    return test_run();
}
