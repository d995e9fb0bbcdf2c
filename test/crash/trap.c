/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

#include "trap.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

static char *page; /* NULL: none is set */
static size_t page_size;
static trap_fn *on_look;
static void *its_argument;
static struct sigaction former;

void trap_clear(void)
{
    if (page != NULL) {
        mprotect(page, page_size, PROT_READ | PROT_WRITE);
        page = NULL;
        sigaction(SIGSEGV, &former, NULL);
    }
}

static void spring(int number, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr;
    bool is_ours = at - (uintptr_t)page < page_size;

    (void)number;
    (void)context;
    /* What is not ours comes again, and to whom it came before. */
    trap_clear();
    if (is_ours) {
        on_look(its_argument);
    }
}

void trap_set(void *address, trap_fn *act, void *argument)
{
    /* Not deferred: a test that fails in the call does not return. */
    struct sigaction action = {.sa_sigaction = spring,
                               .sa_flags = SA_SIGINFO | SA_NODEFER};

    page_size = (size_t)sysconf(_SC_PAGESIZE);
    page = (char *)address - (uintptr_t)address % page_size;
    on_look = act;
    its_argument = argument;
    assert_int_equal(sigaction(SIGSEGV, &action, &former), 0);
    assert_int_equal(mprotect(page, page_size, PROT_NONE), 0);
}
