/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* Shared by the two halves of the fuzz target: one makes a segment of each
 * input, the other looks at it and acts on it. */

#ifndef FUZZ_H
#define FUZZ_H

#include "node.h"

#include <stdio.h>
#include <stdlib.h>

#define CAPACITY 4u /* of the node that is taken part in */

/* An assertion that holds with NDEBUG, too. */
#define HOLD(condition)                                                        \
    if (!(condition)) {                                                        \
        fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                \
        abort();                                                               \
    }

/* Each input begins with this. */
struct head {
    uint8_t raw;    /* 1: its constants stay as they are; 2: it is cut short */
    uint8_t former; /* 7 modulo 8: it is also a former life's segment */
    uint8_t begin;  /* odd: the writer begins a generation, too; 2: and waits */
    uint8_t step;   /* the first of the writer's acts */
    uint32_t seed;  /* of the second thread */
};

/* All that reads a node, and all that a worker of it does. */
void look(const struct wm_node *node);
void act(struct wm_node *node, const struct head *head);

#endif
