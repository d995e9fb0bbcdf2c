/* SPDX-License-Identifier: Apache-2.0 */

#include "moments.h"

#include <signal.h>

static struct {
    unsigned kinds;
    uintptr_t at;
    size_t size;
    moment_fn *_Atomic act; /* NULL: none is awaited */
} moment;

void moment_reach(unsigned kind, const volatile void *object)
{
    moment_fn *act = atomic_load(&moment.act);

    if (act == NULL || (kind & moment.kinds) == 0 ||
        (uintptr_t)object - moment.at >= moment.size) {
        return;
    }
    atomic_store(&moment.act, NULL);
    act();
}

void moment_set(unsigned kinds, const volatile void *at, size_t size,
                moment_fn *act)
{
    moment.kinds = kinds;
    moment.at = (uintptr_t)at;
    moment.size = size;
    atomic_store(&moment.act, act);
}

int moment_came(void)
{
    return atomic_exchange(&moment.act, NULL) == NULL;
}

void stop_here(void)
{
    raise(SIGSTOP);
}
