# SPDX-License-Identifier: Apache-2.0

# Makes a C header as Doxygen reads it: its comments become documentation.

# The text about the whole file.
s|^/\* \(libwm[^ ]*: \)|/** @file\n * \1|
# Neither the licence nor the headings of sections say anything of a name.
/^\/\* SPDX/b
/^\/\* -/b
# The square of operations becomes a table. Other columns, and
# drawings, stay as they are.
s/^ \*  *1    2        3    4    5    6$/ * |   | 1 | 2 | 3 | 4 | 5 | 6 |\n * | - | - | - | - | - | - | - |/
/^ \*   [1-6] / {
    s/^ \*   \([1-6] [^ ]*\( [^ ]\{1,\}\)*\)  */ * | \1 | /
    s/   */ | /g
    s/$/ |/
}
s/^ \*   \( *[^ |]\)/ *       \1/
# Above a declaration, and after a member or macro.
s|^/\* |/** |
s|^\( .*[^ ] *\)/\* |\1/**< |
s|^\(#define .*[^ ] *\)/\* |\1/**< |
# Paragraphs of their own.
s|^ \* Returns | *\n&|
# One comment above three functions.
/wm_worker_generation(/i /** @copydoc wm_worker_slot() */
/wm_worker_spell(/i /** @copydoc wm_worker_slot() */
