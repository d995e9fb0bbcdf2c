/* SPDX-License-Identifier: Apache-2.0 */

/* The version, a sentence for each result, a name for each enumerator, the
 * message for a NULL handle. The names are promised: wmctl --json prints them,
 * and scripts compare them. */

#include "sized.h"
#include "wm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

uint32_t wm_version(void)
{
    return WM_VERSION_MAJOR << 16 | WM_VERSION_MINOR;
}

static const char *condition(int error)
{
    switch (error) {
    case 0:
        return "success";
    case WM_RECOVERED:
        return "recovered from a dead holder or a stall";
    case WM_IS_WORKER:
        return "this process is a worker already: nothing was done";
    case WM_CLOSED:
        return "closed by this call";
    case WM_UNSETTLED:
        return "kept changing while it was read";
    default:
        return "unknown condition";
    }
}

const char *wm_strerror(int error)
{
    switch (error) {
    case -EINVAL:
        return "invalid argument: check sizes, names and limits in wm.h";
    case -E2BIG:
        return "a struct sets fields that this library does not know: it is "
               "older than the header";
    case -ENOENT:
        return "no such segment, no such directory, or no such generation";
    case -ENOSPC:
        return "no room: free space in the directory of shared memory, "
               "or use a larger buffer";
    case -EROFS:
        return "read-only: the handle or the directory cannot be written";
    case -EACCES:
        return "permission denied: check owner and mode of the segment "
               "and its directory";
    case -EPERM:
        return "not permitted: another user's segment, another master's "
               "generation, or a lock that is not held";
    case -EBADMSG:
        return "no segment of libwm, or one that is just being made: "
               "remove the file if no server uses it";
    case -ENODATA:
        return "damaged segment, cut short: remove the file if no server "
               "uses it";
    case -EUCLEAN:
        return "damaged segment, its header contradicts itself or was written "
               "over: restart the server, or remove the file if none uses it";
    case -ENOTSUP:
        return "more users may write to the segment than when it was made: "
               "set its mode back";
    case -EPROTO:
        return "segment of another ABI of libwm: restart the server";
    case -EXDEV:
        return "segment of another pid namespace: its pids mean nothing "
               "here";
    case -ENOBUFS:
        return "table full of living workers, or of crashes nobody has taken: "
               "raise the capacity at the next start";
    case -EALREADY:
        return "this process is a worker of the node already";
    case -ESTALE:
        return "not this worker's any more";
    case -ECHILD:
        return "a handle that the parent used before fork, or a worker "
               "that has left";
    case -ESRCH:
        return "nobody takes part in the segment any more";
    case -EAGAIN:
        return "no thread to be had: raise the limit";
    case -EBUSY:
        return "held by another process";
    case -EINPROGRESS:
        return "held by another process; this one has to try again soon";
    case -EDEADLK:
        return "would wait for itself: this process holds the lock, or is "
               "in a view or a subscriber";
    case -ETIMEDOUT:
        return "gave up waiting: the time limit was reached";
    case -EINTR:
        return "interrupted by a signal";
    case -ENOMEM:
        return "out of memory";
    case -EMFILE:
    case -ENFILE:
        return "too many open files: raise the limit";
    case -ENOTDIR:
        return "not a directory: check the option for it";
    case -ELOOP:
    case -ENAMETOOLONG:
        return "no usable path to the directory of segments";
    case -EIO:
        return "no random numbers, or an input/output error";
    default:
        return error >= 0 ? condition(error) : "system error";
    }
}

static const char *const states[] = {
    [WM_FREE] = "free",       [WM_CLAIMED] = "claimed",
    [WM_JOINING] = "joining", [WM_LIVE] = "live",
    [WM_STALLED] = "stalled", [WM_DRAINING] = "draining",
    [WM_CRASHED] = "crashed", [WM_CRASHED_DRAINING] = "crashed-draining",
};

static const char *const generation_states[] = {
    [WM_GENERATION_NONE] = "none",     [WM_GENERATION_CLAIMED] = "claimed",
    [WM_GENERATION_BEGUN] = "begun",   [WM_GENERATION_ACTIVE] = "active",
    [WM_GENERATION_EXITED] = "exited", [WM_GENERATION_ABORTED] = "aborted",
    [WM_GENERATION_GONE] = "gone",
};

static const char *const roles[] = {
    [WM_ROLE_WORKER] = "worker",
    [WM_ROLE_HELPER] = "helper",
};

static const char *const reasons[] = {
    [WM_REASON_NONE] = "none",       [WM_REASON_START] = "start",
    [WM_REASON_RELOAD] = "reload",   [WM_REASON_UPGRADE] = "upgrade",
    [WM_REASON_RESPAWN] = "respawn", [WM_REASON_ROLLBACK] = "rollback",
    [WM_REASON_STOP] = "stop",       [WM_REASON_CRASH] = "crash",
    [WM_REASON_RETIRE] = "retire",
};

static const char *const events[] = {
    [WM_EVENT_MASTER_EXIT] = "master-exit",
    [WM_EVENT_CRASHED] = "crashed",
    [WM_EVENT_STALLED] = "stalled",
    [WM_EVENT_WORKER_START] = "worker-start",
    [WM_EVENT_RECOVERED] = "recovered",
    [WM_EVENT_WORKER_EXIT] = "worker-exit",
    [WM_EVENT_DRAINED] = "drained",
    [WM_EVENT_CRASHED_DRAINING] = "crashed-draining",
};

static const char *const causes[] = {
    [WM_CAUSE_NONE] = "none",     [WM_CAUSE_UNKNOWN] = "unknown",
    [WM_CAUSE_EXIT] = "exit",     [WM_CAUSE_SIGNAL] = "signal",
    [WM_CAUSE_KILLED] = "killed",
};

static const char *const witnesses[] = {
    [WM_WITNESS_NONE] = "none",
    [WM_WITNESS_SELF] = "self",
    [WM_WITNESS_PARENT] = "parent",
};

static const char *const log_kinds[] = {
    [WM_LOG_GENERATION_BEGUN] = "generation-begun",
    [WM_LOG_GENERATION_ACTIVE] = "generation-active",
    [WM_LOG_GENERATION_ABORTED] = "generation-aborted",
    [WM_LOG_GENERATION_EXITED] = "generation-exited",
    [WM_LOG_WORKER_JOINED] = "worker-joined",
    [WM_LOG_WORKER_LIVE] = "worker-live",
    [WM_LOG_WORKER_STALLED] = "worker-stalled",
    [WM_LOG_WORKER_RECOVERED] = "worker-recovered",
    [WM_LOG_WORKER_DRAINING] = "worker-draining",
    [WM_LOG_WORKER_LEFT] = "worker-left",
    [WM_LOG_WORKER_CRASHED] = "worker-crashed",
    [WM_LOG_LEADER] = "leader",
    [WM_LOG_LEADER_LOST] = "leader-lost",
    [WM_LOG_LOCK_RECOVERED] = "lock-recovered",
    [WM_LOG_WORKER_FORGOTTEN] = "worker-forgotten",
    [WM_LOG_WORKER_DRAIN_CRASH] = "worker-drain-crash",
    [WM_LOG_GENERATION_GONE] = "generation-gone",
    [WM_LOG_WORKER_END] = "worker-end",
};

/* The purposes follow on this number; those below are a program's own. */
#define PURPOSES (WM_PURPOSE_MASTER_START - 1)

static const char *const purposes[] = {
    [WM_PURPOSE_MASTER_START - PURPOSES] = "master-start",
    [WM_PURPOSE_WORKER_START - PURPOSES] = "worker-start",
    [WM_PURPOSE_WORKER_EXIT - PURPOSES] = "worker-exit",
    [WM_PURPOSE_EVENTS - PURPOSES] = "events",
    [WM_PURPOSE_OWN_EVENTS - PURPOSES] = "own-events",
};

/* A segment may hold any number: a newer library's, or a broken process's. An
 * enum that begins with 1 has no name for 0. */
static const char *name_of(const char *const *names, size_t count, uint32_t n)
{
    return n < count && names[n] != NULL ? names[n] : "?";
}

#define NAME_OF(names, n) name_of(names, sizeof(names) / sizeof((names)[0]), n)

const char *wm_state_name(uint32_t state)
{
    return NAME_OF(states, state);
}

const char *wm_generation_state_name(uint32_t state)
{
    return NAME_OF(generation_states, state);
}

const char *wm_role_name(uint32_t role)
{
    return NAME_OF(roles, role);
}

const char *wm_reason_name(uint32_t reason)
{
    return NAME_OF(reasons, reason);
}

const char *wm_event_name(uint32_t kind)
{
    return NAME_OF(events, kind);
}

const char *wm_cause_name(uint32_t cause)
{
    return NAME_OF(causes, cause);
}

const char *wm_witness_name(uint32_t witness)
{
    return NAME_OF(witnesses, witness);
}

const char *wm_log_name(uint32_t kind)
{
    return NAME_OF(log_kinds, kind);
}

const char *wm_purpose_name(uint32_t purpose)
{
    return NAME_OF(purposes, purpose - PURPOSES);
}

#ifndef NDEBUG
void wm_no_handle(const char *function)
{
    fprintf(stderr, "libwm: %s: the handle is NULL\n", function);
    abort();
}
#endif
