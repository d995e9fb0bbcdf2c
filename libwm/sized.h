/* SPDX-License-Identifier: Apache-2.0
 * Copyright The libwm authors */

/* What crosses the public interface: structs that carry their size, lists that
 * have the size of their elements, and handles.
 *
 * A caller may have been compiled with an earlier or a later header than the
 * library. The rules are those of wm.h, "Sizes". */

#ifndef WM_SIZED_H
#define WM_SIZED_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* How long a struct was in its first version: up to and with this member. */
#define WM_LEAST(type, last)                                                   \
    (offsetof(struct type, last) + sizeof(((struct type *)NULL)->last))

/* No struct of any version is longer: a size that is was never set, and would
 * have the library read or write far beyond it. */
#define WM_SIZE_MOST 4096u

/* Whether a size is one that some version's struct has: 0 or -EINVAL. */
static inline int wm_size_check(uint32_t size, size_t least)
{
    return size < least || size > WM_SIZE_MOST ? -EINVAL : 0;
}

static inline size_t wm_lesser(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Reads a caller's struct into the library's, whose defaults are there already.
 * Its first member is its size.
 * Returns 0; -EINVAL: no version's size; -E2BIG: it sets what this library does
 * not know. */
static inline int wm_sized_read(void *own, size_t own_size, size_t least,
                                const void *theirs)
{
    uint32_t size;

    memcpy(&size, theirs, sizeof(size));
    if (wm_size_check(size, least) != 0) {
        return -EINVAL;
    }
    for (size_t i = own_size; i < size; i++) {
        if (((const char *)theirs)[i] != 0) {
            return -E2BIG;
        }
    }
    memcpy(own, theirs, wm_lesser(own_size, size));
    return 0;
}

/* Whether a caller's struct is long enough to be filled in: 0 or -EINVAL. */
static inline int wm_sized_check(const void *theirs, size_t least)
{
    uint32_t size;

    memcpy(&size, theirs, sizeof(size));
    return wm_size_check(size, least);
}

/* Fills a caller's struct in: what fits, and 0 beyond what the library knows.
 * Its size stays. */
static inline void wm_sized_write(void *theirs, const void *own,
                                  size_t own_size)
{
    uint32_t size;
    size_t known;

    memcpy(&size, theirs, sizeof(size));
    known = wm_lesser(own_size, size);
    memcpy((char *)theirs + sizeof(size), (const char *)own + sizeof(size),
           known - sizeof(size));
    memset((char *)theirs + known, 0, size - known);
}

/* Whether a list can have elements of that size: 0 or -EINVAL. */
static inline int wm_element_check(uint32_t element, size_t least)
{
    return wm_size_check(element, least);
}

static inline void *wm_element_at(void *list, uint32_t element, size_t i)
{
    return (char *)list + i * element;
}

static inline void wm_element_write(void *theirs, uint32_t element,
                                    const void *own, size_t own_size)
{
    size_t known = wm_lesser(own_size, element);

    memcpy(theirs, own, known);
    memset((char *)theirs + known, 0, element - known);
}

/* A handle must be there. A build without NDEBUG names the function that was
 * given none; with NDEBUG it is the caller's fault, and a fault. */
#ifdef NDEBUG
#define WM_REQUIRE(handle) ((void)(handle))
#else
_Noreturn void wm_no_handle(const char *function);
#define WM_REQUIRE(handle) ((handle) == NULL ? wm_no_handle(__func__) : (void)0)
#endif

#endif
