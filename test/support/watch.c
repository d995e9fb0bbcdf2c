/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The subscriber checks every view and that none was left out, and rings; a
 * test that waits looks at the latest view whenever it rang. */

#include "watch.h"

#include "processes.h"

#include <dirent.h>

#define PATIENCE_S 60

int watch_check(const struct wm_view *v)
{
    int wrong = v->live != (v->error == 0) || v->number == 0 ||
                v->leader->mine != 0 ||
                memchr(v->name, '\0', sizeof(v->name)) == NULL;

    for (uint32_t i = 0; i < v->worker_count; i++) {
        wrong += v->workers[i].pid <= 0 || v->workers[i].state == WM_FREE ||
                 (i > 0 && v->workers[i].slot <= v->workers[i - 1].slot);
    }
    for (uint32_t i = 1; i < v->generation_count; i++) {
        wrong += v->generations[i].id <= v->generations[i - 1].id;
    }
    return wrong;
}

static void ring(const struct wm_view *before, const struct wm_view *now,
                 void *argument)
{
    struct watch *w = argument;

    pthread_mutex_lock(&w->mutex);
    w->wrong += watch_check(before) + watch_check(now) +
                (now->number != before->number + 1) +
                (w->last != 0 && before->number != w->last);
    w->last = now->number;
    pthread_cond_broadcast(&w->told);
    pthread_mutex_unlock(&w->mutex);
}

void watch_begin(struct watch *w, const char *instance, const char *directory,
                 uint32_t check_ms)
{
    const struct wm_monitor_options options = {.size = sizeof(options),
                                               .check_ms = check_ms};

    memset(w, 0, sizeof(*w));
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->told, NULL);
    assert_int_equal(
        wm_monitor_create(instance, directory, &options, &w->monitor), 0);
    assert_int_equal(
        wm_monitor_subscribe(w->monitor, ring, w, &w->subscription), 0);
}

void watch_node(struct watch *w)
{
    watch_begin(w, test_instance, NULL, WATCH_NEVER);
}

void watch_end(struct watch *w)
{
    assert_int_equal(wm_monitor_unsubscribe(w->subscription), 0);
    assert_int_equal(wm_monitor_destroy(w->monitor), 0);
    assert_int_equal(w->wrong, 0);
    pthread_cond_destroy(&w->told);
    pthread_mutex_destroy(&w->mutex);
}

void watch_come_last(struct watch *w)
{
    assert_int_equal(wm_monitor_unsubscribe(w->subscription), 0);
    w->last = 0; /* there may be a gap */
    assert_int_equal(
        wm_monitor_subscribe(w->monitor, ring, w, &w->subscription), 0);
}

static void await_view(struct watch *w, bool (*holds)(struct watch *, void *),
                       void *argument)
{
    struct timespec until;
    int error = 0;
    bool held;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&w->mutex);
    while (!(held = holds(w, argument)) && error == 0) {
        error = pthread_cond_timedwait(&w->told, &w->mutex, &until);
    }
    pthread_mutex_unlock(&w->mutex);
    if (!held) {
        const struct wm_view *v = wm_monitor_view_begin(w->monitor);

        print_message("# view %lu of \"%s\": error %d, epoch %u, %u workers\n",
                      (unsigned long)v->number, v->name, v->error, v->epoch,
                      v->worker_count);
        wm_monitor_view_end(v);
        fail_msg("timed out waiting for a view");
    }
}

static bool is_told(struct watch *w, void *number)
{
    return w->last >= *(uint64_t *)number;
}

void watch_await_told(struct watch *w, uint64_t number)
{
    await_view(w, is_told, &number);
}

struct condition {
    watch_holds *holds;
    long argument;
};

static bool is_seen(struct watch *w, void *argument)
{
    const struct condition *c = argument;
    const struct wm_view *v = wm_monitor_view_begin(w->monitor);
    bool result = c->holds(v, c->argument);

    wm_monitor_view_end(v);
    return result;
}

void watch_await(struct watch *w, watch_holds *holds, long argument)
{
    struct condition c = {holds, argument};

    await_view(w, is_seen, &c);
}

bool watch_live(const struct wm_view *view, long live)
{
    return (long)view->live == live;
}

bool watch_error(const struct wm_view *view, long error)
{
    return view->error == error;
}

bool watch_workers(const struct wm_view *view, long count)
{
    return (long)view->worker_count == count;
}

bool watch_leader(const struct wm_view *view, long pid)
{
    return view->leader->pid == pid;
}

uint64_t watch_number(const struct watch *w)
{
    const struct wm_view *v = wm_monitor_view_begin(w->monitor);
    uint64_t number = v->number;

    wm_monitor_view_end(v);
    return number;
}

/* The text between the parentheses, and the state after them. */
static bool read_stat(pid_t thread, char name[32], char *state)
{
    char path[64];
    FILE *f;
    bool found;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)thread);
    f = fopen(path, "re");
    if (f == NULL) {
        return false;
    }
    found = fscanf(f, "%*d (%31[^)]) %c", name, state) == 2;
    fclose(f);
    return found;
}

static pid_t find_thread(const char *name)
{
    const struct dirent *entry;
    DIR *dir = opendir("/proc/self/task");
    pid_t found = 0;

    while (dir != NULL && found == 0 && (entry = readdir(dir)) != NULL) {
        pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
        char its[32] = "", state;

        if (read_stat(thread, its, &state) && strcmp(its, name) == 0) {
            found = thread;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return found;
}

static bool is_there(void *thread)
{
    return (*(pid_t *)thread = find_thread("wm-monitor")) != 0;
}

pid_t watch_thread(void)
{
    pid_t thread;

    await(is_there, &thread, "the monitor's thread");
    return thread;
}

/* Sleep may be that on a lock on the way: only several looks in a row count. */
struct sleeper {
    pid_t thread;
    int looks;
};

static bool has_slept(void *argument)
{
    struct sleeper *s = argument;
    char name[32], state;

    s->looks++;
    if (read_stat(s->thread, name, &state) && state != 'S') {
        s->looks = 0;
    }
    return s->looks == 5;
}

void watch_await_asleep(pid_t thread)
{
    struct sleeper s = {thread, 0};

    await(has_slept, &s, "a thread to sleep");
}
