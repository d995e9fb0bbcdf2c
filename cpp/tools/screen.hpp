// SPDX-License-Identifier: Apache-2.0

// The terminal: whether there is one, its colours, and a drawing in place.

#ifndef WMCTL_SCREEN_HPP
#define WMCTL_SCREEN_HPP

#include "options.hpp"

#include <string>

namespace wmctl
{

// Paints words, or leaves them as they are.
class palette
{
public:
    explicit palette(bool on) : on_(on) {}

    // For this output: colours only on a terminal, and only if the user allows.
    static palette of(const options &o);

    std::string good(const std::string &s) const { return in("32", s); }
    std::string warning(const std::string &s) const { return in("33", s); }
    std::string bad(const std::string &s) const { return in("31", s); }
    std::string faint(const std::string &s) const { return in("2", s); }
    std::string strong(const std::string &s) const { return in("1", s); }

private:
    std::string in(const char *code, const std::string &s) const
    {
        return on_ ? std::string("\033[") + code + "m" + s + "\033[0m" : s;
    }

    bool on_;
};

// Writes to standard output, at once; throws a failure if it cannot.
void put(const std::string &text);

// Shows one frame over the other, cut to the terminal's size. If the output is
// no terminal, or if the caller wants that, it shows one after the other.
class screen
{
public:
    explicit screen(bool in_place);
    ~screen() { give_back(); }
    screen(const screen &) = delete;
    screen &operator=(const screen &) = delete;

    // Takes the terminal, and takes it again after others have had it.
    void take();
    void draw(const std::string &frame);

    // Shows the cursor of any screen again. Async-signal-safe.
    static void give_back() noexcept;

private:
    bool in_place_;
};

} // namespace wmctl

#endif
