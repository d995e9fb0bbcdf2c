/* SPDX-License-Identifier: Apache-2.0 */

/* Segments as files: how they are made, and what is refused on opening. How a
 * process takes part in one is in node.c. */

#include "segment_directory.h"

#include <sys/mman.h>
#include <sys/mount.h>

#define DIRECTORY_CHILD_TEST(name)                                             \
    CHILD_TEST_WITH(directory_set_up, directory_tear_down,                     \
                    "no mount namespace for us here", name)

/* As long as an instance's name may be, from the second character on. */
static const char too_long[] =
    "0123456789012345678901234567890123456789012345678901234567890123";

static struct wm_segment *const segment = &test_segment;

static int create_with(uint32_t capacity, uint32_t log_entries, uint32_t mode)
{
    return wm_segment_create(segment, test_directory, "a",
                             wm_geometry(capacity, log_entries), mode);
}

static int open_it(const char *name)
{
    struct wm_segment s;
    int error = wm_segment_open(&s, test_directory, name);

    if (error == 0) {
        error = wm_segment_is_of_namespace(&s) ? 0 : -EXDEV;
        wm_segment_close(&s);
    }
    return error;
}

DIRECTORY_TEST(a_new_file_has_its_mode_its_space_and_a_name_of_its_own)
{
    static const uint32_t modes[] = {0600, 0640, 0666, 0400};
    char last[WM_NAME_SIZE] = "";
    struct stat st;

    for (size_t i = 0; i < COUNT(modes); i++) {
        const mode_t mask = umask(077);
        int error = create_with(1024, 1024, modes[i]);

        umask(mask);
        assert_ok(error);
        assert_ok(stat(directory_path(segment->name), &st));
        assert_int_equal(st.st_mode, S_IFREG | modes[i]);
        assert_int_equal(st.st_size, segment->geometry.size);
        assert_true(st.st_blocks * 512 >= st.st_size);
        assert_true(wm_name_matches(segment->name, "a"));
        assert_string_not_equal(segment->name, last);
        memcpy(last, segment->name, sizeof(last));
        wm_segment_close(segment);
    }
    assert_int_equal(directory_files(), COUNT(modes));
}

/* That the header says what was asked for is checked on opening. */
DIRECTORY_TEST(a_new_header_names_its_pid_namespace_and_all_else_is_zero)
{
    const struct wm_segment_header *h;
    struct stat ns;

    assert_ok(segment_create("a"));
    h = segment->header;
    assert_ok(stat("/proc/self/ns/pid", &ns));
    assert_true(h->pid_namespace == ns.st_ino);
    for (size_t at = WM_CONSTANTS; at < segment->geometry.size; at++) {
        assert_int_equal(((const char *)h)[at], 0);
    }
}

DIRECTORY_CHILD_TEST(without_descriptors_nothing_is_made)
{
    HOLDS(limit_descriptors(0) == 0);
    HOLDS(segment_create("a") == -EMFILE);
    HOLDS(wm_segment_create_anonymous(segment, "a", wm_geometry(1, 1)) ==
          -EMFILE);
    HOLDS(directory_files() == 0);
    return 0;
}

/* A tmpfs of our own over the directory. */
static bool mount_here(unsigned long flags)
{
    return mount("tmpfs", test_directory, "tmpfs", flags, "size=64k") == 0;
}

DIRECTORY_CHILD_TEST(a_full_or_read_only_directory_is_told_and_nothing_left)
{
    if (!enter_mount_namespace() || !mount_here(0)) {
        return CHECK_IMPOSSIBLE;
    }
    HOLDS(create_with(1024, 1024, 0600) == -ENOSPC);
    HOLDS(directory_files() == 0);
    HOLDS(segment_create("a") == 0); /* a small one has room */
    HOLDS(directory_files() == 1);
    HOLDS(mount_here(MS_RDONLY));
    HOLDS(segment_create("a") == -EROFS);
    return 0;
}

#define FIELD(name, value)                                                     \
    offsetof(struct wm_segment_header, name),                                  \
        sizeof(((struct wm_segment_header *)NULL)->name), value

DIRECTORY_TEST(what_the_header_says_is_checked)
{
    static const struct {
        const char *what;
        int error;
        size_t at, size;
        uint64_t value;
    } table[] = {
        {"another magic", -EBADMSG, FIELD(magic, WM_MAGIC ^ 1)},
        {"no magic yet", -EBADMSG, FIELD(magic, 0)},
        {"another ABI", -EPROTO, FIELD(abi, WM_ABI + 1)},
        {"a header not of the size", -EUCLEAN, FIELD(header_size, 832)},
        {"a feature to know", -EPROTO, FIELD(incompatible, UINT64_C(1) << 63)},
        {"any other feature", 0, FIELD(compatible, UINT64_C(1) << 63)},
        {"records of no size", -EUCLEAN, FIELD(record_stride, 0)},
        {"records in no whole lines", -EUCLEAN, FIELD(cold_stride, 136)},
        {"a huge stride", -EUCLEAN, FIELD(generation_stride, 1u << 31)},
        {"a stride not of the size", -EUCLEAN, FIELD(log_stride, 128)},
        {"capacity 0", -EUCLEAN, FIELD(capacity, 0)},
        {"capacity 65536", -EUCLEAN, FIELD(capacity, 65536)},
        {"no log", -EUCLEAN, FIELD(log_entries, 0)},
        {"too long a log", -EUCLEAN, FIELD(log_entries, 1048577)},
        {"a size not of the geometry", -EUCLEAN, FIELD(size, 64)},
        {"another pid namespace", -EXDEV, FIELD(pid_namespace, 1)},
        {"an unknown pid namespace", 0, FIELD(pid_namespace, 0)},
        {"an instance without end", -EUCLEAN, FIELD(instance[63], 'a')},
        {"an instance with a slash", -EUCLEAN, FIELD(instance[0], '/')},
    };

    for (size_t i = 0; i < COUNT(table); i++) {
        struct wm_segment_header *h;
        int error;

        assert_ok(segment_create(&too_long[1]));
        assert_ok(open_it(segment->name));
        h = segment->header;
        memcpy((char *)h + table[i].at, &table[i].value, table[i].size);
        if (table[i].at != offsetof(struct wm_segment_header, size)) {
            /* Nothing but the number itself is wrong. */
            h->size = wm_geometry(h->capacity, h->log_entries).size;
        }
        error = open_it(segment->name);
        if (error != table[i].error) {
            fail_msg("%s: %d, not %d", table[i].what, error, table[i].error);
        }
        wm_segment_close(segment);
    }
}

DIRECTORY_TEST(a_file_cut_short_is_damaged)
{
    const off_t whole = (off_t)wm_geometry(3, 5).size;
    const off_t sizes[] = {whole - 1, 768, 767, 512, 64, 1, 0};
    const char *name = segment_leave_dead("a");

    assert_ok(open_it(name));
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_ok(truncate(directory_path(name), sizes[i]));
        assert_int_equal(open_it(name), -ENODATA);
    }
}

DIRECTORY_TEST(what_is_no_plain_file_of_a_segments_name_is_refused_at_once)
{
    const char *name = segment_leave_dead("a");
    char path[300], long_name[300] = "wm.";
    const struct {
        const char *name;
        int error;
    } table[] = {{"wm.fifo", -EBADMSG}, {"wm.", -EBADMSG},
                 {path, -ENOENT},       {"other", -ENOENT},
                 {name + 3, -ENOENT},   {long_name, -ENOENT},
                 {"", -ENOENT},         {"wm.a.0000000000000000", -ENOENT}};
    struct wm_segment s;

    assert_ok(mkfifo(directory_path("wm.fifo"), 0600));
    assert_ok(mkdir(directory_path("wm."), 0700));
    assert_ok(mkdir(directory_path("other"), 0700));
    snprintf(path, sizeof(path), "wm./../%s", name);
    memset(long_name + 3, 'a', sizeof(long_name) - 4);
    for (size_t i = 0; i < COUNT(table); i++) {
        if (open_it(table[i].name) != table[i].error) {
            fail_msg("'%s' is not refused as it should be", table[i].name);
        }
    }
    assert_int_equal(wm_segment_open(&s, directory_path("none"), name),
                     -ENOENT);
}

static int opens_as_a_stranger(const void *name)
{
    HOLDS(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    return -open_it(name);
}

DIRECTORY_TEST(a_foreign_owners_segment_is_refused)
{
    const char *name = segment_leave_dead("a");

    test_as_two_users();
    assert_ok(chmod(test_directory, 0755));
    assert_int_equal(run_check(opens_as_a_stranger, name), EACCES);
    assert_ok(chmod(directory_path(name), 0644));
    assert_ok(run_check(opens_as_a_stranger, name));
    assert_ok(chown(directory_path(name), 4711, NOBODY));
    assert_int_equal(run_check(opens_as_a_stranger, name), EPERM);
    assert_ok(open_it(name)); /* root looks at everybody's */
}

DIRECTORY_TEST(what_more_may_write_than_when_it_was_made_is_refused)
{
    static const struct {
        mode_t mode;
        int error;
    } table[] = {{0620, -ENOTSUP}, {0602, -ENOTSUP}, {0644, 0}};
    const char *name = segment_leave_dead("a");

    for (size_t i = 0; i < COUNT(table); i++) {
        assert_ok(chmod(directory_path(name), table[i].mode));
        assert_int_equal(open_it(name), table[i].error);
    }
    assert_ok(create_with(1, 1, 0620));
    assert_ok(open_it(segment->name)); /* it was asked for */
    assert_ok(chmod(directory_path(segment->name), 0622));
    assert_int_equal(open_it(segment->name), -ENOTSUP);
}

DIRECTORY_TEST(an_opened_segment_cannot_be_written)
{
    struct wm_segment s;

    assert_ok(wm_segment_open(&s, test_directory, segment_leave_dead("a")));
    assert_false(s.writable);
    assert_int_equal(s.fd, -1);
    /* Nor may it be made writable. */
    assert_int_equal(mprotect(s.header, WM_CONSTANTS, PROT_WRITE), -1);
    wm_segment_close(&s);
}

TEST(instance_names_are_plain)
{
    static const char *const good[] = {"a", "Z9_-", "a..", &too_long[1]};
    static const char *const bad[] = {"",    ".a",       "a/b", "a b",
                                      "a\n", "\xc3\xa4", "a%",  too_long};

    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(wm_instance_valid(good[i]));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(wm_instance_valid(bad[i]));
    }
    assert_false(wm_instance_valid(NULL));
}

TEST(only_whole_names_are_an_instances)
{
    static const char *const others[] = {
        "wm.a.000000000000000",   /* 15 digits */
        "wm.a.00000000000000000", /* 17 */
        "wm.a.000000000000000A",  "wm.aa.0000000000000000",
        "xwm.a.0000000000000000", "wm.a"};

    assert_true(wm_name_matches("wm.a.0123456789abcdef", "a"));
    assert_true(wm_name_matches("wm.a.0123456789abcdef", NULL));
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_false(wm_name_matches(others[i], "a"));
    }
}
