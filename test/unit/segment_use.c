/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Which processes take part in a segment, and when it is unlinked. */

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

/* A process that holds the lock while it asks who takes part, or -1: it lets go
 * when somebody waits for it. */
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

static struct {
    const char *name;
    bool unlink;
    int asked;
    int use; /* as another finds it meanwhile */
    int error;
    uint32_t capacity;
} verdict;

static bool judge(const struct wm_segment *s, int error, UNUSED void *argument)
{
    verdict.asked++;
    verdict.use = use(verdict.name);
    verdict.error = error;
    verdict.capacity = s == NULL ? 0 : s->geometry.capacity;
    return verdict.unlink;
}

static int unlink_if(bool agreed, const char *name)
{
    memset(&verdict, 0, sizeof(verdict));
    verdict.name = name;
    verdict.unlink = agreed;
    return wm_segment_unlink(test_directory, name, judge, NULL);
}

/* The facts that the judge was told, and how many files there are now. */
static void expect_verdict(int error, uint32_t capacity, int files)
{
    assert_int_equal(verdict.asked, 1);
    assert_int_equal(verdict.use, 1); /* the lock is held meanwhile */
    assert_int_equal(verdict.error, error);
    assert_int_equal(verdict.capacity, capacity);
    assert_int_equal(directory_files(), files);
}

/* ------------------------------------------------------------ participants */

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

DIRECTORY_TEST(the_mapping_of_a_forked_child_keeps_it_live)
{
    const char *name = create();
    pid_t pid;

    close(segment->fd); /* the child has the mapping alone */
    segment->fd = -1;
    pid = fork_sleeper();
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

DIRECTORY_TEST(one_that_just_asks_is_not_taken_for_a_participant)
{
    const char *name = segment_leave_dead("a");

    have_one_ask(name);
    assert_int_equal(use(name), 0);
    have_one_ask(name);
    assert_ok(unlink_if(true, name));
    assert_int_equal(directory_files(), 0);
}

/* ---------------------------------------------------------------- unlinking */

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

    if (getuid() != 0) {
        test_skip("only root can be two users");
    }
    assert_ok(chown(directory_path(name), NOBODY, NOBODY));
    assert_ok(unlink_if(false, name));
    expect_verdict(-EPERM, 0, 1);
}

/* Tests of a node handed on over exec are in node_lives.c. */
DIRECTORY_TEST(a_process_does_not_adopt_what_it_opened_itself)
{
    struct wm_segment s;

    create();
    assert_int_equal(wm_segment_adopt(&s, "a"), -ENOENT);
}
