/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* The segments that lie in a directory. */

#ifndef WM_DIRECTORY_H
#define WM_DIRECTORY_H

#include "share.h"

/* Finds the file of an instance that is best opened for a look: the caller's
 * own before root's, and of those a live one before a dead one. name: out.
 * Returns 0; -ENOENT; -EPERM: there are strangers' files alone. */
int wm_directory_find(const char *directory, const char *instance,
                      char name[WM_NAME_SIZE]);

#endif
