// SPDX-License-Identifier: Apache-2.0

// Words for numbers, the same in every kind of output.

#ifndef WMCTL_WORDS_HPP
#define WMCTL_WORDS_HPP

#include <wm/facts.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace wmctl
{

const char *state_word(std::uint32_t state);            // enum wm_state
const char *generation_state_word(std::uint32_t state); // wm_generation_state
const char *role_word(std::uint32_t role);              // enum wm_role
const char *reason_word(std::uint32_t reason);          // enum wm_reason
const char *kind_word(std::uint32_t kind);              // enum wm_log_kind

// The meaning of an entry's value: join, spell, term, holder.
const char *value_word(std::uint32_t kind);

// Whether an entry's kind is called so, or begins with that word.
bool is_of(std::uint32_t kind, const std::string &name);
std::vector<std::string> kind_words(); // of all kinds

// Nothing if the purpose is a program's own.
std::optional<std::string> purpose_word(std::uint32_t purpose);

// How a worker ended: "signal=11", "exit=3"; "" if nobody knows, or it has
// not.
std::string end_word(const wm_end &ended);

std::string user_name(uid_t uid);

// The known word that a user may have meant by this one: it differs by a letter
// or two. "" if none does.
std::string nearest(const std::string &word,
                    const std::vector<std::string> &known);

// A name that is safe to show: a stranger's file name moves no cursor.
std::string clean(const std::string &name);

} // namespace wmctl

#endif
