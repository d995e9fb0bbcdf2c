/* SPDX-License-Identifier: Apache-2.0 */

/* Names: of instances, and of the files in which their segments lie,
 * "wm." instance "." 16 hexadecimal digits. */

#ifndef WM_NAME_H
#define WM_NAME_H

#include <stdbool.h>

#define WM_NAME_SIZE 128 /* of a file's name, with the closing NUL */
#define WM_NAME_PREFIX "wm."
#define WM_NAME_HEX_DIGITS 16

/* Whether it may name an instance; NULL may not. */
bool wm_instance_valid(const char *instance);

/* Whether it is the name of a file of this instance, NULL for any. */
bool wm_name_matches(const char *name, const char *instance);

#endif
