# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors

# Makes a C header as Doxygen reads it: its comments become documentation.

# The text about the whole file.
s|^/\* \(libwm[^ ]*: \)|/** @file\n * \1|
# Neither the licence nor the headings of sections say anything of a name.
/^\/\* SPDX/b
/^\/\* -/b
# Above a declaration, and after a member or macro.
s|^/\* |/** |
s|^\( .*[^ ] *\)/\* |\1/**< |
s|^\(#define .*[^ ] *\)/\* |\1/**< |
# Paragraphs of their own.
s|^ \* Returns | *\n&|
# One comment above three functions.
/wm_worker_generation(/i /** @copydoc wm_worker_slot() */
/wm_worker_spell(/i /** @copydoc wm_worker_slot() */
