/* SPDX-License-Identifier: Apache-2.0 */

/* The lock's holder: who it is and whether it lives, by the word; and its
 * description, since when it has the lock and for what, for processes that
 * look. The lock does not depend on the description. */

#include "holder.h"

#include "process.h"

#define LOOKS 8 /* at a holder, while the lock keeps passing on */

/* A process with the holder's pid that began at another time is another one.
 * If one of the two times is not known, the process counts as the holder. */
bool wm_holder_is_dead(uint64_t word)
{
    uint32_t pid = wm_lock_pid_of(word);
    uint64_t start = wm_lock_start(word), seen;

    if (wm_process_dead(wm_ident(pid, 0), 0, WM_PROOF_QUICK)) {
        return true;
    }
    seen = wm_lock_start_of(wm_ident_start(wm_process_ident(pid)));
    /* Safeguard: holder_is_known_by_its_start */
    return seen != 0 && start != 0 && seen != start;
}

/* A worker that has released the lock by the time of the answer has beaten
 * before that. */
uint32_t wm_holder_pid(const struct wm_node *node)
{
    return wm_lock_pid_of(lock_word_acquire(&node->segment.header->lock));
}

/* Describes the holder and its purpose, for processes that look. The lock is
 * held already: a holder that dies before this has no description [K]. */
void wm_holder_sign(struct wm_node *node, uint64_t word, uint32_t purpose)
{
    uint64_t generation = wm_worker_record(&node->worker) != NULL
                              ? node->worker.generation
                              : node->begun;

    lock_describe_holder(&node->segment.header->lock, wm_now(), generation,
                         purpose, wm_lock_sequence(word));
    wm_node_set_held(node, word);
}

/* The facts that the word tells by itself. */
static void inspect_word(const struct wm_node *node, uint64_t word,
                         struct wm_lock_holder *holder)
{
    *holder = (struct wm_lock_holder){
        .pid = (int32_t)wm_lock_pid_of(word),
        .sequence = wm_lock_sequence(word),
        .own = word != 0 && word == wm_node_held(node),
    };
}

/* Adds the holder's description, if there is one. Returns false, and adds
 * nothing, if the description may be the next holder's. */
static bool inspect_said(const struct wm_lock_area *lock, uint64_t word,
                         struct wm_lock_holder *holder)
{
    struct wm_lock_holder said = *holder;
    uint64_t now, since;

    if (said.pid == 0 || lock_holder_sequence_acquire(lock) != said.sequence) {
        return true;
    }
    now = wm_now();
    since = lock_holder_since_acquire(lock);
    said.purpose = lock_holder_purpose_acquire(lock);
    said.generation = lock_holder_generation_acquire(lock);
    said.held_ms = now > since ? now - since : 0;
    /* Safeguard: holder_is_the_same_after_the_look */
    if (lock_word_acquire(lock) != word) {
        return false;
    }
    *holder = said;
    return true;
}

/* A look that met a change of holders is repeated; after LOOKS of them only the
 * facts of the word are told. */
void wm_holder_inspect(const struct wm_node *node,
                       struct wm_lock_holder *holder)
{
    const struct wm_lock_area *lock = &node->segment.header->lock;
    uint64_t word;
    int look = 0;

    do {
        word = lock_word_acquire(lock);
        inspect_word(node, word, holder);
    } while (!inspect_said(lock, word, holder) && ++look < LOOKS);
}

int wm_lock_inspect(const struct wm_node *node, struct wm_lock_holder *holder)
{
    WM_REQUIRE(node);

    struct wm_lock_holder own;
    int error = wm_sized_check(holder, WM_LEAST(wm_lock_holder, reserved));

    if (error == 0) {
        wm_holder_inspect(node, &own);
        wm_sized_write(holder, &own, sizeof(own));
    }
    return error;
}
