/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Handles: who gets which, what a fork makes of them, when the last one
 * unlinks its segment, and what a later life is told. The binary runs itself
 * again, with arguments, as the next binary of a node. */

#include "place.h"

#include "node.h"
#include "process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct wm_node_options options_for(const char *instance)
{
    return (struct wm_node_options){.size = sizeof(struct wm_node_options),
                                    .instance = instance,
                                    .directory = place_directory,
                                    .capacity = 4,
                                    .log_entries = 16};
}

static struct wm_node *attach(const char *instance)
{
    const struct wm_node_options options = options_for(instance);
    struct wm_node *node = NULL;

    assert_int_equal(wm_node_attach(&options, &node), 0);
    return node;
}

static uint64_t begin(struct wm_node *node)
{
    uint64_t id = 0;

    assert_int_equal(wm_generation_begin(node, &id, NULL), 0);
    return id;
}

static struct wm_worker *join(struct wm_node *node, uint64_t id)
{
    const struct wm_join_options options = {.size = sizeof(options)};
    struct wm_worker *worker = NULL;
    struct wm_counts counts;

    if (wm_worker_join(node, id, &options, &worker) != 0 ||
        wm_worker_start(worker, &counts) != 0) {
        return NULL;
    }
    return worker;
}

/* Drains, retires and takes the end, as a worker in order does. */
static void leave(struct wm_node *node, uint64_t id)
{
    struct wm_worker *worker = wm_node_worker(node);

    wm_worker_drain(worker);
    wm_generation_close(node, id);
    wm_generation_take_exit(node, id, NULL);
    wm_worker_leave(worker);
}

static struct wm_node_info describe(const struct wm_node *node)
{
    struct wm_node_info info = {.size = sizeof(info)};

    wm_node_describe(node, &info);
    return info;
}

/* ---------------------------------------------------------------- options */

static void bad_options_are_refused_and_nothing_made(void **state)
{
    const struct {
        struct wm_node_options o;
    } bad[] = {
        {{.size = 4, .instance = "a"}},
        {{.size = sizeof(bad[0].o), .instance = NULL}},
        {{.size = sizeof(bad[0].o), .instance = ""}},
        {{.size = sizeof(bad[0].o), .instance = "a/b"}},
        {{.size = sizeof(bad[0].o), .instance = "a", .flags = 4}},
        {{.size = sizeof(bad[0].o), .instance = "a", .capacity = 65536}},
        {{.size = sizeof(bad[0].o), .instance = "a", .mode = 01600}},
        {{.size = sizeof(bad[0].o), .instance = "a", .log_entries = 1048577}},
    };
    struct wm_node *node = NULL;
    const struct wm_node_options good = options_for("a");

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct wm_node_options o = bad[i].o;

        o.directory = place_directory;
        assert_int_equal(wm_node_attach(&o, &node), -EINVAL);
    }
    assert_int_equal(wm_node_attach(NULL, &node), -EINVAL);
    assert_int_equal(wm_node_attach(&good, NULL), -EINVAL);
    assert_int_equal(place_files(), 0);
    assert_null(node);
}

static void what_is_not_given_has_a_default(void **state)
{
    struct wm_node_options o = options_for("a");
    struct wm_node *node;
    struct stat st;

    (void)state;
    o.capacity = o.log_entries = 0;
    assert_int_equal(wm_node_attach(&o, &node), 0);
    assert_int_equal(describe(node).capacity, 1024);
    assert_int_equal(node->segment.geometry.log_entries, 1024);
    assert_int_equal(stat(place_path(describe(node).name), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(wm_node_release(node), 0);
}

static void a_directory_that_cannot_be_used_is_told(void **state)
{
    struct wm_node_options o = options_for("a");
    struct wm_node *node = NULL;

    (void)state;
    o.directory = place_path("none");
    assert_int_equal(wm_node_attach(&o, &node), -ENOENT);
    assert_null(node);
    o.flags = WM_NODE_ANONYMOUS;
    assert_int_equal(wm_node_attach(&o, &node), 0);
    assert_int_equal(describe(node).anonymous, ENOENT);
    assert_string_equal(describe(node).name, "");
    assert_int_equal(wm_node_release(node), 0);
}

/* --------------------------------------------------------------- registry */

static void an_instance_has_one_handle_in_a_process(void **state)
{
    struct wm_node *a = attach("a"), *again = attach("a");

    (void)state;
    assert_ptr_equal(a, again);
    assert_int_equal(place_files(), 1);
    assert_int_equal(wm_node_release(a), 0);
    assert_int_equal(place_files(), 1);
    assert_int_equal(begin(again), 1);
    assert_int_equal(wm_node_release(again), 0);
    assert_int_equal(place_files(), 0);
}

/* As http and stream Lua have it: each has init and workers of its own. */
static void two_instances_in_one_process_do_not_mix(void **state)
{
    struct wm_node *http = attach("a-http"), *stream = attach("a-stream");
    struct wm_counts counts;
    uint64_t id;
    uint32_t reason;

    (void)state;
    assert_ptr_not_equal(http, stream);
    assert_int_equal(place_files(), 2);
    assert_int_equal(wm_generation_begin(http, &id, &reason), 0);
    assert_int_equal(id, 1);
    assert_int_equal(reason, WM_REASON_START);
    /* Not a reload, although this process has begun one before. */
    assert_int_equal(wm_generation_begin(stream, &id, &reason), 0);
    assert_int_equal(id, 1);
    assert_int_equal(reason, WM_REASON_START);
    assert_non_null(join(http, 1));
    assert_null(wm_node_worker(stream));
    assert_non_null(join(stream, 1));
    wm_generation_counts(http, 1, &counts);
    assert_int_equal(counts.mine, 1);
    assert_int_equal(wm_lock_acquire(http, NULL), 0);
    assert_int_equal(wm_lock_acquire(stream, NULL), 0); /* a lock a node */
    assert_int_equal(wm_lock_release(http), 0);
    assert_int_equal(wm_lock_release(stream), 0);
    leave(http, 1);
    wm_generation_counts(stream, 1, &counts);
    assert_int_equal(counts.mine, 1);
    assert_int_equal(wm_node_release(http), 0);
    assert_int_equal(place_files(), 1);
    leave(stream, 1);
    assert_int_equal(wm_node_release(stream), 0);
    assert_int_equal(place_files(), 0);
}

static void a_second_generation_of_a_process_is_a_reload(void **state)
{
    struct wm_node *node = attach("a");
    uint32_t reason;
    uint64_t id;

    (void)state;
    begin(node);
    assert_int_equal(wm_generation_begin(node, &id, &reason), 0);
    assert_int_equal(reason, WM_REASON_RELOAD);
    assert_int_equal(wm_node_release(node), 0);
}

/* ------------------------------------------------------------------- forks */

static int inherited(const struct wm_node *node)
{
    return (fcntl(node->segment.fd, F_GETFD) & FD_CLOEXEC) == 0;
}

/* A child of the master may be the next binary; a child of a worker may not,
 * nor what a worker becomes. */
static struct wm_node *forked;

static int may_hand_on(const void *unused)
{
    (void)unused;
    HOLDS(inherited(forked));
    HOLDS(wm_ident_pid(forked->forker) == (uint32_t)getppid());
    HOLDS(join(forked, 1) != NULL);
    HOLDS(!inherited(forked));
    leave(forked, 1);
    return 0;
}

static int may_not_hand_on(const void *whose)
{
    HOLDS(!inherited(forked));
    HOLDS(wm_node_worker(forked) == NULL);
    return whose == NULL ? 0 : place_run(may_not_hand_on, NULL);
}

static void only_a_child_of_no_worker_inherits_the_descriptor(void **state)
{
    (void)state;
    forked = attach("a");
    begin(forked);
    assert_false(inherited(forked));
    assert_int_equal(place_run(may_hand_on, NULL), 0);
    assert_false(inherited(forked));
    assert_non_null(join(forked, 1));
    assert_int_equal(place_run(may_not_hand_on, "a grandchild"), 0);
    leave(forked, 1); /* and of none that was one */
    assert_int_equal(place_run(may_not_hand_on, NULL), 0);
    assert_int_equal(wm_node_release(forked), 0);
}

static int uses_its_parents_worker(const void *unused)
{
    struct wm_counts counts;
    struct wm_worker *w = &forked->worker;

    (void)unused;
    HOLDS(wm_node_worker(forked) == NULL);
    HOLDS(wm_worker_has_record(w) == 0);
    HOLDS(wm_beat(w) == -ESTALE);
    HOLDS(wm_worker_start(w, &counts) == -ECHILD);
    HOLDS(wm_worker_exit_counts(w, &counts) == -ECHILD);
    HOLDS(wm_worker_drain(w) == -ECHILD);
    HOLDS(wm_worker_leave(w) == -ECHILD);
    HOLDS(wm_node_release(forked) == 0);
    return 0;
}

static void a_childs_use_of_its_parents_worker_changes_nothing(void **state)
{
    (void)state;
    forked = attach("a");
    begin(forked);
    assert_non_null(join(forked, 1));
    assert_int_equal(place_run(uses_its_parents_worker, NULL), 0);
    assert_int_equal(wm_worker_has_record(wm_node_worker(forked)), 1);
    assert_int_equal(place_files(), 1);
    leave(forked, 1);
    assert_int_equal(wm_node_release(forked), 0);
    assert_int_equal(place_files(), 0);
}

/* --------------------------------------------------------------- unlinking */

/* The other participant, until the pipe is closed. */
static pid_t fork_participant(int *stop)
{
    int to[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(to), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(to[1]);
        _exit(read(to[0], &byte, 1) == 0 ? wm_node_release(forked) : 1);
    }
    close(to[0]);
    *stop = to[1];
    return pid;
}

static void end_participant(pid_t pid, int stop)
{
    int status = -1;

    close(stop);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void whoever_is_the_last_unlinks(void **state)
{
    int stop;
    pid_t pid;

    (void)state;
    forked = attach("a");
    begin(forked);
    pid = fork_participant(&stop);
    assert_int_equal(wm_node_release(forked), 0);
    assert_int_equal(place_files(), 1);
    end_participant(pid, stop);
    assert_int_equal(place_files(), 0);
}

static void what_nobody_was_told_of_keeps_the_segment(void **state)
{
    struct wm_node *node = attach("a");
    struct wm_node_info info;

    (void)state;
    begin(node);
    assert_non_null(join(node, 1));
    wm_worker_drain(wm_node_worker(node));
    assert_int_equal(wm_generation_close(node, 1), WM_CLOSED);
    wm_worker_leave(wm_node_worker(node));
    assert_int_equal(wm_node_release(node), 0);
    assert_int_equal(place_files(), 1);

    node = attach("a");
    info = describe(node);
    assert_int_equal(place_files(), 1);
    assert_int_equal(info.postmortem.segments, 1);
    assert_int_equal(info.postmortem.exits_owed, 1);
    assert_int_equal(info.postmortem.workers, 0);
    assert_int_equal(info.postmortem.generation, 1);
    assert_int_equal(info.generation, 0);
    assert_int_equal(wm_node_release(node), 0);
    assert_int_equal(place_files(), 0);
}

static void releasing_leaves_the_record_and_the_lock(void **state)
{
    int stop;
    pid_t pid;
    struct wm_node *reader;
    struct wm_worker_info list[4];
    struct wm_lock_holder holder;
    uint32_t n;

    (void)state;
    forked = attach("a");
    begin(forked);
    pid = fork_participant(&stop);
    assert_non_null(join(forked, 1));
    assert_int_equal(wm_lock_acquire(forked, NULL), 0);
    assert_int_equal(wm_node_release(forked), 0);
    assert_int_equal(wm_node_open("a", place_directory, &reader), 0);
    assert_int_equal(wm_snapshot(reader, list, 4, &n), 0);
    assert_int_equal(n, 0);
    wm_lock_inspect(reader, &holder);
    assert_int_equal(holder.pid, 0);
    assert_int_equal(wm_node_release(reader), 0);
    end_participant(pid, stop);
}

/* ----------------------------------------------------------- a former life */

static const char *instance_of_the_dead;

/* A whole life in a child that ends without a word. */
static int dies_with_a_worker(const void *unused)
{
    struct wm_node *node = attach(instance_of_the_dead);

    (void)unused;
    begin(node);
    HOLDS(join(node, 1) != NULL);
    return 0;
}

static void a_dead_one_tells_who_was_there_and_is_tidied_up(void **state)
{
    struct wm_node *node;
    struct wm_node_info info;

    (void)state;
    instance_of_the_dead = "a";
    assert_int_equal(place_run(dies_with_a_worker, NULL), 0);
    assert_int_equal(place_run(dies_with_a_worker, NULL), 0);
    instance_of_the_dead = "b";
    assert_int_equal(place_run(dies_with_a_worker, NULL), 0);
    assert_int_equal(place_files(), 2); /* the second tidied the first up */
    node = attach("a");
    info = describe(node);
    assert_int_equal(info.postmortem.segments, 1);
    assert_int_equal(info.postmortem.workers, 1);
    assert_int_equal(info.postmortem.exits_owed, 1);
    assert_true(info.postmortem.pid > 0);
    assert_int_equal(place_files(), 2); /* b's is none of its business */
    assert_int_equal(wm_node_release(node), 0);
    assert_int_equal(place_files(), 1);
}

static int dies_with_what_was_told(const void *role)
{
    const struct wm_join_options options = {
        .size = sizeof(options),
        .role = strcmp(role, "helper") == 0 ? WM_ROLE_HELPER : WM_ROLE_WORKER,
    };
    struct wm_node *node = attach("a");
    struct wm_worker *worker;
    struct wm_event event;
    pid_t pid;

    begin(node);
    pid = fork();
    if (pid == 0) {
        _exit(wm_worker_join(node, 1, &options, &worker));
    }
    HOLDS(waitpid(pid, NULL, 0) == pid);
    if (options.role == WM_ROLE_WORKER) {
        wm_sweep(node, NULL);
        HOLDS(wm_event_take(node, 1u << WM_EVENT_CRASHED, &event) == 1);
    }
    return 0;
}

static void who_was_told_of_and_helpers_are_not_told_again(void **state)
{
    static const char *const roles[] = {"worker", "helper"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct wm_node *node;

        assert_int_equal(place_run(dies_with_what_was_told, roles[i]), 0);
        node = attach("a");
        assert_int_equal(describe(node).postmortem.segments, 1);
        assert_int_equal(describe(node).postmortem.workers, 0);
        assert_int_equal(wm_node_release(node), 0);
    }
}

static int crashes_after_it_was_the_last(const void *unused)
{
    (void)unused;
    return join(forked, 1) == NULL;
}

static void a_crash_that_nobody_was_told_of_is_told_to_the_next(void **state)
{
    struct wm_node *node;

    (void)state;
    forked = attach("a");
    begin(forked);
    assert_int_equal(place_run(crashes_after_it_was_the_last, NULL), 0);
    wm_sweep(forked, NULL);
    assert_int_equal(wm_generation_close(forked, 1), WM_CLOSED);
    assert_int_equal(wm_generation_take_exit(forked, 1, NULL), 1);
    assert_int_equal(wm_node_release(forked), 0);
    assert_int_equal(place_files(), 1);
    node = attach("a");
    assert_int_equal(describe(node).postmortem.workers, 1);
    assert_int_equal(describe(node).postmortem.exits_owed, 0);
    assert_int_equal(wm_node_release(node), 0);
}

static void a_living_one_of_the_same_instance_is_left_alone(void **state)
{
    int stop;
    pid_t pid;
    struct wm_node *other;

    (void)state;
    forked = attach("a");
    begin(forked);
    assert_non_null(join(forked, 1));
    /* The registry knows it no more, but another process lives in it. */
    pid = fork_participant(&stop);
    leave(forked, 1);
    assert_int_equal(wm_node_release(forked), 0);
    other = attach("a");
    assert_int_equal(place_files(), 2);
    assert_int_equal(describe(other).postmortem.segments, 0);
    assert_int_equal(wm_node_release(other), 0);
    assert_int_equal(place_files(), 1);
    end_participant(pid, stop);
    assert_int_equal(place_files(), 0);
}

static void damaged_files_and_links_are_counted_not_believed(void **state)
{
    static const char damaged[] = "wm.a.0123456789abcdef",
                      link[] = "wm.a.0123456789abcded";
    struct wm_node *node;
    struct wm_postmortem p;

    (void)state;
    assert_int_equal(mknod(place_path(damaged), S_IFREG | 0600, 0), 0);
    assert_int_equal(symlink("/etc/passwd", place_path(link)), 0);
    node = attach("a");
    p = describe(node).postmortem;
    assert_int_equal(p.damaged, 2);
    assert_int_equal(p.foreign, 0);
    assert_int_equal(p.segments, 0);
    assert_int_equal(place_files(), 2); /* its own, and the link */
    assert_int_equal(wm_node_release(node), 0);
    assert_int_equal(place_files(), 1);
}

/* ----------------------------------------------------------------- opening */

static void a_reader_finds_the_living_among_the_dead(void **state)
{
    struct wm_node *reader, *node;
    struct wm_node_info info;

    (void)state;
    instance_of_the_dead = "a";
    assert_int_equal(place_run(dies_with_a_worker, NULL), 0);
    assert_int_equal(wm_node_open("a", place_directory, &reader), 0);
    assert_int_equal(describe(reader).generation, 1); /* there is no other */
    assert_int_equal(wm_node_release(reader), 0);
    node = attach("b");
    assert_int_equal(wm_node_open("b", place_directory, &reader), 0);
    info = describe(reader);
    assert_string_equal(info.instance, "b");
    assert_string_equal(info.name, describe(node).name);
    assert_int_equal(info.read_only, 1);
    assert_int_equal(wm_node_release(reader), 0);
    assert_int_equal(place_files(), 2);
    assert_int_equal(wm_node_release(node), 0);
    assert_int_equal(place_files(), 1);
    assert_int_equal(wm_node_open("c", place_directory, &reader), -ENOENT);
    assert_int_equal(wm_node_open(NULL, place_directory, &reader), -EINVAL);
}

static void a_reader_can_change_nothing(void **state)
{
    struct wm_node *node = attach("a"), *reader;
    const struct wm_join_options options = {.size = sizeof(options)};
    struct wm_worker *worker;
    uint64_t id;

    (void)state;
    begin(node);
    assert_int_equal(wm_node_open("a", place_directory, &reader), 0);
    assert_int_equal(wm_generation_begin(reader, &id, NULL), -EROFS);
    assert_int_equal(wm_worker_join(reader, 1, &options, &worker), -EROFS);
    assert_int_equal(wm_generation_close(reader, 1), -EROFS);
    assert_int_equal(wm_lock_acquire(reader, NULL), -EROFS);
    assert_int_equal(wm_lock_try(reader, 0, 0), -EROFS);
    assert_int_equal(wm_generation_take_exit(reader, 1, NULL), 0);
    assert_int_equal(wm_generation_abandon(reader, 1), 0);
    assert_int_equal(wm_sweep(reader, NULL), 0);
    assert_int_equal(wm_node_release(reader), 0);
    assert_int_equal(wm_node_release(node), 0);
}

static void count_entry(const struct wm_node_entry *entry, void *argument)
{
    int *counts = argument;

    counts[entry->live]++;
}

static void note_error(const struct wm_node_entry *entry, void *argument)
{
    *(int *)argument = entry->live == 0 ? entry->error : 1;
}

/* With room for the directory, and none for a file in it. */
static int cannot_tell_without_descriptors(const void *argument)
{
    struct rlimit few;
    int error = 0;

    (void)argument;
    for (int fd = 3; fd < 64; fd++) {
        close(fd);
    }
    HOLDS(getrlimit(RLIMIT_NOFILE, &few) == 0);
    few.rlim_cur = 4;
    HOLDS(setrlimit(RLIMIT_NOFILE, &few) == 0);
    HOLDS(wm_node_list("a", place_directory, note_error, &error) == 0);
    HOLDS(error == -EMFILE);
    return 0;
}

static void who_cannot_be_asked_is_not_called_dead(void **state)
{
    struct wm_node *node = attach("a");
    int error = 0;

    (void)state;
    assert_int_equal(wm_node_list("a", place_directory, note_error, &error), 0);
    assert_int_equal(error, 1);
    assert_int_equal(place_run(cannot_tell_without_descriptors, NULL), 0);
    assert_int_equal(wm_node_release(node), 0);
    assert_int_equal(symlink("nowhere", place_path("wm.a.0123456789abcdef")),
                     0);
    assert_int_equal(wm_node_list("a", place_directory, note_error, &error), 0);
    assert_int_equal(error, -EBADMSG);
}

static void all_segments_are_listed_and_the_dead_may_be_unlinked(void **state)
{
    struct wm_node *node, *reader;
    int counts[2] = {0, 0};
    char name[128];

    (void)state;
    instance_of_the_dead = "a";
    assert_int_equal(place_run(dies_with_a_worker, NULL), 0);
    node = attach("b");
    assert_int_equal(mknod(place_path("other"), S_IFREG | 0600, 0), 0);
    assert_int_equal(wm_node_list(NULL, place_directory, count_entry, counts),
                     0);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 1);
    assert_int_equal(wm_node_list("b", place_directory, count_entry, counts),
                     0);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 2);
    assert_int_equal(
        wm_node_list(NULL, place_path("none"), count_entry, counts), -ENOENT);

    assert_int_equal(wm_node_open("a", place_directory, &reader), 0);
    snprintf(name, sizeof(name), "%s", describe(reader).name);
    assert_int_equal(wm_node_release(reader), 0);
    assert_int_equal(wm_node_unlink(describe(node).name, place_directory),
                     -EBUSY);
    assert_int_equal(wm_node_unlink(name, place_directory), 0);
    assert_int_equal(wm_node_unlink(name, place_directory), -ENOENT);
    assert_int_equal(wm_node_unlink("other", place_directory), -EINVAL);
    assert_int_equal(wm_node_unlink("wm.other", place_directory), -EINVAL);
    assert_int_equal(
        wm_node_unlink("wm.../a.0123456789abcdef", place_directory), -ENOENT);
    assert_int_equal(wm_node_unlink(NULL, place_directory), -EINVAL);
    assert_int_equal(place_files(), 2);
    assert_int_equal(wm_node_release(node), 0);
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
        if (length > 0) {
            target[length] = '\0';
            n += strstr(target, "/wm.") != NULL;
        }
    }
    return n;
}

/* What was exec'd: takes the node over, or makes a fresh one. */
static int next_binary(const char *directory, const char *adopts)
{
    struct wm_node_options o = options_for("a");
    struct wm_node *node;
    struct wm_node_info info;
    uint32_t reason;
    uint64_t id;
    const bool adopted = strcmp(adopts, "adopts") == 0;

    o.directory = directory;
    o.flags = WM_NODE_ADOPT;
    HOLDS(wm_node_attach(&o, &node) == 0);
    info = describe(node);
    HOLDS(info.adopted == adopted);
    HOLDS(info.not_adopted == (strcmp(adopts, "is newer") == 0 ? EPROTO : 0));
    HOLDS(!inherited(node));
    HOLDS(open_segments() == 1); /* no share in one that it does not use */
    HOLDS(wm_generation_begin(node, &id, &reason) == 0);
    HOLDS(id == (adopted ? 2u : 1u));
    HOLDS(reason == (adopted ? WM_REASON_UPGRADE : WM_REASON_START));
    /* The same process does not take it for an upgrade twice. */
    HOLDS(wm_generation_begin(node, &id, &reason) == 0);
    HOLDS(reason == WM_REASON_RELOAD);
    HOLDS(wm_node_release(node) == 0);
    return 0;
}

static int exec_next_binary(const void *adopts)
{
    execl(place_program(), "test-node", "next", place_directory, adopts,
          (char *)NULL);
    return 127;
}

static void the_next_binary_takes_the_node_over(void **state)
{
    (void)state;
    forked = attach("a");
    begin(forked);
    assert_int_equal(place_run(exec_next_binary, "adopts"), 0);
    assert_int_equal(describe(forked).generation, 3);
    assert_int_equal(place_files(), 1);
    assert_int_equal(wm_node_release(forked), 0);
    assert_int_equal(place_files(), 0);
}

/* The former binary's node goes on without it, and without its share. */
static void a_binary_of_another_abi_begins_a_node_of_its_own(void **state)
{
    (void)state;
    forked = attach("a");
    begin(forked);
    forked->segment.header->abi++;
    assert_int_equal(place_run(exec_next_binary, "is newer"), 0);
    assert_int_equal(describe(forked).generation, 1);
    assert_int_equal(place_files(), 1);
    forked->segment.header->abi--;
    assert_int_equal(wm_node_release(forked), 0);
    assert_int_equal(place_files(), 0);
}

static void what_a_worker_execs_is_a_stranger(void **state)
{
    (void)state;
    forked = attach("a");
    begin(forked);
    assert_non_null(join(forked, 1));
    assert_int_equal(place_run(exec_next_binary, "is a stranger"), 0);
    assert_int_equal(describe(forked).generation, 1);
    leave(forked, 1);
    assert_int_equal(wm_node_release(forked), 0);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(bad_options_are_refused_and_nothing_made),
        TEST(what_is_not_given_has_a_default),
        TEST(a_directory_that_cannot_be_used_is_told),
        TEST(an_instance_has_one_handle_in_a_process),
        TEST(two_instances_in_one_process_do_not_mix),
        TEST(a_second_generation_of_a_process_is_a_reload),
        TEST(only_a_child_of_no_worker_inherits_the_descriptor),
        TEST(a_childs_use_of_its_parents_worker_changes_nothing),
        TEST(whoever_is_the_last_unlinks),
        TEST(what_nobody_was_told_of_keeps_the_segment),
        TEST(releasing_leaves_the_record_and_the_lock),
        TEST(a_dead_one_tells_who_was_there_and_is_tidied_up),
        TEST(who_was_told_of_and_helpers_are_not_told_again),
        TEST(a_crash_that_nobody_was_told_of_is_told_to_the_next),
        TEST(a_living_one_of_the_same_instance_is_left_alone),
        TEST(damaged_files_and_links_are_counted_not_believed),
        TEST(a_reader_finds_the_living_among_the_dead),
        TEST(a_reader_can_change_nothing),
        TEST(who_cannot_be_asked_is_not_called_dead),
        TEST(all_segments_are_listed_and_the_dead_may_be_unlinked),
        TEST(the_next_binary_takes_the_node_over),
        TEST(a_binary_of_another_abi_begins_a_node_of_its_own),
        TEST(what_a_worker_execs_is_a_stranger),
    };

    if (argc == 4 && strcmp(argv[1], "next") == 0) {
        return next_binary(argv[2], argv[3]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
