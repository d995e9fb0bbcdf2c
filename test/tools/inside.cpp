// SPDX-License-Identifier: Apache-2.0
// Copyright The libwm authors

// Calls what wmctl has inside, for those tests that no node can bring about:
// inside WHAT ARGUMENT prints what comes of it.

#include "../../cpp/tools/screen.hpp"
#include "../../cpp/tools/words.hpp"

#include <string>

namespace
{

std::string answer(const std::string &what, const std::string &argument)
{
    if (what == "clean") {
        return wmctl::clean(argument);
    }
    const auto n = std::stoull(argument);
    const auto word = static_cast<std::uint32_t>(n);

    return what == "age"          ? wmctl::age(n)
           : what == "moment"     ? wmctl::moment(n)
           : what == "state"      ? wmctl::state_word(word)
           : what == "generation" ? wmctl::generation_state_word(word)
           : what == "role"       ? wmctl::role_word(word)
           : what == "reason"     ? wmctl::reason_word(word)
           : what == "kind"       ? wmctl::kind_word(word)
                                  : "what?";
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    if (argv[1] == std::string("frame")) {
        wmctl::screen(true).draw(argv[2]);
    } else {
        wmctl::put(answer(argv[1], argv[2]) + "\n");
    }
    return 0;
}
