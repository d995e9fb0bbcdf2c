// SPDX-License-Identifier: Apache-2.0

// The library's names, but for what only wmctl says.

#include "words.hpp"

#include <wm/facts.hpp>

#include <algorithm>
#include <cctype>
#include <pwd.h>

namespace wmctl
{

const char *state_word(std::uint32_t state)
{
    return wm::state_name(state);
}

// No generation is in the state "none": it stands for one that is known by its
// workers alone.
const char *generation_state_word(std::uint32_t state)
{
    return state == WM_GENERATION_NONE ? "forgotten"
                                       : wm::generation_state_name(state);
}

const char *role_word(std::uint32_t role)
{
    return wm::role_name(role);
}

const char *reason_word(std::uint32_t reason)
{
    return wm::reason_name(reason);
}

const char *kind_word(std::uint32_t kind)
{
    return wm::log_name(kind);
}

const char *value_word(std::uint32_t kind)
{
    const std::string name = wm::log_name(kind);

    return name.starts_with("worker-")       ? "join"
           : name.starts_with("generation-") ? "spell"
           : name.starts_with("leader")      ? "term"
           : name.starts_with("lock-")       ? "holder"
                                             : "value";
}

bool is_of(std::uint32_t kind, const std::string &name)
{
    const std::string whole = wm::log_name(kind);

    return whole == name || whole.starts_with(name + "-");
}

std::vector<std::string> kind_words()
{
    std::vector<std::string> words;

    for (std::uint32_t k = WM_LOG_GENERATION_BEGUN;
         wm::log_name(k) != std::string("?"); k++) {
        words.emplace_back(wm::log_name(k));
    }
    return words;
}

std::optional<std::string> purpose_word(std::uint32_t purpose)
{
    const std::string name = wm::purpose_name(purpose);

    return name == "?" ? std::nullopt : std::optional(name);
}

std::string user_name(uid_t uid)
{
    const struct passwd *user = getpwuid(uid);

    return user != nullptr ? user->pw_name : "user " + std::to_string(uid);
}

namespace
{

// Letters to put in, leave out, change, or swap with their neighbours.
std::size_t distance(const std::string &a, const std::string &b)
{
    std::vector<std::vector<std::size_t>> d(
        a.size() + 1, std::vector<std::size_t>(b.size() + 1));

    for (std::size_t i = 0; i <= a.size(); i++) {
        for (std::size_t j = 0; j <= b.size(); j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1,
                                d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
                a[i - 2] == b[j - 1]) {
                d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
            }
        }
    }
    return d[a.size()][b.size()];
}

} // namespace

std::string nearest(const std::string &word,
                    const std::vector<std::string> &known)
{
    constexpr std::size_t longest = 40;          // a word of ours is shorter
    std::size_t least = word.size() < 6 ? 2 : 3; // or it is another word
    std::string lower = word, best;

    if (word.size() > longest) {
        return "";
    }
    for (char &c : lower) {
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    for (const std::string &k : known) {
        const std::size_t d = distance(lower, k);

        if (d < least) {
            least = d;
            best = k;
        }
    }
    return best;
}

std::string end_word(const wm_end &ended)
{
    switch (ended.cause) {
    case WM_CAUSE_EXIT:
        return "exit=" + std::to_string(ended.code);
    case WM_CAUSE_SIGNAL:
    case WM_CAUSE_KILLED:
        return "signal=" + std::to_string(ended.code);
    default:
        return "";
    }
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
