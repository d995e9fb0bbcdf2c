/* SPDX-License-Identifier: Apache-2.0 */

/* Notes: what a worker says that it does, for those that look at it, and for
 * those that are told of its end.
 *
 * The note's word counts how often its text was begun or ended, and carries the
 * joining that it is of. A writer opens it by a swap to the next, odd, number,
 * stores the text, and closes it with the next, even, one:
 *
 *     writer:   note n -> n + 1 ...... text ...... note n + 2
 *     reader:                note ...... text ...... note
 *
 * 1. A reader that loads any word of a text which is being written loads n + 1,
 *    or something later, afterwards [Q]. So if it loads the same even number
 *    before and after, the text is that note's.
 * 2. Of two threads that write at a time one opens the note; the other one's is
 *    dropped. So is that of a signal handler that interrupts a writer.
 * 3. If the writer dies in between, the number stays odd, and there is no note;
 *    if it is stopped, there is none for as long. Nobody waits.
 * 4. A record may pass on while a thread of its former worker writes: a worker
 *    that has drained makes room, and one may leave meanwhile. If that thread
 *    opens the note after the joiner's swap, it finds another joining, and
 *    writes nothing. If it has opened the note before, it may still store text
 *    at any time; so the joiner leaves the note open, and so do those that
 *    follow it: they have none, until that thread closes the note, which is its
 *    own then, and which no reader of another joining takes.
 * 5. A dead process stores nothing any more. A joiner that takes its record, or
 *    a sweeper that frees it, ends the note that it has itself left open. */

#include "note.h"

#include "record.h"

#include <errno.h>
#include <string.h>

#define LOOKS 4 /* at a note that is just being written */

static_assert(sizeof(uint64_t[WM_TEXT_WORDS]) == WM_NOTE_MAX &&
                  WM_NOTE_SIZE > WM_NOTE_MAX,
              "a note and its NUL");

void wm_note_hand_on(struct wm_record_cold *cold, uint64_t join, bool is_over)
{
    uint64_t seen = record_cold_note_acquire(cold), next;

    do {
        /* Safeguard: half_a_note_is_left_open */
        next = wm_note_is_inherited(seen) || (wm_note_is_open(seen) && !is_over)
                   ? wm_note_inherited(join)
                   : wm_note_word(join, 0);
    } while (!record_cold_swap_note(cold, &seen, next));
}

void wm_note_bury(struct wm_record_cold *cold, uint64_t join)
{
    uint64_t seen = record_cold_note_acquire(cold);

    /* Safeguard: note_of_a_dead_worker_is_ended */
    if (wm_is_of_join(seen, join) && wm_note_is_open(seen) &&
        !wm_note_is_inherited(seen)) {
        record_cold_swap_note(cold, &seen, wm_note_word(join, 0));
    }
}

void wm_note_read(const struct wm_record_cold *cold, uint64_t join,
                  char text[WM_NOTE_SIZE])
{
    uint64_t words[WM_TEXT_WORDS];

    memset(text, 0, WM_NOTE_SIZE);
    for (int look = 0; look < LOOKS; look++) {
        uint64_t note = record_cold_note_acquire(cold);

        /* Safeguard: note_is_of_this_joining */
        if (!wm_is_of_join(note, join) || wm_note_is_blank(note)) {
            return;
        }
        /* Safeguard: open_note_is_not_read */
        if (wm_note_is_open(note)) {
            continue;
        }
        for (int i = 0; i < WM_TEXT_WORDS; i++) {
            words[i] = record_cold_text_acquire(cold, i);
        }
        /* Safeguard: note_is_whole */
        if (record_cold_note_acquire(cold) == note) {
            memcpy(text, words, sizeof(words));
            return;
        }
    }
}

/* Returns 0, or -EBUSY if the note is dropped. */
static int write_note(struct wm_worker *w, const char *text)
{
    struct wm_record_cold *c = w->cold;
    uint64_t note = record_cold_note_acquire(c), words[WM_TEXT_WORDS] = {0};

    /* Read first: a bad pointer leaves the note as it is. */
    if (text != NULL) {
        memcpy(words, text, strnlen(text, sizeof(words)));
    }
    if (!wm_is_of_join(note, w->join) || wm_note_is_open(note) ||
        !record_cold_swap_note(c, &note, wm_note_next(note))) {
        return -EBUSY;
    }
    note = wm_note_next(note);
    for (int i = 0; i < WM_TEXT_WORDS; i++) {
        record_cold_set_text(c, i, words[i]);
    }
    record_cold_close_note(c, wm_note_next(note));
    return 0;
}

int wm_note(struct wm_worker *worker, const char *text)
{
    WM_REQUIRE(worker);
    int beaten = wm_beat(worker);
    int result = beaten < 0 ? beaten : write_note(worker, text);

    return result < 0 ? result : beaten;
}
