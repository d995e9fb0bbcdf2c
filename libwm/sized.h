/* SPDX-License-Identifier: Apache-2.0 */

/* All that crosses the public interface: structs that carry their size, lists
 * that come with the size of their elements, and handles.
 *
 * A caller may have been compiled with an earlier or a later header than the
 * library. The rules are those of wm.h, "Sizes". */

#ifndef WM_SIZED_H
#define WM_SIZED_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The length of a struct in its first version: it ended with this member. */
#define WM_LEAST(type, last)                                                   \
    (offsetof(struct type, last) + sizeof(((struct type *)NULL)->last))

/* No struct of any version is longer. A larger size is one that the caller did
 * not set, and would make the library read or write far beyond the struct. */
#define WM_SIZE_MOST 4096u

/* Checks that the struct of some version has this size: 0 or -EINVAL. */
static inline int wm_size_check(uint32_t size, size_t least)
{
    return size < least || size > WM_SIZE_MOST ? -EINVAL : 0;
}

static inline size_t wm_lesser(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Reads a caller's struct, whose first member is its size, into the library's,
 * which has its defaults already.
 * Returns 0; -EINVAL: no version has this size; -E2BIG: it sets fields that
 * this library does not know. */
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

/* Checks that a caller's struct can be filled in, by its size: 0 or -EINVAL. */
static inline int wm_sized_check(const void *theirs, size_t least)
{
    uint32_t size;

    memcpy(&size, theirs, sizeof(size));
    return wm_size_check(size, least);
}

/* Fills a caller's struct in: writes the fields that fit, and 0 beyond those
 * that the library knows. Its size stays. */
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

/* Checks that a list can have elements of this size: 0 or -EINVAL. */
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

/* A handle must not be NULL. If it is, a build without NDEBUG names the
 * function, and aborts; a build with NDEBUG does not check, and faults. */
#ifdef NDEBUG
#define WM_REQUIRE(handle) ((void)(handle))
#else
_Noreturn void wm_no_handle(const char *function);
#define WM_REQUIRE(handle) ((handle) == NULL ? wm_no_handle(__func__) : (void)0)
#endif

#endif
