/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Which processes take part in a segment, when it is unlinked, and how a later
 * binary finds it: the program runs itself again, with arguments, as the one
 * that inherits a descriptor. */

#include "inherit.h"
#include "segment_directory.h"
#include "share.h"

#include <sys/file.h>
#include <sys/mman.h>

#define NOBODY 65534

static struct wm_segment *const segment = &test_segment;

static int use(const char *name)
{
    return wm_segment_use(test_directory, name);
}

/* The name of the segment, which is used when that is closed. */
static const char *create(void)
{
    static char name[WM_NAME_SIZE];

    assert_ok(segment_create("a"));
    memcpy(name, segment->name, sizeof(name));
    return name;
}

/* ------------------------------------------------------------ participants */

DIRECTORY_TEST(a_participant_keeps_it_live_until_it_closes)
{
    const char *name = create();

    assert_int_equal(use(name), 1);
    assert_int_equal(use(name), 1); /* asking takes nothing */
    wm_segment_close(segment);
    assert_int_equal(use(name), 0);
    assert_int_equal(use("wm.a.0000000000000000"), -ENOENT);
}

DIRECTORY_TEST(a_reader_does_not_take_part)
{
    struct wm_segment s;
    const char *name = segment_leave_dead("a");

    assert_ok(wm_segment_open(&s, test_directory, name));
    assert_int_equal(use(name), 0);
    wm_segment_close(&s);
}

/* A child that has closed every descriptor. */
static pid_t fork_bare_participant(void)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_ok(pipe(ready));
    pid = fork_child();
    if (pid == 0) {
        for (int fd = 3; fd < 64; fd++) {
            if (fd != ready[1]) {
                close(fd);
            }
        }
        close(ready[1]);
        for (;;) {
            pause();
        }
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 0);
    close(ready[0]);
    return pid;
}

DIRECTORY_TEST(the_mapping_of_a_forked_child_keeps_it_live)
{
    const char *name = create();
    pid_t pid = fork_bare_participant();

    wm_segment_close(segment);
    assert_int_equal(use(name), 1);
    kill_unreaped(pid);
    assert_int_equal(use(name), 0); /* a zombie's share is gone */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(use(name), 0);
}

DIRECTORY_TEST(the_kept_descriptor_cannot_write_and_holds_a_share)
{
    const int protection = PROT_READ | PROT_WRITE;
    const char *name = create();

    assert_int_equal(fcntl(segment->fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_ptr_equal(mmap(NULL, 512, protection, MAP_SHARED, segment->fd, 0),
                     MAP_FAILED);
    munmap(segment->header, segment->geometry.size);
    segment->header = NULL;
    assert_int_equal(use(name), 1);
}

/* ---------------------------------------------------------------- unlinking */

static struct {
    bool unlink;
    int asked;
    int error;
    uint32_t capacity;
} verdict;

static bool judge(const struct wm_segment *s, int error, UNUSED void *argument)
{
    verdict.asked++;
    verdict.error = error;
    verdict.capacity = s == NULL ? 0 : s->geometry.capacity;
    return verdict.unlink;
}

static int unlink_if(bool agreed, const char *name)
{
    memset(&verdict, 0, sizeof(verdict));
    verdict.unlink = agreed;
    return wm_segment_unlink(test_directory, name, judge, NULL);
}

DIRECTORY_TEST(what_is_in_use_is_never_unlinked)
{
    assert_int_equal(unlink_if(true, create()), -EBUSY);
    assert_int_equal(verdict.asked, 0);
    assert_int_equal(directory_files(), 1);
}

DIRECTORY_TEST(what_nobody_uses_is_unlinked_if_the_judge_says_so)
{
    const char *name = segment_leave_dead("a");

    assert_ok(unlink_if(false, name));
    assert_int_equal(verdict.asked, 1);
    assert_int_equal(verdict.error, 0);
    assert_int_equal(verdict.capacity, 3);
    assert_int_equal(directory_files(), 1);
    assert_int_equal(use(name), 0); /* its lock was given back */
    assert_ok(unlink_if(true, name));
    assert_int_equal(directory_files(), 0);
    assert_int_equal(unlink_if(true, name), -ENOENT);
}

DIRECTORY_TEST(a_damaged_one_is_judged_without_a_mapping)
{
    const char *name = segment_leave_dead("a");

    assert_ok(truncate(directory_path(name), 7));
    assert_ok(unlink_if(true, name));
    assert_int_equal(verdict.error, -ENODATA);
    assert_int_equal(verdict.capacity, 0);
    assert_int_equal(directory_files(), 0);
}

/* A user who could plant a file would speak for us. */
DIRECTORY_TEST(another_users_is_not_ours_to_judge_even_for_root)
{
    const char *name = segment_leave_dead("a");

    if (getuid() != 0) {
        test_skip("only root can be two users");
    }
    assert_ok(chown(directory_path(name), NOBODY, NOBODY));
    assert_ok(unlink_if(false, name));
    assert_int_equal(verdict.error, -EPERM);
    assert_int_equal(verdict.capacity, 0);
}

static bool judge_while_another_asks(UNUSED const struct wm_segment *s,
                                     UNUSED int error, void *name)
{
    verdict.asked = use(name);
    return true;
}

DIRECTORY_TEST(unlinking_holds_the_exclusive_lock)
{
    char name[WM_NAME_SIZE];

    snprintf(name, sizeof(name), "%s", segment_leave_dead("a"));
    assert_ok(wm_segment_unlink(test_directory, name, judge_while_another_asks,
                                name));
    assert_int_equal(verdict.asked, 1); /* refused while we hold it */
    assert_int_equal(directory_files(), 0);
}

/* One that holds the lock while it asks who takes part, or -1: it lets go when
 * somebody waits for it. */
static int asker = -1;
static int waits; /* how often somebody waited */

int nanosleep(UNUSED const struct timespec *time, UNUSED struct timespec *left)
{
    waits++;
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

DIRECTORY_TEST(one_that_just_asks_is_not_taken_for_a_participant)
{
    const char *name = segment_leave_dead("a");

    have_one_ask(name);
    assert_int_equal(use(name), 0);
    have_one_ask(name);
    assert_ok(unlink_if(true, name));
    assert_int_equal(directory_files(), 0);
}

DIRECTORY_TEST(nobody_waits_for_a_participant)
{
    const char *name = create();

    waits = 0;
    assert_int_equal(use(name), 1);
    assert_int_equal(unlink_if(true, name), -EBUSY);
    assert_int_equal(waits, 0);
}

/* ---------------------------------------------------------- a later binary */

/* The part of the program that was exec'd: adopts, and leaves a trace. */
static int adopt(const char *instance, int expected)
{
    struct wm_segment s;
    const int error = wm_segment_adopt(&s, instance);

    HOLDS(error == expected);
    if (error == 0) {
        HOLDS(s.writable);
        HOLDS(s.fd >= 0 && (fcntl(s.fd, F_GETFD) & FD_CLOEXEC) != 0);
        HOLDS((fcntl(s.fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
        HOLDS(strcmp(s.header->instance, instance) == 0);
        s.header->next_sweep = 4711;
        HOLDS(s.name[0] == '\0' ||
              (strncmp(s.name, "wm.", 3) == 0 && strchr(s.name, ' ') == NULL));
    }
    return 0;
}

/* Execs this binary as adopter; the descriptor is inherited unless that is
 * forbidden. */
static void expect_adopter(const char *instance, int expected, bool inherited)
{
    char number[16];
    pid_t pid;

    snprintf(number, sizeof(number), "%d", expected);
    pid = fork_child();
    if (pid == 0) {
        fcntl(segment->fd, F_SETFD, inherited ? 0 : FD_CLOEXEC);
        execl(program_path(), "test-segment_use", "adopt", instance, number,
              (char *)NULL);
        _exit(127);
    }
    assert_int_equal(child_status(pid), 0);
    assert_int_equal(segment->header->next_sweep, expected == 0 ? 4711 : 0);
}

DIRECTORY_TEST(an_inherited_descriptor_is_adopted)
{
    create();
    expect_adopter("a", 0, true);
}

DIRECTORY_TEST(an_unlinked_one_is_adopted_as_well)
{
    assert_ok(unlink(directory_path(create())));
    expect_adopter("a", 0, true);
}

DIRECTORY_TEST(anonymous_memory_is_adopted_as_well)
{
    assert_ok(wm_segment_create_anonymous(segment, "a", wm_geometry(3, 5)));
    expect_adopter("a", 0, true);
}

DIRECTORY_TEST(another_instances_descriptor_is_not_adopted)
{
    static const char *const others[] = {"b", "aa", "a.b"};

    for (size_t i = 0; i < COUNT(others); i++) {
        create();
        expect_adopter(others[i], -ENOENT, true);
        wm_segment_close(segment);
        assert_ok(wm_segment_create_anonymous(segment, "a", wm_geometry(3, 5)));
        expect_adopter(others[i], -ENOENT, true);
        wm_segment_close(segment);
    }
}

DIRECTORY_TEST(a_name_that_belies_the_header_is_not_adopted)
{
    create();
    memcpy(segment->header->instance, "b", 2);
    expect_adopter("a", -ENOENT, true);
}

DIRECTORY_TEST(a_descriptor_that_is_kept_private_does_not_pass_exec)
{
    create();
    assert_int_equal(fcntl(segment->fd, F_GETFD), FD_CLOEXEC);
    expect_adopter("a", -ENOENT, false);
    fcntl(segment->fd, F_SETFD, 0);
    wm_segment_keep_private(segment);
    assert_int_equal(fcntl(segment->fd, F_GETFD), FD_CLOEXEC);
}

DIRECTORY_TEST(a_process_does_not_adopt_what_it_opened_itself)
{
    struct wm_segment s;

    create();
    assert_int_equal(wm_segment_adopt(&s, "a"), -ENOENT);
}

DIRECTORY_TEST(another_abi_is_told_and_nothing_changed)
{
    static char before[sizeof(struct wm_segment_header)];

    create();
    segment->header->abi++;
    memcpy(before, segment->header, sizeof(before));
    expect_adopter("a", -EPROTO, true);
    assert_memory_equal(before, segment->header, sizeof(before));
    assert_int_equal(directory_files(), 1);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "adopt") == 0) {
        return adopt(argv[2], (int)strtol(argv[3], NULL, 10));
    }
    return test_run();
}
