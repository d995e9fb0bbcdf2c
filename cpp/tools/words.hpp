// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// Words for numbers, the same in every kind of output.

#ifndef WMCTL_WORDS_HPP
#define WMCTL_WORDS_HPP

#include <cstdint>
#include <string>
#include <sys/types.h>

namespace wmctl
{

const char *state_word(std::uint32_t state);            // enum wm_state
const char *generation_state_word(std::uint32_t state); // wm_generation_state
const char *role_word(std::uint32_t role);              // enum wm_role
const char *reason_word(std::uint32_t reason);          // enum wm_reason
const char *kind_word(std::uint32_t kind);              // enum wm_log_kind

// A duration: 0.4s, 59s, 2m07s, 5h02m, 3d04h.
std::string age(std::uint64_t ms);

// A moment of CLOCK_REALTIME, in UTC: 2031-05-17T09:30:00.123Z.
std::string moment(std::uint64_t ms);

std::string user_name(uid_t uid);

// A name that is safe to show: a stranger's file name moves no cursor.
std::string clean(const std::string &name);

} // namespace wmctl

#endif
