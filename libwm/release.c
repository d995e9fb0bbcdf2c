/* SPDX-License-Identifier: Apache-2.0 */

/* The end of a handle, the one act that needs all other parts: the process
 * first gives back a record and a lock that it still has.
 *
 * It does not matter which process is the master: each process that gives up
 * its last share tries to unlink the file, and succeeds only if nobody else
 * takes part and there is nothing to tell to a later life. */

#include "fatal.h"
#include "node.h"
#include "postmortem.h"
#include "share.h"

#include <time.h>

/* A process that only checks whether the segment is in use may hold a share for
 * a moment, and then looks like a participant. So after a refusal a process
 * tries again if it is likely to be the last one. A worker is not, since its
 * master outlives it. */
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
    int references = wm_node_references(node);

    if (references < 0) {
        return references;
    }
    if (references == 1) {
        if (wm_worker_record(&node->worker) != NULL) {
            wm_worker_leave(&node->worker);
        }
        if (wm_node_held(node) != 0) {
            wm_lock_release(node);
        }
        /* In a forked child no leave has done so. */
        wm_fatal_forget(&node->worker);
    }
    if (!wm_node_give_reference(node)) {
        return 0;
    }
    if (wm_node_writable(node) && node->segment.name[0] != '\0') {
        try_unlink(node);
    }
    wm_node_discard(node);
    return 0;
}
