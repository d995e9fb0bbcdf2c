/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The version, a sentence for each result, the message for a NULL handle. */

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
        return "table full of living workers: raise the capacity at the "
               "next start";
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
        return "held by another process; the next turn is this one's";
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

#ifndef NDEBUG
void wm_no_handle(const char *function)
{
    fprintf(stderr, "libwm: %s: the handle is NULL\n", function);
    abort();
}
#endif
