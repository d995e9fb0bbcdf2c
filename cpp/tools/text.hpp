// SPDX-License-Identifier: Apache-2.0

// The output for people. Lines that begin with # are headings and facts of the
// node. The others are rows of columns, which fit into a terminal of 80.

#ifndef WMCTL_TEXT_HPP
#define WMCTL_TEXT_HPP

#include "model.hpp"
#include "screen.hpp"

#include <string>

namespace wmctl::text
{

// A line for each other life of the instance, by its file.
std::string others(const std::vector<std::string> &files);

std::string node(const model &m, const palette &p, bool all);

// file: with a column for the file's name.
std::string list_heading(const palette &p, bool file);
std::string list_row(const model &m, const palette &p, bool file);
std::string list_row(const segment &s, const failure &why, const palette &p,
                     bool file);

std::string event_heading(const palette &p);
std::string life(const segment &s); // the life has begun, or has ended
std::string event(const wm_log_entry &e, bool utc);
std::string missed(std::uint64_t number);

// The line below an answer that may never have been true.
std::string unsettled(const std::string &file); // the node kept changing
std::string log_unsettled(); // entries wait behind one that is being written

} // namespace wmctl::text

#endif
