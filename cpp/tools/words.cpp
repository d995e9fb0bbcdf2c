// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// A number that this library does not name (a newer one may) is "?". So is a
// number that no look meets: a free record, or a reason that no generation has.

#include "words.hpp"

#include <wm/facts.hpp>

#include <array>
#include <cstdio>
#include <ctime>
#include <pwd.h>

namespace wmctl
{

namespace
{

template <std::size_t N>
const char *word(const std::array<const char *, N> &words, std::uint32_t number)
{
    return number < N ? words[number] : "?";
}

constexpr std::array states = {"?",       "?",        "joining", "live",
                               "stalled", "draining", "crashed"};
constexpr std::array generation_states = {"forgotten", "claimed", "begun",
                                          "active",    "exited",  "aborted"};
constexpr std::array roles = {"worker", "helper"};
constexpr std::array reasons = {"none", "start", "reload", "upgrade"};
constexpr std::array kinds = {
    "?",
    "generation-begun",
    "generation-active",
    "generation-aborted",
    "generation-exited",
    "worker-joined",
    "worker-live",
    "worker-stalled",
    "worker-recovered",
    "worker-draining",
    "worker-left",
    "worker-crashed",
    "leader",
    "leader-lost",
    "lock-recovered",
    "worker-forgotten",
};

static_assert(states.size() == WM_CRASHED + 1 &&
              generation_states.size() == WM_GENERATION_ABORTED + 1 &&
              roles.size() == WM_ROLE_HELPER + 1 &&
              reasons.size() == WM_REASON_UPGRADE + 1 &&
              kinds.size() == WM_LOG_WORKER_FORGOTTEN + 1);

std::string print(const char *format, unsigned long long a,
                  unsigned long long b)
{
    char text[64];

    std::snprintf(text, sizeof(text), format, a, b);
    return text;
}

} // namespace

const char *state_word(std::uint32_t state)
{
    return word(states, state);
}

const char *generation_state_word(std::uint32_t state)
{
    return word(generation_states, state);
}

const char *role_word(std::uint32_t role)
{
    return word(roles, role);
}

const char *reason_word(std::uint32_t reason)
{
    return word(reasons, reason);
}

const char *kind_word(std::uint32_t kind)
{
    return word(kinds, kind);
}

std::string age(std::uint64_t ms)
{
    const std::uint64_t s = ms / 1000, m = s / 60, h = m / 60;

    if (s < 10) {
        return print("%llu.%llus", s, ms / 100 % 10);
    }
    if (m == 0) {
        return std::to_string(s) + "s";
    }
    if (h == 0) {
        return print("%llum%02llus", m, s % 60);
    }
    return h < 24 ? print("%lluh%02llum", h, m % 60)
                  : print("%llud%02lluh", h / 24, h % 24);
}

std::string moment(std::uint64_t ms)
{
    const auto seconds = static_cast<std::time_t>(ms / 1000);
    std::tm tm{};
    char text[32] = "?";

    if (gmtime_r(&seconds, &tm) != nullptr) {
        std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    }
    return text + print(".%03lluZ", ms % 1000, 0);
}

std::string user_name(uid_t uid)
{
    const struct passwd *user = getpwuid(uid);

    return user != nullptr ? user->pw_name : "user " + std::to_string(uid);
}

std::string clean(const std::string &name)
{
    std::string text = name;

    for (char &c : text) {
        if (c < ' ' || c > '~') { // a char above that is negative, or DEL
            c = '?';
        }
    }
    return text;
}

} // namespace wmctl
