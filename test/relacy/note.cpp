/* SPDX-License-Identifier: Apache-2.0 */

/* What a worker says that it does. */

#include "world.hpp"

#include "join.c"
#include "note.c"
#include "record.c"

static const char *const texts[] = {
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
};

/* Whether it is one of the texts, whole, or none. */
static bool is_one(const char *text)
{
    return text[0] == '\0' || memcmp(text, texts[0], WM_NOTE_MAX) == 0 ||
           memcmp(text, texts[1], WM_NOTE_MAX) == 0;
}

/* [Q] A process reads while another note is put. */
struct note_is_of_one_writer : world {
    void before()
    {
        has_joined(1, 0, WM_LIVE);
        wm_note(&nodes[1].worker, texts[0]);
    }

    void thread(unsigned i)
    {
        char text[WM_NOTE_SIZE];

        if (i == 0) {
            RL_ASSERT(wm_note(&own()->worker, texts[1]) == 0);
        } else {
            wm_note_read(&colds[0], 1, text);
            RL_ASSERT(is_one(text));
        }
    }
};
CHECK(note_is_of_one_writer, 2, 2)

/* Two threads of a process put a note each: one of them may be dropped. */
struct note_is_put_or_dropped : world {
    void before()
    {
        has_joined(1, 0, WM_LIVE);
        pids[1] = 1;
    }

    void thread(unsigned i)
    {
        told[i] = wm_note(&own()->worker, texts[i]);
        RL_ASSERT(told[i] == 0 || told[i] == -EBUSY);
    }

    void after()
    {
        char text[WM_NOTE_SIZE];

        wm_note_read(&colds[0], 1, text);
        RL_ASSERT(text[0] != '\0' && is_one(text));
        RL_ASSERT(told[0] == 0 || told[1] == 0);
    }
};
CHECK(note_is_put_or_dropped, 2, 2)

/* A worker that has drained writes, while another one takes its record and
 * writes as well. */
struct note_is_of_one_joining : world {
    void before() { has_joined(3, 0, WM_DRAINING); }

    void thread(unsigned i)
    {
        if (i == 0) {
            RL_ASSERT(join_first() == 0);
            told[0] = wm_note(&own()->worker, texts[0]);
        } else {
            pids[1] = 3;
            wm_note(&nodes[3].worker, texts[1]);
        }
    }

    void after()
    {
        char text[WM_NOTE_SIZE];

        wm_note_read(&colds[0], record_join_acquire(&records[0]), text);
        RL_ASSERT(strcmp(text, told[0] == 0 ? texts[0] : "") == 0);
    }
};
CHECK(note_is_of_one_joining, 2, 2)
