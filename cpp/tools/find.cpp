// SPDX-License-Identifier: Apache-2.0

#include "find.hpp"

#include "words.hpp"

#include <algorithm>
#include <set>

namespace wmctl
{

namespace
{

constexpr std::chrono::seconds denied_for_good{1};
constexpr int looks = 8; // at lives that come and go

// Names to choose from: at most so many, each once.
constexpr std::size_t names_shown = 12;

std::string names(const std::vector<segment> &all,
                  std::string segment::*name = &segment::instance)
{
    std::set<std::string> different;
    std::string text;
    std::size_t shown = 0;

    for (const segment &s : all) {
        different.insert(clean(s.*name));
    }
    for (const std::string &n : different) {
        if (shown++ == names_shown) {
            return text + " and " +
                   std::to_string(different.size() - names_shown) + " more";
        }
        text += (text.empty() ? "" : ", ") + n;
    }
    return text;
}

// Whether these are lives of one instance.
bool are_lives(const std::vector<segment> &all)
{
    return std::all_of(all.begin(), all.end(), [&](const segment &s) {
        return s.instance == all.front().instance;
    });
}

failure several(const std::vector<segment> &all)
{
    return {status::usage, "which node? name one of " +
                               names(all, are_lives(all) ? &segment::file
                                                         : &segment::instance)};
}

// Those, or all if there is none.
template <typename Condition>
std::vector<segment> preferably(const std::vector<segment> &all,
                                Condition condition)
{
    const std::vector<segment> found = those(all, condition);

    return found.empty() ? all : found;
}

bool opens(const options &o, const segment &s)
{
    std::error_code ec;

    (void)wm::node::open(s.file.c_str(), o.directory.c_str(), ec);
    return !ec;
}

// Whether this may be a live node, as far as wmctl can know.
bool may_live(const segment &s)
{
    const status why = status_of(s.error);

    return s.error != 0 && (why == status::denied || why == status::failed);
}

// Why none of `all` is meant. live: dead ones did not count.
failure nothing(const options &o, const std::vector<segment> &all, bool live)
{
    const std::vector<segment> strangers = those(all, [&](const segment &s) {
        return !o.node.empty() && s.foreign && s.instance.starts_with(o.node);
    });
    std::string text =
        o.node.empty() ? "no live node" : "no node " + clean(o.node);

    text += live && !o.node.empty() ? " that lives in " : " in ";
    text += clean(o.directory);
    if (!all.empty()) {
        text +=
            (o.node.empty() ? "; dead or unreadable are: " : "; there are: ") +
            names(all);
    }
    if (!strangers.empty()) {
        text += "; another user's is named by its file: " +
                names(strangers, &segment::file);
    }
    if (pid_of(o.node) != 0 && !those(all, may_live).empty()) {
        text += "; some cannot be read, and may have that pid";
    }
    return {status::no_node,
            text + "; see wmctl list --directory " + clean(o.directory)};
}

// The segments that the user may mean: live ones; else, if the user named one,
// dead ones; else those that may be live. live: no dead ones. A stranger's is
// not meant by the name of an instance; by a pid, or without any name, it is
// where there is no other.
std::vector<segment> candidates(const options &o, bool live, by how)
{
    const auto is_ours = [&](const segment &s) {
        return !s.foreign || s.file == o.node;
    };
    const std::vector<segment> all = everything(o);
    const std::vector<segment> named = meant(o, all, how);
    std::vector<segment> found =
        those(named, [](const segment &s) { return s.live; });

    if (found.empty()) {
        found = o.node.empty() || live ? those(named, may_live) : named;
    }
    if (found.empty()) {
        throw nothing(o, all, live);
    }
    // Anybody may make and lock a file of that name, which is no node then.
    return preferably(preferably(found, is_ours),
                      [&](const segment &s) { return opens(o, s); });
}

// Of several lives of an instance, the library says which one is meant. None:
// it means one that has come since they were listed.
std::optional<opened> choose(const options &o,
                             const std::vector<segment> &found)
{
    if (found.size() == 1) {
        return opened{found.front(), open(o, found.front()), {}};
    }
    if (!are_lives(found)) {
        throw several(found);
    }
    std::error_code ec;
    opened chosen;

    chosen.node =
        wm::node::open(found.front().instance.c_str(), o.directory.c_str(), ec);
    if (ec) {
        return std::nullopt;
    }
    for (const segment &s : found) {
        if (s.file == chosen.node.describe().name) {
            chosen.of = s;
        } else {
            chosen.others.push_back(s.file);
        }
    }
    return chosen.of.file.empty() ? std::nullopt
                                  : std::optional(std::move(chosen));
}

} // namespace

failure nothing(const options &o)
{
    return nothing(o, everything(o), false);
}

opened find(const options &o)
{
    std::vector<segment> found;

    for (int look = 0; look < looks; look++) {
        found = candidates(o, false, by::beginning);
        if (auto chosen = choose(o, found)) {
            return std::move(*chosen);
        }
    }
    throw several(found);
}

search::search(const options &o, const segment &last) : o_(o), how_(by::name)
{
    o_.node = last.instance;
}

std::optional<opened> search::one()
{
    try {
        const std::vector<segment> found = candidates(o_, true, how_);
        std::optional<opened> life = choose(o_, found);

        denied_.reset();
        if (!life) {
            why_ = several(found);
        }
        return life;
    } catch (const failure &f) {
        if (!may_pass(f.why())) {
            throw;
        }
        why_ = f;
        return std::nullopt;
    }
}

// A segment that is just being made looks damaged, and for a moment only its
// maker may open it.
bool search::may_pass(status s)
{
    const auto now = std::chrono::steady_clock::now();

    if (s != status::denied) {
        denied_.reset();
        return s == status::no_node || s == status::damaged;
    }
    denied_ = denied_.value_or(now);
    return now - *denied_ < denied_for_good;
}

} // namespace wmctl
