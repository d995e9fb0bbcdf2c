/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Segments as files: how they are made, what is refused on opening, who
 * takes part, and how a later binary finds them. Each test has a directory of
 * its own; the binary runs itself again, with arguments, as the program that
 * inherits a descriptor. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inherit.h"
#include "place.h"
#include "segment.h"
#include "share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define NOBODY 65534

static struct wm_segment segment; /* as a participant has it */

static int set_up(void **state)
{
    memset(&segment, 0, sizeof(segment));
    segment.fd = -1;
    return place_setup(state);
}

static int tear_down(void **state)
{
    wm_segment_close(&segment);
    return place_teardown(state);
}

static int create(const char *instance)
{
    return wm_segment_create(&segment, place_directory, instance,
                             wm_geometry(3, 5), 0600);
}

/* Leaves a segment that nobody takes part in; returns its name. */
static const char *leave_dead(const char *instance)
{
    static char name[WM_NAME_SIZE];

    assert_int_equal(create(instance), 0);
    memcpy(name, segment.name, sizeof(name));
    wm_segment_close(&segment);
    return name;
}

static int open_it(const char *name)
{
    struct wm_segment s;
    int error = wm_segment_open(&s, place_directory, name);

    if (error == 0) {
        wm_segment_close(&s);
    }
    return error;
}

/* ---------------------------------------------------------------- creation */

static void a_new_file_has_the_mode_that_was_asked_for(void **state)
{
    static const uint32_t modes[] = {0600, 0640, 0666, 0400};
    const mode_t mask = umask(077);
    struct stat st;

    (void)state;
    for (size_t i = 0; i < COUNT(modes); i++) {
        int error = wm_segment_create(&segment, place_directory, "a",
                                      wm_geometry(1, 1), modes[i]);

        umask(mask);
        assert_int_equal(error, 0);
        assert_int_equal(stat(place_path(segment.name), &st), 0);
        assert_int_equal(st.st_mode, S_IFREG | modes[i]);
        wm_segment_close(&segment);
        umask(077);
    }
    umask(mask);
}

static void a_new_files_space_is_reserved(void **state)
{
    const struct wm_geometry g = wm_geometry(1024, 1024);
    struct stat st;

    (void)state;
    assert_int_equal(wm_segment_create(&segment, place_directory, "a", g, 0600),
                     0);
    assert_int_equal(stat(place_path(segment.name), &st), 0);
    assert_int_equal(st.st_size, g.size);
    assert_true((size_t)st.st_blocks * 512 >= g.size);
}

static void a_new_header_says_what_was_asked_for(void **state)
{
    const struct wm_segment_header *h;
    struct stat ns;

    (void)state;
    assert_int_equal(create("some.instance_1-x"), 0);
    h = segment.header;
    assert_true(h->magic == WM_MAGIC);
    assert_int_equal(h->abi, WM_ABI);
    assert_int_equal(h->header_size, sizeof(*h));
    assert_int_equal(h->size, segment.geometry.size);
    assert_int_equal(h->capacity, 3);
    assert_int_equal(h->generations, 3 + 64);
    assert_int_equal(h->log_entries, 5);
    assert_int_equal(h->mode, 0600);
    assert_string_equal(h->instance, "some.instance_1-x");
    assert_int_equal(stat("/proc/self/ns/pid", &ns), 0);
    assert_true(h->pid_namespace == ns.st_ino);
    assert_true(segment.writable);
    /* All else is zero: everything FREE, no lock, no number taken. */
    for (size_t at = offsetof(struct wm_segment_header, next_join);
         at < segment.geometry.size; at++) {
        assert_int_equal(((const char *)h)[at], 0);
    }
}

static void each_new_file_has_a_name_of_its_own(void **state)
{
    char name[WM_NAME_SIZE];

    (void)state;
    memcpy(name, leave_dead("a"), sizeof(name));
    assert_int_equal(create("a"), 0);
    assert_string_not_equal(segment.name, name);
    assert_int_equal(strlen(segment.name), strlen("wm.a.") + 16);
    assert_int_equal(strncmp(segment.name, "wm.a.", 5), 0);
    assert_int_equal(strspn(segment.name + 5, "0123456789abcdef"), 16);
    assert_int_equal(place_files(), 2);
}

static void a_bad_directory_is_told_and_nothing_made(void **state)
{
    static const struct wm_geometry g = {0};
    struct wm_segment s;

    (void)state;
    assert_int_equal(wm_segment_create(&s, place_path("none"), "a", g, 0600),
                     -ENOENT);
    assert_int_equal(mknod(place_path("file"), S_IFREG | 0600, 0), 0);
    assert_int_equal(wm_segment_create(&s, place_path("file"), "a", g, 0600),
                     -ENOTDIR);
    assert_int_equal(place_files(), 1);
}

static int has_no_descriptors(const void *unused)
{
    struct rlimit none;

    (void)unused;
    HOLDS(getrlimit(RLIMIT_NOFILE, &none) == 0);
    none.rlim_cur = 0;
    HOLDS(setrlimit(RLIMIT_NOFILE, &none) == 0);
    HOLDS(create("a") == -EMFILE);
    HOLDS(wm_segment_create_anonymous(&segment, "a", wm_geometry(1, 1)) ==
          -EMFILE);
    return 0;
}

static void without_descriptors_nothing_is_made(void **state)
{
    (void)state;
    assert_int_equal(place_run(has_no_descriptors, NULL), 0);
    assert_int_equal(place_files(), 0);
}

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

    if (fd >= 0) {
        close(fd);
    }
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* A tmpfs of our own over the directory: as any user where the kernel lets
 * users have namespaces, else as root. */
static int mount_here(const char *options, unsigned long flags)
{
    char map[64];
    const unsigned uid = getuid(), gid = getgid();

    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {
        snprintf(map, sizeof(map), "%u %u 1", uid, uid);
        write_text("/proc/self/setgroups", "deny");
        if (write_text("/proc/self/uid_map", map) != 0) {
            return -1;
        }
        snprintf(map, sizeof(map), "%u %u 1", gid, gid);
        write_text("/proc/self/gid_map", map);
    } else if (unshare(CLONE_NEWNS) != 0) {
        return -1;
    }
    return mount("", "/", "", MS_REC | MS_PRIVATE, NULL) != 0
               ? -1
               : mount("tmpfs", place_directory, "tmpfs", flags, options);
}

static int meets_a_full_directory(const void *unused)
{
    (void)unused;
    if (mount_here("size=64k", 0) != 0) {
        return PLACE_IMPOSSIBLE;
    }
    HOLDS(wm_segment_create(&segment, place_directory, "a",
                            wm_geometry(1024, 1024), 0600) == -ENOSPC);
    HOLDS(place_files() == 0);
    HOLDS(create("a") == 0); /* a small one has room */
    HOLDS(place_files() == 1);
    return 0;
}

static void a_full_directory_is_told_and_nothing_left(void **state)
{
    (void)state;
    place_judge(__func__, place_run(meets_a_full_directory, NULL),
                "no mount namespace for us here");
}

static int meets_a_read_only_directory(const void *unused)
{
    (void)unused;
    if (mount_here("size=64k", MS_RDONLY) != 0) {
        return PLACE_IMPOSSIBLE;
    }
    HOLDS(create("a") == -EROFS);
    return 0;
}

static void a_read_only_directory_is_told(void **state)
{
    (void)state;
    place_judge(__func__, place_run(meets_a_read_only_directory, NULL),
                "no mount namespace for us here");
}

static void anonymous_memory_has_no_file(void **state)
{
    (void)state;
    assert_int_equal(
        wm_segment_create_anonymous(&segment, "a", wm_geometry(3, 5)), 0);
    assert_string_equal(segment.name, "");
    assert_true(segment.writable);
    assert_true(segment.header->magic == WM_MAGIC);
    assert_string_equal(segment.header->instance, "a");
    assert_int_equal(place_files(), 0);
}

/* ----------------------------------------------------------------- opening */

typedef struct wm_segment_header header;

static void spoil_magic(header *h)
{
    h->magic ^= 1;
}

static void forget_magic(header *h)
{
    h->magic = 0;
}

static void raise_abi(header *h)
{
    h->abi++;
}

static void grow_header(header *h)
{
    h->header_size += 64;
}

static void need_a_feature(header *h)
{
    h->incompatible = UINT64_C(1) << 63;
}

static void have_a_feature(header *h)
{
    h->compatible = UINT64_C(1) << 63;
}

static void shorten_records(header *h)
{
    h->record_stride = 0;
}

static void break_lines(header *h)
{
    h->cold_stride += 8;
}

static void exceed_strides(header *h)
{
    h->generation_stride = UINT32_C(1) << 31;
}

static void shift_log(header *h)
{
    h->log_stride += 64; /* and then the size is another */
}

/* So that nothing but the number itself is wrong. */
static void fit_size(header *h)
{
    h->size = wm_geometry(h->capacity, h->log_entries).size;
}

static void drop_capacity(header *h)
{
    h->capacity = 0;
    fit_size(h);
}

static void exceed_capacity(header *h)
{
    h->capacity = 65536;
    fit_size(h);
}

static void raise_capacity(header *h)
{
    h->capacity++; /* and then the size is another */
}

static void drop_log(header *h)
{
    h->log_entries = 0;
    fit_size(h);
}

static void exceed_log(header *h)
{
    h->log_entries = 1048577;
    fit_size(h);
}

static void raise_size(header *h)
{
    h->size += 64;
}

static void move_namespace(header *h)
{
    h->pid_namespace++;
}

static void forget_namespace(header *h)
{
    h->pid_namespace = 0;
}

static void run_on_instance(header *h)
{
    memset(h->instance, 'a', sizeof(h->instance));
}

static void spoil_instance(header *h)
{
    h->instance[0] = '/';
}

static void what_the_header_says_is_checked(void **state)
{
    static const struct {
        const char *what;
        void (*change)(header *);
        int error;
    } table[] = {
        {"another magic", spoil_magic, -EBADMSG},
        {"no magic yet", forget_magic, -EBADMSG},
        {"another ABI", raise_abi, -EPROTO},
        {"a header size that fits not the size", grow_header, -EUCLEAN},
        {"a feature that must be known", need_a_feature, -EPROTO},
        {"a feature that need not be known", have_a_feature, 0},
        {"records of no size", shorten_records, -EUCLEAN},
        {"records in no whole lines", break_lines, -EUCLEAN},
        {"a stride beyond all sense", exceed_strides, -EUCLEAN},
        {"a stride that fits not the size", shift_log, -EUCLEAN},
        {"capacity 0", drop_capacity, -EUCLEAN},
        {"capacity 65536", exceed_capacity, -EUCLEAN},
        {"a capacity that fits not the size", raise_capacity, -EUCLEAN},
        {"no log", drop_log, -EUCLEAN},
        {"too long a log", exceed_log, -EUCLEAN},
        {"a size that fits not the geometry", raise_size, -EUCLEAN},
        {"another pid namespace", move_namespace, -EXDEV},
        {"an unknown pid namespace", forget_namespace, 0},
        {"an instance without end", run_on_instance, -EUCLEAN},
        {"an instance with a slash", spoil_instance, -EUCLEAN},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        int error;

        assert_int_equal(create("a"), 0);
        assert_int_equal(open_it(segment.name), 0);
        table[i].change(segment.header);
        error = open_it(segment.name);
        if (error != table[i].error) {
            fail_msg("%s: %d, not %d", table[i].what, error, table[i].error);
        }
        wm_segment_close(&segment);
    }
}

static void a_file_cut_short_is_damaged(void **state)
{
    const off_t whole = (off_t)wm_geometry(3, 5).size;
    const off_t sizes[] = {0, 1, 64, 511, 512, 767, 768, whole - 1};
    const char *name = leave_dead("a");

    (void)state;
    assert_int_equal(open_it(name), 0);
    for (size_t i = COUNT(sizes); i-- > 0;) {
        assert_int_equal(truncate(place_path(name), sizes[i]), 0);
        assert_int_equal(open_it(name), -ENODATA);
    }
}

static void what_is_no_plain_file_is_refused_at_once(void **state)
{
    static const char link[] = "wm.a.0000000000000001",
                      fifo[] = "wm.a.0000000000000002",
                      folder[] = "wm.a.0000000000000003";
    char target[400];

    (void)state;
    snprintf(target, sizeof(target), "%s", place_path(leave_dead("a")));
    assert_int_equal(symlink(target, place_path(link)), 0);
    assert_int_equal(mkfifo(place_path(fifo), 0600), 0);
    assert_int_equal(mkdir(place_path(folder), 0700), 0);
    assert_int_equal(open_it(link), -EBADMSG);
    assert_int_equal(open_it(fifo), -EBADMSG);
    assert_int_equal(open_it(folder), -EBADMSG);
}

static void names_that_are_none_are_refused(void **state)
{
    char path[400], long_name[300];
    struct wm_segment s;
    const char *name = leave_dead("a");

    (void)state;
    snprintf(path, sizeof(path), "../%s/%s", strrchr(place_directory, '/') + 1,
             name);
    assert_int_equal(open_it(path), -ENOENT);
    snprintf(path, sizeof(path), "./%s", name);
    assert_int_equal(open_it(path), -ENOENT);
    snprintf(path, sizeof(path), "wm./../%s", name);
    assert_int_equal(open_it(path), -ENOENT);
    assert_int_equal(open_it(name + 3), -ENOENT);
    assert_int_equal(open_it(""), -ENOENT);
    assert_int_equal(open_it("wm.a.0000000000000000"), -ENOENT);
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    memcpy(long_name, "wm.", 3);
    assert_int_equal(open_it(long_name), -ENOENT);
    assert_int_equal(wm_segment_open(&s, place_path("none"), name), -ENOENT);
    /* The prefix is asked for even where such a file is. */
    assert_int_equal(mknod(place_path("xy.a"), S_IFREG | 0600, 0), 0);
    assert_int_equal(open_it("xy.a"), -ENOENT);
}

static int is_refused_as_a_stranger(const void *name)
{
    HOLDS(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    HOLDS(open_it(name) == -EACCES); /* 0600, root's */
    return 0;
}

static int is_served_roots(const void *name)
{
    HOLDS(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    HOLDS(open_it(name) == 0);
    return 0;
}

static int is_refused_a_third_ones(const void *name)
{
    HOLDS(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    HOLDS(open_it(name) == -EPERM);
    return 0;
}

static void a_foreign_owners_segment_is_refused(void **state)
{
    const char *name;

    (void)state;
    if (getuid() != 0) {
        place_skip(__func__, "only root can be two users");
    }
    name = leave_dead("a");
    assert_int_equal(chmod(place_directory, 0755), 0);
    assert_int_equal(place_run(is_refused_as_a_stranger, name), 0);
    assert_int_equal(chmod(place_path(name), 0644), 0);
    assert_int_equal(place_run(is_served_roots, name), 0);
    assert_int_equal(chown(place_path(name), 4711, NOBODY), 0);
    assert_int_equal(place_run(is_refused_a_third_ones, name), 0);
    assert_int_equal(open_it(name), 0); /* root looks at everybody's */
}

static void what_more_may_write_than_when_it_was_made_is_refused(void **state)
{
    static const mode_t more[] = {0620, 0602, 0666, 0777},
                        less[] = {0600, 0644};
    const char *name = leave_dead("a");

    (void)state;
    for (size_t i = 0; i < COUNT(more); i++) {
        assert_int_equal(chmod(place_path(name), more[i]), 0);
        assert_int_equal(open_it(name), -ENOTSUP);
    }
    for (size_t i = 0; i < COUNT(less); i++) {
        assert_int_equal(chmod(place_path(name), less[i]), 0);
        assert_int_equal(open_it(name), 0);
    }
    assert_int_equal(wm_segment_create(&segment, place_directory, "a",
                                       wm_geometry(1, 1), 0620),
                     0);
    assert_int_equal(open_it(segment.name), 0); /* it was asked for */
    assert_int_equal(chmod(place_path(segment.name), 0622), 0);
    assert_int_equal(open_it(segment.name), -ENOTSUP);
}

static void an_opened_segment_cannot_be_written(void **state)
{
    struct wm_segment s;
    char *at;
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(wm_segment_open(&s, place_directory, leave_dead("a")), 0);
    assert_false(s.writable);
    assert_int_equal(s.fd, -1);
    assert_int_equal(s.geometry.capacity, 3);
    assert_int_equal(s.geometry.log_entries, 5);
    at = (char *)s.header;
    pid = fork();
    if (pid == 0) {
        const struct rlimit none = {0, 0};

        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL);
        *(volatile char *)at = 1;
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    wm_segment_close(&s);
}

static void instance_names_are_plain(void **state)
{
    static const char sixty_three[] = "0123456789012345678901234567890123456789"
                                      "01234567890123456789012";
    static const char sixty_four[] = "0123456789012345678901234567890123456789"
                                     "012345678901234567890123";
    static const char *const good[] = {
        "a", "Z", "9", "_", "-", "a.b", "nginx-http_1.2", "a..", sixty_three};
    static const char *const bad[] = {"",   ".",   "..",  ".a",      "a/b",
                                      "/",  "a b", "a\n", "a\x7f",   "\xc3\xa4",
                                      "a%", "a:b", "a~",  sixty_four};

    (void)state;
    assert_int_equal(strlen(sixty_three), 63);
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(wm_instance_valid(good[i]));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(wm_instance_valid(bad[i]));
    }
    assert_false(wm_instance_valid(NULL));
}

static void count_name(const char *name, void *argument)
{
    assert_int_equal(strncmp(name, "wm.a.", 5), 0);
    ++*(int *)argument;
}

static void only_whole_names_are_an_instances(void **state)
{
    static const char *const others[] = {
        "wm.a.000000000000000",   /* 15 digits */
        "wm.a.00000000000000000", /* 17 */
        "wm.a.000000000000000G",
        "wm.a.000000000000000A",
        "wm.a.b.0000000000000000",
        "wm.aa.0000000000000000",
        "wm.a.0000000000000000.0000000000000000",
        "xwm.a.0000000000000000",
        "wm.a.",
        "wm.a",
        "a.0000000000000000"};
    int n = 0;

    (void)state;
    leave_dead("a");
    leave_dead("a");
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_int_equal(mknod(place_path(others[i]), S_IFREG | 0600, 0), 0);
    }
    wm_segment_list(place_directory, "a", count_name, &n);
    assert_int_equal(n, 2);
    wm_segment_list(place_path("none"), "a", count_name, &n);
    assert_int_equal(n, 2);
}

/* --------------------------------------------------------- who takes part */

static int use(const char *name)
{
    return wm_segment_use(place_directory, name);
}

static void a_participant_keeps_it_live_until_it_closes(void **state)
{
    char name[WM_NAME_SIZE];

    (void)state;
    assert_int_equal(create("a"), 0);
    memcpy(name, segment.name, sizeof(name));
    assert_int_equal(use(name), 1);
    assert_int_equal(use(name), 1); /* asking takes nothing */
    wm_segment_close(&segment);
    assert_int_equal(use(name), 0);
    assert_int_equal(use("wm.a.0000000000000000"), -ENOENT);
}

static void a_reader_does_not_take_part(void **state)
{
    struct wm_segment s;
    const char *name = leave_dead("a");

    (void)state;
    assert_int_equal(wm_segment_open(&s, place_directory, name), 0);
    assert_int_equal(use(name), 0);
    wm_segment_close(&s);
}

/* A child that has closed every descriptor, and waits for its death. */
static pid_t fork_bare_participant(void)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
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

static void the_mapping_of_a_forked_child_keeps_it_live(void **state)
{
    char name[WM_NAME_SIZE];
    siginfo_t info;
    pid_t pid;

    (void)state;
    assert_int_equal(create("a"), 0);
    memcpy(name, segment.name, sizeof(name));
    pid = fork_bare_participant();
    wm_segment_close(&segment);
    assert_int_equal(use(name), 1);
    kill(pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(use(name), 0); /* a zombie's share is gone */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(use(name), 0);
}

struct verdict {
    bool unlink;
    int asked;
    int error;
    uint32_t capacity;
};

static bool judge(const struct wm_segment *s, int error, void *argument)
{
    struct verdict *v = argument;

    v->asked++;
    v->error = error;
    v->capacity = s == NULL ? 0 : s->geometry.capacity;
    return v->unlink;
}

static void what_is_in_use_is_never_unlinked(void **state)
{
    struct verdict v = {.unlink = true};

    (void)state;
    assert_int_equal(create("a"), 0);
    assert_int_equal(
        wm_segment_unlink(place_directory, segment.name, judge, &v), -EBUSY);
    assert_int_equal(v.asked, 0);
    assert_int_equal(place_files(), 1);
}

static void what_nobody_uses_is_unlinked_if_the_judge_says_so(void **state)
{
    struct verdict v = {.unlink = false};
    const char *name = leave_dead("a");

    (void)state;
    assert_int_equal(wm_segment_unlink(place_directory, name, judge, &v), 0);
    assert_int_equal(v.asked, 1);
    assert_int_equal(v.error, 0);
    assert_int_equal(v.capacity, 3);
    assert_int_equal(place_files(), 1);
    assert_int_equal(use(name), 0); /* its lock was given back */
    v.unlink = true;
    assert_int_equal(wm_segment_unlink(place_directory, name, judge, &v), 0);
    assert_int_equal(place_files(), 0);
    assert_int_equal(wm_segment_unlink(place_directory, name, judge, &v),
                     -ENOENT);
}

static void a_damaged_one_is_judged_without_a_mapping(void **state)
{
    struct verdict v = {.unlink = true};
    const char *name = leave_dead("a");

    (void)state;
    assert_int_equal(truncate(place_path(name), 7), 0);
    assert_int_equal(wm_segment_unlink(place_directory, name, judge, &v), 0);
    assert_int_equal(v.error, -ENODATA);
    assert_int_equal(v.capacity, 0);
    assert_int_equal(place_files(), 0);
}

/* Whoever could plant a file would speak for us. */
static void another_users_is_not_ours_to_judge_even_for_root(void **state)
{
    struct verdict v = {.unlink = false};
    const char *name = leave_dead("a");

    (void)state;
    if (getuid() != 0) {
        place_skip(__func__, "only root can be two users");
    }
    assert_int_equal(chown(place_path(name), NOBODY, NOBODY), 0);
    assert_int_equal(wm_segment_unlink(place_directory, name, judge, &v), 0);
    assert_int_equal(v.error, -EPERM);
    assert_int_equal(v.capacity, 0);
}

static bool judge_tries_to_join(const struct wm_segment *s, int error,
                                void *argument)
{
    (void)s;
    (void)error;
    *(int *)argument = wm_segment_use(place_directory, segment.name);
    return true;
}

static void unlinking_holds_the_exclusive_lock(void **state)
{
    int seen = -1;
    const char *name = leave_dead("a");

    (void)state;
    memcpy(segment.name, name, sizeof(segment.name));
    assert_int_equal(
        wm_segment_unlink(place_directory, name, judge_tries_to_join, &seen),
        0);
    assert_int_equal(seen, 1); /* refused while we hold it */
    assert_int_equal(place_files(), 0);
}

/* One that holds the lock while it asks who takes part, or -1: it lets go when
 * somebody waits for it. */
static int asker = -1;
static int waits; /* how often somebody waited */

int nanosleep(const struct timespec *time, struct timespec *left)
{
    (void)time;
    (void)left;
    waits++;
    if (asker >= 0) {
        close(asker);
        asker = -1;
    }
    return 0;
}

static void have_one_ask(const char *name)
{
    asker = open(place_path(name), O_RDONLY | O_CLOEXEC);
    assert_true(asker >= 0);
    assert_int_equal(flock(asker, LOCK_EX | LOCK_NB), 0);
}

static void who_just_asks_is_not_taken_for_a_participant(void **state)
{
    struct verdict v = {.unlink = true};
    const char *name = leave_dead("a");

    (void)state;
    have_one_ask(name);
    assert_int_equal(use(name), 0);
    have_one_ask(name);
    assert_int_equal(wm_segment_unlink(place_directory, name, judge, &v), 0);
    assert_int_equal(place_files(), 0);
}

static void nobody_waits_for_a_participant(void **state)
{
    struct verdict v = {.unlink = true};

    (void)state;
    assert_int_equal(create("a"), 0);
    waits = 0;
    assert_int_equal(use(segment.name), 1);
    assert_int_equal(
        wm_segment_unlink(place_directory, segment.name, judge, &v), -EBUSY);
    assert_int_equal(waits, 0);
}

/* -------------------------------------------------------- a later binary */

/* The part of the program that was exec'd: adopts, and leaves a trace. */
static int adopt(const char *instance, const char *expected)
{
    struct wm_segment s;
    const int error = wm_segment_adopt(&s, instance);

    HOLDS(error == strtol(expected, NULL, 10));
    if (error == 0) {
        HOLDS(s.writable);
        HOLDS(s.fd >= 0 && (fcntl(s.fd, F_GETFD) & FD_CLOEXEC) != 0);
        HOLDS((fcntl(s.fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
        HOLDS(strcmp(s.header->instance, instance) == 0);
        s.header->next_sweep = 4711;
        if (s.name[0] != '\0') {
            HOLDS(strncmp(s.name, "wm.", 3) == 0);
            HOLDS(strchr(s.name, ' ') == NULL);
        }
    }
    return 0;
}

/* Execs this binary as adopter, with the descriptor inherited or not. */
static int exec_adopter(const char *instance, int expected, bool inherited)
{
    char number[16];
    int status = -1;
    pid_t pid;

    snprintf(number, sizeof(number), "%d", expected);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fcntl(segment.fd, F_SETFD, inherited ? 0 : FD_CLOEXEC);
        execl(place_program(), "test-segment", "adopt", instance, number,
              (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -status;
}

static void an_inherited_descriptor_is_adopted(void **state)
{
    (void)state;
    assert_int_equal(create("a"), 0);
    assert_int_equal(exec_adopter("a", 0, true), 0);
    assert_int_equal(segment.header->next_sweep, 4711);
}

static void an_unlinked_one_is_adopted_as_well(void **state)
{
    (void)state;
    assert_int_equal(create("a"), 0);
    assert_int_equal(unlink(place_path(segment.name)), 0);
    assert_int_equal(exec_adopter("a", 0, true), 0);
    assert_int_equal(segment.header->next_sweep, 4711);
}

static void anonymous_memory_is_adopted_as_well(void **state)
{
    (void)state;
    assert_int_equal(
        wm_segment_create_anonymous(&segment, "a", wm_geometry(3, 5)), 0);
    assert_int_equal(exec_adopter("a", 0, true), 0);
    assert_int_equal(segment.header->next_sweep, 4711);
}

static void another_instances_descriptor_is_not_adopted(void **state)
{
    static const char *const others[] = {"b", "aa", "a.b"};

    (void)state;
    assert_int_equal(create("a"), 0);
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_int_equal(exec_adopter(others[i], -ENOENT, true), 0);
    }
    wm_segment_close(&segment);
    assert_int_equal(
        wm_segment_create_anonymous(&segment, "a", wm_geometry(3, 5)), 0);
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_int_equal(exec_adopter(others[i], -ENOENT, true), 0);
    }
    assert_int_equal(segment.header->next_sweep, 0);
}

static void a_name_that_belies_the_header_is_not_adopted(void **state)
{
    (void)state;
    assert_int_equal(create("a"), 0);
    memcpy(segment.header->instance, "b", 2);
    assert_int_equal(exec_adopter("a", -ENOENT, true), 0);
    assert_int_equal(segment.header->next_sweep, 0);
}

static void a_descriptor_that_is_kept_private_does_not_pass_exec(void **state)
{
    (void)state;
    assert_int_equal(create("a"), 0);
    assert_int_equal(fcntl(segment.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(exec_adopter("a", -ENOENT, false), 0);
    fcntl(segment.fd, F_SETFD, 0);
    wm_segment_keep_private(&segment);
    assert_int_equal(fcntl(segment.fd, F_GETFD), FD_CLOEXEC);
}

static void a_process_does_not_adopt_what_it_opened_itself(void **state)
{
    struct wm_segment s;

    (void)state;
    assert_int_equal(create("a"), 0);
    assert_int_equal(wm_segment_adopt(&s, "a"), -ENOENT);
}

static void another_abi_is_told_and_nothing_changed(void **state)
{
    static char before[512];

    (void)state;
    assert_int_equal(create("a"), 0);
    segment.header->abi++;
    memcpy(before, segment.header, sizeof(before));
    assert_int_equal(exec_adopter("a", -EPROTO, true), 0);
    assert_memory_equal(before, segment.header, sizeof(before));
    assert_int_equal(place_files(), 1);
}

static void the_kept_descriptor_cannot_write_and_holds_a_share(void **state)
{
    const int protection = PROT_READ | PROT_WRITE;

    (void)state;
    assert_int_equal(create("a"), 0);
    assert_int_equal(fcntl(segment.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_ptr_equal(mmap(NULL, 512, protection, MAP_SHARED, segment.fd, 0),
                     MAP_FAILED);
    munmap(segment.header, segment.geometry.size);
    segment.header = NULL;
    assert_int_equal(use(segment.name), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_file_has_the_mode_that_was_asked_for),
        TEST(a_new_files_space_is_reserved),
        TEST(a_new_header_says_what_was_asked_for),
        TEST(each_new_file_has_a_name_of_its_own),
        TEST(a_bad_directory_is_told_and_nothing_made),
        TEST(without_descriptors_nothing_is_made),
        TEST(a_full_directory_is_told_and_nothing_left),
        TEST(a_read_only_directory_is_told),
        TEST(anonymous_memory_has_no_file),
        TEST(what_the_header_says_is_checked),
        TEST(a_file_cut_short_is_damaged),
        TEST(what_is_no_plain_file_is_refused_at_once),
        TEST(names_that_are_none_are_refused),
        TEST(a_foreign_owners_segment_is_refused),
        TEST(what_more_may_write_than_when_it_was_made_is_refused),
        TEST(an_opened_segment_cannot_be_written),
        TEST(instance_names_are_plain),
        TEST(only_whole_names_are_an_instances),
        TEST(a_participant_keeps_it_live_until_it_closes),
        TEST(a_reader_does_not_take_part),
        TEST(the_mapping_of_a_forked_child_keeps_it_live),
        TEST(what_is_in_use_is_never_unlinked),
        TEST(what_nobody_uses_is_unlinked_if_the_judge_says_so),
        TEST(a_damaged_one_is_judged_without_a_mapping),
        TEST(another_users_is_not_ours_to_judge_even_for_root),
        TEST(unlinking_holds_the_exclusive_lock),
        TEST(who_just_asks_is_not_taken_for_a_participant),
        TEST(nobody_waits_for_a_participant),
        TEST(an_inherited_descriptor_is_adopted),
        TEST(an_unlinked_one_is_adopted_as_well),
        TEST(anonymous_memory_is_adopted_as_well),
        TEST(another_instances_descriptor_is_not_adopted),
        TEST(a_name_that_belies_the_header_is_not_adopted),
        TEST(a_descriptor_that_is_kept_private_does_not_pass_exec),
        TEST(a_process_does_not_adopt_what_it_opened_itself),
        TEST(another_abi_is_told_and_nothing_changed),
        TEST(the_kept_descriptor_cannot_write_and_holds_a_share),
    };

    if (argc == 4 && strcmp(argv[1], "adopt") == 0) {
        return adopt(argv[2], argv[3]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
