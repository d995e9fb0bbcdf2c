/* SPDX-License-Identifier: Apache-2.0 */

/* Names of instances and of their files. */

#include "name.h"

#include "layout.h"

#include <string.h>

bool wm_instance_valid(const char *instance)
{
    size_t n = instance == NULL ? 0 : strlen(instance);

    if (n == 0 || n >= WM_INSTANCE_SIZE || instance[0] == '.') {
        return false;
    }
    return strspn(instance, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "abcdefghijklmnopqrstuvwxyz"
                            "0123456789_.-") == n;
}

bool wm_name_matches(const char *name, const char *instance)
{
    const char *dot = strrchr(name, '.');
    size_t n;

    if (strncmp(name, WM_NAME_PREFIX, sizeof(WM_NAME_PREFIX) - 1) != 0) {
        return false;
    }
    name += sizeof(WM_NAME_PREFIX) - 1;
    if (dot < name ||
        strspn(dot + 1, "0123456789abcdef") != WM_NAME_HEX_DIGITS ||
        dot[1 + WM_NAME_HEX_DIGITS] != '\0') {
        return false;
    }
    n = (size_t)(dot - name);
    return instance == NULL ||
           (strlen(instance) == n && strncmp(name, instance, n) == 0);
}
