/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The end of a handle, the one act that needs all the rest: a record and a lock
 * that the process still has are given back first.
 *
 * Unlinking is not a matter of which process is the master: each that gives up
 * its last share tries, and succeeds only if nobody else takes part and there
 * is nothing to tell to a later life. */

#include "node.h"
#include "postmortem.h"
#include "share.h"

#include <time.h>

/* A process that only checks whether the segment is in use may hold a share for
 * a moment, and cannot be told from a participant then. So a refusal is worth
 * another try, for a process that is likely to be the last: a worker is not,
 * as its master outlives it. */
static void try_unlink(const struct wm_node *n)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    int attempts = n->joined ? 1 : 3;

    while (wm_segment_unlink(n->directory, n->segment.name,
                             wm_postmortem_is_clean, NULL) == -EBUSY &&
           --attempts > 0) {
        nanosleep(&pause, NULL);
    }
}

int wm_node_release(struct wm_node *node)
{
    WM_REQUIRE(node);
    if (!wm_node_give_reference(node)) {
        return 0;
    }
    if (wm_worker_record(&node->worker) != NULL) {
        wm_worker_leave(&node->worker);
    }
    if (wm_node_held(node) != 0) {
        wm_lock_release(node);
    }
    if (wm_node_writable(node) && node->segment.name[0] != '\0') {
        wm_segment_close(&node->segment);
        try_unlink(node);
    }
    wm_node_discard(node);
    return 0;
}
