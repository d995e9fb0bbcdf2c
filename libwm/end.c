/* SPDX-License-Identifier: Apache-2.0 */

/* Ends: what a worker's process died of, by the best witness.
 *
 * The end is a word of its own beside the record's, and no part of the protocol
 * that decides whether a worker is dead. A witness proves the death, swaps the
 * end to what it knows, and only then marks the record: so each process that
 * finds the mark finds the end [C]. One that comes later swaps it all the same,
 * and those that are told after that get it.
 *
 * 1. The word carries the joining, and the joiner stores it. If the record
 *    passes on before the witness's swap, the swap fails: it is from a value
 *    with the former joining's number.
 * 2. A better witness replaces a worse one, and never the other way round: each
 *    swap is from the value that was compared.
 * 3. The process is the worst witness of its own end, and has a word of its own
 *    for that. It is believed if no beat is newer: some programs go on after a
 *    fault.
 * 4. If the witness dies before its mark, the next sweep marks the record, and
 *    finds the end. */

#include "end.h"

#include <signal.h>
#include <sys/wait.h>

uint32_t wm_end_of_status(int status)
{
    if (WIFEXITED(status)) {
        return wm_end_bits(WM_CAUSE_EXIT, WM_WITNESS_PARENT,
                           (uint32_t)WEXITSTATUS(status));
    }
    return wm_end_bits(WTERMSIG(status) == SIGKILL ? WM_CAUSE_KILLED
                                                   : WM_CAUSE_SIGNAL,
                       WM_WITNESS_PARENT, (uint32_t)WTERMSIG(status));
}

bool wm_end_note(struct wm_record_cold *cold, uint64_t join, uint32_t end)
{
    uint64_t seen = record_cold_end(cold);

    do {
        /* Safeguard: end_is_of_this_joining */
        if (!wm_is_of_join(seen, join) ||
            /* Safeguard: better_witness_stays */
            wm_end_witness((uint32_t)seen) >= wm_end_witness(end)) {
            return false;
        }
    } while (!record_cold_swap_end(cold, &seen, wm_end_word(join, end)));
    return true;
}

uint32_t wm_end_known(const struct wm_record_cold *cold, uint64_t join,
                      uint64_t word)
{
    uint64_t seen = record_cold_end(cold);
    uint64_t report = record_cold_report(cold);

    if (wm_is_of_join(seen, join) && wm_end_witness((uint32_t)seen) != 0) {
        return (uint32_t)seen;
    }
    /* Safeguard: report_is_newer_than_the_last_beat */
    return wm_report_holds(report, join, word) ? wm_report_end(report) : 0;
}

struct wm_end wm_end_told(uint32_t end, bool crashed)
{
    struct wm_end told = {
        .cause = wm_end_cause(end),
        .witness = wm_end_witness(end),
        .code = wm_end_code(end),
    };

    if (!crashed) {
        return (struct wm_end){0};
    }
    if (told.cause == WM_CAUSE_NONE) {
        told.cause = WM_CAUSE_UNKNOWN;
    }
    return told;
}
